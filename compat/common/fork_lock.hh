// SPDX-License-Identifier: BSD-3-Clause
// A lock for what is changed rarely and by few: process-wide tables. A child that was forked while another thread of the
// parent held it takes it over. Never taken in signal handlers.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <atomic>

namespace torque_compat {

class ForkLock {
 public:
  constexpr ForkLock() noexcept = default;
  void lock() noexcept {
    const pid_t self = getpid();
    for (;;) {
      pid_t holder = 0;
      if (holder_.compare_exchange_weak(holder, self, std::memory_order_acquire)) return;
      // Of another process: it is a copy that nobody here will give back.
      if (holder != 0 && holder != self && holder_.compare_exchange_strong(holder, self, std::memory_order_acquire)) return;
      sched_yield();
    }
  }
  void unlock() noexcept { holder_.store(0, std::memory_order_release); }

 private:
  std::atomic<pid_t> holder_{0};
};

class ForkLocked {
 public:
  explicit ForkLocked(ForkLock &l) noexcept : lock_(l) { lock_.lock(); }
  ~ForkLocked() { lock_.unlock(); }
  ForkLocked(const ForkLocked &) = delete;
  ForkLocked &operator=(const ForkLocked &) = delete;

 private:
  ForkLock &lock_;
};

}  // namespace torque_compat
