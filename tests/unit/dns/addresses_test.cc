// SPDX-License-Identifier: BSD-3-Clause
// The order of addresses: the examples of RFC 6724, 10.2, and what is left of them where a rule does not apply.
#include "dns/addresses.hh"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "support/cmocka.hh"

namespace {

using torque_dns::Addresses;
using torque_dns::Candidate;
using torque_dns::goes_before;
using torque_dns::parse_address;

struct Pair {
  const char *to;
  const char *from;  // null: it cannot be reached
};

torque_dns::Address address(const char *text) {
  torque_dns::Address a = {};
  assert_true(parse_address(text, std::strlen(text), &a));
  return a;
}

// The destinations in their order, with blanks between.
std::string sorted(const std::vector<Pair> &pairs) {
  std::vector<Candidate> all;
  for (const Pair &p : pairs) {
    Candidate c = {};
    c.found.address = address(p.to);
    c.source.family = AF_UNSPEC;
    if (p.from) c.source = address(p.from);
    c.position = static_cast<uint32_t>(all.size());
    all.push_back(c);
  }
  std::sort(all.begin(), all.end(), goes_before);
  std::string order;
  for (const Candidate &c : all) order += std::string(order.empty() ? "" : " ") + pairs[c.position].to;
  return order;
}

void expect_order(const std::vector<Pair> &pairs, const char *order) {
  std::vector<Pair> backwards(pairs.rbegin(), pairs.rend());
  assert_string_equal(sorted(pairs).c_str(), order);
  assert_string_equal(sorted(backwards).c_str(), order);
}

void examples_of_the_standard(void **) {
  // Prefer matching scope.
  expect_order({{"2001:db8:1::1", "2001:db8:1::2"}, {"198.51.100.121", "169.254.13.78"}},
               "2001:db8:1::1 198.51.100.121");
  expect_order({{"2001:db8:1::1", "fe80::1"}, {"198.51.100.121", "198.51.100.117"}}, "198.51.100.121 2001:db8:1::1");
  // Prefer higher precedence.
  expect_order({{"2001:db8:1::1", "2001:db8:1::2"}, {"10.1.2.3", "10.1.2.4"}}, "2001:db8:1::1 10.1.2.3");
  // Prefer smaller scope.
  expect_order({{"2001:db8:1::1", "2001:db8:1::2"}, {"fe80::1", "fe80::2"}}, "fe80::1 2001:db8:1::1");
  // Longest matching prefix.
  expect_order({{"2001:db8:1::1", "2001:db8:1::2"}, {"2001:db8:3ffe::1", "2001:db8:3f44::2"}},
               "2001:db8:1::1 2001:db8:3ffe::1");
  // Prefer matching label.
  expect_order({{"2002:c633:6401::1", "2002:c633:6401::2"}, {"2001:db8:1::1", "2002:c633:6401::2"}},
               "2002:c633:6401::1 2001:db8:1::1");
  // Prefer higher precedence.
  expect_order({{"2002:c633:6401::1", "2002:c633:6401::2"}, {"2001:db8:1::1", "2001:db8:1::2"}},
               "2001:db8:1::1 2002:c633:6401::1");
}

void what_cannot_be_reached_comes_last(void **) {
  expect_order({{"2001:db8::1", nullptr}, {"192.0.2.1", "192.0.2.9"}}, "192.0.2.1 2001:db8::1");
  expect_order({{"::1", "::1"}, {"127.0.0.1", "127.0.0.1"}, {"2001:db8::1", nullptr}}, "::1 127.0.0.1 2001:db8::1");
}

void equals_stay_as_they_came(void **) {
  const std::vector<Pair> three = {{"192.0.2.3", "192.0.2.9"}, {"192.0.2.1", "192.0.2.9"}, {"192.0.2.2", "192.0.2.9"}};
  assert_string_equal(sorted(three).c_str(), "192.0.2.3 192.0.2.1 192.0.2.2");
}

void each_address_once(void **) {
  Addresses a;
  assert_true(a.add(address("192.0.2.1"), 80, 5));
  assert_true(a.add(address("192.0.2.1"), 80, 7));
  assert_true(a.add(address("fe80::1%1"), 80, 7));
  assert_true(a.add(address("fe80::1%2"), 80, 7));
  assert_int_equal(a.list.size(), 3);
  assert_string_equal(a.list[2].text, "fe80::1%2");
  a.sort();  // whatever this machine reaches
  assert_int_equal(a.list.size(), 3);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(examples_of_the_standard),
      cmocka_unit_test(what_cannot_be_reached_comes_last),
      cmocka_unit_test(equals_stay_as_they_came),
      cmocka_unit_test(each_address_once),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
