// SPDX-License-Identifier: BSD-3-Clause
// The addresses of a host, and the order in which they are to be tried.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <cstdlib>

#include "array.hh"
#include "parse.hh"

namespace torque_dns {

struct Found {
  Address address;
  uint32_t ttl;
  char text[INET6_ADDRSTRLEN + 12];  // with a scope's number
};
constexpr uint32_t kNoTtl = UINT32_MAX;

// One thread at a time.
class Addresses {
 public:
  Addresses() noexcept = default;
  Addresses(const Addresses &) = delete;
  Addresses &operator=(const Addresses &) = delete;
  ~Addresses() { std::free(name); }

  [[nodiscard]] bool add(const Address &address, uint16_t port, uint32_t ttl) noexcept;
  // RFC 6724: by what the kernel would send from. Opens a socket of each family for a moment; without one, the order stays.
  void sort() noexcept;

  Array<Found> list;
  char *name = nullptr;
};

// For tests: the rules alone. source.family 0: the address cannot be reached.
struct Candidate {
  Found found;
  Address source;
  uint32_t position;
};
bool goes_before(const Candidate &a, const Candidate &b) noexcept;

}  // namespace torque_dns
