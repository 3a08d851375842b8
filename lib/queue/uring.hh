// SPDX-License-Identifier: BSD-3-Clause
// An io_uring, by the kernel's own interface: requests go in, completions come out, its descriptor polls readable while
// there are some. Thread: one at a time.
#pragma once

#include <linux/io_uring.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/fd.hh"
#include "libtorque/error.h"

namespace torque {

class Uring {
 public:
  Uring() noexcept = default;
  ~Uring() { close(); }
  Uring(const Uring &) = delete;
  Uring &operator=(const Uring &) = delete;

  // Room for so many requests that were not submitted, and completions that were not taken. Errors: SYSCALL + ENOSYS,
  // EPERM, ENOMEM, EMFILE; UNAVAIL the kernel lacks what is needed of it.
  torque_err open(uint32_t requests, uint32_t completions) noexcept;
  void close() noexcept;
  int fd() const noexcept { return fd_.get(); }

  // A cleared request, null when there is no room before the next submit().
  io_uring_sqe *next() noexcept;
  // Gives all to the kernel; min_complete: and waits for so many completions. False: it took not all of them (it lacks
  // memory now).
  bool submit(uint32_t min_complete) noexcept;
  // False: there is none.
  bool take(uint64_t *ret_data, int32_t *ret_result) noexcept;

 private:
  struct Map {
    void *at = nullptr;
    size_t bytes = 0;
  };
  torque_err map(const io_uring_params &p) noexcept;

  Fd fd_;
  Map rings_;
  Map entries_;

  // The kernel reads one end of each ring, and we the other: release pairs with its acquire, acquire with its release.
  uint32_t *sq_head_ = nullptr;
  uint32_t *sq_tail_ = nullptr;
  uint32_t *cq_head_ = nullptr;
  uint32_t *cq_tail_ = nullptr;
  io_uring_sqe *sqes_ = nullptr;
  io_uring_cqe *cqes_ = nullptr;
  uint32_t sq_mask_ = 0;
  uint32_t cq_mask_ = 0;
  uint32_t tail_ = 0;  // of the requests; published by submit()
};

}  // namespace torque
