/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_run: what a pass is, what ends a run, what it returns, runs within runs. */
#include "diff.h"

#include <pthread.h>

static const char *name_of(void *data) { return data; }

static void prepared(struct ev_loop *loop, ev_prepare *w, int revents) {
  (void)revents;
  trace("%s: depth %u", name_of(w->data), ev_depth(loop));
}

static void checked(struct ev_loop *loop, ev_check *w, int revents) {
  (void)revents;
  trace("%s: depth %u", name_of(w->data), ev_depth(loop));
}

static void start_frame(struct ev_loop *loop, ev_prepare *p, ev_check *c) {
  ev_prepare_init(p, prepared);
  p->data = (void *)(uintptr_t) "prepare";
  ev_prepare_start(loop, p);
  ev_unref(loop);
  ev_check_init(c, checked);
  c->data = (void *)(uintptr_t) "check";
  ev_check_start(loop, c);
  ev_unref(loop);
}

static void stop_frame(struct ev_loop *loop, ev_prepare *p, ev_check *c) {
  ev_ref(loop);
  ev_prepare_stop(loop, p);
  ev_ref(loop);
  ev_check_stop(loop, c);
}

static void run_traced(struct ev_loop *loop, const char *what, int flags) {
  unsigned before = ev_iteration(loop);
  int active = ev_run(loop, flags);
  trace("%s: %d active, %u passes, depth %u", what, active, ev_iteration(loop) - before, ev_depth(loop));
}

CASE(with_nothing_active_a_run_is_one_pass) {
  struct ev_loop *loop = new_loop(0);
  ev_prepare p;
  ev_check c;
  trace("fresh: iteration %u depth %u", ev_iteration(loop), ev_depth(loop));
  run_traced(loop, "empty", 0);
  start_frame(loop, &p, &c);
  run_traced(loop, "to the end", 0);
  run_traced(loop, "once", EVRUN_ONCE);
  run_traced(loop, "no wait", EVRUN_NOWAIT);
  run_traced(loop, "once, no wait", EVRUN_NOWAIT | EVRUN_ONCE);
  stop_frame(loop, &p, &c);
  ev_loop_destroy(loop);
}

static void count_down(struct ev_loop *loop, ev_timer *w, int revents) {
  int *left = w->data;
  (void)revents;
  trace("timer, %d left", --*left);
  if (!*left) ev_timer_stop(loop, w);
}

CASE(a_run_ends_when_nothing_is_active) {
  struct ev_loop *loop = new_loop(0);
  ev_timer w;
  int left = 3;
  ev_timer_init(&w, count_down, 0.002, 0.002);
  w.data = &left;
  ev_timer_start(loop, &w);
  trace("run: %d", run_guarded(loop, 0));
  trace("left: %d, %s", left, state(&w));
  ev_loop_destroy(loop);
}

CASE(once_waits_for_one_round_of_events) {
  struct ev_loop *loop = new_loop(0);
  ev_timer w;
  int left = 5;
  ev_timer_init(&w, count_down, 0.002, 0.002);
  w.data = &left;
  ev_timer_start(loop, &w);
  for (int i = 0; i < 3; i++) {
    int before = left;
    while (left == before) ev_run(loop, EVRUN_ONCE); /* a system's wait may end early */
    trace("once: %d", before - left);
  }
  ev_timer_stop(loop, &w);
  ev_loop_destroy(loop);
}

CASE(no_wait_does_not_wait) {
  struct ev_loop *loop = new_loop(0);
  ev_timer w;
  int left = 1;
  ev_timer_init(&w, count_down, 3600., 0.);
  w.data = &left;
  ev_timer_start(loop, &w);
  for (int i = 0; i < 3; i++) run_traced(loop, "no wait", EVRUN_NOWAIT);
  ev_timer_stop(loop, &w);
  run_traced(loop, "stopped", EVRUN_NOWAIT);
  ev_loop_destroy(loop);
}

/* A watcher that is fed again and again: what happens in it is the case's. */
struct script {
  ev_prepare w;
  void (*act)(struct ev_loop *loop, struct script *self);
  int calls, limit;
};

static void play(struct ev_loop *loop, ev_prepare *w, int revents) {
  struct script *self = (struct script *)(void *)((char *)w - offsetof(struct script, w));
  (void)revents;
  if (self->calls++ < self->limit) self->act(loop, self);
}

static void script_init(struct script *self, void (*act)(struct ev_loop *, struct script *), int limit) {
  memset(self, 0, sizeof *self);
  ev_prepare_init(&self->w, play);
  self->act = act;
  self->limit = limit;
}

static int how_to_break;

static void break_once(struct ev_loop *loop, struct script *self) {
  trace("call %d at depth %u", self->calls, ev_depth(loop));
  if (self->calls == 3) ev_break(loop, how_to_break);
}

