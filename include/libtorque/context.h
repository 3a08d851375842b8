/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_CONTEXT_H
#define LIBTORQUE_CONTEXT_H

#include <libtorque/config.h>
#include <libtorque/source.h>
#include <signal.h>
#include <sys/select.h> /* sigset_t, which <signal.h> keeps from strict C */

TORQUE_BEGIN_DECLS

/* A context: a set of event queues and, unless it is driven, the workers that serve them.
 * Two kinds, one engine: a threaded context has one worker for each usable CPU and one queue for each cache domain; a
 * driven context has one queue and is run by the caller. Any number of either may exist. */
struct torque_ctx;

/* Make a context as config says (null: the defaults). Descriptors are opened here; threads start with the first source.
 * The calling thread's CPU affinity is what "all usable CPUs" means. Sets SIGPIPE to ignored if it had its default
 * action, unless torque_config_set_sigpipe() says otherwise, and touches no other signal.
 * Thread: any.
 * Errors: INVAL; AFFINITY no usable CPU; RESOURCE; SYSCALL + EMFILE, ENFILE, ENOMEM. */
TORQUE_API torque_err torque_ctx_new(const struct torque_config *config, struct torque_ctx **ret_ctx) TORQUE_CHECKED;

/* The same with the defaults (the original's call). Null and *err on failure. */
TORQUE_API struct torque_ctx *torque_init(torque_err *err) TORQUE_CHECKED;

/* Start the workers now and not with the first source. Errors: KIND driven; STOPPED; FORKED; SYSCALL + EAGAIN. */
TORQUE_API torque_err torque_start(struct torque_ctx *ctx);

/* Stop, and free the context: no new callback starts, those under way end, work posted before is run, the threads are
 * joined, every source ends (finalizers with TORQUE_END_STOPPED, on this thread), the library's descriptors are closed.
 * A thread in torque_block() on it returns. Afterwards ctx is gone: calls on it answer STOPPED. (So they do until 256 more
 * contexts have gone; then its memory is used again.)
 * Errors: DEADLOCK from a callback or finalizer of this context (use torque_stop_async()); BUSY a driven context is being
 *         run; STOPPED it has gone; INVAL not a context. In a child that forked after the start: frees the child's copy, touches nothing else. */
TORQUE_API torque_err torque_stop(struct torque_ctx *ctx);

/* Ask it to stop, and return: from callbacks, or any thread. Workers end; torque_run() and torque_block() return. The
 * context is freed by torque_block() or torque_stop(). */
TORQUE_API torque_err torque_stop_async(struct torque_ctx *ctx);

/* Wait until the context stops, by torque_stop_async(), torque_stop() or a termination signal (SIGTERM, SIGINT; paper,
 * section 2), then do as torque_stop() and free it. Termination signals are taken only while some thread is in here, and
 * only those that have their default action or are watched by a signal source: what the program handles or ignores, also
 * from some time while this waits on, does not end it. One signal ends every torque_block() that waits for it, whatever
 * thread it arrives in, blocked or not; more of them while stopping do no harm. The calling thread has them unblocked.
 * Errors: DEADLOCK; KIND driven; INVAL. */
TORQUE_API torque_err torque_block(struct torque_ctx *ctx);

/* End gracefully. Listeners end (finalizers with TORQUE_END_STOPPED; their sockets are closed, but one of the caller's goes
 * on to listen, for who comes next), and none can be started. Streams go on until they end by themselves, those that the
 * program has connected too; a type can have a callback that tells each of them that it should
 * (torque_stream_type_set_goaway()). What is alive after limit_ns (UINT64_MAX: no limit; 0: at once) is aborted as by
 * torque_stream_abort(), and no further stream can be started (STOPPED). When no stream is left fn (may be null) is called,
 * and then the context stops as by torque_stop_async(): torque_block() and torque_run() return.
 * Everything else (timers, posted work, other descriptors) goes on until then. A stream that has not started or waits for
 * its connection (torque_stream_await(), torque_dial_stream()) is not waited for.
 *
 * Called again while it is under way, with an earlier limit: that one counts from now on. A later limit has no effect, and
 * fn is that of the first call.
 * Thread: any, callbacks and signal sources' included. In a driven context somebody has to run it.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; what torque_start() answers. The context then goes on as before. */

