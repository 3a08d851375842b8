/* SPDX-License-Identifier: BSD-3-Clause */
/* Which timers fire in one turn, in which order, and what their callbacks can change about that. */
#include "narrate.h"

CASE(timers_due_in_one_turn_fire_by_due_time) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[6];
  start_timer(loop, &t[0], "-3", -3., 0.);
  start_timer(loop, &t[1], "-1", -1., 0.);
  start_timer(loop, &t[2], "-6", -6., 0.);
  start_timer(loop, &t[3], "zero", 0., 0.);
  start_timer(loop, &t[4], "-5", -5., 0.);
  start_timer(loop, &t[5], "-2", -2., 1000.);
  trace("turn %d", turn(loop));
  ev_timer_stop(loop, &t[5]);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timers_that_expired_while_the_program_was_busy_fire_by_due_time) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[4];
  start_timer(loop, &t[0], "third", .003, 0.);
  start_timer(loop, &t[1], "first", .001, 0.);
  start_timer(loop, &t[2], "fourth", .004, 0.);
  start_timer(loop, &t[3], "second", .002, 0.);
  let_pass(.01);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timers_priority_comes_before_due_time) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[5];
  for (int i = 0; i < 5; i++) {
    static char *const names[] = {"due first", "due second", "due third", "due fourth", "due fifth"};
    timer(&t[i], names[i], -5. + i, 0.);
    ev_set_priority(&t[i], i % 2 ? i - 2 : -i / 2);
    ev_timer_start(loop, &t[i]);
  }
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timers_due_at_the_same_time_fire_in_the_same_turn_once_each) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[20];
  for (int i = 0; i < 20; i++) start_timer(loop, &t[i], "t", -1., 0.);
  trace("turn %d", turn(loop));
  int pending = 0;
  for (int i = 0; i < 20; i++) pending += ev_is_pending(&t[i]) + ev_is_active(&t[i]);
  trace("left: %d", pending);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void start_zero(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  ev_timer *more = w + 1;
  ev_timer_start(loop, more);
  trace("in the callback: %s", state(more));
}

CASE(timer_for_now_set_in_a_timer_callback_fires_in_the_next_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[2];
  timer(&t[0], "outer", 0., 0.);
  timer(&t[1], "inner", 0., 0.);
  ev_set_cb(&t[0], start_zero);
  ev_timer_start(loop, &t[0]);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timer_for_the_past_set_in_a_timer_callback_fires_in_the_next_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[2];
  timer(&t[0], "outer", 0., 0.);
  timer(&t[1], "inner", -100., 0.);
  ev_set_cb(&t[0], start_zero);
  ev_timer_start(loop, &t[0]);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static ev_timer hooked;

static void prepare_starts(struct ev_loop *loop, ev_prepare *w, int revents) {
  narrate(loop, w, revents);
  ev_prepare_stop(loop, w);
  start_timer(loop, &hooked, "of prepare", 0., 0.);
}

static void check_starts(struct ev_loop *loop, ev_check *w, int revents) {
  narrate(loop, w, revents);
  ev_check_stop(loop, w);
  start_timer(loop, &hooked, "of check", 0., 0.);
}

CASE(timer_for_now_set_in_prepare_fires_in_this_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_prepare_init(&p, prepare_starts);
  p.data = "prepare";
  ev_prepare_start(loop, &p);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timer_for_now_set_in_check_fires_in_the_next_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_check c;
  ev_check_init(&c, check_starts);
  c.data = "check";
  ev_check_start(loop, &c);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void restart_itself(struct ev_loop *loop, ev_timer *w, int revents) {
  static int calls;
  narrate(loop, w, revents);
  if (++calls == 4) return;
  ev_timer_set(w, 0., 0.);
  ev_timer_start(loop, w);
  trace("restarted: %s", state(w));
}

CASE(timer_restarted_in_its_own_callback_fires_once_a_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", 0., 0.);
  ev_set_cb(&t, restart_itself);
  ev_timer_start(loop, &t);
  for (int i = 0; i < 5; i++) trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void again_itself(struct ev_loop *loop, ev_timer *w, int revents) {
  static int calls;
  narrate(loop, w, revents);
  w->repeat = ++calls < 3 ? .001 * calls : 0.;
  ev_timer_again(loop, w);
  trace("again with %g: %s", w->repeat, state(w));
}

CASE(timer_again_in_its_own_callback_restarts_or_stops_it) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", 0., 5.);
  ev_set_cb(&t, again_itself);
  ev_timer_start(loop, &t);
  trace("run %d", run_guarded(loop, 0));
  ev_loop_destroy(loop);
}

enum deed { STOP, AGAIN, START, STOP_START, CLEAR, FEED };

static enum deed deed;
static ev_timer victim;

static void do_deed(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  trace("victim before: %s", state(&victim));
  switch (deed) {
    case STOP:
      ev_timer_stop(loop, &victim);
      break;
    case AGAIN:
      ev_timer_again(loop, &victim);
      break;
    case START:
      ev_timer_start(loop, &victim);
      break;
    case STOP_START:
      ev_timer_stop(loop, &victim);
      ev_timer_set(&victim, -1., 0.);
      ev_timer_start(loop, &victim);
      break;
    case CLEAR:
      trace("cleared: %s", bits(ev_clear_pending(loop, &victim)));
      break;
    case FEED:
      ev_feed_event(loop, &victim, EV_CUSTOM);
      break;
  }
  trace("victim after: %s, pending in all: %u", state(&victim), ev_pending_count(loop));
}

static void with_deed(enum deed what, double repeat) {
  struct ev_loop *loop = new_loop(0);
  ev_timer doer;
  deed = what;
  timer(&doer, "doer", -2., 0.);
  ev_set_cb(&doer, do_deed);
  ev_timer_start(loop, &doer);
  start_timer(loop, &victim, "victim", -1., repeat);
  for (int i = 0; i < 3; i++) trace("turn %d", turn(loop));
  ev_timer_stop(loop, &victim);
  ev_loop_destroy(loop);
}

CASE(timer_stopped_by_one_that_fired_earlier_in_the_turn_is_not_called) { with_deed(STOP, 0.); }
CASE(timer_repeating_stopped_by_an_earlier_one_is_not_called) { with_deed(STOP, 1000.); }
CASE(timer_again_by_an_earlier_one_takes_the_expiry_back) { with_deed(AGAIN, 1000.); }
CASE(timer_again_by_an_earlier_one_of_an_expired_one_shot_drops_it) { with_deed(AGAIN, 0.); }
CASE(timer_expired_and_started_again_before_its_call_is_called_twice) { with_deed(START, 0.); }
CASE(timer_repeating_started_while_pending_is_called_once) { with_deed(START, 1000.); }
CASE(timer_stopped_and_started_before_its_call_fires_in_the_next_turn) { with_deed(STOP_START, 0.); }
CASE(timer_cleared_by_an_earlier_one_is_not_called_but_stays_active) { with_deed(CLEAR, 1000.); }
CASE(timer_fed_while_pending_gets_both_bits) { with_deed(FEED, 0.); }

static void breaks(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  ev_break(loop, EVBREAK_ONE);
}

CASE(timers_of_the_turn_that_breaks_are_all_called) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[4];
  timer(&t[0], "breaks", -4., 0.);
  ev_set_cb(&t[0], breaks);
  ev_timer_start(loop, &t[0]);
  start_timer(loop, &t[1], "same turn", -3., 0.);
  start_timer(loop, &t[2], "repeating", -2., 100.);
  start_timer(loop, &t[3], "later", 100., 0.);
  trace("run %d", ev_run(loop, 0) != 0);
  for (int i = 0; i < 4; i++) trace("%s: %s", name_of(&t[i]), state(&t[i]));
  ev_timer_stop(loop, &t[2]);
  ev_timer_stop(loop, &t[3]);
  ev_loop_destroy(loop);
}

static void nests(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  trace("nested, depth %u, pending %u", ev_depth(loop), ev_pending_count(loop));
  ev_run(loop, EVRUN_NOWAIT);
  trace("back, depth %u, pending %u", ev_depth(loop), ev_pending_count(loop));
}

CASE(timers_that_are_pending_are_called_by_a_nested_run_first) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[3];
  timer(&t[0], "nests", -4., 0.);
  ev_set_cb(&t[0], nests);
  ev_timer_start(loop, &t[0]);
  start_timer(loop, &t[1], "second", -3., 0.);
  start_timer(loop, &t[2], "third", -2., 0.);
  trace("turn %d", turn(loop));
  trace("iterations %u", ev_iteration(loop));
  ev_loop_destroy(loop);
}

