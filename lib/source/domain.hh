// SPDX-License-Identifier: BSD-3-Clause
// What the workers of one cache domain share: a kernel queue, the slots made here, due times, the postponed and the
// posted lists, and who sleeps. Domains share nothing but sources that were made in one and placed in another.
//
// Thread: any, except what takes a Turn.
#pragma once

#include "queue/queue.hh"
#include "source/calls.hh"
#include "source/horizon.hh"
#include "source/idle_list.hh"
#include "source/posted.hh"
#include "source/postponed.hh"
#include "source/slots.hh"
#include "source/timers.hh"
#include "source/turn.hh"

namespace torque {

class Domain {
 public:
  Domain(Context &owner, const Alloc &alloc, uint32_t number, uint32_t worker_count, bool driven) noexcept;
  ~Domain();
  Domain(const Domain &) = delete;
  Domain &operator=(const Domain &) = delete;

  torque_err open() noexcept;
  torque_err reopen() noexcept;  // after a fork: new kernel objects, empty

  // Constant after open(). Each round reads it: what is written lies on other lines.
  Context &context;
  const uint32_t index;
  const uint32_t workers;
  Queue &queue() noexcept { return *queue_; }

 private:
  const Alloc &alloc_;
  Queue *queue_ = nullptr;

 public:
  // Written where sources come and go, from any domain.
  // Sources that are served here, for placing new ones. Relaxed: a hint.
  alignas(kLine) std::atomic<int64_t> load{0};
  uint64_t sources() const noexcept {
    const int64_t n = load.load(std::memory_order_relaxed);
    return n < 0 ? 0 : static_cast<uint64_t>(n);
  }
  std::atomic<uint32_t> jobs{0};  // started, not ended
  // Streams, and acceptors at work, that have begun here, and that have ended. For Context::any_stream(). seq_cst.
  std::atomic<uint64_t> streams_begun{0};
  std::atomic<uint64_t> streams_over{0};

  alignas(kLine) SlotPool slots;
  Timers timers;
  Horizon horizon;
  Postponed postponed;
  Postponed left;  // sources that have ended, to be finished by a worker or by who waits for them. After postponed's lock
  Calls calls;
  Posted posted;
  IdleList idle;
  Counters outside;  // what threads that are not workers do here

  // After publishing work (in seq_cst order): wakes one sleeper if there is one and none is being woken already.
  void poke() noexcept {
    if (sleepers_.load(std::memory_order_seq_cst) != 0 && !poked_.exchange(true, std::memory_order_acq_rel)) wake();
  }
  void wake() noexcept;  // in any case. Async-signal-safe

  // Around a wait. A sleeper announces itself and looks for work once more after that: either it sees the work, or who
  // published it sees the sleeper.
  void fall_asleep() noexcept { sleepers_.fetch_add(1, std::memory_order_seq_cst); }
  void woke_up() noexcept { sleepers_.fetch_sub(1, std::memory_order_relaxed); }
  // Whoever takes a wake-up out of the queue says so, sleeper or not, before it looks for work: the next poke() wakes.
  void poke_taken() noexcept { poked_.exchange(false, std::memory_order_acq_rel); }
  // In a child of a process that was running it: nobody does any more. With the locks of a fork.
  void abandoned() noexcept NO_THREAD_SAFETY_ANALYSIS;
  uint32_t sleepers() const noexcept { return sleepers_.load(std::memory_order_relaxed); }
  bool has_work() const noexcept { return postponed.length() != 0 || posted.ready() || left.length() != 0; }

  // Counts for the worker that this thread is, or for the domain.
  void count(Counter c, uint64_t n = 1) noexcept;

  void lock_for_fork() noexcept NO_THREAD_SAFETY_ANALYSIS;
  void unlock_after_fork() noexcept NO_THREAD_SAFETY_ANALYSIS;

 private:
  // Any thread, seq_cst on both sides of poke() and fall_asleep(). A driven context that nobody runs counts as asleep:
  // its descriptor must become readable.
  alignas(kLine) std::atomic<uint32_t> sleepers_;
  std::atomic<bool> poked_{false};  // a wake-up is on its way into the queue, or in it

  friend struct Layout;  // tests/unit/source/layout_test.cc
};

}  // namespace torque
