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

struct Slab;

// A quarter of a kilobyte: not too much where a bucket has one entry.
struct Chunk {
  static constexpr uint32_t kRoom = 15;
  Chunk *older;
  Slab *slab;
  Entry entry[kRoom];
};

[[gnu::always_inline]] inline void prefetch_chunk(const Chunk *c) noexcept {
  const char *p = reinterpret_cast<const char *>(c);
  for (size_t i = 0; i < sizeof(Chunk); i += 64) __builtin_prefetch(p + i, 1);
}

// Chunks that are allocated together: about a page, for more would be held back by the last chunk in use.
struct Slab {
  static constexpr uint32_t kChunks = 16;
  Slab *next;  // in the ring of slabs that are not full
  Slab *prev;
  Chunk *free;     // given back
  uint32_t used;   // chunks that are out
  uint32_t fresh;  // chunks from here on were never out: reserved, but not touched
  Chunk chunk[kChunks];
};

// Only reserve() asks the allocator, so whoever has reserved enough cannot fail later.
class ChunkPool {
 public:
  explicit ChunkPool(const Alloc &alloc) noexcept : alloc_(&alloc) {}
  ChunkPool(const ChunkPool &) = delete;
  ChunkPool &operator=(const ChunkPool &) = delete;
  // Requires: all chunks were given back.
  ~ChunkPool() { trim(0); }

  // Holds at least n chunks, used ones included, or says that there is no memory.
  [[nodiscard]] bool reserve(size_t n) noexcept {
    while (held_ < n) {
      Slab *s = static_cast<Slab *>(alloc_->get(sizeof(Slab), alignof(Slab)));
      if (!s) return false;
      s->free = nullptr;
      s->used = s->fresh = 0;
      link_last(s);
      held_ += Slab::kChunks;
    }
    return true;
  }
  // Gives unused slabs back as long as n chunks remain.
  void trim(size_t n) noexcept {
    while (first_ && first_->prev->used == 0 && held_ >= n + Slab::kChunks) {
      Slab *s = first_->prev;
      unlink(s);
      alloc_->put(s, sizeof(Slab));
      held_ -= Slab::kChunks;
    }
  }
  // Requires: fewer are out than were reserved.
  Chunk *take() noexcept {
    Slab *s = first_;
    Chunk *c = s->free;
    if (c) {
      s->free = c->older;
      // The next one has mostly not been touched for long.
      if (s->free) prefetch_chunk(s->free);
    } else {
      c = &s->chunk[s->fresh++];
      c->slab = s;
    }
    if (++s->used == Slab::kChunks) unlink(s);
    return c;
  }
  void give(Chunk *c) noexcept {
    Slab *s = c->slab;
    c->older = s->free;
    s->free = c;
    if (s->used-- == Slab::kChunks) link_first(s);
    if (s->used == 0 && s != first_->prev) {
      unlink(s);
      link_last(s);
    }
  }
  size_t held() const noexcept { return held_; }
  size_t bytes() const noexcept { return held_ / Slab::kChunks * sizeof(Slab); }

 private:
  // Those in use come first, so that the others may become free to go.
  void link_last(Slab *s) noexcept {
    if (!first_) {
      first_ = s->next = s->prev = s;
      return;
    }
    s->next = first_;
    s->prev = first_->prev;
    s->prev->next = s->next->prev = s;
  }
  void link_first(Slab *s) noexcept {
    link_last(s);
    first_ = s;
  }
  void unlink(Slab *s) noexcept {
    if (first_ == s) first_ = s->next == s ? nullptr : s->next;
    s->next->prev = s->prev;
    s->prev->next = s->next;
  }

  const Alloc *alloc_;
  Slab *first_ = nullptr;
  size_t held_ = 0;
};

}  // namespace torque::timer
