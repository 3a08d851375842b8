// SPDX-License-Identifier: BSD-3-Clause
// The machine's map: which CPUs the workers of a context use, which of them share a queue, and why.
// Immutable once loaded: any thread. The only user of hwloc, and only while it loads.
#pragma once

#include <cstdint>
#include <span>

#include "base/alloc.hh"
#include "base/vec.hh"
#include "libtorque/error.h"
#include "topology/request.hh"

namespace torque {

class Topology {
 public:
  static constexpr uint32_t workers_max = 4096;

  struct Worker {
    int32_t cpu;        // the system's number, to pin to; -1: the map is not this machine's
    uint32_t map_cpu;   // the map's number
    uint32_t domain;    // index
    int32_t node;       // the system's number of the nearest memory, -1: unknown
  };

  // The workers of a domain, first_worker and on, share one queue.
  struct Domain {
    uint32_t first_worker;
    uint32_t workers;
    uint32_t cpus;           // distinct ones that they use
    const char *kind;        // what they share: thread core L1..L5 node package machine
    uint64_t cache_bytes;    // the cache that they share, or that nobody else uses; 0: none
    uint64_t cache_share;    // one worker's part of it, or of the largest cache above; 0: no cache known
    int32_t node;            // -1: several or unknown
  };

  struct Cache {
    uint32_t level;
    uint32_t line;       // bytes, 0: unknown
    uint64_t bytes;
    uint32_t number;     // how many of these the map has
    uint32_t cpus;       // that share one, at most
  };

  struct Node {
    int32_t os_index;
    uint32_t cpus;       // nearest to it
    uint64_t bytes;
  };

  struct Budget {
    uint32_t affinity_cpus = 0;   // that the loading thread may run on
    uint32_t cpuset_cpus = 0;     // in the cgroup's cpuset, 0: there is none
    uint32_t usable_cpus = 0;     // of the map, after affinity, cpuset and configuration
    uint32_t quota_milli = 0;     // thousandths of a CPU that the cgroup's quota pays for, 0: no quota
    char reason[192] = "";        // a sentence: why there are that many workers
  };

  // Thread: any; the budget is that of the calling thread. Takes milliseconds.
  // Owns: a copy of alloc; nothing of request is kept.
  // Errors: TORQUE_ERR_INVAL a request out of range, a synthetic text or XML file that hwloc does not take;
  // TORQUE_ERR_AFFINITY none of the CPUs asked for may be used; TORQUE_ERR_RESOURCE no memory.
  // A live machine that cannot be detected is no error: it is one of equal CPUs that share nothing known.
  static torque_err load(const TopologyRequest &request, const Alloc &alloc, Topology **ret_topology) noexcept;
  static void destroy(Topology *topology) noexcept;

  Topology(const Topology &) = delete;
  Topology &operator=(const Topology &) = delete;

  std::span<const Worker> workers() const noexcept { return {workers_.begin(), workers_.size()}; }
  std::span<const Domain> domains() const noexcept { return {domains_.begin(), domains_.size()}; }
  std::span<const Cache> caches() const noexcept { return {caches_.begin(), caches_.size()}; }  // by level
  std::span<const Node> nodes() const noexcept { return {nodes_.begin(), nodes_.size()}; }
  std::span<const uint64_t> page_sizes() const noexcept { return {pages_.begin(), pages_.size()}; }  // ascending
  const Budget &budget() const noexcept { return budget_; }
  bool pinnable() const noexcept { return pinnable_; }   // the map is this machine's
  bool detected() const noexcept { return detected_; }   // false: hwloc could not read this machine

 private:
  friend class Loader;
  explicit Topology(const Alloc &alloc) noexcept
      : alloc_(alloc), workers_(alloc_), domains_(alloc_), caches_(alloc_), nodes_(alloc_), pages_(alloc_) {}
  ~Topology() = default;

  const Alloc alloc_;  // first: the arrays point to it
  Vec<Worker> workers_;
  Vec<Domain> domains_;
  Vec<Cache> caches_;
  Vec<Node> nodes_;
  Vec<uint64_t> pages_;
  Budget budget_;
  bool pinnable_ = false;
  bool detected_ = false;
};

}  // namespace torque
