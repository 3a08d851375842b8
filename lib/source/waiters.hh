// SPDX-License-Identifier: BSD-3-Clause
// Threads that wait for a source to be finished. Few and rare: one table for the process.
#pragma once

#include "base/mutex.hh"
#include "base/visit.hh"
#include "source/slot.hh"

namespace torque {

// Sleeps while asleep(), which looks at a word in which WAITER is set. No visit is under way meanwhile: what asleep()
// looks at it must find anew, in a visit of its own.
template <class Asleep>
void wait_while(uint32_t index, Asleep asleep) noexcept;
void wake_waiters(uint32_t index) noexcept;  // after the word has changed

struct WaitRoom {
  Mutex lock;
  Condition changed;
};
WaitRoom &wait_room_of(uint32_t index) noexcept;

template <class Asleep>
void wait_while(uint32_t index, Asleep asleep) noexcept {
  WaitRoom &r = wait_room_of(index);
  const Outside outside;
  Lock lock(r.lock);
  while (asleep()) r.changed.wait(r.lock);
}

void lock_waiters_for_fork() noexcept;
void unlock_waiters_after_fork() noexcept;

}  // namespace torque
