// SPDX-License-Identifier: BSD-3-Clause
// A datagram of rtnetlink.
#include <cstdlib>
#include <cstring>

#include "kinds/network/netlink.hh"

namespace {

size_t sum_of(const void *bytes, uint32_t size, const uint8_t *data, size_t whole) {
  const auto *p = static_cast<const uint8_t *>(bytes);
  if (size && (p < data || size > whole || static_cast<size_t>(p - data) > whole - size)) std::abort();
  size_t sum = 0;
  for (uint32_t i = 0; i < size; ++i) sum += p[i];
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace torque::netlink;
  Message m;
  size_t sum = 0;
  for (size_t at = 0, before = 0; next_message(reinterpret_cast<const char *>(data), size, &at, &m); before = at) {
    if (at <= before || at > size) std::abort();
    if (error_of(m) < 0) std::abort();
    torque_network_event e;
    if (!read_event(m, &e)) continue;
    if (std::strlen(e.name) >= sizeof e.name) std::abort();
    sum += sum_of(e.hardware, e.hardware_size, data, size) + sum_of(e.address, e.address_size, data, size) +
           sum_of(e.gateway, e.gateway_size, data, size);
  }
  return sum == SIZE_MAX ? 1 : 0;
}
