// SPDX-License-Identifier: BSD-3-Clause
// Answers taken apart: names in presentation form, aliases, and the limits of both.
#include "dns/message.hh"

#include <cstring>
#include <string>
#include <vector>

#include "support/cmocka.hh"

namespace {

using torque_dns::Message;

void put16(std::string *s, unsigned n) { *s += {static_cast<char>(n >> 8), static_cast<char>(n)}; }

std::string packed(const std::vector<std::string> &labels) {
  std::string s;
  for (const std::string &l : labels) s += static_cast<char>(l.size()) + l;
  return s + '\0';
}

// A response to a question for name; records are to be added.
std::string response(const std::string &name, unsigned type, unsigned count) {
  std::string s = {0x12, 0x34, static_cast<char>(0x81), static_cast<char>(0x80)};
  put16(&s, 1);
  put16(&s, count);
  put16(&s, 0);
  put16(&s, 0);
  s += name;
  put16(&s, type);
  put16(&s, 1);
  return s;
}

void add(std::string *s, const std::string &owner, unsigned type, const std::string &data, unsigned dns_class = 1,
         uint32_t ttl = 9) {
  *s += owner;
  put16(s, type);
  put16(s, dns_class);
  put16(s, ttl >> 16);
  put16(s, ttl & 0xffff);
  put16(s, static_cast<unsigned>(data.size()));
  *s += data;
}

bool parse(Message *m, const std::string &s, uint16_t type) {
  bool no_memory = true;
  const bool good =
      m->parse(reinterpret_cast<const uint8_t *>(s.data()), static_cast<uint32_t>(s.size()), type, &no_memory);
  assert_false(no_memory);
  return good;
}

void names_in_presentation_form(void **) {
  const std::string odd = packed({std::string("a.b\\\0\xff c", 8), "TEST"});
  std::string s = response(odd, 5, 1);
  add(&s, odd, 5, packed({}));
  Message m;
  assert_true(parse(&m, s, 5));
  assert_int_equal(m.records().size(), 1);
  assert_string_equal(m.text(m.records()[0].owner), "a\\.b\\\\\\000\\255\\032c.TEST");
  assert_string_equal(m.text(m.records()[0].target), ".");
}

void names_as_long_as_they_may_be(void **) {
  const std::string l63(63, 'x');
  const std::string longest = packed({l63, l63, l63, std::string(61, 'y')}),
                    longer = packed({l63, l63, l63, std::string(62, 'y')});
  assert_int_equal(longest.size(), 255);
  for (const bool fits : {true, false}) {
    std::string s = response(fits ? longest : longer, 1, 1);
    add(&s, "\xc0\x0c", 1, "abcd");
    Message m;
    assert_int_equal(parse(&m, s, 1), fits);
  }
}

// host0 is host1 is host2 ...
bool parse_chain(unsigned length, Message *m, std::string *s) {
  const auto host = [](unsigned i) { return packed({"host" + std::to_string(i)}); };
  *s = response(host(0), 1, length + 1);
  for (unsigned i = length; i > 0; --i) add(s, host(i - 1), 5, host(i));  // in any order
  add(s, host(length), 1, "abcd");
  return parse(m, *s, 1);
}

void aliases_have_an_end(void **) {
  for (const unsigned length : {0u, 1u, 32u, 33u}) {
    Message m;
    std::string s;
    assert_int_equal(parse_chain(length, &m, &s), length <= 32);
    if (length > 32) continue;
    assert_int_equal(m.aliases().size(), length);
    assert_int_equal(m.records().size(), 1);
    assert_string_equal(m.text(m.records()[0].owner), ("host" + std::to_string(length)).c_str());
  }
}

void what_was_not_asked_for_is_left_out(void **) {
  const std::string name = packed({"a"});
  std::string s = response(name, 1, 4);
  add(&s, packed({"b"}), 1, "abcd");
  add(&s, name, 28, std::string(16, 'x'));
  add(&s, name, 1, "abcd", 3);  // another class
  add(&s, packed({"A"}), 1, "efgh", 1, 0xffffffff);
  Message m;
  assert_true(parse(&m, s, 1));
  assert_int_equal(m.records().size(), 1);
  assert_string_equal(m.address_of(m.records()[0]), "101.102.103.104");
  assert_int_equal(m.records()[0].ttl, 0);  // beyond 31 bits: RFC 2181
}

void not_a_response(void **) {
  const std::string good = response(packed({"a"}), 1, 0);
  Message whole;
  assert_true(parse(&whole, good, 1));
  for (size_t size = 0; size < good.size(); ++size) {
    Message m;
    assert_false(parse(&m, good.substr(0, size), 1));
  }
  std::string query = good, two = good;
  query[2] = 1;
  two[5] = 2;
  Message a, b;
  assert_false(parse(&a, query, 1));
  assert_false(parse(&b, two, 1));
}

void texts(void **) {
  std::string s = response(packed({"a"}), 16, 1);
  add(&s, "\xc0\x0c", 16, std::string("\3one\0\4two\0", 10));
  Message m;
  assert_true(parse(&m, s, 16));
  uint32_t size = 99;
  assert_int_equal(m.records()[0].strings, 3);
  const char *one = m.string_of(m.records()[0], 0, &size);
  assert_string_equal(one, "one");
  assert_int_equal(size, 3);
  assert_string_equal(m.string_of(m.records()[0], 1, &size), "");
  assert_int_equal(size, 0);
  assert_memory_equal(m.string_of(m.records()[0], 2, &size), "two\0", 5);
  assert_int_equal(size, 4);
  assert_null(m.string_of(m.records()[0], 3, &size));
  assert_ptr_equal(m.string_of(m.records()[0], 0, &size), one);  // one copy
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(names_in_presentation_form),
      cmocka_unit_test(names_as_long_as_they_may_be),
      cmocka_unit_test(aliases_have_an_end),
      cmocka_unit_test(what_was_not_asked_for_is_left_out),
      cmocka_unit_test(not_a_response),
      cmocka_unit_test(texts),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
