// SPDX-License-Identifier: BSD-3-Clause
#include "topology/topology.hh"

#include <hwloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "topology/budget.hh"
#include "topology/cpu_set.hh"
#include "topology/live.hh"
#include "topology/placement.hh"

namespace torque {
namespace {

// hwloc's own view of the machine, gone at the end of load().
class Map {
 public:
  Map() noexcept = default;
  Map(const Map &) = delete;
  Map &operator=(const Map &) = delete;
  ~Map() { close(); }

  torque_err open(const TopologyRequest &request) noexcept {
    if (hwloc_topology_init(&map_) != 0) {
      map_ = nullptr;
      return TORQUE_ERR_CPUDETECT;
    }
    errno = 0;
    const bool ok = prepare() && choose_source(request) && hwloc_topology_load(map_) == 0;
    if (ok) return 0;
    const bool memory = errno == ENOMEM;
    close();
    if (request.source == TORQUE_TOPOLOGY_LIVE) return TORQUE_ERR_CPUDETECT;
    return memory ? TORQUE_ERR_RESOURCE : TORQUE_ERR_INVAL;
  }
  void close() noexcept {
    if (map_) hwloc_topology_destroy(map_);
    map_ = nullptr;
  }

  // Is the map that of the machine we run on? hwloc's environment variables can put another in its place.
  bool is_here() const noexcept { return hwloc_topology_is_thissystem(map_) == 1; }

  uint32_t count(hwloc_obj_type_t type) const noexcept {
    const int n = hwloc_get_nbobjs_by_type(map_, type);
    return n < 0 ? 0 : static_cast<uint32_t>(n);
  }
  hwloc_obj_t object(hwloc_obj_type_t type, uint32_t i) const noexcept { return hwloc_get_obj_by_type(map_, type, i); }
  hwloc_obj_t ancestor(hwloc_obj_t obj, hwloc_obj_type_t type) const noexcept {
    return hwloc_get_ancestor_obj_by_type(map_, type, obj);
  }
  hwloc_obj_t node(int os_index) const noexcept {
    return hwloc_get_numanode_obj_by_os_index(map_, static_cast<unsigned>(os_index));
  }

 private:
  // What is not needed is not looked for: devices, instruction caches, distances, memory attributes, kinds of cores.
  // No step may move the calling thread to another CPU (that is the x86 component's way). CPUs that are not allowed
  // stay in, since the allowed ones are worked out here, for this thread and not for the process.
  bool prepare() noexcept {
    constexpr unsigned long flags = HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED | HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING |
                                    HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
                                    HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
    return hwloc_topology_set_flags(map_, flags) == 0 &&
           hwloc_topology_set_io_types_filter(map_, HWLOC_TYPE_FILTER_KEEP_NONE) == 0 &&
           hwloc_topology_set_icache_types_filter(map_, HWLOC_TYPE_FILTER_KEEP_NONE) == 0 &&
           hwloc_topology_set_type_filter(map_, HWLOC_OBJ_MISC, HWLOC_TYPE_FILTER_KEEP_NONE) == 0;
  }
  bool choose_source(const TopologyRequest &request) noexcept {
    switch (request.source) {
      case TORQUE_TOPOLOGY_SYNTHETIC: return hwloc_topology_set_synthetic(map_, request.source_text) == 0;
      case TORQUE_TOPOLOGY_XML: return hwloc_topology_set_xml(map_, request.source_text) == 0;
      default: return true;
    }
  }

