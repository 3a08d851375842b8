// SPDX-License-Identifier: BSD-3-Clause
// The helper threads of one context: they do what blocks. As many as are needed at once, up to a limit; none before the
// first job. A job finds an idle helper (the one that became so last, so that the others grow old and go), or gets a
// new one, or waits for its turn. Work of the program's may block for as long as it likes, so operations on files have some
// helpers in reserve: those stand beyond the limit, and only while all others are at such work.
//
// Always true: while a job is queued, some helper stands that will look at the queue once more before it goes; when the
// context stops it begins no other.
#pragma once

#include <pthread.h>

#include "kinds/job.hh"

namespace torque {

class Helpers {
 public:
  static constexpr uint32_t kMax = 4096;
  static constexpr uint32_t kReserve = 4;

  explicit Helpers(Context &context) noexcept : context_(context) {}
  ~Helpers();  // Requires: none stands
  Helpers(const Helpers &) = delete;
  Helpers &operator=(const Helpers &) = delete;

  // Any thread. Errors: STOPPED; RESOURCE; SYSCALL + EAGAIN, ENOMEM: then nobody knows the job.
  torque_err submit(Job &j) noexcept;
  // True: it has not begun and will not; its end is told as any other.
  bool cancel(Job &j) noexcept;

  // What has not begun is cancelled, what has is waited for. Afterwards no helper stands, and none comes.
  void stop() noexcept;

  // Whether this thread is a helper of that context; of any (null).
  static bool inside(const Context *context) noexcept;

  // For another thread of ours: runs where the process may, and counts as inside.
  static void move_in(const Context &context) noexcept;

  Mutex &lock_for_fork() noexcept { return lock_; }
  // In a child, under the lock: the helpers are the parent's.
  void forget() noexcept REQUIRES(lock_);

 private:
  struct Helper {
    Helpers *pool;
    uint32_t number;
    std::atomic<uint32_t> woken;  // written under the lock; waited for
    Helper *below;                // idle: in the stack
    bool stands;                  // under the lock
  };
  static void *entry(void *helper) noexcept;
  void run(Helper &h) noexcept;
  bool sleep(Helper &h) noexcept REQUIRES(lock_);
  void leave(Helper &h) noexcept EXCLUDES(lock_);
  void settle_in(const Helper &h) const noexcept;
  torque_err prepare() noexcept REQUIRES(lock_);
  torque_err start_one() noexcept REQUIRES(lock_);
  Helper *take_idle() noexcept REQUIRES(lock_);
  bool may_start(const Job &j) const noexcept REQUIRES(lock_);
  List<Job> *next_queue() noexcept REQUIRES(lock_);
  List<Job> &queue_of(const Job &j) noexcept REQUIRES(lock_) { return j.fn ? work_ : files_; }

  Context &context_;

  Mutex lock_;
  Condition left_;  // somebody has gone
  Helper *helpers_ GUARDED_BY(lock_) = nullptr;
  uint32_t max_ GUARDED_BY(lock_) = 0;
  uint32_t standing_ GUARDED_BY(lock_) = 0;
  Helper *idle_ GUARDED_BY(lock_) = nullptr;
  List<Job> work_ GUARDED_BY(lock_);   // of the program's; waiting, in order
  List<Job> files_ GUARDED_BY(lock_);  // operations on files, likewise
  uint64_t orders_ GUARDED_BY(lock_) = 0;
  uint32_t working_ GUARDED_BY(lock_) = 0;  // helpers that are at work of the program's
  bool closed_ GUARDED_BY(lock_) = false;
  // The thread that went last, to be joined by the next that goes.
  pthread_t gone_ GUARDED_BY(lock_) = {};
  bool any_gone_ GUARDED_BY(lock_) = false;
};

}  // namespace torque
