// SPDX-License-Identifier: BSD-3-Clause
// A queue is the kernel's list of what is ready, for one domain. Few verbs, so that epoll and io_uring can both do it.
//
//   arm, rearm, disarm   any thread; the caller makes sure that two of them do not run for one descriptor at a time
//   wait                 workers, any number at once; the only call that may block
//   wake                 any thread, async-signal-safe: makes one wait in progress, or else the next one, return
//
// Always true: one edge is delivered to one waiter. Which source it belongs to, and whether that still exists, is in the
// handle that came with arm(); the queue does not know sources.
#pragma once

#include <cstdint>

#include "base/alloc.hh"
#include "base/error.hh"

namespace torque {

// What to tell, in the public TORQUE_READ ... bits.
struct Ready {
  uint64_t handle;
  uint32_t events;
};

enum class Trigger : uint8_t {
  edge,       // told once for each change
  oneshot,    // told once, then silent until rearm(), which looks again
  level,      // told as long as it lasts
  exclusive,  // edge; of several queues that watch the descriptor one is told
};

class Queue {
 public:
  static constexpr uint64_t kWakeHandle = 0;   // wake()
  static constexpr uint64_t kTimerHandle = 1;  // the timer descriptor of the domain
  static constexpr uint64_t kMarkHandle = 2;   // mark()
  static constexpr uint64_t kOwnHandles = 2;   // no source has one up to this

  virtual ~Queue() = default;
  virtual torque_err arm(int fd, uint64_t handle, uint32_t interest, Trigger) noexcept = 0;
  virtual torque_err rearm(int fd, uint64_t handle, uint32_t interest, Trigger) noexcept = 0;
  virtual torque_err disarm(int fd) noexcept = 0;

  // At most max events; blocks for at most timeout_ns (kNever: as long as it takes). Answers how many; an interrupted
  // wait answers 0.
  virtual uint32_t wait(Ready *out, uint32_t max, uint64_t timeout_ns) noexcept = 0;
  virtual void wake() noexcept = 0;
  // One thread at a time, and not again before it has come: kMarkHandle comes after everything that is ready now.
  virtual torque_err mark() noexcept = 0;

  // Would wait() return at once?
  virtual bool any() const noexcept = 0;
  // Polls readable when wait() would return at once.
  virtual int poll_fd() const noexcept = 0;
  // A new kernel object, empty (a mark is lost), under the same descriptor number. forked: the old one is the parent's as
  // well, and so are its wake-ups.
  virtual torque_err reopen(bool forked) noexcept = 0;
};

// How to begin: the implementation the configuration asks for. Null and *err when the system refuses.
Queue *make_queue(const Alloc &alloc, torque_err *err) noexcept;
void free_queue(const Alloc &alloc, Queue *queue) noexcept;

}  // namespace torque
