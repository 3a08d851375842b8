// SPDX-License-Identifier: BSD-3-Clause
#include "memory.hh"

#include <cstdio>
#include <cstdlib>

namespace {
using Allocator = void *(*)(void *ptr, long size);
constinit Allocator allocator = nullptr;  // set before the loops that use it, by one thread
}

void *torque_ev::resize(void *p, size_t size) noexcept {
  if (allocator) {
    p = allocator(p, static_cast<long>(size));
  } else if (size) {
    p = std::realloc(p, size);
  } else {
    std::free(p);
    return nullptr;
  }
  if (!p && size) {
    std::fprintf(stderr, "(libev) cannot allocate %ld bytes, aborting.", static_cast<long>(size));
    std::abort();
  }
  return p;
}

bool torque_ev::has_allocator() noexcept { return allocator != nullptr; }

extern "C" void ev_set_allocator(void *(*cb)(void *ptr, long size) EV_NOEXCEPT) EV_NOEXCEPT { allocator = cb; }
