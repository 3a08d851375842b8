/* SPDX-License-Identifier: BSD-3-Clause */
/* Deadlines beside a model that does the same by looking at all of them, under random calls, a clock that stands still,
 * runs, jumps and is set back, and memory that runs out now and then. */
#include <libtorque/deadlines.h>

#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/context.h"

#include "support/cmocka.h"

#define MS UINT64_C(1000000)
#define NEVER UINT64_MAX
enum { MOST = 400, STEPS = FEWER(100000) };

struct one {
  uint32_t id; /* 0: none */
  uint64_t when;
  uint64_t order; /* of the last setting */
};

static struct world {
  struct torque_deadlines *deadlines;
  uint64_t now, settings, seed;
  uint64_t span; /* how far ahead deadlines lie, mostly */
  uint64_t grid; /* many fall on the same point */
  struct one one[MOST];
  uint64_t blocks, bytes, takes;
  uint64_t fail_from, fail_to; /* calls of take() that find nothing */
  uint64_t refused, popped;
} world;

static uint64_t some(uint64_t below) { return next_random(&world.seed) / 8 % below; }

/* ---- Memory ---- */

static void *take(size_t size, size_t align, void *arg) {
  assert_ptr_equal(arg, &world);
  assert_true(align <= _Alignof(max_align_t));
  const uint64_t call = world.takes++;
  if (call >= world.fail_from && call < world.fail_to) return NULL;
  size_t *p = malloc(size + 16);
  if (!p) return NULL;
  memset(p, 0x5a, size + 16);
  *p = size;
  world.blocks++;
  world.bytes += size;
  return (char *)p + 16;
}

static void give(void *ptr, size_t size, void *arg) {
  assert_ptr_equal(arg, &world);
  char *const p = (char *)ptr - 16;
  size_t taken;
  memcpy(&taken, p, sizeof taken);
  assert_int_equal(taken, size);
  world.blocks--;
  world.bytes -= size;
  free(p);
}

/* ---- The model ---- */

static struct one *first_of_model(void) {
  struct one *best = NULL;
  for (struct one *o = world.one; o < world.one + MOST; o++) {
    if (!o->id || o->when == NEVER) continue;
    if (!best || o->when < best->when || (o->when == best->when && o->order < best->order)) best = o;
  }
  return best;
}

static uint32_t set_in_model(void) {
  uint32_t n = 0;
  for (int i = 0; i < MOST; i++) n += world.one[i].id && world.one[i].when != NEVER;
  return n;
}

static void has_set(struct one *o, uint64_t when) {
  o->when = when;
  o->order = world.settings++;
}

/* ---- Calls ---- */

static uint64_t some_time(void) {
  const uint64_t r = some(100);
  if (r == 0) return NEVER;
  if (r == 1) return NEVER - 1 - some(5);
  if (r == 2) return some(3);
  const uint64_t from = r < 20 ? world.now - (world.now < world.span ? world.now : some(world.span)) : world.now;
  return (from + some(r < 30 ? world.span * 50 : world.span)) / world.grid * world.grid;
}

static void must_be(torque_err err, torque_err other) {
  if (err == TORQUE_ERR_RESOURCE && other == TORQUE_ERR_RESOURCE) world.refused++;
  else assert_int_equal(err, TORQUE_ERR_NONE);
}

static void add_or_set(struct one *o) {
  const uint64_t when = some_time();
  uint32_t id = 0;
  torque_err err;
  if (o->id) err = torque_deadlines_set(world.deadlines, o->id, when);
  else err = torque_deadlines_add(world.deadlines, when, o, &id);
  must_be(err, TORQUE_ERR_RESOURCE);
  if (err) {
    assert_int_equal(id, 0);
    return;
  }
  if (id) {
    for (int i = 0; i < MOST; i++) assert_int_not_equal(world.one[i].id, id);
    o->id = id;
  }
  has_set(o, when);
}

static void remove_one(struct one *o) {
  if (!o->id) return;
  must_be(torque_deadlines_remove(world.deadlines, o->id), TORQUE_ERR_NONE);
  assert_int_equal(torque_deadlines_remove(world.deadlines, o->id), TORQUE_ERR_INVAL);
  o->id = 0;
}

static int pop(void) {
  struct one *const due = first_of_model();
  uint32_t id;
  void *arg;
  uint64_t when;
  if (!torque_deadlines_pop(world.deadlines, world.now, &id, &arg, &when)) {
    assert_true(!due || due->when > world.now);
    return 0;
  }
  assert_non_null(due);
  assert_true(due->when <= world.now);
  assert_ptr_equal(arg, due);
  assert_int_equal(id, due->id);
  assert_int_equal(when, due->when);
  due->when = NEVER;
  world.popped++;
  if (some(3) == 0) add_or_set(due);
  else if (some(2)) remove_one(due);
  return 1;
}

