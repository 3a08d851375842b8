/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_io: what is reported, when, with which bits, and what the watcher's fields say meanwhile. */
#include "diff.h"

static void told(struct ev_loop *loop, ev_io *w, int revents) {
  (void)loop;
  trace("%s: %s %s", (const char *)w->data, bits(revents), state(w));
}

static void told_and_read(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  trace("%s: %d bytes", (const char *)w->data, drain(w->fd));
}

static void told_and_stopped(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  ev_io_stop(loop, w);
  trace("%s: stopped, %s", (const char *)w->data, state(w));
}

static void watch(struct ev_loop *loop, ev_io *w, const char *name, int fd, int events) {
  ev_io_init(w, told, fd, events);
  w->data = (void *)(uintptr_t)name;
  ev_io_start(loop, w);
}

CASE(what_can_be_read_is_reported_each_turn_until_it_was_read) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  watch(loop, &w, "reader", ends[0], EV_READ);
  trace("nothing there: %d", turn(loop));
  put(ends[1], 3);
  turns(loop, 3);
  trace("read: %d", drain(ends[0]));
  turns(loop, 2);
  put(ends[1], 1);
  turns(loop, 2);
  ev_io_stop(loop, &w);
  trace("stopped: %d", turn(loop));
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(half_of_what_was_there_is_still_there) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  char byte;
  make_pipe(ends);
  put(ends[1], 3);
  watch(loop, &w, "reader", ends[0], EV_READ);
  for (int i = 0; i < 4; i++) {
    turn(loop);
    trace("read: %d", (int)read(ends[0], &byte, 1));
  }
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(both_directions_come_in_one_call) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pair(ends);
  watch(loop, &w, "both", ends[0], EV_READ | EV_WRITE);
  turn(loop);
  put(ends[1], 1);
  turn(loop);
  fill(ends[0]);
  turn(loop);
  drain(ends[0]);
  turn(loop);
  trace("room again: %d", drain(ends[1]) > 0);
  turn(loop);
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(each_watcher_of_a_descriptor_gets_what_it_asked_for) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io read_only, write_only, both;
  make_pair(ends);
  watch(loop, &read_only, "read only", ends[0], EV_READ);
  watch(loop, &write_only, "write only", ends[0], EV_WRITE);
  watch(loop, &both, "both", ends[0], EV_READ | EV_WRITE);
  trace("quiet peer");
  turn(loop);
  put(ends[1], 1);
  trace("data");
  turn(loop);
  ev_io_stop(loop, &write_only);
  trace("without the writer");
  turn(loop);
  ev_io_stop(loop, &both);
  trace("without both");
  turn(loop);
  ev_io_stop(loop, &read_only);
  trace("without any");
  turn(loop);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(two_watchers_alike_are_both_called) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w[4];
  static const char *names[] = {"first", "second", "third", "fourth"};
  make_pipe(ends);
  put(ends[1], 1);
  for (int i = 0; i < 4; i++) watch(loop, &w[i], names[i], ends[0], EV_READ);
  turn(loop);
  ev_io_stop(loop, &w[1]);
  trace("without the second");
  turn(loop);
  ev_io_start(loop, &w[1]);
  trace("the second again");
  turn(loop);
  for (int i = 0; i < 4; i++) ev_io_stop(loop, &w[i]);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(the_end_of_a_stream_reads_as_data) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  watch(loop, &w, "reader", ends[0], EV_READ);
  put(ends[1], 2);
  close(ends[1]);
  turn(loop);
  drain(ends[0]);
  turns(loop, 2);
  ev_io_stop(loop, &w);
  close(ends[0]);
  ev_loop_destroy(loop);
}

CASE(a_hang_up_is_both_bits_to_whoever_asked_for_them) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io read_only, write_only, both;
  make_pair(ends);
  fill(ends[0]);
  watch(loop, &read_only, "read only", ends[0], EV_READ);
  watch(loop, &write_only, "write only", ends[0], EV_WRITE);
  watch(loop, &both, "both", ends[0], EV_READ | EV_WRITE);
  turn(loop);
  trace("the peer goes");
  close(ends[1]);
  turns(loop, 2);
  ev_io_stop(loop, &read_only);
  ev_io_stop(loop, &write_only);
  ev_io_stop(loop, &both);
  close(ends[0]);
  ev_loop_destroy(loop);
}

