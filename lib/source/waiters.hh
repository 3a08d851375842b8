// SPDX-License-Identifier: BSD-3-Clause
// Threads that wait for a source to be finished. Few and rare: one table for the process.
#pragma once

#include "base/mutex.hh"
#include "source/slot.hh"

namespace torque {

// Requires: the waiter has set WAITER in the word, with that generation.
void wait_for_generation(Slot &s, uint32_t generation) noexcept;  // to be over
void wake_waiters(uint32_t index) noexcept;                       // after the word has changed

void lock_waiters_for_fork() noexcept;
void unlock_waiters_after_fork() noexcept;

}  // namespace torque
