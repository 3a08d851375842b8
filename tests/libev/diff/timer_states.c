/* SPDX-License-Identifier: BSD-3-Clause */
/* What ev_timer_start, ev_timer_stop, ev_timer_again and ev_timer_remaining do to a timer in each of its states. */
#include "narrate.h"

CASE(timer_init_sets_every_public_field) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  memset(&t, 0x5a, sizeof t);
  timer(&t, "t", 5., 7.);
  trace("%s, repeat %g, remaining %g, callback %s", state(&t), t.repeat, ev_timer_remaining(loop, &t),
        yes(ev_cb(&t) == narrate_timer));
  ev_timer_set(&t, 3., 0.);
  trace("set again: repeat %g, remaining %g", t.repeat, ev_timer_remaining(loop, &t));
  ev_loop_destroy(loop);
}

CASE(timer_start_counts_from_the_time_of_the_loop) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 5., 7.);
  trace("started: %s, remaining is after: %s", state(&t), yes(same(ev_timer_remaining(loop, &t), 5.)));
  let_pass(.02);
  trace("the loop's time stands: %s", yes(same(ev_timer_remaining(loop, &t), 5.)));
  ev_now_update(loop);
  trace("it moved: %s", yes(ev_timer_remaining(loop, &t) <= 5. - .019));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

CASE(timer_start_of_an_active_timer_changes_nothing) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 500., 0.);
  let_pass(.01);
  ev_now_update(loop);
  double before = ev_timer_remaining(loop, &t);
  ev_timer_start(loop, &t);
  trace("%s, same time: %s", state(&t), yes(same(before, ev_timer_remaining(loop, &t))));
  trace("turn %d", turn(loop));
  ev_timer_stop(loop, &t);
  trace("one stop is enough: %s", state(&t));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timer_stop_of_an_inactive_timer_changes_nothing) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", 4., 2.);
  ev_timer_stop(loop, &t);
  ev_timer_stop(loop, &t);
  trace("%s, remaining %g, repeat %g", state(&t), ev_timer_remaining(loop, &t), t.repeat);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timer_stopped_half_way_goes_on_from_there) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 500., 0.);
  let_pass(.02);
  ev_now_update(loop);
  double left = ev_timer_remaining(loop, &t);
  ev_timer_stop(loop, &t);
  trace("stopped: %s, keeps what was left: %s", state(&t), yes(same(left, ev_timer_remaining(loop, &t))));
  let_pass(.02);
  ev_now_update(loop);
  ev_timer_start(loop, &t);
  trace("started: %s, from there: %s", state(&t), yes(same(left, ev_timer_remaining(loop, &t))));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

static void show_remaining(struct ev_loop *loop, ev_timer *t, int revents) {
  narrate(loop, t, revents);
  double left = ev_timer_remaining(loop, t);
  trace("remaining: %s", left < 0. ? "below zero" : left <= t->repeat ? "within repeat" : "more than repeat");
}

CASE(timer_one_shot_is_stopped_when_it_is_called) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", .002, 0.);
  ev_set_cb(&t, show_remaining);
  ev_timer_start(loop, &t);
  trace("run: %d", run_guarded(loop, 0));
  trace("after: %s", state(&t));
  ev_loop_destroy(loop);
}

CASE(timer_started_again_without_set_is_due_at_once) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", .002, 0.);
  run_guarded(loop, 0);
  for (int i = 0; i < 3; i++) {
    ev_timer_start(loop, &t);
    trace("started: %s", state(&t));
    trace("turn: %d", turn(loop));
  }
  ev_loop_destroy(loop);
}

static void stop_after_three(struct ev_loop *loop, ev_timer *t, int revents) {
  static int calls;
  show_remaining(loop, t, revents);
  if (++calls == 3) ev_timer_stop(loop, t);
}

CASE(timer_repeating_is_active_when_it_is_called) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", .001, .003);
  ev_set_cb(&t, stop_after_three);
  ev_timer_start(loop, &t);
  trace("run: %d", run_guarded(loop, 0));
  trace("after: %s, repeat %g", state(&t), t.repeat);
  ev_loop_destroy(loop);
}

static void make_one_shot(struct ev_loop *loop, ev_timer *t, int revents) {
  narrate(loop, t, revents);
  t->repeat = 0.;
}

CASE(timer_whose_repeat_becomes_zero_fires_once_more) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", 0., .002);
  ev_set_cb(&t, make_one_shot);
  ev_timer_start(loop, &t);
  trace("run: %d", run_guarded(loop, 0));
  trace("after: %s", state(&t));
  ev_loop_destroy(loop);
}

CASE(timer_repeat_changed_counts_from_the_next_timeout) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 100., 10.);
  t.repeat = 20.;
  trace("not yet: %s", yes(same(ev_timer_remaining(loop, &t), 100.)));
  ev_timer_again(loop, &t);
  trace("again: %s", yes(same(ev_timer_remaining(loop, &t), 20.)));
  t.repeat = 7.;
  turn(loop);
  trace("not yet: %s", yes(ev_timer_remaining(loop, &t) > 7.));
  ev_timer_again(loop, &t);
  trace("again: %s, %s", yes(same(ev_timer_remaining(loop, &t), 7.)), state(&t));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

