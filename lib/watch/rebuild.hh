// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "source/context.hh"

namespace torque {

// Empties the queue of a driven context, and registers again what has an owner; says so in the log where that fails. See
// rebuild.cc.
void rebuild_queue(Context &context) noexcept;

}  // namespace torque
