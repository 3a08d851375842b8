/* SPDX-License-Identifier: BSD-3-Clause */
/* What is pending: feeding, clearing, counting, calling by hand; watchers stopped, restarted and freed meanwhile. */
#include "narrate.h"

CASE(pending_feed_of_an_inactive_watcher_calls_it_once) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w;
  bare(&w, "w", 0);
  ev_feed_event(loop, &w, EV_CUSTOM);
  trace("%s, pending %u", state(&w), ev_pending_count(loop));
  trace("run %d", ev_run(loop, 0));
  trace("%s, pending %u", state(&w), ev_pending_count(loop));
  trace("run %d", ev_run(loop, 0));
  ev_loop_destroy(loop);
}

CASE(pending_feed_again_adds_bits) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w;
  bare(&w, "w", 1);
  ev_feed_event(loop, &w, EV_READ);
  ev_feed_event(loop, &w, EV_WRITE);
  ev_feed_event(loop, &w, EV_READ | EV_TIMER);
  ev_feed_event(loop, &w, 0);
  trace("%s, pending %u", state(&w), ev_pending_count(loop));
  ev_invoke_pending(loop);
  ev_feed_event(loop, &w, EV_ASYNC);
  ev_invoke_pending(loop);
  ev_loop_destroy(loop);
}

CASE(pending_feed_of_no_bits_calls_with_none) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w;
  bare(&w, "w", 0);
  ev_feed_event(loop, &w, 0);
  trace("%s, pending %u", state(&w), ev_pending_count(loop));
  ev_invoke_pending(loop);
  trace("cleared %d", ev_clear_pending(loop, &w));
  ev_loop_destroy(loop);
}

CASE(pending_feed_of_every_bit_arrives) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w;
  bare(&w, "w", 0);
  for (unsigned bit = 0; bit < 32; bit++) {
    ev_feed_event(loop, &w, (int)(1u << bit));
    ev_invoke_pending(loop);
  }
  ev_feed_event(loop, &w, -1);
  trace("cleared %x", (unsigned)ev_clear_pending(loop, &w));
  ev_loop_destroy(loop);
}

CASE(pending_feed_of_an_active_watcher_leaves_it_active) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 500., 0.);
  ev_feed_event(loop, &t, EV_TIMER);
  trace("%s", state(&t));
  trace("turn %d", turn(loop));
  trace("%s, all is left: %s", state(&t), yes(ev_timer_remaining(loop, &t) > 400.));
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

CASE(pending_clear_returns_the_bits_and_keeps_the_place_counted) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w, other;
  bare(&w, "w", 0);
  bare(&other, "other", 0);
  trace("nothing: %s", bits(ev_clear_pending(loop, &w)));
  ev_feed_event(loop, &w, EV_READ | EV_CUSTOM);
  ev_feed_event(loop, &other, EV_CUSTOM);
  trace("pending %u", ev_pending_count(loop));
  trace("cleared: %s", bits(ev_clear_pending(loop, &w)));
  trace("%s, pending %u", state(&w), ev_pending_count(loop));
  trace("again: %s", bits(ev_clear_pending(loop, &w)));
  ev_feed_event(loop, &w, EV_WRITE);
  trace("fed anew: %s, pending %u", state(&w), ev_pending_count(loop));
  ev_invoke_pending(loop);
  trace("pending %u", ev_pending_count(loop));
  ev_loop_destroy(loop);
}

CASE(pending_cleared_ones_are_called_in_their_new_place) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w[3];
  bare(&w[0], "a", 0);
  bare(&w[1], "b", 0);
  bare(&w[2], "c", 0);
  for (int i = 0; i < 3; i++) ev_feed_event(loop, &w[i], EV_CUSTOM);
  ev_clear_pending(loop, &w[0]);
  ev_feed_event(loop, &w[0], EV_READ);
  ev_invoke_pending(loop);
  ev_loop_destroy(loop);
}

