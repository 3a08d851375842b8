/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_SOURCE_H
#define LIBTORQUE_SOURCE_H

#include <libtorque/error.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

struct torque_ctx;
struct torque_strand;

/* A source is an object that produces events: a descriptor, a timer, a signal, a listener, a child process, a path, or
 * an event that the program triggers itself.
 *
 * A torque_source is a value, not a pointer: copy it, store it, pass it to other languages. It is never reused for
 * another source. A call with the handle of a source that has ended returns STALE and has no other effect. 0 is never a
 * valid handle.
 *
 * Exclusive sources (the default): at most one thread runs the source's callback at a time, and each call sees what the
 * previous call wrote. Concurrent sources (TORQUE_CONCURRENT): any number of threads may run the callback at once.
 *
 * Any thread and any callback may make the calls in this header at any time, even while the context stops and
 * afterwards; they then return STOPPED or STALE. Each call takes constant time. None is async-signal-safe. */
typedef uint64_t torque_source;

/* Events: what a descriptor can be ready for, and why a callback is called. */
enum {
  TORQUE_READ = 0x01,
  TORQUE_PRIORITY = 0x02, /* urgent or out-of-band data (POLLPRI) */
  TORQUE_WRITE = 0x04,
  TORQUE_ERROR = 0x08,  /* an error (POLLERR); always reported, do not request it */
  TORQUE_CLOSED = 0x10, /* both directions are shut down (POLLHUP); always reported */
  TORQUE_HANGUP = 0x20, /* the peer has shut down its sending side (POLLRDHUP); only if requested */
  TORQUE_TRIGGER = 0x40 /* torque_trigger() was called */
};

/* Return values of a callback. */
enum {
  TORQUE_DONE = 0, /* everything was read or written (EAGAIN, or a short transfer): call again at the next edge */
  TORQUE_AGAIN = 1 /* something is left: call again after the other ready sources; costs no system call */
};

/* Flags of a source. */
enum {
  TORQUE_CONCURRENT = 0x1, /* any number of threads may run the callback at once */
  TORQUE_RECHECK = 0x2,    /* the callback need not read or write everything: each call is followed by a check of
                            * readiness (a system call) */
  TORQUE_LEVEL = 0x4       /* driven contexts only: level-triggered, called as long as the descriptor is ready; no
                            * additional cost */
};

/* Called when a descriptor is ready for events. Returns TORQUE_DONE or TORQUE_AGAIN.
 * Thread: a worker of the source's domain, or the thread that runs the driven context. */
typedef int32_t torque_fd_fn(torque_source source, int32_t fd, uint32_t events, void *arg);

/* The finalizer. Called exactly once, last, when no callback of the source is running and no further one will start.
 * Free arg here. reason is one of TORQUE_END_*.
 * Thread: the one that ended the source, inside that call; the worker whose callback was the last to run; when the
 *         context stops, the thread that stops it; or any worker of the domain. It never runs inside another call of
 *         another thread, so it may take a lock that the callers of such calls hold. */
typedef void torque_final_fn(torque_source source, int32_t reason, void *arg);

enum {
  TORQUE_END_REMOVED = 0,  /* torque_source_remove() or a similar call */
  TORQUE_END_CLOSED = 1,   /* torque_close() */
  TORQUE_END_REPLACED = 2, /* the descriptor had been closed, and its number was given to a new source */
  TORQUE_END_STOPPED = 3   /* the context stopped */
};

/* Registers fd and calls fn when fd is ready for one of events (TORQUE_READ | TORQUE_WRITE | ...). fd belongs to the
 * caller and should be non-blocking. The caller may close it at any time: as soon as the number has a new source, no
 * callback of the old source runs for the new descriptor. Regular files are always ready.
 *
 * flags is 0 or TORQUE_CONCURRENT, TORQUE_RECHECK, TORQUE_LEVEL; RECHECK cannot be combined with the other two. Without
 * RECHECK and LEVEL notification is edge-triggered: read or write until EAGAIN (or until a transfer is short), or
 * return TORQUE_AGAIN.
 *
 * fn may be called before the call has returned.
 * Errors: INVAL (fd < 0; no callback; unknown events or flags; flags that cannot be combined; LEVEL in a threaded
 *         context); EXIST (fd already has a source in this context); RESOURCE; STOPPED; FORKED; SYSCALL + EBADF,
 *         ENOSPC, ENOMEM, ELOOP. */
