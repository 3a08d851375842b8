// SPDX-License-Identifier: BSD-3-Clause
#include "base/assert.hh"

#include <cstdio>
#include <cstdlib>

namespace torque {

void assertion_failed(const char *what, const char *file, int line) noexcept {
  std::fprintf(stderr, "libtorque: %s:%d: assertion failed: %s\n", file, line, what);
  std::abort();
}

}  // namespace torque
