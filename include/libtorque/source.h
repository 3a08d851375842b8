/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_SOURCE_H
#define LIBTORQUE_SOURCE_H

#include <libtorque/error.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

struct torque_ctx;
struct torque_strand;

/* A source is something that can fire: a descriptor, a timer, a signal, a listener, an event of the program's own.
 *
 * A torque_source is a value, not a pointer: copy it, store it, pass it to other languages. It is never used again for
 * another source, so a call with one that is gone answers TORQUE_ERR_STALE and does nothing. 0 is no source.
 *
 * Exclusive sources (the default): at most one thread runs the source's callback at any time, and what one call wrote
 * the next call sees. Concurrent sources (TORQUE_CONCURRENT): any number of threads may run it at once.
 *
 * Every call here may be made on any thread, from any callback, at any time: also while the context stops and after that,
 * when it answers STOPPED or STALE. Each is O(1). None is async-signal-safe. */
typedef uint64_t torque_source;

/* What a descriptor can be ready for, and why a callback runs. */
enum {
  TORQUE_READ = 0x01,
  TORQUE_PRIORITY = 0x02, /* urgent or out-of-band data (POLLPRI) */
  TORQUE_WRITE = 0x04,
  TORQUE_ERROR = 0x08,  /* reported always, never asked for */
  TORQUE_CLOSED = 0x10, /* both directions are shut (POLLHUP); reported always */
  TORQUE_HANGUP = 0x20, /* the peer has shut its sending side (POLLRDHUP); only if asked for */
  TORQUE_TRIGGER = 0x40 /* torque_trigger() */
};

/* What a callback answers. */
enum {
  TORQUE_DONE = 0, /* all was taken (EAGAIN, or a short read or write): tell me at the next edge */
  TORQUE_AGAIN = 1 /* something is left: call me again after the others had their turn; costs no system call */
};

/* Kinds of notification. */
enum {
  TORQUE_CONCURRENT = 0x1, /* any number of threads may run the callback (the paper's MTSAFE) */
  TORQUE_RECHECK = 0x2,    /* the callback need not drain: readiness is checked again after each call, by a system call */
  TORQUE_LEVEL = 0x4       /* driven contexts only: called as long as the descriptor is ready; no drain, no extra cost */
};

/* Called when a descriptor is ready; events says for what. The answer is TORQUE_DONE or TORQUE_AGAIN.
 * Thread: a worker of the source's domain, or the thread that runs the driven context. */
typedef int32_t torque_fd_fn(torque_source source, int32_t fd, uint32_t events, void *arg);

/* Called once, last, when no callback of the source runs any more and none will; here belongs what frees arg.
 * reason: TORQUE_END_*.
 * Thread: the one that removed the source, in that call; the worker whose callback was the last to run; or any worker of
 * its domain. Never within another call of another thread: it may take a lock that such a caller holds. */
typedef void torque_final_fn(torque_source source, int32_t reason, void *arg);

enum {
  TORQUE_END_REMOVED = 0,  /* torque_source_remove() */
  TORQUE_END_CLOSED = 1,   /* torque_close() */
  TORQUE_END_REPLACED = 2, /* the descriptor had been closed, and its number was given to a new source */
  TORQUE_END_STOPPED = 3   /* the context stopped */
};

/* Watch fd for events (TORQUE_READ | TORQUE_WRITE | ...). The caller keeps fd, should have made it non-blocking, and
 * may close it at any time (paper, section 2.2): no callback of the old source runs for a new descriptor of that number
 * once that has its own source. Regular files are always ready.
 *
 * flags: 0 or TORQUE_CONCURRENT, TORQUE_RECHECK, TORQUE_LEVEL.
 * Without RECHECK and LEVEL notification is edge-triggered: read or write until EAGAIN (or until less came than was
 * asked for), or answer TORQUE_AGAIN.
 *
 * Returns: 0 and *ret_source; the first callback may run before this returns.
 * Errors:  INVAL fd < 0, no callback, unknown events or flags, LEVEL in a threaded context; EXIST fd has a source in
 *          this context; RESOURCE; STOPPED; FORKED; SYSCALL + EBADF, ENOSPC, ENOMEM, ELOOP. */
