/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_periodic in its three modes: absolute, every so often, and as a callback says. */
#include "narrate.h"

static void periodic(ev_periodic *w, char *name, double offset, double interval,
                     ev_tstamp (*reschedule)(ev_periodic *, ev_tstamp)) {
  ev_periodic_init(w, narrate_periodic, offset, interval, reschedule);
  w->data = name;
}

CASE(periodic_init_sets_every_public_field) {
  ev_periodic p;
  memset(&p, 0x5a, sizeof p);
  periodic(&p, "p", 3., 2., NULL);
  trace("%s, offset %g, interval %g, reschedule %s, callback %s", state(&p), p.offset, p.interval,
        yes(!p.reschedule_cb), yes(ev_cb(&p) == narrate_periodic));
}

CASE(periodic_absolute_in_the_past_fires_once) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  double when = ev_now(loop) - 100.;
  periodic(&p, "p", when, 0., NULL);
  ev_periodic_start(loop, &p);
  trace("started: %s, at its offset: %s", state(&p), yes(ev_periodic_at(&p) == when));
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  trace("%s, offset kept: %s", state(&p), yes(p.offset == when));
  ev_loop_destroy(loop);
}

CASE(periodic_absolute_in_the_future_waits) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  double when = ev_now(loop) + 1000.;
  periodic(&p, "p", when, 0., NULL);
  ev_periodic_start(loop, &p);
  ev_periodic_start(loop, &p);
  trace("turn %d", turn(loop));
  trace("%s, at its offset: %s", state(&p), yes(ev_periodic_at(&p) == when));
  ev_periodic_stop(loop, &p);
  ev_periodic_stop(loop, &p);
  trace("%s", state(&p));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static double due;

static void not_before_due(struct ev_loop *loop, ev_periodic *p, int revents) {
  narrate(loop, p, revents);
  trace("loop's time past it: %s", yes(ev_now(loop) >= due));
}

CASE(periodic_absolute_is_not_early) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  due = ev_now(loop) + .01;
  periodic(&p, "p", due, 0., NULL);
  ev_set_cb(&p, not_before_due);
  ev_periodic_start(loop, &p);
  trace("run %d", run_guarded(loop, 0));
  ev_loop_destroy(loop);
}

/* at is the first offset + N * interval after now. */
static void check_grid(struct ev_loop *loop, double offset, double interval) {
  ev_periodic p;
  periodic(&p, "p", offset, interval, NULL);
  ev_periodic_start(loop, &p);
  double now = ev_now(loop), at = ev_periodic_at(&p);
  double rounds = (at - offset) / interval;
  double nearest = (double)(long long)(rounds + (rounds < 0 ? -.5 : .5));
  trace("offset %g, interval %g: after now %s, within one interval %s, on the grid %s", offset, interval, yes(at > now),
        yes(at <= now + interval + 1e-5),
        yes((rounds - nearest) * interval < 1e-4 && (nearest - rounds) * interval < 1e-4));
  ev_periodic_stop(loop, &p);
}

CASE(periodic_interval_is_on_its_grid) {
  struct ev_loop *loop = new_loop(0);
  check_grid(loop, 0., 3600.);
  check_grid(loop, 0., 1.);
  check_grid(loop, .25, 1.);
  check_grid(loop, 1800., 3600.);
  check_grid(loop, 7200., 3600.);
  check_grid(loop, 86399., 86400.);
  check_grid(loop, 0., .125);
  check_grid(loop, 0., 7.3);
  check_grid(loop, 5e9, 100.);
  check_grid(loop, 1e9, 60.);
  check_grid(loop, 0., 1e7);
  ev_loop_destroy(loop);
}

static int calls;
static double step;

static void on_the_grid(struct ev_loop *loop, ev_periodic *p, int revents) {
  narrate(loop, p, revents);
  trace("not early: %s, next is later: %s", yes(ev_now(loop) >= due), yes(ev_periodic_at(p) > ev_now(loop)));
  due = ev_periodic_at(p);
  if (++calls == 3) ev_periodic_stop(loop, p);
}

CASE(periodic_interval_fires_at_each_point) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&p, "p", 0., .015625, NULL);
  ev_set_cb(&p, on_the_grid);
  ev_periodic_start(loop, &p);
  due = ev_periodic_at(&p);
  trace("run %d", run_guarded(loop, 0));
  trace("after: %s", state(&p));
  ev_loop_destroy(loop);
}

