// SPDX-License-Identifier: BSD-3-Clause
// Where rooms above this one find what they keep once in each context: the core holds a pointer for each, and knows nothing
// else of it. Whoever owns the object (the handle, api/handle.hh) puts it there before the context has its first source,
// and frees it after the last.
//
// A type that is kept so names its place: static constexpr Local kLocal.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torque {

enum class Local : uint8_t {
  watches,  // descriptors of a driven context that the program dispatches itself
  inodes,   // the inotify instances of its path sources
  batches,  // where its datagram sockets receive and send
};

class Locals {
 public:
  template <class T>
  void put(T &local) noexcept {
    at_[static_cast<size_t>(T::kLocal)] = &local;
  }
  template <class T>
  T &get() const noexcept {
    return *static_cast<T *>(at_[static_cast<size_t>(T::kLocal)]);
  }

 private:
  void *at_[static_cast<size_t>(Local::batches) + 1] = {};
};

}  // namespace torque
