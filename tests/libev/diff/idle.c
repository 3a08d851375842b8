/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_idle: when it is called, what keeps it from being called, and that the loop does not wait while one is active. */
#include "narrate.h"

static void idle(ev_idle *w, char *name, int priority) {
  ev_idle_init(w, narrate_idle);
  w->data = name;
  ev_set_priority(w, priority);
}

CASE(idle_is_called_once_a_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  idle(&i, "idle", 0);
  ev_idle_start(loop, &i);
  ev_idle_start(loop, &i);
  trace("%s", state(&i));
  trace("turn %d", turn(loop));
  trace("once %d", ev_run(loop, EVRUN_ONCE) != 0);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i);
  ev_idle_stop(loop, &i);
  trace("%s", state(&i));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static int seen;

static void stop_at_five(struct ev_loop *loop, ev_idle *w, int revents) {
  narrate(loop, w, revents);
  if (++seen == 5) ev_idle_stop(loop, w);
}

CASE(idle_keeps_the_loop_from_waiting) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  ev_timer far;
  start_timer(loop, &far, "far", 1000., 0.);
  ev_unref(loop);
  idle(&i, "idle", 0);
  ev_set_cb(&i, stop_at_five);
  ev_idle_start(loop, &i);
  trace("run %d", ev_run(loop, 0));
  trace("iterations %u", ev_iteration(loop));
  ev_ref(loop);
  ev_timer_stop(loop, &far);
  ev_loop_destroy(loop);
}

CASE(idle_lasts_first_started_last_called) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i[3];
  idle(&i[0], "a", 0);
  idle(&i[1], "b", 0);
  idle(&i[2], "c", 0);
  for (int n = 0; n < 3; n++) ev_idle_start(loop, &i[n]);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i[0]);
  ev_verify(loop);
  trace("turn %d", turn(loop));
  ev_idle_start(loop, &i[0]);
  ev_verify(loop);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

/* A turn in which a timer of one priority is due and an idle watcher of another is active. */
static void beside_a_timer(int of_timer, int of_idle) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  ev_idle i;
  trace("timer %d, idle %d", of_timer, of_idle);
  idle(&i, "idle", of_idle);
  ev_idle_start(loop, &i);
  timer(&t, "timer", -1., 0.);
  ev_set_priority(&t, of_timer);
  ev_timer_start(loop, &t);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i);
  ev_loop_destroy(loop);
}

CASE(idle_waits_for_what_has_the_same_or_a_higher_priority) {
  beside_a_timer(0, 0);
  beside_a_timer(1, 0);
  beside_a_timer(0, 1);
  beside_a_timer(EV_MINPRI, EV_MAXPRI);
  beside_a_timer(EV_MAXPRI, EV_MINPRI);
  beside_a_timer(EV_MAXPRI, EV_MAXPRI);
}

CASE(idle_of_the_highest_priority_alone_is_called) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i[4];
  idle(&i[0], "-1", -1);
  idle(&i[1], "1", 1);
  idle(&i[2], "0", 0);
  idle(&i[3], "another 0", 0);
  for (int n = 0; n < 4; n++) ev_idle_start(loop, &i[n]);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i[1]);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i[2]);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i[3]);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i[0]);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(idle_does_not_wait_for_prepare_and_check) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  ev_prepare p;
  ev_check c;
  idle(&i, "idle", 0);
  ev_prepare_init(&p, narrate_prepare);
  p.data = "prepare";
  ev_check_init(&c, narrate_check);
  c.data = "check";
  ev_idle_start(loop, &i);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i);
  ev_prepare_stop(loop, &p);
  ev_check_stop(loop, &c);
  ev_loop_destroy(loop);
}

CASE(idle_waits_for_a_busy_descriptor) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  ev_io reader;
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  io(&reader, "reader", ends[0], EV_READ);
  idle(&i, "idle", 0);
  ev_io_start(loop, &reader);
  ev_idle_start(loop, &i);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  drain(ends[0]);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i);
  ev_io_stop(loop, &reader);
  close_both(ends);
  ev_loop_destroy(loop);
}

static ev_idle more;

static void starts_another(struct ev_loop *loop, ev_idle *w, int revents) {
  narrate(loop, w, revents);
  ev_idle_stop(loop, w);
  ev_idle_start(loop, &more);
}

CASE(idle_started_in_an_idle_callback_is_called_in_the_next_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  idle(&more, "another", 2);
  idle(&i, "idle", 0);
  ev_set_cb(&i, starts_another);
  ev_idle_start(loop, &i);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &more);
  ev_loop_destroy(loop);
}

static void stops_another(struct ev_loop *loop, ev_idle *w, int revents) {
  narrate(loop, w, revents);
  trace("another: %s", state(&more));
  ev_idle_stop(loop, &more);
  trace("another: %s", state(&more));
}

CASE(idle_stopped_by_another_before_its_call_is_not_called) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  idle(&more, "another", 0);
  idle(&i, "idle", 0);
  ev_set_cb(&i, stops_another);
  ev_idle_start(loop, &more);
  ev_idle_start(loop, &i);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i);
  ev_loop_destroy(loop);
}

static void frees_itself(struct ev_loop *loop, ev_idle *w, int revents) {
  narrate(loop, w, revents);
  ev_idle_stop(loop, w);
  memset(w, 0xdd, sizeof *w);
  free(w);
}

CASE(idle_may_free_itself_in_its_callback) {
  struct ev_loop *loop = new_loop(0);
  ev_idle *i = malloc(sizeof *i);
  NEED(i);
  idle(i, "idle", 0);
  ev_set_cb(i, frees_itself);
  ev_idle_start(loop, i);
  trace("run %d", ev_run(loop, 0));
  ev_loop_destroy(loop);
}

static void makes_busy(struct ev_loop *loop, ev_idle *w, int revents) {
  narrate(loop, w, revents);
  ev_feed_event(loop, &more, EV_CUSTOM);
}

CASE(idle_watchers_called_see_what_they_feed_at_once) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  idle(&more, "fed", 1);
  idle(&i, "idle", 0);
  ev_set_cb(&i, makes_busy);
  ev_idle_start(loop, &i);
  trace("turn %d", turn(loop));
  ev_idle_stop(loop, &i);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(idle_without_a_reference_does_not_keep_the_loop) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  idle(&i, "idle", 0);
  ev_idle_start(loop, &i);
  ev_unref(loop);
  trace("run %d", ev_run(loop, 0));
  ev_ref(loop);
  ev_idle_stop(loop, &i);
  trace("run %d", ev_run(loop, 0));
  ev_loop_destroy(loop);
}

static void break_at_last(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  ev_break(loop, EVBREAK_ONE);
}

static void count_only(struct ev_loop *loop, ev_idle *w, int revents) {
  (void)loop;
  (void)w;
  (void)revents;
  seen++;
}

CASE(idle_is_called_many_times_until_a_timer_is_due) {
  struct ev_loop *loop = new_loop(0);
  ev_idle i;
  ev_timer t;
  idle(&i, "idle", EV_MINPRI);
  ev_set_cb(&i, count_only);
  ev_idle_start(loop, &i);
  timer(&t, "timer", .2, 0.);
  ev_set_cb(&t, break_at_last);
  ev_timer_start(loop, &t);
  trace("run %d", ev_run(loop, 0) != 0);
  trace("called in between: %s", yes(seen > 1));
  trace("once less than there were turns: %s", yes(seen == (int)ev_iteration(loop) - 1));
  ev_idle_stop(loop, &i);
  ev_loop_destroy(loop);
}
