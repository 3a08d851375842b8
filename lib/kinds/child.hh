// SPDX-License-Identifier: BSD-3-Clause
// Child sources, as the calls that make them see them. See child.cc.
#pragma once

#include "base/error.hh"
#include "base/fd.hh"
#include "libtorque/child.h"
#include "source/source.hh"

namespace torque {

// What a source of that kind keeps, in the place of its own object. Constant from start to finish.
struct ChildOf {
  int32_t pid;
  uint32_t flags;
};
inline void set_child(Slot &s, ChildOf c) noexcept {
  cold_of(s).process = uint64_t{c.flags} << 32 | static_cast<uint32_t>(c.pid);
}
inline ChildOf child_of(Slot &s) noexcept {
  return {static_cast<int32_t>(cold_of(s).process), static_cast<uint32_t>(cold_of(s).process >> 32)};
}

// A descriptor of that process. foreign: it need not be a child of this one.
torque_err open_child(int32_t pid, bool foreign, Fd *ret) noexcept;

bool run_child(Turn &, Slot &, uint64_t, uint32_t) noexcept;

inline constexpr KindOps kChildKind = {
    .run = run_child,
    .name = "child",
    .public_kind = TORQUE_KIND_CHILD,
    .traits = trait::kDescriptor | trait::kTakesCalls,
    .start = start_fd,
    .dismantle = detach_fd,
    .reattach = reattach_fd,
};

}  // namespace torque
