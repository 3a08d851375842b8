/* SPDX-License-Identifier: BSD-3-Clause */
/* Forks: with event_reinit() and without, and that the parent is not disturbed. */
#include "diff.h"

static struct event_base *the;
static struct event *all[6];
static int ends[2], pair[2];

static void stop(evutil_socket_t fd, short what, void *name) {
  told_and_drain(fd, what, name);
  event_base_loopbreak(the);
}

static void child_of_reinit(void *arg) {
  (void)arg;
  trace("reinit: %d", event_reinit(the));
  trace("%s", counts(the));
  put(ends[1], 1);
  trace("loop: %d", event_base_dispatch(the));
  raise(SIGUSR1);
  trace("loop: %d", event_base_dispatch(the));
  event_del(all[0]);
  all[3] = make(the, pair[0], EV_WRITE, told, "child's own"), event_add(all[3], NULL);
  turn(the);
  event_base_free(the);
}

static void usual(void) {
  the = new_base();
  make_pipe(ends), make_pair(pair);
  all[0] = make(the, ends[0], EV_READ | EV_PERSIST, stop, "read"), event_add(all[0], NULL);
  all[1] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, stop, "signal"), event_add(all[1], NULL);
  all[2] = make(the, -1, EV_TIMEOUT, stop, "timer"), event_add(all[2], ms(100000));
  turn(the);
}

static void usual_end(void) {
  trace("-- parent");
  put(ends[1], 1);
  trace("loop: %d", event_base_dispatch(the));
  raise(SIGUSR1);
  trace("loop: %d", event_base_dispatch(the));
  trace("%s", counts(the));
  for (int i = 0; i < 3; i++) event_free(all[i]);
  event_base_free(the);
}

CASE(a_child_that_reinitializes_has_all_events_and_the_parent_is_undisturbed) {
  usual();
  in_child("child", child_of_reinit, NULL);
  usual_end();
}

CASE(with_locks) {
  NEED(!evthread_use_pthreads());
  usual();
  in_child("child", child_of_reinit, NULL);
  usual_end();
}

CASE(by_poll) {
  the = new_base_of(0, "epoll");
  make_pipe(ends), make_pair(pair);
  all[0] = make(the, ends[0], EV_READ | EV_PERSIST, stop, "read"), event_add(all[0], NULL);
  all[1] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, stop, "signal"), event_add(all[1], NULL);
  all[2] = make(the, -1, EV_TIMEOUT, stop, "timer"), event_add(all[2], ms(100000));
  turn(the);
  in_child("child", child_of_reinit, NULL);
  usual_end();
}

static void frees(void *arg) {
  (void)arg;
  trace("reinit: %d", event_reinit(the));
  event_base_free(the);
  trace("%s", disposition(SIGUSR1));
}

CASE(a_child_that_reinitializes_and_frees) {
  usual();
  in_child("child", frees, NULL);
  trace("parent: %s", disposition(SIGUSR1));
  usual_end();
}

static void deletes_first(void *arg) {
  (void)arg;
  trace("reinit: %d", event_reinit(the));
  event_del(all[0]), event_del(all[1]);
  event_add(all[2], ms(1));
  trace("loop: %d", event_base_dispatch(the));
  trace("%s", counts(the));
}

CASE(a_child_that_deletes_what_it_inherited) {
  usual();
  in_child("child", deletes_first, NULL);
  usual_end();
}

static void told_of_the_parents(void *arg) {
  (void)arg;
  trace("reinit: %d", event_reinit(the));
  for (int i = 0; i < 3; i++) trace("turn: %d", turn(the));
}

CASE(a_signal_that_the_parent_has_caught_is_not_the_childs) {
  usual();
  raise(SIGUSR1);
  in_child("child", told_of_the_parents, NULL);
  trace("parent: %d", turn(the));
  usual_end();
}

CASE(active_events_are_inherited) {
  usual();
  all[3] = make(the, -1, 0, told, "active"), event_active(all[3], EV_READ, 1);
  put(ends[1], 1);
  in_child("child", told_of_the_parents, NULL);
  trace("-- parent");
  trace("turn: %d", turn(the));
  drain(ends[0]);
  usual_end();
}

static void again_and_again(void *arg) {
  int depth = *(int *)arg - 1;
  trace("reinit: %d, again: %d", event_reinit(the), event_reinit(the));
  put(ends[1], 1);
  trace("loop: %d", event_base_dispatch(the));
  if (depth) in_child("deeper", again_and_again, &depth);
  put(ends[1], 1);
  trace("loop: %d", event_base_dispatch(the));
}

CASE(children_of_children) {
  int depth = 3;
  usual();
  in_child("child", again_and_again, &depth);
  usual_end();
}

static void new_one(void *arg) {
  (void)arg;
  struct event_base *own = new_base();
  struct event *e = make(own, SIGUSR2, EV_SIGNAL, told, "own signal");
  struct event *r = make(own, pair[0], EV_WRITE, told, "own write");
  event_add(e, NULL), event_add(r, NULL);
  raise(SIGUSR2);
  trace("own: %d", event_base_loop(own, EVLOOP_NONBLOCK));
  event_free(e), event_free(r);
  event_base_free(own);
}

CASE(a_child_with_a_base_of_its_own) {
  usual();
  in_child("child", new_one, NULL);
  usual_end();
}

static void in_callback(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  pid_t child = fork();
  if (!child) {
    trace("reinit in a callback: %d", event_reinit(the));
    event_add(all[2], ms(1));
    return;
  }
  wait_traced("child", child);
}

CASE(forked_in_a_callback_the_child_goes_on_with_the_loop) {
  usual();
  pid_t parent = getpid();
  all[3] = make(the, -1, 0, in_callback, "forks"), event_active(all[3], EV_READ, 1);
  event_add(all[2], ms(60));
  trace("loop: %d", event_base_dispatch(the));
  if (getpid() != parent) {
    trace("child's loop ended");
    _exit(7);
  }
  usual_end();
}

static void reinit_with_edges(void *arg) {
  (void)arg;
  trace("reinit: %d", event_reinit(the));
  turn(the);
}

CASE(edges_are_told_to_the_child_anew) {
  usual();
  all[3] = make(the, pair[0], EV_READ | EV_WRITE | EV_ET | EV_PERSIST, told, "edge"), event_add(all[3], NULL);
  put(pair[1], 1);
  turn(the), turn(the);
  in_child("child", reinit_with_edges, NULL);
  trace("-- parent");
  turn(the);
  usual_end();
}

static void nothing_but_deleting(void *arg) {
  (void)arg;
  /* Without event_reinit() a child may do no more than leave; what it does may reach the parent's kernel objects. */
  _exit(3);
}

CASE(a_child_that_only_leaves) {
  usual();
  in_child("child", nothing_but_deleting, NULL);
  usual_end();
}

static void only_loops(void *arg) {
  (void)arg;
  put(ends[1], 1);
  trace("loop: %d", event_base_dispatch(the));
  event_active(all[1], EV_READ, 1);
  trace("loop: %d", event_base_dispatch(the));
}

CASE(a_child_that_only_loops_needs_no_reinit) {
  usual();
  in_child("child", only_loops, NULL);
  usual_end();
}
