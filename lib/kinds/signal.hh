// SPDX-License-Identifier: BSD-3-Clause
// Signal sources, and the process's signal hub as the rest of the library meets it. See signal.cc.
#pragma once

#include "libtorque/signal.h"
#include "source/source.hh"

namespace torque {

bool may_watch(int32_t signo) noexcept;
// Makes a signal source ready to start. Requires: may_watch() every one. Errors: RESOURCE.
torque_err prepare_signal(Context &context, Slot &s, const int32_t *signos, uint32_t count) noexcept;

// Fork handlers. In the child every disposition is what it was before the library came.
void hub_before_fork() noexcept;
void hub_after_fork_in_parent() noexcept;
void hub_after_fork_in_child() noexcept;
// A dead context's copies in a child.
void free_attachment_in_child(Context &context) noexcept;
// In a child where the context lives on, after its sources.
torque_err reattach_signals(Context &context) noexcept;

torque_err start_signal(Context &, Slot &, uint64_t) noexcept;
void end_signal(const Snapshot &, uint64_t) noexcept;  // no new arrivals
void free_signal(Context &, Slot &) noexcept;
void look_for_arrivals(Slot &, uint64_t) noexcept;
bool run_signal(Turn &, Slot &, uint64_t, uint32_t) noexcept;
bool run_hub(Turn &, Slot &, uint64_t, uint32_t) noexcept;

inline constexpr KindOps kSignalKind = {
    .run = run_signal,
    .name = "signal",
    .public_kind = TORQUE_KIND_SIGNAL,
    .traits = trait::kTakesCalls,
    .start = start_signal,
    .dismantle = end_signal,
    .free_before_final = free_signal,
    .go_on = look_for_arrivals,
};

inline constexpr KindOps kHubKind = {
    .run = run_hub,
    .name = "hub",
    .public_kind = TORQUE_KIND_INTERNAL,
    .traits = trait::kDescriptor,
    .dismantle = detach_fd,
};

}  // namespace torque
