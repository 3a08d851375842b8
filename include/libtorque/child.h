/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_CHILD_H
#define LIBTORQUE_CHILD_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* The end of a child process. Valid during the callback. */
struct torque_child_event;

/* How it ended. */
enum {
  TORQUE_CHILD_UNKNOWN = 0, /* nobody can say: somebody else has waited for it, or it was no child of this process */
  TORQUE_CHILD_EXITED = 1,  /* by exit(); the status is what it said */
  TORQUE_CHILD_KILLED = 2,  /* by a signal; the status is its number */
  TORQUE_CHILD_DUMPED = 3   /* the same, and it has left a core */
};
TORQUE_API int32_t torque_child_event_pid(const struct torque_child_event *event);
TORQUE_API int32_t torque_child_event_how(const struct torque_child_event *event);
TORQUE_API int32_t torque_child_event_status(const struct torque_child_event *event);
/* What it and its own children that it waited for have used: CPU time in ns, most memory resident at once in bytes.
 * 0 if unknown. */
TORQUE_API uint64_t torque_child_event_user_ns(const struct torque_child_event *event);
TORQUE_API uint64_t torque_child_event_system_ns(const struct torque_child_event *event);
TORQUE_API uint64_t torque_child_event_memory(const struct torque_child_event *event);

/* Called once, when the child has ended. Its number is still its own (the process is a zombie); it is waited for when
 * the callback has returned, and then the source ends by itself, as after torque_source_remove(). */
typedef void torque_child_fn(torque_source source, const struct torque_child_event *event, void *arg);

enum {
  TORQUE_CHILD_NOREAP = 0x1, /* leave it to the caller to wait for it */
  TORQUE_CHILD_FOREIGN = 0x2 /* any process will do; of one that is no child only the end is told, not how */
};

/* Tell the end of the process pid, a child of this one that was not waited for, whether it still runs or not. No signal
 * is used, and no other child is waited for. A source that is removed before leaves the child as it is.
 * flags: 0 or TORQUE_CHILD_NOREAP, TORQUE_CHILD_FOREIGN.
 * Errors: INVAL pid <= 0, no callback, unknown flags; UNAVAIL the system has no pidfd (Linux before 5.4);
 *         RESOURCE; STOPPED; FORKED; SYSCALL + ESRCH there is none (it was waited for already), ECHILD it is no child
 * of this process, EMFILE, ENFILE, ENOMEM, ENOSPC. */
TORQUE_API torque_err torque_child_add(struct torque_ctx *ctx, int32_t pid, uint32_t flags, torque_child_fn *fn,
                                       void *arg, torque_source *ret_source) TORQUE_CHECKED;
/* The same, to be started by torque_source_start(). From here on pid is this process and no later one of that number.
 */
TORQUE_API torque_err torque_child_new(struct torque_ctx *ctx, int32_t pid, uint32_t flags, torque_child_fn *fn,
                                       void *arg, torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
