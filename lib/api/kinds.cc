// SPDX-License-Identifier: BSD-3-Clause
#include "api/kinds.hh"

namespace torque {

constinit const KindOps kSourceKinds[] = {
#include "api/kinds.def"
};
static_assert(sizeof kSourceKinds / sizeof *kSourceKinds == static_cast<size_t>(Kind::idle) + 1);

}  // namespace torque
