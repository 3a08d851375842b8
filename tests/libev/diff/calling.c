/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_set_invoke_pending_cb and ev_set_loop_release_cb: when the loop calls what the program put in. */
#include "narrate.h"

static int quiet;

static void instead(struct ev_loop *loop) {
  trace("instead: pending %u, depth %u, iterations %u, userdata %s", ev_pending_count(loop), ev_depth(loop),
        ev_iteration(loop), ev_userdata(loop) ? (const char *)ev_userdata(loop) : "none");
  if (!quiet) ev_invoke_pending(loop);
}

static void prepare(ev_prepare *w) {
  ev_prepare_init(w, narrate_prepare);
  w->data = "prepare";
}

static void check(ev_check *w) {
  ev_check_init(w, narrate_check);
  w->data = "check";
}

CASE(calling_instead_is_called_at_entry_and_after_the_wait) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  ev_set_invoke_pending_cb(loop, instead);
  trace("turn %d", turn(loop));
  start_timer(loop, &t, "timer", -1., 0.);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(calling_instead_is_called_after_prepare_too) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  prepare(&p);
  check(&c);
  ev_set_userdata(loop, "data");
  ev_set_invoke_pending_cb(loop, instead);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  trace("turn %d", turn(loop));
  ev_prepare_stop(loop, &p);
  ev_check_stop(loop, &c);
  ev_loop_destroy(loop);
}

CASE(calling_instead_may_leave_everything_pending) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  ev_check c;
  check(&c);
  quiet = 1;
  ev_set_invoke_pending_cb(loop, instead);
  start_timer(loop, &t, "timer", -1., 0.);
  ev_check_start(loop, &c);
  trace("turn %d", turn(loop));
  trace("timer %s, check %s", state(&t), state(&c));
  trace("turn %d", turn(loop));
  quiet = 0;
  trace("turn %d", turn(loop));
  ev_check_stop(loop, &c);
  ev_loop_destroy(loop);
}

CASE(calling_the_original_may_be_put_back) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  ev_set_invoke_pending_cb(loop, instead);
  ev_set_invoke_pending_cb(loop, ev_invoke_pending);
  start_timer(loop, &t, "timer", -1., 0.);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void cleaned(struct ev_loop *loop, ev_cleanup *w, int revents) { narrate(loop, w, revents); }

CASE(calling_instead_is_called_for_cleanup_watchers) {
  struct ev_loop *loop = new_loop(0);
  ev_cleanup c;
  ev_cleanup_init(&c, cleaned);
  c.data = "cleanup";
  ev_cleanup_start(loop, &c);
  ev_unref(loop);
  ev_set_invoke_pending_cb(loop, instead);
  ev_loop_destroy(loop);
  trace("destroyed");
}

static void release(struct ev_loop *loop) EV_NOEXCEPT {
  trace("release: pending %u, iterations %u", ev_pending_count(loop), ev_iteration(loop));
}

static void acquire(struct ev_loop *loop) EV_NOEXCEPT {
  trace("acquire: pending %u, iterations %u", ev_pending_count(loop), ev_iteration(loop));
}

CASE(calling_release_and_acquire_bracket_the_wait) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  ev_timer t;
  prepare(&p);
  check(&c);
  ev_set_loop_release_cb(loop, release, acquire);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  start_timer(loop, &t, "timer", -1., 0.);
  trace("turn %d", turn(loop));
  start_timer(loop, &t, "timer", -1., 0.);
  trace("once %d", ev_run(loop, EVRUN_ONCE) != 0);
  ev_prepare_stop(loop, &p);
  ev_check_stop(loop, &c);
  trace("nothing active %d", ev_run(loop, 0));
  ev_loop_destroy(loop);
}

CASE(calling_release_and_acquire_can_be_taken_out) {
  struct ev_loop *loop = new_loop(0);
  ev_set_loop_release_cb(loop, release, acquire);
  trace("turn %d", turn(loop));
  ev_set_loop_release_cb(loop, NULL, NULL);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(calling_release_or_acquire_alone) {
  struct ev_loop *loop = new_loop(0);
  ev_set_loop_release_cb(loop, release, NULL);
  trace("turn %d", turn(loop));
  ev_set_loop_release_cb(loop, NULL, acquire);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static ev_async async;
static ev_io reader;
static int reader_fd;

static void release_sends(struct ev_loop *loop) EV_NOEXCEPT {
  trace("release, sends");
  ev_async_send(loop, &async);
}

static void stops_async(struct ev_loop *loop, ev_async *w, int revents) {
  narrate(loop, w, revents);
  ev_async_stop(loop, w);
}

CASE(calling_release_may_wake_the_loop_it_releases) {
  struct ev_loop *loop = new_loop(0);
  ev_async_init(&async, stops_async);
  async.data = "async";
  ev_async_start(loop, &async);
  ev_set_loop_release_cb(loop, release_sends, acquire);
  trace("run %d", run_guarded(loop, EVRUN_ONCE));
  trace("async %s", state(&async));
  ev_set_loop_release_cb(loop, NULL, NULL);
  ev_loop_destroy(loop);
}

/* What other threads do while the lock is theirs: the loop takes it in with its next turn. */
static void acquire_starts(struct ev_loop *loop) EV_NOEXCEPT {
  trace("acquire, starts a reader");
  io(&reader, "reader", reader_fd, EV_READ);
  ev_io_start(loop, &reader);
  ev_set_loop_release_cb(loop, release, acquire);
}

CASE(calling_a_watcher_started_during_the_wait_has_its_turn_next) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  reader_fd = ends[0];
  ev_set_loop_release_cb(loop, release, acquire_starts);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_io_stop(loop, &reader);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(calling_instead_and_release_together) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  ev_set_invoke_pending_cb(loop, instead);
  ev_set_loop_release_cb(loop, release, acquire);
  start_timer(loop, &t, "timer", -1., 0.);
  trace("run %d", ev_run(loop, EVRUN_ONCE));
  ev_loop_destroy(loop);
}
