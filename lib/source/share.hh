// SPDX-License-Identifier: BSD-3-Clause
// How much of each kind one round runs before the other kinds have their turn. The counts are the promise (see
// torque-threads(7)); clocks only make a round shorter.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.hh"

namespace torque {

constexpr uint32_t kTimersARound = 1024;
constexpr uint32_t kPostsARound = 1024;
constexpr uint32_t kPostponedARound = 256;  // as many as a retrieval brings of descriptors
constexpr uint32_t kIdleARound = 256;
constexpr uint32_t kFinalizersARound = 256;
constexpr uint32_t kStrandsARound = 256;    // functions and sources that had waited in their strands, of all strands

// For callbacks of which there may be many, and long ones: no more than a number, and none after they have taken a
// millisecond, or as long as the round took before them. (Half of the time is theirs, however slow the others are: a
// kind that is fed at a constant rate would fall behind for ever with less.)
class Share {
 public:
  // round_began: 0: not known. start: when the first callback begins; 0: the clock is read after that one.
  Share(uint32_t most, uint64_t round_began, uint64_t start) noexcept : most_(most), round_began_(round_began) {
    if (start == 0) return;
    begin(start);
    look_at_ = 2;
  }

  // After each callback: may another one follow?
  bool more() noexcept { return ++ran_ < look_at_ || look(); }
  // Nobody else waits: as much again.
  void renew() noexcept {
    until_ = 0;
    ran_ = 0;
    look_at_ = 1;
  }

 private:
  static constexpr uint64_t kSlice = 1000000;  // ns
  static constexpr uint32_t kFarthest = 64;    // callbacks from one look at the clock to the next

  void begin(uint64_t now) noexcept {
    until_ = now + std::max(kSlice, round_began_ ? now - round_began_ : 0);
  }
  [[gnu::noinline]] bool look() noexcept {
    if (ran_ >= most_) return false;
    const uint64_t now = monotonic_ns();
    if (until_ == 0) begin(now);
    else if (now >= until_) return false;
    look_at_ = std::min(most_, ran_ + std::min(ran_, kFarthest));
    return true;
  }

  const uint32_t most_;
  const uint64_t round_began_;
  uint64_t until_ = 0;
  uint32_t ran_ = 0;
  uint32_t look_at_ = 1;
};

}  // namespace torque
