// SPDX-License-Identifier: BSD-3-Clause
// Who a descriptor number belongs to, in one context. The kernel forgets a registration when the descriptor is closed,
// and gives the number away again; only this table tells whether a number still means the source that registered it.
//
// Thread: any. Every kernel call that changes a registration is made under the number's lock, and only for the owner.
#pragma once

#include <atomic>

#include "base/alloc.hh"
#include "base/mutex.hh"

namespace torque {

class Descriptors {
 public:
  explicit Descriptors(const Alloc &alloc) noexcept : alloc_(alloc) {}
  ~Descriptors();
  Descriptors(const Descriptors &) = delete;
  Descriptors &operator=(const Descriptors &) = delete;

  // One number, locked.
  class SCOPED_CAPABILITY Entry {
   public:
    Entry(Descriptors &table, int fd) noexcept ACQUIRE(table.lock_of(fd)) : lock_(table.lock_of(fd)) {
      lock_.lock();
      owner_ = table.find(fd);
    }
    ~Entry() RELEASE() { lock_.unlock(); }
    Entry(const Entry &) = delete;
    Entry &operator=(const Entry &) = delete;

    // The handle of the source that registered the number last; 0: none.
    uint64_t owner() const noexcept { return owner_ ? *owner_ : 0; }
    void set_owner(uint64_t handle) noexcept {
      if (owner_) *owner_ = handle;
    }

   private:
    Mutex &lock_;
    uint64_t *owner_;
  };

  // No descriptor has this number or a higher one.
  static constexpr int32_t kEnd = 1 << 30;

  // Whether a source may have a number at all: then reserve() was called for it.
  bool any() const noexcept {
    return low_.load(std::memory_order_acquire) || root_.load(std::memory_order_acquire);
  }

  // Makes room for a number below kEnd; false: no memory. Room, once made, stays.
  bool reserve(int fd) noexcept;

  // Requires: the number's lock.
  uint64_t owner_of(int fd) noexcept {
    const uint64_t *owner = find(fd);
    return owner ? *owner : 0;
  }

  Mutex &lock_of(int fd) noexcept { return locks_[static_cast<uint32_t>(fd) % kLocks].mutex; }
  static constexpr uint32_t kLocks = 32;
  // While no number may change hands.
  void lock_all() noexcept NO_THREAD_SAFETY_ANALYSIS {
    for (Own &own : locks_) own.mutex.lock();
  }
  void unlock_all() noexcept NO_THREAD_SAFETY_ANALYSIS {
    for (Own &own : locks_) own.mutex.unlock();
  }

 private:
  // 1024 x 1024 x 1024 numbers: all that the kernel has (nr_open is at most 2^30).
  static constexpr uint32_t kFan = 1024;
  struct Leaf {
    uint64_t owner[kFan];  // under the number's lock
  };
  struct Branch {
    std::atomic<Leaf *> leaf[kFan];
  };
  uint64_t *find(int fd) noexcept;
  template <class T>
  T *grow(std::atomic<T *> &place) noexcept;

  // A line of its own: threads of all domains add and remove descriptors.
  struct alignas(kLine) Own {
    Mutex mutex;
  };

  const Alloc &alloc_;
  Own locks_[kLocks];
  std::atomic<Leaf *> low_{nullptr};  // numbers below 1024
  std::atomic<std::atomic<Branch *> *> root_{nullptr};
};

}  // namespace torque