  hwloc_topology_t map_ = nullptr;
};

constexpr hwloc_obj_type_t cache_types[cache_levels] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE,
                                                        HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L5CACHE};

uint32_t cpus_of(hwloc_obj_t obj) noexcept {
  const int n = obj->cpuset ? hwloc_bitmap_weight(obj->cpuset) : 0;
  return n < 0 ? 0 : static_cast<uint32_t>(n);
}

int32_t key_of(hwloc_obj_t obj) noexcept { return obj ? static_cast<int32_t>(obj->logical_index) : -1; }

// A unit that shares nothing that is known.
Pu lone_unit(uint32_t os, uint32_t core) noexcept {
  Pu pu{};
  pu.os = os;
  pu.core = core;
  pu.node = -1;
  std::fill_n(pu.key, levels, -1);
  pu.key[level_machine] = 0;
  return pu;
}

Pu unit_of(const Map &map, hwloc_obj_t obj) noexcept {
  // A unit without a core object is a core by itself.
  const hwloc_obj_t core = map.ancestor(obj, HWLOC_OBJ_CORE);
  Pu pu = lone_unit(obj->os_index, core ? core->logical_index : map.count(HWLOC_OBJ_CORE) + obj->logical_index);
  for (uint32_t level = 0; level < cache_levels; level++) {
    const hwloc_obj_t cache = map.ancestor(obj, cache_types[level]);
    pu.key[level] = key_of(cache);
    if (cache) pu.bytes[level] = cache->attr->cache.size;
  }
  // Several memories may be near (HBM beside DRAM); the first is the ordinary one.
  const int first = obj->nodeset ? hwloc_bitmap_first(obj->nodeset) : -1;
  const hwloc_obj_t node = first >= 0 ? map.node(first) : nullptr;
  pu.key[level_node] = key_of(node);
  if (node) pu.node = static_cast<int32_t>(node->os_index);
  pu.key[level_package] = key_of(map.ancestor(obj, HWLOC_OBJ_PACKAGE));
  return pu;
}

torque_err check(const TopologyRequest &r) noexcept {
  const bool text = r.source == TORQUE_TOPOLOGY_LIVE || r.source_text;
  const bool cpus = !r.ncpus || r.cpus;
  const bool ranges = r.workers <= Topology::workers_max && r.sharing <= TORQUE_SHARE_MACHINE && r.domain_cpus_max &&
                      r.source <= TORQUE_TOPOLOGY_XML;
  return text && cpus && ranges && r.file_root ? 0 : TORQUE_ERR_INVAL;
}

}  // namespace

// One load(), step by step. Each step leaves what it found in topology_ or in the sets below.
class Loader {
 public:
  Loader(const TopologyRequest &request, const Alloc &alloc) noexcept
      : request_(request), alloc_(alloc), affinity_(alloc), cpuset_(alloc), wanted_(alloc), pus_(alloc) {}
  ~Loader() { Topology::destroy(topology_); }
  Loader(const Loader &) = delete;
  Loader &operator=(const Loader &) = delete;

  torque_err run() noexcept {
    torque_err err = check(request_);
    if (!err) err = make();
    if (!err) err = read_budget();
    if (!err) err = read_map();
    if (!err) err = number_siblings(alloc_, {pus_.begin(), pus_.size()});
    if (!err) err = place_workers();
    return err;
  }
  Topology *take() noexcept { return std::exchange(topology_, nullptr); }

 private:
  torque_err make() noexcept {
    void *const p = alloc_.get(sizeof(Topology), alignof(Topology));
    if (!p) return TORQUE_ERR_RESOURCE;
    topology_ = new (p) Topology(alloc_);
    return 0;
  }

  torque_err read_budget() noexcept {
    CgroupLimits limits;
    torque_err err = read_affinity(alloc_, &affinity_);
    if (!err) err = read_cgroups(request_.file_root, alloc_, &cpuset_, &limits);
    if (err) return err;
    Topology::Budget &b = topology_->budget_;
    b.affinity_cpus = affinity_.count();
    b.cpuset_cpus = limits.has_cpuset ? cpuset_.count() : 0;
    b.quota_milli = limits.quota_milli;
    for (uint32_t i = 0; i < request_.ncpus; i++) {
      if (request_.cpus[i] > CpuSet::cpu_max) return TORQUE_ERR_INVAL;
      if (!wanted_.add(request_.cpus[i])) return TORQUE_ERR_RESOURCE;
    }
    return 0;
  }

  torque_err read_map() noexcept {
    if (request_.source == TORQUE_TOPOLOGY_LIVE && !hwloc_is_told()) {
      const torque_err err = read_live();
      if (err != TORQUE_ERR_CPUDETECT) return err;
    }
    Map map;
    torque_err err = map.open(request_);
    if (err && err != TORQUE_ERR_CPUDETECT) return err;
    topology_->detected_ = !err;
    topology_->pinnable_ = request_.source == TORQUE_TOPOLOGY_LIVE && (err || map.is_here());
    if (topology_->pinnable_) narrow_affinity();
    err = err ? 0 : read_units(map);
    if (!err && pus_.empty()) err = assume_units();
    if (!err && topology_->detected_) err = read_memories(map);
    if (!err) err = read_pages(map);
    if (!err && pus_.empty()) err = TORQUE_ERR_AFFINITY;
    return err;
  }

