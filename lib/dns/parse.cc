// SPDX-License-Identifier: BSD-3-Clause
#include "parse.hh"

#include <arpa/inet.h>
#include <net/if.h>
#include <strings.h>

#include <cstdio>
#include <cstring>

namespace torque_dns {

namespace {

constexpr size_t kServersMost = 64;

bool blank(char c) noexcept { return c == ' ' || c == '\t' || c == ','; }

// What is behind the "%" of an address: the name of an interface where the address is of a link or of this machine alone, or a number.
bool parse_scope(const in6_addr &address, const char *text, uint32_t *ret) noexcept {
  const bool near = IN6_IS_ADDR_LINKLOCAL(&address) || IN6_IS_ADDR_MC_LINKLOCAL(&address);
  if (near || IN6_IS_ADDR_MC_NODELOCAL(&address)) {
    *ret = ::if_nametoindex(text);
    if (*ret != 0) return true;
  }
  while (text[0] == '0' && text[1]) ++text;
  return parse_number(text, std::strlen(text), UINT32_MAX, ret);
}

// A copy that ends in a zero. False: it is too long for an address, or has a zero within.
constexpr size_t kTextMost = INET6_ADDRSTRLEN + IF_NAMESIZE;
bool copy_text(const char *text, size_t size, char (&ret)[kTextMost + 1]) noexcept {
  if (size == 0 || size > kTextMost || std::memchr(text, '\0', size)) return false;
  std::memcpy(ret, text, size);
  ret[size] = '\0';
  return true;
}

bool parse_plain(const char *text, Address *ret) noexcept {
  Address a;
  std::memset(&a, 0, sizeof a);
  if (::inet_pton(AF_INET, text, &a.v4.sin_addr) == 1)
    a.family = AF_INET;
  else if (::inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1)
    a.family = AF_INET6;
  else
    return false;
  *ret = a;
  return true;
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

bool parse_plain_address(const char *text, size_t size, Address *ret) noexcept {
  char copy[kTextMost + 1];
  return copy_text(text, size, copy) && parse_plain(copy, ret);
}

bool parse_address(const char *text, size_t size, Address *ret) noexcept {
  char copy[kTextMost + 1];
  if (!copy_text(text, size, copy)) return false;
  char *scope = std::strchr(copy, '%');
  if (scope) *scope++ = '\0';
  Address a;
  if (!parse_plain(copy, &a)) return false;
  if (scope && (a.family != AF_INET6 || !parse_scope(a.v6.sin6_addr, scope, &a.v6.sin6_scope_id))) return false;
  *ret = a;
  return true;
}

Numeric parse_numeric(const char *text, Address *ret) noexcept {
  Address a;
  std::memset(&a, 0, sizeof a);
  // inet_aton() takes what follows a blank for no part of it; getaddrinfo() does not.
  if (std::strspn(text, "0123456789abcdefABCDEFxX.") == std::strlen(text) && ::inet_aton(text, &a.v4.sin_addr)) {
    a.family = AF_INET;
    *ret = a;
    return Numeric::address;
  }
  const char *scope = std::strchr(text, '%');
  const size_t size = scope ? static_cast<size_t>(scope - text) : std::strlen(text);
  if (!parse_plain_address(text, size, &a) || a.family != AF_INET6) return Numeric::none;
  const bool good = !scope || parse_scope(a.v6.sin6_addr, scope + 1, &a.v6.sin6_scope_id);
  *ret = a;
  return good ? Numeric::address : Numeric::bad_scope;
}

bool unmap(const Address &address, Address *ret) noexcept {
  if (address.family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr)) return false;
  const Address from = address;
  std::memset(ret, 0, sizeof *ret);
  ret->family = AF_INET;
  ret->v4.sin_port = from.v6.sin6_port;
  std::memcpy(&ret->v4.sin_addr, &from.v6.sin6_addr.s6_addr[12], 4);
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

bool is_host_name(const char *name) noexcept {
  for (const char *p = name; *p; ++p) {
    const bool first = p == name || p[-1] == '.';
    const bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_';
    if (!letter && (*p == '-' || *p == '.' ? first : true)) return false;
  }
  return *name != '\0';
}

bool is_digits(const char *name) noexcept {
  const size_t size = std::strlen(name);
  return size > 0 && name[0] != '.' && name[size - 1] != '.' && std::strspn(name, "0123456789.") == size;
}

bool is_localhost(const char *name) noexcept {
  constexpr size_t kSize = sizeof "localhost" - 1;
  size_t size = std::strlen(name);
  if (size > 0 && name[size - 1] == '.') --size;
  if (size < kSize || strncasecmp(name + size - kSize, "localhost", kSize) != 0) return false;
  return size == kSize || name[size - kSize - 1] == '.';
}

}  // namespace torque_dns
