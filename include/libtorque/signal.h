/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_SIGNAL_H
#define LIBTORQUE_SIGNAL_H

#include <libtorque/source.h>
#include <signal.h>
#include <sys/select.h> /* sigset_t, which <signal.h> keeps from strict C */

TORQUE_BEGIN_DECLS

/* One arrival of a signal. Valid during the callback. */
struct torque_siginfo;
TORQUE_API int32_t torque_siginfo_signo(const struct torque_siginfo *info);
TORQUE_API int32_t torque_siginfo_code(const struct torque_siginfo *info); /* SI_USER, SI_QUEUE, CLD_EXITED, ... */
TORQUE_API int32_t torque_siginfo_pid(const struct torque_siginfo *info);  /* sender, or child; 0 if unknown */
TORQUE_API uint32_t torque_siginfo_uid(const struct torque_siginfo *info);
TORQUE_API int64_t torque_siginfo_value(const struct torque_siginfo *info); /* sigqueue()'s value; a child's status */

/* Called once for each arrival that the system delivers. (It merges ordinary signals that come while one is pending; it
 * queues real-time signals, and those are counted exactly.) In order where every thread blocks the signal, or one alone
 * does not; else the system hands arrivals to several threads at once, which run in no order. With all details where every
 * thread blocks the signal; else, in a flood of tens of thousands, some come without sender and value. */
typedef void torque_signal_fn(torque_source source, const struct torque_siginfo *info, void *arg);

/* Watch a set of signals. Any number of sources, in any number of contexts, may watch the same signal: each is told.
 * The first watcher of a signal installs a handler, the last restores the disposition that was there, unless the program
 * has changed it meanwhile; the mask of no thread is changed. It works with the signal blocked in all threads, in some, or in none.
 * Errors: INVAL no callback, SIGKILL, SIGSTOP, a signal of the thread library or a synchronous fault (SIGSEGV, SIGBUS,
 *         SIGFPE, SIGILL), count 0; RESOURCE; STOPPED; FORKED; SYSCALL + EMFILE, ENFILE. */
TORQUE_API torque_err torque_signal_add(struct torque_ctx *ctx, const int32_t *signos, uint32_t count,
                                        torque_signal_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_signal_new(struct torque_ctx *ctx, const int32_t *signos, uint32_t count,
                                        torque_signal_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* The signal mask that a child should have: the one that the process had before any worker existed. fork() in a
 * callback sets it by itself; for posix_spawn() pass it to posix_spawnattr_setsigmask(). Thread: any. */
TORQUE_API void torque_spawn_mask(sigset_t *ret_mask);

TORQUE_END_DECLS

#endif
