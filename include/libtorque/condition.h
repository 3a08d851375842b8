/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_CONDITION_H
#define LIBTORQUE_CONDITION_H

#include <libtorque/source.h>
#include <pthread.h>

TORQUE_BEGIN_DECLS

/* A condition that threads and sources wait for alike, as for a condition variable of POSIX threads.
 *
 * A signal goes to the one who has waited longest, thread or source. A source waits again when its callback has
 * returned; while it is being called, or about to be, a signal goes to it only if nobody waits, and then it is called
 * once more: what was signalled is never lost on it between its look at what it waits for and its waiting again. A
 * thread's look is covered by its mutex. Threads are woken for a signal, and for nothing else.
 *
 * A condition is itself a source that never fires; torque_source_remove() ends it, and its sources with it. */

enum {
  /* Signals that find nobody are counted, and each lets one later wait pass at once (a semaphore); a source that is
   * added gets them all. Without it they are lost, as POSIX has it. */
  TORQUE_CONDITION_COUNTING = 0x1
};

/* Ready for use. Thread: any. Errors: INVAL; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_condition_new(struct torque_ctx *ctx, uint32_t flags,
                                           torque_source *ret_condition) TORQUE_CHECKED;

/* Wake one, or all that wait now; a broadcast reaches every source. With or without the mutex.
 * Thread: any. Not async-signal-safe. Errors: STALE; KIND; FORKED. */
TORQUE_API torque_err torque_condition_signal(torque_source condition);
TORQUE_API torque_err torque_condition_broadcast(torque_source condition);

/* Give up the mutex (null: none; locked once, by this thread), wait at most timeout_ns (UINT64_MAX: as long as it
 * takes) to be woken, and take it again. In whatever way it returns, the mutex is locked. No cancellation point.
 * Thread: any but callbacks, which it would hold up.
 * Errors: SYSCALL + ETIMEDOUT; STALE the condition is gone, or went meanwhile; STOPPED the context stopped meanwhile;
 * KIND; FORKED; SYSCALL + what pthread_mutex_unlock() answers: then nothing was waited for. */
TORQUE_API torque_err torque_condition_wait(torque_source condition, pthread_mutex_t *mutex, uint64_t timeout_ns);

/* Called when it was signalled; signals: how often since the last call, a broadcast being one. It should do all that is
 * there to be done. Thread: as any callback. */
typedef void torque_condition_fn(torque_source source, uint64_t signals, void *arg);

/* Wait as a source, from the start until it is removed. What was signalled to it and not told when it ends goes to
 * another. Errors: INVAL; STALE; KIND; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_condition_add(torque_source condition, torque_condition_fn *fn, void *arg,
                                           torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_condition_add_new(torque_source condition, torque_condition_fn *fn, void *arg,
                                               torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
