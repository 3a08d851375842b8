// SPDX-License-Identifier: BSD-3-Clause
// Which CPUs get workers, and which workers share a queue. Works on plain numbers, so that any machine can be tried.
#pragma once

#include <cstdint>
#include <span>

#include "base/vec.hh"
#include "libtorque/error.h"

namespace torque {

// Whatever CPUs may share, from the nearest outwards.
enum Level : uint32_t { level_l1, level_l2, level_l3, level_l4, level_l5, level_node, level_package, level_machine };
constexpr uint32_t cache_levels = 5;
constexpr uint32_t levels = 8;

// A processing unit that may be used.
struct Pu {
  uint32_t os = 0;              // the map's number for it
  uint32_t core = 0;            // units with the same number are siblings of one core
  uint32_t sibling = 0;         // 0 for the first usable unit of its core, 1 for the second ...
  int32_t node = -1;            // the system's number of the nearest memory, -1: unknown
  int32_t key[levels];          // units with the same key share what is at that level; -1: there is no such thing
  uint64_t bytes[cache_levels];  // size of that cache
};

struct PlacedWorker {
  uint32_t pu;      // index
  uint32_t domain;
};

struct PlacedDomain {
  uint32_t first_worker = 0;
  uint32_t workers = 0;
  uint32_t pus = 0;             // distinct ones
  uint32_t level = levels;      // what they share; levels: nothing but a core or unit
  const char *kind = "";        // the same as text: thread core L1..L5 node package machine
  uint64_t cache_bytes = 0;     // size of the cache they share, or that no other domain uses; 0: none
  uint64_t cache_share = 0;     // one worker's part: that cache, or else the largest above it, by its workers
  int32_t node = -1;            // -1: several or unknown
};

struct PlacementRequest {
  uint32_t workers = 0;
  uint32_t sharing = 0;         // TORQUE_SHARE_*
  uint32_t domain_max = 0;      // more workers than that are split evenly
};

struct Placement {
  Vec<PlacedWorker> workers;    // those of a domain side by side
  Vec<PlacedDomain> domains;
  explicit Placement(const Alloc &alloc) noexcept : workers(alloc), domains(alloc) {}
};

// Fills in Pu::sibling. Any order of units.
torque_err number_siblings(const Alloc &alloc, std::span<Pu> pus) noexcept;

// Requires: at least one unit, siblings numbered, workers and domain_max at least 1. Units come in the map's order,
// neighbours beside each other. TORQUE_ERR_RESOURCE is the only error.
torque_err place(const Alloc &alloc, std::span<const Pu> pus, const PlacementRequest &request,
                 Placement *ret_placement) noexcept;

}  // namespace torque
