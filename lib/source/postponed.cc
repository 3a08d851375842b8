// SPDX-License-Identifier: BSD-3-Clause
#include "source/postponed.hh"

#include "source/slots.hh"

namespace torque {

void Postponed::push(Slot &s) noexcept {
  s.next = kNoSlot;
  s.prev = tail_;
  if (tail_ != kNoSlot) find_slot(tail_)->next = s.index;
  else head_ = s.index;
  tail_ = s.index;
  length_.fetch_add(1, std::memory_order_seq_cst);
}

void Postponed::unlink(Slot &s) noexcept {
  if (s.prev != kNoSlot) find_slot(s.prev)->next = s.next;
  else head_ = s.next;
  if (s.next != kNoSlot) find_slot(s.next)->prev = s.prev;
  else tail_ = s.prev;
  s.next = s.prev = kNoSlot;
  length_.fetch_sub(1, std::memory_order_relaxed);
}

Slot *Postponed::front() noexcept { return head_ == kNoSlot ? nullptr : find_slot(head_); }

}  // namespace torque
