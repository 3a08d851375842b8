/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_HOOK_H
#define LIBTORQUE_HOOK_H

#include <libtorque/config.h>
#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* These calls are for the run-time systems of other languages, which must do something when a thread starts and ends,
 * and around each wait (release a global lock, and take it again). */

enum {
  TORQUE_THREAD_WORKER = 0,  /* the number is the worker's */
  TORQUE_THREAD_HELPER = 1,  /* runs offloaded work; its number is reused after the thread has ended */
  TORQUE_THREAD_WATCHDOG = 2 /* calls the watchdog's function */
};
typedef void torque_thread_fn(int32_t kind, int32_t number, void *arg);

/* start is the first function that is called on each thread that the library creates for the context and that runs
 * functions of the program; end is the last. Either may be null. They may make every call except those that wait for
 * the context. */
TORQUE_API torque_err torque_config_set_thread_hooks(struct torque_config *config, torque_thread_fn *start,
                                                     torque_thread_fn *end, void *arg);

typedef void torque_hook_fn(int32_t worker, void *arg);

/* before is called when a worker, or the thread that runs a driven context, is about to wait and may block. after is
 * called when it has returned from the wait. No callback runs between the two. Work that before creates is served
 * before the wait. Either may be null. They are not called when the thread only checks for events without blocking.
 * They must not run the context.
 * Thread: the worker's. */
TORQUE_API torque_err torque_config_set_wait_hooks(struct torque_config *config, torque_hook_fn *before,
                                                   torque_hook_fn *after, void *arg);

/* Called when a worker of the source's domain has nothing else to do; in each such round each idle source is called
 * once (at most 256 a round, or a millisecond). The worker does not sleep while an idle source is active. Returns
 * TORQUE_AGAIN if there is more to do, or TORQUE_DONE; after that it is not called again until torque_idle_set()
 * activates the source.
 * Thread: as any callback. */
typedef int32_t torque_idle_fn(torque_source source, void *arg);

/* torque_idle_add() creates an idle source that is active. torque_idle_new() creates it without starting it; call
 * torque_source_start().
 * Errors: INVAL; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_idle_add(struct torque_ctx *ctx, torque_idle_fn *fn, void *arg,
                                      torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_idle_new(struct torque_ctx *ctx, torque_idle_fn *fn, void *arg,
                                      torque_source *ret_source) TORQUE_CHECKED;

/* active 1 activates the source; while the callback runs, it makes the library call it once more, whatever it returns.
 * active 0: the callback is not called until the source is activated again; a call in progress continues.
 * Thread: any.
 * Errors: STALE; KIND; STATE (not started); FORKED. */
TORQUE_API torque_err torque_idle_set(torque_source source, int32_t active);

TORQUE_END_DECLS

#endif
