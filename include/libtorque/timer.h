/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_TIMER_H
#define LIBTORQUE_TIMER_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Called when the timer expires, never early. expirations is 1, or for a periodic timer the number of periods that
 * ended since the last call. Timers of one domain fire one after another, in the order of their deadlines; timers with
 * equal deadlines fire in the order in which they were set. There are two exceptions: a timer that waits for its
 * strand, and a timer that was placed in another domain than the one in which it was made, may fire after timers with
 * later deadlines. */
typedef void torque_timer_fn(torque_source source, uint64_t expirations, void *arg);

enum {
  TORQUE_CLOCK_MONOTONIC = 0,
  TORQUE_CLOCK_WALL = 1 /* CLOCK_REALTIME; if it is set forwards or backwards, the deadlines follow */
};

enum {
  TORQUE_TIMER_ABSOLUTE = 0x1, /* when_ns is a time of the timer's clock; otherwise it is relative to now */
  TORQUE_TIMER_REMOVE = 0x2    /* remove the source after its last expiration; for a one-shot timer that needs no
                                * further attention */
};

/* Creates a timer that is not armed. clock is one of TORQUE_CLOCK_*. torque_timer_set() arms it; it needs no
 * torque_source_start().
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + EMFILE, ENFILE (the first wall-clock timer of a domain opens a
 *         descriptor). */
TORQUE_API torque_err torque_timer_new(struct torque_ctx *ctx, int32_t clock, torque_timer_fn *fn, void *arg,
                                       torque_source *ret_source) TORQUE_CHECKED;

/* Arms the timer, or rearms it: it expires when_ns from now, or at the time when_ns with TORQUE_TIMER_ABSOLUTE, and
 * then every period_ns. period_ns 0: one-shot. A deadline in the past expires at once. Periods are counted from the
 * first deadline, so a periodic timer does not drift.
 * Thread: any, any callback. Takes constant time, whatever the number of timers.
 * Errors: INVAL (unknown flags); STALE; KIND; RESOURCE (the old deadline remains); STOPPED; FORKED. */
TORQUE_API torque_err torque_timer_set(torque_source source, uint64_t when_ns, uint64_t period_ns, uint32_t flags);

/* Lets the timer fire up to slack_ns late, so that wake-ups coincide. More than 4 s counts as 4 s. Applies from the
 * next torque_timer_set(). Default: 0.
 * Errors: STALE; KIND. */
TORQUE_API torque_err torque_timer_set_slack(torque_source source, uint64_t slack_ns);

/* Disarms the timer; the source remains, and may be set again. A call of the callback that is in progress continues; no
 * new one starts. A timer that is not armed is not an error.
 * Errors: STALE; KIND. */
TORQUE_API torque_err torque_timer_cancel(torque_source source);

/* Stores the time left until the deadline: 0 if the timer is due, UINT64_MAX if it is not armed.
 * Errors: INVAL; STALE; KIND. */
TORQUE_API torque_err torque_timer_remaining(torque_source source, uint64_t *ret_ns);

/* Creates a timer on the monotonic clock and arms it after_ns from now, in one call.
 * Errors: as torque_timer_new() and torque_timer_set(). */
TORQUE_API torque_err torque_timer_add(struct torque_ctx *ctx, uint64_t after_ns, uint64_t period_ns, uint32_t flags,
                                       torque_timer_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
