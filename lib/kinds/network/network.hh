// SPDX-License-Identifier: BSD-3-Clause
// Network sources, as the calls that make them see them. See network.cc.
#pragma once

#include "source/context.hh"

namespace torque {

// For a new source of that kind. Errors: UNAVAIL; RESOURCE; SYSCALL + errno.
torque_err prepare_network(Context &context, Slot &s, uint32_t kinds, uint32_t flags) noexcept;

}  // namespace torque
