/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_CHILD_H
#define LIBTORQUE_CHILD_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* The end of a process. Valid only during the callback. */
struct torque_child_event;

/* How the process ended; the values of torque_child_event_how(). */
enum {
  TORQUE_CHILD_UNKNOWN = 0, /* unknown: other code waited for it, the program ignores SIGCHLD, or it is not a child
                             * of this process */
  TORQUE_CHILD_EXITED = 1,  /* it called exit(); the status is its exit status, 0 to 255 */
  TORQUE_CHILD_KILLED = 2,  /* a signal ended it; the status is the number of the signal */
  TORQUE_CHILD_DUMPED = 3   /* the same, and it dumped core */
};
TORQUE_API int32_t torque_child_event_pid(const struct torque_child_event *event);
TORQUE_API int32_t torque_child_event_how(const struct torque_child_event *event);
TORQUE_API int32_t torque_child_event_status(const struct torque_child_event *event);
/* CPU time in ns, and the largest resident memory in bytes, of the process and of those of its children that it waited
 * for; 0 if unknown. */
TORQUE_API uint64_t torque_child_event_user_ns(const struct torque_child_event *event);
TORQUE_API uint64_t torque_child_event_system_ns(const struct torque_child_event *event);
TORQUE_API uint64_t torque_child_event_memory(const struct torque_child_event *event);

/* Called once, when the process has ended. During the call the process is a zombie, so its number cannot be reused.
 * When the callback has returned, the library waits for the process, and the source ends by itself, as after
 * torque_source_remove(). If the callback calls torque_postpone(), none of this happens, and it is called again with
 * the same event. */
typedef void torque_child_fn(torque_source source, const struct torque_child_event *event, void *arg);

enum {
  TORQUE_CHILD_NOREAP = 0x1, /* the library does not wait for the process; the caller must */
  TORQUE_CHILD_FOREIGN = 0x2 /* pid may be any process; if it is not a child, only its end is reported, not how it
                              * ended */
};

/* Calls fn once, when the process pid has ended. pid must be a child of this process that has not been waited for; it
 * may be running or have ended already. The library uses no signal, and never waits for other children. If the source
 * is removed before the process ends, the process is not affected.
 *
 * flags is 0 or TORQUE_CHILD_NOREAP, TORQUE_CHILD_FOREIGN.
 * Errors: INVAL (pid <= 0; no callback; unknown flags); UNAVAIL (the system has no pidfd_open(2), Linux 5.4, or forbids
 *         it); RESOURCE; STOPPED; FORKED; SYSCALL + ESRCH (no such process; it may have been waited for), ECHILD (not a
 *         child of this process), EMFILE, ENFILE, ENOMEM, ENOSPC. */
TORQUE_API torque_err torque_child_add(struct torque_ctx *ctx, int32_t pid, uint32_t flags, torque_child_fn *fn,
                                       void *arg, torque_source *ret_source) TORQUE_CHECKED;
/* Creates the source without starting it; call torque_source_start(). From here on, pid means this process, not a later
 * process with the same number. */
TORQUE_API torque_err torque_child_new(struct torque_ctx *ctx, int32_t pid, uint32_t flags, torque_child_fn *fn,
                                       void *arg, torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
