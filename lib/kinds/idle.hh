// SPDX-License-Identifier: BSD-3-Clause
// Idle sources: they run in rounds that have nothing else to do.
#pragma once

#include "libtorque/hook.h"
#include "source/source.hh"

namespace torque {

torque_err make_idle(Context &context, torque_idle_fn *fn, void *arg, uint64_t *ret) noexcept;
torque_err set_idle(uint64_t handle, bool active) noexcept;
// Each idle source of the domain once, as far as a round's share goes. Answers how many.
uint32_t run_idle_sources(Turn &t) noexcept;

bool run_idle(Turn &, Slot &, uint64_t, uint32_t) noexcept;
torque_err start_idle(Context &, Slot &, uint64_t) noexcept;
void revive_idle(Slot &) noexcept;
void end_idle(const Snapshot &, uint64_t) noexcept;
void free_idle(Context &, Slot &, uint32_t reason) noexcept;

inline constexpr KindOps kIdleKind = {
    .run = run_idle,
    .name = "idle",
    .public_kind = TORQUE_KIND_IDLE,
    .traits = trait::kTakesCalls,
    .start = start_idle,
    .dismantle = end_idle,
    .free_after_final = free_idle,
    .revive = revive_idle,
};

}  // namespace torque
