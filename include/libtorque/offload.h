/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_OFFLOAD_H
#define LIBTORQUE_OFFLOAD_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Runs blocking work (a file system, a resolver, a database, a long computation) on a helper thread, and reports its
 * end as an event of the context.
 *
 * A job is a source that fires once and ends by itself. Helpers start with the first job of a context, as many as are
 * needed and torque_config_set_offload_threads() allows. A helper that has been idle for the time of
 * torque_config_set_offload_idle() exits. Helpers block all signals except those that faults raise, and may run on all
 * CPUs that the process may use. The names of their threads end in +0, +1, ... The work of jobs begins in the order in
 * which the jobs were started. The number of waiting jobs is not limited (see TORQUE_GAUGE_JOBS).
 *
 * torque_stop() waits for work that is running, and cancels work that has not started. In both cases done is called
 * before it returns.
 * Thread: any, any callback and any work function. Not async-signal-safe. */

/* The work function. Its return value is passed to done. It may make every call of the library except those that wait
 * for the context itself (torque_stop() and torque_block() return DEADLOCK). torque_getcurctx() returns null here.
 * Thread: a helper. */
typedef int64_t torque_offload_fn(void *arg);

/* Called exactly once for each job that was started. If err is 0, result is the return value of the work. If err is
 * SYSCALL + ECANCELED, the work never started.
 * Thread: as any callback; in torque_stop(), the thread that stops the context. */
typedef void torque_offload_done_fn(torque_source job, torque_err err, int64_t result, void *arg);

/* Runs work(arg) on a helper, and then done(job, err, result, arg) in the context. If the caller is a callback of ctx,
 * done runs in the same domain. *ret_job (ret_job may be null) is for torque_offload_cancel(); it is set before done
 * can run.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + EAGAIN (there is no helper, and none could be created). If the
 *         call fails, neither function is called. */
TORQUE_API torque_err torque_offload(struct torque_ctx *ctx, torque_offload_fn *work, torque_offload_done_fn *done,
                                     void *arg, torque_source *ret_job);

/* Does the same, but done runs in the domain that serves source, and in that source's strand if it has one, so never at
 * the same time as the callbacks of that strand.
 * Errors: as torque_offload(); STALE. */
TORQUE_API torque_err torque_offload_source(torque_source source, torque_offload_fn *work, torque_offload_done_fn *done,
                                            void *arg, torque_source *ret_job);

/* Creates a job without starting it. Set its strand, placement or finalizer, and call torque_source_start(). Only a job
 * that was not started can be removed; done is then not called. */
TORQUE_API torque_err torque_offload_new(struct torque_ctx *ctx, torque_offload_fn *work, torque_offload_done_fn *done,
                                         void *arg, torque_source *ret_job) TORQUE_CHECKED;

/* Cancels a job.
 * Returns: 0 if the work has not started; it never will, and done is called with ECANCELED.
 * Errors: STATE (the work is running or complete, cannot be stopped, and done is called with its result; or the job was
 *         not started); STALE (done was called); KIND (not offloaded work); FORKED. */
TORQUE_API torque_err torque_offload_cancel(torque_source job);

TORQUE_END_DECLS

#endif
