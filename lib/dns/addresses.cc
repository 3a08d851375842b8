// SPDX-License-Identifier: BSD-3-Clause
#include "addresses.hh"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>

namespace torque_dns {

namespace {

// As IPv6, IPv4 being mapped.
in6_addr widen(const Address &a) noexcept {
  if (a.family == AF_INET6) return a.v6.sin6_addr;
  in6_addr wide = {};
  wide.s6_addr[10] = wide.s6_addr[11] = 0xff;
  std::memcpy(&wide.s6_addr[12], &a.v4.sin_addr, 4);
  return wide;
}

// RFC 6724, 2.1: the default policy table.
struct Policy {
  uint8_t prefix[16];
  uint8_t bits;
  uint8_t precedence;
  uint8_t label;
};
constexpr Policy kPolicies[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 50, 0},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 35, 4},
    {{0}, 96, 1, 3},
    {{0x20, 0x01}, 32, 5, 5},
    {{0x20, 0x02}, 16, 30, 2},
    {{0x3f, 0xfe}, 16, 1, 12},
    {{0xfe, 0xc0}, 10, 1, 11},
    {{0xfc}, 7, 3, 13},
    {{0}, 0, 40, 1},
};

unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned most) noexcept {
  unsigned n = 0;
  while (n < most && !((a[n / 8] ^ b[n / 8]) & (0x80 >> n % 8))) ++n;
  return n;
}

const Policy &policy_of(const in6_addr &a) noexcept {
  for (const Policy &p : kPolicies) {
    if (common_bits(a.s6_addr, p.prefix, p.bits) == p.bits) return p;
  }
  return kPolicies[std::size(kPolicies) - 1];
}

// RFC 6724, 3.1 and 3.2.
int scope_of(const in6_addr &a) noexcept {
  constexpr int kLink = 2, kSite = 5, kGlobal = 14;
  if (IN6_IS_ADDR_MULTICAST(&a)) return a.s6_addr[1] & 15;
  if (IN6_IS_ADDR_V4MAPPED(&a)) {
    const uint8_t *v4 = &a.s6_addr[12];
    return v4[0] == 127 || (v4[0] == 169 && v4[1] == 254) ? kLink : kGlobal;
  }
  if (IN6_IS_ADDR_LOOPBACK(&a) || IN6_IS_ADDR_LINKLOCAL(&a)) return kLink;
  return IN6_IS_ADDR_SITELOCAL(&a) ? kSite : kGlobal;
}

// Finds what the kernel would send from: a socket of each family, made for the first address of it, serves all.
class Sources {
 public:
  Sources() noexcept = default;
  Sources(const Sources &) = delete;
  Sources &operator=(const Sources &) = delete;
  ~Sources() {
    for (const int fd : fds_) {
      if (fd >= 0) ::close(fd);
    }
  }
  void find(Candidate *c) noexcept {
    c->source.family = AF_UNSPEC;
    Address to = c->found.address;
    if (to.port() == 0) to.set_port(1);  // some systems refuse port 0
    int &fd = fds_[to.family == AF_INET6];
    if (fd == kNone) fd = ::socket(to.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    const sockaddr nowhere = {AF_UNSPEC, {}};
    socklen_t size = sizeof c->source;
    if (::connect(fd, &to.sa, to.size()) != 0 || ::getsockname(fd, &c->source.sa, &size) != 0)
      c->source.family = AF_UNSPEC;
    // It would keep the address that it has found.
    (void)::connect(fd, &nowhere, sizeof nowhere);
  }

 private:
  static constexpr int kNone = -2;
  int fds_[2] = {kNone, kNone};
};

}  // namespace

// RFC 6724, 6. Rules 3, 4 and 7 need to know of what systems do not tell.
bool goes_before(const Candidate &a, const Candidate &b) noexcept {
  const bool usable_a = a.source.family != AF_UNSPEC, usable_b = b.source.family != AF_UNSPEC;
  if (usable_a != usable_b) return usable_a;
  const in6_addr to_a = widen(a.found.address), to_b = widen(b.found.address);
  const Policy &policy_a = policy_of(to_a), &policy_b = policy_of(to_b);
  const int scope_a = scope_of(to_a), scope_b = scope_of(to_b);
  if (usable_a) {
    const in6_addr from_a = widen(a.source), from_b = widen(b.source);
    const bool same_scope_a = scope_a == scope_of(from_a), same_scope_b = scope_b == scope_of(from_b);
    if (same_scope_a != same_scope_b) return same_scope_a;
    const bool same_label_a = policy_a.label == policy_of(from_a).label;
    const bool same_label_b = policy_b.label == policy_of(from_b).label;
    if (same_label_a != same_label_b) return same_label_a;
  }
  if (policy_a.precedence != policy_b.precedence) return policy_a.precedence > policy_b.precedence;
  if (scope_a != scope_b) return scope_a < scope_b;
  if (usable_a && a.found.address.family == AF_INET6 && b.found.address.family == AF_INET6) {
    // At most the half that routers look at; the rest says nothing about what is near.
    const unsigned near_a = common_bits(to_a.s6_addr, a.source.v6.sin6_addr.s6_addr, 64);
    const unsigned near_b = common_bits(to_b.s6_addr, b.source.v6.sin6_addr.s6_addr, 64);
    if (near_a != near_b) return near_a > near_b;
  }
  return a.position < b.position;
}

bool Addresses::add(const Address &address, uint16_t port, uint32_t ttl) noexcept {
  Found f;
  f.address = address;
  f.address.set_port(port);
  f.ttl = ttl;
  for (const Found &known : list) {
    if (known.address.family == address.family && std::memcmp(&known.address, &f.address, f.address.size()) == 0)
      return true;
  }
  const void *raw = address.family == AF_INET ? static_cast<const void *>(&address.v4.sin_addr)
                                              : static_cast<const void *>(&address.v6.sin6_addr);
  ::inet_ntop(address.family, raw, f.text, sizeof f.text);
  if (address.family == AF_INET6 && address.v6.sin6_scope_id != 0) {
    const size_t n = std::strlen(f.text);
    std::snprintf(f.text + n, sizeof f.text - n, "%%%u", address.v6.sin6_scope_id);
  }
  return list.push(f);
}

void Addresses::sort() noexcept {
  if (list.size() < 2) return;
  Array<Candidate> candidates;
  if (!candidates.reserve(list.size())) return;
  Sources sources;
  for (uint32_t i = 0; i < list.size(); ++i) {
    Candidate c;
    c.found = list[i];
    c.position = i;
    sources.find(&c);
    candidates.push_reserved(c);
  }
  // Heap sort by way of the standard library: no memory, and an order is total because of the positions.
  std::sort(candidates.begin(), candidates.end(), goes_before);
  for (uint32_t i = 0; i < list.size(); ++i) list[i] = candidates[i].found;
}

}  // namespace torque_dns
