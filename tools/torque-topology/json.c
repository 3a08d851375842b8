/* SPDX-License-Identifier: BSD-3-Clause */
/* One JSON object. What is unknown or not there is null, so that 0 always means 0. */
#include <inttypes.h>
#include <stdio.h>

#include "report.h"

static void text(const char *name, const char *value) {
  printf("\"%s\": \"", name);
  for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
    if (*p == '"' || *p == '\\') printf("\\%c", *p);
    else if (*p < 0x20 || *p >= 0x7f) printf("\\u%04x", *p);
    else putchar(*p);
  }
  putchar('"');
}

static void number(const char *name, uint64_t value) { printf("\"%s\": %" PRIu64, name, value); }

static void number_or_null(const char *name, int64_t value, int there) {
  if (there) printf("\"%s\": %" PRId64, name, value);
  else printf("\"%s\": null", name);
}

static void truth(const char *name, int32_t value) { printf("\"%s\": %s", name, value ? "true" : "false"); }

static void comma(void) { printf(", "); }

/* One line for each element, commas between them. */
static void open_list(const char *name) { printf(",\n  \"%s\": [", name); }
static void open_element(uint32_t i) { printf("%s\n    {", i ? "," : ""); }
static void close_list(void) { printf("\n  ]"); }

static void budget(const struct torque_topology *t) {
  const uint32_t cpuset = torque_topology_cpuset_cpus(t), quota = torque_topology_quota_milli(t);
  printf(",\n  \"budget\": {");
  number("affinity_cpus", torque_topology_affinity_cpus(t)), comma();
  number_or_null("cpuset_cpus", cpuset, cpuset != 0), comma();
  number_or_null("quota_milli", quota, quota != 0), comma();
  number("usable_cpus", torque_topology_usable_cpus(t)), comma();
  number("workers", torque_topology_workers(t)), comma();
  text("reason", torque_topology_reason(t));
  putchar('}');
}

static void domains(const struct torque_topology *t) {
  open_list("domains");
  for (uint32_t i = 0; i < torque_topology_domains(t); i++) {
    const int32_t node = torque_topology_domain_node(t, i);
    const uint64_t cache = torque_topology_domain_cache_bytes(t, i), share = torque_topology_domain_cache_share(t, i);
    open_element(i);
    number("first_worker", torque_topology_domain_first_worker(t, i)), comma();
    number("workers", torque_topology_domain_workers(t, i)), comma();
    number("cpus", torque_topology_domain_cpus(t, i)), comma();
    text("shares", torque_topology_domain_kind(t, i)), comma();
    number_or_null("cache_bytes", (int64_t)cache, cache != 0), comma();
    number_or_null("cache_share_bytes", (int64_t)share, share != 0), comma();
    number_or_null("node", node, node >= 0);
    putchar('}');
  }
  close_list();
}

static void workers(const struct torque_topology *t) {
  open_list("workers");
  for (uint32_t i = 0; i < torque_topology_workers(t); i++) {
    const int32_t cpu = torque_topology_worker_cpu(t, i), node = torque_topology_worker_node(t, i);
    open_element(i);
    number_or_null("cpu", cpu, cpu >= 0), comma();
    number("map_cpu", torque_topology_worker_map_cpu(t, i)), comma();
    number("domain", torque_topology_worker_domain(t, i)), comma();
    number_or_null("node", node, node >= 0);
    putchar('}');
  }
  close_list();
}

static void caches(const struct torque_topology *t) {
  open_list("caches");
  for (uint32_t i = 0; i < torque_topology_caches(t); i++) {
    const uint32_t line = torque_topology_cache_line(t, i);
    open_element(i);
    number("level", torque_topology_cache_level(t, i)), comma();
    number("bytes", torque_topology_cache_bytes(t, i)), comma();
    number_or_null("line_bytes", line, line != 0), comma();
    number("number", torque_topology_cache_number(t, i)), comma();
    number("cpus", torque_topology_cache_cpus(t, i));
    putchar('}');
  }
  close_list();
}

static void nodes(const struct torque_topology *t) {
  open_list("nodes");
  for (uint32_t i = 0; i < torque_topology_nodes(t); i++) {
    const uint64_t bytes = torque_topology_node_bytes(t, i);
    open_element(i);
    number("os_index", (uint64_t)torque_topology_node_os_index(t, i)), comma();
    number_or_null("bytes", (int64_t)bytes, bytes != 0), comma();
    number("cpus", torque_topology_node_cpus(t, i));
    putchar('}');
  }
  close_list();
}

static void page_sizes(const struct torque_topology *t) {
  printf(",\n  \"page_sizes\": [");
  for (uint32_t i = 0; i < torque_topology_page_sizes(t); i++)
    printf("%s%" PRIu64, i ? ", " : "", torque_topology_page_bytes(t, i));
  putchar(']');
}

void report_json(const struct torque_topology *t, const char *source) {
  printf("{\n  ");
  text("version", torque_version()), comma();
  text("source", source), comma();
  truth("live", torque_topology_is_live(t)), comma();
  truth("detected", torque_topology_detected(t));
  budget(t);
  domains(t);
  workers(t);
  caches(t);
  nodes(t);
  page_sizes(t);
  printf("\n}\n");
}
