/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_CONTEXT_H
#define LIBTORQUE_CONTEXT_H

#include <libtorque/config.h>
#include <libtorque/source.h>
#include <signal.h>
#include <sys/select.h> /* sigset_t, which <signal.h> does not declare in strict C */

TORQUE_BEGIN_DECLS

/* A context is a set of event queues and, unless it is driven, the worker threads that serve them. A threaded context
 * has one worker for each usable CPU and one queue for each cache domain. A driven context has one queue and no thread;
 * the caller runs it. A process may have any number of contexts of either kind. */
struct torque_ctx;

/* Creates a context with the settings in config; null means the defaults. The context copies the settings. All
 * descriptors that the engine needs are opened here; the workers start with the first source. The CPU affinity of the
 * calling thread defines the usable CPUs. If SIGPIPE has its default action, it is set to ignored, unless
 * torque_config_set_sigpipe() says otherwise. No other signal is changed.
 * Thread: any.
 * Errors: INVAL; AFFINITY (no usable CPU); RESOURCE; SYSCALL + EMFILE, ENFILE, ENOMEM. */
TORQUE_API torque_err torque_ctx_new(const struct torque_config *config, struct torque_ctx **ret_ctx) TORQUE_CHECKED;

/* Creates a context with the defaults (a call of the original library). Returns null on failure, with the error in
 * *err; on success *err is 0. */
TORQUE_API struct torque_ctx *torque_init(torque_err *err) TORQUE_CHECKED;

/* Starts the workers now instead of with the first source.
 * Errors: KIND (driven context); STOPPED; FORKED; SYSCALL + EAGAIN (threads cannot be created). */
TORQUE_API torque_err torque_start(struct torque_ctx *ctx);

/* Stops a context and frees it. No new callback starts, and callbacks in progress finish. Functions that were posted
 * before run. The workers are joined. Every source ends; its finalizer is called on the calling thread with
 * TORQUE_END_STOPPED. The library closes its own descriptors. A thread that is in torque_block() on the context
 * returns.
 *
 * After success the context does not exist any more, and every call on ctx returns STOPPED. The library reuses the
 * pointer after 256 more contexts have been freed.
 *
 * In a child that was forked after the workers had started, the call frees the child's copy, runs no finalizer and does
 * not affect the parent.
 * Errors: DEADLOCK (called from a callback or finalizer of this context; use torque_stop_async()); BUSY (another thread
 *         is running the driven context); STOPPED (already freed); INVAL (not a context). */
TORQUE_API torque_err torque_stop(struct torque_ctx *ctx);

/* Requests that the context stop, and returns at once. Use it in callbacks. Callbacks in progress finish, and no other
 * starts. The workers end, and torque_run() and torque_block() return. The context is not freed; torque_stop() or
 * torque_block() must do that.
 * Errors: INVAL; STOPPED; FORKED. */
TORQUE_API torque_err torque_stop_async(struct torque_ctx *ctx);

/* Blocks until the context stops, and then does what torque_stop() does, so the context is freed. The context stops
 * because of torque_stop_async(), torque_stop() or a termination signal: SIGTERM or SIGINT, unless
 * torque_config_set_term_signals() says otherwise.
 *
 * The library takes termination signals only while some thread is in this call, and only those that have their default
 * action or that a signal source watches. A signal that the program handles or ignores never ends the call, even if the
 * handler is installed while the call waits. One signal ends every torque_block() that waits for it, whatever thread it
 * arrives in, and whether or not threads have it blocked. Further signals have no effect while the context is stopping.
 * These signals are unblocked in the calling thread while it waits.
 * Errors: DEADLOCK (called from a callback or finalizer of this context); KIND (driven context); STOPPED; FORKED;
 *         INVAL. */
TORQUE_API torque_err torque_block(struct torque_ctx *ctx);

/* Called once for each drain that began. err is 0 if all streams have ended by themselves; SYSCALL + ETIMEDOUT if the
 * limit aborted streams, whose number is aborted; STOPPED if the context was stopped before the drain was complete.
 * Thread: a worker; with STOPPED, the thread that stops the context. */
typedef void torque_drained_fn(struct torque_ctx *ctx, torque_err err, uint64_t aborted, void *arg);

/* Ends the work of a context gracefully. Listeners end: their finalizers are called with TORQUE_END_STOPPED, and their
 * sockets are closed. A socket of the caller keeps listening, for the process that takes over. No listener can be
 * started any more.
 *
 * Streams continue until they end by themselves, also those that the program has connected. A type can have a callback
 * that asks each of its streams to end soon (torque_stream_type_set_goaway()). After limit_ns (UINT64_MAX: no limit; 0:
 * at once) the remaining streams are aborted as by torque_stream_abort(), and no stream can be started any more
 * (STOPPED). When no stream is left, fn (which may be null) is called. Then the context stops as by
 * torque_stop_async(): torque_block() and torque_run() return.
 *
 * Everything else (timers, posted functions, other descriptors) continues until then. The drain does not wait for a
 * stream that has not been started, or that waits for its connection (torque_stream_await(), torque_dial_stream()).
 *
 * If a drain is already in progress, an earlier limit replaces the old one; a later limit has no effect. The fn of the
 * first call remains in effect.
 * Thread: any, any callback. A driven context must be run for the drain to proceed.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; the errors of torque_start(). On failure the context continues as before.
 */
