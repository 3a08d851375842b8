// SPDX-License-Identifier: BSD-3-Clause
#include "topology/topology.hh"

#include <hwloc.h>
#include <sched.h>

#include <string>

#include "unit/topology/machine.hh"

#include "support/cmocka.hh"

using namespace torque;

namespace {

const Alloc alloc;
test::FakeRoot root;
Topology *map;  // of the running test; the fixture gives it back
Topology *const untouched = reinterpret_cast<Topology *>(&root);

int up(void **) {
  map = nullptr;
  root = {};
  root.make();
  return root.path()[0] ? 0 : -1;
}
int down(void **) {
  Topology::destroy(map);
  root.remove();
  return 0;
}

TopologyRequest synthetic(const char *text, uint32_t workers = 0, uint32_t sharing = TORQUE_SHARE_DEFAULT) {
  TopologyRequest r;
  r.source = TORQUE_TOPOLOGY_SYNTHETIC;
  r.source_text = text;
  r.workers = workers;
  r.sharing = sharing;
  r.file_root = root.path();
  return r;
}

// The map in words, or "error N"; the one before is given back.
std::string load(const TopologyRequest &request) {
  Topology::destroy(map);
  map = untouched;
  const torque_err err = Topology::load(request, alloc, &map);
  if (!err) return test::describe(*map);
  const bool same = map == untouched;
  map = nullptr;
  return same ? "error " + std::to_string(err) : "touched";
}

#define assert_map(request, text) assert_string_equal(load(request).c_str(), text)

void two_packages_with_l3_clusters_and_smt(void **) {
  assert_map(synthetic("pack:2 l3:4 core:4 pu:2"),
             "L3:0-7*8 L3:8-15*8 L3:16-23*8 L3:24-31*8 L3:32-39*8 L3:40-47*8 L3:48-55*8 L3:56-63*8");
  assert_int_equal(map->workers().size(), 64);
  assert_false(map->pinnable());
  for (const Topology::Worker &w : map->workers()) assert_int_equal(w.cpu, -1);
  assert_string_equal(map->budget().reason,
                      "One worker for each of the 64 usable CPUs of a map that is not this machine's.");
}

void siblings_of_a_core_do_not_make_a_domain_while_cores_share_something(void **) {
  assert_map(synthetic("pack:1 l3:2 l2:2 l1:1 core:1 pu:2"), "L3:0-3*4 L3:4-7*4");
  assert_map(synthetic("l3:1 l2:3 core:2 pu:1"), "L2:0-1*2 L2:2-3*2 L2:4-5*2");
}

void a_single_core_with_smt_shares_its_first_cache(void **) {
  assert_map(synthetic("l3:1 l2:1 l1:1 core:1 pu:2"), "L1:0-1*2");
  assert_map(synthetic("core:1 pu:2"), "core:0-1*2");
  assert_map(synthetic("l3:1 core:1 pu:1"), "thread:0*1");
}

void without_a_shared_cache_memory_makes_the_domain(void **) {
  assert_map(synthetic("node:2 l2:3 core:1 pu:1"), "node:0-2*3 node:3-5*3");
  assert_map(synthetic("pack:2 node:2 core:1 pu:1"), "package:0-1*2 package:2-3*2");
  assert_map(synthetic("node:3 core:1 pu:1"), "machine:0-2*3");
}

void a_large_domain_is_split_evenly(void **) {
  load(synthetic("l3:1 core:192 pu:1"));
  assert_int_equal(map->domains().size(), 12);
  for (const Topology::Domain &d : map->domains()) {
    assert_int_equal(d.workers, 16);
    assert_int_equal(d.cache_share, d.cache_bytes / 192);
  }
  assert_map(synthetic("l3:1 core:20 pu:1"), "L3:0-9*10 L3:10-19*10");
  assert_map(synthetic("l3:1 core:17 pu:1"), "L3:0-7*8 L3:8-16*9");
  TopologyRequest limited = synthetic("l3:1 core:6 pu:1");
  limited.domain_cpus_max = 4;
  assert_map(limited, "L3:0-2*3 L3:3-5*3");
}

void a_two_core_machine_runs_eight_domains_of_sixteen(void **) {
  load(synthetic("l3:1 core:2 pu:1", 128));
  assert_int_equal(map->domains().size(), 8);
  for (const Topology::Domain &d : map->domains()) {
    assert_int_equal(d.workers, 16);
    assert_int_equal(d.cpus, 2);
  }
}

void policies_decide_who_shares(void **) {
  const char *const machine = "pack:2 l3:1 l2:2 core:1 pu:2";
  assert_map(synthetic(machine, 0, TORQUE_SHARE_THREAD),
             "thread:0*1 thread:1*1 thread:2*1 thread:3*1 thread:4*1 thread:5*1 thread:6*1 thread:7*1");
  assert_map(synthetic(machine, 0, TORQUE_SHARE_CORE), "core:0-1*2 core:2-3*2 core:4-5*2 core:6-7*2");
  assert_map(synthetic(machine, 0, TORQUE_SHARE_L2), "L2:0-1*2 L2:2-3*2 L2:4-5*2 L2:6-7*2");
  assert_map(synthetic(machine, 0, TORQUE_SHARE_L3), "L3:0-3*4 L3:4-7*4");
  assert_map(synthetic(machine, 0, TORQUE_SHARE_NODE), "node:0-7*8");
  assert_map(synthetic(machine, 0, TORQUE_SHARE_MACHINE), "machine:0-7*8");
}

void fewer_workers_fill_domains_evenly_and_cores_before_siblings(void **) {
  const char *const machine = "pack:2 l3:2 core:2 pu:2";
  assert_map(synthetic(machine, 2), "L3:0*1 L3:8*1");
  assert_map(synthetic(machine, 4), "L3:0*1 L3:4*1 L3:8*1 L3:12*1");
  assert_map(synthetic(machine, 8), "L3:0,2*2 L3:4,6*2 L3:8,10*2 L3:12,14*2");
  assert_map(synthetic(machine, 12), "L3:0-2*3 L3:4-6*3 L3:8-10*3 L3:12-14*3");
}

void more_workers_than_cpus_go_round_robin(void **) {
  load(synthetic("l3:1 core:3 pu:1", 7));
  const uint32_t expected[] = {0, 1, 2, 0, 1, 2, 0};
  assert_int_equal(map->workers().size(), 7);
  for (size_t i = 0; i < 7; i++) assert_int_equal(map->workers()[i].map_cpu, expected[i]);
  assert_int_equal(map->domains().size(), 1);
  assert_int_equal(map->domains()[0].cpus, 3);
}

void a_map_with_more_cpus_than_workers_there_can_be_is_thinned(void **) {
  load(synthetic("pack:5 core:1000 pu:1"));
  assert_int_equal(map->workers().size(), Topology::workers_max);
  assert_int_equal(map->budget().usable_cpus, 5000);
}

void only_the_cpus_asked_for_are_used(void **) {
  const uint32_t cpus[] = {5, 1, 4, 77, 4};
  TopologyRequest r = synthetic("l3:2 core:4 pu:1");
  r.cpus = cpus;
  r.ncpus = 5;
  assert_map(r, "thread:1*1 L3:4-5*2");
  r.cpus = cpus + 3;
  r.ncpus = 1;
  assert_map(r, "error 5");
}

void numa_nodes_caches_and_page_sizes_are_listed(void **) {
  load(synthetic("[numa(memory=1073741824)] pack:2 [numa(memory=2147483648)] l3:2(size=8388608) l2:2(size=1048576) core:1 pu:2"));
  assert_int_equal(map->caches().size(), 2);
  assert_int_equal(map->caches()[0].level, 2);
  assert_int_equal(map->caches()[0].bytes, 1048576);
  assert_int_equal(map->caches()[0].number, 8);
  assert_int_equal(map->caches()[0].cpus, 2);
  assert_int_equal(map->caches()[1].level, 3);
  assert_int_equal(map->caches()[1].number, 4);
  assert_int_equal(map->nodes().size(), 3);
  assert_int_equal(map->domains()[0].cache_bytes, 8388608);
  assert_true(!map->page_sizes().empty() && map->page_sizes()[0] == 4096);
}

void requests_out_of_range_are_refused(void **) {
  TopologyRequest r = synthetic("core:2 pu:1");
  r.workers = Topology::workers_max + 1;
  assert_map(r, "error 7");
  r = synthetic("core:2 pu:1");
  r.sharing = TORQUE_SHARE_MACHINE + 1;
  assert_map(r, "error 7");
  r = synthetic("core:2 pu:1");
  r.domain_cpus_max = 0;
  assert_map(r, "error 7");
  r = synthetic("core:2 pu:1");
  r.source = TORQUE_TOPOLOGY_XML + 1;
  assert_map(r, "error 7");
  assert_map(synthetic(nullptr), "error 7");
}

void texts_that_are_no_machine_are_refused(void **) {
  for (const char *text : {"", "x", "pack:", "pack:0", "core:-1 pu:2", "pu:2 core:3 l3:q"}) assert_map(synthetic(text), "error 7");
}

void files_that_are_no_machine_are_refused(void **) {
  root.file("/empty", "");
  root.file("/text", "not a map\n");
  root.file("/cut", "<?xml version=\"1.0\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n<topology version=\"2.0\"><object");
  for (const char *name : {"/none", "/empty", "/text", "/cut", ""}) {
    const std::string file = std::string(root.path()) + name;
    TopologyRequest r = synthetic(file.c_str());
    r.source = TORQUE_TOPOLOGY_XML;
    assert_map(r, "error 7");
  }
}

bool export_xml(const char *text, const std::string &file) {
  hwloc_topology_t topology;
  if (hwloc_topology_init(&topology) != 0) return false;
  const bool ok = (!text || hwloc_topology_set_synthetic(topology, text) == 0) && hwloc_topology_load(topology) == 0 &&
                  hwloc_topology_export_xml(topology, file.c_str(), 0) == 0;
  hwloc_topology_destroy(topology);
  return ok;
}

void a_map_survives_the_way_through_xml(void **) {
  const std::string file = std::string(root.path()) + "/map.xml";
  for (const char *text : {"pack:2 l3:4 core:4 pu:2", "node:2 l2:3 core:1 pu:1", "l3:1 core:192 pu:1"}) {
    assert_true(export_xml(text, file));
    const std::string direct = load(synthetic(text));
    TopologyRequest r = synthetic(file.c_str());
    r.source = TORQUE_TOPOLOGY_XML;
    assert_map(r, direct.c_str());
    assert_false(map->pinnable());
  }
}

TopologyRequest live() {
  TopologyRequest r;
  r.file_root = root.path();
  return r;
}

cpu_set_t allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  return set;
}