CASE(a_pipe_that_nobody_reads_is_an_error_that_can_be_written) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  signal(SIGPIPE, SIG_IGN);
  make_pipe(ends);
  fill(ends[1]);
  watch(loop, &w, "writer", ends[1], EV_WRITE);
  turn(loop);
  close(ends[0]);
  trace("no reader");
  turns(loop, 2);
  int wrote = (int)write(ends[1], "x", 1);
  trace("write: %d %s", wrote, strerror(errno));
  ev_io_stop(loop, &w);
  close(ends[1]);
  ev_loop_destroy(loop);
}

CASE(a_shut_direction_is_the_end_of_the_other_side) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pair(ends);
  watch(loop, &w, "reader", ends[0], EV_READ);
  turn(loop);
  shutdown(ends[1], SHUT_WR);
  turns(loop, 2);
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(a_watcher_stopped_in_its_own_callback_is_not_called_again) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  put(ends[1], 1);
  watch(loop, &w, "once", ends[0], EV_READ);
  ev_set_cb(&w, told_and_stopped);
  trace("active after a turn: %d", turn(loop));
  trace("active after another: %d", turn(loop));
  trace("run to the end: %d", run_guarded(loop, 0));
  close_both(ends);
  ev_loop_destroy(loop);
}

static ev_io duel[2];

static void stop_the_other(struct ev_loop *loop, ev_io *w, int revents) {
  ev_io *other = w == &duel[0] ? &duel[1] : &duel[0];
  (void)revents;
  trace("one is called: other pending=%d, count %u", ev_is_pending(other) ? 1 : 0, ev_pending_count(loop));
  ev_io_stop(loop, other);
  trace("other stopped: %s, count %u", state(other), ev_pending_count(loop));
}

CASE(a_pending_watcher_that_another_stops_is_not_called) {
  struct ev_loop *loop = new_loop(0);
  int a[2], b[2];
  make_pipe(a);
  make_pipe(b);
  put(a[1], 1);
  put(b[1], 1);
  ev_io_init(&duel[0], stop_the_other, a[0], EV_READ);
  ev_io_init(&duel[1], stop_the_other, b[0], EV_READ);
  ev_io_start(loop, &duel[0]);
  ev_io_start(loop, &duel[1]);
  turn(loop);
  trace("left active: %d", ev_is_active(&duel[0]) + ev_is_active(&duel[1]));
  ev_io_stop(loop, &duel[0]);
  ev_io_stop(loop, &duel[1]);
  close_both(a);
  close_both(b);
  ev_loop_destroy(loop);
}

CASE(two_watchers_of_one_descriptor_where_one_stops_the_other) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_io_init(&duel[0], stop_the_other, ends[0], EV_READ);
  ev_io_init(&duel[1], stop_the_other, ends[0], EV_READ);
  ev_io_start(loop, &duel[0]);
  ev_io_start(loop, &duel[1]);
  turn(loop);
  trace("left: %d %d", ev_is_active(&duel[0]) ? 1 : 0, ev_is_active(&duel[1]) ? 1 : 0);
  ev_io_stop(loop, &duel[0]);
  ev_io_stop(loop, &duel[1]);
  close_both(ends);
  ev_loop_destroy(loop);
}

static ev_io late;

static void start_late(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  ev_io_start(loop, &late);
  trace("late: %s", state(&late));
}

CASE(a_watcher_started_in_a_callback_has_its_turn_next) {
  struct ev_loop *loop = new_loop(0);
  int a[2], b[2];
  ev_io w;
  make_pipe(a);
  make_pipe(b);
  put(a[1], 1);
  put(b[1], 1);
  watch(loop, &w, "early", a[0], EV_READ);
  ev_set_cb(&w, start_late);
  ev_io_init(&late, told_and_read, b[0], EV_READ);
  late.data = (void *)(uintptr_t) "late";
  trace("first turn");
  turn(loop);
  trace("second turn");
  turn(loop);
  ev_io_stop(loop, &w);
  ev_io_stop(loop, &late);
  close_both(a);
  close_both(b);
  ev_loop_destroy(loop);
}

