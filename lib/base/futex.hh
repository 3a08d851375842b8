// SPDX-License-Identifier: BSD-3-Clause
// Waiting on a word until a point of time, which std::atomic::wait() cannot.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/clock.hh"

namespace torque {

// Returns when the word differs from seen, after a wake, or for no reason; false: at until_ns (CLOCK_MONOTONIC; kNever:
// as long as it takes). What is to be read afterwards is ordered by the caller's own load of the word.
inline bool futex_wait(const std::atomic<uint32_t> &word, uint32_t seen, uint64_t until_ns) noexcept {
  static_assert(sizeof word == sizeof(uint32_t));
  const timespec until = to_timespec(until_ns);
  const long r = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, seen, until_ns == kNever ? nullptr : &until,
                           nullptr, FUTEX_BITSET_MATCH_ANY);
  return r == 0 || errno != ETIMEDOUT;
}

// One waiter. The word may be gone by now: then this wakes nobody, or somebody for no reason.
inline void futex_wake(const std::atomic<uint32_t> &word) noexcept {
  static_cast<void>(::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0));
}

// All of them.
inline void futex_wake_all(const std::atomic<uint32_t> &word) noexcept {
  static_cast<void>(::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0));
}

}  // namespace torque