CASE(pending_invoke_calls_now_and_changes_nothing) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w;
  ev_timer t;
  bare(&w, "w", 0);
  ev_invoke(loop, &w, EV_READ | EV_CUSTOM);
  ev_feed_event(loop, &w, EV_WRITE);
  ev_invoke(loop, &w, EV_READ);
  trace("%s, pending %u", state(&w), ev_pending_count(loop));
  ev_invoke_pending(loop);
  start_timer(loop, &t, "t", 100., 0.);
  ev_invoke(loop, &t, EV_TIMER);
  trace("%s", state(&t));
  ev_timer_stop(loop, &t);
  ev_invoke(loop, &t, 0);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(pending_invoke_pending_of_nothing_does_nothing) {
  struct ev_loop *loop = new_loop(0);
  ev_invoke_pending(loop);
  ev_invoke_pending(loop);
  trace("pending %u, iterations %u, depth %u", ev_pending_count(loop), ev_iteration(loop), ev_depth(loop));
  ev_loop_destroy(loop);
}

static void invokes_the_rest(struct ev_loop *loop, ev_watcher *w, int revents) {
  narrate(loop, w, revents);
  ev_invoke_pending(loop);
  trace("%s: the rest was called, pending %u", name_of(w), ev_pending_count(loop));
}

CASE(pending_invoke_pending_in_a_callback_calls_the_rest) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w[4];
  bare(&w[0], "low", -2);
  bare(&w[1], "middle", 0);
  bare(&w[2], "invokes", 0);
  bare(&w[3], "high", 1);
  ev_set_cb(&w[2], invokes_the_rest);
  for (int i = 0; i < 4; i++) ev_feed_event(loop, &w[i], EV_CUSTOM);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static struct {
  ev_timer timer;
  ev_periodic periodic;
  ev_io io;
  ev_idle idle;
  ev_prepare prepare;
  ev_check check;
  ev_async async;
} * set;

static void init_set(int fd) {
  set = malloc(sizeof *set);
  NEED(set);
  timer(&set->timer, "timer", 500., 0.);
  ev_periodic_init(&set->periodic, narrate_periodic, ev_time() + 2500., 5000., NULL);
  ev_io_init(&set->io, narrate_io, fd, EV_READ);
  ev_idle_init(&set->idle, narrate_idle);
  ev_prepare_init(&set->prepare, narrate_prepare);
  ev_check_init(&set->check, narrate_check);
  ev_async_init(&set->async, narrate_async);
  set->periodic.data = "periodic";
  set->io.data = "io";
  set->idle.data = "idle";
  set->prepare.data = "prepare";
  set->check.data = "check";
  set->async.data = "async";
}

static void start_set(struct ev_loop *loop) {
  ev_timer_start(loop, &set->timer);
  ev_periodic_start(loop, &set->periodic);
  ev_io_start(loop, &set->io);
  ev_idle_start(loop, &set->idle);
  ev_prepare_start(loop, &set->prepare);
  ev_check_start(loop, &set->check);
  ev_async_start(loop, &set->async);
}

static void feed_set(struct ev_loop *loop) {
  ev_feed_event(loop, &set->timer, EV_CUSTOM);
  ev_feed_event(loop, &set->periodic, EV_CUSTOM);
  ev_feed_event(loop, &set->io, EV_CUSTOM);
  ev_feed_event(loop, &set->idle, EV_CUSTOM);
  ev_feed_event(loop, &set->prepare, EV_CUSTOM);
  ev_feed_event(loop, &set->check, EV_CUSTOM);
  ev_feed_event(loop, &set->async, EV_CUSTOM);
}

static void stop_set(struct ev_loop *loop) {
  ev_timer_stop(loop, &set->timer);
  ev_periodic_stop(loop, &set->periodic);
  ev_io_stop(loop, &set->io);
  ev_idle_stop(loop, &set->idle);
  ev_prepare_stop(loop, &set->prepare);
  ev_check_stop(loop, &set->check);
  ev_async_stop(loop, &set->async);
}

static void show_set(void) {
  trace("timer %s | periodic %s | io %s", state(&set->timer), state(&set->periodic), state(&set->io));
  trace("idle %s | prepare %s | check %s | async %s", state(&set->idle), state(&set->prepare), state(&set->check),
        state(&set->async));
}

/* The memory of a watcher is the program's as soon as it is stopped. */
static void free_set(void) {
  memset(set, 0xdd, sizeof *set);
  free(set);
  set = NULL;
}

