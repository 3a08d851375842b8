/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes between two waits come to one: what counts is what is wanted when the loop waits. */
#include "diff.h"

#include <sys/epoll.h>
#include <sys/syscall.h>

static void told(struct ev_loop *loop, ev_io *w, int revents) {
  (void)loop;
  trace("%s: %s", (const char *)w->data, bits(revents));
}

static void init(ev_io *w, const char *name, int fd, int events) {
  ev_io_init(w, told, fd, events);
  w->data = (void *)(uintptr_t)name;
}

CASE(started_and_stopped_between_two_waits) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  put(ends[1], 1);
  init(&w, "w", ends[0], EV_READ);
  for (int i = 0; i < 3; i++) {
    ev_io_start(loop, &w);
    ev_io_stop(loop, &w);
    trace("run: %d", ev_run(loop, EVRUN_NOWAIT));
  }
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(stopped_and_started_between_two_waits) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  put(ends[1], 1);
  init(&w, "w", ends[0], EV_READ);
  ev_io_start(loop, &w);
  for (int i = 0; i < 3; i++) {
    turn(loop);
    ev_io_stop(loop, &w);
    ev_io_start(loop, &w);
  }
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(toggled_a_thousand_times_there_and_back) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io r, w;
  make_pair(ends);
  put(ends[1], 1);
  init(&r, "reader", ends[0], EV_READ);
  init(&w, "writer", ends[0], EV_WRITE);
  ev_io_start(loop, &r);
  turn(loop);
  for (int i = 0; i < 1000; i++) {
    ev_io_start(loop, &w);
    ev_io_stop(loop, &w);
  }
  turn(loop);
  for (int i = 0; i < 1001; i++) {
    if (i % 2) ev_io_stop(loop, &w);
    else ev_io_start(loop, &w);
  }
  turn(loop);
  ev_io_stop(loop, &r);
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(read_then_write_then_read_of_one_watcher) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pair(ends);
  put(ends[1], 1);
  static const int wanted[] = {EV_READ, EV_WRITE, EV_READ | EV_WRITE, 0, EV_READ};
  init(&w, "w", ends[0], 0);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    for (size_t k = 0; k <= i; k++) {
      ev_io_stop(loop, &w);
      ev_io_modify(&w, wanted[k]);
      ev_io_start(loop, &w);
    }
    trace("wanted: %s", bits(wanted[i]));
    turns(loop, 2);
  }
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(a_pending_event_does_not_survive_stop_and_start) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io w;
  make_pipe(ends);
  init(&w, "w", ends[0], EV_READ);
  ev_io_start(loop, &w);
  turn(loop);
  ev_feed_event(loop, &w, EV_READ);
  trace("fed: %s count %u", state(&w), ev_pending_count(loop));
  ev_io_stop(loop, &w);
  ev_io_start(loop, &w);
  trace("again: %s count %u", state(&w), ev_pending_count(loop));
  turns(loop, 2);
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

/* The kernel's interface under both libraries; this definition comes before the system's. */
static int changes;

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event) {
  changes++;
  return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

CASE(what_comes_to_nothing_costs_no_system_call) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  ev_io r, w;
  make_pair(ends);
  init(&r, "reader", ends[0], EV_READ);
  init(&w, "writer", ends[0], EV_WRITE);
  changes = 0; /* a loop may have descriptors of its own */
  ev_io_start(loop, &r);
  trace("before the wait: %d", changes);
  turn(loop);
  trace("one watcher: %d", changes);
  changes = 0;
  for (int i = 0; i < 100; i++) {
    ev_io_start(loop, &w);
    ev_io_stop(loop, &w);
    turn(loop);
  }
  trace("there and back: %d", changes);
  for (int i = 0; i < 100; i++) {
    ev_io_stop(loop, &r);
    ev_io_start(loop, &r);
    turn(loop);
  }
  trace("back and there: %d", changes);
  ev_io_stop(loop, &r);
  for (int i = 0; i < 100; i++) {
    ev_io_start(loop, &w);
    ev_io_stop(loop, &w);
  }
  ev_io_start(loop, &r);
  turn(loop);
  trace("in between: %d", changes);
  for (int i = 0; i < 100; i++) {
    ev_io_start(loop, &w);
    ev_io_stop(loop, &w);
  }
  ev_io_start(loop, &w);
  turn(loop);
  trace("to another one: %d", changes);
  ev_io_stop(loop, &r);
  ev_io_stop(loop, &w);
  close_both(ends);
  ev_loop_destroy(loop);
}

