/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_WATCH_H
#define LIBTORQUE_WATCH_H

#include <libtorque/context.h>

TORQUE_BEGIN_DECLS

/* Watches are for a program that has its own event loop, with its own watchers, queues and order of callbacks, and
 * needs from the library only which descriptors are ready. The replacements for libev and libevent are built with them.
 *
 * A watch is an interest in events of a descriptor. A change of interest makes no system call. Before the context
 * waits, it applies all changes to the kernel together. A change that was undone by then costs nothing; any other
 * change costs one system call. A context may have both watches and sources, but not for the same descriptor.
 *
 * Thread: only the thread that runs the context may make these calls. This also applies to torque_deadline() of such a
 *         context, which stores 0 while changes of interest are pending. Between the two hooks around the wait,
 *         torque_watch() may be called by the thread that holds the lock that the hooks release and take again. */

/* Called for each watched descriptor that is ready, before torque_run_once() returns. No other code of the program runs
 * between two of these calls. The function may call torque_watch(), which applies at once to the events that were not
 * reported yet. It must not run the context.
 *
 * events: those of TORQUE_READ, WRITE, PRIORITY and HANGUP for which there is interest; TORQUE_ERROR and CLOSED always.
 * error: 0. Otherwise events is 0, and error says why the interest could not be registered in the kernel: EBADF,
 * ENOMEM, ENOSPC, or EEXIST (the descriptor has a source). The interest is dropped. Such errors are reported before the
 * wait, and the context then waits as usual, unless torque_wake() is called here. */
typedef void torque_watch_fn(int32_t fd, uint32_t events, int32_t error, void *arg);

/* Called around each wait, whether it blocks or not; or for a wake-up. */
typedef void torque_wait_fn(void *arg);

/* Enables watches in a driven context. From then on torque_run_once() waits once, reports what is ready, and returns,
 * even if nothing was ready or the wait was interrupted. *ret_count of torque_run_once() then also counts the calls of
 * fn.
 * Errors: INVAL; KIND (threaded context, or made with torque_config_set_poll_deadline()); STATE (the context has
 *         watches already, or is being run); STOPPED; FORKED. */
TORQUE_API torque_err torque_watch_init(struct torque_ctx *ctx, torque_watch_fn *fn, void *arg) TORQUE_CHECKED;

/* Sets functions that are called before and after each wait; null means no function. Between the two calls the context
 * uses none of the program's data. Do not call this function or torque_watch_set_woken() between the hooks.
 * Errors: INVAL; STATE (no torque_watch_init()). */
TORQUE_API torque_err torque_watch_set_hooks(struct torque_ctx *ctx, torque_wait_fn *before, torque_wait_fn *after,
                                             void *arg);

/* Sets a function that is called when a wait has been ended by torque_wake(); null means no function. It is called
 * among the events of that wait, at the position of the wake-up, and sees what was written before that torque_wake().
 * If torque_wake() is called after the wait has returned, the next wait reports it. Work that other threads give to the
 * context may also cause a call.
 * Errors: INVAL; STATE (no torque_watch_init()). */
TORQUE_API torque_err torque_watch_set_woken(struct torque_ctx *ctx, torque_wait_fn *woken, void *arg);

enum {
  /* The number may have been closed and given to another file since the last call: register it in the kernel even if
   * the interest is the same. Use this flag after every close() of a watched descriptor, and after the descriptor had a
   * source. Without it such a descriptor reports nothing. */
  TORQUE_WATCH_NEW = 0x1,
  /* Edge-triggered: each change is reported once. Together with TORQUE_WATCH_NEW the descriptor is also reported once
   * if it is ready already. The default is level-triggered: reported as long as the descriptor is ready. */
  TORQUE_WATCH_EDGE = 0x2,
  /* Register the descriptor in the kernel at once if it has no registration, or if TORQUE_WATCH_NEW is given. This call
   * then returns an error if the kernel refuses the descriptor, and the interest is dropped. Regular files are refused
   * too (EPERM). If the descriptor already has a registration, the change is applied before the wait, as usual. */
  TORQUE_WATCH_NOW = 0x4,
  /* A hint that the descriptor can probably be written to now, and that the interest in that will not last long. The
   * context first checks the readiness of all such descriptors with one system call, and reports those that are ready
   * without changing their registration. If a descriptor is not ready, or there is still interest afterwards, its
   * registration is changed as usual. A torque_run_once() that finds a ready descriptor in this way does not block, and
   * reports all other descriptors that are ready as well. The flag has an effect only if the descriptor already has a
   * level-triggered registration. */
  TORQUE_WATCH_PEEK = 0x8
};

/* Sets the interest in fd: from the next wait on, events of fd are reported. 0 means no interest; it need not be set
 * before close(). A later call for the same fd replaces the earlier interest. Regular files are always ready for
 * reading and writing.
 *
 * If there is no interest in a descriptor any more, its registration stays in the kernel until the descriptor becomes
 * ready or there is interest again. Stopping and restarting a watcher therefore costs no system call.
 * Errors: INVAL (not a context; a number that cannot be a descriptor; unknown events or flags); RESOURCE; STATE (no
 *         torque_watch_init()). With TORQUE_WATCH_NOW also SYSCALL + EBADF, EPERM, EEXIST, ENOMEM, ENOSPC; without it,
 *         fn gets the errors of the kernel. */
TORQUE_API torque_err torque_watch(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags);

TORQUE_END_DECLS

#endif
