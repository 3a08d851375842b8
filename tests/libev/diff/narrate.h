/* SPDX-License-Identifier: BSD-3-Clause */
/* Watchers that say their name, what they got and how they stand when they are called. */
#ifndef TORQUE_TESTS_LIBEV_NARRATE_H
#define TORQUE_TESTS_LIBEV_NARRATE_H

#include <time.h>

#include "diff.h"

static inline const char *name_of(const void *watcher) { return ((const ev_watcher *)watcher)->data; }

static inline void narrate(struct ev_loop *loop, void *watcher, int revents) {
  (void)loop;
  trace("%s: %s, %s", name_of(watcher), bits(revents), state(watcher));
}

#define NARRATOR(type)                                                                       \
  static inline void narrate_##type(struct ev_loop *loop, ev_##type *watcher, int revents) { \
    narrate(loop, watcher, revents);                                                         \
  }
NARRATOR(io)
NARRATOR(timer)
NARRATOR(periodic)
NARRATOR(prepare)
NARRATOR(check)
NARRATOR(idle)
NARRATOR(async)
NARRATOR(watcher)
#undef NARRATOR

/* A watcher of no kind: only ever fed. */
static inline void bare(ev_watcher *watcher, char *name, int priority) {
  ev_init(watcher, narrate_watcher);
  ev_set_priority(watcher, priority);
  watcher->data = name;
}

static inline void timer(ev_timer *watcher, char *name, double after, double repeat) {
  ev_timer_init(watcher, narrate_timer, after, repeat);
  watcher->data = name;
}

static inline void start_timer(struct ev_loop *loop, ev_timer *watcher, char *name, double after, double repeat) {
  timer(watcher, name, after, repeat);
  ev_timer_start(loop, watcher);
}

static inline void io(ev_io *watcher, char *name, int fd, int events) {
  ev_io_init(watcher, narrate_io, fd, events);
  watcher->data = name;
}

static inline const char *yes(int condition) { return condition ? "yes" : "NO"; }

/* Equal but for rounding. */
static inline int same(double a, double b) { return a - b < 1e-6 && b - a < 1e-6; }

static inline double monotonic(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Lets real time pass; the loop's own time stands. */
static inline void let_pass(double seconds) {
  double end = monotonic() + seconds;
  for (double left; (left = end - monotonic()) > 0;) {
    struct timespec t = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    nanosleep(&t, NULL);
  }
}

#endif
