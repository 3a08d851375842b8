// SPDX-License-Identifier: BSD-3-Clause
#include "topology/placement.hh"

#include <algorithm>

#include "libtorque/config.h"

namespace torque {
namespace {

constexpr const char *level_names[levels] = {"L1", "L2", "L3", "L4", "L5", "node", "package", "machine"};
constexpr uint32_t ungrouped = UINT32_MAX;

// A set of units that are to share queues, before it is cut to size.
struct Group {
  uint32_t level;    // what they share; levels: nothing but a core or unit
  const char *kind;
};

[[nodiscard]] bool fill(Vec<uint32_t> &v, size_t n, uint32_t value) noexcept {
  v.clear();
  if (!v.reserve(n)) return false;
  for (size_t i = 0; i < n; i++)
    if (!v.push(value)) return false;
  return true;
}

// The working state of one place().
class Placer {
 public:
  Placer(const Alloc &alloc, std::span<const Pu> pus, const PlacementRequest &request) noexcept
      : pus_(pus), request_(request), group_of_(alloc), groups_(alloc), order_(alloc), times_(alloc), scratch_(alloc),
        placement_(alloc) {}

  [[nodiscard]] bool run() noexcept {
    return fill(group_of_, pus_.size(), ungrouped) && make_groups() && order_by_group() && choose_units() && emit();
  }
  Placement &placement() noexcept { return placement_; }

 private:
  size_t keys(uint32_t level) const noexcept {
    int32_t top = 0;
    for (const Pu &pu : pus_) top = std::max(top, pu.key[level]);
    return static_cast<size_t>(top) + 1;
  }

  bool make_groups() noexcept {
    switch (request_.sharing) {
      case TORQUE_SHARE_THREAD: return group_by([](const Pu &, size_t i) { return i; }, pus_.size(), "thread");
      case TORQUE_SHARE_CORE: return group_by([](const Pu &pu, size_t) { return size_t{pu.core}; }, cores(), "core");
      case TORQUE_SHARE_L2: return group_levels(level_l2, 1);
      case TORQUE_SHARE_L3: return group_levels(level_l3, 1);
      case TORQUE_SHARE_NODE: return group_levels(level_node, 1);
      case TORQUE_SHARE_MACHINE: return group_levels(level_machine, 1);
      default:
        // The paper says "shared by multiple (possibly logical) processors". Taken at its word, two threads of every
        // core share its L1, and a machine with SMT would get a queue for each core: nothing left to balance with.
        // So the lowest level with two *cores* counts; it is looked for from each core, since the cores of a hybrid
        // machine differ in what they share.
        return group_levels(level_l1, 2) && name_lone_cores();
    }
  }

  size_t cores() const noexcept {
    uint32_t top = 0;
    for (const Pu &pu : pus_) top = std::max(top, pu.core);
    return size_t{top} + 1;
  }

  template <class Key>
  bool group_by(Key key, size_t nkeys, const char *kind) noexcept {
    if (!fill(scratch_, nkeys, ungrouped)) return false;
    for (size_t i = 0; i < pus_.size(); i++)
      if (!join(i, scratch_[key(pus_[i], i)], levels, kind)) return false;
    return true;
  }

  // Groups what is ungrouped by the first level, from lowest up, at which at least cores_min usable cores meet.
  bool group_levels(uint32_t lowest, uint32_t cores_min) noexcept {
    for (uint32_t level = lowest; level < levels; level++) {
      const size_t n = keys(level);
      if (!fill(scratch_, n * 2, 0)) return false;
      uint32_t *const met = scratch_.begin();  // by key: cores
      uint32_t *const group = met + n;
      std::fill_n(group, n, ungrouped);
      for (const Pu &pu : pus_)
        if (pu.key[level] >= 0 && pu.sibling == 0) met[pu.key[level]]++;
      for (size_t i = 0; i < pus_.size(); i++) {
        const int32_t key = pus_[i].key[level];
        if (group_of_[i] != ungrouped || key < 0) continue;
        if (met[key] < cores_min && level != level_machine) continue;
        if (!join(i, group[key], level, level_names[level])) return false;
      }
    }
    return true;
  }

