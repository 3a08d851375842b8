// SPDX-License-Identifier: BSD-3-Clause
// The library's one error type and its translation from errno.
#pragma once

#include <cerrno>

#include "libtorque/error.h"

namespace torque {

inline torque_err err_of_errno(int e) noexcept { return e ? TORQUE_ERR_SYSCALL + e : TORQUE_ERR_ASSERT; }

// The last failed system call. ENOMEM and the descriptor limits are "resource" in the original's terms,
// but callers gain more from the exact errno, so it is kept.
inline torque_err last_error() noexcept { return err_of_errno(errno); }

}  // namespace torque
