/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_time, ev_now, ev_now_update, ev_sleep, ev_suspend and ev_resume. */
#include <sys/time.h>

#include "narrate.h"

static double realtime(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

CASE(clock_ev_time_is_the_wall_clock) {
  double before = realtime();
  double now = ev_time();
  double after = realtime();
  trace("between two readings of the clock: %s", yes(before <= now + 2e-6 && now <= after + 2e-6));
  trace("goes on: %s", yes(ev_time() >= now));
}

CASE(clock_ev_time_is_usable_after_the_loop_and_before_it) {
  double a = ev_time();
  struct ev_loop *loop = new_loop(0);
  double b = ev_time();
  ev_loop_destroy(loop);
  trace("%s %s %s", yes(a > 1e9), yes(b >= a - 1e-5), yes(ev_time() >= b - 1e-5));
}

CASE(clock_ev_now_stands_between_turns) {
  struct ev_loop *loop = new_loop(0);
  double now = ev_now(loop);
  trace("near the wall clock: %s", yes(now <= ev_time() + .1 && now > ev_time() - 5.));
  let_pass(.01);
  trace("stands: %s", yes(ev_now(loop) == now));
  ev_now_update(loop);
  trace("updated: %s", yes(ev_now(loop) >= now + .009));
  trace("not ahead: %s", yes(ev_now(loop) <= ev_time() + .1));
  now = ev_now(loop);
  let_pass(.01);
  turn(loop);
  trace("a turn updates it: %s", yes(ev_now(loop) >= now + .009));
  ev_loop_destroy(loop);
}

static double seen_now;

static void sees_now(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  if (seen_now > 0.) trace("the same as in the callback before: %s", yes(ev_now(loop) == seen_now));
  seen_now = ev_now(loop);
  let_pass(.005);
  trace("stands while it runs: %s", yes(ev_now(loop) == seen_now));
}

CASE(clock_ev_now_is_one_value_for_all_callbacks_of_a_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[3];
  for (int i = 0; i < 3; i++) {
    timer(&t[i], "t", -1. - i, 0.);
    ev_set_cb(&t[i], sees_now);
    ev_timer_start(loop, &t[i]);
  }
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void updates(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  double before = ev_now(loop);
  let_pass(.005);
  ev_now_update(loop);
  trace("moved: %s", yes(ev_now(loop) >= before + .004));
  ev_timer *next = w + 1;
  ev_timer_set(next, 40., 0.);
  ev_timer_start(loop, next);
  trace("counted from there: %s", yes(same(ev_timer_remaining(loop, next), 40.)));
}

CASE(clock_ev_now_update_in_a_callback_moves_the_base_of_timers) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[2];
  timer(&t[0], "t", 0., 0.);
  timer(&t[1], "next", 0., 0.);
  ev_set_cb(&t[0], updates);
  ev_timer_start(loop, &t[0]);
  trace("turn %d", turn(loop));
  ev_timer_stop(loop, &t[1]);
  ev_loop_destroy(loop);
}

CASE(clock_ev_now_update_does_not_make_anything_fire) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", .001, 0.);
  let_pass(.01);
  ev_now_update(loop);
  trace("overdue: %s, %s", yes(ev_timer_remaining(loop, &t) < 0.), state(&t));
  trace("pending %u", ev_pending_count(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(clock_ev_sleep_sleeps_at_least_as_long) {
  static const double delays[] = {0., .001, .01, .02};
  for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
    double began = monotonic();
    ev_sleep(delays[i]);
    trace("%g: %s", delays[i], yes(monotonic() - began >= delays[i] - 1e-6));
  }
}

CASE(clock_ev_sleep_of_nothing_returns_at_once) {
  ev_sleep(0.);
  ev_sleep(-1.);
  ev_sleep(-1e30);
  trace("returned");
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signum) {
  (void)signum;
  alarms++;
}

CASE(clock_ev_sleep_ends_when_a_signal_comes) {
  struct sigaction action = {.sa_handler = count_alarm};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval soon = {.it_value = {0, 20000}, .it_interval = {0, 20000}};
  double began = monotonic();
  setitimer(ITIMER_REAL, &soon, NULL);
  ev_sleep(30.);
  struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  trace("before its time: %s, signalled: %s", yes(monotonic() - began < 25.), yes(alarms > 0));
}

CASE(clock_suspend_and_resume_keep_what_timers_have_left) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[3];
  start_timer(loop, &t[0], "hundred", 100., 0.);
  start_timer(loop, &t[1], "ten", 10., 5.);
  start_timer(loop, &t[2], "short", .02, 0.);
  ev_suspend(loop);
  double left[3];
  for (int i = 0; i < 3; i++) left[i] = ev_timer_remaining(loop, &t[i]);
  let_pass(.05);
  ev_resume(loop);
  for (int i = 0; i < 3; i++) trace("%s: %s", name_of(&t[i]), yes(same(left[i], ev_timer_remaining(loop, &t[i]))));
  trace("the loop's time went on: %s", yes(ev_now(loop) > ev_time() - 5. && ev_now(loop) < ev_time() + .1));
  ev_timer_stop(loop, &t[0]);
  ev_timer_stop(loop, &t[1]);
  trace("run %d", run_guarded(loop, 0));
  ev_loop_destroy(loop);
}

CASE(clock_suspend_alone_is_an_update) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 50., 0.);
  let_pass(.01);
  ev_suspend(loop);
  trace("time passed: %s", yes(ev_timer_remaining(loop, &t) <= 50. - .009));
  ev_suspend(loop);
  ev_resume(loop);
  trace("%s", state(&t));
  trace("turn %d", turn(loop));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

