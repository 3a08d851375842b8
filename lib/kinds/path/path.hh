// SPDX-License-Identifier: BSD-3-Clause
// Path sources: what happens to files. See path.cc.
#pragma once

#include "libtorque/path.h"
#include "source/source.hh"

namespace torque {

// For a new source of that kind. Errors: RESOURCE; SYSCALL + errno: there is no working directory.
torque_err prepare_path(Context &context, Slot &s, const char *path, uint32_t mask, uint32_t flags) noexcept;

bool run_path(Turn &, Slot &, uint64_t, uint32_t) noexcept;
torque_err start_path(Context &, Slot &, uint64_t) noexcept;
void end_path(const Snapshot &, uint64_t) noexcept;
void free_path(Context &, Slot &) noexcept;

inline constexpr KindOps kPathKind = {
    .run = run_path,
    .name = "path",
    .public_kind = TORQUE_KIND_PATH,
    .traits = trait::kTakesCalls,
    .start = start_path,
    .dismantle = end_path,
    .free_before_final = free_path,
};

}  // namespace torque
