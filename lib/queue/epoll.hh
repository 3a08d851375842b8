// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>

#include "base/fd.hh"
#include "queue/queue.hh"

namespace torque {

class EpollQueue final : public Queue {
 public:
  torque_err arm(int fd, uint64_t handle, uint32_t interest, Trigger) noexcept override;
  torque_err rearm(int fd, uint64_t handle, uint32_t interest, Trigger) noexcept override;
  torque_err disarm(int fd) noexcept override;
  uint32_t wait(Ready *out, uint32_t max, uint64_t timeout_ns) noexcept override;
  void wake() noexcept override;
  torque_err mark() noexcept override;
  bool any() const noexcept override;
  int poll_fd() const noexcept override { return epoll_.get(); }
  torque_err reopen(bool forked) noexcept override;

 private:
  // Constant after the first reopen(), but in a forked child.
  Fd epoll_;
  Fd wake_;  // an eventfd, edge-triggered: never read, each write is one edge for one waiter

  // Who may put the mark. Made with the first one; written as wake_ is.
  Fd mark_;

  // Any thread. Set once the kernel has said that it lacks epoll_pwait2; a stale value costs one failed call.
  std::atomic<bool> milliseconds_only_{false};
};

}  // namespace torque
