// SPDX-License-Identifier: BSD-3-Clause
// What ends the program, as in libev (Debian builds it with its assertions).
#pragma once

namespace torque_ev {

[[noreturn, gnu::cold]] void fail(const char *what) noexcept;
inline void require(bool what_must_be, const char *text) noexcept {
  if (!what_must_be) [[unlikely]]
    fail(text);
}
[[noreturn]] void no_memory() noexcept;
// ev_set_syserr_cb(), else perror() and abort(). errno says why.
void system_error(const char *what) noexcept;

}  // namespace torque_ev
