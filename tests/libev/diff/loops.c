/* SPDX-License-Identifier: BSD-3-Clause */
/* Loops: how they come and go, what they are made of, and the default one. */
#include "diff.h"

static void told(struct ev_loop *loop, ev_io *w, int revents) {
  (void)loop;
  trace("%s: %s", (const char *)w->data, bits(revents));
}

/* One event through the loop. */
static void try_loop(struct ev_loop *loop) {
  int ends[2];
  ev_io w;
  make_pipe(ends);
  put(ends[1], 1);
  ev_io_init(&w, told, ends[0], EV_READ);
  w.data = (void *)(uintptr_t) "event";
  ev_io_start(loop, &w);
  turn(loop);
  ev_io_stop(loop, &w);
  close_both(ends);
}

static void make(const char *what, unsigned flags) {
  struct ev_loop *loop = ev_loop_new(flags);
  trace("%s: %s", what, loop ? "made" : "none");
  if (!loop) return;
  trace("backend %u, default %d", ev_backend(loop), ev_is_default_loop(loop) ? 1 : 0);
  try_loop(loop);
  ev_loop_destroy(loop);
}

CASE(the_system_interfaces_that_can_be_asked_for) {
  trace("supported: %#x", ev_supported_backends() & (EVBACKEND_SELECT | EVBACKEND_POLL | EVBACKEND_EPOLL | EVBACKEND_KQUEUE |
                                                    EVBACKEND_DEVPOLL | EVBACKEND_PORT));
  trace("recommended: %#x", ev_recommended_backends());
  trace("embeddable: %#x", ev_embeddable_backends() & (EVBACKEND_SELECT | EVBACKEND_POLL | EVBACKEND_EPOLL));
}

CASE(a_loop_by_each_interface) {
  make("any", 0);
  make("any, auto", EVFLAG_AUTO);
  make("select", EVBACKEND_SELECT);
  make("poll", EVBACKEND_POLL);
  make("epoll", EVBACKEND_EPOLL);
  make("select or poll", EVBACKEND_SELECT | EVBACKEND_POLL);
  make("select or epoll", EVBACKEND_SELECT | EVBACKEND_EPOLL);
  make("kqueue", EVBACKEND_KQUEUE);
  make("devpoll", EVBACKEND_DEVPOLL);
  make("port", EVBACKEND_PORT);
  make("kqueue or poll", EVBACKEND_KQUEUE | EVBACKEND_POLL);
  make("recommended", ev_recommended_backends());
}

CASE(a_loop_with_each_flag) {
  make("no environment", EVFLAG_NOENV);
  make("fork check", EVFLAG_FORKCHECK);
  make("no inotify", EVFLAG_NOINOTIFY);
  make("signalfd", EVFLAG_SIGNALFD);
  make("no signal mask", EVFLAG_NOSIGMASK);
  make("no timerfd", EVFLAG_NOTIMERFD);
  make("all", EVFLAG_NOENV | EVFLAG_FORKCHECK | EVFLAG_NOINOTIFY | EVFLAG_SIGNALFD | EVFLAG_NOSIGMASK | EVFLAG_NOTIMERFD);
}

CASE(the_environment_says_which_interface) {
  static const char *values[] = {"1", "2", "4", "3", "0", "", "nonsense", "8", "33554434"};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    NEED(!setenv("LIBEV_FLAGS", values[i], 1));
    trace("LIBEV_FLAGS=%s", values[i]);
    make("new loop", 0);
    make("new loop, epoll", EVBACKEND_EPOLL);
    make("new loop, not by the environment", EVFLAG_NOENV);
  }
  NEED(!setenv("LIBEV_FLAGS", "2", 1));
  struct ev_loop *loop = ev_default_loop(0);
  trace("default: %u", loop ? ev_backend(loop) : 0);
}

CASE(the_default_loop_may_be_deaf_to_the_environment) {
  NEED(!setenv("LIBEV_FLAGS", "2", 1));
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
  trace("default: %u", loop ? ev_backend(loop) : 0);
}

CASE(there_is_one_default_loop) {
  trace("before: %d", EV_DEFAULT_UC != NULL);
  struct ev_loop *loop = ev_default_loop(EVBACKEND_POLL | EVFLAG_NOENV);
  trace("made: %d backend %u", loop != NULL, ev_backend(loop));
  trace("the same: %d", ev_default_loop(EVBACKEND_EPOLL) == loop);
  trace("backend %u", ev_backend(loop));
  trace("pointer: %d, is default: %d", EV_DEFAULT_UC == loop, ev_is_default_loop(loop) ? 1 : 0);
  trace("without flags: %d", EV_DEFAULT == loop);
  struct ev_loop *other = new_loop(0);
  trace("another: %d, is default: %d", other != loop, ev_is_default_loop(other) ? 1 : 0);
  trace("active: %d %d", ev_run(loop, EVRUN_NOWAIT), ev_run(other, EVRUN_NOWAIT));
  ev_loop_destroy(other);
  trace("still: %d", EV_DEFAULT_UC == loop);
  try_loop(loop);
}

