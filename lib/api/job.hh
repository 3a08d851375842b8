// SPDX-License-Identifier: BSD-3-Clause
// Jobs' way to who does the work: helper threads, or the kernel.
#pragma once

#include "kinds/job.hh"

namespace torque {

torque_err start_job(Context &, Slot &, uint64_t) noexcept;
// Of offloaded work, or of file operations.
torque_err cancel_job(uint64_t handle, bool of_files) noexcept;

inline constexpr KindOps kJobKind = {
    .run = run_job,
    .name = "job",
    .public_kind = TORQUE_KIND_JOB,
    .traits = trait::kCannotBeCutOff,
    .start = start_job,
    .free_before_final = free_job,
    .go_on = leave_job,
};

}  // namespace torque
