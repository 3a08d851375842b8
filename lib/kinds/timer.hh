// SPDX-License-Identifier: BSD-3-Clause
// Timer sources.
#pragma once

#include "libtorque/timer.h"
#include "source/source.hh"

namespace torque {

torque_err set_timer(uint64_t handle, uint64_t when, uint64_t period, uint32_t flags) noexcept;
torque_err cancel_timer(uint64_t handle) noexcept;

bool run_timer(Turn &, Slot &, uint64_t, uint32_t) noexcept;
torque_err start_timer(Context &, Slot &, uint64_t) noexcept;  // KIND: torque_timer_set() starts it
void end_timer(const Snapshot &, uint64_t) noexcept;
void leave_timer(Slot &, uint64_t) noexcept;
torque_err reattach_timer(Slot &, uint64_t) noexcept;

inline constexpr KindOps kTimerKind = {
    .run = run_timer,
    .name = "timer",
    .public_kind = TORQUE_KIND_TIMER,
    .traits = trait::kTakesCalls,
    .start = start_timer,
    .dismantle = end_timer,
    .go_on = leave_timer,
    .reattach = reattach_timer,
};

}  // namespace torque
