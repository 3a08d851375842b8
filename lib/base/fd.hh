// SPDX-License-Identifier: BSD-3-Clause
// A descriptor that is ours: closed exactly once.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/tsan.hh"

namespace torque {

class Fd {
 public:
  constexpr Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd &&o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd &operator=(Fd &&o) noexcept {
    if (this != &o) {
      reset();
      fd_ = std::exchange(o.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd &) = delete;
  Fd &operator=(const Fd &) = delete;
  ~Fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  // Linux frees the number whatever close() answers, so it is never repeated.
  void reset() noexcept {
    const tsan::Own own;
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace torque
