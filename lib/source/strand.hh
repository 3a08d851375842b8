// SPDX-License-Identifier: BSD-3-Clause
// A strand: sources and posted functions that never run at the same time.
//
// Who finds it idle runs it; what comes meanwhile queues up, and is run by that thread when it is done, a few at a time;
// the rest by the strand's own source (the runner), which is activated like any other. A queued source stays HELD.
#pragma once

#include "base/mutex.hh"
#include "source/context.hh"
#include "source/slot_list.hh"
#include "source/turn.hh"

namespace torque {

class Strand {
 public:
  // One reference, the caller's. Null and *err on failure.
  static Strand *make(Context &context, torque_err *err) noexcept;

  // For who found it without a reference of its own. False: it is about to go.
  bool try_ref() noexcept {
    uint32_t n = refs_.load(std::memory_order_relaxed);
    while (n != 0) {
      if (refs_.compare_exchange_weak(n, n + 1, std::memory_order_acquire)) return true;
    }
    return false;
  }
  void ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept;

  torque_err post(torque_post_fn *fn, void *arg) noexcept;

  // Requires: the caller holds s. True: the strand is the caller's, who must call serve_first() next.
  bool enter(Slot &s, uint32_t events) noexcept;
  // For who ended s: takes it out of the queue. False: it was not in it.
  bool withdraw(Slot &s) noexcept;
  void serve_first(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept;

  // Runs what is queued, up to a limit. Requires: the strand is the caller's (or its runner's). True: more is left.
  bool serve_queue(Turn &t, uint32_t limit) noexcept;
  // The context stops: posted functions run now, and no others come.
  void close(Turn &t) noexcept;
  Context &context() noexcept { return context_; }
  Mutex &lock_for_fork() noexcept { return lock_; }
  bool locked_for_fork = false;

 private:
  friend struct Alloc;
  struct Posted {
    torque_post_fn *fn;
    void *arg;
    Posted *next;
  };
  explicit Strand(Context &context) noexcept : context_(context) {}
  ~Strand() = default;
  // The next thing to run; neither: the strand is idle from now on.
  void take(Slot **ret_slot, uint32_t *ret_events, Posted **ret_posted) noexcept;

  // Constant after make().
  Context &context_;
  uint64_t runner_ = 0;

  std::atomic<uint32_t> refs_{1};  // the last unref (acq_rel) frees

  Mutex lock_;
  bool busy_ GUARDED_BY(lock_) = false;
  bool closed_ GUARDED_BY(lock_) = false;
  bool posted_turn_ GUARDED_BY(lock_) = false;  // sources and functions take turns
  SlotList queue_ GUARDED_BY(lock_);
  Posted *first_posted_ GUARDED_BY(lock_) = nullptr;
  Posted *last_posted_ GUARDED_BY(lock_) = nullptr;
};

}  // namespace torque
