// SPDX-License-Identifier: BSD-3-Clause
// <libtorque/topology.h>: check the index, ask the map.
#include "libtorque/topology.h"

#include <span>

#include "api/handle.hh"
#include "topology/topology.hh"

using torque::Topology;

struct torque_topology {
  torque::Alloc alloc;
  Topology *map;
};

namespace {

// One member of the element at i, or what "unknown" is for it.
template <class T, class M>
M of(std::span<const T> all, uint32_t i, M T::*member, M unknown) noexcept {
  return i < all.size() ? all[i].*member : unknown;
}

template <class T>
uint32_t count(std::span<const T> all) noexcept {
  return static_cast<uint32_t>(all.size());
}

}  // namespace

torque_err torque_topology_load(const torque_config *config, torque_topology **ret_topology) {
  if (!ret_topology) return TORQUE_ERR_INVAL;
  const torque::Alloc alloc = config ? config->alloc : torque::Alloc{};
  const torque::TopologyRequest request = config ? config->topology : torque::TopologyRequest{};
  torque_topology *const handle = alloc.make<torque_topology>();
  if (!handle) return TORQUE_ERR_RESOURCE;
  handle->alloc = alloc;
  const torque_err err = Topology::load(request, alloc, &handle->map);
  if (err) alloc.destroy(handle);
  else *ret_topology = handle;
  return err;
}

void torque_topology_free(torque_topology *topology) {
  if (!topology) return;
  const torque::Alloc alloc = topology->alloc;
  Topology::destroy(topology->map);
  alloc.destroy(topology);
}

int32_t torque_topology_is_live(const torque_topology *t) { return t->map->pinnable(); }
int32_t torque_topology_detected(const torque_topology *t) { return t->map->detected(); }

uint32_t torque_topology_affinity_cpus(const torque_topology *t) { return t->map->budget().affinity_cpus; }
uint32_t torque_topology_cpuset_cpus(const torque_topology *t) { return t->map->budget().cpuset_cpus; }
uint32_t torque_topology_usable_cpus(const torque_topology *t) { return t->map->budget().usable_cpus; }
uint32_t torque_topology_quota_milli(const torque_topology *t) { return t->map->budget().quota_milli; }
const char *torque_topology_reason(const torque_topology *t) { return t->map->budget().reason; }

uint32_t torque_topology_workers(const torque_topology *t) { return count(t->map->workers()); }
int32_t torque_topology_worker_cpu(const torque_topology *t, uint32_t i) {
  return of(t->map->workers(), i, &Topology::Worker::cpu, -1);
}
uint32_t torque_topology_worker_map_cpu(const torque_topology *t, uint32_t i) {
  return of(t->map->workers(), i, &Topology::Worker::map_cpu, 0U);
}
uint32_t torque_topology_worker_domain(const torque_topology *t, uint32_t i) {
  return of(t->map->workers(), i, &Topology::Worker::domain, 0U);
}
int32_t torque_topology_worker_node(const torque_topology *t, uint32_t i) {
  return of(t->map->workers(), i, &Topology::Worker::node, -1);
}

uint32_t torque_topology_domains(const torque_topology *t) { return count(t->map->domains()); }
uint32_t torque_topology_domain_first_worker(const torque_topology *t, uint32_t i) {
  return of(t->map->domains(), i, &Topology::Domain::first_worker, 0U);
}
uint32_t torque_topology_domain_workers(const torque_topology *t, uint32_t i) {
  return of(t->map->domains(), i, &Topology::Domain::workers, 0U);
}
uint32_t torque_topology_domain_cpus(const torque_topology *t, uint32_t i) {
  return of(t->map->domains(), i, &Topology::Domain::cpus, 0U);
}
const char *torque_topology_domain_kind(const torque_topology *t, uint32_t i) {
  return of<Topology::Domain, const char *>(t->map->domains(), i, &Topology::Domain::kind, "");
}
uint64_t torque_topology_domain_cache_bytes(const torque_topology *t, uint32_t i) {
  return of(t->map->domains(), i, &Topology::Domain::cache_bytes, uint64_t{0});
}
uint64_t torque_topology_domain_cache_share(const torque_topology *t, uint32_t i) {
  return of(t->map->domains(), i, &Topology::Domain::cache_share, uint64_t{0});
}
int32_t torque_topology_domain_node(const torque_topology *t, uint32_t i) {
  return of(t->map->domains(), i, &Topology::Domain::node, -1);
}

uint32_t torque_topology_caches(const torque_topology *t) { return count(t->map->caches()); }
uint32_t torque_topology_cache_level(const torque_topology *t, uint32_t i) {
  return of(t->map->caches(), i, &Topology::Cache::level, 0U);
}
uint64_t torque_topology_cache_bytes(const torque_topology *t, uint32_t i) {
  return of(t->map->caches(), i, &Topology::Cache::bytes, uint64_t{0});
}
uint32_t torque_topology_cache_line(const torque_topology *t, uint32_t i) {
  return of(t->map->caches(), i, &Topology::Cache::line, 0U);
}
uint32_t torque_topology_cache_number(const torque_topology *t, uint32_t i) {
  return of(t->map->caches(), i, &Topology::Cache::number, 0U);
}
uint32_t torque_topology_cache_cpus(const torque_topology *t, uint32_t i) {
  return of(t->map->caches(), i, &Topology::Cache::cpus, 0U);
}

uint32_t torque_topology_nodes(const torque_topology *t) { return count(t->map->nodes()); }
int32_t torque_topology_node_os_index(const torque_topology *t, uint32_t i) {
  return of(t->map->nodes(), i, &Topology::Node::os_index, -1);
}
uint64_t torque_topology_node_bytes(const torque_topology *t, uint32_t i) {
  return of(t->map->nodes(), i, &Topology::Node::bytes, uint64_t{0});
}
uint32_t torque_topology_node_cpus(const torque_topology *t, uint32_t i) {
  return of(t->map->nodes(), i, &Topology::Node::cpus, 0U);
}

uint32_t torque_topology_page_sizes(const torque_topology *t) { return count(t->map->page_sizes()); }
uint64_t torque_topology_page_bytes(const torque_topology *t, uint32_t i) {
  const std::span<const uint64_t> sizes = t->map->page_sizes();
  return i < sizes.size() ? sizes[i] : 0;
}
