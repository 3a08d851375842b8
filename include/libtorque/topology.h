/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_TOPOLOGY_H
#define LIBTORQUE_TOPOLOGY_H

#include <libtorque/config.h>
#include <libtorque/error.h>
#include <stddef.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* The map of a machine as the library sees it: what a context made from the same configuration would do, and why.
 *
 * Workers, domains, caches and memory nodes have indexes from 0 on. An accessor that gets an index out of range returns
 * what it returns for "unknown": 0, -1, or an empty text; never an error.
 *
 * Thread: any, for everything here but torque_topology_free(): a map never changes.
 * Owns:   texts belong to the map and live as long as it. */
struct torque_topology;

/* Loads the map that config asks for; config null: this machine with all defaults. The CPU budget is that of the
 * calling thread. Takes milliseconds, starts no thread, changes nothing.
 * Returns: 0 and *ret_topology, to be freed by torque_topology_free(). config may be freed at once.
 * Errors:  TORQUE_ERR_INVAL a synthetic text or an XML file that is not one; TORQUE_ERR_AFFINITY none of the CPUs in
 *          config may be used; TORQUE_ERR_RESOURCE no memory. A machine that cannot be detected is no error, see
 *          torque_topology_detected(). */
TORQUE_API torque_err torque_topology_load(const struct torque_config *config,
                                           struct torque_topology **ret_topology) TORQUE_CHECKED;

/* Null does nothing. Requires: no other thread is using the map. */
TORQUE_API void torque_topology_free(struct torque_topology *topology);

/* 1: the map is this machine's, and workers can be pinned. 0: it came from a text or file. */
TORQUE_API int32_t torque_topology_is_live(const struct torque_topology *topology);

/* 0: this machine could not be detected, so its CPUs are taken to be equal and to share nothing known. */
TORQUE_API int32_t torque_topology_detected(const struct torque_topology *topology);

/* The CPU budget, in CPUs: those in the thread's affinity mask; those in the cgroup's cpuset (0: there is none); those
 * of the map that are left after both and the configuration. */
TORQUE_API uint32_t torque_topology_affinity_cpus(const struct torque_topology *topology);
TORQUE_API uint32_t torque_topology_cpuset_cpus(const struct torque_topology *topology);
TORQUE_API uint32_t torque_topology_usable_cpus(const struct torque_topology *topology);

/* Thousandths of a CPU that the cgroup's CPU quota pays for. 0: there is no quota. */
TORQUE_API uint32_t torque_topology_quota_milli(const struct torque_topology *topology);

/* One sentence in English: why there are that many workers. */
TORQUE_API const char *torque_topology_reason(const struct torque_topology *topology);

/* Workers. Those of a domain have indexes side by side.
 *   cpu      the system's number of the CPU it is pinned to, -1 when the map is not this machine's
 *   map_cpu  the map's number of its CPU
 *   domain   index of its domain
 *   node     the system's number of the nearest memory node, -1 when unknown */
TORQUE_API uint32_t torque_topology_workers(const struct torque_topology *topology);
TORQUE_API int32_t torque_topology_worker_cpu(const struct torque_topology *topology, uint32_t worker);
TORQUE_API uint32_t torque_topology_worker_map_cpu(const struct torque_topology *topology, uint32_t worker);
TORQUE_API uint32_t torque_topology_worker_domain(const struct torque_topology *topology, uint32_t worker);
TORQUE_API int32_t torque_topology_worker_node(const struct torque_topology *topology, uint32_t worker);

/* Domains: workers that share one event queue.
 *   first_worker, workers   its workers' indexes: first_worker to first_worker + workers - 1
 *   cpus         number of distinct CPUs that they use
 *   kind         what they share: "thread", "core", "L1" to "L5", "node", "package", "machine"
 *   cache_bytes  size of the cache that they share or that no other domain uses; 0 when there is none
 *   cache_share  bytes of it (or else of the largest cache above) for each of the workers that use it; 0 when unknown
 *   node         the system's number of their memory node, -1 when there are several or it is unknown */
TORQUE_API uint32_t torque_topology_domains(const struct torque_topology *topology);
TORQUE_API uint32_t torque_topology_domain_first_worker(const struct torque_topology *topology, uint32_t domain);
TORQUE_API uint32_t torque_topology_domain_workers(const struct torque_topology *topology, uint32_t domain);
TORQUE_API uint32_t torque_topology_domain_cpus(const struct torque_topology *topology, uint32_t domain);
TORQUE_API const char *torque_topology_domain_kind(const struct torque_topology *topology, uint32_t domain);
TORQUE_API uint64_t torque_topology_domain_cache_bytes(const struct torque_topology *topology, uint32_t domain);
TORQUE_API uint64_t torque_topology_domain_cache_share(const struct torque_topology *topology, uint32_t domain);
TORQUE_API int32_t torque_topology_domain_node(const struct torque_topology *topology, uint32_t domain);

/* Kinds of data and unified caches of the whole map, from the nearest level up.
 *   level   1 to 5
 *   bytes   size of one; line: bytes of a line, 0 when unknown
 *   number  how many there are; cpus: how many CPUs share one, at most */
TORQUE_API uint32_t torque_topology_caches(const struct torque_topology *topology);
TORQUE_API uint32_t torque_topology_cache_level(const struct torque_topology *topology, uint32_t cache);
TORQUE_API uint64_t torque_topology_cache_bytes(const struct torque_topology *topology, uint32_t cache);
TORQUE_API uint32_t torque_topology_cache_line(const struct torque_topology *topology, uint32_t cache);
TORQUE_API uint32_t torque_topology_cache_number(const struct torque_topology *topology, uint32_t cache);
TORQUE_API uint32_t torque_topology_cache_cpus(const struct torque_topology *topology, uint32_t cache);

/* Memory nodes of the whole map.
 *   os_index  the system's number, -1 for an index out of range
 *   bytes     its memory, 0 when unknown
 *   cpus      number of CPUs nearest to it, 0 for memory without CPUs */
TORQUE_API uint32_t torque_topology_nodes(const struct torque_topology *topology);
TORQUE_API int32_t torque_topology_node_os_index(const struct torque_topology *topology, uint32_t node);
TORQUE_API uint64_t torque_topology_node_bytes(const struct torque_topology *topology, uint32_t node);
TORQUE_API uint32_t torque_topology_node_cpus(const struct torque_topology *topology, uint32_t node);

/* Sizes of pages that there are, in bytes, ascending. */
TORQUE_API uint32_t torque_topology_page_sizes(const struct torque_topology *topology);
TORQUE_API uint64_t torque_topology_page_bytes(const struct torque_topology *topology, uint32_t size);

TORQUE_END_DECLS

#endif
