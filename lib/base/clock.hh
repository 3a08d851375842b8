// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <time.h>

#include <cstdint>

namespace torque {

constexpr uint64_t kNever = UINT64_MAX;
constexpr uint64_t kSecond = 1000000000;

inline uint64_t to_ns(const timespec &t) noexcept {
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}
inline timespec to_timespec(uint64_t ns) noexcept {
  return {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
}
inline uint64_t clock_ns(clockid_t id) noexcept {
  timespec t;
  clock_gettime(id, &t);
  return to_ns(t);
}
inline uint64_t monotonic_ns() noexcept { return clock_ns(CLOCK_MONOTONIC); }
inline uint64_t realtime_ns() noexcept { return clock_ns(CLOCK_REALTIME); }

// Adds without passing "never".
inline uint64_t add_ns(uint64_t a, uint64_t b) noexcept { return a > kNever - b ? kNever : a + b; }

}  // namespace torque
