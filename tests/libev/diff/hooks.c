/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_prepare before the wait, ev_check after it: order among themselves and beside other watchers. */
#include "narrate.h"

static void prepare(ev_prepare *w, char *name, void (*call)(struct ev_loop *, ev_prepare *, int)) {
  ev_prepare_init(w, call ? call : narrate_prepare);
  w->data = name;
}

static void check(ev_check *w, char *name, void (*call)(struct ev_loop *, ev_check *, int)) {
  ev_check_init(w, call ? call : narrate_check);
  w->data = name;
}

static char *const letters[] = {"a", "b", "c", "d", "e"};

CASE(hooks_last_started_is_first_called) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p[4];
  ev_check c[4];
  for (int i = 0; i < 4; i++) {
    prepare(&p[i], letters[i], NULL);
    check(&c[i], letters[i], NULL);
    ev_prepare_start(loop, &p[i]);
    ev_check_start(loop, &c[i]);
  }
  trace("turn %d", turn(loop));
  for (int i = 0; i < 4; i++) {
    ev_prepare_stop(loop, &p[i]);
    ev_check_stop(loop, &c[i]);
  }
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(hooks_are_called_by_priority) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p[5];
  ev_check c[5];
  for (int i = 0; i < 5; i++) {
    prepare(&p[i], letters[i], NULL);
    check(&c[i], letters[i], NULL);
    ev_set_priority(&p[i], i * 2 % 5 - 2);
    ev_set_priority(&c[i], i * 3 % 5 - 2);
    ev_prepare_start(loop, &p[i]);
    ev_check_start(loop, &c[i]);
  }
  trace("turn %d", turn(loop));
  for (int i = 0; i < 5; i++) {
    ev_prepare_stop(loop, &p[i]);
    ev_check_stop(loop, &c[i]);
  }
  ev_loop_destroy(loop);
}

CASE(hooks_stopped_in_the_middle_leave_the_others) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p[5];
  ev_check c[5];
  for (int i = 0; i < 5; i++) {
    prepare(&p[i], letters[i], NULL);
    check(&c[i], letters[i], NULL);
    ev_prepare_start(loop, &p[i]);
    ev_check_start(loop, &c[i]);
  }
  ev_prepare_stop(loop, &p[1]);
  ev_check_stop(loop, &c[1]);
  ev_verify(loop);
  trace("without b");
  turn(loop);
  ev_prepare_start(loop, &p[1]);
  ev_check_start(loop, &c[1]);
  ev_prepare_stop(loop, &p[4]);
  ev_check_stop(loop, &c[4]);
  ev_verify(loop);
  trace("without e");
  turn(loop);
  for (int i = 0; i < 5; i++) {
    ev_prepare_stop(loop, &p[i]);
    ev_check_stop(loop, &c[i]);
  }
  ev_loop_destroy(loop);
}

CASE(hooks_start_twice_and_stop_twice) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  prepare(&p, "prepare", NULL);
  check(&c, "check", NULL);
  for (int i = 0; i < 2; i++) {
    ev_prepare_start(loop, &p);
    ev_check_start(loop, &c);
  }
  trace("%s, %s", state(&p), state(&c));
  trace("turn %d", turn(loop));
  for (int i = 0; i < 2; i++) {
    ev_prepare_stop(loop, &p);
    ev_check_stop(loop, &c);
  }
  trace("%s, %s", state(&p), state(&c));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(hooks_bracket_what_the_turn_brings) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check first, last;
  ev_timer t, high;
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_io reader;
  prepare(&p, "prepare", NULL);
  check(&first, "check", NULL);
  check(&last, "check, low", NULL);
  ev_set_priority(&last, EV_MINPRI);
  io(&reader, "reader", ends[0], EV_READ);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &first);
  ev_check_start(loop, &last);
  ev_io_start(loop, &reader);
  start_timer(loop, &t, "timer", -1., 0.);
  timer(&high, "timer, high", -1., 0.);
  ev_set_priority(&high, 1);
  ev_timer_start(loop, &high);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_prepare_stop(loop, &p);
  ev_check_stop(loop, &first);
  ev_check_stop(loop, &last);
  ev_io_stop(loop, &reader);
  close_both(ends);
  ev_loop_destroy(loop);
}

static ev_prepare second_prepare;
static ev_check second_check;
static int start_it;

static void prepare_starts_or_stops(struct ev_loop *loop, ev_prepare *w, int revents) {
  narrate(loop, w, revents);
  trace("second: %s", state(&second_prepare));
  if (start_it)
    ev_prepare_start(loop, &second_prepare);
  else
    ev_prepare_stop(loop, &second_prepare);
  trace("second: %s", state(&second_prepare));
}

