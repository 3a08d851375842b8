// SPDX-License-Identifier: BSD-3-Clause
// What is read of a machine's /sys is what hwloc reads there.
#include "topology/live.hh"

#include <hwloc.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "unit/topology/machine.hh"

#include "support/cmocka.hh"

using namespace torque;

namespace {

const Alloc alloc;
test::FakeRoot root;

int up(void **) {
  root = {};
  root.make();
  return root.path()[0] ? 0 : -1;
}
int down(void **) {
  root.remove();
  return 0;
}

// ---- Machines ----

// Which set of each kind a CPU is in.
struct Place {
  int package, node, die, l3, l2, core;
};
struct Machine {
  std::vector<Place> cpu;
  std::set<unsigned> offline;
  bool has_dies = true;
  bool old_names = false;  // of kernels before 5.3
};

using Member = std::function<int(const Place &)>;

std::vector<uint32_t> sharing(const Machine &m, const Member &in, int which) {
  std::vector<uint32_t> cpus;
  for (unsigned i = 0; i < m.cpu.size(); i++)
    if (!m.offline.count(i) && in(m.cpu[i]) == which) cpus.push_back(i);
  return cpus;
}

std::string mask_of(const std::vector<uint32_t> &cpus) {
  uint64_t mask = 0;
  for (const uint32_t c : cpus) mask |= uint64_t{1} << c;
  char text[32];
  std::snprintf(text, sizeof text, "%08x,%08x\n", static_cast<unsigned>(mask >> 32), static_cast<unsigned>(mask));
  return text;
}

void write_set(const std::string &mask, const std::string &list, const std::vector<uint32_t> &cpus) {
  root.file(mask, mask_of(cpus));
  root.file(list, test::list_of(cpus) + "\n");
}

void write_cache(const std::string &folder, const char *type, int level, const char *size, const std::vector<uint32_t> &cpus) {
  root.file(folder + "type", std::string(type) + "\n");
  root.file(folder + "level", std::to_string(level) + "\n");
  root.file(folder + "size", std::string(size) + "\n");
  root.file(folder + "coherency_line_size", "64\n");
  write_set(folder + "shared_cpu_map", folder + "shared_cpu_list", cpus);
}

void write_cpu(const Machine &m, unsigned i) {
  const std::string cpu = "/sys/devices/system/cpu/cpu" + std::to_string(i) + "/", topology = cpu + "topology/";
  const Place &p = m.cpu[i];
  const auto core = sharing(m, [](const Place &o) { return o.core; }, p.core);
  const auto package = sharing(m, [](const Place &o) { return o.package; }, p.package);
  root.file(topology + "core_id", std::to_string(p.core) + "\n");
  root.file(topology + "physical_package_id", std::to_string(p.package) + "\n");
  const char *const cores = m.old_names ? "thread_siblings" : "core_cpus";
  const char *const packages = m.old_names ? "core_siblings" : "package_cpus";
  write_set(topology + cores, topology + cores + "_list", core);
  write_set(topology + packages, topology + packages + "_list", package);
  if (m.has_dies) {
    root.file(topology + "die_id", std::to_string(p.die) + "\n");
    write_set(topology + "die_cpus", topology + "die_cpus_list",
              sharing(m, [](const Place &o) { return o.die; }, p.die));
  }
  write_cache(cpu + "cache/index0/", "Data", 1, "32K", core);
  write_cache(cpu + "cache/index1/", "Instruction", 1, "64K", core);
  write_cache(cpu + "cache/index2/", "Unified", 2, p.l2 ? "512K" : "1024K",
              sharing(m, [](const Place &o) { return o.l2; }, p.l2));
  write_cache(cpu + "cache/index3/", "Unified", 3, "16384K", sharing(m, [](const Place &o) { return o.l3; }, p.l3));
}

void write_machine(const Machine &m) {
  std::vector<uint32_t> online, present;
  std::set<int> nodes;
  for (unsigned i = 0; i < m.cpu.size(); i++) {
    present.push_back(i);
    nodes.insert(m.cpu[i].node);
    if (m.offline.count(i)) continue;
    online.push_back(i);
    write_cpu(m, i);
  }
  const std::string cpus = "/sys/devices/system/cpu/", memory = "/sys/devices/system/node/";
  for (const char *what : {"possible", "present"}) root.file(cpus + what, test::list_of(present) + "\n");
  root.file(cpus + "online", test::list_of(online) + "\n");
  std::vector<uint32_t> numbers(nodes.begin(), nodes.end());
  root.file(memory + "online", test::list_of(numbers) + "\n");
  for (const int n : nodes) {
    const std::string node = memory + "node" + std::to_string(n) + "/";
    write_set(node + "cpumap", node + "cpulist", sharing(m, [](const Place &p) { return p.node; }, n));
    root.file(node + "meminfo", "Node " + std::to_string(n) + " MemTotal:       " + std::to_string(4096 * (n + 1)) + " kB\n");
    root.file(node + "hugepages/hugepages-2048kB/nr_hugepages", "0\n");
    root.file(node + "hugepages/hugepages-1048576kB/nr_hugepages", "3\n");
  }
}

// ---- Two descriptions, which must be the same text ----

std::string describe(const LiveMap &live) {
  std::string text;
  for (const LiveMap::Cpu &c : live.cpus()) {
    text += "cpu " + std::to_string(c.pu.os) + " core " + std::to_string(c.pu.core) + " node " + std::to_string(c.pu.node);
    for (uint32_t level = 0; level < levels; level++) text += " " + std::to_string(c.pu.key[level]);
    for (uint32_t level = 0; level < cache_levels; level++) text += " " + std::to_string(c.pu.bytes[level]);
    text += "\n";
  }
  for (const Topology::Cache &c : live.caches())
    text += "L" + std::to_string(c.level) + " " + std::to_string(c.bytes) + " line " + std::to_string(c.line) + " times " +
            std::to_string(c.number) + " cpus " + std::to_string(c.cpus) + "\n";
  for (const Topology::Node &n : live.nodes())
    text += "node " + std::to_string(n.os_index) + " " + std::to_string(n.cpus) + " " + std::to_string(n.bytes) + "\n";
  std::set<uint64_t> pages;
  for (const uint64_t bytes : live.pages()) pages.insert(bytes);
  for (const uint64_t bytes : pages) text += "page " + std::to_string(bytes) + "\n";
  return text;
}

class Hwloc {
 public:
  explicit Hwloc(const char *from) {
    if (from) setenv("HWLOC_FSROOT", from, 1);
    if (hwloc_topology_init(&map_)) std::abort();
    hwloc_topology_set_flags(map_, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED | HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
    hwloc_topology_set_icache_types_filter(map_, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_io_types_filter(map_, HWLOC_TYPE_FILTER_KEEP_NONE);
    if (hwloc_topology_load(map_)) std::abort();
    unsetenv("HWLOC_FSROOT");
  }
  Hwloc(const Hwloc &) = delete;
  Hwloc &operator=(const Hwloc &) = delete;
  ~Hwloc() { hwloc_topology_destroy(map_); }

  std::string describe() const {
    std::string text;
    for (unsigned i = 0; i < count(HWLOC_OBJ_PU); i++) text += describe_unit(object(HWLOC_OBJ_PU, i));
    for (int level = 1; level <= 5; level++) text += describe_caches(level);
    std::set<uint64_t> pages;
    for (unsigned i = 0; i < count(HWLOC_OBJ_NUMANODE); i++) {
      const hwloc_obj_t n = object(HWLOC_OBJ_NUMANODE, i);
      text += "node " + std::to_string(n->os_index) + " " + std::to_string(hwloc_bitmap_weight(n->cpuset)) + " " +
              std::to_string(n->attr->numanode.local_memory) + "\n";
      for (unsigned p = 0; p < n->attr->numanode.page_types_len; p++) pages.insert(n->attr->numanode.page_types[p].size);
    }
    pages.erase(static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
    for (const uint64_t bytes : pages) text += "page " + std::to_string(bytes) + "\n";
    return text;
  }

 private:
  unsigned count(hwloc_obj_type_t type) const { return static_cast<unsigned>(hwloc_get_nbobjs_by_type(map_, type)); }
  hwloc_obj_t object(hwloc_obj_type_t type, unsigned i) const { return hwloc_get_obj_by_type(map_, type, i); }
  hwloc_obj_t above(hwloc_obj_t o, hwloc_obj_type_t type) const { return hwloc_get_ancestor_obj_by_type(map_, type, o); }
  static hwloc_obj_type_t cache_type(int level) { return static_cast<hwloc_obj_type_t>(HWLOC_OBJ_L1CACHE + level - 1); }
  static std::string first_of(hwloc_obj_t o) { return o ? std::to_string(hwloc_bitmap_first(o->cpuset)) : "-1"; }

  std::string describe_unit(hwloc_obj_t o) const {
    const hwloc_obj_t core = above(o, HWLOC_OBJ_CORE);
    const int n = hwloc_bitmap_first(o->nodeset);
    const hwloc_obj_t node = hwloc_get_numanode_obj_by_os_index(map_, static_cast<unsigned>(n));
    std::string text = "cpu " + std::to_string(o->os_index) + " core " + (core ? first_of(core) : first_of(o)) + " node " +
                       std::to_string(n);
    for (int level = 1; level <= 5; level++) text += " " + first_of(above(o, cache_type(level)));
    text += " " + first_of(node) + " " + first_of(above(o, HWLOC_OBJ_PACKAGE)) + " 0";
    for (int level = 1; level <= 5; level++) {
      const hwloc_obj_t cache = above(o, cache_type(level));
      text += " " + std::to_string(cache ? cache->attr->cache.size : 0);
    }
    return text + "\n";
  }
  std::string describe_caches(int level) const {
    struct Kind {
      uint64_t bytes;
      unsigned line, number;
      int cpus;
    };
    std::vector<Kind> kinds;
    for (unsigned i = 0; i < count(cache_type(level)); i++) {
      const hwloc_obj_t o = object(cache_type(level), i);
      const int cpus = hwloc_bitmap_weight(o->cpuset);
      Kind *known = nullptr;
      for (Kind &k : kinds)
        if (k.bytes == o->attr->cache.size && k.line == o->attr->cache.linesize) known = &k;
      if (!known) {
        kinds.push_back({o->attr->cache.size, o->attr->cache.linesize, 1, cpus});
        continue;
      }
      known->number++;
      known->cpus = std::max(known->cpus, cpus);
    }
    std::string text;
    for (const Kind &k : kinds)
      text += "L" + std::to_string(level) + " " + std::to_string(k.bytes) + " line " + std::to_string(k.line) + " times " +
              std::to_string(k.number) + " cpus " + std::to_string(k.cpus) + "\n";
    return text;
  }

  hwloc_topology_t map_ = nullptr;
};

void agree(const Machine &m) {
  write_machine(m);
  LiveMap live(alloc);
  assert_int_equal(live.read(root.path()), 0);
  assert_string_equal(describe(live).c_str(), Hwloc(root.path()).describe().c_str());
}

// ---- Tests ----

void this_machine_is_read_as_hwloc_reads_it(void **) {
  LiveMap live(alloc);
  const torque_err err = live.read("");
  if (err == TORQUE_ERR_CPUDETECT) return;  // not a regular one
  assert_int_equal(err, 0);
  assert_string_equal(describe(live).c_str(), Hwloc(nullptr).describe().c_str());
}

// package, node, die, L3, L2, core
Machine two_packages() {
  Machine m;
  for (int i = 0; i < 32; i++) {
    const int core = i % 16;  // its second thread is 16 numbers further
    m.cpu.push_back({core / 8, core / 8, core / 8, core / 4, core, core});
  }
  return m;
}

void packages_with_several_caches_and_two_threads_a_core(void **) { agree(two_packages()); }

void nodes_within_a_package(void **) {
  Machine m;
  for (int i = 0; i < 16; i++) m.cpu.push_back({0, i / 4, 0, i / 4, i / 2, i});
  agree(m);
}

void packages_within_a_node(void **) {
  Machine m;
  for (int i = 0; i < 8; i++) m.cpu.push_back({i / 2, 0, i / 2, i / 2, i, i});
  agree(m);
}

void numbers_that_are_dealt_out_in_turn(void **) {
  Machine m;
  for (int i = 0; i < 24; i++) m.cpu.push_back({i % 2, i % 2, i % 4, i % 4, i % 12, i % 12});
  agree(m);
}

void a_cpu_that_is_offline(void **) {
  Machine m = two_packages();
  m.offline = {0, 5, 21};
  agree(m);
}

void older_kernels(void **) {
  Machine m = two_packages();
  m.has_dies = false;
  m.old_names = true;
  agree(m);
}

torque_err read_anew() {
  LiveMap live(alloc);
  return live.read(root.path());
}

void what_is_irregular_is_left_to_hwloc(void **) {
  assert_int_equal(read_anew(), TORQUE_ERR_CPUDETECT);  // nothing there
  const std::string cpu = "/sys/devices/system/cpu/cpu3/", node = "/sys/devices/system/node/";
  const struct {
    std::string file, text;
  } changes[] = {
      {"/sys/devices/system/cpu/online", "0-40\n"},
      {"/sys/devices/system/cpu/online", "x\n"},
      {cpu + "topology/core_cpus_list", "4\n"},
      {cpu + "cache/index0/size", "\n"},
      {cpu + "cache/index0/level", "9\n"},
      {cpu + "cache/index2/level", "1\n"},
      {cpu + "cache/index2/shared_cpu_list", "5-9\n"},
      {cpu + "cache/index0/type", ""},
      {node + "online", "0-2\n"},
      {node + "node0/cpulist", "\n"},
      {node + "node0/cpulist", "0-31\n"},
      {node + "node1/meminfo", "Node 1 MemFree: 3 kB\n"},
  };
  for (const auto &change : changes) {
    write_machine(two_packages());
    assert_int_equal(read_anew(), 0);
    root.file(change.file, change.text);
    assert_int_equal(read_anew(), TORQUE_ERR_CPUDETECT);
  }
}

void want_of_memory_is_an_error_and_leaves_nothing(void **) {
  write_machine(two_packages());
  for (long fail_at = 1;; fail_at++) {
    test::CountingAlloc counting;
    counting.fail_at = fail_at;
    const Alloc hooks = counting.hooks();
    torque_err err;
    {
      LiveMap live(hooks);
      err = live.read(root.path());
    }
    assert_int_equal(counting.out, 0);
    if (!err) break;
    assert_int_equal(err, TORQUE_ERR_RESOURCE);
  }
}

}  // namespace

int main() {
#define ON_A_MACHINE(test) cmocka_unit_test_setup_teardown(test, up, down)
  const CMUnitTest tests[] = {
      ON_A_MACHINE(this_machine_is_read_as_hwloc_reads_it),
      ON_A_MACHINE(packages_with_several_caches_and_two_threads_a_core),
      ON_A_MACHINE(nodes_within_a_package),
      ON_A_MACHINE(packages_within_a_node),
      ON_A_MACHINE(numbers_that_are_dealt_out_in_turn),
      ON_A_MACHINE(a_cpu_that_is_offline),
      ON_A_MACHINE(older_kernels),
      ON_A_MACHINE(what_is_irregular_is_left_to_hwloc),
      ON_A_MACHINE(want_of_memory_is_an_error_and_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
