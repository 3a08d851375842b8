// SPDX-License-Identifier: BSD-3-Clause
// Network sources: the state of links, addresses and routes. See network.cc.
#pragma once

#include "libtorque/network.h"
#include "source/source.hh"

namespace torque {

// For a new source of that kind. Errors: UNAVAIL; RESOURCE; SYSCALL + errno.
torque_err prepare_network(Context &context, Slot &s, uint32_t kinds, uint32_t flags) noexcept;

bool run_network(Turn &, Slot &, uint64_t, uint32_t) noexcept;
torque_err start_network(Context &, Slot &, uint64_t) noexcept;
void free_network(Context &, Slot &) noexcept;
torque_err reattach_network(Slot &, uint64_t) noexcept;

inline constexpr KindOps kNetworkKind = {
    .run = run_network,
    .name = "network",
    .public_kind = TORQUE_KIND_NETWORK,
    .traits = trait::kDescriptor | trait::kTakesCalls,
    .start = start_network,
    .dismantle = detach_fd,
    .free_before_final = free_network,
    .reattach = reattach_network,
};

}  // namespace torque
