// SPDX-License-Identifier: BSD-3-Clause
// Memory through ev_set_allocator(). As in libev, a program that runs out of it ends.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

#include "ev.hh"

namespace torque_ev {

void *resize(void *p, size_t size) noexcept;  // size 0 frees
bool has_allocator() noexcept;

// A growable array of plain values. All zero is empty, so that a zeroed loop holds usable ones.
template <class T>
struct Array {
  static_assert(std::is_trivially_copyable_v<T>);
  T *at;
  int count;
  int room;

  void push(const T &v) {
    if (count == room) [[unlikely]]
      grow(count + 1);
    at[count++] = v;
  }
  // Room for n; what is new is zero.
  void need(int n) {
    if (n > room) [[unlikely]]
      grow(n);
  }
  T pop() { return at[--count]; }
  void release() {
    resize(at, 0);
    *this = {};
  }
  T *begin() { return at; }
  T *end() { return at + count; }

 private:
  [[gnu::noinline]] void grow(int n) {
    int more = room ? room * 2 : 16;
    while (more < n) more *= 2;
    at = static_cast<T *>(resize(at, static_cast<size_t>(more) * sizeof(T)));
    std::memset(static_cast<void *>(at + room), 0, static_cast<size_t>(more - room) * sizeof(T));
    room = more;
  }
};

}  // namespace torque_ev
