// SPDX-License-Identifier: BSD-3-Clause
// A condition: threads and sources that wait to be signalled. What the caller holds is a source that never fires; the
// sources that wait hold it, as acceptors hold their listener, and so do threads while they wait.
//
// Always true: a source that has signals to be told is activated, under the same lock; so none is lost, and none told
// twice. A source with signals is in busy_, any other that has started in idle_.
#pragma once

#include <pthread.h>

#include "base/list.hh"
#include "libtorque/condition.h"
#include "source/source.hh"

namespace torque {

class WaitPoint;

struct SourceWaiter {
  WaitPoint *point;
  uint64_t handle;
  uint64_t ticket = 0;
  uint64_t signals = 0;  // not told yet
  enum class In : uint8_t { none, idle, busy } in = In::none;
  SourceWaiter *prev = nullptr;
  SourceWaiter *next = nullptr;
};

// On the stack of the thread.
struct ThreadWaiter {
  enum Why : uint32_t { waits, signalled, removed, stopped };
  std::atomic<uint32_t> why{waits};  // written under the lock; what it was woken by
  uint64_t ticket = 0;
  ThreadWaiter *prev = nullptr;
  ThreadWaiter *next = nullptr;
};

class WaitPoint {
 public:
  WaitPoint(Context &context, Slot &s, bool counts) noexcept
      : parent(handle_of(s)), counting(counts), context_(context) {}
  WaitPoint(const WaitPoint &) = delete;
  WaitPoint &operator=(const WaitPoint &) = delete;

  const uint64_t parent;
  const bool counting;

  // Sources and threads that wait, all together, hold the condition's source once. Requires: the caller holds it meanwhile.
  void adopt() noexcept;
  // The last one gives up that hold: nothing here is the caller's any more.
  void disown() noexcept;
  bool has_children() noexcept {
    HandingLock lock(lock_);
    return children_ != 0;
  }

  void signal() noexcept {
    HandingLock lock(lock_);
    signal_locked();
  }
  void broadcast() noexcept;
  void release_threads(ThreadWaiter::Why why) noexcept;
  // Requires: the caller was adopted, and is so no more when this returns.
  torque_err wait(pthread_mutex_t *mutex, uint64_t timeout_ns) noexcept;

  torque_err enlist(SourceWaiter &w) noexcept;  // starts to wait; STALE: the condition has ended
  void withdraw(SourceWaiter &w) noexcept;      // has ended
  uint64_t take_signals(SourceWaiter &w) noexcept;
  void put_back(SourceWaiter &w, uint64_t signals) noexcept;
  void wait_again(SourceWaiter &w) noexcept;

  // The condition's source has ended: so do its waiters.
  void end(uint32_t reason) noexcept;

  WaitPoint *prev = nullptr;  // among all of the process
  WaitPoint *next = nullptr;
  Mutex &lock_for_fork() noexcept { return lock_; }
  void forget_threads() noexcept REQUIRES(lock_);

 private:
  friend void release_threads_of(const Context &context) noexcept;
  bool queue(ThreadWaiter &w) noexcept;
  void signal_locked() noexcept REQUIRES(lock_);
  void give(SourceWaiter &w, uint64_t signals) noexcept REQUIRES(lock_);
  void unlist(SourceWaiter &w) noexcept REQUIRES(lock_);
  static void wake(ThreadWaiter &w, ThreadWaiter::Why why) noexcept;

  const Context &context_;

  Mutex lock_;
  List<ThreadWaiter> threads_ GUARDED_BY(lock_);
  List<SourceWaiter> idle_ GUARDED_BY(lock_);
  List<SourceWaiter> busy_ GUARDED_BY(lock_);
  uint64_t children_ GUARDED_BY(lock_) = 0;
  uint64_t tickets_ GUARDED_BY(lock_) = 0;  // who has waited longest has the lowest
  uint64_t kept_ GUARDED_BY(lock_) = 0;     // signals that found nobody
  bool ended_ GUARDED_BY(lock_) = false;
};

// A condition in its own source, ready. Errors: as create().
torque_err make_condition(Context &context, bool counting, uint64_t *ret) noexcept;
// A new source that waits for the condition behind v, which the caller holds.
torque_err make_waiter(const Snapshot &v, torque_condition_fn *fn, void *arg, uint64_t *ret) noexcept;
inline WaitPoint &point_of(Slot &s) noexcept { return *static_cast<WaitPoint *>(cold_of(s).object); }
torque_err wait_for_condition(uint64_t handle, pthread_mutex_t *mutex, uint64_t timeout_ns) noexcept;

// The context stops: threads that wait are told so.
void release_threads_of(const Context &context) noexcept;

// In a child no thread waits.
void lock_conditions_for_fork() noexcept;
void unlock_conditions_after_fork(bool child) noexcept;

bool has_waiters(Slot &) noexcept;
void end_condition(const Snapshot &, uint64_t) noexcept;  // and those who wait for it
void free_condition(Context &, Slot &, uint32_t reason) noexcept;

bool run_waiter(Turn &, Slot &, uint64_t, uint32_t) noexcept;
torque_err start_waiter(Context &, Slot &, uint64_t) noexcept;
void end_waiter(const Snapshot &, uint64_t) noexcept;
void free_waiter(Context &, Slot &, uint32_t reason) noexcept;
void leave_waiter(Slot &, uint64_t) noexcept;
uint64_t condition_of(Slot &) noexcept;

// What the program has: it never runs, and lives as long as who waits for it.
inline constexpr KindOps kConditionKind = {
    .name = "condition",
    .public_kind = TORQUE_KIND_CONDITION,
    .traits = trait::kParent | trait::kNoStrand,
    .dismantle = end_condition,
    .free_after_final = free_condition,
    .has_children = has_waiters,
};

inline constexpr KindOps kWaiterKind = {
    .run = run_waiter,
    .name = "waiter",
    .public_kind = TORQUE_KIND_WAITER,
    .traits = trait::kTakesCalls,
    .start = start_waiter,
    .dismantle = end_waiter,
    .free_after_final = free_waiter,
    .parent = condition_of,
    .go_on = leave_waiter,
};

}  // namespace torque