CASE(other_events_of_the_same_watcher) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pair(ends);
  put(ends[1], 1);
  watch(loop, &w, "w", ends[0], EV_READ);
  trace("fields: fd %d events %s", w.fd == ends[0], bits(w.events));
  turn(loop);
  ev_io_stop(loop, &w);
  ev_io_modify(&w, EV_WRITE);
  trace("modified: %s", bits(w.events & ~EV__IOFDSET));
  ev_io_start(loop, &w);
  turn(loop);
  ev_io_stop(loop, &w);
  ev_io_modify(&w, EV_READ | EV_WRITE);
  ev_io_start(loop, &w);
  turn(loop);
  ev_io_stop(loop, &w);
  ev_io_set(&w, ends[1], EV_WRITE);
  trace("set: fd %d events %s", w.fd == ends[1], bits(w.events));
  ev_io_start(loop, &w);
  trace("started: events %s", bits(w.events));
  turn(loop);
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(a_watcher_that_asks_for_nothing_is_active_and_never_called) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pair(ends);
  put(ends[1], 1);
  watch(loop, &w, "nothing", ends[0], 0);
  trace("%s run %d", state(&w), ev_run(loop, EVRUN_NOWAIT));
  close(ends[1]);
  trace("%s run %d", state(&w), ev_run(loop, EVRUN_NOWAIT));
  ev_io_stop(loop, &w);
  close(ends[0]);
  ev_loop_destroy(loop);
}

CASE(starting_and_stopping_twice_is_as_once) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  ev_io_init(&w, told, ends[0], EV_READ);
  w.data = (void *)(uintptr_t) "w";
  trace("before: %s", state(&w));
  ev_io_stop(loop, &w);
  trace("stopped before: %s run %d", state(&w), ev_run(loop, EVRUN_NOWAIT));
  ev_io_start(loop, &w);
  ev_io_start(loop, &w);
  trace("started twice: %s run %d", state(&w), ev_run(loop, EVRUN_NOWAIT));
  put(ends[1], 1);
  turn(loop);
  ev_io_stop(loop, &w);
  trace("stopped: %s run %d", state(&w), ev_run(loop, EVRUN_NOWAIT));
  ev_io_stop(loop, &w);
  trace("stopped twice: %s run %d", state(&w), ev_run(loop, EVRUN_NOWAIT));
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(a_priority_out_of_range_is_brought_into_it_by_start) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  put(ends[1], 1);
  for (int priority = -4; priority <= 4; priority++) {
    ev_io_init(&w, told, ends[0], EV_READ);
    w.data = (void *)(uintptr_t) "w";
    ev_set_priority(&w, priority);
    ev_io_start(loop, &w);
    turn(loop);
    ev_io_stop(loop, &w);
    trace("%d became %d", priority, ev_priority(&w));
  }
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(higher_priorities_are_called_first) {
  struct ev_loop *loop = new_loop(0);
  int ends[5][2];
  ev_io w[5];
  static const char *names[] = {"-2", "-1", "0", "1", "2"};
  static const int order[] = {2, 0, 4, 1, 3};
  for (int i = 0; i < 5; i++) {
    int at = order[i];
    make_pipe(ends[at]);
    put(ends[at][1], 1);
    ev_io_init(&w[at], told_and_read, ends[at][0], EV_READ);
    w[at].data = (void *)(uintptr_t)names[at];
    ev_set_priority(&w[at], at - 2);
    ev_io_start(loop, &w[at]);
  }
  turns(loop, 2);
  for (int i = 0; i < 5; i++) {
    ev_io_stop(loop, &w[i]);
    close_both(ends[i]);
  }
  ev_loop_destroy(loop);
}

