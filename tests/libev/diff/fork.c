/* SPDX-License-Identifier: BSD-3-Clause */
/* Loops in forked children: those that are told go on, with events of their own, and the parent's are not disturbed. */
#include "diff.h"

#include <pthread.h>
#include <sys/wait.h>

static void told(struct ev_loop *loop, ev_io *w, int revents) {
  (void)loop;
  trace("%s: %s, %d bytes", (const char *)w->data, bits(revents), drain(w->fd));
}

static void forked(struct ev_loop *loop, ev_fork *w, int revents) {
  trace("%s: %s, %u pending", (const char *)w->data, bits(revents), ev_pending_count(loop));
}

static void prepared(struct ev_loop *loop, ev_prepare *w, int revents) {
  (void)loop;
  (void)w;
  trace("prepare: %s", bits(revents));
}

static void watch(struct ev_loop *loop, ev_io *w, const char *name, int fd) {
  ev_io_init(w, told, fd, EV_READ);
  w->data = (void *)(uintptr_t)name;
  ev_io_start(loop, w);
}

static void watch_fork(struct ev_loop *loop, ev_fork *w, const char *name, int priority) {
  ev_fork_init(w, forked);
  w->data = (void *)(uintptr_t)name;
  ev_set_priority(w, priority);
  ev_fork_start(loop, w);
}

struct shared {
  struct ev_loop *loop;
  int ends[2];
  ev_io io;
  ev_async async;
  ev_timer timer;
  int told_fork;
};

static void setup(struct shared *s, struct ev_loop *loop) {
  memset(s, 0, sizeof *s);
  s->loop = loop;
  make_pipe(s->ends);
  watch(loop, &s->io, "io", s->ends[0]);
  turn(loop);
}

static void teardown(struct shared *s) {
  ev_io_stop(s->loop, &s->io);
  close_both(s->ends);
  ev_loop_destroy(s->loop);
}

static void use_in_child(void *arg) {
  struct shared *s = arg;
  if (s->told_fork) ev_loop_fork(s->loop);
  turn(s->loop);
  put(s->ends[1], 2);
  turns(s->loop, 2);
  int own[2];
  ev_io w;
  make_pipe(own);
  put(own[1], 1);
  watch(s->loop, &w, "the child's own", own[0]);
  turn(s->loop);
  ev_io_stop(s->loop, &s->io);
  put(own[1], 3);
  turn(s->loop);
  ev_io_stop(s->loop, &w);
  trace("nothing left: %d", ev_run(s->loop, 0));
}

CASE(a_child_that_says_so_goes_on) {
  struct shared s;
  setup(&s, new_loop(0));
  s.told_fork = 1;
  in_child("child", use_in_child, &s);
  trace("parent");
  turn(s.loop);
  put(s.ends[1], 1);
  turn(s.loop);
  teardown(&s);
}

CASE(a_child_is_noticed_by_a_loop_that_checks) {
  struct shared s;
  setup(&s, new_loop(EVFLAG_FORKCHECK));
  in_child("child", use_in_child, &s);
  trace("parent");
  put(s.ends[1], 1);
  turns(s.loop, 2);
  teardown(&s);
}

CASE(the_default_loop_in_a_child) {
  struct shared s;
  setup(&s, ev_default_loop(EVFLAG_NOENV));
  s.told_fork = 1;
  in_child("child", use_in_child, &s);
  trace("parent");
  put(s.ends[1], 1);
  turns(s.loop, 2);
  teardown(&s);
}

CASE(a_select_loop_in_a_child) {
  struct shared s;
  setup(&s, new_loop(EVBACKEND_SELECT));
  s.told_fork = 1;
  in_child("child", use_in_child, &s);
  trace("parent");
  put(s.ends[1], 1);
  turns(s.loop, 2);
  teardown(&s);
}

static void use_and_fork_again(void *arg) {
  struct shared *s = arg;
  ev_loop_fork(s->loop);
  put(s->ends[1], 1);
  turns(s->loop, 2);
  in_child("grandchild", use_in_child, s);
  put(s->ends[1], 4);
  turns(s->loop, 2);
}

CASE(a_child_of_a_child) {
  struct shared s;
  setup(&s, new_loop(0));
  s.told_fork = 1;
  in_child("child", use_and_fork_again, &s);
  trace("parent");
  put(s.ends[1], 1);
  turns(s.loop, 2);
  teardown(&s);
}

