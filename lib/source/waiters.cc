// SPDX-License-Identifier: BSD-3-Clause
#include "source/waiters.hh"

namespace torque {

namespace {
constexpr uint32_t kRooms = 8;
constinit WaitRoom rooms[kRooms];
}  // namespace

WaitRoom &wait_room_of(uint32_t index) noexcept { return rooms[index % kRooms]; }

void wake_waiters(uint32_t index) noexcept {
  WaitRoom &r = wait_room_of(index);
  Lock lock(r.lock);
  r.changed.notify_all();
}

void lock_waiters_for_fork() noexcept NO_THREAD_SAFETY_ANALYSIS {
  for (WaitRoom &r : rooms) r.lock.lock();
}

void unlock_waiters_after_fork() noexcept NO_THREAD_SAFETY_ANALYSIS {
  for (WaitRoom &r : rooms) r.lock.unlock();
}

}  // namespace torque
