/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of deadlines: whatever request finds none, the call says so and nothing else is lost; all goes back at the end;
 * setting again and again does not pile up. */
#include <libtorque/deadlines.h>

#include <stdlib.h>
#include <string.h>

#include "support/child.h"

#include "support/cmocka.h"

#define MS UINT64_C(1000000)
#define HOUR (3600000 * MS)
#define NEVER UINT64_MAX
enum { SOME = 700, MOST_REQUESTS = 5000 };

static struct {
  uint64_t requests, failing; /* the failing-th request finds nothing; 0: none fails; NEVER: all do */
  uint64_t blocks, bytes, peak;
} memory;

static void *take(size_t size, size_t align, void *arg) {
  assert_ptr_equal(arg, &memory);
  assert_true(align <= _Alignof(max_align_t));
  if (++memory.requests == memory.failing || memory.failing == NEVER) return NULL;
  void *const p = malloc(size);
  if (!p) return NULL;
  memory.blocks++;
  memory.bytes += size;
  if (memory.bytes > memory.peak) memory.peak = memory.bytes;
  return p;
}

static void give(void *ptr, size_t size, void *arg) {
  assert_ptr_equal(arg, &memory);
  memory.blocks--;
  memory.bytes -= size;
  free(ptr);
}

static struct torque_deadlines *fresh(void) {
  struct torque_deadlines *d = NULL;
  memset(&memory, 0, sizeof memory);
  assert_int_equal(torque_deadlines_new(take, give, &memory, &d), TORQUE_ERR_NONE);
  return d;
}

static void all_is_given_back(struct torque_deadlines *d) {
  torque_deadlines_free(d);
  assert_int_equal(memory.blocks, 0);
  assert_int_equal(memory.bytes, 0);
}

static void without_memory_there_is_no_set(void **state) {
  (void)state;
  struct torque_deadlines *untouched = (void *)&memory;
  memset(&memory, 0, sizeof memory);
  memory.failing = NEVER;
  assert_int_equal(torque_deadlines_new(take, give, &memory, &untouched), TORQUE_ERR_RESOURCE);
  assert_ptr_equal(untouched, &memory);
  assert_int_equal(memory.blocks, 0);
}

/* ---- Each request in turn ---- */

static uint32_t refused;

static int was_refused(torque_err err) {
  if (!err) return 0;
  assert_int_equal(err, TORQUE_ERR_RESOURCE);
  assert_int_equal(refused++, 0);
  return 1;
}

/* Later, earlier, beside each other in the past, and all of it again: every place that a deadline can be in. */
static uint64_t time_for(uint64_t i, uint64_t round) {
  const uint64_t mixed = (i * 2654435761u + round * 40503) % 1000;
  switch ((i + round) % 4) {
    case 0: return HOUR + mixed * 60000 * MS;
    case 1: return 10 * MS + mixed * 1000;
    case 2: return mixed;
    default: return 60000 * MS + mixed * MS;
  }
}

static void life(struct torque_deadlines *d, uint32_t *id) {
  uint64_t order = 0, when;
  for (uint64_t i = 0; i < SOME; i++)
    while (was_refused(torque_deadlines_add(d, time_for(i, 0), &id[i], &id[i]))) assert_int_equal(id[i], 0);
  for (uint64_t round = 1; round < 4; round++)
    for (uint64_t i = 0; i < SOME; i++)
      while (was_refused(torque_deadlines_set(d, id[i], time_for(i, round))))
        assert_int_equal(torque_deadlines_when(d, id[i]), time_for(i, round - 1));
  while (was_refused(torque_deadlines_shift(d, -5))) assert_int_equal(torque_deadlines_count(d), SOME);
  uint32_t n = 0, which;
  void *arg;
  for (uint64_t now = 0; now < 20 * HOUR; now += now < HOUR ? 5000 * MS : HOUR) {
    while (torque_deadlines_pop(d, now, &which, &arg, &when)) {
      assert_ptr_equal(arg, &id[(uint32_t *)arg - id]);
      assert_int_equal(*(uint32_t *)arg, which);
      assert_true(when >= order && when <= now);
      order = when;
      n++;
    }
    assert_true(torque_deadlines_next(d) > now);
  }
  assert_int_equal(n, SOME);
}

static void whichever_request_fails_the_call_says_so_and_nothing_is_lost(void **state) {
  (void)state;
  static uint32_t id[SOME];
  uint64_t nth = 1;
  int met = 1;
  for (; met && nth < MOST_REQUESTS; nth++) {
    struct torque_deadlines *const d = fresh();
    memory.failing = memory.requests + nth;
    memset(id, 0, sizeof id);
    refused = 0;
    life(d, id);
    met = memory.requests >= memory.failing;
    all_is_given_back(d);
  }
  assert_true(nth > 10 && nth < MOST_REQUESTS);
}

