// SPDX-License-Identifier: BSD-3-Clause
// How many events a worker asks for at once (paper, section 3.2). It begins with one; when it got all it asked for it
// asks for more, when it got far fewer it asks for fewer, as TCP does: doubled, as in its slow start, and taken back by
// a quarter. (Halving on every shortage and adding 8 cost 10 % of a request with two busy workers: what arrives comes in
// bursts, and the window was always behind them.)
//
// A small window is for idle siblings: what one worker leaves in the queue another may take. Where nobody is idle it
// only costs system calls (6 % of a request at one event a call), so that the floor then is higher.
// Owner worker only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace torque {

class Window {
 public:
  static constexpr uint32_t kMax = 4096;
  static constexpr uint32_t kBusyFloor = 16;  // 16 to 256 measured equal

  // floor, ceiling: from the configuration; 0: ours.
  Window(uint32_t floor, uint32_t ceiling, bool alone) noexcept
      : floor_(floor), ceiling_(ceiling ? ceiling : 256), fixed_floor_(floor != 0), alone_(alone),
        size_(alone ? ceiling_ : std::max<uint32_t>(floor, 1)) {
    if (ceiling_ < floor_) ceiling_ = floor_;
  }

  uint32_t ask(bool idle_siblings) const noexcept {
    if (alone_ || fixed_floor_ || idle_siblings) return std::clamp(size_, std::max<uint32_t>(floor_, 1), ceiling_);
    return std::clamp(size_, std::min(kBusyFloor, ceiling_), ceiling_);
  }
  void got(uint32_t asked, uint32_t n) noexcept {
    if (alone_) return;
    if (n >= asked) size_ = std::min(2 * size_, ceiling_);
    else if (n < size_ / 4) size_ -= (size_ + 3) / 4;  // at least 1 is left: n is 0 or more, so size_ was 4 or more
  }
  uint32_t ceiling() const noexcept { return ceiling_; }

 private:
  uint32_t floor_;
  uint32_t ceiling_;
  bool fixed_floor_;
  bool alone_;  // the only worker of its domain: there is nobody to leave events to
  uint32_t size_;
};

}  // namespace torque
