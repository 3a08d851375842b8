/* SPDX-License-Identifier: BSD-3-Clause */
/* Events that the program makes itself, and ev_once. */
#include "diff.h"

static void told(struct ev_loop *loop, ev_io *w, int revents) {
  trace("%s: %s %s, %u pending", (const char *)w->data, bits(revents), state(w), ev_pending_count(loop));
}

static void init(ev_io *w, const char *name, int fd, int events) {
  ev_io_init(w, told, fd, events);
  w->data = (void *)(uintptr_t)name;
}

CASE(a_fed_event_is_told_in_the_next_run) {
  struct ev_loop *loop = new_loop(0);
  ev_io w;
  init(&w, "w", 0, EV_READ);
  ev_feed_event(loop, &w, EV_READ);
  trace("fed: %s, %u pending", state(&w), ev_pending_count(loop));
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  trace("iteration %u", ev_iteration(loop));
  ev_feed_event(loop, &w, EV_CUSTOM);
  ev_invoke_pending(loop);
  trace("iteration %u", ev_iteration(loop));
  ev_loop_destroy(loop);
}

CASE(events_fed_to_one_watcher_are_gathered) {
  struct ev_loop *loop = new_loop(0);
  ev_io w;
  init(&w, "w", 0, EV_READ);
  ev_feed_event(loop, &w, EV_READ);
  ev_feed_event(loop, &w, EV_WRITE);
  ev_feed_event(loop, &w, EV_CUSTOM | EV_READ);
  trace("%u pending", ev_pending_count(loop));
  turn(loop);
  ev_feed_event(loop, &w, 0);
  trace("nothing fed: %s", state(&w));
  turn(loop);
  ev_feed_event(loop, &w, (int)0x00400000);
  turn(loop);
  ev_loop_destroy(loop);
}

