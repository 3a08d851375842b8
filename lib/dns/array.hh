// SPDX-License-Identifier: BSD-3-Clause
// A growable array of plain values. push() says whether there was memory; nothing is lost when not.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <type_traits>
#include <utility>

namespace torque_dns {

template <class T>
class Array {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  constexpr Array() noexcept = default;
  Array(const Array &) = delete;
  Array &operator=(const Array &) = delete;
  ~Array() { std::free(data_); }

  [[nodiscard]] bool reserve(size_t n) noexcept {
    if (n <= capacity_) return true;
    void *fresh = std::realloc(static_cast<void *>(data_), n * sizeof(T));
    if (!fresh) return false;
    data_ = static_cast<T *>(fresh);
    capacity_ = n;
    return true;
  }
  [[nodiscard]] bool room_for(size_t more) noexcept {
    if (size_ + more <= capacity_) return true;
    const size_t twice = capacity_ ? capacity_ * 2 : 16;
    return reserve(size_ + more > twice ? size_ + more : twice);
  }
  [[nodiscard]] bool push(const T &v) noexcept {
    const T copy = v;  // it may lie in here
    if (!room_for(1)) return false;
    data_[size_++] = copy;
    return true;
  }
  // Requires: room_for() has said so.
  void push_reserved(const T &v) noexcept { data_[size_++] = v; }
  void erase(size_t i) noexcept {
    for (; i + 1 < size_; ++i) data_[i] = data_[i + 1];
    --size_;
  }
  void truncate(size_t n) noexcept { size_ = n; }
  void clear() noexcept { size_ = 0; }
  void swap(Array &o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    std::swap(capacity_, o.capacity_);
  }

  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T &operator[](size_t i) noexcept { return data_[i]; }
  const T &operator[](size_t i) const noexcept { return data_[i]; }
  T *begin() noexcept { return data_; }
  T *end() noexcept { return data_ + size_; }
  const T *begin() const noexcept { return data_; }
  const T *end() const noexcept { return data_ + size_; }

 private:
  T *data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace torque_dns
