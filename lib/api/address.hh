// SPDX-License-Identifier: BSD-3-Clause
// What a text that means a socket address says.
#pragma once

#include <cstdint>

#include "base/socket.hh"
#include "libtorque/error.h"

namespace torque {

struct Address : sockets::Address {
  bool any = false;  // of every family: IPv4 as well where it is an IPv6 address
};

// Errors: as torque_address_parse(); *ret is garbage then.
torque_err parse_address(const char *text, uint16_t default_port, Address *ret) noexcept;

}  // namespace torque
