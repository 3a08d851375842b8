// SPDX-License-Identifier: BSD-3-Clause
// Where the wheel under the public deadlines stands when the caller's clock jumps: never after the clock, or what is set
// from then on would be kept in exact order only by a heap.
#include "timer/deadline_queue.hh"

#include "support/cmocka.hh"

namespace {

using torque::Alloc;
using torque::kNever;
using torque::kSecond;
using torque::timer::DeadlineQueue;

constexpr uint64_t kNow = 1000000 * kSecond;

uint32_t pop(DeadlineQueue &q, uint64_t now) {
  void *arg;
  uint64_t when;
  return q.pop(now, &arg, &when);
}

void the_wheel_follows_the_clock_forwards(void **) {
  const Alloc alloc;
  DeadlineQueue q(alloc);
  assert_int_equal(pop(q, kNow), 0);
  assert_true(q.covered() > kNow - kSecond && q.covered() < kNow + kSecond);
}

void the_wheel_follows_a_clock_that_was_set_back(void **) {
  const Alloc alloc;
  DeadlineQueue q(alloc);
  const uint32_t late = q.add(2 * kNow, nullptr), early = q.add(kNow / 2, nullptr);
  assert_int_equal(pop(q, kNow), early);
  assert_int_equal(pop(q, kNow), 0);
  assert_int_equal(pop(q, kNow / 3), 0);
  assert_true(q.covered() < kNow / 3 + kSecond);
  assert_true(q.set(early, *q.find(early), kNow / 2));
  assert_int_equal(pop(q, kNow), early);
  assert_int_equal(pop(q, 3 * kNow), late);
}

void the_wheel_does_not_turn_back_for_a_jitter(void **) {
  const Alloc alloc;
  DeadlineQueue q(alloc);
  assert_int_equal(pop(q, kNow), 0);
  const uint64_t before = q.covered();
  assert_int_equal(pop(q, kNow - kSecond / 2), 0);
  assert_int_equal(q.covered(), before);
}

void a_shift_takes_the_wheel_along(void **) {
  const Alloc alloc;
  DeadlineQueue q(alloc);
  static_cast<void>(q.add(kNow + kSecond, nullptr));
  assert_int_equal(pop(q, kNow), 0);
  assert_true(q.shift(-static_cast<int64_t>(kNow / 2)));
  const uint64_t moved = q.covered();
  assert_true(moved < kNow / 2 + kSecond);
  assert_int_equal(pop(q, kNow / 2), 0);
  assert_true(q.covered() >= moved);
  assert_true(q.shift(static_cast<int64_t>(kNow)));
  assert_int_equal(pop(q, kNow / 2 + kNow), 0);
  assert_int_equal(pop(q, kNow / 2 + kNow + kSecond), 1);
}

void an_empty_one_can_be_shifted(void **) {
  const Alloc alloc;
  DeadlineQueue q(alloc);
  assert_int_equal(pop(q, kNow), 0);
  assert_true(q.shift(INT64_MIN));
  assert_true(q.covered() < kSecond);
  assert_true(q.shift(INT64_MAX));
  assert_int_equal(q.next(), kNever);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_wheel_follows_the_clock_forwards),
      cmocka_unit_test(the_wheel_follows_a_clock_that_was_set_back),
      cmocka_unit_test(the_wheel_does_not_turn_back_for_a_jitter),
      cmocka_unit_test(a_shift_takes_the_wheel_along),
      cmocka_unit_test(an_empty_one_can_be_shifted),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
