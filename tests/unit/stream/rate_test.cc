// SPDX-License-Identifier: BSD-3-Clause
// What a meter lets pass, by moments that the test names.
#include "stream/rate.hh"

#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "base/clock.hh"
#include "source/context.hh"
#include "support/cmocka.hh"

using namespace torque;

namespace {

constexpr uint64_t kMuch = 1000000;
using Crowd = std::array<Quota, 16>;

// All of them wait, and have waited long enough.
void have_waited(Meter &m, Crowd &crowd) {
  const uint64_t now = monotonic_ns();
  uint64_t due = 0;
  for (Quota &q : crowd) assert_false(m.take(q, kMuch, now, &due));
  while (monotonic_ns() < due) ::usleep(1000);
}

uint64_t taken_by(Meter &m, Crowd &crowd, uint64_t now) {
  uint64_t n = 0, due;
  for (Quota &q : crowd) n += m.take(q, kMuch, now, &due) ? q.hand : 0;
  return n;
}

void a_lowered_rate_owes_nobody_the_old_ones_bytes(void **) {
  constexpr uint64_t kHigh = 100000000, kLow = 10000, kPortion = kLow / 16;
  Meter m;
  Crowd crowd;
  m.set(kHigh, 1);
  have_waited(m, crowd);
  const uint64_t since = monotonic_ns();
  m.set(kLow, 1);
  const uint64_t n = taken_by(m, crowd, monotonic_ns());
  assert_true(n <= 1 + kPortion + (monotonic_ns() - since) * kLow / kSecond + 1);
  assert_true(n > 0);  // the first has waited long enough
  for (Quota &q : crowd) m.leave(q);
}

void a_raised_rate_lets_those_pass_who_waited(void **) {
  Meter m;
  Crowd crowd;
  uint64_t due;
  m.set(1, 1);
  const uint64_t now = monotonic_ns();
  for (Quota &q : crowd) (void)m.take(q, kMuch, now, &due);
  m.set(1600000, 1);
  assert_true(taken_by(m, crowd, monotonic_ns() + kSecond) >= 15);  // one may have had its byte
  for (Quota &q : crowd) m.leave(q);
}

// How long a newcomer waits that wants one byte.
uint64_t wait_of_a_newcomer(Meter &m, uint64_t now) {
  Quota q;
  uint64_t due = now;
  (void)m.take(q, 1, now, &due);
  m.leave(q);
  return due - now;
}

void a_child_does_not_pay_for_what_waits_in_its_parent(void **) {
  Meter m;
  Crowd crowd;
  m.set(1000, 1);
  const uint64_t now = monotonic_ns();
  uint64_t due;
  for (Quota &q : crowd) assert_false(m.take(q, kMuch, now, &due));
  const uint64_t behind_all = due - now;
  assert_true(wait_of_a_newcomer(m, now) > behind_all);
  const pid_t child = ::fork();
  if (child == 0) {
    forks.fetch_add(1);  // as the library does where it has a context
    ::_exit(wait_of_a_newcomer(m, now) * 16 < behind_all ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(::waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  for (Quota &q : crowd) m.leave(q);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_lowered_rate_owes_nobody_the_old_ones_bytes),
      cmocka_unit_test(a_raised_rate_lets_those_pass_who_waited),
      cmocka_unit_test(a_child_does_not_pay_for_what_waits_in_its_parent),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
