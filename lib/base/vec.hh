// SPDX-License-Identifier: BSD-3-Clause
// A growable array of plain values on an Alloc. push() says whether there was memory; nothing is lost when not.
#pragma once

#include <cstring>
#include <type_traits>

#include "base/alloc.hh"

namespace torque {

template <class T>
class Vec {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit Vec(const Alloc &alloc) noexcept : alloc_(&alloc) {}
  Vec(const Vec &) = delete;
  Vec &operator=(const Vec &) = delete;
  ~Vec() { release(); }

  [[nodiscard]] bool push(const T &v) noexcept {
    if (size_ == capacity_ && !reserve(capacity_ ? capacity_ * 2 : 16)) return false;
    data_[size_++] = v;
    return true;
  }
  // All of them or none.
  [[nodiscard]] bool append(const T *v, size_t n) noexcept {
    if (n > capacity_ - size_ && !reserve(size_ + n > capacity_ * 2 ? size_ + n : capacity_ * 2)) return false;
    const tsan::Own own;
    if (n) std::memcpy(static_cast<void *>(data_ + size_), v, n * sizeof(T));
    size_ += n;
    return true;
  }
  // Requires: size() < capacity().
  void push_reserved(const T &v) noexcept { data_[size_++] = v; }
  [[nodiscard]] bool reserve(size_t n) noexcept {
    if (n <= capacity_) return true;
    T *fresh = static_cast<T *>(alloc_->get(n * sizeof(T), alignof(T)));
    if (!fresh) return false;
    const tsan::Own own;
    if (size_) std::memcpy(static_cast<void *>(fresh), data_, size_ * sizeof(T));
    alloc_->put(data_, capacity_ * sizeof(T));
    data_ = fresh;
    capacity_ = n;
    return true;
  }
  void swap(Vec &o) noexcept {
    std::swap(alloc_, o.alloc_);
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    std::swap(capacity_, o.capacity_);
  }
  void clear() noexcept { size_ = 0; }
  void pop() noexcept { --size_; }
  void truncate(size_t n) noexcept { size_ = n; }
  void erase_front(size_t n) noexcept {
    size_ -= n;
    const tsan::Own own;
    if (n && size_) std::memmove(static_cast<void *>(data_), data_ + n, size_ * sizeof(T));
  }
  // Gives the memory back; the array stays usable.
  void release() noexcept {
    alloc_->put(data_, capacity_ * sizeof(T));
    data_ = nullptr;
    size_ = capacity_ = 0;
  }

  size_t size() const noexcept { return size_; }
  size_t capacity() const noexcept { return capacity_; }
  bool empty() const noexcept { return size_ == 0; }
  T &operator[](size_t i) noexcept { return data_[i]; }
  const T &operator[](size_t i) const noexcept { return data_[i]; }
  T *begin() noexcept { return data_; }
  T *end() noexcept { return data_ + size_; }
  const T *begin() const noexcept { return data_; }
  const T *end() const noexcept { return data_ + size_; }
  T &back() noexcept { return data_[size_ - 1]; }

 private:
  const Alloc *alloc_;
  T *data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace torque