CASE(periodic_interval_that_missed_points_fires_once) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&p, "p", 0., 1. / 256., NULL);
  ev_periodic_start(loop, &p);
  let_pass(.05);
  trace("turn %d", turn(loop));
  trace("next is later: %s, %s", yes(ev_periodic_at(&p) > ev_now(loop)), state(&p));
  ev_periodic_stop(loop, &p);
  ev_loop_destroy(loop);
}

static double told_now;
static int reschedules;

static ev_tstamp in_steps(ev_periodic *p, ev_tstamp now) {
  reschedules++;
  told_now = now;
  trace("%s: reschedule, %s", name_of(p), state(p));
  return now + step;
}

CASE(periodic_reschedule_is_asked_at_start) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  step = 50.;
  periodic(&p, "p", 123., 456., in_steps);
  ev_periodic_start(loop, &p);
  trace("told the loop's time: %s, taken: %s", yes(told_now == ev_now(loop)),
        yes(ev_periodic_at(&p) == told_now + 50.));
  ev_periodic_start(loop, &p);
  trace("turn %d", turn(loop));
  trace("offset %g, interval %g, asked %d", p.offset, p.interval, reschedules);
  ev_periodic_stop(loop, &p);
  trace("%s", state(&p));
  ev_loop_destroy(loop);
}

static void stop_after_two(struct ev_loop *loop, ev_periodic *p, int revents) {
  narrate(loop, p, revents);
  if (++calls == 2) ev_periodic_stop(loop, p);
}

CASE(periodic_reschedule_is_asked_before_each_call) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  step = .005;
  periodic(&p, "p", 0., 0., in_steps);
  ev_set_cb(&p, stop_after_two);
  ev_periodic_start(loop, &p);
  trace("run %d", run_guarded(loop, 0));
  trace("asked %d", reschedules);
  ev_loop_destroy(loop);
}

static ev_tstamp never_again(ev_periodic *p, ev_tstamp now) {
  trace("%s: reschedule", name_of(p));
  return reschedules++ ? now + 1e30 : now + .001;
}

CASE(periodic_reschedule_far_away_is_not_called_again) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&p, "p", 0., 0., never_again);
  ev_periodic_start(loop, &p);
  run_guarded(loop, EVRUN_ONCE);
  while (ev_periodic_at(&p) < 1e20) run_guarded(loop, EVRUN_ONCE);
  trace("turn %d", turn(loop));
  trace("far: %s, %s", yes(ev_periodic_at(&p) > 1e29), state(&p));
  ev_periodic_stop(loop, &p);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static ev_tstamp at_now(ev_periodic *p, ev_tstamp now) {
  (void)p;
  return now;
}

CASE(periodic_reschedule_may_return_now) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&p, "p", 0., 0., at_now);
  ev_periodic_start(loop, &p);
  for (int i = 0; i < 2; i++) {
    ev_sleep(0.002); /* so that it is past, however coarse the clock */
    trace("turn %d", turn(loop));
  }
  ev_periodic_stop(loop, &p);
  ev_loop_destroy(loop);
}

static ev_tstamp in_the_past(ev_periodic *p, ev_tstamp now) {
  trace("%s: reschedule", name_of(p));
  return now - 10.;
}

static void reschedules_into_the_past(void *nothing) {
  (void)nothing;
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&p, "p", 0., 0., in_the_past);
  ev_periodic_start(loop, &p);
  trace("started");
  turn(loop);
  trace("turned");
}

CASE(periodic_reschedule_into_the_past_aborts_when_due) { in_child("into the past", reschedules_into_the_past, NULL); }

static void negative_interval(void *nothing) {
  (void)nothing;
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&p, "p", 0., -5., NULL);
  ev_periodic_start(loop, &p);
  trace("started");
}

CASE(periodic_with_a_negative_interval_cannot_be_started) { in_child("negative", negative_interval, NULL); }

