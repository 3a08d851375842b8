/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_WATCH_H
#define LIBTORQUE_WATCH_H

#include <libtorque/context.h>

TORQUE_BEGIN_DECLS

/* Watches: the descriptors of a driven context for a program that has an event loop of its own, with its own watchers,
 * queues and order, and wants to be told what is ready; this is what the libev and libevent replacements are made of.
 *
 * A watch is a wish, "tell me this of that number", and costs no system call. Wishes are brought before the kernel
 * together, before the context waits: one that was taken back by then costs nothing, one that changed costs one call.
 * Watches and sources may live in one context, but not for the same descriptor.
 *
 * Thread: these calls belong to the thread that runs the context, and so does torque_deadline() of such a context, which
 * is 0 while wishes wait to be brought before the kernel. Between the two hooks around the wait torque_watch() belongs to
 * whoever holds the lock that they give up and take again. */

/* Called for each watched descriptor that is ready, before torque_run_once() returns; nothing else of the program runs
 * between two of these calls. It may make wishes, which count at once for what is still to be told, but not run the
 * context.
 * events: TORQUE_READ, WRITE, PRIORITY, HANGUP as asked for, and TORQUE_ERROR, CLOSED.
 * error: 0; or events is 0, and this errno says why the wish could not be brought before the kernel (EBADF, ENOMEM,
 *        ENOSPC, EEXIST a source has the descriptor): it is dropped. This is told before the wait, which goes on unless
 *        torque_wake() is called here. */
typedef void torque_watch_fn(int32_t fd, uint32_t events, int32_t error, void *arg);

/* Around each wait, whether it blocks or not; or for a wake-up. */
typedef void torque_wait_fn(void *arg);

/* Make ctx a context with watches. From then on torque_run_once() waits once and returns, whatever came, an interrupted
 * wait included; *ret_count counts watches told as well.
 * Errors: INVAL; KIND threaded, or made under torque_config_set_poll_deadline(); STATE it has watches, or is being run;
 * STOPPED; FORKED. */
TORQUE_API torque_err torque_watch_init(struct torque_ctx *ctx, torque_watch_fn *fn, void *arg) TORQUE_CHECKED;

/* before: the context is about to wait, and touches nothing of the program's until after has returned. Null: none.
 * Errors: INVAL; STATE no torque_watch_init(). */
TORQUE_API torque_err torque_watch_set_hooks(struct torque_ctx *ctx, torque_wait_fn *before, torque_wait_fn *after,
                                             void *arg);

/* woken: called when a pass has found that torque_wake() was called, in its place among what it tells. Null: none. What was
 * written before that torque_wake() can be read there. A wake-up that comes when the pass's wait is already over is the
 * next pass's, as that of a pipe or eventfd would be. Wake-ups for work that other threads bring the context count too.
 * Errors: INVAL; STATE no torque_watch_init(). */
TORQUE_API torque_err torque_watch_set_woken(struct torque_ctx *ctx, torque_wait_fn *woken, void *arg);

enum {
  /* The number may have been closed and given to another file since the last wish: ask the kernel even if this wish is
   * the same. Needed after every close() of a watched descriptor, and after a source had it; without it such a number
   * stays silent. */
  TORQUE_WATCH_NEW = 0x1,
  /* Told once for each change; the default is level: as long as it lasts. With TORQUE_WATCH_NEW once more, if ready. */
  TORQUE_WATCH_EDGE = 0x2,
  /* Bring a first wish, and one with TORQUE_WATCH_NEW, before the kernel at once, so that this call answers what is wrong
   * with the descriptor; regular files are refused (EPERM), and what is refused is dropped. Any other wish waits as
   * always. */
  TORQUE_WATCH_NOW = 0x4,
  /* The descriptor can probably be written to now, and not for long will that be wished: look first (one system call for
   * all such wishes together), and tell so without registering it. If it cannot be, or the wish stays, it is registered. A
   * pass that has found something does not wait, and tells whatever else is ready. Only for what is watched by level
   * already. */
  TORQUE_WATCH_PEEK = 0x8
};

/* From the next wait on tell events of fd (0: nothing; before close() that is optional). Regular files are always ready
 * to read and to write.
 * A registration that nobody wishes any more stays with the kernel until it fires or is wanted again, so that what
 * stops and starts costs nothing.
 * Errors: INVAL no number that a descriptor can have, unknown bits; RESOURCE; STATE no torque_watch_init(). What the
 *         kernel says comes later; with TORQUE_WATCH_NOW here: SYSCALL + EBADF, EPERM, EEXIST, ENOMEM, ENOSPC. */
TORQUE_API torque_err torque_watch(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags);

TORQUE_END_DECLS

#endif
