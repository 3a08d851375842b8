// SPDX-License-Identifier: BSD-3-Clause
// Termination signals, while some thread is in torque_block().
//
// The blocked thread takes them from a signalfd, for which it has them blocked. But another thread of the program may have
// them unblocked: the kernel would choose that one, and take the default action. So while anybody is blocked those that
// have the default action get a handler, which passes them on to the blocked thread.
//
// Guarded by the registry's lock, but for what the handler reads.
#pragma once

#include <signal.h>

namespace torque {

// This thread is about to wait for the signals of the set, and has them blocked. leave() with the same set, and before
// the mask is restored.
void enter_termination(const sigset_t &set) noexcept;
void leave_termination(const sigset_t &set) noexcept;

// In a forked child nobody is blocked: the dispositions are what they were.
void forget_termination() noexcept;

}  // namespace torque
