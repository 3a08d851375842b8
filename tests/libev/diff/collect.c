/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_set_io_collect_interval and ev_set_timeout_collect_interval: what they put together and what they do not delay. */
#include "narrate.h"

/* Longer than a case may take. */
#define NEVER_OVER 1000.

CASE(collect_timeouts_gathers_timers_in_one_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[5];
  static char *const names[] = {"1 ms", "9 ms", "17 ms", "25 ms", "33 ms"};
  ev_set_timeout_collect_interval(loop, .05);
  for (int i = 0; i < 5; i++) start_timer(loop, &t[i], names[i], .001 + .008 * i, 0.);
  trace("run %d", run_guarded(loop, EVRUN_ONCE));
  trace("iterations %u", ev_iteration(loop));
  ev_set_timeout_collect_interval(loop, 0.);
  start_timer(loop, &t[0], "alone", .001, 0.);
  trace("run %d", run_guarded(loop, 0));
  ev_loop_destroy(loop);
}

static void stop_reader(struct ev_loop *loop, ev_io *w, int revents) {
  narrate(loop, w, revents);
  ev_io_stop(loop, w);
}

CASE(collect_timeouts_does_not_delay_descriptors) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_io reader;
  ev_timer far;
  io(&reader, "reader", ends[0], EV_READ);
  ev_set_cb(&reader, stop_reader);
  ev_io_start(loop, &reader);
  start_timer(loop, &far, "far", 500., 0.);
  ev_set_timeout_collect_interval(loop, NEVER_OVER);
  trace("run %d", ev_run(loop, EVRUN_ONCE) != 0);
  ev_timer_stop(loop, &far);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(collect_intervals_do_not_delay_a_turn_that_does_not_wait) {
  struct ev_loop *loop = new_loop(0);
  ev_timer due, far;
  ev_idle idle;
  ev_set_io_collect_interval(loop, NEVER_OVER);
  ev_set_timeout_collect_interval(loop, NEVER_OVER);
  start_timer(loop, &due, "due", -1., 0.);
  start_timer(loop, &far, "far", 500., 0.);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_idle_init(&idle, narrate_idle);
  idle.data = "idle";
  ev_idle_start(loop, &idle);
  trace("once %d", ev_run(loop, EVRUN_ONCE) != 0);
  ev_idle_stop(loop, &idle);
  ev_timer_stop(loop, &far);
  trace("nothing active: %d", ev_run(loop, 0) != 0);
  ev_loop_destroy(loop);
}

CASE(collect_io_does_not_delay_timers) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  ev_set_io_collect_interval(loop, NEVER_OVER);
  start_timer(loop, &t, "t", .02, 0.);
  trace("run %d", run_guarded(loop, 0));
  start_timer(loop, &t, "due", -1., 0.);
  trace("run %d", run_guarded(loop, 0));
  ev_loop_destroy(loop);
}

static int turns_left;

static void count_turns(struct ev_loop *loop, ev_io *w, int revents) {
  narrate(loop, w, revents);
  if (!--turns_left) ev_io_stop(loop, w);
}

CASE(collect_io_spaces_turns) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_io reader;
  io(&reader, "reader", ends[0], EV_READ);
  ev_set_cb(&reader, count_turns);
  ev_io_start(loop, &reader);
  ev_set_io_collect_interval(loop, .01);
  turns_left = 6;
  double began = monotonic();
  trace("run %d", run_guarded(loop, 0));
  trace("five intervals passed: %s", yes(monotonic() - began >= .05 - .001));
  trace("iterations %u", ev_iteration(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

static int writer;

static void write_soon(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  put(writer, 1);
}

CASE(collect_both_still_tell_everything) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  writer = ends[1];
  ev_io reader;
  ev_timer t;
  io(&reader, "reader", ends[0], EV_READ);
  ev_set_cb(&reader, stop_reader);
  ev_io_start(loop, &reader);
  ev_set_io_collect_interval(loop, .01);
  ev_set_timeout_collect_interval(loop, .01);
  timer(&t, "writes", .005, 0.);
  ev_set_cb(&t, write_soon);
  ev_timer_start(loop, &t);
  trace("run %d", run_guarded(loop, 0));
  close_both(ends);
  ev_loop_destroy(loop);
}
