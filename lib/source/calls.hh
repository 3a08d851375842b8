// SPDX-License-Identifier: BSD-3-Clause
// Functions that others want run in a source's exclusive turn (torque_source_run()).
//
// Any thread puts, under the lock of the domain that made the source; whoever holds the source runs them before it tells
// events, and who finishes it tells the rest that it has ended. A put comes before the activation that brings the holder
// to look, and both are made while the source is held: so no function is lost, and none runs after the finalizer.
// (Streams have theirs in the mailbox, in order with what was written: stream/stream.cc.)
#pragma once

#include "base/alloc.hh"
#include "base/mutex.hh"
#include "libtorque/post.h"
#include "source/slot.hh"

namespace torque {

struct Call {
  torque_run_fn *fn;
  void *arg;
  Call *next;
};

// What waits for one source, the oldest first.
struct CallQueue {
  Call *first;
  Call *last;
};

// Of the sources that one domain has made. Thread: any.
class Calls {
 public:
  explicit Calls(const Alloc &alloc) noexcept : alloc_(alloc) {}

  // Requires: the caller holds s. False: no memory.
  bool put(Slot &s, torque_run_fn *fn, void *arg) noexcept;
  // The oldest. False: there is none.
  bool take(Slot &s, Call *ret) noexcept;
  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  CallQueue *queue_of(Slot &s, bool make) noexcept REQUIRES(lock_);

  const Alloc &alloc_;
  Mutex lock_;
};

// Whether any wait. Exact for who holds the source alone.
inline bool has_calls(const Slot &s) noexcept { return s.calls.load(std::memory_order_relaxed) != 0; }

// Errors: STALE; STATE not started; KIND not a source with a turn of its own; RESOURCE; STOPPED; FORKED.
torque_err call_source(uint64_t handle, torque_run_fn *fn, void *arg) noexcept;
// For the holder: some of those that wait; the rest in a turn to come. True: one of them has postponed.
bool run_calls(Turn &t, Slot &s, uint64_t handle) noexcept;
// One of them. True: it has postponed.
bool run_call(Turn &t, uint64_t handle, const Call &call) noexcept;
// Nobody holds the source any more: all that are left are told so.
void end_calls(Slot &s, uint64_t handle, uint32_t reason) noexcept;

}  // namespace torque
