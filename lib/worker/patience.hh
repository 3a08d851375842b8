// SPDX-License-Identifier: BSD-3-Clause
// Poll, yield, block (Mio, section 3.3): how often a worker that found nothing lets others run and looks again before
// it blocks. The number follows what it gained, and is mostly 0: an idle machine does nothing.
// Owner worker only.
#pragma once

#include <cstdint>

namespace torque {

class Patience {
 public:
  static constexpr uint32_t kMost = 2;
  static constexpr uint32_t kProbe = 64;  // sleeps between two trials while it does not pay

  uint32_t tries() noexcept {
    if (tries_ == 0 && ++sleeps_ >= kProbe) {
      sleeps_ = 0;
      return 1;
    }
    return tries_;
  }
  void gained() noexcept {
    if (credit_ < 8) ++credit_;
    if (credit_ > 4 && tries_ < kMost) ++tries_;
  }
  void lost() noexcept {
    if (credit_ > -8) --credit_;
    if (credit_ < 0) tries_ = 0;
  }

 private:
  uint32_t tries_ = 0;
  uint32_t sleeps_ = 0;
  int32_t credit_ = 0;
};

}  // namespace torque
