// SPDX-License-Identifier: BSD-3-Clause
// The text of an address: what it means has a text that means the same. And bytes that may be an address: if they have a
// text, it means one, which has the same text.
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>

#include "libtorque/address.h"

namespace {

void round_trip(const void *address, uint32_t length) {
  char text[TORQUE_ADDRESS_TEXT_SIZE], again[TORQUE_ADDRESS_TEXT_SIZE];
  sockaddr_storage other;
  uint32_t n, other_length;
  if (torque_address_format(address, length, text, sizeof text, &n)) return;
  if (n >= sizeof text || std::strlen(text) != n) std::abort();
  if (std::strcmp(text, "unix:") == 0) return;
  if (torque_address_parse(text, 0, &other, sizeof other, &other_length) || other_length > sizeof other) std::abort();
  if (torque_address_format(&other, other_length, again, sizeof again, &n) || std::strcmp(text, again) != 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto *text = static_cast<char *>(std::malloc(size + 1));
  if (!text) return 0;
  std::memcpy(text, data, size);
  text[size] = '\0';
  sockaddr_storage address, other;
  uint32_t length, other_length, n;
  if (!torque_address_parse(text, 80, &address, sizeof address, &length)) {
    char whole[TORQUE_ADDRESS_TEXT_SIZE];
    if (length > sizeof address || torque_address_format(&address, length, whole, sizeof whole, &n)) std::abort();
    if (torque_address_parse(whole, 0, &other, sizeof other, &other_length)) std::abort();
    if (other_length != length || std::memcmp(&address, &other, length) != 0) std::abort();
  }
  round_trip(data, static_cast<uint32_t>(size));
  std::free(text);
  return 0;
}
