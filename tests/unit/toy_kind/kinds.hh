// SPDX-License-Identifier: BSD-3-Clause
// The place of the toy in the table: after the library's own.
#pragma once

#include "source/slot.hh"

namespace toy {

constexpr auto kBell = static_cast<torque::Kind>(static_cast<uint8_t>(torque::Kind::idle) + 1);

}  // namespace toy
