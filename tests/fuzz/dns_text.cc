// SPDX-License-Identifier: BSD-3-Clause
// What people write: lists of servers and domains, addresses, the hosts file.
#include <cstdlib>
#include <cstring>

#include "hosts.hh"
#include "parse.hh"

using namespace torque_dns;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto *text = static_cast<char *>(std::malloc(size + 1));
  if (!text) return 0;
  std::memcpy(text, data, size);
  text[size] = '\0';
  Array<Address> servers;
  if (parse_servers(text, &servers) == Parsed::ok) {
    for (const Address &a : servers) {
      char name[kReverseMost];
      if (!reverse_name(a, name) || std::strlen(name) >= sizeof name) std::abort();
    }
  }
  Address a;
  if (parse_address(text, size, &a) && a.family != AF_INET && a.family != AF_INET6) std::abort();
  (void)parse_numeric(text, &a);
  (void)is_localhost(text);
  size_t domains = 0;
  if (split_domains(text, [&domains](const char *domain, size_t n) { return domain[n - 1] != ',' && ++domains; }) &&
      domains > size) {
    std::abort();
  }
  Hosts hosts;
  if (hosts.read_text(reinterpret_cast<const char *>(data), size)) {
    Addresses found;
    if (hosts.find(nullptr, "name", size % 2 ? AF_UNSPEC : AF_INET, true, 80, &found)) {
      for (const Found &f : found.list) {
        if (std::strlen(f.text) >= sizeof f.text || f.address.port() != 80) std::abort();
      }
    }
  }
  std::free(text);
  return 0;
}
