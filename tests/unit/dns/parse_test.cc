// SPDX-License-Identifier: BSD-3-Clause
// What people write: servers, domains, addresses, names of addresses, lines of the hosts file.
#include "dns/parse.hh"

#include <arpa/inet.h>

#include <cstring>
#include <string>

#include "support/cmocka.hh"

namespace {

using namespace torque_dns;

void servers(void **) {
  const char *good[] = {"1.2.3.4", " 1.2.3.4:53 ,, [::1]", "::1", "[2001:db8::1]:5353\t1.2.3.4"};
  const char *bad[] = {"",     " ,",     "name",   "1.2.3.4:",     "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:5x",
                       "[::1", "[::1]5", "[::1]:", "[1.2.3.4]:53", "1.2.3",     "[]:53",         ":53"};
  for (const char *text : good) {
    Array<Address> list;
    assert_true(parse_servers(text, &list) == Parsed::ok);
  }
  for (const char *text : bad) {
    Array<Address> list;
    assert_true(parse_servers(text, &list) == Parsed::wrong);
  }
  Array<Address> list;
  assert_true(parse_servers("1.2.3.4:99 [::1]:98 ::2", &list) == Parsed::ok);
  assert_int_equal(list.size(), 3);
  assert_int_equal(list[0].port(), 99);
  assert_int_equal(list[1].port(), 98);
  assert_int_equal(list[2].port(), 0);
  std::string many;
  for (int i = 0; i < 65; ++i) many += "1.2.3.4 ";
  Array<Address> too_many;
  assert_true(parse_servers(many.c_str(), &too_many) == Parsed::wrong);
}

void names_of_addresses(void **) {
  const char *pairs[][2] = {
      {"192.0.2.1", "1.2.0.192.in-addr.arpa"},
      {"::ffff:192.0.2.1", "1.2.0.192.in-addr.arpa"},
      {"2001:db8::567:89ab", "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"},
  };
  for (const auto &p : pairs) {
    Address a;
    char name[kReverseMost];
    assert_true(parse_address(p[0], std::strlen(p[0]), &a));
    assert_true(reverse_name(a, name));
    assert_string_equal(name, p[1]);
  }
}

void local_names(void **) {
  for (const char *name : {"localhost", "LOCALHOST.", "a.localhost", "a.b.localhost."}) assert_true(is_localhost(name));
  for (const char *name : {"", ".", "local", "alocalhost", "localhost.org", "localhost.."})
    assert_false(is_localhost(name));
}

std::string numeric(const char *text) {
  Address a;
  const Numeric how = parse_numeric(text, &a);
  if (how != Numeric::address) return how == Numeric::none ? "none" : "bad scope";
  char ret[INET6_ADDRSTRLEN] = "";
  const void *raw = a.family == AF_INET ? static_cast<const void *>(&a.v4.sin_addr) : &a.v6.sin6_addr;
  inet_ntop(a.family, raw, ret, sizeof ret);
  return a.family == AF_INET6 && a.v6.sin6_scope_id ? ret + std::string("%") + std::to_string(a.v6.sin6_scope_id) : ret;
}

void numeric_forms(void **) {
  const char *pairs[][2] = {{"127.1", "127.0.0.1"}, {"0x7f.1", "127.0.0.1"},  {"2130706433", "127.0.0.1"},
                            {"010.1.2.3", "8.1.2.3"}, {"1.2.3.4 ", "none"},   {"1.2.3.4.", "none"},
                            {"", "none"},             {"::1%1", "::1%1"},     {"::1%lo", "bad scope"},
                            {"fe80::1%", "bad scope"}, {"1.2.3.4%1", "none"}, {"fe80::1%007", "fe80::1%7"},
                            {"fe80::1%4294967296", "bad scope"}};
  for (const auto &p : pairs) assert_string_equal(numeric(p[0]).c_str(), p[1]);
}

void names_of_hosts(void **) {
  for (const char *name : {"a", "a.b", "a-b.c_d.", "1.2", "_x"}) assert_true(is_host_name(name));
  for (const char *name : {"", "-a", "a.-b", "a b", "a/b", "[::1]", ".", ".a", "a..b", "\xc3\xa4"})
    assert_false(is_host_name(name));
  for (const char *name : {"1", "256.1.2.3"}) assert_true(is_digits(name));
  for (const char *name : {"", "1.", ".1", "1a"}) assert_false(is_digits(name));
}

std::string hosts_line(const char *line) {
  std::string all;
  Address a;
  const bool good = parse_hosts_line(line, std::strlen(line), &a, [&all](const char *name, size_t size) {
    all += "[" + std::string(name, size) + "]";
    return true;
  });
  return good ? all : "nothing";
}

void hosts_lines(void **) {
  assert_string_equal(hosts_line("127.0.0.1 a b").c_str(), "[a][b]");
  assert_string_equal(hosts_line("\t::1\ta#b c\r").c_str(), "[a]");
  assert_string_equal(hosts_line("127.0.0.1").c_str(), "");
  assert_string_equal(hosts_line("a 127.0.0.1").c_str(), "nothing");
  assert_string_equal(hosts_line("# 127.0.0.1 a").c_str(), "nothing");
  assert_string_equal(hosts_line("").c_str(), "nothing");
}

void numbers(void **) {
  uint32_t n = 7;
  assert_true(parse_number("65535", 5, 65535, &n));
  assert_int_equal(n, 65535);
  for (const char *text : {"", "-1", "+1", "65536", "1 ", " 1", "99999999999", "0x1"})
    assert_false(parse_number(text, std::strlen(text), 65535, &n));
  assert_int_equal(n, 65535);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(servers),     cmocka_unit_test(names_of_addresses),
      cmocka_unit_test(local_names), cmocka_unit_test(hosts_lines),
      cmocka_unit_test(numeric_forms), cmocka_unit_test(names_of_hosts),
      cmocka_unit_test(numbers),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