int last_of(const cpu_set_t &set) {
  int last = CPU_SETSIZE - 1;
  while (last > 0 && !CPU_ISSET(last, &set)) last--;
  return last;
}

void this_machine_has_a_pinned_worker_for_each_allowed_cpu(void **) {
  const cpu_set_t set = allowed();
  load(live());
  assert_non_null(map);
  assert_true(map->pinnable());
  assert_int_equal(map->workers().size(), CPU_COUNT(&set));
  for (const Topology::Worker &w : map->workers()) assert_true(CPU_ISSET(static_cast<size_t>(w.cpu), &set));
  assert_true(map->page_sizes()[0] == static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
}

// The original counted CPUs from 0 and wrote beyond its tables when the mask began later.
void an_affinity_mask_that_does_not_begin_at_0_is_obeyed(void **) {
  const cpu_set_t before = allowed();
  const int last = last_of(before);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  load(live());
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
  assert_int_equal(map->workers().size(), 1);
  assert_int_equal(map->workers()[0].cpu, last);
  assert_int_equal(map->budget().affinity_cpus, 1);
}

void use_cgroup(const char *quota, const std::string &cpus) {
  root.file("/proc/self/cgroup", "0::/app\n");
  root.file("/proc/self/mountinfo", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  root.file("/sys/fs/cgroup/app/cpu.max", quota);
  root.file("/sys/fs/cgroup/app/cpuset.cpus.effective", cpus);
}

void the_cpuset_narrows_the_affinity(void **) {
  const int last = last_of(allowed());
  use_cgroup("max 100000", std::to_string(last) + ",100000");
  load(live());
  assert_int_equal(map->workers().size(), 1);
  assert_int_equal(map->workers()[0].cpu, last);
  assert_int_equal(map->budget().cpuset_cpus, 2);
}

void a_cpuset_that_contradicts_the_affinity_is_passed_over(void **) {
  const cpu_set_t set = allowed();
  use_cgroup("max 100000", "100000-100003");
  load(live());
  assert_int_equal(map->workers().size(), CPU_COUNT(&set));
}

void no_worker_is_made_that_the_quota_does_not_pay_for(void **) {
  for (const char *quota : {"150000 100000", "100000 100000", "1000 100000"}) {
    use_cgroup(quota, "");
    load(live());
    assert_int_equal(map->workers().size(), 1);
  }
  use_cgroup("9000000 100000", "");
  load(live());
  assert_int_equal(map->budget().quota_milli, 90000);
  assert_int_equal(map->workers().size(), std::min<uint32_t>(map->budget().usable_cpus, 90));
}

void a_number_asked_for_stands_whatever_the_quota(void **) {
  use_cgroup("100000 100000", "");
  TopologyRequest r = live();
  r.workers = 5;
  load(r);
  assert_int_equal(map->workers().size(), 5);
}

void a_quota_here_does_not_limit_another_machines_map(void **) {
  use_cgroup("100000 100000", "");
  assert_map(synthetic("l3:1 core:4 pu:1"), "L3:0-3*4");
}

void cpus_that_may_not_be_used_are_an_affinity_error(void **) {
  const uint32_t cpu = 100000;
  TopologyRequest r = live();
  r.cpus = &cpu;
  r.ncpus = 1;
  assert_map(r, "error 5");
}

// hwloc's environment variables can put another map in the place of this machine's.
std::string load_live_as(const char *text, bool claim_here) {
  setenv("HWLOC_SYNTHETIC", text, 1);
  if (claim_here) setenv("HWLOC_THISSYSTEM", "1", 1);
  const std::string got = load(live());
  unsetenv("HWLOC_SYNTHETIC");
  unsetenv("HWLOC_THISSYSTEM");
  return got;
}

void a_foreign_map_in_place_of_this_machines_pins_nothing(void **) {
  assert_string_equal(load_live_as("l3:2 core:3 pu:1", false).c_str(), "L3:0-2*3 L3:3-5*3");
  assert_false(map->pinnable());
  assert_int_equal(map->workers()[5].cpu, -1);
}

void a_machine_that_is_not_detected_is_one_of_equal_cpus(void **) {
  const cpu_set_t set = allowed();
  load_live_as("core:2 pu:1(indexes=90000,90001)", true);
  assert_non_null(map);
  assert_false(map->detected());
  assert_true(map->pinnable());
  assert_int_equal(map->workers().size(), CPU_COUNT(&set));
  assert_int_equal(map->domains().size(), (CPU_COUNT(&set) + 15) / 16);
  for (const Topology::Worker &w : map->workers()) assert_true(CPU_ISSET(static_cast<size_t>(w.cpu), &set));
}

// hwloc's own memory does not come from the hooks; every allocation that does fails once.
void want_of_memory_at(const TopologyRequest &request) {
  test::CountingAlloc counting;
  Topology *one = nullptr;
  assert_int_equal(Topology::load(request, counting.hooks(), &one), 0);
  const std::string whole = test::describe(*one);
  Topology::destroy(one);
  assert_int_equal(counting.out, 0);
  assert_int_equal(counting.bytes_out, 0);
  const long calls = counting.calls;
  assert_true(calls > 5);
  for (long n = 1; n <= calls + 1; n++) {
    counting = {};
    counting.fail_at = n;
    one = untouched;
    const torque_err err = Topology::load(request, counting.hooks(), &one);
    if (n <= calls) assert_true(err == TORQUE_ERR_RESOURCE && one == untouched);
    else assert_true(err == 0 && test::describe(*one) == whole);
    if (!err) Topology::destroy(one);
    assert_int_equal(counting.out, 0);
    assert_int_equal(counting.bytes_out, 0);
  }
}

void every_allocation_that_fails_is_an_error_without_a_leak(void **) {
  use_cgroup("150000 100000", "0-4000");
  const uint32_t cpus[] = {0, 9, 33, 200};
  TopologyRequest r = synthetic("pack:2 l3:4 core:4 pu:2", 100);
  want_of_memory_at(r);
  r.sharing = TORQUE_SHARE_THREAD;
  r.cpus = cpus;
  r.ncpus = 4;
  want_of_memory_at(r);
  want_of_memory_at(live());
}

}  // namespace

#define fixture_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main() {
  const struct CMUnitTest tests[] = {
      fixture_test(two_packages_with_l3_clusters_and_smt),
      fixture_test(siblings_of_a_core_do_not_make_a_domain_while_cores_share_something),
      fixture_test(a_single_core_with_smt_shares_its_first_cache),
      fixture_test(without_a_shared_cache_memory_makes_the_domain),
      fixture_test(a_large_domain_is_split_evenly),
      fixture_test(a_two_core_machine_runs_eight_domains_of_sixteen),
      fixture_test(policies_decide_who_shares),
      fixture_test(fewer_workers_fill_domains_evenly_and_cores_before_siblings),
      fixture_test(more_workers_than_cpus_go_round_robin),
      fixture_test(a_map_with_more_cpus_than_workers_there_can_be_is_thinned),
      fixture_test(only_the_cpus_asked_for_are_used),
      fixture_test(numa_nodes_caches_and_page_sizes_are_listed),
      fixture_test(requests_out_of_range_are_refused),
      fixture_test(texts_that_are_no_machine_are_refused),
      fixture_test(files_that_are_no_machine_are_refused),
      fixture_test(a_map_survives_the_way_through_xml),
      fixture_test(this_machine_has_a_pinned_worker_for_each_allowed_cpu),
      fixture_test(an_affinity_mask_that_does_not_begin_at_0_is_obeyed),
      fixture_test(the_cpuset_narrows_the_affinity),
      fixture_test(a_cpuset_that_contradicts_the_affinity_is_passed_over),
      fixture_test(no_worker_is_made_that_the_quota_does_not_pay_for),
      fixture_test(a_number_asked_for_stands_whatever_the_quota),
      fixture_test(a_quota_here_does_not_limit_another_machines_map),
      fixture_test(cpus_that_may_not_be_used_are_an_affinity_error),
      fixture_test(a_foreign_map_in_place_of_this_machines_pins_nothing),
      fixture_test(a_machine_that_is_not_detected_is_one_of_equal_cpus),
      fixture_test(every_allocation_that_fails_is_an_error_without_a_leak),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
