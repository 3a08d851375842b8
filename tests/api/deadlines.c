/* SPDX-License-Identifier: BSD-3-Clause */
/* What each call of the deadlines does: order, ids, what stays after a deadline was taken out, clocks that jump. */
#include <libtorque/deadlines.h>

#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"

#define MS UINT64_C(1000000)
#define HOUR (3600000 * MS)
#define NEVER UINT64_MAX

static struct torque_deadlines *deadlines;
static int anything[64];

static int up(void **state) {
  (void)state;
  return torque_deadlines_new(NULL, NULL, NULL, &deadlines);
}

static int down(void **state) {
  (void)state;
  torque_deadlines_free(deadlines);
  return 0;
}

static uint32_t add(uint64_t when, void *arg) {
  uint32_t id = 0;
  assert_int_equal(torque_deadlines_add(deadlines, when, arg, &id), TORQUE_ERR_NONE);
  assert_true(id >= 1 && id < 1u << 31);
  return id;
}

static void set(uint32_t id, uint64_t when) {
  assert_int_equal(torque_deadlines_set(deadlines, id, when), TORQUE_ERR_NONE);
  assert_int_equal(torque_deadlines_when(deadlines, id), when);
}

static void give_back(uint32_t id) { assert_int_equal(torque_deadlines_remove(deadlines, id), TORQUE_ERR_NONE); }

static void none_is_due(uint64_t now) {
  uint32_t id = 17;
  void *arg = &id;
  uint64_t when = 18;
  assert_int_equal(torque_deadlines_pop(deadlines, now, &id, &arg, &when), 0);
  assert_int_equal(id, 17);
  assert_ptr_equal(arg, &id);
  assert_int_equal(when, 18);
}

static void comes(uint64_t now, uint32_t id, uint64_t when) {
  uint32_t got_id = 0;
  uint64_t got_when = 0;
  assert_int_equal(torque_deadlines_pop(deadlines, now, &got_id, NULL, &got_when), 1);
  assert_int_equal(got_id, id);
  assert_int_equal(got_when, when);
}

static void nothing_is_there_at_first(void **state) {
  (void)state;
  assert_int_equal(torque_deadlines_count(deadlines), 0);
  assert_int_equal(torque_deadlines_next(deadlines), NEVER);
  none_is_due(NEVER);
  none_is_due(0);
}