static ev_io swapped[2];

static void swap(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  ev_io_stop(loop, w);
  ev_io_start(loop, &swapped[w == &swapped[0]]);
}

CASE(two_watchers_that_start_each_other) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pair(ends);
  put(ends[1], 1);
  init(&swapped[0], "reader", ends[0], EV_READ);
  init(&swapped[1], "writer", ends[0], EV_WRITE);
  ev_set_cb(&swapped[0], swap);
  ev_set_cb(&swapped[1], swap);
  ev_io_start(loop, &swapped[0]);
  turns(loop, 6);
  ev_io_stop(loop, &swapped[0]);
  ev_io_stop(loop, &swapped[1]);
  close_both(ends);
  ev_loop_destroy(loop);
}

enum { PAIRS = 8, WATCHERS = 24, STEPS = 1500 };

static int reported[WATCHERS];

static void record(struct ev_loop *loop, ev_io *w, int revents) {
  (void)loop;
  reported[(intptr_t)w->data] |= revents;
}

static unsigned next_number(unsigned *seed) {
  *seed = *seed * 1103515245u + 12345u;
  return *seed >> 16 & 0x7fff;
}

/* Whatever is done between two waits, in whatever order: what is reported follows from where it ended. */
static void anything(unsigned seed) {
  struct ev_loop *loop = new_loop(0);
  int ends[PAIRS][2], full[PAIRS] = {0};
  ev_io w[WATCHERS];
  for (int i = 0; i < PAIRS; i++) make_pair(ends[i]);
  for (int i = 0; i < WATCHERS; i++) {
    ev_io_init(&w[i], record, ends[i % PAIRS][0], 1 + (int)next_number(&seed) % 3);
    w[i].data = (void *)(intptr_t)i;
  }
  for (int step = 0; step < STEPS; step++) {
    int one = (int)next_number(&seed) % WATCHERS, pair = one % PAIRS;
    switch (next_number(&seed) % 8) {
      case 0: case 1: ev_io_start(loop, &w[one]); break;
      case 2: case 3: ev_io_stop(loop, &w[one]); break;
      case 4:
        ev_io_stop(loop, &w[one]);
        ev_io_modify(&w[one], (int)next_number(&seed) % 4);
        ev_io_start(loop, &w[one]);
        break;
      case 5: put(ends[pair][1], 1); break;
      case 6: drain(ends[pair][0]); break;
      case 7:
        if (full[pair]) drain(ends[pair][1]);
        else fill(ends[pair][0]);
        full[pair] = !full[pair];
    }
    if (next_number(&seed) % 5) continue;
    memset(reported, 0, sizeof reported);
    int active = ev_run(loop, EVRUN_NOWAIT);
    turn(loop);
    char line[WATCHERS + 1] = "";
    for (int i = 0; i < WATCHERS; i++) line[i] = ".rwb"[reported[i] & 3];
    trace("%4d: %2d active %s", step, active, line);
  }
  for (int i = 0; i < WATCHERS; i++) ev_io_stop(loop, &w[i]);
  for (int i = 0; i < PAIRS; i++) close_both(ends[i]);
  ev_loop_destroy(loop);
}

CASE(anything_between_two_waits_1) { anything(1); }
CASE(anything_between_two_waits_2) { anything(2); }
CASE(anything_between_two_waits_3) { anything(20261121); }
