// SPDX-License-Identifier: BSD-3-Clause
// A name server's answer. The first two bytes are the type that was asked for.
#include <cstdlib>
#include <cstring>

#include "message.hh"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > 65537) return 0;
  torque_dns::Message message;
  bool no_memory = false;
  const auto type = static_cast<uint16_t>(data[0] << 8 | data[1]);
  if (!message.parse(data + 2, static_cast<uint32_t>(size - 2), type, &no_memory)) return 0;
  size_t sum = 0;
  for (const torque_dns::Record &r : message.records()) {
    if (r.data + r.size > message.size()) std::abort();
    sum += std::strlen(message.text(r.owner));
    if (const char *target = message.text(r.target)) sum += std::strlen(target);
    if (const char *address = message.address_of(r)) sum += std::strlen(address);
    // A few: each is a copy, and a message may have thousands.
    for (uint32_t j = 0, length = 0; j < r.strings && j < 4; ++j) {
      const char *text = message.string_of(r, j, &length);
      if (text && text[length] != '\0') std::abort();
    }
    sum += message.number(r, 0) + message.number(r, 2) + message.number(r, 4);
  }
  for (const torque_dns::Record &r : message.aliases())
    sum += std::strlen(message.text(r.owner)) + std::strlen(message.text(r.target));
  return sum == SIZE_MAX ? 1 : 0;
}