static void parameters_are_checked(void **state) {
  (void)state;
  struct torque_deadlines *untouched = deadlines;
  torque_alloc_take_fn *take = (torque_alloc_take_fn *)(uintptr_t)malloc;
  torque_alloc_give_fn *give = (torque_alloc_give_fn *)(uintptr_t)free;
  assert_int_equal(torque_deadlines_new(NULL, NULL, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_deadlines_new(take, NULL, NULL, &untouched), TORQUE_ERR_INVAL);
  assert_int_equal(torque_deadlines_new(NULL, give, NULL, &untouched), TORQUE_ERR_INVAL);
  assert_ptr_equal(untouched, deadlines);

  uint32_t id = 5;
  assert_int_equal(torque_deadlines_add(NULL, 1, NULL, &id), TORQUE_ERR_INVAL);
  assert_int_equal(torque_deadlines_add(deadlines, 1, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(id, 5);
  assert_int_equal(torque_deadlines_set(NULL, 1, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_deadlines_remove(NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_deadlines_when(NULL, 1), NEVER);
  assert_int_equal(torque_deadlines_pop(NULL, NEVER, &id, NULL, NULL), 0);
  assert_int_equal(torque_deadlines_next(NULL), NEVER);
  assert_int_equal(torque_deadlines_count(NULL), 0);
  assert_int_equal(torque_deadlines_shift(NULL, 1), TORQUE_ERR_INVAL);
  torque_deadlines_each(NULL, NULL, NULL);
  torque_deadlines_each(deadlines, NULL, NULL);
  torque_deadlines_free(NULL);
  assert_int_equal(torque_deadlines_count(deadlines), 0);
}

static void comes_at_its_time_and_not_before(void **state) {
  (void)state;
  static const uint64_t times[] = {0, 1, 65535, 65536, 5 * MS, HOUR, UINT64_C(1) << 63, NEVER - 1};
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    const uint32_t id = add(times[i], &anything[i]);
    assert_int_equal(torque_deadlines_when(deadlines, id), times[i]);
    assert_int_equal(torque_deadlines_count(deadlines), 1);
    if (times[i]) none_is_due(times[i] - 1);
    assert_int_equal(torque_deadlines_next(deadlines), times[i]);
    void *arg = NULL;
    assert_int_equal(torque_deadlines_pop(deadlines, times[i], NULL, &arg, NULL), 1);
    assert_ptr_equal(arg, &anything[i]);
    assert_int_equal(torque_deadlines_count(deadlines), 0);
    assert_int_equal(torque_deadlines_next(deadlines), NEVER);
    none_is_due(NEVER);
    give_back(id);
  }
}

static void a_late_look_finds_all_in_order(void **state) {
  (void)state;
  const uint32_t c = add(3 * MS, NULL), a = add(1, NULL), d = add(HOUR, NULL), b = add(2 * MS, NULL);
  comes(2 * HOUR, a, 1);
  comes(2 * HOUR, b, 2 * MS);
  comes(2 * HOUR, c, 3 * MS);
  comes(2 * HOUR, d, HOUR);
  none_is_due(2 * HOUR);
}

static void what_is_set_while_others_are_due_takes_its_place_among_them(void **state) {
  (void)state;
  const uint32_t a = add(MS, NULL), c = add(3 * MS, NULL);
  comes(HOUR, a, MS);
  const uint32_t b = add(2 * MS, NULL);
  set(a, 4 * MS);
  comes(HOUR, b, 2 * MS);
  comes(HOUR, c, 3 * MS);
  comes(HOUR, a, 4 * MS);
  none_is_due(HOUR);
}

static void equal_ones_come_as_they_were_set(void **state) {
  (void)state;
  enum { EQUAL = 50 };
  uint32_t id[EQUAL];
  for (int i = 0; i < EQUAL; i++) id[i] = add(i % 3 ? HOUR : NEVER, NULL);
  for (int i = 0; i < EQUAL; i += 3) set(id[i], HOUR);
  set(id[1], HOUR); /* setting anew is setting */
  for (int i = 2; i < EQUAL; i++)
    if (i % 3) comes(HOUR, id[i], HOUR);
  for (int i = 0; i < EQUAL; i += 3) comes(HOUR, id[i], HOUR);
  comes(HOUR, id[1], HOUR);
  none_is_due(HOUR);
}

static void moves_to_an_earlier_and_to_a_later_time(void **state) {
  (void)state;
  const uint32_t a = add(10 * MS, NULL), b = add(20 * MS, NULL);
  set(b, 5 * MS);
  assert_int_equal(torque_deadlines_next(deadlines), 5 * MS);
  set(b, 15 * MS);
  set(a, 17 * MS);
  assert_int_equal(torque_deadlines_count(deadlines), 2);
  none_is_due(15 * MS - 1);
  comes(HOUR, b, 15 * MS);
  comes(HOUR, a, 17 * MS);
  none_is_due(HOUR);
}

static void an_id_outlives_its_deadline(void **state) {
  (void)state;
  const uint32_t id = add(MS, &anything[0]);
  for (uint64_t when = MS; when < 100 * MS; when += MS) {
    comes(when, id, when);
    assert_int_equal(torque_deadlines_when(deadlines, id), NEVER);
    assert_int_not_equal(add(HOUR, NULL), id);
    set(id, when + MS);
  }
  give_back(id);
  none_is_due(HOUR - 1);
}

static void never_unsets(void **state) {
  (void)state;
  const uint32_t a = add(NEVER, &anything[1]), b = add(MS, NULL);
  assert_int_equal(torque_deadlines_count(deadlines), 1);
  set(b, NEVER);
  set(b, NEVER);
  assert_int_equal(torque_deadlines_count(deadlines), 0);
  assert_int_equal(torque_deadlines_next(deadlines), NEVER);
  none_is_due(NEVER);
  set(b, MS);
  set(a, MS);
  comes(MS, b, MS);
  comes(MS, a, MS);
  give_back(a);
  give_back(b);
}

static void is_refused(uint32_t id) {
  assert_int_equal(torque_deadlines_set(deadlines, id, MS), TORQUE_ERR_INVAL);
  assert_int_equal(torque_deadlines_set(deadlines, id, NEVER), TORQUE_ERR_INVAL);
  assert_int_equal(torque_deadlines_remove(deadlines, id), TORQUE_ERR_INVAL);
  assert_int_equal(torque_deadlines_when(deadlines, id), NEVER);
}

static void ids_that_nobody_has_are_refused(void **state) {
  (void)state;
  is_refused(0);
  is_refused(1);
  const uint32_t set_one = add(MS, NULL), unset_one = add(NEVER, NULL), due_one = add(0, NULL);
  comes(0, due_one, 0);
  give_back(set_one);
  give_back(unset_one);
  give_back(due_one);
  is_refused(set_one);
  is_refused(unset_one);
  is_refused(due_one);
  is_refused(0);
  is_refused(due_one + 1);
  is_refused(1u << 31);
  is_refused(UINT32_MAX);
  none_is_due(NEVER);
}

static void ids_are_given_out_again(void **state) {
  (void)state;
  enum { MANY = 500 };
  uint32_t id[MANY], largest = 0;
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < MANY; i++) {
      id[i] = add(HOUR + (uint64_t)(i * 7919 % MANY) * MS, NULL);
      if (round == 0 && id[i] > largest) largest = id[i];
      assert_true(id[i] <= largest);
    }
    assert_int_equal(torque_deadlines_count(deadlines), MANY);
    for (int i = 0; i < MANY; i++) give_back(id[(i + round) % MANY]);
    assert_int_equal(torque_deadlines_count(deadlines), 0);
  }
  none_is_due(NEVER);
}

static void who_gets_a_used_id_has_only_his_own_deadline(void **state) {
  (void)state;
  const uint32_t old = add(10 * MS, &anything[0]);
  give_back(old);
  const uint32_t later = add(20 * MS, &anything[1]);
  assert_int_equal(later, old);
  none_is_due(20 * MS - 1);
  give_back(later);
  const uint32_t earlier = add(25 * MS, &anything[2]);
  assert_int_equal(earlier, old);
  set(earlier, 22 * MS);
  void *arg = NULL;
  assert_int_equal(torque_deadlines_pop(deadlines, HOUR, NULL, &arg, NULL), 1);
  assert_ptr_equal(arg, &anything[2]);
  none_is_due(NEVER);
}

static void next_is_later_after_a_look_that_found_nothing(void **state) {
  (void)state;
  enum { CROWD = 1000 };
  uint32_t id[CROWD];
  for (int i = 0; i < CROWD; i++) id[i] = add(HOUR + (uint64_t)i * 1000, NULL);
  for (int i = 0; i < CROWD - 1; i++)
    if (i % 2) give_back(id[i]);
    else set(id[i], 3 * HOUR);
  uint64_t next = torque_deadlines_next(deadlines);
  for (int looks = 0; next < HOUR + (CROWD - 1) * 1000; looks++) {
    assert_true(looks < CROWD);
    none_is_due(next);
    const uint64_t then = torque_deadlines_next(deadlines);
    assert_true(then > next);
    next = then;
  }
  assert_int_equal(next, HOUR + (CROWD - 1) * 1000);
  comes(next, id[CROWD - 1], next);
}

static void results_may_be_left_out(void **state) {
  (void)state;
  add(1, NULL);
  add(2, NULL);
  assert_int_equal(torque_deadlines_pop(deadlines, 2, NULL, NULL, NULL), 1);
  assert_int_equal(torque_deadlines_pop(deadlines, 2, NULL, NULL, NULL), 1);
  assert_int_equal(torque_deadlines_pop(deadlines, 2, NULL, NULL, NULL), 0);
}

static void all_move_together(void **state) {
  (void)state;
  const uint32_t a = add(10 * MS, NULL), b = add(HOUR, NULL), unset = add(NEVER, NULL), c = add(HOUR, NULL);
  assert_int_equal(torque_deadlines_shift(deadlines, -5000000), TORQUE_ERR_NONE);
  assert_int_equal(torque_deadlines_when(deadlines, a), 5 * MS);
  assert_int_equal(torque_deadlines_when(deadlines, unset), NEVER);
  assert_int_equal(torque_deadlines_next(deadlines), 5 * MS);
  none_is_due(5 * MS - 1);
  comes(5 * MS, a, 5 * MS);
  assert_int_equal(torque_deadlines_shift(deadlines, (int64_t)HOUR), TORQUE_ERR_NONE);
  none_is_due(2 * HOUR - 5 * MS - 1);
  comes(2 * HOUR, b, 2 * HOUR - 5 * MS);
  comes(2 * HOUR, c, 2 * HOUR - 5 * MS);
  none_is_due(NEVER);
}

static void moving_stops_at_the_ends(void **state) {
  (void)state;
  const uint32_t a = add(HOUR, NULL), b = add(MS, NULL), c = add(NEVER - 5, NULL);
  assert_int_equal(torque_deadlines_shift(deadlines, INT64_MAX), TORQUE_ERR_NONE);
  assert_int_equal(torque_deadlines_when(deadlines, c), NEVER - 1);
  assert_int_equal(torque_deadlines_when(deadlines, a), HOUR + (uint64_t)INT64_MAX);
  assert_int_equal(torque_deadlines_shift(deadlines, INT64_MIN), TORQUE_ERR_NONE);
  assert_int_equal(torque_deadlines_when(deadlines, a), HOUR - 1);
  assert_int_equal(torque_deadlines_shift(deadlines, INT64_MIN), TORQUE_ERR_NONE);
  comes(0, a, 0); /* equal now, so in the order in which they were set */
  comes(0, b, 0);
  comes(0, c, 0);
}

static void a_clock_that_is_set_back_loses_nothing(void **state) {
  (void)state;
  enum { SPREAD = 300 };
  uint32_t id[SPREAD];
  for (int i = 0; i < SPREAD; i++) id[i] = add(10 * HOUR + (uint64_t)i * 30 * MS, NULL);
  for (int i = 0; i < SPREAD / 2; i++) comes(10 * HOUR + SPREAD / 2 * 30 * MS, id[i], 10 * HOUR + (uint64_t)i * 30 * MS);
  none_is_due(HOUR); /* back by nine hours */
  for (int i = 0; i < SPREAD / 2; i++) set(id[i], HOUR + (uint64_t)(SPREAD - i) * MS);
  assert_int_equal(torque_deadlines_next(deadlines), HOUR + (SPREAD / 2 + 1) * MS);
  for (int i = SPREAD / 2; i-- > 0;) comes(9 * HOUR, id[i], HOUR + (uint64_t)(SPREAD - i) * MS);
  none_is_due(HOUR);
  for (int i = SPREAD / 2; i < SPREAD; i++) comes(11 * HOUR, id[i], 10 * HOUR + (uint64_t)i * 30 * MS);
  none_is_due(NEVER);
}

static void nor_does_one_that_jitters(void **state) {
  (void)state;
  const uint32_t id = add(HOUR, NULL);
  for (uint64_t now = HOUR - 100 * MS; now < HOUR - 5 * MS; now += 3 * MS) {
    none_is_due(now);
    none_is_due(now - 2 * MS);
    const uint32_t other = add(now + MS, NULL);
    none_is_due(now);
    comes(now + MS, other, now + MS);
    give_back(other);
  }
  comes(HOUR, id, HOUR);
}

static struct {
  uint32_t calls, again;
  uint32_t ids[64];
  uint64_t when_sum;
  int wrong;
} visited;

static void visit(uint32_t id, void *arg, uint64_t when, void *fn_arg) {
  if (fn_arg != &visited || arg != &anything[when / MS]) visited.wrong++;
  visited.when_sum += when;
  visited.ids[visited.calls++ % 64] = id;
}

static void each_visits_those_that_are_set(void **state) {
  (void)state;
  memset(&visited, 0, sizeof visited);
  const uint32_t a = add(1 * MS, &anything[1]), b = add(2 * MS, &anything[2]), c = add(3 * MS, &anything[3]);
  add(NEVER, NULL);
  const uint32_t d = add(4 * MS, &anything[4]);
  comes(MS, a, MS);
  give_back(b);
  torque_deadlines_each(deadlines, visit, &visited);
  assert_int_equal(visited.wrong, 0);
  assert_int_equal(visited.calls, 2);
  assert_int_equal(visited.when_sum, 7 * MS);
  assert_true((visited.ids[0] == c && visited.ids[1] == d) || (visited.ids[0] == d && visited.ids[1] == c));
}

static void visit_and_change(uint32_t id, void *arg, uint64_t when, void *fn_arg) {
  (void)fn_arg;
  visited.calls++;
  uint32_t fresh;
  if (arg == &anything[1]) visited.wrong += torque_deadlines_remove(deadlines, id) != 0;
  if (arg == &anything[2]) visited.wrong += torque_deadlines_set(deadlines, id, when + HOUR) != 0;
  if (arg == &anything[3]) visited.wrong += torque_deadlines_set(deadlines, id, NEVER) != 0;
  if (arg && visited.calls < 1000) visited.wrong += torque_deadlines_add(deadlines, 5 * HOUR, NULL, &fresh) != 0;
}

static void each_may_change_everything(void **state) {
  (void)state;
  memset(&visited, 0, sizeof visited);
  for (int i = 0; i < 150; i++) add(MS, &anything[1 + i % 3]);
  torque_deadlines_each(deadlines, visit_and_change, NULL);
  assert_int_equal(visited.wrong, 0);
  assert_true(visited.calls >= 150);
  assert_int_equal(torque_deadlines_count(deadlines), 50 + 150);
  none_is_due(MS);
  for (int i = 0; i < 50; i++) assert_int_equal(torque_deadlines_pop(deadlines, MS + HOUR, NULL, NULL, NULL), 1);
  none_is_due(MS + HOUR);
  for (int i = 0; i < 150; i++) assert_int_equal(torque_deadlines_pop(deadlines, 5 * HOUR, NULL, NULL, NULL), 1);
  none_is_due(NEVER);
}

static void sets_have_nothing_to_do_with_each_other(void **state) {
  (void)state;
  struct torque_deadlines *const first = deadlines;
  assert_int_equal(torque_deadlines_new(NULL, NULL, NULL, &deadlines), TORQUE_ERR_NONE);
  struct torque_deadlines *const second = deadlines;
  add(MS, &anything[2]);
  deadlines = first;
  add(2 * MS, &anything[1]);
  void *arg = NULL;
  assert_int_equal(torque_deadlines_pop(first, MS, NULL, &arg, NULL), 0);
  assert_int_equal(torque_deadlines_pop(second, MS, NULL, &arg, NULL), 1);
  assert_ptr_equal(arg, &anything[2]);
  torque_deadlines_free(second);
  assert_int_equal(torque_deadlines_pop(first, 2 * MS, NULL, &arg, NULL), 1);
  assert_ptr_equal(arg, &anything[1]);
}

#define ONE(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void) {
  const struct CMUnitTest tests[] = {
      ONE(nothing_is_there_at_first),
      ONE(parameters_are_checked),
      ONE(comes_at_its_time_and_not_before),
      ONE(a_late_look_finds_all_in_order),
      ONE(what_is_set_while_others_are_due_takes_its_place_among_them),
      ONE(equal_ones_come_as_they_were_set),
      ONE(moves_to_an_earlier_and_to_a_later_time),
      ONE(an_id_outlives_its_deadline),
      ONE(never_unsets),
      ONE(ids_that_nobody_has_are_refused),
      ONE(ids_are_given_out_again),
      ONE(who_gets_a_used_id_has_only_his_own_deadline),
      ONE(next_is_later_after_a_look_that_found_nothing),
      ONE(results_may_be_left_out),
      ONE(all_move_together),
      ONE(moving_stops_at_the_ends),
      ONE(a_clock_that_is_set_back_loses_nothing),
      ONE(nor_does_one_that_jitters),
      ONE(each_visits_those_that_are_set),
      ONE(each_may_change_everything),
      ONE(sets_have_nothing_to_do_with_each_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