CASE(pending_watchers_of_each_kind_that_are_stopped_are_not_called) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  init_set(ends[0]);
  start_set(loop);
  show_set();
  feed_set(loop);
  show_set();
  stop_set(loop);
  show_set();
  trace("turn %d", turn(loop));
  free_set();
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(pending_watchers_of_each_kind_that_were_never_started_are_cleared_by_stop) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  init_set(ends[0]);
  feed_set(loop);
  show_set();
  stop_set(loop);
  show_set();
  trace("turn %d", turn(loop));
  free_set();
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(pending_watchers_of_each_kind_are_called_when_fed) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  init_set(ends[0]);
  feed_set(loop);
  trace("pending %u", ev_pending_count(loop));
  ev_invoke_pending(loop);
  start_set(loop);
  feed_set(loop);
  ev_invoke_pending(loop);
  show_set();
  stop_set(loop);
  free_set();
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

static void stops_and_frees(struct ev_loop *loop, ev_watcher *w, int revents) {
  narrate(loop, w, revents);
  show_set();
  stop_set(loop);
  free_set();
  trace("pending %u", ev_pending_count(loop));
}

CASE(pending_watchers_freed_by_a_callback_are_not_touched) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  init_set(ends[0]);
  start_set(loop);
  ev_feed_event(loop, &set->timer, EV_CUSTOM);
  ev_feed_event(loop, &set->periodic, EV_CUSTOM);
  ev_watcher frees;
  bare(&frees, "frees", 0);
  ev_set_cb(&frees, stops_and_frees);
  ev_feed_event(loop, &frees, EV_CUSTOM);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

static void timer_frees(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  show_set();
  stop_set(loop);
  free_set();
}

CASE(pending_watchers_of_a_turn_freed_by_the_first_of_it_are_not_touched) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  init_set(ends[0]);
  ev_timer_set(&set->timer, -1., 0.);
  ev_set_priority(&set->idle, EV_MAXPRI);
  ev_set_priority(&set->check, -1);
  start_set(loop);
  ev_timer frees;
  timer(&frees, "frees", -5., 0.);
  ev_set_cb(&frees, timer_frees);
  ev_set_priority(&frees, 1);
  ev_timer_start(loop, &frees);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

static void free_self(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  memset(w, 0xdd, sizeof *w);
  free(w);
}

CASE(pending_one_shot_timers_may_free_themselves) {
  struct ev_loop *loop = new_loop(0);
  for (int i = 0; i < 5; i++) {
    ev_timer *t = malloc(sizeof *t);
    NEED(t);
    timer(t, "t", -1., 0.);
    ev_set_cb(t, free_self);
    ev_timer_start(loop, t);
  }
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void reads_and_frees(struct ev_loop *loop, ev_io *w, int revents) {
  narrate(loop, w, revents);
  ev_io_stop(loop, w);
  memset(w, 0xdd, sizeof *w);
  free(w);
}

CASE(pending_descriptor_watchers_may_free_themselves) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  for (int i = 0; i < 3; i++) {
    ev_io *w = malloc(sizeof *w);
    NEED(w);
    io(w, "io", ends[0], EV_READ);
    ev_set_cb(w, reads_and_frees);
    ev_io_start(loop, w);
  }
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

static void restarts(struct ev_loop *loop, ev_io *w, int revents) {
  narrate(loop, w, revents);
  ev_io_stop(loop, w);
  ev_io_start(loop, w);
  trace("%s", state(w));
}

CASE(pending_descriptor_watcher_restarted_in_its_callback_is_called_each_turn) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_io w;
  io(&w, "io", ends[0], EV_READ);
  ev_set_cb(&w, restarts);
  ev_io_start(loop, &w);
  for (int i = 0; i < 3; i++) trace("turn %d", turn(loop));
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

static void changes_callback(struct ev_loop *loop, ev_watcher *w, int revents) {
  trace("first callback");
  narrate(loop, w, revents);
  ev_set_cb(w, narrate_watcher);
}

CASE(pending_callback_is_the_one_of_the_time_of_the_call) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w;
  bare(&w, "w", 0);
  ev_feed_event(loop, &w, EV_CUSTOM);
  ev_set_cb(&w, changes_callback);
  trace("is set: %s", yes(ev_cb(&w) == changes_callback));
  ev_invoke_pending(loop);
  ev_feed_event(loop, &w, EV_CUSTOM);
  ev_invoke_pending(loop);
  ev_loop_destroy(loop);
}

CASE(pending_watchers_are_dropped_with_their_loop) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w;
  bare(&w, "w", 0);
  ev_feed_event(loop, &w, EV_CUSTOM);
  ev_loop_destroy(loop);
  trace("not called, %s", state(&w));
}
