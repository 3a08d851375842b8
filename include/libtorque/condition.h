/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_CONDITION_H
#define LIBTORQUE_CONDITION_H

#include <libtorque/source.h>
#include <pthread.h>

TORQUE_BEGIN_DECLS

/* A condition is a condition variable, like that of POSIX threads, and also an event source: both threads and sources
 * can wait for its signals.
 *
 * A signal goes to the waiter that has waited longest, a thread or a source. A source waits again when its callback has
 * returned. While its callback is running or about to run, it gets a single signal only if nobody else waits; the
 * callback is then called once more. So if a callback always does all the work that it finds, no work stays undone that
 * was signalled while the callback ran. A thread is protected by its mutex; it has no spurious wake-ups.
 *
 * A condition is a source that never fires. torque_source_remove() ends it, together with the sources that wait for it.
 */

enum {
  /* Keep signals without a waiter, like the count of a semaphore: each lets one later wait return at once, or all go to
   * the next source that is added. Without this flag they are lost, as with POSIX threads. A broadcast is never kept.
   */
  TORQUE_CONDITION_COUNTING = 0x1
};

/* Creates a condition, ready for use.
 * Thread: any.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_condition_new(struct torque_ctx *ctx, uint32_t flags,
                                           torque_source *ret_condition) TORQUE_CHECKED;

/* Signal wakes one waiter. Broadcast wakes all current waiters, and every source of the condition, even one whose
 * callback is running. The caller may hold the mutex or not.
 * Thread: any. Not async-signal-safe.
 * Errors: STALE; KIND; FORKED. */
TORQUE_API torque_err torque_condition_signal(torque_source condition);
TORQUE_API torque_err torque_condition_broadcast(torque_source condition);

/* Unlocks the mutex (null: none; the calling thread must have locked it once), waits for at most timeout_ns
 * (UINT64_MAX: no limit) until it is woken, and locks the mutex again. The mutex is locked when the call returns, even
 * after an error, except after EPERM. Not a cancellation point.
 * Thread: any, but not callbacks, because the wait blocks a worker.
 * Errors: SYSCALL + ETIMEDOUT; STALE (the condition has ended, before or during the wait); STOPPED (the context is
 *         stopping, or stopped during the wait); KIND; FORKED; SYSCALL + EPERM or another error of
 *         pthread_mutex_unlock() (the call did not wait and did not lock the mutex). */
TORQUE_API torque_err torque_condition_wait(torque_source condition, pthread_mutex_t *mutex, uint64_t timeout_ns);

/* Called when the source was signalled. signals is the number of signals since the last call; a broadcast counts as
 * one. The callback should do all the work that it finds.
 * Thread: as any callback. */
typedef void torque_condition_fn(torque_source source, uint64_t signals, void *arg);

/* Creates a source that waits for the condition until it is removed. torque_condition_add_new() does not start it. If
 * the source ends with a signal that was not reported yet, the signal goes to another waiter.
 * Errors: INVAL; STALE; KIND; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_condition_add(torque_source condition, torque_condition_fn *fn, void *arg,
                                           torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_condition_add_new(torque_source condition, torque_condition_fn *fn, void *arg,
                                               torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
