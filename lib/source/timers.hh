// SPDX-License-Identifier: BSD-3-Clause
// The due times of one domain: a wheel for the monotonic clock and one for the wall clock, and the ways to be woken.
//
// A domain with one worker sleeps with a timeout; one with several has a timer descriptor in its queue, so that the
// kernel wakes one of them, and so has a driven one whose own descriptor must become readable (poll_deadline). The wall
// clock always has its descriptor, made with the first such timer: it tells when the clock was set
// (TFD_TIMER_CANCEL_ON_SET), and that is the only way to notice.
#pragma once

#include "base/clock.hh"
#include "base/fd.hh"
#include "base/mutex.hh"
#include "base/vec.hh"
#include "source/slot.hh"
#include "timer/lazy_wheel.hh"

namespace torque {

class Queue;

struct ResolveDeadline {
  Deadline *operator()(uint32_t id) const noexcept;
  void prefetch(uint32_t id) const noexcept;
};

class Timers {
 public:
  // by_descriptor: the kernel's timer descriptor tells of the next deadline, not the sleeper's own timeout.
  Timers(const Alloc &alloc, bool by_descriptor) noexcept
      : by_descriptor_(by_descriptor), many_(alloc), monotonic_(alloc, ResolveDeadline{}),
        wall_(alloc, ResolveDeadline{}) {}

  // Opens the timer descriptors, in an empty queue (also again, after a fork).
  torque_err open(Queue &queue) noexcept;
  // After the queue was emptied in place: its descriptors are watched again.
  torque_err watch_again(Queue &queue) noexcept;
  // Makes the first wall-clock timer possible.
  torque_err need_wall(Queue &queue) noexcept;

  // Any thread; no effect (STALE, false) when the source has ended. set: *ret_wake says whether a sleeper must be woken to
  // learn of it; an error leaves all as it was.
  torque_err set(Slot &s, uint32_t generation, uint64_t at, uint64_t period, bool removes, bool *ret_wake) noexcept;
  // The short path, for a one-shot monotonic timer without slack that has started and is not firing: it touches only
  // what belongs to the timer lock. False: nothing was done, the other path must say what is to be.
  bool set_plain(SlotDeadline &k, uint32_t index, uint32_t generation, uint64_t at, bool removes, torque_err *ret_err,
                 bool *ret_wake) noexcept;
  bool cancel_plain(SlotDeadline &k, uint32_t generation) noexcept;
  bool cancel(Slot &s, uint32_t generation) noexcept;
  bool due_at(Slot &s, uint32_t generation, uint64_t *ret_at) noexcept;  // kNever: not set
  bool set_slack(Slot &s, uint32_t generation, uint64_t slack_ns) noexcept;
  // Whoever makes or ends the source. forget: cancel, and leave nothing behind for the slot's next source.
  void adopt(Slot &s, bool timer = false) noexcept;
  void forget(Slot &s) noexcept;
  // For the holder. Before a call: what is to be told, 0 when it was cancelled or set anew.
  uint64_t take_expirations(Slot &s) noexcept;
  // After a call that wants to be told the same again, unless the timer was set anew or cancelled meanwhile.
  void untell(Slot &s, uint32_t generation, uint64_t expirations) noexcept;
  // After a call. True: nothing is left to tell, no setting is accepted from now on, and the holder ends the source.
  bool end_if_over(Slot &s, uint32_t generation) noexcept;
  bool revive(Slot &s, uint32_t generation, bool *ret_wake) noexcept;

  // Workers of the domain: claim, pop until null or enough, give_up_claim. claim: false when another worker is firing
  // timers (unless nested), so that they fire one after another. pop: the next source that is due, wherever it is served;
  // its expirations count has grown and a periodic one is set anew (*ret_retry: there was no memory for that).
  bool claim(bool nested) noexcept;
  Slot *pop(uint64_t monotonic_now, uint64_t wall_now, uint32_t *ret_generation, bool *ret_retry) noexcept;
  // looked: at the wall clock, since the claim.
  void give_up_claim(bool looked) noexcept;

