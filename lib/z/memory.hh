// SPDX-License-Identifier: BSD-3-Clause
// Bytes that are owned, and objects in malloc's memory.
//
// Thread: the holder's.
#pragma once

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace torque_z {

class Bytes {
 public:
  Bytes() = default;
  Bytes(Bytes &&o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}
  Bytes(const Bytes &) = delete;
  Bytes &operator=(const Bytes &) = delete;
  ~Bytes() { std::free(data_); }

  // False: no memory, and unchanged.
  bool assign(const void *data, size_t size) noexcept {
    void *copy = nullptr;
    if (size) {
      copy = std::malloc(size);
      if (!copy) return false;
      std::memcpy(copy, data, size);
    }
    std::free(data_);
    data_ = copy;
    size_ = size;
    return true;
  }
  const void *data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }

 private:
  void *data_ = nullptr;
  size_t size_ = 0;
};

// An object that may fail to start: made, then asked. Null: no memory, or it did not start.
template <class T, class... Args>
T *make_started(Args &&...args) noexcept {
  T *t = new (std::nothrow) T(std::forward<Args>(args)...);
  if (t && !t->start()) {
    delete t;
    return nullptr;
  }
  return t;
}

}  // namespace torque_z
