// SPDX-License-Identifier: BSD-3-Clause
// What a timer's owner keeps for the wheel: the truth about when it is due. The wheel itself holds only hints.
#pragma once

#include <cstdint>

#include "base/clock.hh"

namespace torque {

// Lives in the source's slot (its SlotDeadline part), guarded by the domain's timer lock, or in a DeadlineTable. Only the wheel
// writes it; but while it is not set, `seq` is its owner's.
//
// Always true: when `at` is a time, the wheel holds exactly one entry {entry_at, id, entry_seq}, the deadline's
// carrier, and entry_at <= at. When `at` is kNever, a carrier may still lie there; a later set() takes it up again.
struct Deadline {
  uint64_t at = kNever;
  uint64_t entry_at = kNever;
  uint32_t seq = 0;        // of the last set(): order among equal deadlines
  uint32_t entry_seq = 0;  // of the set() that made the carrier

  bool is_set() const noexcept { return at != kNever; }
};

}  // namespace torque
