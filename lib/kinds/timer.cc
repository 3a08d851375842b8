// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/timer.hh"

#include "base/tsan.hh"

namespace torque {

namespace {

// Before the lock is taken: a locked instruction holds back the loads behind it until all stores before it are done, among
// a million timers those of the last call, so that the two cache misses would follow each other (165 ns for 105).
inline SlotDeadline &fetch_deadline(Slot *first, uint32_t index) noexcept {
  SlotDeadline *k = &deadlines_of(first)[index & (kChunkSlots - 1)];
  __builtin_prefetch(k, 1);
  return *k;
}

// Any timer, once the short path has declined; says what is wrong with a handle that is none.
torque_err set_any(uint64_t handle, uint64_t when, uint64_t period, uint32_t flags) noexcept {
  Snapshot v;
  if (!look(handle, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::timer) return TORQUE_ERR_KIND;
  if (const torque_err err = v.domain->context.usable()) return err;
  if (const torque_err err = v.domain->context.ensure_started()) return err;
  if (!(flags & TORQUE_TIMER_ABSOLUTE)) when = add_ns(v.traits & kWall ? realtime_ns() : monotonic_ns(), when);
  const bool removes = flags & TORQUE_TIMER_REMOVE;
  tsan::gives(v.slot);
  arm_when_set_up(*v.slot, generation_of(handle));
  bool wake;
  const torque_err err = timers_of(*v.slot).set(*v.slot, generation_of(handle), when, period, removes, &wake);
  if (wake) owner_of(index_of(handle))->poke();
  return err;
}

}  // namespace

torque_err set_timer(uint64_t handle, uint64_t when, uint64_t period, uint32_t flags) noexcept {
  const uint32_t index = index_of(handle);
  Slot *first = first_slot_of(index);
  if (!first || period || generation_of(handle) == 0) return set_any(handle, when, period, flags);
  SlotDeadline &k = fetch_deadline(first, index);
  Domain &d = *owner_of(index);
  if (const torque_err err = d.context.usable()) return err;
  const uint64_t at = flags & TORQUE_TIMER_ABSOLUTE ? when : add_ns(monotonic_ns(), when);
  torque_err err;
  bool wake;
  tsan::gives(first + (index & (kChunkSlots - 1)));
  if (!d.timers.set_plain(k, index, generation_of(handle), at, flags & TORQUE_TIMER_REMOVE, &err, &wake)) {
    return set_any(handle, when, period, flags);
  }
  if (wake) d.poke();
  return err;
}

torque_err cancel_timer(uint64_t handle) noexcept {
  const uint32_t index = index_of(handle);
  Slot *first = first_slot_of(index);
  if (!first || generation_of(handle) == 0) return TORQUE_ERR_STALE;
  SlotDeadline &k = fetch_deadline(first, index);
  if (owner_of(index)->timers.cancel_plain(k, generation_of(handle))) return TORQUE_ERR_NONE;
  Snapshot v;
  if (!look(handle, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::timer) return TORQUE_ERR_KIND;
  return timers_of(*v.slot).cancel(*v.slot, generation_of(handle)) ? TORQUE_ERR_NONE : TORQUE_ERR_STALE;
}

torque_err start_timer(Context &, Slot &, uint64_t) noexcept { return TORQUE_ERR_KIND; }

void end_timer(const Snapshot &v, uint64_t) noexcept { timers_of(*v.slot).forget(*v.slot); }

void leave_timer(Slot &s, uint64_t handle) noexcept {
  if (!deadline_of(s).is(kRemovesItself) || !timers_of(s).end_if_over(s, generation_of(handle))) return;
  retire_for_others(handle, TORQUE_END_REMOVED);
}

torque_err reattach_timer(Slot &s, uint64_t) noexcept {
  Domain &d = *s.domain.get();
  return s.traits.get() & kWall ? d.timers.need_wall(d.queue()) : TORQUE_ERR_NONE;
}

bool run_timer(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  const uint32_t generation = generation_of(handle);
  Timers &timers = timers_of(s);
  const uint64_t ended = timers.take_expirations(s);
  // None: it was cancelled or set anew after it became due.
  if (ended) reinterpret_cast<torque_timer_fn *>(s.fn)(handle, ended, s.arg.look());
  if (ended && t.postpone) timers.untell(s, generation, ended);
  else if (ended && deadline_of(s).is(kRemovesItself) && timers.end_if_over(s, generation)) retire(handle, TORQUE_END_REMOVED);
  if (!(events & TORQUE_ERROR)) return false;
  bool wake;
  const bool revived = timers.revive(s, generation, &wake);
  if (wake) owner_of(s.index)->poke();
  return !revived;
}

}  // namespace torque
