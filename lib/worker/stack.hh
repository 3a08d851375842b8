// SPDX-License-Identifier: BSD-3-Clause
// A thread's stack: our own mapping with a guard page, committed by use (so on the memory node of the pinned thread),
// and coloured: neighbours begin at different cache sets (paper, section 2.1).
#pragma once

#include <cstddef>
#include <cstdint>

#include "libtorque/error.h"

namespace torque {

class Stack {
 public:
  Stack() noexcept = default;
  ~Stack() { release(); }
  Stack(const Stack &) = delete;
  Stack &operator=(const Stack &) = delete;

  // size 0: by the soft RLIMIT_STACK.
  torque_err map(size_t size, uint32_t colour) noexcept;
  void release() noexcept;
  void *base() const noexcept { return base_; }
  size_t size() const noexcept { return size_; }

 private:
  void *memory_ = nullptr;
  size_t mapped_ = 0;
  void *base_ = nullptr;
  size_t size_ = 0;
};

}  // namespace torque
