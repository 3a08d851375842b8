/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_HOOK_H
#define LIBTORQUE_HOOK_H

#include <libtorque/config.h>
#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* For run-time systems of other languages: what they must do when a thread comes and goes, and around each wait (give up
 * their global lock, and take it again). */

enum {
  TORQUE_THREAD_WORKER = 0,  /* number: the worker's */
  TORQUE_THREAD_HELPER = 1,  /* does offloaded work; number: its own, used again after it has ended */
  TORQUE_THREAD_WATCHDOG = 2 /* calls the watchdog's function */
};
typedef void torque_thread_fn(int32_t kind, int32_t number, void *arg);

/* start: first of all on each thread that the library makes for the context and that runs functions of the program.
 * end: last of all. Either may be null. They may call anything but what waits for the context. */
TORQUE_API torque_err torque_config_set_thread_hooks(struct torque_config *config, torque_thread_fn *start,
                                                     torque_thread_fn *end, void *arg);

typedef void torque_hook_fn(int32_t worker, void *arg);

/* before: a worker, or who runs the driven context, is about to wait and may block; what this brings up is served first.
 * after: it has come back. No callback runs between the two. Either may be null. They are called in turns, and not
 * around a look that does not block. They must not run the context.
 * Thread: the worker's. */
TORQUE_API torque_err torque_config_set_wait_hooks(struct torque_config *config, torque_hook_fn *before,
                                                   torque_hook_fn *after, void *arg);

/* Called when a worker of the source's domain has nothing else to do, again and again, one call of each such source in a
 * round; the worker does not sleep meanwhile. TORQUE_AGAIN: there is more. TORQUE_DONE: not again until torque_idle_set().
 * Thread: as any callback. */
typedef int32_t torque_idle_fn(torque_source source, void *arg);

/* Active from the start. Errors: INVAL; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_idle_add(struct torque_ctx *ctx, torque_idle_fn *fn, void *arg,
                                      torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_idle_new(struct torque_ctx *ctx, torque_idle_fn *fn, void *arg,
                                      torque_source *ret_source) TORQUE_CHECKED;

/* active 1: there is something to do (said while the callback runs: it is called once more, whatever it answers). 0: there is
 * not; a call under way goes on. Any thread. Errors: STALE; KIND; STATE not started; FORKED. */
TORQUE_API torque_err torque_idle_set(torque_source source, int32_t active);

TORQUE_END_DECLS

#endif
