// SPDX-License-Identifier: BSD-3-Clause
// One pass of a worker over its events. Holding a Turn is the proof of being that worker; what only the worker may
// touch is reached through it. Turns of one thread form a chain (a driven context may be run from a callback).
#pragma once

#include <atomic>
#include <cstdint>

#include "source/beat.hh"
#include "source/slot.hh"
#include "stats/stats.hh"

struct torque_datagrams;

namespace torque {

class Context;
class Domain;
class Pool;
class Strand;

// Clock readings around callbacks, when the configuration asks for them.
struct Timing {
  Histogram callback;
  Histogram lag;
};

struct Turn {
  Context &context;
  Domain &domain;
  Counters &counters;
  Pool &pool;
  Timing *timing;          // null: off
  Beat *beat;              // null: nobody watches
  int32_t worker;
  Turn *outer;             // the turn this one is nested in, of whatever context
  const std::atomic<uint64_t> *breaks = nullptr;  // driven: torque_break() calls that nobody has taken yet
  uint64_t began = 0;      // monotonic ns at which events were in hand
  uint64_t current = 0;    // handle of the source whose callback runs, 0: none
  Strand *strand = nullptr;  // in which it runs
  torque_datagrams *batch = nullptr;  // what it is told, when its source is a datagram socket
  uint32_t strand_work = 0;  // of this round: see kStrandsARound
  bool postpone = false;   // torque_postpone() was called in it
  bool spread = false;     // sources made by the callback under way go to other domains by default
};

// Whether no other callback may start in this turn: the context stops, or somebody breaks out of running it.
bool halted(const Turn &t) noexcept;

// The innermost turn of this thread, null outside.
Turn *current_turn() noexcept;
Turn *set_current_turn(Turn *t) noexcept;  // answers the one before

}  // namespace torque
