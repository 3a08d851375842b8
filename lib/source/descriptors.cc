// SPDX-License-Identifier: BSD-3-Clause
#include "source/descriptors.hh"

#include <atomic>

namespace torque {

namespace {
constexpr uint32_t kShift = 10;
}

Descriptors::~Descriptors() {
  alloc_.destroy(low_.load(std::memory_order_relaxed));
  auto *root = root_.load(std::memory_order_relaxed);
  if (!root) return;
  for (uint32_t i = 0; i < kFan; ++i) {
    Branch *b = root[i].load(std::memory_order_relaxed);
    if (!b) continue;
    for (auto &leaf : b->leaf) alloc_.destroy(leaf.load(std::memory_order_relaxed));
    alloc_.destroy(b);
  }
  alloc_.put(root, kFan * sizeof *root);
}

// Several threads may grow the same place: one wins, the others give theirs back.
template <class T>
T *Descriptors::grow(std::atomic<T *> &place) noexcept {
  T *there = place.load(std::memory_order_acquire);
  if (there) return there;
  void *p = alloc_.get(sizeof(T), alignof(T));
  if (!p) return nullptr;
  __builtin_memset(p, 0, sizeof(T));
  T *fresh = new (p) T;
  if (place.compare_exchange_strong(there, fresh, std::memory_order_acq_rel)) return fresh;
  alloc_.destroy(fresh);
  return there;
}

bool Descriptors::reserve(int fd) noexcept {
  const auto n = static_cast<uint32_t>(fd);
  if (n < kFan) return grow(low_) != nullptr;
  auto *root = root_.load(std::memory_order_acquire);
  if (!root) {
    const size_t bytes = kFan * sizeof(std::atomic<Branch *>);
    auto *fresh = static_cast<std::atomic<Branch *> *>(alloc_.get(bytes));
    if (!fresh) return false;
    for (uint32_t i = 0; i < kFan; ++i) new (&fresh[i]) std::atomic<Branch *>(nullptr);
    if (root_.compare_exchange_strong(root, fresh, std::memory_order_acq_rel)) root = fresh;
    else alloc_.put(fresh, bytes);
  }
  Branch *b = grow(root[n >> (2 * kShift)]);
  return b && grow(b->leaf[(n >> kShift) % kFan]);
}

uint64_t *Descriptors::find(int fd) noexcept {
  const auto n = static_cast<uint32_t>(fd);
  Leaf *leaf = nullptr;
  if (n < kFan) {
    leaf = low_.load(std::memory_order_acquire);
  } else if (auto *root = root_.load(std::memory_order_acquire)) {
    Branch *b = root[n >> (2 * kShift)].load(std::memory_order_acquire);
    leaf = b ? b->leaf[(n >> kShift) % kFan].load(std::memory_order_acquire) : nullptr;
  }
  return leaf ? &leaf->owner[n % kFan] : nullptr;
}

}  // namespace torque
