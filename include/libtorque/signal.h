/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_SIGNAL_H
#define LIBTORQUE_SIGNAL_H

#include <libtorque/source.h>
#include <signal.h>
#include <sys/select.h> /* sigset_t, which <signal.h> does not declare in strict C */

TORQUE_BEGIN_DECLS

/* One arrival of a signal. Valid only during the callback. uid is the user of the process that sent it. */
struct torque_siginfo;
TORQUE_API int32_t torque_siginfo_signo(const struct torque_siginfo *info);
TORQUE_API int32_t torque_siginfo_code(const struct torque_siginfo *info); /* why it was sent: SI_USER, SI_QUEUE,
                                                                            * CLD_EXITED, ... */
TORQUE_API int32_t torque_siginfo_pid(const struct torque_siginfo *info);  /* the process that sent it, or the child;
                                                                            * 0 if unknown */
TORQUE_API uint32_t torque_siginfo_uid(const struct torque_siginfo *info);
TORQUE_API int64_t torque_siginfo_value(const struct torque_siginfo *info); /* the value passed to sigqueue(3), or
                                                                             * the child's status */

/* Called once for each arrival that the system delivers. The system merges ordinary signals that arrive while the same
 * signal is pending. It queues real-time signals, so each of those is reported.
 *
 * Signals are reported in the order in which they were sent if all threads block the signal, or if exactly one thread
 * has it unblocked. If several threads have it unblocked, the order is unknown. If all threads block the signal, all
 * details are known. Otherwise, if tens of thousands arrive before a worker takes them, some are reported without
 * details: all fields except the number are 0. */
typedef void torque_signal_fn(torque_source source, const struct torque_siginfo *info, void *arg);

/* Calls fn for each arrival of one of the count signals in signos. Any number of sources, in any number of contexts,
 * may watch the same signal; each of them reports each arrival. The first source that watches a signal installs a
 * handler. When the last one ends, the library restores the previous disposition, unless the program has changed it in
 * the meantime. The library changes no thread's signal mask: signal sources work whether all threads, some threads or
 * no thread has the signal blocked. torque_signal_new() creates the source without starting it; call
 * torque_source_start().
 * Errors: INVAL (no callback; count 0; SIGKILL, SIGSTOP, a signal of the thread library, or a signal that faults raise:
 *         SIGSEGV, SIGBUS, SIGFPE, SIGILL); RESOURCE; STOPPED; FORKED; SYSCALL + EMFILE, ENFILE. */
TORQUE_API torque_err torque_signal_add(struct torque_ctx *ctx, const int32_t *signos, uint32_t count,
                                        torque_signal_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_signal_new(struct torque_ctx *ctx, const int32_t *signos, uint32_t count,
                                        torque_signal_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* Stores the signal mask that a child process should have: the mask that the process had before there were workers.
 * fork() in a callback restores this mask by itself. For posix_spawn(), pass the mask to posix_spawnattr_setsigmask().
 * Thread: any. */
TORQUE_API void torque_spawn_mask(sigset_t *ret_mask);

TORQUE_END_DECLS

#endif
