/* SPDX-License-Identifier: BSD-3-Clause */
/* What loop.c does with libev. */
#include <ev.h>

static void on_timer(struct ev_loop *loop, ev_timer *w, int events) { (void)loop, (void)w, (void)events; }

void *ev_loop_open(void);
void ev_loop_pass(void *l);
void ev_loop_reborn(void *l);
void ev_loop_close(void *l);

void *ev_loop_open(void) { return ev_loop_new(0); }

void ev_loop_pass(void *l) {
  ev_timer timer;
  ev_timer_init(&timer, on_timer, 0.001, 0);
  ev_timer_start(l, &timer);
  ev_run(l, EVRUN_ONCE);
  ev_timer_stop(l, &timer);
}

void ev_loop_reborn(void *l) { ev_loop_fork(l); }
void ev_loop_close(void *l) { ev_loop_destroy(l); }
