// SPDX-License-Identifier: BSD-3-Clause
// A job: work that somebody else does (a helper thread, or the kernel), and that is told as an event, once, whatever
// becomes of it. Its source is made like any other, started when the work is handed over, activated when that is done,
// and ends with its callback. A started job cannot be removed, only cancelled.
#pragma once

#include "base/list.hh"
#include "libtorque/offload.h"
#include "source/source.hh"

namespace torque {

struct Job {
  enum class Where : uint8_t {
    nowhere,  // not started
    queued,   // nobody has begun it
    running,  // a helper has it, or the kernel
    done,     // its source is activated
  };

  // Constant from start to end.
  torque_source handle = 0;
  torque_offload_done_fn *done = nullptr;
  void (*work)(Job &) noexcept = nullptr;  // on a helper: sets err and result
  torque_offload_fn *fn = nullptr;         // offloaded work
  // File operations.
  uint8_t operation = 0;
  int fd = -1;
  void *buffer = nullptr;
  size_t size = 0;
  uint64_t offset = 0;

  // Who does the work, under its lock.
  Where where = Where::nowhere;
  uint64_t order = 0;  // among those that wait for a helper
  Job *prev = nullptr;
  Job *next = nullptr;

  // Written before the source is activated, read by its callback.
  torque_err err = TORQUE_ERR_NONE;
  int64_t result = 0;

  // Whoever runs the source, or finishes it.
  bool told = false;
};

// A new job in state NEW; place as in Context::pick(). Errors: as create().
torque_err make_job(Context &context, int32_t place, torque_offload_done_fn *done, void *arg, Job **ret) noexcept;
inline Job &job_of(Slot &s) noexcept { return *static_cast<Job *>(cold_of(s).object); }

// The work is over: its callback runs soon. The job may be gone when this returns.
// Requires: the lock of who does the work, so that no fork sees half of it.
void complete(Job &j, torque_err err, int64_t result) noexcept;
constexpr torque_err kCancelled = TORQUE_ERR_SYSCALL + ECANCELED;

template <class F>
void each_job(Context &context, F f) noexcept {
  context.each_source([&](uint64_t handle) {
    Snapshot v;
    if (look(handle, &v) && v.kind == Kind::job && cold_of(*v.slot).object) f(job_of(*v.slot));
  });
}

void leave_job(Slot &, uint64_t) noexcept;  // it was told, or is to be
// The context is made to work in a child: what was under way is the parent's, and is told as cancelled here.
void cancel_jobs_of_parent(Context &context) noexcept;
// The context is given up in a child: nobody is told anything there.
void free_jobs_of_parent(Context &context) noexcept;

bool run_job(Turn &, Slot &, uint64_t, uint32_t) noexcept;
void free_job(Context &, Slot &) noexcept;  // tells what was not told

}  // namespace torque
