// SPDX-License-Identifier: BSD-3-Clause
// A wheel that is made when something is first set in it: its buckets are 36 kB, and many contexts have no timers, most
// none of the wall clock.
#pragma once

#include "timer/wheel.hh"

namespace torque {

template <class Resolve>
class LazyWheel {
 public:
  using W = Wheel<Resolve>;

  LazyWheel(const Alloc &alloc, Resolve resolve) noexcept : alloc_(alloc), resolve_(resolve) {}
  LazyWheel(const LazyWheel &) = delete;
  LazyWheel &operator=(const LazyWheel &) = delete;
  ~LazyWheel() { alloc_.destroy(wheel_); }

  // All as in Wheel. Before the first set() there is nothing.
  [[nodiscard]] bool set(uint32_t id, Deadline &d, uint64_t at) noexcept {
    return (wheel_ || make()) && wheel_->set(id, d, at);
  }
  void cancel(Deadline &d) noexcept {
    if (wheel_) wheel_->cancel(d);
  }
  void forget(Deadline &d) noexcept {
    if (wheel_) wheel_->forget(d);
    else d = Deadline{};
  }
  bool pop(uint64_t now, uint32_t *ret_id, uint64_t *ret_at) noexcept { return wheel_ && wheel_->pop(now, ret_id, ret_at); }
  uint64_t next() noexcept { return wheel_ ? wheel_->next() : kNever; }
  size_t armed() const noexcept { return wheel_ ? wheel_->armed() : 0; }
  size_t bytes() const noexcept { return wheel_ ? sizeof(W) + wheel_->bytes() : 0; }

 private:
  [[gnu::noinline]] bool make() noexcept {
    wheel_ = alloc_.template make<W>(alloc_, resolve_);
    return wheel_ != nullptr;
  }

  const Alloc &alloc_;
  const Resolve resolve_;
  W *wheel_ = nullptr;
};

}  // namespace torque
