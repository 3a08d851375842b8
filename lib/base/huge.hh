// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace torque {

// For memory that is used at random and all over: a miss of the address translation costs as much as one of the cache.
// Changes nothing that the program could see; the rim that shares a page with others is left as it is.
inline void prefer_huge_pages(void *p, size_t bytes) noexcept {
  constexpr uintptr_t kHuge = uintptr_t{2} << 20;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(p) + kHuge - 1) & ~(kHuge - 1);
  const uintptr_t to = (reinterpret_cast<uintptr_t>(p) + bytes) & ~(kHuge - 1);
  if (to > from) static_cast<void>(::madvise(reinterpret_cast<void *>(from), to - from, MADV_HUGEPAGE));
}

}  // namespace torque