CASE(a_default_loop_that_cannot_be_made_can_be_made_later) {
  trace("kqueue: %d", ev_default_loop(EVBACKEND_KQUEUE | EVFLAG_NOENV) != NULL);
  trace("pointer: %d", EV_DEFAULT_UC != NULL);
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
  trace("any: %d, pointer: %d", loop != NULL, EV_DEFAULT_UC == loop);
  try_loop(loop);
}

CASE(the_default_loop_goes_and_comes_back) {
  for (int i = 0; i < 3; i++) {
    struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV | (i == 1 ? EVBACKEND_SELECT : 0));
    trace("made: %d backend %u, %d active", loop == EV_DEFAULT_UC, ev_backend(loop), ev_run(loop, EVRUN_NOWAIT));
    try_loop(loop);
    ev_loop_destroy(loop);
    trace("destroyed: pointer %d", EV_DEFAULT_UC != NULL);
  }
  struct ev_loop *other = new_loop(0);
  trace("another is no default: %d", ev_is_default_loop(other) ? 1 : 0);
  ev_loop_destroy(other);
}

CASE(destroying_no_loop_is_allowed) {
  ev_loop_destroy(NULL);
  trace("nothing happened");
}

static void pipe_is_ready(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  drain(w->fd);
}

CASE(loops_do_not_see_one_another) {
  struct ev_loop *loops[3];
  int ends[3][2];
  ev_io w[3];
  static const char *names[] = {"a", "b", "c"};
  for (int i = 0; i < 3; i++) {
    loops[i] = new_loop(0);
    make_pipe(ends[i]);
    ev_io_init(&w[i], pipe_is_ready, ends[i][0], EV_READ);
    w[i].data = (void *)(uintptr_t)names[i];
    ev_io_start(loops[i], &w[i]);
  }
  for (int i = 0; i < 3; i++) put(ends[i][1], 1);
  for (int i = 2; i >= 0; i--) {
    trace("turn of %s", names[i]);
    turn(loops[i]);
  }
  trace("one descriptor in two loops");
  ev_io_stop(loops[1], &w[1]);
  ev_io_set(&w[1], ends[0][0], EV_READ);
  ev_io_start(loops[1], &w[1]);
  put(ends[0][1], 1);
  ev_set_cb(&w[0], told);
  turn(loops[0]);
  turn(loops[1]);
  turn(loops[0]);
  for (int i = 0; i < 3; i++) {
    ev_io_stop(loops[i], &w[i]);
    close_both(ends[i]);
    ev_loop_destroy(loops[i]);
  }
}

CASE(a_loop_is_destroyed_with_active_watchers) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  ev_timer t;
  make_pipe(ends);
  put(ends[1], 1);
  ev_io_init(&w, told, ends[0], EV_READ);
  w.data = (void *)(uintptr_t) "event";
  ev_init(&t, NULL);
  ev_timer_set(&t, 1., 1.);
  ev_io_start(loop, &w);
  ev_timer_start(loop, &t);
  turn(loop);
  ev_loop_destroy(loop);
  trace("io %d timer %d", ev_is_active(&w) ? 1 : 0, ev_is_active(&t) ? 1 : 0);
  trace("descriptors are the program's: %d %d", is_open(ends[0]), is_open(ends[1]));
  close_both(ends);
}

static void nothing(struct ev_loop *loop, ev_async *w, int revents) {
  (void)loop;
  (void)w;
  (void)revents;
}

CASE(loops_leave_no_descriptors_behind) {
  int first = 0;
  for (int i = 0; i < 20; i++) {
    struct ev_loop *loop = new_loop(i % 2 ? EVBACKEND_EPOLL : 0);
    ev_async a;
    ev_async_init(&a, nothing);
    ev_async_start(loop, &a);
    ev_async_send(loop, &a);
    turn(loop);
    try_loop(loop);
    ev_async_stop(loop, &a);
    ev_loop_destroy(loop);
    if (!i) first = open_descriptors();
  }
  trace("more than after the first: %d", open_descriptors() - first);
}

CASE(a_hundred_loops_at_once) {
  enum { COUNT = 100 };
  struct ev_loop *loops[COUNT];
  int ends[2], woken = 0;
  ev_io w[COUNT];
  make_pipe(ends);
  put(ends[1], 1);
  for (int i = 0; i < COUNT; i++) {
    loops[i] = new_loop(0);
    ev_io_init(&w[i], NULL, ends[0], EV_READ);
    ev_io_start(loops[i], &w[i]);
    ev_io_stop(loops[i], &w[i]);
    ev_run(loops[i], EVRUN_NOWAIT);
    woken += ev_iteration(loops[i]) == 1;
  }
  for (int i = 0; i < COUNT; i++) ev_loop_destroy(loops[i]);
  trace("ran: %d", woken);
  close_both(ends);
}