static void break_by(int how) {
  struct ev_loop *loop = new_loop(0);
  struct script s;
  ev_prepare p;
  ev_check c;
  ev_idle idle;
  start_frame(loop, &p, &c);
  ev_init(&idle, NULL);
  script_init(&s, break_once, 5);
  how_to_break = how;
  ev_prepare_start(loop, &s.w);
  ev_ref(loop);
  for (int i = 0; i < 6; i++) run_traced(loop, "run", i < 5 ? EVRUN_NOWAIT : EVRUN_NOWAIT | EVRUN_ONCE);
  ev_unref(loop);
  ev_prepare_stop(loop, &s.w);
  stop_frame(loop, &p, &c);
  ev_loop_destroy(loop);
}

CASE(a_break_in_prepare_ends_the_pass_before_it_waits) {
  break_by(EVBREAK_ONE);
  break_by(EVBREAK_ALL);
  break_by(EVBREAK_CANCEL);
}

static void idle_breaks(struct ev_loop *loop, ev_idle *w, int revents) {
  int *left = w->data;
  (void)revents;
  trace("idle, %d left", --*left);
  if (!*left) ev_break(loop, EVBREAK_ONE);
}

CASE(a_break_in_a_callback_ends_the_run_after_the_pass) {
  struct ev_loop *loop = new_loop(0);
  ev_idle first, second;
  int left[2] = {2, 100};
  ev_idle_init(&first, idle_breaks);
  ev_idle_init(&second, idle_breaks);
  first.data = &left[0];
  second.data = &left[1];
  ev_idle_start(loop, &first);
  ev_idle_start(loop, &second);
  run_traced(loop, "run", 0);
  left[0] = 1;
  run_traced(loop, "again", 0);
  ev_idle_stop(loop, &first);
  ev_idle_stop(loop, &second);
  run_traced(loop, "nothing left", 0);
  ev_loop_destroy(loop);
}

static void one_then_cancel(struct ev_loop *loop, ev_idle *w, int revents) {
  int *left = w->data;
  (void)revents;
  trace("idle, %d left", --*left);
  ev_break(loop, EVBREAK_ALL);
  if (*left) ev_break(loop, EVBREAK_CANCEL);
}

CASE(a_break_that_is_cancelled_is_none) {
  struct ev_loop *loop = new_loop(0);
  ev_idle w;
  int left = 4;
  ev_idle_init(&w, one_then_cancel);
  w.data = &left;
  ev_idle_start(loop, &w);
  run_traced(loop, "run", 0);
  ev_idle_stop(loop, &w);
  ev_loop_destroy(loop);
}

CASE(a_break_outside_a_run_means_nothing) {
  struct ev_loop *loop = new_loop(0);
  ev_idle w;
  int left = 2;
  ev_idle_init(&w, idle_breaks);
  w.data = &left;
  ev_idle_start(loop, &w);
  ev_break(loop, EVBREAK_ALL);
  run_traced(loop, "after all", 0);
  left = 2;
  ev_break(loop, EVBREAK_ONE);
  run_traced(loop, "after one", 0);
  ev_idle_stop(loop, &w);
  ev_loop_destroy(loop);
}

static void break_all(struct ev_loop *loop, struct script *self) {
  trace("fed call %d", self->calls);
  ev_break(loop, EVBREAK_ALL);
}

CASE(what_was_pending_before_a_run_may_break_it) {
  struct ev_loop *loop = new_loop(0);
  struct script s;
  ev_prepare p;
  ev_check c;
  start_frame(loop, &p, &c);
  script_init(&s, break_all, 9);
  ev_ref(loop);
  ev_feed_event(loop, &s.w, EV_CUSTOM);
  run_traced(loop, "broken at entry", 0);
  ev_feed_event(loop, &s.w, EV_CUSTOM);
  run_traced(loop, "once", EVRUN_ONCE);
  ev_unref(loop);
  run_traced(loop, "quiet", 0);
  stop_frame(loop, &p, &c);
  ev_loop_destroy(loop);
}

/* --- Runs within runs */

struct nest {
  ev_timer w;
  struct nest *inner;
  const char *name;
  int how, limit;
};

static void nested(struct ev_loop *loop, ev_timer *w, int revents) {
  struct nest *self = w->data;
  (void)revents;
  trace("%s at depth %u", self->name, ev_depth(loop));
  if (self->inner) {
    ev_timer_start(loop, &self->inner->w);
    int active = ev_run(loop, 0);
    trace("%s: inner run ended, %d active, depth %u", self->name, active, ev_depth(loop));
  }
  if (self->how >= 0) ev_break(loop, self->how);
  if (!--self->limit) ev_timer_stop(loop, w);
}

