// SPDX-License-Identifier: BSD-3-Clause
// A lock that clang checks, and the order in which locks may be taken. No destructor: destroying a futex does nothing,
// and without one a lock may stand in static storage.
//
// Order (a thread that holds one may take only a later one; nothing here is held while a callback runs):
//   registry (all contexts) -> team -> watchdog -> helpers -> files -> conditions -> signal hub -> handler -> inodes
//   -> datagram port -> descriptor entry
//   -> strand -> domain's slots -> directory -> timers -> horizon -> postponed list -> left list -> posted work -> idle
//   -> calls -> waiters -> visits (their setup)
// The meters of rates (stream/rate.hh) are taken alone.
// A fork takes all but the strands' and the ports', domain by domain, and the directory's after them: nothing is taken
// inside of that.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/annotate.hh"
#include "base/tsan.hh"

namespace torque {

// One word: 0 free, 1 held, 2 held and somebody may wait. Held for a few dozen instructions at most, and nearly always
// free, so that what counts is the path without waiting: two atomic instructions, a fifth of what pthread_mutex_t takes.
class CAPABILITY("mutex") Mutex {
 public:
  constexpr Mutex() noexcept = default;
  Mutex(const Mutex &) = delete;
  Mutex &operator=(const Mutex &) = delete;

  void lock() noexcept ACQUIRE() {
    uint32_t free = 0;
    if (!word_.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) wait();
  }
  bool try_lock() noexcept TRY_ACQUIRE(true) {
    uint32_t free = 0;
    return word_.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed);
  }
  // In a forked child, where nobody holds it any more. True: somebody had it, and may have been in the middle.
  bool reset() noexcept { return word_.exchange(0, std::memory_order_relaxed) != 0; }
  void unlock() noexcept RELEASE() {
    if (word_.exchange(0, std::memory_order_seq_cst) == 2) word_.notify_one();  // before it looks for waiters
  }

 private:
  void wait() noexcept {
    while (word_.exchange(2, std::memory_order_acquire) != 0) word_.wait(2, std::memory_order_relaxed);
  }
  std::atomic<uint32_t> word_{0};
};

class SCOPED_CAPABILITY Lock {
 public:
  explicit Lock(Mutex &m) noexcept ACQUIRE(m) : m_(m) { m_.lock(); }
  ~Lock() RELEASE() { m_.unlock(); }
  Lock(const Lock &) = delete;
  Lock &operator=(const Lock &) = delete;

 private:
  Mutex &m_;
  const tsan::Own own_;
};

// The same, and a hand-over from each who has had it to the next (see tsan.hh). For the lock of one object, which guards
// what its callbacks are about; not for those that rounds take.
class SCOPED_CAPABILITY HandingLock {
 public:
  explicit HandingLock(Mutex &m) noexcept ACQUIRE(m) : m_(m) {
    m_.lock();
    tsan::takes(&m_);
  }
  ~HandingLock() RELEASE() {
    tsan::gives(&m_);
    m_.unlock();
  }
  HandingLock(const HandingLock &) = delete;
  HandingLock &operator=(const HandingLock &) = delete;

 private:
  Mutex &m_;
  const tsan::Own own_;
};

// For the rare waits: a start, an end. Wakes may be spurious.
class Condition {
 public:
  constexpr Condition() noexcept = default;
  Condition(const Condition &) = delete;
  Condition &operator=(const Condition &) = delete;

  void wait(Mutex &m) noexcept REQUIRES(m) {
    const uint32_t seen = changes_.load(std::memory_order_relaxed);  // under m, like the changes that are waited for
    m.unlock();
    changes_.wait(seen, std::memory_order_relaxed);
    m.lock();
  }
  // Requires: the change was made under the waiters' lock.
  void notify_all() noexcept {
    changes_.fetch_add(1, std::memory_order_seq_cst);
    changes_.notify_all();
  }

 private:
  std::atomic<uint32_t> changes_{0};
};

}  // namespace torque
