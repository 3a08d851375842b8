/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that say what an event loop does, for libev: see ../diff/cases.h. */
#ifndef TORQUE_TESTS_LIBEV_DIFF_H
#define TORQUE_TESTS_LIBEV_DIFF_H

#include <ev.h>

#include "../diff/cases.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds after which waiting is given up: never a measure, only the end of a case that would hang. */
#define PATIENCE 10.

/* Event bits by name: "READ|WRITE", "0". A few results live at a time. */
const char *bits(int events);

/* "active=1 pending=0 priority=0" of any watcher; a few results live at a time. */
#define state(w) diff_state(ev_is_active(w) ? 1 : 0, ev_is_pending(w) ? 1 : 0, ev_priority(w))
const char *diff_state(int active, int pending, int priority);

/* --- Loops */

/* ev_run (loop, EVRUN_NOWAIT); its result, which is true while something is active. */
int turn(struct ev_loop *loop);
void turns(struct ev_loop *loop, int count);

/* ev_run (loop, flags), ended (and traced) by a guard timer after PATIENCE. The guard is not counted as active. */
int run_guarded(struct ev_loop *loop, int flags);

/* Passes with EVRUN_ONCE until *flag is not zero, or until the guard ends it: then it is traced, and the result is 0. */
int run_until(struct ev_loop *loop, const volatile int *flag);

/* A new loop with the flags given and EVFLAG_NOENV. */
struct ev_loop *new_loop(unsigned int flags);

#ifdef __cplusplus
}
#endif
#endif