TORQUE_API torque_err torque_fd_add(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags,
                                    torque_fd_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* torque_fd_new() creates the same source without starting it. Set it up with the torque_source_set_*() calls below,
 * then call torque_source_start(). A source that was not started must be removed like any other.
 * Errors: torque_fd_new(): as torque_fd_add(). torque_source_start(): STALE; STATE (already started); KIND (a timer);
 *         and the errors of the call that creates and starts such a source. */
TORQUE_API torque_err torque_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags,
                                    torque_fd_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_source_start(torque_source source) TORQUE_CHECKED;

/* Sets the finalizer. The set calls are possible only between creation and start.
 * Thread: any; if several threads make such calls, or start the source, at once, the calls take effect one after the
 *         other.
 * Errors: STATE (already started); STALE; FORKED; and as each call says. */
TORQUE_API torque_err torque_source_set_finalizer(torque_source source, torque_final_fn *fn);
/* Puts the source into a strand: its callback never runs at the same time as anything else in the strand, see post.h.
 * The source keeps the strand alive.
 * Errors: KIND (a listener, a condition or a concurrent source); INVAL (a strand of another context). */
TORQUE_API torque_err torque_source_set_strand(torque_source source, struct torque_strand *strand);

/* Selects the queue that serves the source: the number of a domain, or one of these values. DEFAULT means NEAR if a
 * callback adds the source, and FAR otherwise. */
enum {
  TORQUE_PLACE_DEFAULT = -1,
  TORQUE_PLACE_NEAR = -2, /* the queue of the calling worker; for a source that shares data with the callback that
                           * adds it */
  TORQUE_PLACE_FAR = -3 /* the queue with the fewest sources, or nearly the fewest; for a source that shares nothing */
};
TORQUE_API torque_err torque_source_set_placement(torque_source source, int32_t place);

/* Replaces the events of a descriptor source. If the descriptor is ready for one of the new events, the callback is
 * called at once. 0: the callback is not called for the descriptor at all, not even for errors and hang-ups.
 * Errors: STALE; KIND; INVAL; SYSCALL + EBADF, ENOENT (the descriptor was closed). */
TORQUE_API torque_err torque_fd_modify(torque_source source, uint32_t events);

/* Makes a worker of the source's domain call the callback of a descriptor source or a user event soon, with events |
 * TORQUE_TRIGGER. Triggers that come before the callback starts are merged into one call.
 * Errors: INVAL (unknown events); STALE; KIND (any other kind of source); STATE (not started). */
TORQUE_API torque_err torque_trigger(torque_source source, uint32_t events);

/* Creates a user event: a source that fires only through torque_trigger(). Its callback gets -1 as fd. flags is 0 or
 * TORQUE_CONCURRENT. torque_event_new() does not start it.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_event_add(struct torque_ctx *ctx, uint32_t flags, torque_fd_fn *fn, void *arg,
                                       torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_event_new(struct torque_ctx *ctx, uint32_t flags, torque_fd_fn *fn, void *arg,
                                       torque_source *ret_source) TORQUE_CHECKED;

/* Schedules another call of the callback for after the other ready sources have had their turn. This has the same
 * effect as returning TORQUE_AGAIN, and also works for callbacks that return nothing.
 * Thread: only in the source's own callback.
 * Errors: STATE (not in the source's own callback). */
TORQUE_API torque_err torque_postpone(torque_source source);

/* Removes a source and returns at once. After it has returned, no new call of the callback starts, and the kernel does
 * not watch the descriptor any more. The descriptor stays open. A callback that is running on another thread continues;
 * the finalizer is called when it has returned. In the source's own callback, the finalizer runs when the callback
 * returns.
 * Errors: STALE; STATE (a job that was started; it can only be cancelled, see offload.h). */
TORQUE_API torque_err torque_source_remove(torque_source source);

/* Does the same, and waits until the finalizer has run. Two callbacks that wait for each other's source wait forever.
 * Errors: STALE (another call has ended the source; this call waits for the finalizer nevertheless); DEADLOCK (called
 *         from the source's own callback or finalizer, from anything that runs in its strand, or, for a condition, from
 *         a source that waits for it; the source is not removed); STATE (as above; not removed). */
TORQUE_API torque_err torque_source_remove_wait(torque_source source);

/* Removes a descriptor source and closes its descriptor. The descriptor is closed when no callback of the source is
 * running any more, just before the finalizer. Therefore no callback can use a number that already belongs to another
 * file.
 * Errors: STALE; KIND (not a descriptor source). */
TORQUE_API torque_err torque_close(torque_source source);

/* Returns 1 while the source exists (created, started, running), and 0 if it has ended or never existed. */
TORQUE_API int32_t torque_source_alive(torque_source source);

/* Stores the arg that the next call of the source's callback will get.
 * Errors: STALE. */
TORQUE_API torque_err torque_source_arg(torque_source source, void **ret_arg);

/* Gives a source of any kind another arg, at any time. Every call of its callbacks that starts after this call has
 * returned gets the new arg, on every worker; so does the finalizer. A callback that is running keeps the arg that it
 * got. The old arg belongs to the caller; to free it, wait until the running callback has returned: torque_source_run()
 * (post.h) runs a function after it.
 *
 * For a listener, and for a datagram source with several sockets, the new arg applies to all sockets. For
 * torque_stream_listen() it applies to the streams that the listener creates afterwards.
 * Errors: STALE; FORKED. */
TORQUE_API torque_err torque_source_set_arg(torque_source source, void *arg);

/* Stores the kind of the source. These numbers do not change; later versions may add kinds.
 * Errors: STALE. */
enum {
  TORQUE_KIND_INTERNAL = 0, /* a part of the library; only torque_blocked_source() (watchdog.h) reports it */
  TORQUE_KIND_FD = 1,
  TORQUE_KIND_EVENT = 2,
  TORQUE_KIND_TIMER = 3,
  TORQUE_KIND_SIGNAL = 4,
  TORQUE_KIND_LISTENER = 5, /* also torque_stream_listen() */
  TORQUE_KIND_CHILD = 6,
  TORQUE_KIND_STREAM = 7,
  TORQUE_KIND_JOB = 8, /* offloaded work and file operations: offload.h, aio.h */
  TORQUE_KIND_DATAGRAM = 9,
  TORQUE_KIND_PATH = 10,
  TORQUE_KIND_CONDITION = 11,
  TORQUE_KIND_WAITER = 12, /* made by torque_condition_add() */
  TORQUE_KIND_NETWORK = 13,
  TORQUE_KIND_IDLE = 14
};
TORQUE_API torque_err torque_source_kind(torque_source source, int32_t *ret_kind);

/* Stores the descriptor of a descriptor source, a stream, a datagram source or a listener, for instance to set socket
 * options. Only the descriptor of a descriptor source may be closed by the program. A listener has its own descriptor,
 * even if it accepts on a socket of the caller. The descriptor stays open only as long as the source exists; use it
 * where nothing can end the source, for instance in the source's own callback.
 * Errors: STALE; KIND (another kind of source, or several sockets: REUSEPORT of listen.h or datagram.h in a context of
 *         several domains); STATE (no descriptor yet: not started, torque_stream_await()); FORKED. */
TORQUE_API torque_err torque_source_fd(torque_source source, int32_t *ret_fd);

/* Stores the number of the domain that serves the source.
 * Errors: STALE. */
TORQUE_API torque_err torque_source_domain(torque_source source, uint32_t *ret_domain);

TORQUE_END_DECLS

#endif
