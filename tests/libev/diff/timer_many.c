/* SPDX-License-Identifier: BSD-3-Clause */
/* Many timers at once, and the promise that none is early. */
#include "narrate.h"

enum { MANY = 10000 };

static struct one {
  ev_timer timer;
  double due; /* after the common start */
  int calls;
  int left_out;
} many[MANY];

static int fired;
static int out_of_order;
static int unexpected;
static double last_due;

static uint32_t next_random(void) {
  static uint64_t seed = 88172645463325252u;
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (uint32_t)(seed >> 32);
}

static void count(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)loop;
  struct one *one = (struct one *)w;
  fired++;
  one->calls++;
  out_of_order += one->due < last_due;
  unexpected += one->left_out || revents != EV_TIMER;
  last_due = one->due;
}

/* Times that differ, in random order: from `first` on, one every `step`. */
static void random_times(double first, double step) {
  for (int i = 0; i < MANY; i++) many[i] = (struct one){.due = first + step * i};
  for (int i = MANY - 1; i > 0; i--) {
    int other = (int)(next_random() % (uint32_t)(i + 1));
    double due = many[i].due;
    many[i].due = many[other].due;
    many[other].due = due;
  }
  last_due = -1e9;
  fired = out_of_order = unexpected = 0;
}

static void start_all(struct ev_loop *loop) {
  for (int i = 0; i < MANY; i++) {
    ev_timer_init(&many[i].timer, count, many[i].due, 0.);
    ev_timer_start(loop, &many[i].timer);
  }
}

static void report(void) {
  int wrong_calls = 0, active = 0;
  for (int i = 0; i < MANY; i++) {
    wrong_calls += many[i].calls != !many[i].left_out;
    active += ev_is_active(&many[i].timer) != 0 || ev_is_pending(&many[i].timer) != 0;
  }
  trace("fired %d, out of order %d, unexpected %d, called not just once %d, still active %d", fired, out_of_order,
        unexpected, wrong_calls, active);
}

CASE(timers_ten_thousand_due_at_once_fire_in_order) {
  struct ev_loop *loop = new_loop(0);
  random_times(-20., 1e-3);
  start_all(loop);
  trace("turn %d", turn(loop));
  report();
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timers_ten_thousand_over_some_time_fire_in_order) {
  struct ev_loop *loop = new_loop(0);
  random_times(-.005, 5e-6);
  start_all(loop);
  trace("run %d", run_guarded(loop, 0));
  report();
  ev_loop_destroy(loop);
}

CASE(timers_ten_thousand_with_a_third_stopped_and_a_third_restarted) {
  struct ev_loop *loop = new_loop(0);
  random_times(-20., 1e-3);
  start_all(loop);
  for (int i = 0; i < MANY; i++) {
    struct one *one = &many[(unsigned)i * 7919u % MANY];
    if (i % 3 == 0) {
      ev_timer_stop(loop, &one->timer);
      one->left_out = 1;
    } else if (i % 3 == 1) {
      ev_timer_stop(loop, &one->timer);
      one->due = -one->due - 25.0005;
      ev_timer_set(&one->timer, one->due, 0.);
      ev_timer_start(loop, &one->timer);
    }
  }
  ev_verify(loop);
  trace("turn %d", turn(loop));
  ev_verify(loop);
  report();
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static struct ev_loop *again_loop;

static void count_and_move(struct ev_loop *loop, ev_timer *w, int revents) {
  count(loop, w, revents);
  struct one *one = (struct one *)w;
  struct one *other = &many[(size_t)(one - many) ^ 1u];
  if (other->calls || other->left_out) return;
  other->left_out = 1;
  ev_timer_stop(again_loop, &other->timer);
}

CASE(timers_in_pairs_where_the_first_stops_the_other) {
  struct ev_loop *loop = again_loop = new_loop(0);
  random_times(-20., 1e-3);
  for (int i = 0; i < MANY; i++) {
    ev_timer_init(&many[i].timer, count_and_move, many[i].due, 0.);
    ev_timer_start(loop, &many[i].timer);
  }
  trace("turn %d", turn(loop));
  report();
  ev_loop_destroy(loop);
}

static void count_repeating(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)revents;
  struct one *one = (struct one *)w;
  fired++;
  if (++one->calls == 3) ev_timer_stop(loop, w);
}

CASE(timers_a_thousand_repeating_fire_as_often_as_asked) {
  struct ev_loop *loop = new_loop(0);
  random_times(0., 1e-6);
  for (int i = 0; i < 1000; i++) {
    ev_timer_init(&many[i].timer, count_repeating, many[i].due, 1e-3 + many[i].due);
    ev_timer_start(loop, &many[i].timer);
  }
  trace("run %d", run_guarded(loop, 0));
  trace("fired %d", fired);
  ev_loop_destroy(loop);
}

static double began;
static int early;

static void measure(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)loop;
  (void)revents;
  struct one *one = (struct one *)w;
  fired++;
  early += monotonic() - began <= one->due - 1e-7;
}

CASE(timers_are_never_early) {
  struct ev_loop *loop = new_loop(0);
  fired = early = 0;
  began = monotonic();
  ev_now_update(loop);
  for (int i = 0; i < 60; i++) {
    many[i].due = 1e-3 * i + 1e-5 * (double)(next_random() % 100u);
    ev_timer_init(&many[i].timer, measure, many[i].due, 0.);
    ev_timer_start(loop, &many[i].timer);
  }
  trace("run %d", run_guarded(loop, 0));
  trace("fired %d, early %d", fired, early);
  ev_loop_destroy(loop);
}

