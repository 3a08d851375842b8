// SPDX-License-Identifier: BSD-3-Clause
// Sources of one domain that shall run in the next round: first in, first out (paper, section 3.3: the postponed queue).
//
// Any thread puts, any worker of the domain takes, whoever ends a source takes it out. A source enters or leaves state
// POSTPONED only under this lock, so that "in the state" and "on the list" are the same thing.
#pragma once

#include "base/mutex.hh"
#include "source/slot.hh"

namespace torque {

class Postponed {
 public:
  Mutex lock;

  void push(Slot &s) noexcept REQUIRES(lock);
  void unlink(Slot &s) noexcept REQUIRES(lock);
  Slot *front() noexcept REQUIRES(lock);

  // Any thread; exact under the lock. push() adds in seq_cst order before it looks for sleepers: see Domain::poke().
  uint32_t length() const noexcept { return length_.load(std::memory_order_seq_cst); }

 private:
  uint32_t head_ GUARDED_BY(lock) = kNoSlot;
  uint32_t tail_ GUARDED_BY(lock) = kNoSlot;
  std::atomic<uint32_t> length_{0};
};

}  // namespace torque
