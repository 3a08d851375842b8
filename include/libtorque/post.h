/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_POST_H
#define LIBTORQUE_POST_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Work for a context's own threads. What one thread posts to one place is run in that order, each function after the
 * one before has returned. A system call is made only when the one who shall run it sleeps. What was posted before
 * torque_stop() is run before that returns.
 * Thread: any, callbacks included. Not async-signal-safe (torque_wake() is).
 * Errors: INVAL no function, no such domain; STALE; RESOURCE; FULL (torque_config_set_post_limit()); STOPPED; FORKED. */
typedef void torque_post_fn(void *arg);

/* Anywhere in the context: from a callback, on its own domain; else on a domain that stays the same for this thread. */
TORQUE_API torque_err torque_post(struct torque_ctx *ctx, torque_post_fn *fn, void *arg);

/* On one domain. */
TORQUE_API torque_err torque_post_domain(struct torque_ctx *ctx, uint32_t domain, torque_post_fn *fn, void *arg);

/* On the domain that serves source, within its strand if it has one. */
TORQUE_API torque_err torque_post_source(torque_source source, torque_post_fn *fn, void *arg);

/* In source's own turn: while no callback of it runs, and none starts; on the domain that serves it, in its strand if it
 * has one. What only the source's own callbacks may do can be done there, so a connection that a timer or an answer
 * touches needs no lock. Functions of one thread run in the order of the calls, before events that come later; of a
 * stream also in order with what was written to it and asked of it (see stream.h: torque_stream_run()).
 *
 * fn is called exactly once for each success. err: 0 in the turn; the source has ended before that: STALE, or STOPPED with
 * its context. Then it is called as a finalizer is, before the finalizer, and no callback runs any more.
 * From the own callback, or from fn: it runs when that has returned. torque_postpone() in it: what the source has to tell
 * waits for the next round, and is told with TORQUE_TRIGGER (of a stream: what is kept is told again).
 * Errors: INVAL; STALE, and fn is not called; STATE not started; KIND a concurrent source, or one that has no turn of its
 * own (listeners, conditions, datagram sources of several sockets, jobs); RESOURCE; STOPPED; FORKED. */
typedef void torque_run_fn(torque_source source, torque_err err, void *arg);
TORQUE_API torque_err torque_source_run(torque_source source, torque_run_fn *fn, void *arg);

/* A strand: sources and posted work that share it never run at the same time, whichever workers run them.
 * free gives up the caller's reference; sources and posted work that use it keep it alive. It may be called at any time,
 * also after the context has gone, and must be called once. */
TORQUE_API torque_err torque_strand_new(struct torque_ctx *ctx, struct torque_strand **ret_strand) TORQUE_CHECKED;
TORQUE_API void torque_strand_free(struct torque_strand *strand);
TORQUE_API torque_err torque_strand_post(struct torque_strand *strand, torque_post_fn *fn, void *arg);

TORQUE_END_DECLS

#endif
