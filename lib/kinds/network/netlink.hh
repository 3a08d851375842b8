// SPDX-License-Identifier: BSD-3-Clause
// Messages of rtnetlink, read without trusting a length in them. No state, no system call: a fuzzer feeds it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "libtorque/network.h"

// What is not said is 0. Pointers lead into the message, but for names.
struct torque_network_event {
  int32_t what;
  uint32_t kind;
  int32_t index, family;
  uint32_t flags, mtu, state, prefix, table, metric;
  const void *hardware, *address, *gateway;
  uint32_t hardware_size, address_size, gateway_size;
  char name[16];
};

namespace torque::netlink {

struct Message {
  uint16_t type, flags;
  uint32_t sequence, port;
  const char *body;
  size_t size;
};

// The next message of a datagram, of which *at is moved beyond it. False: there is none, or it is cut off.
bool next_message(const char *data, size_t size, size_t *at, Message *ret) noexcept;

// False: of no kind that is known, or too short for what it says that it is.
bool read_event(const Message &m, torque_network_event *ret) noexcept;

// Of a message of the type NLMSG_ERROR: the errno, 0 for an acknowledgement.
int error_of(const Message &m) noexcept;

}  // namespace torque::netlink