  // By hwloc's environment variables, which can put another machine in the place of this one.
  static bool hwloc_is_told() noexcept {
    for (char **e = environ; e && *e; ++e)
      if (std::strncmp(*e, "HWLOC_", 6) == 0 && std::strncmp(*e, "HWLOC_PLUGINS_", 14) != 0) return true;
    return false;
  }

  // Without hwloc, which takes milliseconds. CPUDETECT: this machine is one for hwloc; nothing was changed.
  torque_err read_live() noexcept {
    LiveMap live(alloc_);
    if (const torque_err err = live.read(request_.file_root)) return err;
    topology_->detected_ = topology_->pinnable_ = true;
    narrow_affinity();
    for (const LiveMap::Cpu &c : live.cpus())
      if (usable(c.pu.os) && !pus_.push(c.pu)) return TORQUE_ERR_RESOURCE;
    if (pus_.empty()) {
      if (const torque_err err = assume_units()) return err;
    }
    if (pus_.empty()) return TORQUE_ERR_AFFINITY;
    bool room = note_page(static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
    if (topology_->detected_) {
      room = room && topology_->caches_.append(live.caches().begin(), live.caches().size()) &&
             topology_->nodes_.append(live.nodes().begin(), live.nodes().size());
      for (const uint64_t bytes : live.pages()) room = room && note_page(bytes);
    }
    std::sort(topology_->pages_.begin(), topology_->pages_.end());
    return room ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
  }

  // The kernel has applied the cpuset to the mask already. A set that contradicts the mask is another namespace's.
  void narrow_affinity() noexcept {
    if (topology_->budget_.cpuset_cpus && affinity_.meets(cpuset_)) affinity_.keep_only(cpuset_);
  }

  bool usable(uint32_t os) const noexcept {
    return (!topology_->pinnable_ || affinity_.has(os)) && (!request_.ncpus || wanted_.has(os));
  }

  torque_err read_units(const Map &map) noexcept {
    const uint32_t n = map.count(HWLOC_OBJ_PU);
    for (uint32_t i = 0; i < n; i++) {
      const hwloc_obj_t obj = map.object(HWLOC_OBJ_PU, i);
      if (obj && usable(obj->os_index) && !pus_.push(unit_of(map, obj))) return TORQUE_ERR_RESOURCE;
    }
    return 0;
  }

  // The CPUs that we may use are not on the map, or there is no map: equal CPUs that share nothing known.
  torque_err assume_units() noexcept {
    if (!topology_->pinnable_) return 0;
    topology_->detected_ = false;
    for (uint32_t cpu = 0; cpu < affinity_.bound(); cpu++)
      if (affinity_.has(cpu) && usable(cpu) && !pus_.push(lone_unit(cpu, static_cast<uint32_t>(pus_.size()))))
        return TORQUE_ERR_RESOURCE;
    return 0;
  }

  torque_err read_memories(const Map &map) noexcept {
    for (uint32_t level = 0; level < cache_levels; level++)
      for (uint32_t i = 0; i < map.count(cache_types[level]); i++)
        if (!note_cache(map.object(cache_types[level], i))) return TORQUE_ERR_RESOURCE;
    for (uint32_t i = 0; i < map.count(HWLOC_OBJ_NUMANODE); i++) {
      const hwloc_obj_t obj = map.object(HWLOC_OBJ_NUMANODE, i);
      if (!topology_->nodes_.push({static_cast<int32_t>(obj->os_index), cpus_of(obj), obj->attr->numanode.local_memory}))
        return TORQUE_ERR_RESOURCE;
    }
    return 0;
  }
  bool note_cache(hwloc_obj_t obj) noexcept {
    const Topology::Cache c{obj->attr->cache.depth, obj->attr->cache.linesize, obj->attr->cache.size, 1, cpus_of(obj)};
    for (Topology::Cache &known : topology_->caches_) {
      if (known.level != c.level || known.bytes != c.bytes || known.line != c.line) continue;
      known.number++;
      known.cpus = std::max(known.cpus, c.cpus);
      return true;
    }
    return topology_->caches_.push(c);
  }

  torque_err read_pages(const Map &map) noexcept {
    if (!note_page(static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)))) return TORQUE_ERR_RESOURCE;
    for (uint32_t i = 0; topology_->detected_ && i < map.count(HWLOC_OBJ_NUMANODE); i++) {
      const auto &node = map.object(HWLOC_OBJ_NUMANODE, i)->attr->numanode;
      for (unsigned type = 0; type < node.page_types_len; type++)
        if (!note_page(node.page_types[type].size)) return TORQUE_ERR_RESOURCE;
    }
    std::sort(topology_->pages_.begin(), topology_->pages_.end());
    return 0;
  }
  bool note_page(uint64_t bytes) noexcept {
    Vec<uint64_t> &pages = topology_->pages_;
    return !bytes || std::find(pages.begin(), pages.end(), bytes) != pages.end() || pages.push(bytes);
  }

  // A worker that the quota does not pay for gains nothing: it uses up the period sooner, and then all workers stand
  // still until the next one begins. So a fraction of a CPU is not rounded up, except to the first worker.
  uint32_t affordable(uint32_t cpus) const noexcept {
    const uint32_t quota = topology_->budget_.quota_milli;
    return quota && topology_->pinnable_ ? std::clamp(quota / 1000, 1U, cpus) : cpus;
  }

  torque_err place_workers() noexcept {
    const uint32_t cpus = static_cast<uint32_t>(pus_.size());
    const uint32_t own = std::min(affordable(cpus), Topology::workers_max);
    const PlacementRequest request{request_.workers ? request_.workers : own, request_.sharing,
                                   request_.domain_cpus_max};
    topology_->budget_.usable_cpus = cpus;
    explain(request.workers);
    Placement placement(alloc_);
    const torque_err err = place(alloc_, {pus_.begin(), pus_.size()}, request, &placement);
    return err ? err : keep(placement);
  }

  torque_err keep(const Placement &placement) noexcept {
    if (!topology_->workers_.reserve(placement.workers.size())) return TORQUE_ERR_RESOURCE;
    for (const PlacedWorker &w : placement.workers) {
      const Pu &pu = pus_[w.pu];
      const int32_t cpu = topology_->pinnable_ ? static_cast<int32_t>(pu.os) : -1;
      if (!topology_->workers_.push({cpu, pu.os, w.domain, pu.node})) return TORQUE_ERR_RESOURCE;
    }
    if (!topology_->domains_.reserve(placement.domains.size())) return TORQUE_ERR_RESOURCE;
    for (const PlacedDomain &d : placement.domains)
      if (!topology_->domains_.push(
              {d.first_worker, d.workers, d.pus, d.kind, d.cache_bytes, d.cache_share, d.node}))
        return TORQUE_ERR_RESOURCE;
    return 0;
  }

  void explain(uint32_t workers) noexcept {
    Topology::Budget &b = topology_->budget_;
    const auto s = [](uint32_t n) { return n == 1 ? "" : "s"; };
    const char *const where = !topology_->pinnable_   ? " of a map that is not this machine's"
                              : topology_->detected_ ? ""
                                                     : " of a machine that could not be detected";
    if (request_.workers)
      std::snprintf(b.reason, sizeof b.reason, "%u worker%s asked for, on %u usable CPU%s%s.", workers, s(workers),
                    b.usable_cpus, s(b.usable_cpus), where);
    else if (b.usable_cpus == 1)
      std::snprintf(b.reason, sizeof b.reason, "One worker, for the only usable CPU%s.", where);
    else if (workers == b.usable_cpus)
      std::snprintf(b.reason, sizeof b.reason, "One worker for each of the %u usable CPUs%s.", workers, where);
    else if (workers == Topology::workers_max)
      std::snprintf(b.reason, sizeof b.reason, "There are %u usable CPUs%s, and at most %u workers.", b.usable_cpus,
                    where, workers);
    else
      std::snprintf(b.reason, sizeof b.reason, "The cgroup's quota of %u.%03u CPUs pays for %u of %u usable CPUs%s.",
                    b.quota_milli / 1000, b.quota_milli % 1000, workers, b.usable_cpus, where);
  }

  const TopologyRequest &request_;
  const Alloc &alloc_;
  CpuSet affinity_;
  CpuSet cpuset_;
  CpuSet wanted_;
  Vec<Pu> pus_;
  Topology *topology_ = nullptr;
};

torque_err Topology::load(const TopologyRequest &request, const Alloc &alloc, Topology **ret_topology) noexcept {
  Loader loader(request, alloc);
  const torque_err err = loader.run();
  if (!err) *ret_topology = loader.take();
  return err;
}

void Topology::destroy(Topology *topology) noexcept {
  if (!topology) return;
  const Alloc alloc = topology->alloc_;
  topology->~Topology();
  alloc.put(topology, sizeof *topology);
}

}  // namespace torque