CASE(periodic_changes_take_effect_with_again) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  double now = ev_now(loop);
  periodic(&p, "p", now + 100., 0., NULL);
  ev_periodic_start(loop, &p);
  p.offset = now + 300.;
  trace("offset changed: %s", yes(ev_periodic_at(&p) == now + 100.));
  ev_periodic_again(loop, &p);
  trace("again: %s, %s", yes(ev_periodic_at(&p) == now + 300.), state(&p));
  p.interval = 10.;
  ev_periodic_again(loop, &p);
  trace("interval: %s", yes(ev_periodic_at(&p) <= now + 10.1));
  step = 70.;
  p.reschedule_cb = in_steps;
  ev_periodic_again(loop, &p);
  trace("callback: %s", yes(ev_periodic_at(&p) == told_now + 70.));
  p.reschedule_cb = NULL;
  p.interval = 0.;
  p.offset = now - 1.;
  trace("turn %d", turn(loop));
  ev_periodic_again(loop, &p);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(periodic_again_starts_what_is_inactive_and_clears_what_is_pending) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&p, "p", ev_now(loop) + 100., 0., NULL);
  ev_periodic_again(loop, &p);
  trace("%s", state(&p));
  ev_feed_event(loop, &p, EV_CUSTOM);
  ev_periodic_again(loop, &p);
  trace("%s", state(&p));
  trace("turn %d", turn(loop));
  ev_feed_event(loop, &p, EV_CUSTOM);
  ev_periodic_stop(loop, &p);
  trace("%s", state(&p));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(periodics_due_in_one_turn_fire_by_due_time) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p[5];
  double now = ev_now(loop);
  periodic(&p[0], "-3", now - 3., 0., NULL);
  periodic(&p[1], "-1", now - 1., 0., NULL);
  periodic(&p[2], "-5", now - 5., 0., NULL);
  periodic(&p[3], "-4", now - 4., 0., NULL);
  periodic(&p[4], "-9, priority -1", now - 9., 0., NULL);
  ev_set_priority(&p[4], -1);
  for (int i = 0; i < 5; i++) ev_periodic_start(loop, &p[i]);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(periodics_of_a_turn_are_called_before_timers) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p[2];
  ev_timer t[2];
  double now = ev_now(loop);
  start_timer(loop, &t[0], "timer -10", -10., 0.);
  periodic(&p[0], "periodic -1", now - 1., 0., NULL);
  ev_periodic_start(loop, &p[0]);
  start_timer(loop, &t[1], "timer -1", -1., 0.);
  periodic(&p[1], "periodic -10", now - 10., 0., NULL);
  ev_periodic_start(loop, &p[1]);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static ev_periodic other;

static void start_the_other(struct ev_loop *loop, ev_periodic *p, int revents) {
  narrate(loop, p, revents);
  ev_periodic_start(loop, &other);
}

static void stop_the_other(struct ev_loop *loop, ev_periodic *p, int revents) {
  narrate(loop, p, revents);
  trace("other before: %s", state(&other));
  ev_periodic_stop(loop, &other);
  trace("other after: %s", state(&other));
}

CASE(periodic_started_for_the_past_in_a_callback_fires_in_the_next_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&other, "other", ev_now(loop) - 5., 0., NULL);
  periodic(&p, "p", ev_now(loop) - 1., 0., NULL);
  ev_set_cb(&p, start_the_other);
  ev_periodic_start(loop, &p);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(periodic_stopped_by_an_earlier_one_of_the_turn_is_not_called) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&other, "other", 0., 1. / 1024., NULL);
  ev_periodic_start(loop, &other);
  periodic(&p, "p", ev_now(loop) - 5., 0., NULL);
  ev_set_cb(&p, stop_the_other);
  ev_periodic_start(loop, &p);
  let_pass(.01);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(periodic_many_due_at_once_fire_in_order) {
  struct ev_loop *loop = new_loop(0);
  enum { MANY = 50 };
  static ev_periodic p[MANY];
  static char names[MANY][8];
  double now = ev_now(loop);
  for (int i = 0; i < MANY; i++) {
    int at = i * 17 % MANY;
    snprintf(names[i], sizeof names[i], "%d", at);
    periodic(&p[i], names[i], now - 100. + at, 0., NULL);
    ev_periodic_start(loop, &p[i]);
  }
  for (int i = 0; i < MANY; i += 7) ev_periodic_stop(loop, &p[i]);
  ev_verify(loop);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(periodic_without_a_reference_does_not_keep_the_loop) {
  struct ev_loop *loop = new_loop(0);
  ev_periodic p;
  periodic(&p, "p", ev_now(loop) + 1800., 3600., NULL);
  ev_periodic_start(loop, &p);
  ev_unref(loop);
  trace("run %d", ev_run(loop, 0));
  ev_ref(loop);
  ev_periodic_stop(loop, &p);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}
