/* SPDX-License-Identifier: BSD-3-Clause */
#include "diff.h"

const char *const diff_symbol = "ev_run";

const char *bits(int events) {
  static const struct diff_bit names[] = {
      {EV_READ, "READ"},   {EV_WRITE, "WRITE"},   {EV__IOFDSET, "IOFDSET"}, {EV_TIMER, "TIMER"},     {EV_PERIODIC, "PERIODIC"},
      {EV_SIGNAL, "SIGNAL"}, {EV_CHILD, "CHILD"}, {EV_STAT, "STAT"},        {EV_IDLE, "IDLE"},       {EV_PREPARE, "PREPARE"},
      {EV_CHECK, "CHECK"}, {EV_EMBED, "EMBED"},   {EV_FORK, "FORK"},        {EV_CLEANUP, "CLEANUP"}, {EV_ASYNC, "ASYNC"},
      {EV_CUSTOM, "CUSTOM"}, {(int)EV_ERROR, "ERROR"}, {0, NULL}};
  return diff_bits(events, names);
}

const char *diff_state(int active, int pending, int priority) {
  char *text = diff_scratch();
  snprintf(text, SCRATCH, "active=%d pending=%d priority=%d", active, pending, priority);
  return text;
}

int turn(struct ev_loop *loop) { return ev_run(loop, EVRUN_NOWAIT) != 0; }

void turns(struct ev_loop *loop, int count) {
  while (count--) ev_run(loop, EVRUN_NOWAIT);
}

static void give_up(struct ev_loop *loop, ev_timer *guard, int revents) {
  (void)revents;
  *(int *)guard->data = 1;
  trace("gave up waiting");
  ev_break(loop, EVBREAK_ALL);
}

static void guard_start(struct ev_loop *loop, ev_timer *guard, int *gave_up) {
  ev_timer_init(guard, give_up, PATIENCE, 0.);
  guard->data = gave_up;
  ev_now_update(loop);
  ev_timer_start(loop, guard);
  ev_unref(loop);
}

static void guard_stop(struct ev_loop *loop, ev_timer *guard) {
  ev_ref(loop);
  ev_timer_stop(loop, guard);
}

int run_guarded(struct ev_loop *loop, int flags) {
  ev_timer guard;
  int gave_up = 0;
  guard_start(loop, &guard, &gave_up);
  int active = ev_run(loop, flags) != 0;
  guard_stop(loop, &guard);
  return active;
}

int run_until(struct ev_loop *loop, const volatile int *flag) {
  ev_timer guard;
  int gave_up = 0;
  guard_start(loop, &guard, &gave_up);
  ev_ref(loop); /* waits even where nothing else is active */
  while (!*flag && !gave_up) ev_run(loop, EVRUN_ONCE);
  ev_unref(loop);
  guard_stop(loop, &guard);
  return *flag;
}

struct ev_loop *new_loop(unsigned int flags) {
  struct ev_loop *loop = ev_loop_new(flags | EVFLAG_NOENV);
  NEED(loop);
  return loop;
}
