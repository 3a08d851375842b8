/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_TOPOLOGY_H
#define LIBTORQUE_TOPOLOGY_H

#include <libtorque/config.h>
#include <libtorque/error.h>
#include <stddef.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* A topology map says which CPUs the workers of a context use, which workers share an event queue, and why.
 *
 * Workers, domains, caches and memory nodes have indexes from 0. For an index out of range a function returns the value
 * for unknown: 0, -1, or an empty text; never an error.
 * Thread: any, except torque_topology_free(). A map never changes.
 * Owns:   texts belong to the map and are valid until it is freed. */
struct torque_topology;

/* Loads the map for config; null means this machine with all defaults. The CPU budget is that of the calling thread.
 * The call takes milliseconds, starts no thread and changes nothing. config may be freed at once. Free the map with
 * torque_topology_free().
 * Errors: INVAL (the synthetic text or the XML file does not describe a machine); AFFINITY (none of the CPUs in config
 *         may be used); RESOURCE. If the machine cannot be detected, that is not an error, see
 *         torque_topology_detected(). */
TORQUE_API torque_err torque_topology_load(const struct torque_config *config,
                                           struct torque_topology **ret_topology) TORQUE_CHECKED;

/* Frees a map; null is ignored.
 * Requires: no other thread is using the map. */
TORQUE_API void torque_topology_free(struct torque_topology *topology);

/* Returns 1 if the map is that of this machine, so workers can be bound to CPUs, and 0 if it comes from a text or a
 * file. */
TORQUE_API int32_t torque_topology_is_live(const struct torque_topology *topology);

/* Returns 0 if this machine could not be detected, and 1 otherwise. If it could not, all CPUs are treated as equal, and
 * as sharing nothing known. */
TORQUE_API int32_t torque_topology_detected(const struct torque_topology *topology);

/* The CPU budget, in CPUs: those in the affinity mask of the thread that loaded the map; those in the cpuset of its
 * cgroup (0: there is none); those of the map that affinity, cpuset and configuration leave. */
TORQUE_API uint32_t torque_topology_affinity_cpus(const struct torque_topology *topology);
TORQUE_API uint32_t torque_topology_cpuset_cpus(const struct torque_topology *topology);
TORQUE_API uint32_t torque_topology_usable_cpus(const struct torque_topology *topology);

/* The CPU quota of the cgroup, in thousandths of a CPU. 0: there is none. */
TORQUE_API uint32_t torque_topology_quota_milli(const struct torque_topology *topology);

/* Returns one English sentence that explains the number of workers. */
TORQUE_API const char *torque_topology_reason(const struct torque_topology *topology);

/* Workers. Those of a domain have consecutive indexes.
 *   cpu      the system's number of the CPU that it is bound to, -1 if the map is not this machine's
 *   map_cpu  the map's number of its CPU
 *   domain   the index of its domain
 *   node     the system's number of the nearest memory node, -1 if unknown */
TORQUE_API uint32_t torque_topology_workers(const struct torque_topology *topology);
TORQUE_API int32_t torque_topology_worker_cpu(const struct torque_topology *topology, uint32_t worker);
TORQUE_API uint32_t torque_topology_worker_map_cpu(const struct torque_topology *topology, uint32_t worker);
TORQUE_API uint32_t torque_topology_worker_domain(const struct torque_topology *topology, uint32_t worker);
TORQUE_API int32_t torque_topology_worker_node(const struct torque_topology *topology, uint32_t worker);

/* Domains: workers that share one event queue.
 *   first_worker, workers   its workers have the indexes first_worker to first_worker + workers - 1
 *   cpus         the number of distinct CPUs that they use
 *   kind         what the CPUs share: "thread", "core", "L1" to "L5", "node", "package", "machine"
 *   cache_bytes  the size of the cache that they share or that no other domain uses; 0 if there is none
 *   cache_share  one worker's part of that cache, or else of the largest cache above it, in bytes; 0 if unknown
 *   node         the system's number of their memory node, -1 if there are several or it is unknown */
TORQUE_API uint32_t torque_topology_domains(const struct torque_topology *topology);
TORQUE_API uint32_t torque_topology_domain_first_worker(const struct torque_topology *topology, uint32_t domain);
TORQUE_API uint32_t torque_topology_domain_workers(const struct torque_topology *topology, uint32_t domain);
TORQUE_API uint32_t torque_topology_domain_cpus(const struct torque_topology *topology, uint32_t domain);
TORQUE_API const char *torque_topology_domain_kind(const struct torque_topology *topology, uint32_t domain);
TORQUE_API uint64_t torque_topology_domain_cache_bytes(const struct torque_topology *topology, uint32_t domain);
TORQUE_API uint64_t torque_topology_domain_cache_share(const struct torque_topology *topology, uint32_t domain);
TORQUE_API int32_t torque_topology_domain_node(const struct torque_topology *topology, uint32_t domain);

/* Kinds of data caches and unified caches of the whole map, from the nearest level up.
 *   level   1 to 5
 *   bytes   the size of one; line: the length of a line in bytes, 0 if unknown
 *   number  how many there are; cpus: the largest number of CPUs that share one */
TORQUE_API uint32_t torque_topology_caches(const struct torque_topology *topology);
TORQUE_API uint32_t torque_topology_cache_level(const struct torque_topology *topology, uint32_t cache);
TORQUE_API uint64_t torque_topology_cache_bytes(const struct torque_topology *topology, uint32_t cache);
TORQUE_API uint32_t torque_topology_cache_line(const struct torque_topology *topology, uint32_t cache);
TORQUE_API uint32_t torque_topology_cache_number(const struct torque_topology *topology, uint32_t cache);
TORQUE_API uint32_t torque_topology_cache_cpus(const struct torque_topology *topology, uint32_t cache);

/* Memory nodes of the whole map.
 *   os_index  the system's number, -1 for an index out of range
 *   bytes     its memory, 0 if unknown
 *   cpus      the number of CPUs nearest to it, 0 for memory without CPUs */
TORQUE_API uint32_t torque_topology_nodes(const struct torque_topology *topology);
TORQUE_API int32_t torque_topology_node_os_index(const struct torque_topology *topology, uint32_t node);
TORQUE_API uint64_t torque_topology_node_bytes(const struct torque_topology *topology, uint32_t node);
TORQUE_API uint32_t torque_topology_node_cpus(const struct torque_topology *topology, uint32_t node);

/* The existing page sizes, in bytes, ascending. */
TORQUE_API uint32_t torque_topology_page_sizes(const struct torque_topology *topology);
TORQUE_API uint64_t torque_topology_page_bytes(const struct torque_topology *topology, uint32_t size);

TORQUE_END_DECLS

#endif
