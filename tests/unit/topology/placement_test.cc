// SPDX-License-Identifier: BSD-3-Clause
// Machines that hwloc's synthetic notation cannot make.
#include "topology/placement.hh"

#include <algorithm>
#include <string>
#include <vector>

#include "libtorque/config.h"
#include "unit/topology/machine.hh"

#include "support/cmocka.hh"

using namespace torque;

namespace {

const Alloc alloc;

Pu unit(uint32_t os, uint32_t core, int32_t l2, int32_t l3) {
  Pu pu{};
  pu.os = os;
  pu.core = core;
  pu.node = 0;
  for (int32_t &key : pu.key) key = 0;
  pu.key[level_l1] = static_cast<int32_t>(core);
  pu.key[level_l2] = l2;
  pu.key[level_l3] = l3;
  pu.key[level_l4] = pu.key[level_l5] = -1;
  pu.bytes[level_l1] = 32;
  pu.bytes[level_l2] = 1024;
  pu.bytes[level_l3] = 32768;
  return pu;
}

struct Placed {
  torque_err err = 0;
  std::string text;
  std::vector<PlacedDomain> domains;
  std::vector<uint32_t> cpus;  // by worker
};

Placed placed(std::vector<Pu> pus, PlacementRequest request) {
  Placed p;
  Placement placement(alloc);
  p.err = number_siblings(alloc, pus);
  if (!p.err) p.err = place(alloc, pus, request, &placement);
  for (const PlacedWorker &w : placement.workers) p.cpus.push_back(pus[w.pu].os);
  for (const PlacedDomain &d : placement.domains) {
    p.domains.push_back(d);
    const auto first = p.cpus.begin() + d.first_worker;
    p.text += (p.text.empty() ? "" : " ") + std::string(d.kind) + ":" + test::list_of({first, first + d.workers}) + "*" +
              std::to_string(d.workers);
  }
  return p;
}

// Two big cores with two threads and an L2 each, and a cluster of four small cores that share an L2; one L3.
std::vector<Pu> hybrid() {
  return {unit(0, 0, 0, 0), unit(1, 0, 0, 0), unit(2, 1, 1, 0), unit(3, 1, 1, 0),
          unit(4, 2, 2, 0), unit(5, 3, 2, 0), unit(6, 4, 2, 0), unit(7, 5, 2, 0)};
}

void hybrid_cores_are_grouped_by_what_each_kind_shares(void **) {
  const Placed p = placed(hybrid(), {8, TORQUE_SHARE_DEFAULT, 16});
  assert_int_equal(p.err, 0);
  assert_string_equal(p.text.c_str(), "L3:0-3*4 L2:4-7*4");
  assert_int_equal(p.domains[0].cache_bytes, 32768);
  assert_int_equal(p.domains[0].cache_share, 32768 / 8);
  assert_int_equal(p.domains[1].cache_bytes, 1024);
  assert_int_equal(p.domains[1].cache_share, 1024 / 4);
}

void distinct_cores_come_before_siblings_over_the_whole_machine(void **) {
  const Placed p = placed(hybrid(), {6, TORQUE_SHARE_DEFAULT, 16});
  assert_string_equal(p.text.c_str(), "L3:0,2*2 L2:4-7*4");
  assert_string_equal(placed(hybrid(), {7, TORQUE_SHARE_DEFAULT, 16}).text.c_str(), "L3:0-2*3 L2:4-7*4");
}

void a_core_left_over_by_its_neighbours_is_a_domain_by_itself(void **) {
  // CPU 8 is the only usable core under the second L3.
  std::vector<Pu> pus = {unit(0, 0, 0, 0), unit(1, 1, 1, 0), unit(8, 2, 2, 1)};
  const Placed p = placed(pus, {3, TORQUE_SHARE_DEFAULT, 16});
  assert_string_equal(p.text.c_str(), "L3:0-1*2 thread:8*1");
  assert_int_equal(p.domains[1].cache_bytes, 32768);
}

void a_left_over_core_with_siblings_shares_its_first_cache(void **) {
  std::vector<Pu> pus = {unit(0, 0, 0, 0), unit(1, 1, 1, 0), unit(8, 2, 2, 1), unit(9, 2, 2, 1)};
  const Placed p = placed(pus, {4, TORQUE_SHARE_DEFAULT, 16});
  assert_string_equal(p.text.c_str(), "L3:0-1*2 L1:8-9*2");
  assert_int_equal(p.domains[1].cache_bytes, 32);
}

void siblings_numbered_apart_by_the_system_still_share_a_core(void **) {
  // As on many servers: CPU n and CPU n + 2 are one core.
  std::vector<Pu> pus = {unit(0, 0, 0, 0), unit(2, 0, 0, 0), unit(1, 1, 1, 0), unit(3, 1, 1, 0)};
  assert_string_equal(placed(pus, {2, TORQUE_SHARE_CORE, 16}).text.c_str(), "core:0*1 core:1*1");
  assert_string_equal(placed(pus, {4, TORQUE_SHARE_CORE, 16}).text.c_str(), "core:0,2*2 core:1,3*2");
}

void a_level_that_is_missing_is_replaced_by_the_next_one_out(void **) {
  std::vector<Pu> pus = hybrid();
  for (Pu &pu : pus) pu.key[level_l3] = -1;
  assert_string_equal(placed(pus, {8, TORQUE_SHARE_L3, 16}).text.c_str(), "node:0-7*8");
  for (size_t i = 0; i < 4; i++) pus[i].key[level_l2] = -1;
  assert_string_equal(placed(pus, {8, TORQUE_SHARE_L2, 16}).text.c_str(), "node:0-3*4 L2:4-7*4");
}

void a_domain_over_several_nodes_has_none(void **) {
  std::vector<Pu> pus = {unit(0, 0, 0, 0), unit(1, 1, 1, 1)};
  pus[1].node = 1;
  pus[1].key[level_node] = 1;
  const Placed p = placed(pus, {2, TORQUE_SHARE_DEFAULT, 16});
  assert_string_equal(p.text.c_str(), "package:0-1*2");
  assert_int_equal(p.domains[0].node, -1);
  assert_int_equal(p.domains[0].cache_bytes, 0);
  assert_int_equal(p.domains[0].cache_share, 32768);
}

void one_queue_for_all_is_never_split_and_a_queue_for_each_never_shared(void **) {
  assert_string_equal(placed(hybrid(), {40, TORQUE_SHARE_MACHINE, 2}).text.c_str(), "machine:0-7*40");
  const Placed each = placed(hybrid(), {20, TORQUE_SHARE_THREAD, 16});
  assert_int_equal(each.domains.size(), 20);
}

// For every policy, number of workers and limit: each worker is in one domain, domains lie side by side, none is empty
// or too large, and no CPU has more than one worker above another.
void every_placement_is_complete_even_and_within_its_limit(void **) {
  for (uint32_t sharing = 0; sharing <= TORQUE_SHARE_MACHINE; sharing++)
    for (uint32_t workers = 1; workers <= 33; workers++)
      for (uint32_t domain_max = 1; domain_max <= 9; domain_max++) {
        const Placed p = placed(hybrid(), {workers, sharing, domain_max});
        assert_int_equal(p.err, 0);
        assert_int_equal(p.cpus.size(), workers);
        uint32_t next = 0;
        for (const PlacedDomain &d : p.domains) {
          assert_int_equal(d.first_worker, next);
          assert_true(d.workers >= 1 && (d.workers <= domain_max || sharing == TORQUE_SHARE_MACHINE));
          assert_true(d.pus >= 1 && d.pus <= d.workers);
          next += d.workers;
        }
        assert_int_equal(next, workers);
        uint32_t times[8] = {};
        for (const uint32_t cpu : p.cpus) times[cpu]++;
        assert_true(*std::max_element(times, times + 8) - *std::min_element(times, times + 8) <= 1);
      }
}

}  // namespace

int main() {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hybrid_cores_are_grouped_by_what_each_kind_shares),
      cmocka_unit_test(distinct_cores_come_before_siblings_over_the_whole_machine),
      cmocka_unit_test(a_core_left_over_by_its_neighbours_is_a_domain_by_itself),
      cmocka_unit_test(a_left_over_core_with_siblings_shares_its_first_cache),
      cmocka_unit_test(siblings_numbered_apart_by_the_system_still_share_a_core),
      cmocka_unit_test(a_level_that_is_missing_is_replaced_by_the_next_one_out),
      cmocka_unit_test(a_domain_over_several_nodes_has_none),
      cmocka_unit_test(one_queue_for_all_is_never_split_and_a_queue_for_each_never_shared),
      cmocka_unit_test(every_placement_is_complete_even_and_within_its_limit),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
