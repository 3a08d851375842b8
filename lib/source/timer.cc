// SPDX-License-Identifier: BSD-3-Clause
// Timer sources.
#include "libtorque/timer.h"

#include "source/source.hh"

namespace torque {

torque_err set_timer(const Seen &v, uint64_t handle, uint64_t when, uint64_t period, uint32_t flags) noexcept {
  if (const torque_err err = v.domain->context.usable()) return err;
  if (const torque_err err = v.domain->context.ensure_started()) return err;
  if (!(flags & TORQUE_TIMER_ABSOLUTE)) when = add_ns(v.traits & kWall ? realtime_ns() : monotonic_ns(), when);
  if (word::state(v.word) == word::NEW) arm_word(*v.slot, generation_of(handle));
  bool wake;
  const torque_err err = timers_of(*v.slot).set(*v.slot, generation_of(handle), when, period, &wake);
  if (wake) chunk_of(*v.slot)->pool->owner.poke();
  return err;
}

torque_err cancel_timer(uint64_t handle) noexcept {
  Seen v;
  prefetch_timer(handle);
  if (!look(handle, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::timer) return TORQUE_ERR_KIND;
  return timers_of(*v.slot).cancel(*v.slot, generation_of(handle)) ? TORQUE_ERR_NONE : TORQUE_ERR_STALE;
}

bool run_timer(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  const uint32_t ended = s.expirations.exchange(0, std::memory_order_relaxed);
  // None: it was cancelled or set anew after it became due.
  if (ended) reinterpret_cast<torque_timer_fn *>(s.fn)(handle, ended, s.arg.get());
  Timers &timers = timers_of(s);
  if (t.postpone) s.expirations.fetch_add(ended, std::memory_order_relaxed);
  if ((s.traits.get() & kRemoveAfter) && ended && !t.postpone) {
    uint64_t due;
    if (timers.due_at(s, generation_of(handle), &due) && due == kNever) retire(handle, TORQUE_END_REMOVED);
  }
  return (events & TORQUE_ERROR) && !timers.revive(s, monotonic_ns());
}

}  // namespace torque