CASE(timer_again_of_an_inactive_one_shot_does_nothing) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", 9., 0.);
  ev_timer_again(loop, &t);
  trace("%s, remaining %g", state(&t), ev_timer_remaining(loop, &t));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timer_again_of_an_inactive_repeating_timer_starts_it_with_repeat) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  timer(&t, "t", 900., 30.);
  ev_timer_again(loop, &t);
  trace("%s, repeat counts: %s", state(&t), yes(same(ev_timer_remaining(loop, &t), 30.)));
  trace("turn %d", turn(loop));
  ev_timer_stop(loop, &t);
  ev_init(&t, narrate_timer);
  t.data = "bare";
  t.repeat = .001;
  ev_timer_again(loop, &t);
  run_guarded(loop, EVRUN_ONCE);
  ev_timer_stop(loop, &t);
  trace("stopped: %s", state(&t));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timer_again_of_an_active_one_shot_stops_it) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 0., 0.);
  ev_timer_again(loop, &t);
  trace("%s", state(&t));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timer_again_of_an_active_repeating_timer_resets_it) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 0., 50.);
  ev_timer_again(loop, &t);
  trace("%s, %s", state(&t), yes(same(ev_timer_remaining(loop, &t), 50.)));
  trace("turn %d", turn(loop));
  let_pass(.01);
  ev_now_update(loop);
  ev_timer_again(loop, &t);
  trace("%s, %s", state(&t), yes(same(ev_timer_remaining(loop, &t), 50.)));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

CASE(timer_again_clears_what_is_pending) {
  struct ev_loop *loop = new_loop(0);
  ev_timer one_shot, repeating;
  timer(&one_shot, "one shot", 5., 0.);
  timer(&repeating, "repeating", 5., 60.);
  ev_feed_event(loop, &one_shot, EV_CUSTOM);
  ev_feed_event(loop, &repeating, EV_CUSTOM);
  trace("%s | %s", state(&one_shot), state(&repeating));
  ev_timer_again(loop, &one_shot);
  ev_timer_again(loop, &repeating);
  trace("%s | %s", state(&one_shot), state(&repeating));
  trace("turn %d", turn(loop));
  ev_feed_event(loop, &repeating, EV_CUSTOM);
  ev_timer_again(loop, &repeating);
  trace("%s", state(&repeating));
  trace("turn %d", turn(loop));
  ev_timer_stop(loop, &repeating);
  ev_loop_destroy(loop);
}

CASE(timer_stop_clears_what_is_pending) {
  struct ev_loop *loop = new_loop(0);
  ev_timer active, inactive;
  start_timer(loop, &active, "active", 500., 0.);
  timer(&inactive, "inactive", 500., 0.);
  ev_feed_event(loop, &active, EV_CUSTOM);
  ev_feed_event(loop, &inactive, EV_CUSTOM);
  ev_timer_stop(loop, &active);
  ev_timer_stop(loop, &inactive);
  trace("%s | %s, remaining %s %g", state(&active), state(&inactive),
        yes(same(ev_timer_remaining(loop, &active), 500.)), ev_timer_remaining(loop, &inactive));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(timer_very_far_away_does_not_fire) {
  struct ev_loop *loop = new_loop(0);
  static const double far[] = {1e6, 1e9, 1e12, 1e15, 1e30};
  ev_timer t[5];
  for (size_t i = 0; i < 5; i++) start_timer(loop, &t[i], "far", far[i], 0.);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  for (size_t i = 0; i < 5; i++) {
    trace("%s, remaining %s", state(&t[i]), yes(ev_timer_remaining(loop, &t[i]) > far[i] * .99));
    ev_timer_stop(loop, &t[i]);
  }
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void waits_for_a_far_timer(struct ev_loop *loop) {
  int ends[2];
  make_pipe(ends);
  ev_io reader;
  io(&reader, "reader", ends[0], EV_READ);
  ev_io_start(loop, &reader);
  put(ends[1], 1);
  ev_run(loop, EVRUN_ONCE);
  ev_io_stop(loop, &reader);
  close_both(ends);
}

CASE(timer_very_far_away_does_not_disturb_waiting) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "far", 1e30, 0.);
  waits_for_a_far_timer(loop);
  ev_timer_stop(loop, &t);
  start_timer(loop, &t, "far", 3e9, 1e12);
  waits_for_a_far_timer(loop);
  trace("%s", state(&t));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

static void start_negative(void *repeat) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 1., *(double *)repeat);
  trace("started");
}

CASE(timer_with_a_negative_repeat_cannot_be_started) {
  double repeat = -1.;
  in_child("repeat -1", start_negative, &repeat);
  repeat = 1.;
  in_child("repeat 1", start_negative, &repeat);
}

static void repeat_becomes_negative(void *nothing) {
  (void)nothing;
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 0., 10.);
  t.repeat = -10.;
  turn(loop);
  trace("turned");
}

CASE(timer_whose_repeat_became_negative_aborts_when_due) { in_child("negative", repeat_becomes_negative, NULL); }

CASE(timer_without_a_reference_does_not_keep_the_loop) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 300., 0.);
  ev_unref(loop);
  trace("run: %d, %s", ev_run(loop, 0), state(&t));
  ev_ref(loop);
  trace("turn: %d", turn(loop));
  ev_timer_stop(loop, &t);
  trace("turn: %d", turn(loop));
  ev_loop_destroy(loop);
}
