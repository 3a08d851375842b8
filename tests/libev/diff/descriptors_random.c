/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers whose files change at random, with duplicates that outlive them: what is reported is what is asked for now. */
#include "diff.h"

enum { NUMBERS = 10, EACH = 3, WATCHERS = NUMBERS * EACH, STEPS = 1200, FIRST = 300, COPIES = 16 };

static struct ev_loop *loop;
static ev_io watchers[WATCHERS];
static int reported[WATCHERS], far_ends[NUMBERS], full[NUMBERS], copies[COPIES];
static unsigned seed, next_copy;

static int pick(int limit) {
  seed = seed * 1103515245u + 12345u;
  return (int)((seed >> 16) & 0x7fff) % limit;
}

static void record(struct ev_loop *l, ev_io *w, int revents) {
  (void)l;
  reported[w - watchers] |= revents;
}

/* A new file at the number; the old one stays open elsewhere, or does not. */
static void renew(int number, int keep_copy) {
  int active[EACH], ends[2], fd = FIRST + number;
  for (int i = 0; i < EACH; i++) {
    active[i] = ev_is_active(&watchers[number * EACH + i]) ? 1 : 0;
    ev_io_stop(loop, &watchers[number * EACH + i]);
  }
  if (keep_copy) {
    int *copy = &copies[next_copy++ % COPIES];
    if (*copy >= 0) close(*copy);
    *copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST + NUMBERS);
    NEED(*copy >= 0);
  }
  if (pick(2)) {
    close(fd);
    if (pick(2)) turn(loop);
  }
  if (far_ends[number] >= 0 && !pick(3)) close(far_ends[number]); /* the kept one hangs up */
  make_pair(ends);
  NEED(dup2(ends[0], fd) == fd);
  close(ends[0]);
  far_ends[number] = ends[1];
  full[number] = 0;
  for (int i = 0; i < EACH; i++) {
    ev_io *w = &watchers[number * EACH + i];
    ev_io_set(w, fd, w->events & (EV_READ | EV_WRITE));
    if (active[i]) ev_io_start(loop, w);
  }
}

static void step(void) {
  int number = pick(NUMBERS), fd = FIRST + number;
  ev_io *w = &watchers[number * EACH + pick(EACH)];
  switch (pick(10)) {
    case 0: case 1: ev_io_start(loop, w); break;
    case 2: ev_io_stop(loop, w); break;
    case 3: case 4:
      ev_io_stop(loop, w);
      ev_io_set(w, fd, pick(4));
      ev_io_start(loop, w);
      break;
    case 5: put(far_ends[number], 1); break;
    case 6: drain(fd); break;
    case 7:
      if (full[number]) drain(far_ends[number]);
      else fill(fd);
      full[number] = !full[number];
      break;
    case 8: renew(number, 0); break;
    case 9: renew(number, 1); break;
  }
}

static void change_at_random(unsigned flags, unsigned first_seed) {
  loop = new_loop(flags);
  seed = first_seed;
  for (int i = 0; i < COPIES; i++) copies[i] = -1;
  for (int i = 0; i < WATCHERS; i++) ev_io_init(&watchers[i], record, FIRST + i / EACH, 1 + pick(3));
  for (int i = 0; i < NUMBERS; i++) {
    far_ends[i] = -1;
    renew(i, 0);
  }
  signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < STEPS; i++) {
    step();
    if (pick(4)) continue;
    /* A loop may need a pass to notice what was done behind its back. */
    memset(reported, 0, sizeof reported);
    turns(loop, 4);
    char line[WATCHERS + 1] = "";
    for (int k = 0; k < WATCHERS; k++) line[k] = ".rwb"[reported[k] & 3];
    trace("%4d: %2d active %s", i, ev_run(loop, EVRUN_NOWAIT), line);
  }
  ev_loop_destroy(loop);
}

CASE(numbers_that_change_their_files_1) { change_at_random(0, 1); }
CASE(numbers_that_change_their_files_2) { change_at_random(0, 22); }
CASE(numbers_that_change_their_files_3) { change_at_random(0, 333); }
CASE(numbers_that_change_their_files_by_poll) { change_at_random(EVBACKEND_POLL, 4444); }
CASE(numbers_that_change_their_files_by_select) { change_at_random(EVBACKEND_SELECT, 55555); }