static void destroy(void *arg) {
  struct shared *s = arg;
  ev_loop_destroy(s->loop);
  struct ev_loop *fresh = new_loop(0);
  ev_io w;
  put(s->ends[1], 1);
  watch(fresh, &w, "a new loop", s->ends[0]);
  turns(fresh, 2);
  ev_io_stop(fresh, &w);
  ev_loop_destroy(fresh);
}

CASE(a_child_that_destroys_its_copy_does_not_disturb_the_parent) {
  struct shared s;
  setup(&s, new_loop(0));
  in_child("child", destroy, &s);
  trace("parent");
  turn(s.loop);
  put(s.ends[1], 1);
  turns(s.loop, 2);
  teardown(&s);
}

static void do_nothing(void *arg) { (void)arg; }

CASE(a_child_that_only_ends_does_not_disturb_the_parent) {
  struct shared s;
  setup(&s, new_loop(0));
  put(s.ends[1], 1);
  in_child("child", do_nothing, &s);
  turns(s.loop, 2);
  teardown(&s);
}

CASE(fork_watchers_are_called_before_anything_else_once) {
  struct ev_loop *loop = new_loop(0);
  ev_fork w[3];
  ev_prepare p;
  watch_fork(loop, &w[0], "first", 0);
  watch_fork(loop, &w[1], "second", 0);
  watch_fork(loop, &w[2], "urgent", 1);
  ev_prepare_init(&p, prepared);
  ev_prepare_start(loop, &p);
  trace("without a fork: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_loop_fork(loop);
  trace("told");
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_fork_stop(loop, &w[0]);
  ev_loop_fork(loop);
  ev_loop_fork(loop);
  trace("told twice, without the first");
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  for (int i = 0; i < 3; i++) ev_fork_stop(loop, &w[i]);
  trace("stopped: %s", state(&w[1]));
  ev_prepare_stop(loop, &p);
  ev_loop_destroy(loop);
}

CASE(a_process_that_did_not_fork_may_say_it_did) {
  struct shared s;
  setup(&s, new_loop(0));
  put(s.ends[1], 1);
  ev_loop_fork(s.loop);
  turns(s.loop, 2);
  put(s.ends[1], 1);
  turns(s.loop, 2);
  teardown(&s);
}

static void tell_fork_watchers(void *arg) {
  struct ev_loop *loop = arg;
  turn(loop);
  trace("again");
  turn(loop);
}

CASE(fork_watchers_of_a_loop_that_checks_are_called_in_the_child_alone) {
  struct ev_loop *loop = new_loop(EVFLAG_FORKCHECK);
  ev_fork w;
  watch_fork(loop, &w, "watcher", 0);
  turn(loop);
  in_child("child", tell_fork_watchers, loop);
  trace("parent");
  turn(loop);
  ev_fork_stop(loop, &w);
  ev_loop_destroy(loop);
}

static void async_told(struct ev_loop *loop, ev_async *w, int revents) {
  (void)loop;
  (void)w;
  trace("async: %s", bits(revents));
}

static void *send_once(void *arg) {
  struct shared *s = arg;
  usleep(20000);
  ev_async_send(s->loop, &s->async);
  return NULL;
}

static void send_in_child(void *arg) {
  struct shared *s = arg;
  ev_loop_fork(s->loop);
  turn(s->loop);
  trace("sent");
  ev_async_send(s->loop, &s->async);
  turns(s->loop, 2);
  trace("sent by a thread");
  pthread_t thread;
  NEED(!pthread_create(&thread, NULL, send_once, s));
  NEED(!pthread_join(thread, NULL));
  turns(s->loop, 2);
}

CASE(what_is_sent_in_the_child_stays_there) {
  struct shared s;
  setup(&s, new_loop(0));
  ev_async_init(&s.async, async_told);
  ev_async_start(s.loop, &s.async);
  turn(s.loop);
  in_child("child", send_in_child, &s);
  trace("parent");
  turns(s.loop, 2);
  ev_async_send(s.loop, &s.async);
  turn(s.loop);
  ev_async_stop(s.loop, &s.async);
  teardown(&s);
}

static void fired(struct ev_loop *loop, ev_timer *w, int revents) {
  int *left = w->data;
  trace("timer: %s, %d left", bits(revents), --*left);
  if (!*left) ev_timer_stop(loop, w);
}

static void wait_for_timer(void *arg) {
  struct shared *s = arg;
  ev_loop_fork(s->loop);
  ev_unref(s->loop); /* the descriptor alone does not hold it */
  trace("run: %d", run_guarded(s->loop, 0));
}

CASE(timers_go_on_in_the_child_and_in_the_parent) {
  struct shared s;
  int left = 3;
  setup(&s, new_loop(0));
  ev_timer_init(&s.timer, fired, 0.02, 0.001);
  s.timer.data = &left;
  ev_timer_start(s.loop, &s.timer);
  in_child("child", wait_for_timer, &s);
  trace("parent");
  ev_unref(s.loop);
  trace("run: %d", run_guarded(s.loop, 0));
  ev_ref(s.loop);
  teardown(&s);
}

static void signalled(struct ev_loop *loop, ev_signal *w, int revents) {
  (void)loop;
  trace("signal: %s %d", bits(revents), w->signum == SIGUSR1);
}

static void raise_in_child(void *arg) {
  struct ev_loop *loop = arg;
  ev_loop_fork(loop);
  turn(loop);
  raise(SIGUSR1);
  turns(loop, 2);
}

CASE(signals_of_the_child_are_the_childs) {
  struct ev_loop *loop = new_loop(0);
  ev_signal w;
  ev_signal_init(&w, signalled, SIGUSR1);
  ev_signal_start(loop, &w);
  turn(loop);
  in_child("child", raise_in_child, loop);
  trace("parent");
  turns(loop, 2);
  raise(SIGUSR1);
  turns(loop, 2);
  ev_signal_stop(loop, &w);
  ev_loop_destroy(loop);
}

static int round_trip[2];

static void fork_in_callback(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  ev_io_stop(loop, w);
  pid_t child = fork();
  NEED(child >= 0);
  if (!child) {
    ev_loop_fork(loop);
    put(round_trip[1], 5);
    trace("in the child");
  } else {
    wait_traced("child", child);
    put(round_trip[1], 7);
    trace("in the parent");
  }
}

static void told_last(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  ev_io_stop(loop, w);
}

CASE(a_fork_within_a_callback) {
  struct ev_loop *loop = new_loop(0);
  int ends[2], before = getpid();
  ev_io first, last;
  ev_fork f;
  make_pipe(ends);
  watch_fork(loop, &f, "fork watcher", 0);
  ev_unref(loop);
  watch(loop, &first, "first", ends[0]);
  ev_set_cb(&first, fork_in_callback);
  /* A pipe of their own for both: what the child wrote it has read before the parent writes. */
  make_pipe(round_trip);
  watch(loop, &last, "last", round_trip[0]);
  ev_set_cb(&last, told_last);
  put(ends[1], 1);
  trace("run: %d", run_guarded(loop, 0));
  if (getpid() != before) _exit(3);
  ev_ref(loop);
  ev_fork_stop(loop, &f);
  close_both(ends);
  close_both(round_trip);
  ev_loop_destroy(loop);
}

static void two_loops_in_child(void *arg) {
  struct shared *s = arg;
  for (int i = 0; i < 2; i++) {
    ev_loop_fork(s[i].loop);
    put(s[i].ends[1], (size_t)i + 1);
  }
  for (int i = 1; i >= 0; i--) turns(s[i].loop, 2);
}

CASE(each_loop_is_told_for_itself) {
  struct shared s[2];
  setup(&s[0], new_loop(0));
  setup(&s[1], ev_default_loop(EVFLAG_NOENV));
  in_child("child", two_loops_in_child, s);
  trace("parent");
  for (int i = 0; i < 2; i++) {
    put(s[i].ends[1], 3);
    turn(s[i].loop);
    teardown(&s[i]);
  }
}

static void start_default(void *arg) {
  (void)arg;
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  put(ends[1], 1);
  watch(loop, &w, "made in the child", ends[0]);
  turn(loop);
}

CASE(loops_made_in_a_child) {
  struct ev_loop *loop = new_loop(0);
  turn(loop);
  in_child("child", start_default, NULL);
  trace("pointer in the parent: %d", EV_DEFAULT_UC != NULL);
  in_child("another", start_default, NULL);
  ev_loop_destroy(loop);
}
