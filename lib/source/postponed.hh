// SPDX-License-Identifier: BSD-3-Clause
// Sources of one domain that shall run in the next round: first in, first out (paper, section 3.3: the postponed queue).
//
// Any thread puts, any worker of the domain takes, whoever ends a source takes it out. A source enters or leaves state
// POSTPONED only under this lock, so that "in the state" and "on the list" are the same thing.
#pragma once

#include "base/mutex.hh"
#include "source/slot_list.hh"

namespace torque {

class Postponed {
 public:
  Mutex lock;

  void push(Slot &s) noexcept REQUIRES(lock) {
    list_.push(s);
    length_.fetch_add(1, std::memory_order_seq_cst);
  }
  void unlink(Slot &s) noexcept REQUIRES(lock) {
    list_.unlink(s);
    length_.fetch_sub(1, std::memory_order_relaxed);
  }
  Slot *front() noexcept REQUIRES(lock) { return list_.front(); }

  // Any thread; exact under the lock. push() adds in seq_cst order before it looks for sleepers: see Domain::poke().
  uint32_t length() const noexcept { return length_.load(std::memory_order_seq_cst); }

 private:
  SlotList list_ GUARDED_BY(lock);
  std::atomic<uint32_t> length_{0};
};

}  // namespace torque
