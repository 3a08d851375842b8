// SPDX-License-Identifier: BSD-3-Clause
#include "source/turn.hh"

namespace torque {

namespace {
// Read on every call from a callback: initial-exec, so that it costs one load in a shared library too.
[[gnu::tls_model("initial-exec")]] constinit thread_local Turn *turn = nullptr;
}  // namespace

Turn *current_turn() noexcept { return turn; }

Turn *set_current_turn(Turn *t) noexcept {
  Turn *before = turn;
  turn = t;
  return before;
}

}  // namespace torque