static void what_there_is_still_comes_in_order_when_there_is_no_more_memory(void **state) {
  (void)state;
  static uint32_t id[SOME];
  struct torque_deadlines *const d = fresh();
  for (uint64_t i = 0; i < SOME; i++)
    assert_int_equal(torque_deadlines_add(d, HOUR + i * 7919 % SOME * 100, NULL, &id[i]), TORQUE_ERR_NONE);
  memory.failing = NEVER;
  for (uint64_t i = 0; i < SOME; i += 2) assert_int_equal(torque_deadlines_set(d, id[i], 2 * HOUR + i), TORQUE_ERR_NONE);
  for (uint64_t i = 1; i < SOME; i += 4) assert_int_equal(torque_deadlines_remove(d, id[i]), TORQUE_ERR_NONE);
  uint64_t last = 0, when;
  uint32_t n = 0;
  for (; torque_deadlines_pop(d, 3 * HOUR, NULL, NULL, &when); n++, last = when) assert_true(when > last);
  assert_int_equal(n, SOME / 2 + SOME / 4);
  all_is_given_back(d);
}

static void moving_all_to_the_beginning_of_time_needs_memory(void **state) {
  (void)state;
  uint32_t id[SOME];
  struct torque_deadlines *const d = fresh();
  for (uint64_t i = 0; i < SOME; i++) assert_int_equal(torque_deadlines_add(d, HOUR + i, NULL, &id[i]), TORQUE_ERR_NONE);
  memory.failing = NEVER;
  assert_int_equal(torque_deadlines_shift(d, INT64_MIN), TORQUE_ERR_RESOURCE);
  for (uint64_t i = 0; i < SOME; i++) assert_int_equal(torque_deadlines_when(d, id[i]), HOUR + i);
  assert_int_equal(torque_deadlines_pop(d, HOUR - 1, NULL, NULL, NULL), 0);
  memory.failing = 0;
  assert_int_equal(torque_deadlines_shift(d, INT64_MIN), TORQUE_ERR_NONE);
  for (uint64_t i = 0; i < SOME; i++) {
    uint32_t got;
    assert_int_equal(torque_deadlines_pop(d, 0, &got, NULL, NULL), 1);
    assert_int_equal(got, id[i]);
  }
  all_is_given_back(d);
}

/* Some are set once, some are unset meanwhile, and some are set again and again, earlier each time, so that what is there
 * for the last time cannot serve for the next. */
static void setting_again_and_again_piles_up_nothing_and_loses_nothing(void **state) {
  (void)state;
  enum { FEW = 100, TIMES = 300000, ALL = 3 * FEW };
  uint32_t id[ALL];
  uint64_t when[ALL], seed = 5;
  struct torque_deadlines *const d = fresh();
  for (uint64_t i = 0; i < ALL; i++) {
    when[i] = 5 * HOUR + i * 100000 * MS;
    assert_int_equal(torque_deadlines_add(d, when[i], &when[i], &id[i]), TORQUE_ERR_NONE);
  }
  for (int i = FEW; i < 2 * FEW; i++) assert_int_equal(torque_deadlines_set(d, id[i], NEVER), TORQUE_ERR_NONE);
  for (uint64_t i = 0; i < TIMES; i++) {
    const uint64_t which = next_random(&seed) % FEW;
    when[which] = 5 * HOUR - i * 50 * MS;
    if (i % 3) assert_int_equal(torque_deadlines_set(d, id[which], when[which]), TORQUE_ERR_NONE);
    else {
      assert_int_equal(torque_deadlines_remove(d, id[which]), TORQUE_ERR_NONE);
      assert_int_equal(torque_deadlines_add(d, when[which], &when[which], &id[which]), TORQUE_ERR_NONE);
    }
  }
  assert_true(memory.peak < 1200000); /* a piece for each time would be 4.8 MB */
  for (int i = FEW; i < 2 * FEW; i++) {
    when[i] += MS;
    assert_int_equal(torque_deadlines_set(d, id[i], when[i]), TORQUE_ERR_NONE);
  }
  uint64_t due;
  void *which;
  for (int i = 0; i < ALL; i++) {
    assert_int_equal(torque_deadlines_pop(d, 99 * HOUR, NULL, &which, &due), 1);
    assert_int_equal(*(uint64_t *)which, due);
  }
  assert_int_equal(torque_deadlines_pop(d, NEVER, NULL, NULL, NULL), 0);
  all_is_given_back(d);
}

static void a_refused_deadline_uses_up_no_id(void **state) {
  (void)state;
  enum { TIMES = 1000 };
  uint32_t id = 0;
  struct torque_deadlines *const d = fresh();
  assert_int_equal(torque_deadlines_add(d, NEVER, NULL, &id), TORQUE_ERR_NONE); /* takes memory for ids, none for a time */
  memory.failing = NEVER;
  for (int i = 0; i < TIMES; i++) assert_int_equal(torque_deadlines_add(d, HOUR, NULL, &id), TORQUE_ERR_RESOURCE);
  memory.failing = 0;
  assert_int_equal(torque_deadlines_add(d, HOUR, NULL, &id), TORQUE_ERR_NONE);
  assert_true(id < 10);
  all_is_given_back(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_memory_there_is_no_set),
      cmocka_unit_test(whichever_request_fails_the_call_says_so_and_nothing_is_lost),
      cmocka_unit_test(what_there_is_still_comes_in_order_when_there_is_no_more_memory),
      cmocka_unit_test(moving_all_to_the_beginning_of_time_needs_memory),
      cmocka_unit_test(setting_again_and_again_piles_up_nothing_and_loses_nothing),
      cmocka_unit_test(a_refused_deadline_uses_up_no_id),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
