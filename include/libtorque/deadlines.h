/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_DEADLINES_H
#define LIBTORQUE_DEADLINES_H

#include <libtorque/config.h>
#include <libtorque/error.h>

TORQUE_BEGIN_DECLS

/* A set of deadlines, for a program that has its own event loop: the engine's timer wheel without the engine. It needs
 * no context and has no thread, clock or descriptor, and it does not call callbacks when deadlines pass. The program
 * adds deadlines, asks when to check the set next, and takes out the deadlines that have passed. Adding, setting,
 * removing and taking out take constant time, whatever the number of deadlines.
 *
 * Times belong to the caller's clock: nanoseconds since any origin. UINT64_MAX means never.
 * Thread: only one at a time may use a set; the calls take no locks. */
struct torque_deadlines;

/* torque_deadlines_new() creates an empty set. take and give are as in torque_config_set_allocator(), but never need
 * more than malloc's alignment; if both are null the set uses malloc. The set keeps the memory for its largest number
 * of deadlines until it is freed.
 * Errors: INVAL; RESOURCE. */
TORQUE_API torque_err torque_deadlines_new(torque_alloc_take_fn *take, torque_alloc_give_fn *give, void *alloc_arg,
                                           struct torque_deadlines **ret_deadlines) TORQUE_CHECKED;
TORQUE_API void torque_deadlines_free(struct torque_deadlines *deadlines);

/* Adds a deadline at when (UINT64_MAX: not set yet) and stores its id, from 1 to 2^31 - 1. The id belongs to the caller
 * until torque_deadlines_remove(), whether the deadline is set or not; after that the id is reused.
 * torque_deadlines_pop() returns arg, which the set prefetches shortly before.
 * Errors: INVAL; RESOURCE. */
TORQUE_API torque_err torque_deadlines_add(struct torque_deadlines *deadlines, uint64_t when, void *arg,
                                           uint32_t *ret_id) TORQUE_CHECKED;

/* Sets a deadline, whether it is set, was taken out, or was never set. UINT64_MAX unsets it.
 * Errors: INVAL (the id is not in use); RESOURCE (the old deadline remains; a deadline that is set can always be
 *         postponed). */
TORQUE_API torque_err torque_deadlines_set(struct torque_deadlines *deadlines, uint32_t id, uint64_t when);

/* Removes a deadline and its id, whether it is set or not.
 * Errors: INVAL (the id is not in use). */
TORQUE_API torque_err torque_deadlines_remove(struct torque_deadlines *deadlines, uint32_t id);

/* Returns the time of a deadline, or UINT64_MAX if it is not set or the id is not in use. */
TORQUE_API uint64_t torque_deadlines_when(const struct torque_deadlines *deadlines, uint32_t id);

/* Takes out the earliest deadline that is not later than now. Equal deadlines are taken out in the order in which they
 * were set. The deadline is then not set, and its id still belongs to the caller: set it again for a repeating timer,
 * or remove it. Each of the result pointers may be null.
 *
 * now may be less than before, if the caller's clock was set back. Deadlines that have passed by now are then taken out
 * in the same order.
 * Returns: 1, or 0 if no deadline has passed. */
TORQUE_API int32_t torque_deadlines_pop(struct torque_deadlines *deadlines, uint64_t now, uint32_t *ret_id,
                                        void **ret_arg, uint64_t *ret_when);

/* Returns the time at which to call torque_deadlines_pop() next. It is UINT64_MAX if no deadline is set, and otherwise
 * never later than the earliest deadline. It may be earlier if the earliest of many deadlines was removed or postponed.
 * torque_deadlines_pop() then finds nothing, and this call returns a later time after that. */
TORQUE_API uint64_t torque_deadlines_next(struct torque_deadlines *deadlines);

/* Returns the number of deadlines that are set. */
TORQUE_API uint32_t torque_deadlines_count(const struct torque_deadlines *deadlines);

/* Moves all set deadlines by by_ns. The results are limited to the range from 0 to UINT64_MAX - 1; deadlines that reach
 * a limit become equal, all others keep their order. Takes a step for each id that was ever in use.
 * Errors: RESOURCE (nothing has changed). */
TORQUE_API torque_err torque_deadlines_shift(struct torque_deadlines *deadlines, int64_t by_ns);

/* Calls fn for each deadline that is set, in no particular order. fn may make every call except
 * torque_deadlines_free(). Deadlines that fn adds or sets may or may not be visited. */
typedef void torque_deadlines_fn(uint32_t id, void *arg, uint64_t when, void *fn_arg);
TORQUE_API void torque_deadlines_each(struct torque_deadlines *deadlines, torque_deadlines_fn *fn, void *fn_arg);

TORQUE_END_DECLS

#endif
