// SPDX-License-Identifier: BSD-3-Clause
// Future entries, roughly sorted: a radix tree over time, seen from a cursor that only moves forward.
//
// Time is cut into ticks, a tick number into digits. An entry lies at the level of the highest digit in which its tick
// differs from the cursor, in the bucket of that digit. So every entry of a level is earlier than every entry of the
// levels above, and the first bucket of the lowest level in use holds the earliest entry of all.
//
// Always true: no bucket is in use at or below the cursor's own digit, except at level 0 (its own tick).
// Memory: a bucket has at most one chunk that is not full, so room_for(n) chunks hold n entries however they lie;
// moving entries between buckets cannot fail.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/assert.hh"
#include "base/clock.hh"
#include "timer/chunk.hh"

namespace torque::timer {

struct Bucket {
  Chunk *head = nullptr;         // newest chunk; the older ones are full
  uint64_t min = kNever;         // no entry is earlier; exact until one is removed
  uint32_t n = 0;                // entries
  uint32_t fill = Chunk::kRoom;  // used places of the head

  void push(const Entry &e, ChunkPool &pool) noexcept {
    if (!has_place()) grow(pool);
    put(e);
  }
  // Whether there is one without another chunk; then the bucket is in use already.
  bool has_place() const noexcept { return fill < Chunk::kRoom; }
  // Requires: has_place().
  [[gnu::always_inline]] void put(const Entry &e) noexcept {
    head->entry[fill++] = e;
    ++n;
    if (e.at < min) min = e.at;
  }
  // Overwrites the entry at p (in this bucket) with the last one, which is removed.
  void remove(Entry *p, ChunkPool &pool) noexcept {
    *p = head->entry[--fill];
    --n;
    if (fill == 0) shrink(pool);
  }

 private:
  void grow(ChunkPool &pool) noexcept {
    Chunk *c = pool.take();
    c->older = head;
    head = c;
    fill = 0;
  }
  void shrink(ChunkPool &pool) noexcept {
    Chunk *c = head;
    head = c->older;
    fill = Chunk::kRoom;
    pool.give(c);
    if (!head) min = kNever;
  }
};

class Buckets {
 public:
  // 65 us: short enough that ticks stay small among a million timers, long enough for six levels.
  static constexpr unsigned kTickBits = 16;
  static constexpr unsigned kDigitBits = 8;
  static constexpr unsigned kWidth = 1u << kDigitBits;
  static constexpr unsigned kLevels = (64 - kTickBits) / kDigitBits;
  static_assert(kTickBits + kDigitBits * kLevels == 64);

  struct Place {
    unsigned level;
    unsigned index;
  };

  static uint64_t tick_of(uint64_t at) noexcept { return at >> kTickBits; }
  static uint64_t last_of_tick(uint64_t tick) noexcept { return tick << kTickBits | ((uint64_t{1} << kTickBits) - 1); }
  static size_t room_for(size_t entries) noexcept {
    return entries / Chunk::kRoom + std::min<size_t>(entries, kLevels * kWidth) + 1;
  }

  uint64_t cursor() const noexcept { return cursor_; }
  // Of those whose entries the bucket holds.
  uint64_t last_tick(Place p) const noexcept { return start_of(p) + (uint64_t{1} << (p.level * kDigitBits)) - 1; }
  Bucket &at(Place p) noexcept { return bucket_[p.level][p.index]; }

  // Where an entry of that time belongs. Requires: a tick not before the cursor.
  Bucket &bucket_of(uint64_t time) noexcept { return at(place_of(tick_of(time))); }

  // Requires: a tick not before the cursor, and room in the pool.
  void put(const Entry &e, ChunkPool &pool) noexcept {
    const Place p = place_of(tick_of(e.at));
    Bucket &b = at(p);
    if (b.n == 0) mark(p);
    b.push(e, pool);
  }
  void remove(Place p, Entry *e, ChunkPool &pool) noexcept {
    at(p).remove(e, pool);
    if (at(p).n == 0) unmark(p);
  }
  // Returns: false when all buckets are empty.
  bool earliest(Place *ret) const noexcept {
    if (!levels_) return false;
    const unsigned level = static_cast<unsigned>(std::countr_zero(levels_));
    *ret = {level, first_from(level, 0)};
    return true;
  }
  // The first bucket in use not before p, in an order that visits each of them once; false at the end.
  bool from(Place p, Place *ret) const noexcept {
    for (; p.level < kLevels; p = {p.level + 1, 0}) {
      if (p.index >= kWidth) continue;
      p.index = first_from(p.level, p.index);
      if (p.index == kWidth) continue;
      *ret = p;
      return true;
    }
    return false;
  }
  // Takes the whole bucket away; its chunks are the caller's.
  Bucket detach(Place p) noexcept {
    const Bucket b = at(p);
    at(p) = Bucket{};
    unmark(p);
    return b;
  }

  // Requires: no entry is before `tick`, and none shares a digit with it that `place_of` would now see differently:
  // either the bucket in which `tick` lies has just been detached, or there is none.
  void move_cursor(uint64_t tick) noexcept {
    CHECK2(tick >= cursor_);
    cursor_ = tick;
  }
  // Anywhere. Requires: all buckets are empty.
  void restart(uint64_t tick) noexcept {
    CHECK2(!levels_);
    cursor_ = tick;
  }
  // Moves the cursor as near to `tick` as the buckets in use allow.
  void catch_up(uint64_t tick) noexcept {
    Place p;
    if (earliest(&p)) tick = std::min(tick, start_of(p) - (start_of(p) > 0));
    if (tick > cursor_) cursor_ = tick;
  }

 private:
  Place place_of(uint64_t tick) const noexcept {
    const uint64_t differs = tick ^ cursor_;
    const unsigned level = (63u - static_cast<unsigned>(std::countl_zero(differs | 1))) / kDigitBits;
    return {level, static_cast<unsigned>(tick >> (level * kDigitBits)) & (kWidth - 1)};
  }
  uint64_t start_of(Place p) const noexcept {
    const unsigned low = p.level * kDigitBits;
    const uint64_t above = low + kDigitBits >= 64 ? 0 : cursor_ >> (low + kDigitBits) << (low + kDigitBits);
    return above | uint64_t{p.index} << low;
  }
  unsigned first_from(unsigned level, unsigned index) const noexcept {
    uint64_t mask = ~uint64_t{0} << (index % 64);
    for (unsigned w = index / 64; w < kWidth / 64; ++w, mask = ~uint64_t{0})
      if (const uint64_t bits = used_[level][w] & mask) return w * 64 + static_cast<unsigned>(std::countr_zero(bits));
    return kWidth;
  }
  void mark(Place p) noexcept {
    used_[p.level][p.index / 64] |= uint64_t{1} << (p.index % 64);
    levels_ |= 1u << p.level;
  }
  void unmark(Place p) noexcept {
    used_[p.level][p.index / 64] &= ~(uint64_t{1} << (p.index % 64));
    if (first_from(p.level, 0) == kWidth) levels_ &= ~(1u << p.level);
  }

  uint64_t cursor_ = 0;
  unsigned levels_ = 0;  // bit per level: some bucket in use
  uint64_t used_[kLevels][kWidth / 64] = {};
  Bucket bucket_[kLevels][kWidth];
};

}  // namespace torque::timer
