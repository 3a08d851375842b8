// SPDX-License-Identifier: BSD-3-Clause
// Descriptors of the program's, and events that it triggers.
#pragma once

#include "libtorque/source.h"
#include "source/source.hh"

namespace torque {

bool run_fd(Turn &, Slot &, uint64_t, uint32_t) noexcept;
void look_at_file(Slot &, uint64_t) noexcept;

inline constexpr KindOps kFdKind = {
    .run = run_fd,
    .name = "fd",
    .public_kind = TORQUE_KIND_FD,
    .traits = trait::kDescriptor | trait::kTakesCalls | trait::kCallersDescriptor,
    .start = start_fd,
    .dismantle = detach_fd,
    .go_on = look_at_file,
    .reattach = reattach_fd,
    .descriptor = descriptor_of,
};

inline constexpr KindOps kEventKind = {
    .run = run_fd,
    .name = "event",
    .public_kind = TORQUE_KIND_EVENT,
    .traits = trait::kTakesCalls,
};

}  // namespace torque