  bool join(size_t pu, uint32_t &group, uint32_t level, const char *kind) noexcept {
    if (group == ungrouped) {
      group = static_cast<uint32_t>(groups_.size());
      if (!groups_.push({level, kind})) return false;
    }
    group_of_[pu] = group;
    return true;
  }

  // A core that found no other to share with (the only one, or left over) shares with its siblings at most.
  bool name_lone_cores() noexcept {
    if (!fill(scratch_, groups_.size() * 2, 0)) return false;
    uint32_t *const cores_in = scratch_.begin();
    uint32_t *const units_in = cores_in + groups_.size();
    for (size_t i = 0; i < pus_.size(); i++) {
      units_in[group_of_[i]]++;
      if (pus_[i].sibling == 0) cores_in[group_of_[i]]++;
    }
    for (size_t i = 0; i < pus_.size(); i++) {
      const uint32_t g = group_of_[i];
      if (cores_in[g] == 1 && pus_[i].sibling == 0) groups_[g] = units_in[g] == 1 ? Group{levels, "thread"} : core(pus_[i]);
    }
    return true;
  }
  static Group core(const Pu &pu) noexcept {
    for (uint32_t level = level_l1; level < cache_levels; level++)
      if (pu.key[level] >= 0) return {level, level_names[level]};
    return {levels, "core"};
  }

  // Units sorted by group, groups by their first unit.
  bool order_by_group() noexcept {
    if (!fill(scratch_, groups_.size() * 2, 0) || !fill(order_, pus_.size(), 0)) return false;
    uint32_t *const size = scratch_.begin();
    uint32_t *const next = size + groups_.size();
    std::fill_n(next, groups_.size(), ungrouped);
    for (const uint32_t g : group_of_) size[g]++;
    uint32_t end = 0;
    for (size_t i = 0; i < pus_.size(); i++) {
      const uint32_t g = group_of_[i];
      if (next[g] == ungrouped) {
        next[g] = end;
        end += size[g];
      }
      order_[next[g]++] = static_cast<uint32_t>(i);
    }
    return true;
  }

  // How many workers each unit gets: whole rounds first, then the rest, first siblings before second ones, and
  // evenly spaced over all units in question, so that every group gets its part.
  bool choose_units() noexcept {
    const uint32_t n = static_cast<uint32_t>(pus_.size());
    if (!fill(times_, n, request_.workers / n)) return false;
    uint32_t rest = request_.workers % n;
    for (uint32_t sibling = 0; rest; sibling++) {
      uint64_t there = 0;
      for (const Pu &pu : pus_) there += pu.sibling == sibling;
      const uint64_t taken = std::min<uint64_t>(rest, there);
      uint64_t i = 0;
      for (const uint32_t pu : order_)
        if (pus_[pu].sibling == sibling && i++ * taken % there < taken) times_[pu]++;
      rest -= static_cast<uint32_t>(taken);
    }
    return true;
  }

  bool emit() noexcept {
    if (!fill(scratch_, pus_.size(), ungrouped)) return false;
    for (size_t at = 0; at < order_.size();) {
      size_t end = at;
      while (end < order_.size() && group_of_[order_[end]] == group_of_[order_[at]]) end++;
      if (!emit_group({order_.begin() + at, end - at}, groups_[group_of_[order_[at]]])) return false;
      at = end;
    }
    return share_caches();
  }

  // The group's workers, round robin over its units, cut into domains of nearly the same size.
  bool emit_group(std::span<const uint32_t> units, const Group &group) noexcept {
    const size_t first = placement_.workers.size();
    uint32_t rounds = 0;
    for (const uint32_t pu : units) rounds = std::max(rounds, times_[pu]);
    for (uint32_t round = 0; round < rounds; round++)
      for (const uint32_t pu : units)
        if (times_[pu] > round && !placement_.workers.push({pu, 0})) return false;
    const size_t n = placement_.workers.size() - first;
    const size_t parts = (n + domain_max() - 1) / domain_max();
    for (size_t part = 0; part < parts; part++)
      if (!emit_domain(first + n * part / parts, first + n * (part + 1) / parts, group)) return false;
    return true;
  }

