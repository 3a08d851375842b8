/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_POST_H
#define LIBTORQUE_POST_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* The post calls run fn once, soon, on a thread of the context. Functions that one thread posts to the same target run
 * in the order in which they were posted; each starts after the one before it has returned. A post makes a system call
 * only if the worker that is to run the function sleeps. torque_stop() runs all functions that were posted before it,
 * and then returns. If a call fails, fn does not run.
 * Thread: any, any callback. Not async-signal-safe; in a signal handler, set a flag and call torque_wake().
 * Errors: INVAL (no function; no such domain; not a strand); STALE; RESOURCE; FULL (torque_config_set_post_limit());
 *         STOPPED; FORKED. */
typedef void torque_post_fn(void *arg);

/* Runs fn in any domain: a callback posts to its own domain; another thread posts to a domain that stays the same for
 * that thread. */
TORQUE_API torque_err torque_post(struct torque_ctx *ctx, torque_post_fn *fn, void *arg);

/* Runs fn in the given domain. */
TORQUE_API torque_err torque_post_domain(struct torque_ctx *ctx, uint32_t domain, torque_post_fn *fn, void *arg);

/* Runs fn in the domain that serves source, and in the strand of that source, if it has one. */
TORQUE_API torque_err torque_post_source(torque_source source, torque_post_fn *fn, void *arg);

/* err is normally 0. If the source ends first, err is STALE, or STOPPED if the source ended because its context
 * stopped. The function is then called like a finalizer: when no callback runs any more, and before the source's
 * finalizer. */
typedef void torque_run_fn(torque_source source, torque_err err, void *arg);

/* Runs fn as if it were a callback of source: no callback of the source runs at the same time, and it runs in the
 * domain that serves the source, and in the source's strand if it has one. fn can use the data of a connection without
 * a lock, and can make calls that only the source's own callbacks may make. Functions from one thread run in the order
 * of the calls, and before events that arrive later. For a stream they also keep their order relative to that thread's
 * writes and requests to the stream (torque_stream_run() in stream.h).
 *
 * fn is called exactly once for each call that succeeded. If a callback of the source, or another such function, makes
 * the call, fn runs after that callback or function has returned. If fn calls torque_postpone() for the source, the
 * source's callback is called in the next round, with TORQUE_TRIGGER and the events that are pending. For a stream, the
 * data callback is then called again with the buffered input.
 * Errors: INVAL; STALE; STATE (not started); KIND (a concurrent source, or one that cannot run functions: a listener, a
 *         condition, a datagram source with several sockets, a job); RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_source_run(torque_source source, torque_run_fn *fn, void *arg);

/* Sources and posted functions that share a strand never run at the same time, whichever workers run them.
 * torque_strand_free() releases the caller's reference; sources and posted functions that use the strand keep it alive.
 * Call it once for each strand, at any time, even after the context was freed; null is ignored. torque_strand_post()
 * runs fn in the strand. */
TORQUE_API torque_err torque_strand_new(struct torque_ctx *ctx, struct torque_strand **ret_strand) TORQUE_CHECKED;
TORQUE_API void torque_strand_free(struct torque_strand *strand);
TORQUE_API torque_err torque_strand_post(struct torque_strand *strand, torque_post_fn *fn, void *arg);

TORQUE_END_DECLS

#endif