CASE(clock_resume_without_suspend_shifts_by_the_time_since_the_last_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", .01, 0.);
  let_pass(.05);
  ev_resume(loop);
  trace("all is left: %s", yes(same(ev_timer_remaining(loop, &t), .01)));
  trace("run %d", run_guarded(loop, 0));
  ev_loop_destroy(loop);
}

static ev_tstamp asked(ev_periodic *p, ev_tstamp now) {
  (void)p;
  trace("reschedule");
  return now + 500.;
}

static void periodic_cb(struct ev_loop *loop, ev_periodic *w, int revents) { narrate(loop, w, revents); }

CASE(clock_resume_reschedules_periodics) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic grid, callback, absolute;
  ev_periodic_init(&grid, periodic_cb, 0., 1. / 64., NULL);
  grid.data = "grid";
  ev_periodic_init(&callback, periodic_cb, 0., 0., asked);
  callback.data = "callback";
  ev_periodic_init(&absolute, periodic_cb, ev_now(loop) + .001, 0., NULL);
  absolute.data = "absolute";
  ev_periodic_start(loop, &grid);
  ev_periodic_start(loop, &callback);
  ev_periodic_start(loop, &absolute);
  double when = ev_periodic_at(&absolute);
  ev_suspend(loop);
  let_pass(.05);
  trace("resume");
  ev_resume(loop);
  trace("grid beyond now: %s", yes(ev_periodic_at(&grid) > ev_now(loop)));
  trace("absolute stays: %s", yes(ev_periodic_at(&absolute) == when));
  ev_periodic_stop(loop, &grid);
  trace("turn %d", turn(loop));
  ev_periodic_stop(loop, &callback);
  ev_loop_destroy(loop);
}

CASE(clock_order_of_timers_survives_resume) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[5];
  static char *const names[] = {"a", "b", "c", "d", "e"};
  for (int i = 0; i < 5; i++) start_timer(loop, &t[i], names[i], .001 + .001 * (i * 3 % 5), 0.);
  ev_suspend(loop);
  let_pass(.02);
  ev_resume(loop);
  ev_verify(loop);
  let_pass(.02);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}