static void once_in_a_nested_run(struct ev_loop *loop, ev_timer *w, int revents) {
  static int calls;
  narrate(loop, w, revents);
  if (++calls > 1) return;
  trace("turn in it: %d", turn(loop));
}

CASE(timer_repeating_may_be_called_again_inside_its_callback) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", -2000., 1000.);
  ev_set_cb(&t, once_in_a_nested_run);
  ev_timer_start(loop, &t);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

CASE(timer_that_fell_behind_fires_once_a_turn_and_then_on_time) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", -100., 10.);
  for (int i = 0; i < 4; i++) trace("turn %d", turn(loop));
  trace("remaining within repeat: %s", yes(ev_timer_remaining(loop, &t) > 0 && ev_timer_remaining(loop, &t) <= 10.));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

CASE(timer_late_by_less_than_its_repeat_keeps_its_rhythm) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", -100., 250.);
  trace("turn %d", turn(loop));
  double left = ev_timer_remaining(loop, &t);
  trace("counted from when it was due: %s", yes(left <= 150. && left > 100.));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

CASE(timer_counts_from_the_loop_s_time_not_from_the_clock) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  let_pass(.03);
  start_timer(loop, &t, "stale", .02, 0.);
  trace("turn %d", turn(loop));
  let_pass(.03);
  ev_now_update(loop);
  start_timer(loop, &t, "fresh", 30., 0.);
  trace("turn %d", turn(loop));
  trace("most of it left: %s", yes(ev_timer_remaining(loop, &t) > 1.));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

static void read_one(struct ev_loop *loop, ev_io *w, int revents) {
  char byte;
  narrate(loop, w, revents);
  NEED(read(w->fd, &byte, 1) == 1);
}

CASE(timers_of_a_turn_are_called_before_descriptors_of_the_same_priority) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 2);
  ev_io reader;
  io(&reader, "reader", ends[0], EV_READ);
  ev_set_cb(&reader, read_one);
  ev_timer t[2];
  start_timer(loop, &t[0], "second", -1., 0.);
  ev_io_start(loop, &reader);
  start_timer(loop, &t[1], "first", -2., 0.);
  trace("turn %d", turn(loop));
  ev_io_stop(loop, &reader);
  ev_set_priority(&reader, 1);
  ev_io_start(loop, &reader);
  start_timer(loop, &t[0], "after a higher reader", -1., 0.);
  trace("turn %d", turn(loop));
  ev_io_stop(loop, &reader);
  close_both(ends);
  ev_loop_destroy(loop);
}
