// SPDX-License-Identifier: BSD-3-Clause
#include "parse.hh"

#include <arpa/inet.h>
#include <net/if.h>
#include <strings.h>

#include <cstdio>
#include <cstring>

namespace torque_dns {

namespace {

constexpr size_t kTextMost = INET6_ADDRSTRLEN + IF_NAMESIZE;
constexpr size_t kServersMost = 64;

bool blank(char c) noexcept { return c == ' ' || c == '\t' || c == ','; }

// "%eth0" or "%2" behind an address.
bool parse_scope(const char *text, uint32_t *ret) noexcept {
  if (parse_number(text, std::strlen(text), UINT32_MAX, ret)) return *ret != 0;
  *ret = ::if_nametoindex(text);
  return *ret != 0;
}

bool parse_server(const char *text, size_t size, Address *ret) noexcept {
  uint32_t port = 0;
  const auto *colon = static_cast<const char *>(memrchr(text, ':', size));
  if (text[0] == '[') {
    const auto *close = static_cast<const char *>(std::memchr(text, ']', size));
    if (!close) return false;
    if (close + 1 != text + size &&
        (close + 1 != colon || !parse_number(colon + 1, static_cast<size_t>(text + size - colon - 1), 65535, &port) ||
         !port)) {
      return false;
    }
    ++text;
    size = static_cast<size_t>(close - text);
    if (!std::memchr(text, ':', size)) return false;
  } else if (colon && !std::memchr(text, ':', static_cast<size_t>(colon - text))) {
    if (!parse_number(colon + 1, static_cast<size_t>(text + size - colon - 1), 65535, &port) || !port) return false;
    size = static_cast<size_t>(colon - text);
  }
  if (!parse_address(text, size, ret)) return false;
  ret->set_port(static_cast<uint16_t>(port));
  return true;
}

}  // namespace

bool parse_number(const char *text, size_t size, uint32_t most, uint32_t *ret) noexcept {
  uint64_t n = 0;
  if (size == 0 || size > 10) return false;
  for (size_t i = 0; i < size; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    n = n * 10 + static_cast<uint64_t>(text[i] - '0');
  }
  if (n > most) return false;
  *ret = static_cast<uint32_t>(n);
  return true;
}

bool parse_address(const char *text, size_t size, Address *ret) noexcept {
  char copy[kTextMost + 1];
  if (size == 0 || size > kTextMost || std::memchr(text, '\0', size)) return false;
  std::memcpy(copy, text, size);
  copy[size] = '\0';
  Address a;
  std::memset(&a, 0, sizeof a);
  if (::inet_pton(AF_INET, copy, &a.v4.sin_addr) == 1) {
    a.family = AF_INET;
  } else {
    char *scope = std::strchr(copy, '%');
    if (scope) *scope++ = '\0';
    if (::inet_pton(AF_INET6, copy, &a.v6.sin6_addr) != 1) return false;
    uint32_t index = 0;
    if (scope && !parse_scope(scope, &index)) return false;
    a.v6.sin6_scope_id = index;
    a.family = AF_INET6;
  }
  *ret = a;
  return true;
}

Parsed parse_servers(const char *text, Array<Address> *ret) noexcept {
  for (const char *p = text; *p;) {
    if (blank(*p)) {
      ++p;
      continue;
    }
    const char *begin = p;
    while (*p && !blank(*p)) ++p;
    Address a;
    if (!parse_server(begin, static_cast<size_t>(p - begin), &a) || ret->size() == kServersMost) return Parsed::wrong;
    if (!ret->push(a)) return Parsed::no_memory;
  }
  return ret->empty() ? Parsed::wrong : Parsed::ok;
}

bool reverse_name(const Address &address, char *ret) noexcept {
  const auto *b = reinterpret_cast<const uint8_t *>(&address.v6.sin6_addr);
  if (address.family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr)) {
    b += 12;
  } else if (address.family == AF_INET) {
    b = reinterpret_cast<const uint8_t *>(&address.v4.sin_addr);
  } else if (address.family == AF_INET6) {
    for (int i = 15; i >= 0; --i, ret += 4) std::snprintf(ret, 5, "%x.%x.", b[i] & 15, b[i] >> 4);
    std::memcpy(ret, "ip6.arpa", sizeof "ip6.arpa");
    return true;
  } else {
    return false;
  }
  std::snprintf(ret, kReverseMost, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
  return true;
}

bool is_localhost(const char *name) noexcept {
  constexpr size_t kSize = sizeof "localhost" - 1;
  size_t size = std::strlen(name);
  if (size > 0 && name[size - 1] == '.') --size;
  if (size < kSize || strncasecmp(name + size - kSize, "localhost", kSize) != 0) return false;
  return size == kSize || name[size - kSize - 1] == '.';
}

}  // namespace torque_dns
