// SPDX-License-Identifier: BSD-3-Clause
// What one domain writes shares no cache line with what others read on the path of an event. Prints where it all lies.
#include <cstddef>
#include <cstdio>

#include "source/context.hh"
#include "source/domain.hh"
#include "support/cmocka.hh"

#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace torque {

struct Field {
  const char *name;
  size_t begin, end;
  bool hot;  // read by every round, event or call
};

#define FIELD(type, member, hot) \
  Field { #member, offsetof(type, member), offsetof(type, member) + sizeof(static_cast<type *>(nullptr)->member), hot }

struct Layout {
  static void expect_apart(const char *type, const Field *fields, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      const Field &f = fields[i];
      std::printf("%s %-14s %5zu .. %5zu %s\n", type, f.name, f.begin, f.end, f.hot ? "read" : "written");
      for (size_t j = 0; j < n; ++j) {
        const Field &g = fields[j];
        if (f.hot && !g.hot) assert_true((f.end - 1) / kLine < g.begin / kLine || (g.end - 1) / kLine < f.begin / kLine);
      }
    }
  }

  static void domain(void **) {
    const Field fields[] = {FIELD(Domain, index, true),          FIELD(Domain, workers, true),
                            FIELD(Domain, queue_, true),         FIELD(Domain, load, false),
                            FIELD(Domain, streams_begun, false), FIELD(Domain, streams_over, false),
                            FIELD(Domain, slots, false),         FIELD(Domain, sleepers_, false),
                            FIELD(Domain, poked_, false)};
    static_assert(alignof(Domain) >= kLine);
    expect_apart("Domain", fields, sizeof fields / sizeof *fields);
  }

  static void timers(void **) {
    const Field fields[] = {FIELD(Timers, hint_, true), FIELD(Timers, wall_due_, true), FIELD(Timers, by_descriptor_, true),
                            FIELD(Timers, lock_, false), FIELD(Timers, monotonic_, false), FIELD(Timers, claimed_, false)};
    static_assert(alignof(Timers) >= kLine);
    expect_apart("Timers", fields, sizeof fields / sizeof *fields);
  }

  static void context(void **) {
    const Field fields[] = {FIELD(Context, stopping, true),      FIELD(Context, drain, true),
                            FIELD(Context, born_in_, true),      FIELD(Context, domains_, true),
                            FIELD(Context, domain_count_, true), FIELD(Context, options, true),
                            FIELD(Context, fewest_, false)};
    static_assert(alignof(Context) >= kLine);
    expect_apart("Context", fields, sizeof fields / sizeof *fields);
  }

  // Two numbers that follow each other, as two domains have them, share no line.
  static void descriptors(void **) {
    const auto at = [](Mutex &m) { return reinterpret_cast<uintptr_t>(&m) / kLine; };
    const Alloc alloc{};
    Descriptors table(alloc);
    for (int fd = 0; fd < static_cast<int>(Descriptors::kLocks); ++fd) {
      for (int other = 0; other < fd; ++other) assert_true(at(table.lock_of(fd)) != at(table.lock_of(other)));
    }
  }
};

}  // namespace torque

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(torque::Layout::domain),
      cmocka_unit_test(torque::Layout::timers),
      cmocka_unit_test(torque::Layout::context),
      cmocka_unit_test(torque::Layout::descriptors),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