static void nest_init(struct nest *self, const char *name, struct nest *inner, int how, int limit) {
  ev_timer_init(&self->w, nested, 0.001, 0.001);
  self->w.data = self;
  self->inner = inner;
  self->name = name;
  self->how = how;
  self->limit = limit;
}

static void nest_by(int how) {
  struct ev_loop *loop = new_loop(0);
  struct nest outer, middle, inner;
  nest_init(&inner, "inner", NULL, how, 9);
  nest_init(&middle, "middle", &inner, how == EVBREAK_ONE ? EVBREAK_ONE : -1, 1);
  nest_init(&outer, "outer", &middle, -1, 1);
  /* Each timer runs the loop until its inner one breaks; one timer at a time, so that their order is given. */
  ev_timer_start(loop, &outer.w);
  outer.w.repeat = middle.w.repeat = 3600.;
  inner.w.repeat = 3600.;
  while (outer.limit) ev_run(loop, EVRUN_ONCE);
  trace("outer %s, middle %s, inner %s", state(&outer.w), state(&middle.w), state(&inner.w));
  ev_timer_stop(loop, &outer.w);
  ev_timer_stop(loop, &middle.w);
  ev_timer_stop(loop, &inner.w);
  run_traced(loop, "nothing left", 0);
  ev_loop_destroy(loop);
}

static int depth_wanted, break_with;

/* Goes down to the depth wanted and breaks there; tells on the way up where runs went on. */
static void dive(struct ev_loop *loop, struct script *self) {
  unsigned depth = ev_depth(loop);
  trace("down at depth %u", depth);
  if ((int)depth == depth_wanted) {
    ev_break(loop, break_with);
    return;
  }
  ev_feed_event(loop, &self->w, EV_CUSTOM);
  int active = ev_run(loop, EVRUN_NOWAIT);
  trace("up at depth %u, %d active", ev_depth(loop), active);
}

static void breaks_from(int depth, int how) {
  struct ev_loop *loop = new_loop(0);
  struct script s;
  ev_idle idle;
  int left = 4;
  depth_wanted = depth;
  break_with = how;
  script_init(&s, dive, 100);
  ev_idle_init(&idle, idle_breaks);
  idle.data = &left;
  ev_idle_start(loop, &idle);
  ev_feed_event(loop, &s.w, EV_CUSTOM);
  trace("from depth %d by %d", depth, how);
  run_traced(loop, "run", 0);
  run_traced(loop, "again", EVRUN_NOWAIT);
  ev_idle_stop(loop, &idle);
  ev_loop_destroy(loop);
}

CASE(a_break_of_one_ends_the_innermost_run) {
  breaks_from(1, EVBREAK_ONE);
  breaks_from(2, EVBREAK_ONE);
  breaks_from(3, EVBREAK_ONE);
}

CASE(a_break_of_all_ends_every_run) {
  breaks_from(1, EVBREAK_ALL);
  breaks_from(2, EVBREAK_ALL);
  breaks_from(3, EVBREAK_ALL);
}

CASE(runs_in_timers_break_one_another) {
  nest_by(EVBREAK_ONE);
  nest_by(EVBREAK_ALL);
}

static struct script order[4];

static void tell_and_run(struct ev_loop *loop, struct script *self) {
  int index = (int)(self - order);
  trace("%d begins, %u pending", index, ev_pending_count(loop));
  if (index == 1) ev_run(loop, EVRUN_NOWAIT);
  trace("%d ends, %u pending", index, ev_pending_count(loop));
}

CASE(an_inner_run_calls_what_the_outer_one_has_pending) {
  struct ev_loop *loop = new_loop(0);
  for (int i = 0; i < 4; i++) {
    script_init(&order[i], tell_and_run, 9);
    ev_feed_event(loop, &order[i].w, EV_CUSTOM);
  }
  /* The last fed comes first; the second runs the loop, and the others come within it. */
  run_traced(loop, "run", EVRUN_NOWAIT);
  ev_loop_destroy(loop);
}

static void read_and_dive(struct ev_loop *loop, ev_io *w, int revents) {
  char byte;
  ssize_t got = read(w->fd, &byte, 1);
  (void)revents;
  trace("reads %d at depth %u", (int)got, ev_depth(loop));
  if (ev_depth(loop) < 4) ev_run(loop, EVRUN_NOWAIT);
  trace("ends at depth %u", ev_depth(loop));
}

CASE(a_callback_is_called_within_itself_by_an_inner_run) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  put(ends[1], 3);
  ev_io_init(&w, read_and_dive, ends[0], EV_READ);
  ev_io_start(loop, &w);
  turn(loop);
  trace("next");
  turn(loop);
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(each_pass_is_an_iteration) {
  struct ev_loop *loop = new_loop(0);
  struct ev_loop *other = new_loop(0);
  for (int i = 0; i < 5; i++) {
    turn(loop);
    trace("%u, other %u", ev_iteration(loop), ev_iteration(other));
  }
  ev_invoke_pending(loop);
  trace("%u", ev_iteration(loop));
  turns(other, 2);
  trace("%u, other %u", ev_iteration(loop), ev_iteration(other));
  ev_loop_destroy(loop);
  ev_loop_destroy(other);
}

