// SPDX-License-Identifier: BSD-3-Clause
// A thread that looks at all workers of a context, several times within the limit, and says who has been in one callback
// for longer than that. None where there is no limit.
#pragma once

#include <pthread.h>

#include "libtorque/watchdog.h"
#include "worker/team.hh"

struct torque_blocked {
  int32_t worker = -1;
  int32_t thread = 0;
  torque_source source = 0;
  const void *function = nullptr;
  const char *symbol = nullptr;
  const char *object = nullptr;
  uint64_t offset = 0;
  uint64_t ns = 0;
};

namespace torque {

class Watchdog {
 public:
  Watchdog(Context &context, Team &team) noexcept : context_(context), team_(team) {}
  ~Watchdog();  // Requires: it does not run
  Watchdog(const Watchdog &) = delete;
  Watchdog &operator=(const Watchdog &) = delete;

  // Once; does nothing where there is no limit. Any thread. Without memory or threads the context works unwatched: it says so.
  void start() noexcept;
  void stop() noexcept;

  Mutex &lock_for_fork() noexcept { return lock_; }
  void forget() noexcept REQUIRES(lock_) { runs_ = false; }  // in a child

 private:
  struct Mark {  // of one worker: since when it is in that callback
    uint64_t count = 0;
    uint64_t since = 0;
    bool told = false;
  };
  static void *entry(void *watchdog) noexcept;
  torque_err start_thread() noexcept EXCLUDES(lock_);
  void run() noexcept;
  void look(uint64_t now) noexcept;
  void tell(Worker &w, const Beat::Sight &s, uint64_t ns) const noexcept;

  Context &context_;
  Team &team_;
  Mark *marks_ = nullptr;  // its thread's
  std::atomic<uint32_t> stopping_{0};

  Mutex lock_;
  bool runs_ GUARDED_BY(lock_) = false;
  pthread_t thread_ GUARDED_BY(lock_) = {};
};

}  // namespace torque