static void check_starts_or_stops(struct ev_loop *loop, ev_check *w, int revents) {
  narrate(loop, w, revents);
  trace("second: %s", state(&second_check));
  if (start_it)
    ev_check_start(loop, &second_check);
  else
    ev_check_stop(loop, &second_check);
  trace("second: %s", state(&second_check));
}

CASE(hooks_started_in_a_hook_are_called_from_the_next_turn_on) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  prepare(&p, "prepare", prepare_starts_or_stops);
  check(&c, "check", check_starts_or_stops);
  prepare(&second_prepare, "second prepare", NULL);
  check(&second_check, "second check", NULL);
  start_it = 1;
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(hooks_stopped_in_a_hook_are_not_called_in_the_same_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  prepare(&second_prepare, "second prepare", NULL);
  check(&second_check, "second check", NULL);
  ev_prepare_start(loop, &second_prepare);
  ev_check_start(loop, &second_check);
  prepare(&p, "prepare", prepare_starts_or_stops);
  check(&c, "check", check_starts_or_stops);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  start_it = 0;
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void break_in_prepare(struct ev_loop *loop, ev_prepare *w, int revents) {
  narrate(loop, w, revents);
  ev_break(loop, EVBREAK_ONE);
}

CASE(hooks_break_in_prepare_ends_the_run_before_the_wait) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p, other;
  ev_check c;
  ev_timer t;
  prepare(&other, "other prepare", NULL);
  prepare(&p, "breaks", break_in_prepare);
  check(&c, "check", NULL);
  ev_prepare_start(loop, &other);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  start_timer(loop, &t, "due", -1., 0.);
  trace("run %d", ev_run(loop, 0) != 0);
  trace("iterations %u, timer %s", ev_iteration(loop), state(&t));
  ev_prepare_stop(loop, &p);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void break_in_check(struct ev_loop *loop, ev_check *w, int revents) {
  narrate(loop, w, revents);
  ev_break(loop, EVBREAK_ONE);
}

CASE(hooks_break_in_check_still_calls_what_is_pending) {
  struct ev_loop *loop = new_loop(0);
  ev_check c;
  ev_timer t;
  check(&c, "breaks", break_in_check);
  ev_check_start(loop, &c);
  start_timer(loop, &t, "due", -1., 0.);
  trace("run %d", ev_run(loop, 0) != 0);
  trace("iterations %u, timer %s", ev_iteration(loop), state(&t));
  ev_check_stop(loop, &c);
  ev_loop_destroy(loop);
}

static ev_timer in_prepare;

static void prepare_arms(struct ev_loop *loop, ev_prepare *w, int revents) {
  narrate(loop, w, revents);
  ev_timer_set(&in_prepare, 0., 0.);
  ev_timer_start(loop, &in_prepare);
}

static void check_takes(struct ev_loop *loop, ev_check *w, int revents) {
  narrate(loop, w, revents);
  trace("timer: %s", state(&in_prepare));
  trace("cleared: %s", bits(ev_clear_pending(loop, &in_prepare)));
  trace("timer: %s", state(&in_prepare));
  ev_timer_stop(loop, &in_prepare);
}

CASE(hooks_check_can_take_what_prepare_armed_before_it_is_called) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  timer(&in_prepare, "of the other library", 0., 0.);
  prepare(&p, "prepare", prepare_arms);
  check(&c, "check", check_takes);
  ev_set_priority(&c, EV_MAXPRI);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_prepare_stop(loop, &p);
  ev_check_stop(loop, &c);
  ev_loop_destroy(loop);
}

static void feed_next(struct ev_loop *loop, ev_prepare *w, int revents) {
  narrate(loop, w, revents);
  ev_feed_event(loop, &in_prepare, EV_CUSTOM);
}

CASE(hooks_what_prepare_feeds_is_called_before_the_wait) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  timer(&in_prepare, "fed", 5., 0.);
  prepare(&p, "prepare", feed_next);
  check(&c, "check", NULL);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  trace("turn %d", turn(loop));
  ev_prepare_stop(loop, &p);
  ev_check_stop(loop, &c);
  ev_loop_destroy(loop);
}

CASE(hooks_alone_keep_the_loop_and_unreffed_do_not) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  prepare(&p, "prepare", NULL);
  check(&c, "check", NULL);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  trace("turn %d", turn(loop));
  ev_unref(loop);
  trace("turn %d", turn(loop));
  ev_unref(loop);
  trace("turn %d", turn(loop));
  trace("run %d", ev_run(loop, 0));
  ev_ref(loop);
  ev_ref(loop);
  ev_prepare_stop(loop, &p);
  ev_check_stop(loop, &c);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}
