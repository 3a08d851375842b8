// SPDX-License-Identifier: BSD-3-Clause
// Operations on files. Done by helper threads, or given to the kernel through one io_uring for each domain: then any
// thread queues them, and the workers of the domain hand them over and collect what has become of them, all that there
// is at once, whenever the ring's source runs. (Not the thread that asks: the kernel ties a request to the thread that
// brings it, interrupts that thread's waits, and cancels the request when the thread ends.)
#pragma once

#include "kinds/job.hh"
#include "libtorque/aio.h"
#include "queue/uring.hh"

namespace torque {

// Does the operation of a job on this thread.
void do_file_operation(Job &j) noexcept;

class Files {
 public:
  explicit Files(Domain &domain) noexcept : domain_(domain) {}
  Files(const Files &) = delete;
  Files &operator=(const Files &) = delete;

  torque_err open() noexcept;
  // Any thread. Errors: STOPPED; RESOURCE; SYSCALL + what registering the ring answers.
  torque_err submit(Job &j) noexcept;
  // True: the kernel has not got it and will not. Any thread.
  bool cancel(Job &j) noexcept;

  // Who holds the ring's source. Answers whether more is to be done.
  bool serve() noexcept;

  // No worker runs any more: all that is queued is cancelled, what is under way is asked to end, and waited for.
  void stop() noexcept;

  Mutex &lock_for_fork() noexcept { return lock_; }
  // In a child, under the lock: what is under way is the parent's.
  void forget() noexcept REQUIRES(lock_) {
    pending_.clear();
    under_way_ = 0;
  }

 private:
  bool of_parent() const noexcept { return born_in_ != fork_generation(); }
  torque_err make_anew() noexcept REQUIRES(lock_);
  torque_err start_source() noexcept REQUIRES(lock_);
  void hand_over() noexcept;
  void collect(bool stopping) noexcept;
  static void fill(io_uring_sqe &e, const Job &j) noexcept;

  Domain &domain_;

  // Who holds the ring's source.
  Uring ring_;
  uint32_t under_way_ = 0;
  uint32_t born_in_ =
      0;  // the process that made the ring: a child must not touch it, it would take what is the parent's

  Mutex lock_;
  List<Job> pending_ GUARDED_BY(lock_);
  uint64_t source_ GUARDED_BY(lock_) = 0;
  bool closed_ GUARDED_BY(lock_) = false;
};

// Those of a context. None where helper threads do the operations.
class FileRings {
 public:
  explicit FileRings(Context &context) noexcept : context_(context) {}
  ~FileRings();
  FileRings(const FileRings &) = delete;
  FileRings &operator=(const FileRings &) = delete;

  // As the configuration says. Errors: what the kernel answers, when it must be io_uring.
  torque_err open() noexcept;
  bool in_use() const noexcept { return rings_ != nullptr; }
  Files &of(const Domain &d) noexcept { return rings_[d.index]; }

  template <class F>
  void each(F f) noexcept {
    for (uint32_t i = 0; i < count_; ++i) f(rings_[i]);
  }

 private:
  Context &context_;
  Files *rings_ = nullptr;
  uint32_t count_ = 0;
};

bool run_ring(Turn &, Slot &, uint64_t, uint32_t) noexcept;

inline constexpr KindOps kRingKind = {
    .run = run_ring,
    .name = "ring",
    .public_kind = TORQUE_KIND_INTERNAL,
    .traits = trait::kDescriptor,
    .dismantle = detach_fd,
};

}  // namespace torque