CASE(descriptors_of_one_priority_in_the_order_they_became_ready) {
  struct ev_loop *loop = new_loop(0);
  int ends[4][2];
  ev_io w[4];
  static const char *names[] = {"a", "b", "c", "d"};
  static const int order[] = {2, 0, 3, 1};
  for (int i = 0; i < 4; i++) {
    make_pipe(ends[i]);
    watch(loop, &w[i], names[i], ends[i][0], EV_READ);
    ev_set_cb(&w[i], told_and_read);
  }
  turn(loop);
  for (int i = 0; i < 4; i++) put(ends[order[i]][1], (size_t)i + 1);
  turns(loop, 2);
  for (int i = 0; i < 4; i++) {
    ev_io_stop(loop, &w[i]);
    close_both(ends[i]);
  }
  ev_loop_destroy(loop);
}

static void start_bad(void *how) {
  struct ev_loop *loop = new_loop(0);
  ev_io w;
  int ends[2];
  make_pipe(ends);
  ev_io_init(&w, told, ends[0], EV_READ);
  w.data = (void *)(uintptr_t) "w";
  if (!strcmp(how, "a negative descriptor")) ev_io_set(&w, -1, EV_READ);
  if (!strcmp(how, "an unknown bit")) ev_io_set(&w, ends[0], EV_READ | EV_TIMER);
  ev_io_start(loop, &w);
  trace("started");
}

CASE(what_cannot_be_watched_is_refused_at_start) {
  in_child("a negative descriptor", start_bad, (void *)(uintptr_t) "a negative descriptor");
  in_child("an unknown bit", start_bad, (void *)(uintptr_t) "an unknown bit");
  in_child("nothing wrong", start_bad, (void *)(uintptr_t) "nothing wrong");
}

static void write_later(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)loop;
  (void)revents;
  trace("time to write");
  put(*(int *)w->data, 1);
}

CASE(a_run_that_waits_is_woken_by_a_descriptor) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  ev_timer later;
  make_pipe(ends);
  watch(loop, &w, "reader", ends[0], EV_READ);
  ev_set_cb(&w, told_and_stopped);
  ev_timer_init(&later, write_later, 0.03, 0.);
  later.data = &ends[1];
  ev_timer_start(loop, &later);
  trace("run: %d", run_guarded(loop, 0));
  close_both(ends);
  ev_loop_destroy(loop);
}

static void ping(struct ev_loop *loop, ev_io *w, int revents) {
  int *left = w->data;
  (void)revents;
  if (drain(w->fd) != 1) trace("not one byte");
  put(w->fd, 1);
  if (!--*left) ev_break(loop, EVBREAK_ALL);
}

CASE(ping_pong_ten_thousand_times) {
  struct ev_loop *loop = new_loop(0);
  int ends[2], left[2] = {10000, 10001};
  ev_io w[2];
  make_pair(ends);
  for (int i = 0; i < 2; i++) {
    ev_io_init(&w[i], ping, ends[i], EV_READ);
    w[i].data = &left[i];
    ev_io_start(loop, &w[i]);
  }
  put(ends[0], 1);
  trace("active: %d", run_guarded(loop, 0));
  trace("left: %d %d", left[0], left[1]);
  for (int i = 0; i < 2; i++) ev_io_stop(loop, &w[i]);
  close_both(ends);
  ev_loop_destroy(loop);
}

static int victim;

static void close_the_other(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  close(victim); /* its watcher is pending, and stays so */
  trace("closed");
}

CASE(what_is_pending_is_told_though_its_descriptor_was_closed) {
  struct ev_loop *loop = new_loop(0);
  int a[2], b[2];
  ev_io first, second;
  make_pipe(a);
  make_pipe(b);
  put(a[1], 1);
  put(b[1], 1);
  victim = b[0];
  watch(loop, &second, "second", b[0], EV_READ);
  watch(loop, &first, "first", a[0], EV_READ);
  ev_io_stop(loop, &first);
  ev_set_cb(&first, close_the_other);
  ev_set_priority(&first, 1);
  ev_io_start(loop, &first);
  turn(loop);
  ev_io_stop(loop, &first);
  trace("next");
  turn(loop);
  ev_io_stop(loop, &second);
  close(b[1]);
  close_both(a);
  ev_loop_destroy(loop);
}
