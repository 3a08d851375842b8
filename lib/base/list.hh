// SPDX-License-Identifier: BSD-3-Clause
// Things in a row, linked through their own prev and next: first in, first out, and out of the middle in constant time.
// Guarded by its owner's lock.
#pragma once

namespace torque {

template <class T>
class List {
 public:
  bool empty() const noexcept { return !head_; }
  T *front() const noexcept { return head_; }
  void push(T &t) noexcept {
    t.next = nullptr;
    t.prev = tail_;
    (tail_ ? tail_->next : head_) = &t;
    tail_ = &t;
  }
  void unlink(T &t) noexcept {
    (t.prev ? t.prev->next : head_) = t.next;
    (t.next ? t.next->prev : tail_) = t.prev;
    t.next = t.prev = nullptr;
  }
  T *pop() noexcept {
    T *t = head_;
    if (t) unlink(*t);
    return t;
  }
  void clear() noexcept { head_ = tail_ = nullptr; }

 private:
  T *head_ = nullptr;
  T *tail_ = nullptr;
};

}  // namespace torque
