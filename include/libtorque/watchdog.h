/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_WATCHDOG_H
#define LIBTORQUE_WATCHDOG_H

#include <libtorque/config.h>
#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* A callback that has been running for longer than the limit, while it runs. Valid during the call. */
struct torque_blocked;
TORQUE_API int32_t torque_blocked_worker(const struct torque_blocked *blocked); /* 0 in a driven context */
TORQUE_API int32_t torque_blocked_thread(const struct torque_blocked *blocked); /* the system's number, for a debugger */
TORQUE_API torque_source torque_blocked_source(const struct torque_blocked *blocked); /* 0: posted work */
TORQUE_API uint64_t torque_blocked_ns(const struct torque_blocked *blocked);          /* so far, at least */

/* The function: its address, null if it is not known; its name, null if it is not an exported one; the program or library
 * it is in, null if none, and where in that (for addr2line). */
TORQUE_API const void *torque_blocked_function(const struct torque_blocked *blocked);
TORQUE_API const char *torque_blocked_symbol(const struct torque_blocked *blocked);
TORQUE_API const char *torque_blocked_object(const struct torque_blocked *blocked);
TORQUE_API uint64_t torque_blocked_offset(const struct torque_blocked *blocked);

/* Called once for each callback that is found.
 * Thread: the watchdog's. It may not stop the context (DEADLOCK). */
typedef void torque_watchdog_fn(const struct torque_blocked *blocked, void *arg);

/* Count (counter "blocked"), log (TORQUE_LOG_WARNING) and tell to fn (may be null) callbacks that run for longer than
 * limit_ns: of sources, timers, signals, posted work, and finalizers; not offloaded work, which may block. A thread of its
 * own looks at the workers four times within the limit, so what is found has run for the limit, and is found before it has
 * run half as long again; what ends in between is not counted. A callback that runs its driven context begins anew then.
 * 0, the default: off; costs nothing. At least 1 ms. */
TORQUE_API torque_err torque_config_set_watchdog(struct torque_config *config, uint64_t limit_ns,
                                                 torque_watchdog_fn *fn, void *arg);

TORQUE_END_DECLS

#endif