CASE(what_was_fed_before_a_run_is_told_apart_from_what_happens) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  put(ends[1], 1);
  init(&w, "w", ends[0], EV_READ);
  ev_io_start(loop, &w);
  ev_feed_event(loop, &w, EV_WRITE);
  turn(loop);
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(events_of_a_descriptor_go_to_those_who_ask_for_them) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io r, w, both;
  make_pair(ends);
  fill(ends[0]);
  init(&r, "reader", ends[0], EV_READ);
  init(&w, "writer", ends[0], EV_WRITE);
  init(&both, "both", ends[0], EV_READ | EV_WRITE);
  ev_io_start(loop, &r);
  ev_io_start(loop, &w);
  ev_io_start(loop, &both);
  static const int fed[] = {EV_READ, EV_WRITE, EV_READ | EV_WRITE, 0, EV_TIMER};
  for (size_t i = 0; i < sizeof fed / sizeof *fed; i++) {
    ev_feed_fd_event(loop, ends[0], fed[i]);
    trace("fed %s: %u pending", bits(fed[i]), ev_pending_count(loop));
    ev_invoke_pending(loop);
  }
  ev_feed_fd_event(loop, ends[1], EV_READ);
  ev_feed_fd_event(loop, -1, EV_READ);
  ev_feed_fd_event(loop, 1 << 20, EV_READ);
  trace("others: %u pending", ev_pending_count(loop));
  ev_io_stop(loop, &r);
  ev_io_stop(loop, &w);
  ev_io_stop(loop, &both);
  ev_feed_fd_event(loop, ends[0], EV_READ | EV_WRITE);
  trace("stopped: %u pending", ev_pending_count(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(what_is_pending_can_be_taken_back) {
  struct ev_loop *loop = new_loop(0);
  ev_io a, b;
  init(&a, "a", 0, EV_READ);
  init(&b, "b", 0, EV_READ);
  trace("nothing: %s", bits(ev_clear_pending(loop, &a)));
  ev_feed_event(loop, &a, EV_READ);
  ev_feed_event(loop, &b, EV_READ);
  ev_feed_event(loop, &a, EV_CUSTOM);
  trace("taken: %s", bits(ev_clear_pending(loop, &a)));
  trace("%s", state(&a));
  trace("again: %s", bits(ev_clear_pending(loop, &a)));
  trace("%u pending", ev_pending_count(loop));
  ev_feed_event(loop, &a, EV_WRITE);
  turn(loop);
  ev_loop_destroy(loop);
}

CASE(invoke_calls_at_once) {
  struct ev_loop *loop = new_loop(0);
  ev_io w;
  init(&w, "w", 0, EV_READ);
  ev_invoke(loop, &w, EV_READ | EV_CUSTOM);
  ev_feed_event(loop, &w, EV_WRITE);
  ev_invoke(loop, &w, EV_TIMER);
  trace("%u pending", ev_pending_count(loop));
  turn(loop);
  ev_loop_destroy(loop);
}

static ev_io chain[4];
static int budget;

static void feed_next(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  if (budget-- <= 0) return;
  ptrdiff_t index = w - chain;
  ev_feed_event(loop, &chain[(index + 1) % 4], EV_CUSTOM);
}

CASE(what_a_callback_feeds_is_told_in_the_same_pass) {
  struct ev_loop *loop = new_loop(0);
  static const char *names[] = {"a (0)", "b (2)", "c (-2)", "d (1)"};
  static const int priorities[] = {0, 2, -2, 1};
  for (int i = 0; i < 4; i++) {
    init(&chain[i], names[i], 0, EV_READ);
    ev_set_cb(&chain[i], feed_next);
    ev_set_priority(&chain[i], priorities[i]);
  }
  budget = 9;
  ev_feed_event(loop, &chain[0], EV_READ);
  ev_feed_event(loop, &chain[2], EV_READ);
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  trace("iteration %u, %u pending", ev_iteration(loop), ev_pending_count(loop));
  ev_loop_destroy(loop);
}

static void feed_itself(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  if (budget-- > 0) ev_feed_event(loop, w, EV_WRITE);
}

CASE(a_callback_that_feeds_its_own_watcher) {
  struct ev_loop *loop = new_loop(0);
  ev_io w;
  init(&w, "w", 0, EV_READ);
  ev_set_cb(&w, feed_itself);
  budget = 3;
  ev_feed_event(loop, &w, EV_READ);
  turn(loop);
  trace("next");
  turn(loop);
  ev_loop_destroy(loop);
}

CASE(a_thousand_fed_events) {
  enum { COUNT = 1000 };
  struct ev_loop *loop = new_loop(0);
  ev_io *w = calloc(COUNT, sizeof *w);
  NEED(w);
  for (int i = 0; i < COUNT; i++) {
    init(&w[i], "w", 0, EV_READ);
    ev_set_cb(&w[i], feed_itself);
    ev_set_priority(&w[i], i % 5 - 2);
    ev_feed_event(loop, &w[i], EV_READ);
  }
  trace("%u pending", ev_pending_count(loop));
  for (int i = 0; i < COUNT; i += 2) ev_clear_pending(loop, &w[i]);
  int left = 0;
  for (int i = 0; i < COUNT; i++) left += ev_is_pending(&w[i]) ? 1 : 0;
  trace("%u pending, %d of the program's", ev_pending_count(loop), left);
  for (int i = 21; i < COUNT; i++) ev_clear_pending(loop, &w[i]);
  turn(loop);
  free(w);
  ev_loop_destroy(loop);
}

/* --- ev_once */

static int once_calls;

static void once_told(int revents, void *arg) {
  once_calls++;
  trace("%s: %s", (const char *)arg, bits(revents));
}

static void *named(const char *name) { return (void *)(uintptr_t)name; }

CASE(once_for_a_descriptor) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pair(ends);
  ev_once(loop, ends[0], EV_READ, -1., once_told, named("read"));
  trace("waiting: %d", ev_run(loop, EVRUN_NOWAIT));
  put(ends[1], 1);
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_once(loop, ends[0], EV_WRITE, -1., once_told, named("write"));
  ev_once(loop, ends[0], EV_READ | EV_WRITE, -1., once_told, named("both"));
  trace("run: %d", run_guarded(loop, 0));
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(once_for_a_time) {
  struct ev_loop *loop = new_loop(0);
  ev_once(loop, -1, 0, 0.002, once_told, named("time"));
  trace("run: %d", run_guarded(loop, 0));
  ev_once(loop, -1, 0, 0., once_told, named("no time"));
  trace("run: %d", run_guarded(loop, 0));
  ev_loop_destroy(loop);
}

CASE(once_for_whichever_comes_first) {
  struct ev_loop *loop = new_loop(0);
  int a[2], b[2];
  make_pipe(a);
  make_pipe(b);
  put(a[1], 1);
  ev_once(loop, a[0], EV_READ, 3600., once_told, named("the descriptor"));
  trace("run: %d", run_guarded(loop, 0));
  ev_once(loop, b[0], EV_READ, 0.002, once_told, named("the time"));
  trace("run: %d", run_guarded(loop, 0));
  trace("called %d times", once_calls);
  close_both(a);
  close_both(b);
  ev_loop_destroy(loop);
}

CASE(once_for_both_at_the_same_time) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_once(loop, ends[0], EV_READ, 0.001, once_told, named("both"));
  ev_sleep(0.01);
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  trace("called %d times", once_calls);
  close_both(ends);
  ev_loop_destroy(loop);
}

static struct ev_loop *of_chain;
static int links;

static void once_more(int revents, void *arg) {
  trace("link %d: %s", links, bits(revents));
  if (++links < 5) ev_once(of_chain, -1, 0, 0.001, once_more, arg);
}

CASE(once_after_once) {
  of_chain = new_loop(0);
  ev_once(of_chain, -1, 0, 0.001, once_more, NULL);
  trace("run: %d", run_guarded(of_chain, 0));
  ev_loop_destroy(of_chain);
}
