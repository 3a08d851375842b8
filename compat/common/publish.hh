// SPDX-License-Identifier: BSD-3-Clause
// A loop's place on the board (board.h) of the torque-run that the program was started with, if there is one.
//
// Nothing is looked for before the first loop is opened. A loop that has no place pays for one branch in each pass.
// Thread: open() any; pass() and close() whoever has the loop.
#pragma once

#include <libtorque/torque.h>

#include "board.h"

namespace torque_compat {

class Publisher {  // all zero: no place
 public:
  // A context was made, or works again in a child: a child's loop has a place of its own.
  void open(const torque_ctx *ctx, uint32_t library) noexcept;
  // After a wait.
  void pass(const torque_ctx *ctx) noexcept {
    if (slot_) [[unlikely]]
      publish(ctx);
  }
  // Before the context ends.
  void close(const torque_ctx *ctx) noexcept;

 private:
  void publish(const torque_ctx *ctx) noexcept;

  torque_board_slot *slot_;
};

}  // namespace torque_compat