TORQUE_API torque_err torque_ctx_drain(struct torque_ctx *ctx, uint64_t limit_ns, torque_drained_fn *fn, void *arg);

/* Returns 1 after a drain has begun, and 0 otherwise (also for a context that was freed).
 * Thread: any. */
TORQUE_API int32_t torque_ctx_draining(const struct torque_ctx *ctx);

/* Blocks all signals except those that faults raise and SIGXCPU, in the calling thread and in the threads that it
 * creates later. The old mask is stored in *ret_mask, unless ret_mask is null. Call it before you create threads if
 * torque_block() and signal sources are to receive all signals. */
TORQUE_API torque_err torque_sigmask(sigset_t *ret_mask) TORQUE_CHECKED;

/* Returns the context whose callback the calling thread is in, or null outside callbacks. Do not keep the pointer
 * beyond the callback. */
TORQUE_API struct torque_ctx *torque_getcurctx(void) TORQUE_CHECKED;

/* Returns the number of the worker that the calling thread is, 0 on a thread that is running a driven context, and -1
 * on all other threads. */
TORQUE_API int32_t torque_current_worker(void);

/* Return the number of workers and of domains: both 1 for a driven context, and 0 for a context that was freed. */
TORQUE_API uint32_t torque_ctx_workers(const struct torque_ctx *ctx);
TORQUE_API uint32_t torque_ctx_domains(const struct torque_ctx *ctx);

/* ---- Driven contexts: only one thread at a time may run a context ----
 *
 * Errors of the run calls: KIND (threaded context); BUSY (another thread is running the context); STOPPED; FORKED;
 * INVAL. The run calls may be nested: a callback may run its own context. While it does, the same callback is not
 * called again, unless its source is concurrent. */

/* Runs the event loop until torque_break() or torque_stop_async() is called. */
TORQUE_API torque_err torque_run(struct torque_ctx *ctx);

/* Waits for events for at most timeout_ns (UINT64_MAX: no limit), runs one round, and returns. It returns early after
 * torque_wake() or torque_break(). Stores the number of callbacks that ran in *ret_count (which may be null). */
TORQUE_API torque_err torque_run_once(struct torque_ctx *ctx, uint64_t timeout_ns, uint64_t *ret_count);

/* Does the same without waiting. */
TORQUE_API torque_err torque_run_ready(struct torque_ctx *ctx, uint64_t *ret_count);

/* Makes the innermost run call in progress return after the current callback. If no run call is in progress, the next
 * one returns at once.
 * Thread: any.
 * Errors: KIND (threaded context); STOPPED; FORKED; INVAL. */
TORQUE_API torque_err torque_break(struct torque_ctx *ctx);

/* Makes the wait in progress return at once; if no wait is in progress, the next one does. Also wakes a worker of a
 * threaded context.
 * Thread: any; async-signal-safe. */
TORQUE_API torque_err torque_wake(struct torque_ctx *ctx);

/* For embedding a context in another event loop: when the descriptor is readable or the deadline has passed, call
 * torque_run_ready(). The deadline is in nanoseconds of CLOCK_MONOTONIC; UINT64_MAX means no deadline, 0 means now.
 * Both are always up to date. The descriptor belongs to the library. torque_poll_fd() returns -1 for a threaded
 * context. If the context was made with torque_config_set_poll_deadline(), waiting for the descriptor is enough.
 * Thread: any. */
TORQUE_API int32_t torque_poll_fd(const struct torque_ctx *ctx);
TORQUE_API torque_err torque_deadline(struct torque_ctx *ctx, uint64_t *ret_ns);

/* Returns the monotonic time of the current round in nanoseconds. The first call in a round reads the clock, and the
 * others return the same time, which is precise enough for timeouts. Outside callbacks it returns the current time.
 * Thread: any. */
TORQUE_API uint64_t torque_now(const struct torque_ctx *ctx);

/* Makes a forked child's copy of a driven context work, with all its sources, independently of the parent's. It has no
 * effect in the process that made the context. If it fails, it may be called again.
 * Errors: KIND (threaded context); INVAL; SYSCALL + EMFILE, ENFILE, ENOMEM. */
TORQUE_API torque_err torque_reinit(struct torque_ctx *ctx);

TORQUE_END_DECLS

#endif
