// SPDX-License-Identifier: BSD-3-Clause
// Who waits for visits waits for those that were under way, and for no other.
#include "base/visit.hh"

#include <sched.h>

#include <thread>
#include <vector>

#include "support/cmocka.hh"

namespace {

using namespace torque;

void await(const std::atomic<int> &v, int value) {
  while (v.load() != value) sched_yield();
}

void nobody_is_waited_for(void **) {
  wait_for_visits();
  const Visit own;  // one's own does not count
  wait_for_visits();
}

void a_visit_under_way_is_waited_for(void **) {
  std::atomic<int> step{0};
  std::atomic<bool> left{false};
  std::thread visitor([&] {
    const Visit outer;
    {
      const Visit inner;
    }
    step = 1;
    await(step, 2);
    for (int i = 0; i < 1000; ++i) sched_yield();
    left = true;
  });
  await(step, 1);
  std::thread other([&] { step = 2; });
  wait_for_visits();
  assert_true(left);
  visitor.join();
  other.join();
}

void what_is_done_outside_is_not(void **) {
  std::atomic<int> step{0};
  std::thread visitor([&] {
    const Visit visit;
    const Visit nested;
    {
      const Outside outside;
      step = 1;
      await(step, 2);
    }
    step = 3;
    await(step, 4);
  });
  await(step, 1);
  wait_for_visits();
  step = 2;
  await(step, 3);
  std::thread other([&] { step = 4; });
  wait_for_visits();  // it is back within, twice
  assert_int_equal(step.load(), 4);
  visitor.join();
  other.join();
}

// One that comes and goes all the time cannot hold up the wait.
void later_visits_are_not_waited_for(void **) {
  std::atomic<bool> enough{false};
  std::vector<std::thread> busy;
  std::atomic<int> started{0};
  for (int i = 0; i < 3; ++i) {
    busy.emplace_back([&] {
      ++started;
      while (!enough) {
        const Visit visit;
      }
    });
  }
  await(started, 3);
  for (int i = 0; i < 2000; ++i) wait_for_visits();
  enough = true;
  for (auto &t : busy) t.join();
}

// What the rest of the library does: out of sight first, freed after the wait.
void nothing_is_freed_under_a_visitor(void **) {
  std::atomic<int *> thing{nullptr};
  std::atomic<bool> enough{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> visitors;
  for (int i = 0; i < 3; ++i) {
    visitors.emplace_back([&] {
      while (!enough) {
        const Visit visit;
        if (const int *p = thing.load(std::memory_order_acquire)) wrong += *p != 42;
      }
    });
  }
  for (int i = 0; i < 5000; ++i) {
    auto *p = new int(42);
    thing.store(p, std::memory_order_release);
    thing.store(nullptr, std::memory_order_release);
    wait_for_visits();
    *p = 0;
    delete p;
  }
  enough = true;
  for (auto &t : visitors) t.join();
  assert_int_equal(wrong.load(), 0);
}

// More threads than there are records to begin with; each gives its own back.
void many_threads_come_and_go(void **) {
  for (int round = 0; round < 5; ++round) {
    std::vector<std::thread> all;
    std::atomic<int> inside{0};
    std::atomic<bool> go{false};
    for (int i = 0; i < 100; ++i) {
      all.emplace_back([&] {
        {
          const Visit visit;
          ++inside;
        }
        while (!go) sched_yield();
      });
    }
    await(inside, 100);
    wait_for_visits();
    go = true;
    for (auto &t : all) t.join();
  }
}

void a_signal_handlers_visit_needs_no_record(void **) {
  std::atomic<int> step{0};
  std::thread visitor([&] {
    const SignalVisit visit;  // this thread has none
    step = 1;
    await(step, 2);
  });
  await(step, 1);
  std::thread other([&] { step = 2; });
  wait_for_visits();
  assert_int_equal(step.load(), 2);
  visitor.join();
  other.join();
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(nobody_is_waited_for),
      cmocka_unit_test(a_visit_under_way_is_waited_for),
      cmocka_unit_test(what_is_done_outside_is_not),
      cmocka_unit_test(later_visits_are_not_waited_for),
      cmocka_unit_test(nothing_is_freed_under_a_visitor),
      cmocka_unit_test(many_threads_come_and_go),
      cmocka_unit_test(a_signal_handlers_visit_needs_no_record),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
