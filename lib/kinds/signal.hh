// SPDX-License-Identifier: BSD-3-Clause
// The process's signal hub, as the rest of the library meets it. See signal.cc.
#pragma once

#include "source/context.hh"

namespace torque {

bool may_watch(int32_t signo) noexcept;
// Makes a signal source ready to start. Requires: may_watch() every one. Errors: RESOURCE.
torque_err prepare_signal(Context &context, Slot &s, const int32_t *signos, uint32_t count) noexcept;

// Fork handlers. In the child every disposition is what it was before the library came.
void hub_before_fork() noexcept;
void hub_after_fork_in_parent() noexcept;
void hub_after_fork_in_child() noexcept;
// A dead context's copies in a child.
void free_attachment_in_child(Context &context) noexcept;

}  // namespace torque
