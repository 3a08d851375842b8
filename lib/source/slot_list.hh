// SPDX-License-Identifier: BSD-3-Clause
// Slots in a row: first in, first out, and out of the middle in constant time. The links are in the slots, so a slot is on
// one list at most, and a list costs no memory. Guarded by its owner's lock.
#pragma once

#include "source/slots.hh"

namespace torque {

class SlotList {
 public:
  bool empty() const noexcept { return head_ == kNoSlot; }
  Slot *front() const noexcept { return empty() ? nullptr : find_slot(head_); }

  void push(Slot &s) noexcept {
    s.next = kNoSlot;
    s.prev = tail_;
    if (tail_ != kNoSlot) find_slot(tail_)->next = s.index;
    else head_ = s.index;
    tail_ = s.index;
  }
  void unlink(Slot &s) noexcept {
    if (s.prev != kNoSlot) find_slot(s.prev)->next = s.next;
    else head_ = s.next;
    if (s.next != kNoSlot) find_slot(s.next)->prev = s.prev;
    else tail_ = s.prev;
    s.next = s.prev = kNoSlot;
  }

 private:
  uint32_t head_ = kNoSlot;
  uint32_t tail_ = kNoSlot;
};

}  // namespace torque
