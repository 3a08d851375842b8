// SPDX-License-Identifier: BSD-3-Clause
// What callers and files write: lists of servers, addresses, services, lines of the hosts file. Pure functions.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "array.hh"

namespace torque_dns {

// An address with its port. Ports are in network order, as everywhere in it.
union Address {
  sa_family_t family;
  sockaddr sa;
  sockaddr_in v4;
  sockaddr_in6 v6;
  uint32_t size() const noexcept { return family == AF_INET ? sizeof v4 : sizeof v6; }
  void set_port(uint16_t port) noexcept { (family == AF_INET ? v4.sin_port : v6.sin6_port) = htons(port); }
  uint16_t port() const noexcept { return ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port); }
};

enum class Parsed { ok, wrong, no_memory };

// "192.0.2.1", "2001:db8::1", "fe80::1%eth0" or "fe80::1%2", nothing else around it; port 0.
bool parse_address(const char *text, size_t size, Address *ret) noexcept;

// The same as hosts files have it: without a scope.
bool parse_plain_address(const char *text, size_t size, Address *ret) noexcept;

// What getaddrinfo() takes for an address and not for a name: as above, and IPv4 in the forms of inet_aton() ("127.1",
// "0x7f000001", "010.1.2.3" with an octal number).
enum class Numeric { none, address, bad_scope };
Numeric parse_numeric(const char *text, Address *ret) noexcept;

// The IPv4 address that ::ffff:192.0.2.1 stands for. False: it stands for none.
bool unmap(const Address &address, Address *ret) noexcept;

// A decimal number up to most.
bool parse_number(const char *text, size_t size, uint32_t most, uint32_t *ret) noexcept;

// "A, A:PORT, [A]:PORT" with commas or blanks between; at least one, at most 64.
Parsed parse_servers(const char *text, Array<Address> *ret) noexcept;

// "example.org, lan": calls take(domain, size) for each. False: one is empty or too long for a domain.
constexpr size_t kDomainMost = 1024;
template <class Take>
bool split_domains(const char *text, Take take) noexcept {
  const auto between = [](char c) { return c == ',' || c == ' ' || c == '\t'; };
  for (const char *p = text; *p;) {
    if (between(*p)) {
      ++p;
      continue;
    }
    const char *begin = p;
    while (*p && !between(*p)) ++p;
    if (static_cast<size_t>(p - begin) > kDomainMost || !take(begin, static_cast<size_t>(p - begin))) return false;
  }
  return true;
}

// A line of the hosts file: the address, and for each name take(name, size). False: the line says nothing.
template <class Take>
bool parse_hosts_line(const char *line, size_t size, Address *ret, Take take) noexcept {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; };
  size_t end = 0;
  while (end < size && line[end] != '#') ++end;
  size_t at = 0;
  bool first = true;
  while (at < end) {
    if (blank(line[at])) {
      ++at;
      continue;
    }
    const size_t begin = at;
    while (at < end && !blank(line[at])) ++at;
    if (first && !parse_plain_address(line + begin, at - begin, ret)) return false;
    if (!first && !take(line + begin, at - begin)) return false;
    first = false;
  }
  return !first;
}

// The name under which the names of an address are found: "1.2.0.192.in-addr.arpa".
constexpr size_t kReverseMost = 80;
bool reverse_name(const Address &address, char *ret) noexcept;

// Has it the form of a host's name: letters, digits, "-" and "_" in labels that begin with no "-"? A dot may end it.
bool is_host_name(const char *name) noexcept;

// Digits and dots alone, the last one a digit: an address that cannot be ("256.1.2.3"). getaddrinfo() takes it for one
// where IPv4 alone is wanted.
bool is_digits(const char *name) noexcept;

// Is it "localhost", or a name below that (RFC 6761, 6.3)?
bool is_localhost(const char *name) noexcept;

}  // namespace torque_dns
