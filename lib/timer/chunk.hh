// SPDX-License-Identifier: BSD-3-Clause
// Entries of the wheel, the chunks they lie in, and the chunks held in reserve.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/alloc.hh"

namespace torque::timer {

struct Entry {
  uint64_t at;
  uint32_t id;
  uint32_t seq;
};

// With malloc's header a quarter of a kilobyte: four cache lines, and not too much where a bucket has one entry.
struct Chunk {
  static constexpr uint32_t kRoom = 15;
  Chunk *older;
  Entry entry[kRoom];
};

inline void prefetch_chunk(const Chunk *c) noexcept {
  const char *p = reinterpret_cast<const char *>(c);
  for (size_t i = 0; i < sizeof(Chunk); i += 64) __builtin_prefetch(p + i, 1);
}

// Only reserve() asks the allocator, so whoever has reserved enough cannot fail later.
class ChunkPool {
 public:
  explicit ChunkPool(const Alloc &alloc) noexcept : alloc_(&alloc) {}
  ChunkPool(const ChunkPool &) = delete;
  ChunkPool &operator=(const ChunkPool &) = delete;
  ~ChunkPool() { trim(0); }

  // Holds at least n chunks, used ones included, or says that there is no memory.
  [[nodiscard]] bool reserve(size_t n) noexcept {
    while (held_ < n) {
      Chunk *c = static_cast<Chunk *>(alloc_->get(sizeof(Chunk), alignof(Chunk)));
      if (!c) return false;
      ++held_;
      give(c);
    }
    return true;
  }
  // Gives unused chunks back until no more than n are held.
  void trim(size_t n) noexcept {
    while (held_ > n && free_) {
      alloc_->put(take(), sizeof(Chunk));
      --held_;
    }
  }
  // The next one to be taken is fetched into the cache by then: it has mostly not been touched for long.
  Chunk *take() noexcept {
    Chunk *c = free_;
    free_ = c->older;
    if (free_) prefetch_chunk(free_);
    return c;
  }
  void give(Chunk *c) noexcept {
    c->older = free_;
    free_ = c;
  }
  size_t held() const noexcept { return held_; }

 private:
  const Alloc *alloc_;
  Chunk *free_ = nullptr;
  size_t held_ = 0;
};

}  // namespace torque::timer
