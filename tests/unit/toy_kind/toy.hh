// SPDX-License-Identifier: BSD-3-Clause
// A kind of source that the library does not have: a bell. Each strike of any thread is counted, and its callback is told
// how many there were. It shows what a kind is made of; torque-internals(7) has the list.
#pragma once

#include "source/source.hh"

namespace toy {

using Fn = void (*)(uint64_t bell, uint32_t strikes, void *arg);

// A new bell, not started. Errors: RESOURCE; as torque::create().
torque_err make_bell(torque::Context &context, Fn fn, void *arg, uint64_t *ret) noexcept;
torque_err strike(uint64_t bell) noexcept;  // any thread. Errors: STALE, KIND, STATE

// What the test counts.
extern int bells, dismantled;

// ---- The kind ----
bool run_bell(torque::Turn &, torque::Slot &, uint64_t, uint32_t) noexcept;
torque_err start_bell(torque::Context &, torque::Slot &, uint64_t) noexcept;
void dismantle_bell(const torque::Snapshot &, uint64_t) noexcept;
void free_bell(torque::Context &, torque::Slot &, uint32_t reason) noexcept;

inline constexpr torque::KindOps kBellKind = {
    .run = run_bell,
    .name = "bell",
    .public_kind = 1000,
    .traits = torque::trait::kTakesCalls,
    .start = start_bell,
    .dismantle = dismantle_bell,
    .free_after_final = free_bell,
};

}  // namespace toy
