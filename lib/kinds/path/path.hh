// SPDX-License-Identifier: BSD-3-Clause
// Path sources, as the calls that make them see them. See path.cc.
#pragma once

#include "source/context.hh"

namespace torque {

// For a new source of that kind. Errors: RESOURCE; SYSCALL + errno: there is no working directory.
torque_err prepare_path(Context &context, Slot &s, const char *path, uint32_t mask, uint32_t flags) noexcept;

}  // namespace torque
