/* SPDX-License-Identifier: BSD-3-Clause */
/* A million timers at once are an ordinary case: all can be set, re-set, cancelled and removed, those that are due fire,
 * and the memory for them goes back to the system. */
#include "support/child.h"
#include "support/context.h"

#include <stdlib.h>

#include "support/cmocka.h"

enum { MILLION = FEWER(1000000) };
#define HOUR (3600ull * 1000000000)

static torque_source *timers;
static _Atomic uint64_t calls, wrong;

static void fired(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  if (expirations != 1 || arg != &calls) atomic_fetch_add(&wrong, 1);
  atomic_fetch_add(&calls, 1);
}

static uint64_t gauge(struct fixture *f, uint32_t which) {
  uint64_t sum = 0;
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
    uint64_t value = 0;
    assert_int_equal(torque_stats_gauge(f->ctx, d, which, &value), 0);
    sum += value;
  }
  return sum;
}

static uint64_t set_them(struct fixture *f) {
  uint64_t seed = 99;
  const uint64_t before = gauge(f, TORQUE_GAUGE_MEMORY);
  for (int i = 0; i < MILLION; i++) {
    assert_int_equal(
        torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, fired, (void *)(uintptr_t)&calls, &timers[i]), 0);
    assert_int_equal(torque_timer_set(timers[i], HOUR + next_random(&seed) % HOUR, 0, 0), 0);
  }
  assert_int_equal(gauge(f, TORQUE_GAUGE_TIMERS), MILLION);
  return before;
}

static void set_then_cancelled_then_removed(void **state) {
  struct fixture *f = *state;
  const uint64_t before = set_them(f);
  const uint64_t peak = gauge(f, TORQUE_GAUGE_MEMORY);
  for (int i = 0; i < MILLION; i++) assert_int_equal(torque_timer_cancel(timers[i]), 0);
  assert_int_equal(gauge(f, TORQUE_GAUGE_TIMERS), 0);
  for (int i = 0; i < MILLION; i++) assert_int_equal(torque_source_remove(timers[i]), 0);
  fixture_settle(f);
  assert_int_equal(gauge(f, TORQUE_GAUGE_SOURCES), 0);
  assert_true(peak > before);
  assert_true(gauge(f, TORQUE_GAUGE_MEMORY) < before + (peak - before) / 4);
  assert_int_equal(calls, 0);
}

static void moved_nearer_and_all_fire(void **state) {
  struct fixture *f = *state;
  uint64_t seed = 3;
  (void)set_them(f);
  for (int i = 0; i < MILLION; i++)
    assert_int_equal(torque_timer_set(timers[i], next_random(&seed) % 200000000, 0, TORQUE_TIMER_REMOVE), 0);
  AWAIT(f, calls == MILLION);
  fixture_settle(f);
  assert_int_equal(calls, MILLION);
  assert_int_equal(wrong, 0);
  assert_int_equal(gauge(f, TORQUE_GAUGE_TIMERS), 0);
  AWAIT(f, gauge(f, TORQUE_GAUGE_SOURCES) == 0);
}

static void left_behind_when_the_context_stops(void **state) {
  struct fixture *f = *state;
  (void)set_them(f);
  fixture_stop(f);
  assert_int_equal(calls, 0);
}

static int up(void **state) {
  atomic_store(&calls, 0), atomic_store(&wrong, 0);
  timers = calloc(MILLION, sizeof *timers);
  return timers ? fixture_up(state) : -1;
}

static int down(void **state) {
  const int err = fixture_down(state);
  free(timers);
  return err;
}

#define MANY_ON(which, test) {#test " on " #which, test, up, down, (void *)(uintptr_t)&shape_##which}
/* Memory of the caller's allocator stays until the context goes: the gauge is asked of the library's own. */
static const struct shape shape_own_driven = {.name = "own_driven", .driven = 1};
static const struct shape shape_own_many = {.name = "own_many", .synthetic = "pack:1 l3:2 core:4 pu:1"};

int main(void) {
  const struct CMUnitTest tests[] = {
      MANY_ON(own_driven, set_then_cancelled_then_removed), MANY_ON(own_many, set_then_cancelled_then_removed),
      MANY_ON(driven, moved_nearer_and_all_fire),           MANY_ON(synthetic, moved_nearer_and_all_fire),
      MANY_ON(live, left_behind_when_the_context_stops),    MANY_ON(driven, left_behind_when_the_context_stops),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
