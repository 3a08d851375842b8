// SPDX-License-Identifier: BSD-3-Clause
// Up to which moment all that was ready in a domain's queue has been retrieved, while no retrieval empties it.
//
// The kernel's list is first in, first out. A mark that is put at its end comes out when all that was ready before has
// come out, whichever workers retrieved it. So a timer waits for what was ready before it, and not for what is idle.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/mutex.hh"
#include "queue/queue.hh"

namespace torque {

class Horizon {
 public:
  // Any worker of the domain, after a retrieval that was full: n events, while something waits for the horizon to move.
  // now: a time before the next retrieval.
  void approach(Queue &queue, uint64_t now, uint32_t n) noexcept {
    if (wants_mark(now, n) && queue.mark() != TORQUE_ERR_NONE) lose_mark();
  }
  // The mark was retrieved.
  void mark_came() noexcept {
    Lock lock(lock_);
    pass(marked_);
    marked_ = 0;
  }
  // The mark was lost with the queue that it was in.
  void lose_mark() noexcept {
    Lock lock(lock_);
    marked_ = 0;
  }
  // All that was ready at this time (monotonic ns) has been retrieved.
  uint64_t passed() const noexcept { return passed_.load(std::memory_order_relaxed); }
  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  // True: the caller puts it, and nobody else meanwhile.
  bool wants_mark(uint64_t now, uint32_t n) noexcept {
    Lock lock(lock_);
    if (counted_ == 0) counted_from_ = now;
    counted_ += n;
    if (counted_ >= kMost) {
      pass(counted_from_);
      counted_ = 0;
    }
    if (marked_ != 0) return false;
    marked_ = now;
    return true;
  }

  // Events, when there can be no mark, or more than this is ready. Nothing makes a timer wait for more.
  static constexpr uint64_t kMost = 1 << 16;

  void pass(uint64_t at) noexcept REQUIRES(lock_) {
    passed_.store(std::max(at, passed_.load(std::memory_order_relaxed)), std::memory_order_relaxed);
  }

  std::atomic<uint64_t> passed_{0};  // written under lock_; a worker that reads an old value judges fewer timers

  Mutex lock_;
  uint64_t marked_ GUARDED_BY(lock_) = 0;  // when the mark was put; 0: it is not in the list
  uint64_t counted_from_ GUARDED_BY(lock_) = 0;
  uint64_t counted_ GUARDED_BY(lock_) = 0;  // events since then, at least
};

}  // namespace torque
