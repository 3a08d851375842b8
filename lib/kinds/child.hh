// SPDX-License-Identifier: BSD-3-Clause
// Child sources, as the calls that make them see them. See child.cc.
#pragma once

#include "base/error.hh"
#include "base/fd.hh"
#include "source/slot.hh"

namespace torque {

// What a source of that kind keeps, in the place of its own object. Constant from start to finish.
struct ChildOf {
  int32_t pid;
  uint32_t flags;
};
inline void set_child(Slot &s, ChildOf c) noexcept {
  ends(s).period = uint64_t{c.flags} << 32 | static_cast<uint32_t>(c.pid);
}
inline ChildOf child_of(Slot &s) noexcept {
  return {static_cast<int32_t>(ends(s).period), static_cast<uint32_t>(ends(s).period >> 32)};
}

// A descriptor of that process. foreign: it need not be a child of this one.
torque_err open_child(int32_t pid, bool foreign, Fd *ret) noexcept;

}  // namespace torque