  // What a round asks before it reads a clock. Timers of the wall clock, however many, are nothing to look at until their
  // descriptor has told something (note_told), or one was set that was due already.
  bool any() const noexcept { return hint_.load(std::memory_order_relaxed) != kNever || look_at_wall(); }
  void note_told() noexcept {
    if (wall_count_.load(std::memory_order_relaxed) != 0) wall_due_.store(true, std::memory_order_relaxed);
  }
  // For who has the claim and is about to read the wall clock: what falls due later will be told again.
  bool take_look_at_wall() noexcept {
    if (!look_at_wall()) return false;
    wall_due_.store(false, std::memory_order_relaxed);
    return true;
  }

  // May something be due at now? A cheap look without the lock; errs towards yes.
  bool maybe_due(uint64_t now) const noexcept {
    return hint_.load(std::memory_order_relaxed) <= now || look_at_wall();
  }
  // When a sleeper must wake; kNever: the timer descriptor will wake it. Read after it has announced itself: whoever sets
  // an earlier deadline later sees the sleeper, and wakes it. May be early, when the earliest was cancelled.
  uint64_t wake_at() const noexcept;
  // The next deadline, exactly (of the monotonic clock: the wall clock's descriptor is in the queue).
  uint64_t next_deadline() noexcept;

  size_t armed() noexcept;
  size_t bytes() noexcept;
  // In a forked child: whoever fired timers is not here.
  void abandoned() noexcept REQUIRES(lock_) { claimed_ = false; }
  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  using Wheel1 = LazyWheel<ResolveDeadline>;
  Wheel1 &wheel_of(const Slot &s) noexcept REQUIRES(lock_) { return s.traits.get() & kWall ? wall_ : monotonic_; }
  uint64_t renew(Slot &s, uint64_t nominal, uint64_t now, bool *ret_retry) noexcept REQUIRES(lock_);
  void add_expirations(Slot &s, uint64_t n) noexcept REQUIRES(lock_);
  void forget_expirations(Slot &s) noexcept REQUIRES(lock_);
  uint64_t take_many(const Slot &s) noexcept REQUIRES(lock_);
  bool noticed(uint64_t due) noexcept REQUIRES(lock_);
  bool noticed(Slot &s) noexcept REQUIRES(lock_);
  bool place(Slot &s, uint64_t at) noexcept REQUIRES(lock_);
  void publish() noexcept REQUIRES(lock_);
  torque_err open_wall(Queue &queue) noexcept REQUIRES(lock_);
  void program_monotonic() noexcept REQUIRES(lock_);
  void program_wall(bool force) noexcept REQUIRES(lock_);
  bool look_at_wall() const noexcept {
    return wall_due_.load(std::memory_order_relaxed) || wall_unset_.load(std::memory_order_relaxed);
  }

  // Each round of the domain's workers reads this line; who sets a timer writes it only for one that is the earliest.
  alignas(kLine) const bool by_descriptor_;  // constant

  // Written under lock_, read by anyone: not later than the earliest monotonic deadline; number of wall timers.
  std::atomic<uint64_t> hint_{kNever};
  std::atomic<size_t> wall_count_{0};
  // Any thread: a timer of the wall clock may be due. Whoever sets it has the worker look, by the descriptor or a round of
  // its own.
  std::atomic<bool> wall_due_{false};
  // The timer descriptors could not be set for the next deadline.
  std::atomic<bool> unset_{false};
  std::atomic<bool> wall_unset_{false};

  struct Many {
    uint32_t index;
    uint64_t n;
  };

  alignas(kLine) Mutex lock_;
  Vec<Many> many_ GUARDED_BY(lock_);  // numbers of expirations that do not fit into the slots
  Wheel1 monotonic_ GUARDED_BY(lock_);
  Wheel1 wall_ GUARDED_BY(lock_);
  Fd timer_ GUARDED_BY(lock_);
  Fd wall_timer_ GUARDED_BY(lock_);
  uint64_t programmed_ GUARDED_BY(lock_) = kNever;       // what timer_ was told
  uint64_t wall_programmed_ GUARDED_BY(lock_) = kNever;  // what wall_timer_ was told
  bool claimed_ GUARDED_BY(lock_) = false;

  friend struct Layout;  // tests/unit/source/layout_test.cc
};

}  // namespace torque