/* --- What counts as active */

static void quiet_timer(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)loop;
  (void)w;
  trace("timer %s", bits(revents));
}

CASE(a_watcher_without_a_reference_does_not_hold_a_run) {
  struct ev_loop *loop = new_loop(0);
  ev_timer held, loose;
  ev_timer_init(&held, quiet_timer, 0.002, 0.);
  ev_timer_init(&loose, quiet_timer, 3600., 0.);
  ev_timer_start(loop, &loose);
  trace("one: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_unref(loop);
  trace("unreferenced: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_timer_start(loop, &held);
  trace("run: %d", run_guarded(loop, 0));
  trace("loose: %s", state(&loose));
  ev_ref(loop);
  ev_timer_stop(loop, &loose);
  trace("none: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_loop_destroy(loop);
}

static void release(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)w;
  (void)revents;
  trace("released");
  ev_unref(loop);
}

CASE(a_reference_holds_a_run) {
  struct ev_loop *loop = new_loop(0);
  ev_timer w;
  ev_ref(loop);
  ev_ref(loop);
  trace("no wait: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_timer_init(&w, release, 0.002, 0.);
  ev_timer_start(loop, &w);
  ev_unref(loop);
  trace("run: %d", run_guarded(loop, 0));
  ev_loop_destroy(loop);
}

CASE(each_kind_of_watcher_counts_once) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io io;
  ev_timer timer;
  ev_periodic periodic;
  ev_idle idle;
  ev_prepare prepare;
  ev_check check;
  ev_fork forked;
  ev_cleanup cleanup;
  ev_async async;
  make_pipe(ends);
  ev_io_init(&io, NULL, ends[0], EV_READ);
  ev_timer_init(&timer, quiet_timer, 3600., 0.);
  ev_periodic_init(&periodic, NULL, ev_time() + 3600., 0., NULL);
  ev_init(&idle, NULL);
  ev_prepare_init(&prepare, prepared);
  ev_check_init(&check, checked);
  prepare.data = (void *)(uintptr_t) "prepare watcher";
  check.data = (void *)(uintptr_t) "check watcher";
  ev_init(&forked, NULL);
  ev_init(&cleanup, NULL);
  ev_init(&async, NULL);
  ev_io_start(loop, &io);
  trace("io: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_timer_start(loop, &timer);
  trace("timer: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_periodic_start(loop, &periodic);
  trace("periodic: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_prepare_start(loop, &prepare);
  trace("prepare: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_check_start(loop, &check);
  trace("check: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_fork_start(loop, &forked);
  trace("fork: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_cleanup_start(loop, &cleanup);
  trace("cleanup: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_async_start(loop, &async);
  trace("async: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_cleanup_stop(loop, &cleanup);
  ev_async_stop(loop, &async);
  ev_fork_stop(loop, &forked);
  ev_check_stop(loop, &check);
  ev_prepare_stop(loop, &prepare);
  ev_periodic_stop(loop, &periodic);
  ev_timer_stop(loop, &timer);
  trace("io again: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_io_stop(loop, &io);
  trace("none: %d", ev_run(loop, EVRUN_NOWAIT));
  close_both(ends);
  ev_loop_destroy(loop);
}

/* --- Signals that are not the loop's */

static volatile sig_atomic_t handled;
static volatile int run_ended;

static void on_signal(int signum) { handled = signum; }

static void *nag(void *thread) {
  struct timespec pause = {0, 10000000};
  while (!__atomic_load_n(&run_ended, __ATOMIC_ACQUIRE)) {
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

CASE(a_signal_that_nobody_watches_ends_the_wait_of_a_pass) {
  struct ev_loop *loop = new_loop(0);
  struct sigaction action = {.sa_handler = on_signal};
  pthread_t self = pthread_self(), thread;
  ev_timer never;
  NEED(!sigaction(SIGUSR1, &action, NULL));
  ev_timer_init(&never, quiet_timer, PATIENCE, 0.);
  ev_timer_start(loop, &never);
  NEED(!pthread_create(&thread, NULL, nag, &self));
  trace("once: %d", ev_run(loop, EVRUN_ONCE));
  __atomic_store_n(&run_ended, 1, __ATOMIC_RELEASE);
  NEED(!pthread_join(thread, NULL));
  trace("handled: %d, timer %s", handled == SIGUSR1, state(&never));
  ev_timer_stop(loop, &never);
  ev_loop_destroy(loop);
}
