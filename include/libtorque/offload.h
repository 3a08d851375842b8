/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_OFFLOAD_H
#define LIBTORQUE_OFFLOAD_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Work that blocks (a file system, a resolver, a data base, a long computation), done by a helper thread, and told as
 * an event of the context.
 *
 * A job is a source that fires once and ends by itself. Helpers start with the first job of a context, as many as are
 * needed at once and torque_config_set_offload_threads() allows, and go when they have had nothing to do for a while.
 * They block all signals, run where the process may run, and their names end in +0, +1, ... Jobs begin in the order in
 * which they were started; how many wait for a helper is not bounded (see TORQUE_GAUGE_JOBS).
 *
 * torque_stop() waits for the work that is being done, and cancels what has not begun; either is told before it
 * returns.
 *
 * Thread: any, callbacks and work included. Not async-signal-safe. */

/* The work. What it answers goes to done. May call anything of the library but what waits for the context itself
 * (torque_stop() and torque_block() answer DEADLOCK); torque_getcurctx() is null.
 * Thread: a helper. */
typedef int64_t torque_offload_fn(void *arg);

/* Called exactly once for each job that was started, when its work is over. err: 0, and result is what the work has
 * answered; or TORQUE_ERR_SYSCALL + ECANCELED: it never began.
 * Thread: as any callback; in torque_stop(), the one that stops. */
typedef void torque_offload_done_fn(torque_source job, torque_err err, int64_t result, void *arg);

/* Run work(arg) on a helper, then done(job, err, result, arg) in the context: on the domain of the caller, if that is a
 * callback of ctx. *ret_job (may be null): for torque_offload_cancel(); set before done can run.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + EAGAIN, ENOMEM (no thread could be made, and there is none). */
TORQUE_API torque_err torque_offload(struct torque_ctx *ctx, torque_offload_fn *work, torque_offload_done_fn *done,
                                     void *arg, torque_source *ret_job);

/* The same, but done runs on the domain that serves source, and within its strand if it has one: never beside the
 * callbacks of what shares that. Errors: STALE as well. */
TORQUE_API torque_err torque_offload_source(torque_source source, torque_offload_fn *work, torque_offload_done_fn *done,
                                            void *arg, torque_source *ret_job);

/* The same, not started: for torque_source_set_strand(), torque_source_set_placement(), torque_source_set_finalizer(),
 * then torque_source_start(). Only such a job can be removed; done is not called then. */
TORQUE_API torque_err torque_offload_new(struct torque_ctx *ctx, torque_offload_fn *work, torque_offload_done_fn *done,
                                         void *arg, torque_source *ret_job) TORQUE_CHECKED;

/* Cancel a job. 0: it never begins, and done is told so, as an event. STATE: the work is being done, or is over, and
 * cannot be stopped; done is told its result. STALE: done was called. KIND: not offloaded work. FORKED. */
TORQUE_API torque_err torque_offload_cancel(torque_source job);

TORQUE_END_DECLS

#endif