CASE(a_loop_keeps_what_its_user_gave_it) {
  struct ev_loop *loop = new_loop(0), *other = new_loop(0), *standard = ev_default_loop(EVFLAG_NOENV);
  int one = 1, two = 2;
  trace("fresh: %d %d %d", ev_userdata(loop) != NULL, ev_userdata(other) != NULL, ev_userdata(standard) != NULL);
  ev_set_userdata(loop, &one);
  ev_set_userdata(other, &two);
  turn(loop);
  turn(other);
  trace("kept: %d %d %d", *(int *)ev_userdata(loop), *(int *)ev_userdata(other), ev_userdata(standard) != NULL);
  ev_set_userdata(loop, NULL);
  trace("taken back: %d %d", ev_userdata(loop) != NULL, *(int *)ev_userdata(other));
  ev_loop_destroy(loop);
  ev_loop_destroy(other);
}

/* --- Cleanup watchers */

static void cleaned(struct ev_loop *loop, ev_cleanup *w, int revents) {
  trace("%s: %s %s, %u pending", (const char *)w->data, bits(revents), state(w), ev_pending_count(loop));
}

static void cleanup_init(ev_cleanup *w, const char *name, int priority) {
  ev_cleanup_init(w, cleaned);
  w->data = (void *)(uintptr_t)name;
  ev_set_priority(w, priority);
}

CASE(cleanup_watchers_are_called_when_their_loop_goes) {
  struct ev_loop *loop = new_loop(0), *other = new_loop(0);
  ev_cleanup w[4];
  static const char *names[] = {"first", "second", "urgent", "stopped"};
  for (int i = 0; i < 4; i++) {
    cleanup_init(&w[i], names[i], i == 2 ? 1 : 0);
    ev_cleanup_start(loop, &w[i]);
  }
  ev_cleanup_stop(loop, &w[3]);
  trace("holds nothing: %d", ev_run(loop, 0));
  trace("destroy the other");
  ev_loop_destroy(other);
  trace("destroy");
  ev_loop_destroy(loop);
}

CASE(a_cleanup_watcher_restarted_and_of_the_default_loop) {
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
  ev_cleanup a, b;
  cleanup_init(&a, "a", 0);
  cleanup_init(&b, "b", 0);
  ev_cleanup_start(loop, &a);
  ev_cleanup_start(loop, &b);
  ev_cleanup_start(loop, &b);
  trace("%s, %s", state(&a), state(&b));
  ev_cleanup_stop(loop, &a);
  ev_cleanup_stop(loop, &a);
  trace("%s, run %d", state(&a), ev_run(loop, EVRUN_NOWAIT));
  ev_cleanup_start(loop, &a);
  ev_loop_destroy(loop);
  trace("pointer %d", EV_DEFAULT_UC != NULL);
}

static ev_io to_stop;
static ev_timer to_fire;

static void cleans_up(struct ev_loop *loop, ev_cleanup *w, int revents) {
  cleaned(loop, w, revents);
  ev_io_stop(loop, &to_stop);
  ev_timer_stop(loop, &to_fire);
  trace("user data: %d, depth %u", *(int *)ev_userdata(loop), ev_depth(loop));
  try_loop(loop);
}

CASE(a_cleanup_watcher_can_use_the_loop_that_goes) {
  struct ev_loop *loop = new_loop(0);
  ev_cleanup w;
  int ends[2], user = 7;
  make_pipe(ends);
  ev_io_init(&to_stop, told, ends[0], EV_READ);
  ev_init(&to_fire, NULL);
  ev_timer_set(&to_fire, 100., 0.);
  ev_io_start(loop, &to_stop);
  ev_timer_start(loop, &to_fire);
  ev_set_userdata(loop, &user);
  cleanup_init(&w, "w", 0);
  ev_set_cb(&w, cleans_up);
  ev_cleanup_start(loop, &w);
  ev_loop_destroy(loop);
  trace("io %s", state(&to_stop));
  close_both(ends);
}

static void destroy_default(void) { ev_loop_destroy(EV_DEFAULT_UC); }

static void exit_with_a_loop(void *arg) {
  ev_cleanup *w = arg;
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
  atexit(destroy_default);
  cleanup_init(w, "at exit", 0);
  ev_cleanup_start(loop, w);
  try_loop(loop);
  exit(5);
}

CASE(the_default_loop_destroyed_at_exit_as_the_manual_shows) {
  static ev_cleanup w;
  in_child("child", exit_with_a_loop, &w);
}

static void exit_and_leave_all(void *arg) {
  ev_cleanup *w = arg;
  static int ends[2];
  static ev_io io;
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
  cleanup_init(w, "not destroyed", 0);
  ev_cleanup_start(loop, w);
  make_pipe(ends);
  ev_io_init(&io, told, ends[0], EV_READ);
  ev_io_start(loop, &io);
  turn(loop);
  exit(6);
}

CASE(a_default_loop_may_be_left_as_it_is) {
  static ev_cleanup w;
  in_child("child", exit_and_leave_all, &w);
}
