// SPDX-License-Identifier: BSD-3-Clause
// The library's table with one kind more.
#include "api/kinds.hh"
#include "toy_kind/kinds.hh"
#include "toy_kind/toy.hh"

namespace torque {

constinit const KindOps kSourceKinds[] = {
#include "api/kinds.def"
    toy::kBellKind,
};
static_assert(sizeof kSourceKinds / sizeof *kSourceKinds == static_cast<size_t>(toy::kBell) + 1);

}  // namespace torque
