// SPDX-License-Identifier: BSD-3-Clause
// Sources that run when a worker of their domain has nothing else to do. On the list is who is to run and does not.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/list.hh"
#include "base/mutex.hh"

namespace torque {

// Under its list's lock, but for what is constant.
struct IdleSource {
  uint64_t handle = 0;  // constant
  bool active = false;
  bool running = false;  // taken off the list to be run
  bool listed = false;
  bool asked = false;    // to be active, since it was taken
  IdleSource *prev = nullptr;
  IdleSource *next = nullptr;
};

class IdleList {
 public:
  // seq_cst, like the length of the postponed list: whoever makes a source active looks for sleepers after that.
  uint32_t length() const noexcept { return length_.load(std::memory_order_seq_cst); }

  void set(IdleSource &i, bool active) noexcept {
    Lock lock(lock_);
    i.active = i.asked = active;
    settle(i);
  }
  // The next to run; 0: none.
  uint64_t take() noexcept {
    Lock lock(lock_);
    IdleSource *i = list_.front();
    if (!i) return 0;
    unlist(*i);
    i->running = true;
    i->asked = false;
    return i->handle;
  }
  // It has run, or could not now. more: it wants to once more.
  void put_back(IdleSource &i, bool more) noexcept {
    Lock lock(lock_);
    i.running = false;
    i.active = i.active && (more || i.asked);
    settle(i);
  }
  // In a forked child: it may have been taken by a thread that is not here. Then it runs once more.
  void revive(IdleSource &i) noexcept {
    Lock lock(lock_);
    if (!i.running) return;
    i.running = false;
    settle(i);
  }
  void forget(IdleSource &i) noexcept {
    Lock lock(lock_);
    i.active = false;
    settle(i);
  }
  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  void unlist(IdleSource &i) noexcept REQUIRES(lock_) {
    list_.unlink(i);
    i.listed = false;
    length_.fetch_sub(1, std::memory_order_relaxed);
  }
  void settle(IdleSource &i) noexcept REQUIRES(lock_) {
    const bool belongs = i.active && !i.running;
    if (i.listed && !belongs) unlist(i);
    if (i.listed || !belongs) return;
    list_.push(i);
    i.listed = true;
    length_.fetch_add(1, std::memory_order_seq_cst);
  }

  std::atomic<uint32_t> length_{0};

  Mutex lock_;
  List<IdleSource> list_ GUARDED_BY(lock_);
};

}  // namespace torque
