// SPDX-License-Identifier: BSD-3-Clause
#include "source/fewest.hh"

#include <algorithm>
#include <random>
#include <vector>

#include "support/cmocka.hh"

using torque::Fewest;

namespace {

// Domains that count their sources, and how often they were asked.
struct Domains {
  explicit Domains(uint32_t n) : load(n) {}
  uint32_t add() {
    const uint32_t d = fewest.pick(static_cast<uint32_t>(load.size()), [&](uint32_t i) {
      ++asked;
      return load[i];
    });
    ++load[d];
    return d;
  }
  void remove(uint32_t d) { fewest.fell(d, --load[d]); }
  uint64_t least() const { return *std::min_element(load.begin(), load.end()); }
  uint64_t most() const { return *std::max_element(load.begin(), load.end()); }

  std::vector<uint64_t> load;
  Fewest fewest;
  uint64_t asked = 0;
};

void few_are_spread_evenly(void **) {
  for (const uint32_t n : {1u, 2u, 3u, 7u, 192u, 4096u}) {
    Domains d(n);
    for (uint32_t i = 0; i < 5 * n; ++i) {
      d.add();
      assert_true(d.most() <= i / n + 1);
    }
    assert_int_equal(d.least(), 5);
  }
}

void most_domains_are_not_asked(void **) {
  Domains d(192);
  for (int i = 0; i < 192 * 100; ++i) d.add();
  assert_true(d.asked < 192 * 100 * 4);
  assert_true(d.most() <= d.least() + 1 + d.least() / 8);
}

void one_that_has_fewer_is_filled_up(void **) {
  Domains d(8);
  for (int i = 0; i < 8000; ++i) d.add();
  for (int i = 0; i < 900; ++i) d.remove(5);
  d.asked = 0;
  uint32_t there = 0;
  for (int i = 0; i < 500; ++i) there += d.add() == 5;
  assert_int_equal(there, 500);
  assert_true(d.asked < 500 * 3);
}

// As when all connections of a server go and come again.
void after_all_have_gone_it_begins_anew(void **) {
  Domains d(16);
  for (int i = 0; i < 16 * 1000; ++i) d.add();
  for (uint32_t i = 0; i < 16; ++i)
    while (d.load[i]) d.remove(i);
  for (uint32_t i = 0; i < 16 * 4; ++i) d.add();
  assert_int_equal(d.least(), 4);
  assert_int_equal(d.most(), 4);
}

void stays_near_while_sources_come_and_go(void **) {
  std::mt19937 random(20260101);
  Domains d(24);
  std::vector<uint32_t> where;
  for (int i = 0; i < 24 * 400; ++i) where.push_back(d.add());
  d.asked = 0;
  for (int i = 0; i < 200000; ++i) {
    std::swap(where[random() % where.size()], where.back());
    d.remove(where.back());
    where.back() = d.add();
  }
  assert_true(d.least() >= 400 * 5 / 8);
  assert_true(d.most() <= 400 * 5 / 4);
  assert_true(d.asked < 200000 * 4);
}

// All have the same, and as many come as go: whom to take must be found each time.
void however_many_domains_there_are_few_are_asked(void **) {
  for (const uint32_t burst : {1u, 2u, 8u, 64u}) {
    std::mt19937 random(20260102);
    Domains d(1024);
    std::vector<uint32_t> where;
    for (int i = 0; i < 1024 * 16; ++i) where.push_back(d.add());
    d.asked = 0;
    for (int i = 0; i < 20000; ++i) {
      for (uint32_t j = 0; j < burst; ++j) {
        std::swap(where[random() % where.size()], where.back());
        d.remove(where.back());
        where.pop_back();
      }
      for (uint32_t j = 0; j < burst; ++j) {
        const uint64_t before = d.asked;
        where.push_back(d.add());
        assert_true(d.asked - before <= Fewest::kAskedMost + 1);
      }
    }
    assert_true(d.asked < uint64_t{20000} * burst * 32);
    assert_true(d.least() >= 16 / 2);
    assert_true(d.most() <= 16 * 3 / 2);
  }
}

// Sources that callbacks add near themselves are not asked about.
void what_was_added_elsewhere_counts(void **) {
  Domains d(6);
  for (uint32_t i = 1; i < 6; ++i) d.load[i] = 100;
  for (int i = 0; i < 100; ++i) assert_int_equal(d.add(), 0);
  for (int i = 0; i < 6 * 8; ++i) d.add();
  assert_true(d.most() <= 120);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(few_are_spread_evenly),
      cmocka_unit_test(most_domains_are_not_asked),
      cmocka_unit_test(one_that_has_fewer_is_filled_up),
      cmocka_unit_test(after_all_have_gone_it_begins_anew),
      cmocka_unit_test(stays_near_while_sources_come_and_go),
      cmocka_unit_test(however_many_domains_there_are_few_are_asked),
      cmocka_unit_test(what_was_added_elsewhere_counts),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
