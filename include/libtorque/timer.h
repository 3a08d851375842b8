/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_TIMER_H
#define LIBTORQUE_TIMER_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Called when the timer is due, never early. expirations: 1, or for a periodic timer the periods that ended since the
 * last call. Timers of one domain fire one after another, in the order of their deadlines; equal ones as they were set. */
typedef void torque_timer_fn(torque_source source, uint64_t expirations, void *arg);

enum {
  TORQUE_CLOCK_MONOTONIC = 0,
  TORQUE_CLOCK_WALL = 1 /* CLOCK_REALTIME; deadlines follow when the clock is set forwards or backwards */
};

enum {
  TORQUE_TIMER_ABSOLUTE = 0x1, /* when is a point of the timer's clock, not a distance from now */
  TORQUE_TIMER_REMOVE = 0x2    /* remove the source after its last expiration (a one-shot timer that nobody keeps) */
};

/* A timer that is not set. Started by torque_timer_set(); it needs no torque_source_start().
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + EMFILE (a first wall-clock timer opens a descriptor). */
TORQUE_API torque_err torque_timer_new(struct torque_ctx *ctx, int32_t clock, torque_timer_fn *fn, void *arg,
                                       torque_source *ret_source) TORQUE_CHECKED;

/* Set, or set anew: due at when_ns (with TORQUE_TIMER_ABSOLUTE) or when_ns from now, then every period_ns; period 0:
 * once. A deadline in the past is due at once. Periods are counted from the first deadline: no drift.
 * Any thread, any callback; O(1) among any number.
 * Errors: STALE; KIND; RESOURCE (the old deadline stands). */
TORQUE_API torque_err torque_timer_set(torque_source source, uint64_t when_ns, uint64_t period_ns, uint32_t flags);

/* Let it be late by up to slack_ns (at most 4 s), so that wake-ups coincide. Counts from the next torque_timer_set(). Default 0. */
TORQUE_API torque_err torque_timer_set_slack(torque_source source, uint64_t slack_ns);

/* Unset it; the source stays. A call that has started goes on; no other starts. Unset already: fine. Errors: STALE; KIND. */
TORQUE_API torque_err torque_timer_cancel(torque_source source);

/* Time left, 0 when due, UINT64_MAX when not set. Errors: STALE; KIND. */
TORQUE_API torque_err torque_timer_remaining(torque_source source, uint64_t *ret_ns);

/* New and set in one call, on the monotonic clock, after_ns from now. */
TORQUE_API torque_err torque_timer_add(struct torque_ctx *ctx, uint64_t after_ns, uint64_t period_ns, uint32_t flags,
                                       torque_timer_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
