/* SPDX-License-Identifier: BSD-3-Clause */
/* For people: the budget first, then what follows from it, then the machine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "report.h"

enum { size_text = 32 };

/* "32 MiB": whole where it is whole, one digit where it is not. */
static const char *size(uint64_t bytes, char *buf) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  double value = (double)bytes;
  for (; value >= 1024 && unit < 5; unit++) value /= 1024;
  const int whole = value == (double)(uint64_t)value;
  if (bytes) snprintf(buf, size_text, "%.*f %s", whole ? 0 : 1, value, units[unit]);
  else snprintf(buf, size_text, "-");
  return buf;
}

static const char *plural(uint32_t n) { return n == 1 ? "" : "s"; }

static void cpus_or(const char *name, uint32_t n, const char *none) {
  if (n) printf("  %-10s %u CPU%s\n", name, n, plural(n));
  else printf("  %-10s %s\n", name, none);
}

static void budget(const struct torque_topology *t) {
  const uint32_t quota = torque_topology_quota_milli(t);
  printf("CPU budget\n");
  cpus_or("affinity", torque_topology_affinity_cpus(t), "unknown");
  cpus_or("cpuset", torque_topology_cpuset_cpus(t), "none");
  if (quota) printf("  %-10s %u.%03u CPUs\n", "quota", quota / 1000, quota % 1000);
  else printf("  %-10s none\n", "quota");
  cpus_or("usable", torque_topology_usable_cpus(t), "none");
  printf("  %-10s %u. %s\n", "workers", torque_topology_workers(t), torque_topology_reason(t));
}

static int ascending(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Sorted numbers in the kernel's notation, "0-3,8"; a number that comes again is not repeated. */
static void print_list(const uint32_t *n, uint32_t count) {
  for (uint32_t i = 0; i < count;) {
    uint32_t end = i;
    while (end + 1 < count && n[end + 1] <= n[end] + 1) end++;
    printf(n[end] > n[i] ? "%s%u-%u" : "%s%u", i ? "," : "", n[i], n[end]);
    i = end + 1;
  }
}

static void domain_cpus(const struct torque_topology *t, uint32_t domain) {
  const uint32_t first = torque_topology_domain_first_worker(t, domain);
  const uint32_t n = torque_topology_domain_workers(t, domain);
  uint32_t *const cpus = malloc(n * sizeof *cpus);
  if (!cpus) return;
  for (uint32_t i = 0; i < n; i++) cpus[i] = torque_topology_worker_map_cpu(t, first + i);
  qsort(cpus, n, sizeof *cpus, ascending);
  print_list(cpus, n);
  free(cpus);
}

static void domains(const struct torque_topology *t) {
  char cache[size_text], share[size_text], range[size_text], node[size_text] = "-";
  printf("\nDomains: workers that share one event queue\n");
  printf("  %-6s %-12s %-8s %-10s %-12s %-5s %s\n", "domain", "workers", "shares", "cache", "per worker", "node", "CPUs");
  for (uint32_t i = 0; i < torque_topology_domains(t); i++) {
    const uint32_t first = torque_topology_domain_first_worker(t, i), n = torque_topology_domain_workers(t, i);
    const int32_t on = torque_topology_domain_node(t, i);
    if (on >= 0) snprintf(node, sizeof node, "%" PRId32, on);
    else snprintf(node, sizeof node, "-");
    if (n > 1) snprintf(range, sizeof range, "%u-%u", first, first + n - 1);
    else snprintf(range, sizeof range, "%u", first);
    printf("  %-6u %-12s %-8s %-10s %-12s %-5s ", i, range, torque_topology_domain_kind(t, i),
           size(torque_topology_domain_cache_bytes(t, i), cache), size(torque_topology_domain_cache_share(t, i), share),
           node);
    domain_cpus(t, i);
    putchar('\n');
  }
  if (!torque_topology_is_live(t)) printf("  Workers are not pinned: these are the map's CPUs, not this machine's.\n");
}

static void caches(const struct torque_topology *t) {
  char bytes[size_text];
  printf("\nCaches\n");
  for (uint32_t i = 0; i < torque_topology_caches(t); i++) {
    const uint32_t line = torque_topology_cache_line(t, i), cpus = torque_topology_cache_cpus(t, i);
    printf("  L%u  %u x %s, %u CPU%s each", torque_topology_cache_level(t, i), torque_topology_cache_number(t, i),
           size(torque_topology_cache_bytes(t, i), bytes), cpus, plural(cpus));
    if (line) printf(", lines of %u bytes", line);
    putchar('\n');
  }
  if (!torque_topology_caches(t)) printf("  none known\n");
}

static void memory(const struct torque_topology *t) {
  char bytes[size_text];
  printf("\nMemory nodes\n");
  for (uint32_t i = 0; i < torque_topology_nodes(t); i++) {
    const uint32_t cpus = torque_topology_node_cpus(t, i);
    printf("  node %-4" PRId32 " %s, %u CPU%s\n", torque_topology_node_os_index(t, i),
           size(torque_topology_node_bytes(t, i), bytes), cpus, plural(cpus));
  }
  if (!torque_topology_nodes(t)) printf("  none known\n");
  printf("\nPage sizes\n ");
  for (uint32_t i = 0; i < torque_topology_page_sizes(t); i++)
    printf("%s %s", i ? "," : "", size(torque_topology_page_bytes(t, i), bytes));
  putchar('\n');
}

void report_text(const struct torque_topology *t, const char *source) {
  if (torque_topology_is_live(t)) printf("Map: this machine%s\n\n", torque_topology_detected(t) ? "" : ", not detected");
  else printf("Map: %s, not this machine's\n\n", source);
  budget(t);
  domains(t);
  caches(t);
  memory(t);
}