  // "Nothing shared" is one worker a queue even when several have the same unit, and "one queue for all" is just that.
  size_t domain_max() const noexcept {
    if (request_.sharing == TORQUE_SHARE_THREAD) return 1;
    return request_.sharing == TORQUE_SHARE_MACHINE ? UINT32_MAX : request_.domain_max;
  }

  bool emit_domain(size_t first, size_t end, const Group &group) noexcept {
    const uint32_t number = static_cast<uint32_t>(placement_.domains.size());
    uint32_t *const seen_in = scratch_.begin();
    PlacedDomain d;
    d.first_worker = static_cast<uint32_t>(first);
    d.workers = static_cast<uint32_t>(end - first);
    d.level = group.level;
    d.kind = group.kind;
    d.node = unit(first).node;
    for (size_t w = first; w < end; w++) {
      const uint32_t pu = placement_.workers[w].pu;
      placement_.workers[w].domain = number;
      d.pus += seen_in[pu] != number;
      seen_in[pu] = number;
      if (pus_[pu].node != d.node) d.node = -1;
    }
    return placement_.domains.push(d);
  }

  const Pu &unit(size_t worker) const noexcept { return pus_[placement_.workers[worker].pu]; }

  // From the largest cache down, so that a domain that is not a cache's gets the largest it has to itself.
  bool share_caches() noexcept {
    for (uint32_t level = cache_levels; level-- > 0;) {
      if (!fill(scratch_, keys(level), 0)) return false;
      for (const PlacedWorker &w : placement_.workers)
        if (pus_[w.pu].key[level] >= 0) scratch_[static_cast<size_t>(pus_[w.pu].key[level])]++;
      for (PlacedDomain &d : placement_.domains) note_cache(d, level, scratch_.begin());
    }
    return true;
  }

  void note_cache(PlacedDomain &d, uint32_t level, const uint32_t *workers_under) const noexcept {
    const Pu &pu = unit(d.first_worker);
    const int32_t key = pu.key[level];
    if (key < 0) return;
    const uint64_t share = pu.bytes[level] / workers_under[key];
    if (!d.cache_share) d.cache_share = share;
    const bool own = d.level >= cache_levels && !d.cache_bytes && workers_under[key] == d.workers && covers(d, level);
    if (d.level != level && !own) return;
    d.cache_bytes = pu.bytes[level];
    d.cache_share = share;
  }

  bool covers(const PlacedDomain &d, uint32_t level) const noexcept {
    for (uint32_t w = d.first_worker; w < d.first_worker + d.workers; w++)
      if (unit(w).key[level] != unit(d.first_worker).key[level]) return false;
    return true;
  }

  const std::span<const Pu> pus_;
  const PlacementRequest request_;
  Vec<uint32_t> group_of_;  // by unit
  Vec<Group> groups_;
  Vec<uint32_t> order_;     // units
  Vec<uint32_t> times_;     // by unit: workers
  Vec<uint32_t> scratch_;
  Placement placement_;
};

}  // namespace

torque_err number_siblings(const Alloc &alloc, std::span<Pu> pus) noexcept {
  uint32_t top = 0;
  for (const Pu &pu : pus) top = std::max(top, pu.core);
  Vec<uint32_t> units(alloc);  // by core: numbered so far
  if (!fill(units, size_t{top} + 1, 0)) return TORQUE_ERR_RESOURCE;
  for (Pu &pu : pus) pu.sibling = units[pu.core]++;
  return 0;
}

torque_err place(const Alloc &alloc, std::span<const Pu> pus, const PlacementRequest &request,
                 Placement *ret_placement) noexcept {
  Placer placer(alloc, pus, request);
  if (!placer.run()) return TORQUE_ERR_RESOURCE;
  ret_placement->workers.swap(placer.placement().workers);
  ret_placement->domains.swap(placer.placement().domains);
  return 0;
}

}  // namespace torque
