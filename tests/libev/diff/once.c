/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_once: by descriptor, by timeout, by whichever comes first. */
#include "narrate.h"

static void told(int revents, void *arg) { trace("%s: %s", (const char *)arg, bits(revents)); }

CASE(once_a_timeout_alone) {
  struct ev_loop *loop = new_loop(0);
  ev_once(loop, -1, 0, .002, told, "timeout");
  trace("run %d", run_guarded(loop, 0));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(once_a_timeout_of_zero_is_the_next_turn) {
  struct ev_loop *loop = new_loop(0);
  ev_once(loop, -1, 0, 0., told, "timeout");
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(once_a_descriptor_alone) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pair(ends);
  ev_once(loop, ends[0], EV_READ, -1., told, "read");
  trace("turn %d", turn(loop));
  put(ends[1], 1);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  ev_once(loop, ends[0], EV_READ | EV_WRITE, -1., told, "both");
  trace("turn %d", turn(loop));
  drain(ends[0]);
  ev_once(loop, ends[0], EV_READ | EV_WRITE, -1., told, "both asked, one there");
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(once_the_descriptor_comes_before_the_timeout) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_once(loop, ends[0], EV_READ, 500., told, "descriptor or timeout");
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(once_the_timeout_comes_before_the_descriptor) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  ev_once(loop, ends[0], EV_READ, .002, told, "descriptor or timeout");
  trace("run %d", run_guarded(loop, 0));
  put(ends[1], 1);
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(once_both_at_the_same_time_are_one_call) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_once(loop, ends[0], EV_READ, 0., told, "descriptor and timeout");
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

static struct ev_loop *once_loop;
static int rounds;

static void again(int revents, void *arg) {
  told(revents, arg);
  if (++rounds < 3) ev_once(once_loop, -1, 0, 0., again, arg);
}

CASE(once_in_its_own_callback) {
  struct ev_loop *loop = once_loop = new_loop(0);
  ev_once(loop, -1, 0, 0., again, "again");
  for (int i = 0; i < 4; i++) trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(once_many_by_due_time) {
  struct ev_loop *loop = new_loop(0);
  ev_once(loop, -1, 0, .003, told, "third");
  ev_once(loop, -1, 0, .001, told, "first");
  ev_once(loop, -1, 0, .004, told, "fourth");
  ev_once(loop, -1, 0, .002, told, "second");
  let_pass(.02);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(once_of_one_descriptor_twice) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_once(loop, ends[0], EV_READ, 100., told, "one");
  ev_once(loop, ends[0], EV_READ, -1., told, "other");
  trace("pending %u", ev_pending_count(loop));
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

static void breaks(int revents, void *arg) {
  told(revents, arg);
  ev_break(once_loop, EVBREAK_ONE);
}

CASE(once_may_break_the_loop) {
  struct ev_loop *loop = once_loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 500., 0.);
  ev_once(loop, -1, 0, .001, breaks, "breaks");
  trace("run %d", ev_run(loop, 0) != 0);
  ev_timer_stop(loop, &t);
  ev_loop_destroy(loop);
}

static int fed_fd;

static void feeds_descriptor(struct ev_loop *loop, ev_timer *w, int revents) {
  narrate(loop, w, revents);
  ev_feed_fd_event(loop, fed_fd, EV_READ);
}

CASE(once_the_descriptor_called_first_takes_the_timeout_along) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  fed_fd = ends[0];
  ev_timer t;
  timer(&t, "feeds", -1., 0.);
  ev_set_cb(&t, feeds_descriptor);
  ev_set_priority(&t, 1);
  ev_timer_start(loop, &t);
  ev_once(loop, ends[0], EV_READ, 0., told, "descriptor and timeout");
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}
