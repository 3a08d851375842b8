// SPDX-License-Identifier: BSD-3-Clause
// Memory of a context, through the caller's hooks where there are any. Never throws; null when there is none left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include "base/tsan.hh"

namespace torque {

// What different threads write lies this far apart, so that none takes the other's cache line away.
constexpr size_t kLine = 64;

// Thread: any, as the hooks promise. The hooks must outlive every context that was made with them.
struct Alloc {
  using Take = void *(*)(size_t size, size_t align, void *arg);
  using Give = void (*)(void *p, size_t size, void *arg);
  Take take = nullptr;
  Give give = nullptr;
  void *arg = nullptr;

  void *get(size_t size, size_t align = alignof(std::max_align_t)) const noexcept {
    const tsan::Own own;
    if (take) return take(size, align, arg);
    if (align <= alignof(std::max_align_t)) return std::malloc(size);
    return std::aligned_alloc(align, (size + align - 1) / align * align);
  }
  void put(void *p, size_t size) const noexcept {
    if (!p) return;
    const tsan::Own own;
    if (give) give(p, size, arg);
    else std::free(p);
  }
  template <class T, class... A>
  T *make(A &&...a) const noexcept {
    void *p = get(sizeof(T), alignof(T));
    return p ? new (p) T(std::forward<A>(a)...) : nullptr;
  }
  template <class T>
  void destroy(T *p) const noexcept {
    if (!p) return;
    p->~T();
    put(p, sizeof(T));
  }
};

}  // namespace torque