static void shift(void) {
  const int64_t by = (int64_t)some(world.span * 4) - (int64_t)world.span * 2;
  const torque_err err = torque_deadlines_shift(world.deadlines, by);
  must_be(err, TORQUE_ERR_RESOURCE);
  if (err) return;
  const uint64_t back = by < 0 ? (uint64_t)-by : 0, forth = by > 0 ? (uint64_t)by : 0;
  for (struct one *o = world.one; o < world.one + MOST; o++) {
    if (!o->id || o->when == NEVER) continue;
    o->when = o->when > back ? o->when - back : 0;
    o->when = o->when < NEVER - 1 - forth ? o->when + forth : NEVER - 1;
  }
}

static void run_clock(void) {
  const uint64_t next = torque_deadlines_next(world.deadlines), far = world.span * 100;
  switch (some(40)) {
    case 0: world.now += some(far); break;
    case 1: world.now -= some(world.now < far ? world.now + 1 : far); break;
    case 2: world.now -= world.now > 0; break;
    case 3: world.now = next < NEVER / 2 ? next : world.now; break;
    default: world.now += some(world.span / 8 + 2);
  }
}

static void compare(void) {
  const struct one *const first = first_of_model();
  const uint64_t next = torque_deadlines_next(world.deadlines);
  assert_int_equal(torque_deadlines_count(world.deadlines), set_in_model());
  assert_int_equal(next == NEVER, !first);
  if (first) assert_true(next <= first->when);
  for (int i = 0; i < MOST; i++)
    if (world.one[i].id) assert_int_equal(torque_deadlines_when(world.deadlines, world.one[i].id), world.one[i].when);
}

static void count_and_check(uint32_t id, void *arg, uint64_t when, void *fn_arg) {
  const struct one *const o = arg;
  assert_int_equal(o->id, id);
  assert_int_equal(o->when, when);
  ++*(uint32_t *)fn_arg;
}

static void some_call(void) {
  struct one *const o = &world.one[some(MOST)];
  const uint64_t what = some(1000);
  if (what < 500) add_or_set(o);
  else if (what < 700) remove_one(o);
  else if (what < 703) shift();
  else if (what < 720) compare();
  else if (what < 722) {
    uint32_t n = 0;
    torque_deadlines_each(world.deadlines, count_and_check, &n);
    assert_int_equal(n, set_in_model());
  } else if (what < 725) {
    world.fail_from = world.takes + some(4);
    world.fail_to = world.fail_from + some(30);
  } else {
    if (some(4) == 0) run_clock();
    while (pop() && some(20)) continue;
  }
}

static void live(uint64_t seed, uint64_t start, uint64_t span, uint64_t grid) {
  memset(&world, 0, sizeof world);
  world.seed = seed;
  world.now = start;
  world.span = span;
  world.grid = grid;
  world.fail_from = world.fail_to = NEVER;
  assert_int_equal(torque_deadlines_new(take, give, &world, &world.deadlines), TORQUE_ERR_NONE);
  for (int i = 0; i < STEPS; i++) some_call();
  world.fail_from = NEVER;
  world.now = NEVER;
  while (pop()) continue;
  compare();
  torque_deadlines_free(world.deadlines);
  assert_int_equal(world.blocks, 0);
  assert_true(world.popped > STEPS / 100);
}

static void within_a_tick(void **state) { (void)state, live(7, 5000 * MS, 40000, 1); }
static void from_time_zero(void **state) { (void)state, live(11, 0, 30 * MS, 1000); }
static void within_milliseconds(void **state) { (void)state, live(13, 3600000 * MS, 20 * MS, MS); }
static void within_minutes(void **state) { (void)state, live(17, 1700000000000 * MS, 60000 * MS, 1); }
static void within_years(void **state) { (void)state, live(19, UINT64_C(1) << 60, 100000000000 * MS, 3); }
static void near_the_end_of_time(void **state) { (void)state, live(23, NEVER - 10000000 * MS, 5000 * MS, 1); }
static void without_memory_some_calls_were_refused(void **state) {
  (void)state;
  live(29, 3600000 * MS, 1000 * MS, 1);
  assert_true(world.refused > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(within_a_tick),        cmocka_unit_test(from_time_zero),
      cmocka_unit_test(within_milliseconds),  cmocka_unit_test(within_minutes),
      cmocka_unit_test(within_years),         cmocka_unit_test(near_the_end_of_time),
      cmocka_unit_test(without_memory_some_calls_were_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