/* Called once for each drain that began, on a worker. err: 0 all streams have ended by themselves; SYSCALL + ETIMEDOUT
 * aborted of them did not in time; STOPPED the context was stopped before (then on the thread that stops it). */
typedef void torque_drained_fn(struct torque_ctx *ctx, torque_err err, uint64_t aborted, void *arg);
TORQUE_API torque_err torque_ctx_drain(struct torque_ctx *ctx, uint64_t limit_ns, torque_drained_fn *fn, void *arg);

/* 1 from when a drain has begun, else 0 (also for a context that has gone). Thread: any. */
TORQUE_API int32_t torque_ctx_draining(const struct torque_ctx *ctx);

/* Block, in the calling thread and those it makes, all signals but those that faults raise and SIGXCPU. The old mask goes to
 * *ret_mask if that is not null. For programs that leave signals to torque_block() and signal sources; call it before
 * making threads. */
TORQUE_API torque_err torque_sigmask(sigset_t *ret_mask) TORQUE_CHECKED;

/* The context whose callback the calling thread is in, or null. Not to be kept beyond the callback. */
TORQUE_API struct torque_ctx *torque_getcurctx(void) TORQUE_CHECKED;

/* The number of the worker that the calling thread is, -1 if it is none. 0 while running a driven context. */
TORQUE_API int32_t torque_current_worker(void);

TORQUE_API uint32_t torque_ctx_workers(const struct torque_ctx *ctx);
TORQUE_API uint32_t torque_ctx_domains(const struct torque_ctx *ctx);

/* ---- Driven contexts. One thread at a time may run one; any thread may do the rest. ----
 * Errors of the run calls: KIND threaded; BUSY; STOPPED; FORKED. They may be called from a callback of the same context
 * (nested): the callback that does so is not called again until it has returned, unless it is concurrent. */

/* Serve events until torque_break() or torque_stop_async(). */
TORQUE_API torque_err torque_run(struct torque_ctx *ctx);

/* Wait for events at most timeout_ns (UINT64_MAX: as long as it takes), serve one round, return.
 * *ret_count (may be null): callbacks that ran. Returns early after torque_wake() or torque_break(). */
TORQUE_API torque_err torque_run_once(struct torque_ctx *ctx, uint64_t timeout_ns, uint64_t *ret_count);

/* Serve what is ready now, without waiting. */
TORQUE_API torque_err torque_run_ready(struct torque_ctx *ctx, uint64_t *ret_count);

/* Make the innermost running torque_run() return after the callback under way; if none runs, the next one returns at
 * once. Thread: any. */
TORQUE_API torque_err torque_break(struct torque_ctx *ctx);

/* Make a wait in progress, or else the next one, return at once. Also wakes a worker of a threaded context.
 * Thread: any; async-signal-safe. */
TORQUE_API torque_err torque_wake(struct torque_ctx *ctx);

/* For embedding in another loop: when the descriptor polls readable, or the deadline (CLOCK_MONOTONIC, ns; UINT64_MAX
 * none, 0 now) has come, call torque_run_ready(). Both are current at any time, from any thread. The descriptor stays
 * the library's. -1 for a threaded context. Under torque_config_set_poll_deadline() the descriptor is enough. */
TORQUE_API int32_t torque_poll_fd(const struct torque_ctx *ctx);
TORQUE_API torque_err torque_deadline(struct torque_ctx *ctx, uint64_t *ret_ns);

/* The monotonic time (ns) when it was first asked for in the round under way: free to read, good enough for timeouts.
 * Outside a callback: the present time. */
TORQUE_API uint64_t torque_now(const struct torque_ctx *ctx);

/* In a forked child: make the child's copy of a driven context work, with all its sources, apart from the parent's.
 * No effect in the process that made it. Errors: KIND threaded; SYSCALL + EMFILE, ENOMEM. */
TORQUE_API torque_err torque_reinit(struct torque_ctx *ctx);

TORQUE_END_DECLS

#endif
