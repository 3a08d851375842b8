/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_WATCHDOG_H
#define LIBTORQUE_WATCHDOG_H

#include <libtorque/config.h>
#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* A callback that has been running for longer than the limit. Valid only during the call of torque_watchdog_fn. */
struct torque_blocked;
TORQUE_API int32_t torque_blocked_worker(const struct torque_blocked *blocked); /* 0 in a driven context */
TORQUE_API int32_t torque_blocked_thread(const struct torque_blocked *blocked); /* the system's number, for a
                                                                                 * debugger */
TORQUE_API torque_source torque_blocked_source(const struct torque_blocked *blocked); /* 0 for a posted function */
TORQUE_API uint64_t torque_blocked_ns(const struct torque_blocked *blocked);          /* so far, at least */

/* The address of the function (null if the library does not know it); its name (null if the program does not export
 * it); the program or library that contains it (null if unknown), and its offset there, for addr2line(1). */
TORQUE_API const void *torque_blocked_function(const struct torque_blocked *blocked);
TORQUE_API const char *torque_blocked_symbol(const struct torque_blocked *blocked);
TORQUE_API const char *torque_blocked_object(const struct torque_blocked *blocked);
TORQUE_API uint64_t torque_blocked_offset(const struct torque_blocked *blocked);

/* Called once for each callback that the watchdog finds, while the callback is still running.
 * Thread: the watchdog's. It may make every call except those that wait for the context: torque_stop() returns
 *         DEADLOCK. */
typedef void torque_watchdog_fn(const struct torque_blocked *blocked, void *arg);

/* Starts a thread that monitors the workers. If a callback has been running for longer than limit_ns (at least 1 ms),
 * the watchdog increments the counter "blocked", logs a message with TORQUE_LOG_WARNING, and calls fn (which may be
 * null). It monitors the callbacks of all sources, posted functions and finalizers, but not offloaded work, which may
 * block.
 *
 * The thread checks four times within the limit. A callback that is reported has therefore run at least for the limit,
 * and is reported before it has run one and a half times the limit. A callback that ends in between is not counted. If
 * a callback runs its driven context, its time is counted from the end of that run. limit_ns 0, the default, turns the
 * watchdog off; it then costs nothing.
 * Errors: INVAL (no configuration; a limit below 1 ms). */
TORQUE_API torque_err torque_config_set_watchdog(struct torque_config *config, uint64_t limit_ns,
                                                 torque_watchdog_fn *fn, void *arg);

TORQUE_END_DECLS

#endif