TORQUE_API torque_err torque_fd_add(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags,
                                    torque_fd_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* The same in two steps: between them, the torque_source_set_*() calls below say what it shall be. A source that was
 * not started must be removed like any other. */
TORQUE_API torque_err torque_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags,
                                    torque_fd_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_source_start(torque_source source) TORQUE_CHECKED;

/* Between new and start only (else TORQUE_ERR_STATE).
 * Thread: any; of such calls, a start among them, one at a time goes on. */
TORQUE_API torque_err torque_source_set_finalizer(torque_source source, torque_final_fn *fn);
/* Sources (and posted work) of one strand never run at the same time: see post.h. The source keeps the strand alive. */
TORQUE_API torque_err torque_source_set_strand(torque_source source, struct torque_strand *strand);

/* Which queue serves it: a domain's number, or a hint (paper, section 4). Default: TORQUE_PLACE_NEAR from a callback,
 * TORQUE_PLACE_FAR from outside. */
enum {
  TORQUE_PLACE_DEFAULT = -1,
  TORQUE_PLACE_NEAR = -2, /* communal: shares data with the callback that adds it; this worker's queue */
  TORQUE_PLACE_FAR = -3   /* solitary: the queue with the fewest sources, or near that */
};
TORQUE_API torque_err torque_source_set_placement(torque_source source, int32_t place);

/* Change what a descriptor source waits for. 0: nothing (errors and hang-ups are not told either).
 * A descriptor that is ready for the new events is told at once.
 * Errors: STALE; KIND; INVAL; SYSCALL + errno (the descriptor was closed: EBADF, ENOENT). */
TORQUE_API torque_err torque_fd_modify(torque_source source, uint32_t events);

/* Run the callback of a descriptor or event source soon, on a worker of its domain, with events | TORQUE_TRIGGER.
 * Calls that come before the callback starts are merged. */
TORQUE_API torque_err torque_trigger(torque_source source, uint32_t events);

/* An event of the program's own: fires only through torque_trigger(). fd is -1 in the callback. */
TORQUE_API torque_err torque_event_add(struct torque_ctx *ctx, uint32_t flags, torque_fd_fn *fn, void *arg,
                                       torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_event_new(struct torque_ctx *ctx, uint32_t flags, torque_fd_fn *fn, void *arg,
                                       torque_source *ret_source) TORQUE_CHECKED;

/* From the source's own callback: not now, again after the others had their turn. Same as answering TORQUE_AGAIN,
 * also for kinds whose callbacks answer nothing. Errors: STATE not called from the source's own callback. */
TORQUE_API torque_err torque_postpone(torque_source source);

/* End a source. Returns at once; when it has returned, no new call of the callback starts, and the kernel no longer
 * watches the descriptor, which is left open. A call under way on another thread goes on; the finalizer tells the end.
 * From the own callback: fine, the finalizer runs when the callback returns. Errors: STALE; STATE a job that was started:
 * that can only be cancelled (<libtorque/offload.h>). */
TORQUE_API torque_err torque_source_remove(torque_source source);

/* The same, and wait until the finalizer has run. Two callbacks that wait for each other's source wait for ever.
 * Errors: STALE, another call has ended it (the finalizer is waited for all the same); DEADLOCK from the source's own
 * callback or finalizer, from its strand, or, for a condition, from that of a source that waits for it; STATE. (Nothing is
 * done then.) */
TORQUE_API torque_err torque_source_remove_wait(torque_source source);

/* End a descriptor source and close its descriptor, in that order: the close comes when no callback runs any more, just
 * before the finalizer, so that no callback can meet a descriptor that is not its own. Errors: STALE; KIND. */
TORQUE_API torque_err torque_close(torque_source source);

/* 1 while source exists (new, started, running), 0 when it was removed or never was. */
TORQUE_API int32_t torque_source_alive(torque_source source);

/* What the next call of its callback is given: the arg that it was made with, or was set since. Errors: STALE. */
TORQUE_API torque_err torque_source_arg(torque_source source, void **ret_arg);

/* Give it another arg, at any time and of any kind. Every call of its callbacks that starts after this has returned has
 * the new one, on whatever worker, and so has the finalizer. A call under way goes on with the one that it was given:
 * where that is to be freed, torque_source_run() (post.h) tells when it is over. Of a listener or a datagram source all
 * sockets, of torque_stream_listen() the streams that it makes from now on. What was the arg before is the caller's.
 * Errors: STALE; FORKED. */
TORQUE_API torque_err torque_source_set_arg(torque_source source, void *arg);

/* What it is. These numbers stay as they are; later versions may have more. */
enum {
  TORQUE_KIND_INTERNAL = 0, /* a part of the library: only torque_blocked_source() (watchdog.h) ever names one */
  TORQUE_KIND_FD = 1,
  TORQUE_KIND_EVENT = 2,
  TORQUE_KIND_TIMER = 3,
  TORQUE_KIND_SIGNAL = 4,
  TORQUE_KIND_LISTENER = 5, /* also that of torque_stream_listen() */
  TORQUE_KIND_CHILD = 6,
  TORQUE_KIND_STREAM = 7,
  TORQUE_KIND_JOB = 8, /* offload.h, aio.h */
  TORQUE_KIND_DATAGRAM = 9,
  TORQUE_KIND_PATH = 10,
  TORQUE_KIND_CONDITION = 11,
  TORQUE_KIND_WAITER = 12, /* torque_condition_add() */
  TORQUE_KIND_NETWORK = 13,
  TORQUE_KIND_IDLE = 14
};
TORQUE_API torque_err torque_source_kind(torque_source source, int32_t *ret_kind);

/* The descriptor of a descriptor source, a stream, a datagram source or a listener; to set options, not to be closed but
 * in the first case. A listener has one of its own, also on a socket of the caller's. It stays open as long as the source
 * does: use it where nothing can end that, in its callback for instance.
 * Errors: STALE; KIND another kind, or several sockets: REUSEPORT (listen.h, datagram.h) in a context of several domains;
 *         STATE there is none yet (not started, torque_stream_await()); FORKED. */
TORQUE_API torque_err torque_source_fd(torque_source source, int32_t *ret_fd);

/* The domain that serves it. Errors: STALE. */
TORQUE_API torque_err torque_source_domain(torque_source source, uint32_t *ret_domain);

TORQUE_END_DECLS

#endif
