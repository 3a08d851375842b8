// SPDX-License-Identifier: BSD-3-Clause
// This machine as Linux describes it in /sys: what the map needs, and no more. Thread: its holder.
//
// hwloc knows every machine there is, and takes milliseconds for that (most of them for its plug-ins, which look for
// devices). Here only the regular case is read: each CPU has a package, a core and caches, and is of one memory node.
// Whatever is missing, or does not agree, leaves the machine to hwloc; what is read here, hwloc would read the same.
#pragma once

#include <array>

#include "libtorque/error.h"
#include "topology/cpu_set.hh"
#include "topology/placement.hh"
#include "topology/topology.hh"

namespace torque {

class LiveMap {
 public:
  explicit LiveMap(const Alloc &alloc) noexcept
      : alloc_(alloc), cpus_(alloc), caches_(alloc), nodes_(alloc), pages_(alloc), online_(alloc), set_(alloc) {}
  LiveMap(const LiveMap &) = delete;
  LiveMap &operator=(const LiveMap &) = delete;

  // Every file is looked for under root. Errors: CPUDETECT not the regular case, RESOURCE.
  torque_err read(const char *root) noexcept;

  struct Cpu {
    Pu pu;
    std::array<uint32_t, 5 + cache_levels> order;  // first CPU of each set that it is in, the largest set first
    uint32_t line[cache_levels];
    uint32_t sharers[cache_levels];    // CPUs of that cache
  };
  // In the map's order, neighbours beside each other.
  const Vec<Cpu> &cpus() const noexcept { return cpus_; }
  const Vec<Topology::Cache> &caches() const noexcept { return caches_; }
  const Vec<Topology::Node> &nodes() const noexcept { return nodes_; }
  const Vec<uint64_t> &pages() const noexcept { return pages_; }  // without the ordinary size

 private:
  struct File;
  torque_err read_all(File &file) noexcept;
  torque_err read_cpus(File &file) noexcept;
  torque_err read_cpu(File &file, uint32_t os) noexcept;
  torque_err read_caches(File &file, Cpu &cpu) noexcept;
  torque_err read_nodes(File &file) noexcept;
  torque_err read_node(File &file, uint32_t node) noexcept;
  torque_err read_pages(File &file, uint32_t node) noexcept;
  torque_err read_set(File &file, const char *name, uint32_t member) noexcept;
  void sort() noexcept;
  torque_err list_caches() noexcept;

  const Alloc &alloc_;
  Vec<Cpu> cpus_;
  Vec<Topology::Cache> caches_;
  Vec<Topology::Node> nodes_;
  Vec<uint64_t> pages_;
  CpuSet online_;
  CpuSet set_;  // the one that was read last
};

}  // namespace torque
