// SPDX-License-Identifier: BSD-3-Clause
#include "source/waiters.hh"

namespace torque {

namespace {
struct Room {
  Mutex lock;
  Condition changed;
};
constexpr uint32_t kRooms = 8;
constinit Room rooms[kRooms];
}  // namespace

void wait_for_generation(Slot &s, uint32_t generation) noexcept {
  Room &r = rooms[s.index % kRooms];
  Lock lock(r.lock);
  while (word::generation(s.word.load(std::memory_order_acquire)) == generation) r.changed.wait(r.lock);
}

void wake_waiters(uint32_t index) noexcept {
  Room &r = rooms[index % kRooms];
  Lock lock(r.lock);
  r.changed.notify_all();
}

void lock_waiters_for_fork() noexcept NO_THREAD_SAFETY_ANALYSIS {
  for (Room &r : rooms) r.lock.lock();
}

void unlock_waiters_after_fork() noexcept NO_THREAD_SAFETY_ANALYSIS {
  for (Room &r : rooms) r.lock.unlock();
}

}  // namespace torque
