// SPDX-License-Identifier: BSD-3-Clause
// Deadlines by number, for callers who keep no slots of ours: records at addresses that stay, and the free numbers.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>

#include "base/alloc.hh"
#include "base/vec.hh"
#include "timer/deadline.hh"

namespace torque::timer {

struct Record {
  Deadline deadline;
  void *arg;
};
static_assert(sizeof(Record) == 32, "two in a cache line");

// Segments double in size, so that there are few of them and finding a record takes one look into a small array.
//
// Always true: a record that nobody has is marked in `deadline.seq`, which means nothing while it is unset.
class DeadlineTable {
 public:
  explicit DeadlineTable(const Alloc &alloc) noexcept : alloc_(&alloc), free_(alloc) {}
  DeadlineTable(const DeadlineTable &) = delete;
  DeadlineTable &operator=(const DeadlineTable &) = delete;
  ~DeadlineTable() {
    for (unsigned s = 0; s < kWidths; ++s)
      if (segment_[s]) alloc_->put(segment_[s], records_of(s) * sizeof(Record));
  }

  // Requires: an id that was handed out once.
  Record &at(uint32_t id) const noexcept {
    const uint32_t n = id + kFirst - 1;
    return segment_[std::bit_width(n)][n - std::bit_floor(n)];
  }
  // The record of an id that somebody has, else null.
  Record *find(uint32_t id) const noexcept {
    if (id - 1 >= made_) [[unlikely]]
      return nullptr;
    Record &r = at(id);
    return is_free(r) ? nullptr : &r;
  }

  // An unset record that nobody has, the one given back last if there is one. Its Deadline may have a carrier.
  // Returns: false when there is no memory, or no number left.
  [[nodiscard]] bool take(uint32_t *ret_id) noexcept {
    if (free_.empty()) [[unlikely]]
      return make(ret_id);
    *ret_id = free_.back();
    free_.pop();
    if (free_.size() >= kAhead) __builtin_prefetch(&at(free_[free_.size() - kAhead]), 1);
    mark_held(at(*ret_id));
    return true;
  }
  // Requires: the id is held, and its deadline not set.
  void give(uint32_t id) noexcept {
    at(id).deadline.seq = kFree;
    static_cast<void>(free_.push(id));  // there is room for every number
  }
  // What the wheel has just unset.
  static void mark_held(Record &r) noexcept { r.deadline.seq = kHeld; }

  // Ids 1 to made() were handed out once.
  uint32_t made() const noexcept { return made_; }

 private:
  static constexpr uint32_t kFirst = 64;  // records of the first segment
  static constexpr unsigned kWidths = 33;
  static constexpr uint32_t kMost = (1u << 31) - kFirst;
  static constexpr size_t kAhead = 8;  // free records between prefetch and use
  static constexpr uint32_t kHeld = 0;
  static constexpr uint32_t kFree = 1;

  static size_t records_of(unsigned width) noexcept { return size_t{1} << (width - 1); }
  static bool is_free(const Record &r) noexcept { return !r.deadline.is_set() && r.deadline.seq == kFree; }

  [[gnu::noinline]] bool make(uint32_t *ret_id) noexcept {
    if (made_ == kMost) return false;
    const unsigned width = static_cast<unsigned>(std::bit_width(made_ + kFirst));
    if (!segment_[width] && !add_segment(width)) return false;
    *ret_id = ++made_;
    std::construct_at(&at(*ret_id));
    return true;
  }
  bool add_segment(unsigned width) noexcept {
    if (!free_.reserve(2 * records_of(width) - kFirst)) return false;
    segment_[width] = static_cast<Record *>(alloc_->get(records_of(width) * sizeof(Record), alignof(Record)));
    return segment_[width] != nullptr;
  }

  const Alloc *alloc_;
  uint32_t made_ = 0;
  Vec<uint32_t> free_;  // the newest last
  Record *segment_[kWidths] = {};  // by the width of (id + kFirst - 1)
};

}  // namespace torque::timer