static void measure_repeat(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)revents;
  fired++;
  early += monotonic() - began <= .002 * (fired - 1) - 1e-7;
  if (fired == 12) ev_timer_stop(loop, w);
}

CASE(timer_repeating_is_never_early) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  fired = early = 0;
  began = monotonic();
  ev_now_update(loop);
  ev_timer_init(&t, measure_repeat, 0., .002);
  ev_timer_start(loop, &t);
  trace("run %d", run_guarded(loop, 0));
  trace("fired %d, early %d", fired, early);
  ev_loop_destroy(loop);
}

static void measure_again(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)revents;
  fired++;
  early += monotonic() - began <= .002 - 1e-7;
  began = monotonic();
  ev_now_update(loop);
  if (fired == 10) w->repeat = 0.;
  ev_timer_again(loop, w);
}

CASE(timer_again_is_never_early) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  fired = early = 0;
  began = monotonic();
  ev_now_update(loop);
  ev_timer_init(&t, measure_again, 0., .002);
  ev_timer_again(loop, &t);
  trace("run %d", run_guarded(loop, 0));
  trace("fired %d, early %d", fired, early);
  ev_loop_destroy(loop);
}

static int turns_taken;

static void one_then_break(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  trace("iterations since: %u", ev_iteration(loop) - (unsigned)turns_taken);
}

CASE(timer_near_among_many_far_ends_one_wait) {
  struct ev_loop *loop = new_loop(0);
  random_times(1000., 1.);
  start_all(loop);
  static const double near[] = {.003, .01, .03, .07, .15, .3};
  for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
    ev_timer t;
    ev_now_update(loop);
    timer(&t, "near", near[i], 0.);
    ev_set_cb(&t, one_then_break);
    ev_timer_start(loop, &t);
    turns_taken = (int)ev_iteration(loop);
    ev_run(loop, EVRUN_ONCE);
    trace("%g: %s", near[i], state(&t));
    ev_timer_stop(loop, &t);
  }
  ev_loop_destroy(loop);
}

CASE(timers_long_overdue_fire_in_order) {
  struct ev_loop *loop = new_loop(0);
  random_times(-1e9, 1e4);
  start_all(loop);
  trace("turn %d", turn(loop));
  report();
  ev_loop_destroy(loop);
}

CASE(timers_growing_to_many_and_shrinking_keep_their_times) {
  struct ev_loop *loop = new_loop(0);
  ev_timer stays, repeats;
  start_timer(loop, &stays, "stays", 500., 0.);
  start_timer(loop, &repeats, "repeats", -1000., 1500.);
  for (int round = 0; round < 4; round++) {
    random_times(round % 2 ? -20. : 1000., 1e-3);
    start_all(loop);
    ev_verify(loop);
    trace("turn %d", turn(loop));
    ev_verify(loop);
    int active = 0;
    for (int i = 0; i < MANY; i++) active += ev_is_active(&many[i].timer) != 0;
    for (int i = 0; i < MANY; i++) ev_timer_stop(loop, &many[i].timer);
    ev_verify(loop);
    trace("fired %d, out of order %d, were active %d", fired, out_of_order, active);
    trace("stays %s %s, repeats %s %s", state(&stays), yes(ev_timer_remaining(loop, &stays) > 400.), state(&repeats),
          yes(ev_timer_remaining(loop, &repeats) > 400.));
    if (round == 2) ev_timer_stop(loop, &stays);
    if (round == 2) ev_timer_stop(loop, &repeats);
  }
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timers_ten_thousand_keep_what_they_have_left_when_suspended) {
  struct ev_loop *loop = new_loop(0);
  random_times(100., 1e-3);
  start_all(loop);
  ev_suspend(loop);
  let_pass(.05);
  ev_resume(loop);
  int wrong = 0;
  for (int i = 0; i < MANY; i++) wrong += !same(ev_timer_remaining(loop, &many[i].timer), many[i].due);
  trace("wrong %d", wrong);
  ev_verify(loop);
  for (int i = 0; i < MANY; i++) {
    if (i % 2) ev_timer_stop(loop, &many[i].timer);
  }
  trace("turn %d", turn(loop));
  trace("fired %d", fired);
  for (int i = 0; i < MANY; i++) ev_timer_stop(loop, &many[i].timer);
  random_times(.01, 1e-7);
  start_all(loop);
  ev_suspend(loop);
  let_pass(.03);
  ev_resume(loop);
  trace("run %d", run_guarded(loop, 0));
  report();
  ev_loop_destroy(loop);
}

CASE(timers_ten_thousand_again) {
  struct ev_loop *loop = new_loop(0);
  random_times(1000., 1e-3);
  start_all(loop);
  for (int i = 0; i < MANY; i++) {
    if (i % 4 == 0) continue;
    many[i].timer.repeat = i % 4 == 1 ? 0. : 500. + i;
    ev_timer_again(loop, &many[i].timer);
  }
  int active = 0, wrong = 0;
  for (int i = 0; i < MANY; i++) {
    active += ev_is_active(&many[i].timer) != 0;
    if (i % 4 > 1) wrong += !same(ev_timer_remaining(loop, &many[i].timer), 500. + i);
  }
  trace("active %d, wrong %d", active, wrong);
  for (int i = 0; i < MANY; i++) {
    if (i % 4 < 2) continue;
    many[i].timer.repeat = 0.;
    ev_timer_again(loop, &many[i].timer);
  }
  active = 0;
  for (int i = 0; i < MANY; i++) active += ev_is_active(&many[i].timer) != 0;
  trace("active %d", active);
  trace("turn %d", turn(loop));
  for (int i = 0; i < MANY; i++) ev_timer_stop(loop, &many[i].timer);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}
