/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_DEADLINES_H
#define LIBTORQUE_DEADLINES_H

#include <libtorque/config.h>
#include <libtorque/error.h>

TORQUE_BEGIN_DECLS

/* A set of due times, for programs that run an event loop of their own: the engine's timer wheel without the engine. It
 * has no thread, no clock, no descriptor and calls nobody: the caller adds deadlines, asks when to look again, and takes
 * out what is due. Adding, setting, removing and taking out are O(1) among any number.
 *
 * Times are the caller's, in nanoseconds from any origin. UINT64_MAX is "never".
 * Thread: one at a time; nothing in here locks. */
struct torque_deadlines;

/* take and give as in torque_config_set_allocator(); both null: malloc. Alignments asked for are at most that of
 * malloc. What the most deadlines at a time needed is kept until the set is freed.
 * Errors: INVAL; RESOURCE. */
TORQUE_API torque_err torque_deadlines_new(torque_alloc_take_fn *take, torque_alloc_give_fn *give, void *alloc_arg,
                                           struct torque_deadlines **ret_deadlines) TORQUE_CHECKED;
TORQUE_API void torque_deadlines_free(struct torque_deadlines *deadlines);

/* A deadline at when; UINT64_MAX: not set yet. ret_id: from 1 to 2^31 - 1, the caller's until it is removed, whether set or
 * not; removed ones are given out again. arg comes back when it is due, and is prefetched shortly before.
 * Errors: INVAL; RESOURCE. */
TORQUE_API torque_err torque_deadlines_add(struct torque_deadlines *deadlines, uint64_t when, void *arg,
                                           uint32_t *ret_id) TORQUE_CHECKED;

/* Set, or set anew, whether it is set, was taken out or never set. UINT64_MAX: unset it.
 * Errors: INVAL (no such id); RESOURCE (then the old time stands; never when a time that is set is only put off). */
TORQUE_API torque_err torque_deadlines_set(struct torque_deadlines *deadlines, uint32_t id, uint64_t when);

/* Give the id back, set or not. Errors: INVAL (no such id). */
TORQUE_API torque_err torque_deadlines_remove(struct torque_deadlines *deadlines, uint32_t id);

/* When it is due, UINT64_MAX when not set or no such id. */
TORQUE_API uint64_t torque_deadlines_when(const struct torque_deadlines *deadlines, uint32_t id);

/* Take out the earliest deadline with when <= now; equal ones come in the order in which they were set. It is unset
 * then, and its id still the caller's: a repeating timer sets it again, another one removes it. Any ret_* may be null.
 * Returns: 1, or 0 when none is due.
 * now may be less than in earlier calls (a clock that was set back): what is due by then is told, in the same order. */
TORQUE_API int32_t torque_deadlines_pop(struct torque_deadlines *deadlines, uint64_t now, uint32_t *ret_id, void **ret_arg,
                                        uint64_t *ret_when);

/* When to call torque_deadlines_pop() next: UINT64_MAX when none is set; never later than the earliest deadline, and
 * earlier only when the earliest of a crowd was removed or postponed. At such a time pop() finds nothing, and this is
 * later then. */
TORQUE_API uint64_t torque_deadlines_next(struct torque_deadlines *deadlines);

/* How many are set. */
TORQUE_API uint32_t torque_deadlines_count(const struct torque_deadlines *deadlines);

/* Move every deadline that is set by by_ns. Their order stays, but they stop at 0 and at UINT64_MAX - 1, where they become
 * equal. O(n).
 * Errors: RESOURCE (nothing has changed). */
TORQUE_API torque_err torque_deadlines_shift(struct torque_deadlines *deadlines, int64_t by_ns);

/* Call fn for each deadline that is set, in no order. fn may set and remove any, and add; one that is added or set
 * meanwhile may be met or not. */
typedef void torque_deadlines_fn(uint32_t id, void *arg, uint64_t when, void *fn_arg);
TORQUE_API void torque_deadlines_each(struct torque_deadlines *deadlines, torque_deadlines_fn *fn, void *fn_arg);

TORQUE_END_DECLS

#endif
