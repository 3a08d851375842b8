// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/fd.hh"

#include "watch/rebuild.hh"

namespace torque {

namespace {

constexpr uint32_t kLevelCalls = 256;  // of one source between two looks whether its number is still its file

// A level whose descriptor was closed while a duplicate lives is told for ever, and its callback cannot make it end. Only
// the kernel can say that the number is another file's by now, or none's.
void look_at_level(Turn &t, Slot &s, uint64_t handle) noexcept {
  const uint32_t calls = s.expirations.load(std::memory_order_relaxed) + 1;
  s.expirations.store(calls % kLevelCalls, std::memory_order_relaxed);
  if (calls < kLevelCalls || (s.traits.get() & kAlwaysReady)) return;
  {
    Descriptors::Entry entry(t.context.descriptors, s.fd.get());
    if (entry.owner() != handle) return;
    const uint32_t interest = s.interest.load(std::memory_order_relaxed);
    const torque_err err = s.domain.get()->queue().rearm(s.fd.get(), handle, interest, Trigger::level);
    t.counters.add(Counter::controls);
    if (err != TORQUE_ERR_SYSCALL + ENOENT && err != TORQUE_ERR_SYSCALL + EBADF) return;
    entry.set_owner(0);  // so that the queue is rebuilt without it
  }
  rebuild_queue(t.context);
}

}  // namespace

// The kernel does not watch it.
void look_at_file(Slot &s, uint64_t handle) noexcept {
  const uint32_t interest = s.interest.load(std::memory_order_relaxed);
  if ((s.traits.get() & kAlwaysReady) && (s.traits.get() & (kOneshot | kLevel)) && interest) (void)activate(handle, interest);
}

bool run_fd(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  const auto fn = reinterpret_cast<torque_fd_fn *>(s.fn);
  const bool again = fn(handle, s.fd.get(), events, s.arg.look()) == TORQUE_AGAIN;
  if (s.traits.get() & kLevel) [[unlikely]]
    look_at_level(t, s, handle);
  return again;
}

}  // namespace torque
