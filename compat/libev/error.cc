// SPDX-License-Identifier: BSD-3-Clause
#include "error.hh"

#include <cstdio>
#include <cstdlib>

#include "ev.hh"

namespace {
using Handler = void (*)(const char *msg);
constinit Handler handler = nullptr;
}

namespace torque_ev {

void fail(const char *what) noexcept {
  std::fprintf(stderr, "libev: %s\n", what);
  std::abort();
}

void no_memory() noexcept {
  std::fprintf(stderr, "(libev) memory allocation failed, aborting.\n");
  std::abort();
}

void system_error(const char *what) noexcept {
  if (handler) {
    handler(what);
    return;
  }
  std::perror(what);
  std::abort();
}

}  // namespace torque_ev

extern "C" void ev_set_syserr_cb(void (*cb)(const char *msg) EV_NOEXCEPT) EV_NOEXCEPT { handler = cb; }
