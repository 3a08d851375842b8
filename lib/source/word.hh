// SPDX-License-Identifier: BSD-3-Clause
// The one atomic word of a source, and the transitions on it. tests/model/lifecycle.pml has the same names.
//
//   generation(32) | running(16) | pending events(8) | reason(2) LEFT WAITER AGAIN state(3)
//
// States
//   FREE       nobody's; the slot is on a free list
//   NEW        made, not started
//   ARMED      events may come; no exclusive callback runs
//   HELD       exactly one thread has it (exclusive sources only)
//   POSTPONED  on its domain's list, to be run in the next round
//   RETIRED    ended; whoever brings running to 0 finishes it
//
// AGAIN: an event came while HELD; the holder runs the callback once more. pending: what the next call is told.
// SETUP, the same bit while NEW: one thread sets something of the source, or starts it; others that want to wait.
// LEFT: its last holder has left it to its domain's workers to finish it; it is on that list, which holds it.
// running counts holders: callbacks under way (exclusive sources: one at most), removers until they have taken the
// source apart, calls that look into it, the children that it has (all of them together: one). Whoever could be one too
// many waits until there is room (hold()) or leaves the event for later (deliver()).
// Every change is a compare-and-swap of the whole word, so that a thread with an old generation can change nothing.
// Only who holds the source, and so keeps its generation, counts without looking; the last one begins the next.
#pragma once

#include <atomic>
#include <cstdint>

namespace torque::word {

enum State : uint64_t { FREE = 0, NEW = 1, ARMED = 2, HELD = 3, POSTPONED = 4, RETIRED = 5 };

constexpr uint64_t kStateMask = 7;
constexpr uint64_t AGAIN = 1 << 3;
constexpr uint64_t SETUP = AGAIN;
constexpr uint64_t WAITER = 1 << 4;
constexpr uint64_t LEFT = 1 << 5;
constexpr int kReasonShift = 6;
constexpr uint64_t kReasonMask = uint64_t{3} << kReasonShift;
constexpr int kPendingShift = 8;
constexpr uint64_t kPendingMask = uint64_t{0xff} << kPendingShift;
constexpr int kRunningShift = 16;
constexpr uint64_t kRunningOne = uint64_t{1} << kRunningShift;
constexpr uint64_t kRunningMask = uint64_t{0xffff} << kRunningShift;
constexpr int kGenerationShift = 32;

constexpr State state(uint64_t w) { return static_cast<State>(w & kStateMask); }
constexpr uint32_t generation(uint64_t w) { return static_cast<uint32_t>(w >> kGenerationShift); }
constexpr uint32_t pending(uint64_t w) { return static_cast<uint32_t>((w & kPendingMask) >> kPendingShift); }
constexpr uint32_t running(uint64_t w) { return static_cast<uint32_t>((w & kRunningMask) >> kRunningShift); }
constexpr uint32_t reason(uint64_t w) { return static_cast<uint32_t>((w & kReasonMask) >> kReasonShift); }

constexpr uint64_t make(uint32_t generation, State s) { return uint64_t{generation} << kGenerationShift | s; }
constexpr uint64_t with_state(uint64_t w, State s) { return (w & ~kStateMask) | s; }
constexpr uint64_t with_reason(uint64_t w, uint32_t r) {
  return (w & ~kReasonMask) | (uint64_t{r} << kReasonShift & kReasonMask);
}
constexpr uint64_t add_pending(uint64_t w, uint32_t events) {
  return w | (uint64_t{events} << kPendingShift & kPendingMask);
}
constexpr uint64_t no_pending(uint64_t w) { return w & ~kPendingMask; }
// Room that is left to removers and to those who hold the source already.
constexpr uint32_t kRunningMost = 0xff00;
constexpr bool crowded(uint64_t w) { return running(w) >= kRunningMost; }
// 0 is never a generation: handle 0 is no source. The top bit is for handles that are not sources (watches.hh). A slot
// whose word has the generation above the last is used up: no source has it any more.
constexpr uint32_t kGenerationLast = INT32_MAX - 1;
constexpr uint32_t next_generation(uint32_t g) { return g > kGenerationLast ? g : g + 1; }
constexpr bool used_up(uint32_t g) { return g > kGenerationLast; }
constexpr bool live(uint64_t w) { return state(w) != FREE && state(w) != RETIRED; }

}  // namespace torque::word
