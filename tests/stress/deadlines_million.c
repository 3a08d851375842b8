/* SPDX-License-Identifier: BSD-3-Clause */
/* A million deadlines, added, set anew, partly removed, and taken out: all that are left come, in order, never early, each
 * once. In steps of a clock that runs, at once, and after the clock was set back. */
#include <libtorque/deadlines.h>

#include <stdlib.h>

#include "support/child.h"
#include "support/context.h"

#include "support/cmocka.h"

enum { MILLION = FEWER(1000000) };
#define SECOND UINT64_C(1000000000)
#define START (1000000 * SECOND)

struct one {
  uint32_t id;
  uint64_t when; /* 0: not to come any more */
};

static struct torque_deadlines *deadlines;
static struct one *ones;
static uint32_t wanted;
static uint64_t seed;

static void draw(struct one *o) { o->when = START + next_random(&seed) % (100 * SECOND); }

static int up(void **state) {
  (void)state;
  seed = 4711;
  wanted = MILLION;
  ones = calloc(MILLION, sizeof *ones);
  return ones ? torque_deadlines_new(NULL, NULL, NULL, &deadlines) : -1;
}

static int down(void **state) {
  (void)state;
  torque_deadlines_free(deadlines);
  free(ones);
  return 0;
}

static void set_them(void) {
  for (struct one *o = ones; o < ones + MILLION; o++) {
    draw(o);
    assert_int_equal(torque_deadlines_add(deadlines, o->when, o, &o->id), TORQUE_ERR_NONE);
  }
  for (struct one *o = ones; o < ones + MILLION; o++) {
    draw(o);
    assert_int_equal(torque_deadlines_set(deadlines, o->id, o->when), TORQUE_ERR_NONE);
  }
}

static void remove_every_third(void) {
  for (uint32_t i = 0; i < MILLION; i += 3) {
    assert_int_equal(torque_deadlines_remove(deadlines, ones[i].id), TORQUE_ERR_NONE);
    ones[i].when = 0;
    wanted--;
  }
  assert_int_equal(torque_deadlines_count(deadlines), wanted);
}

/* Every step; returns how many came. The last time is kept across calls. */
static uint32_t take_due(uint64_t now, uint64_t *last) {
  uint32_t n = 0, id;
  uint64_t when;
  void *arg;
  for (; torque_deadlines_pop(deadlines, now, &id, &arg, &when); n++) {
    struct one *const o = arg;
    if (o->id != id || o->when != when || when > now || when < *last) fail_msg("id %u at %llu", id, (unsigned long long)when);
    *last = when;
    o->when = 0;
  }
  if (torque_deadlines_next(deadlines) <= now) fail_msg("next() is not after %llu", (unsigned long long)now);
  return n;
}

static void none_is_left(uint32_t came) {
  assert_int_equal(came, wanted);
  assert_int_equal(torque_deadlines_count(deadlines), 0);
  for (uint32_t i = 0; i < MILLION; i++) assert_int_equal(ones[i].when, 0);
}

static void come_as_the_clock_runs(void **state) {
  (void)state;
  uint64_t last = 0;
  uint32_t came = 0;
  set_them();
  remove_every_third();
  for (uint64_t now = START - SECOND; now < START + 101 * SECOND; now += SECOND / 50) came += take_due(now, &last);
  none_is_left(came);
}

static void come_at_once(void **state) {
  (void)state;
  uint64_t last = 0;
  set_them();
  remove_every_third();
  none_is_left(take_due(START + 200 * SECOND, &last));
}

static void come_when_next_says(void **state) {
  (void)state;
  uint64_t last = 0;
  uint32_t came = 0, looks = 0;
  set_them();
  remove_every_third();
  for (uint64_t now; (now = torque_deadlines_next(deadlines)) != UINT64_MAX; looks++) came += take_due(now, &last);
  none_is_left(came);
  assert_true(looks < wanted + wanted / 10); /* a look for each time, and few for nothing */
}

static void come_after_the_clock_was_set_back_and_all_were_moved(void **state) {
  (void)state;
  uint64_t last = 0;
  set_them();
  assert_int_equal(torque_deadlines_pop(deadlines, START - 1, NULL, NULL, NULL), 0);
  assert_int_equal(torque_deadlines_shift(deadlines, -(int64_t)(500000 * SECOND)), TORQUE_ERR_NONE);
  for (struct one *o = ones; o < ones + MILLION; o++) o->when -= 500000 * SECOND;
  const uint32_t came = take_due(START - 500000 * SECOND + 50 * SECOND, &last);
  assert_true(came > MILLION / 3 && came < MILLION / 3 * 2);
  assert_int_equal(torque_deadlines_pop(deadlines, SECOND, NULL, NULL, NULL), 0);
  none_is_left(came + take_due(START, &last));
}

#define ONE(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void) {
  const struct CMUnitTest tests[] = {
      ONE(come_as_the_clock_runs),
      ONE(come_at_once),
      ONE(come_when_next_says),
      ONE(come_after_the_clock_was_set_back_and_all_were_moved),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
