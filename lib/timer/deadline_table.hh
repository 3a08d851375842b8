// SPDX-License-Identifier: BSD-3-Clause
// Deadlines by number, for callers who keep no slots of ours: records at addresses that stay, and who has which.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>

#include "base/alloc.hh"
#include "base/huge.hh"
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
// Always true: a record that nobody has is marked in `deadline.seq`, which means nothing else while it is not set.
class DeadlineTable {
 public:
  explicit DeadlineTable(const Alloc &alloc) noexcept : alloc_(&alloc), free_(alloc) {}
  DeadlineTable(const DeadlineTable &) = delete;
  DeadlineTable &operator=(const DeadlineTable &) = delete;
  ~DeadlineTable() {
    for (unsigned s = 0; s < kSegments; ++s)
      if (segment_[s]) alloc_->put(first_of(s), sizeof(Record) << s);
  }

  // Requires: an id that was handed out once.
  Record &at(uint32_t id) const noexcept {
    const uint32_t n = id + kBias;
    return *reinterpret_cast<Record *>(segment_[31u ^ static_cast<unsigned>(__builtin_clz(n))] + n * sizeof(Record));
  }
  // The record of an id that somebody has, else null.
  Record *find(uint32_t id) const noexcept {
    if (id - 1 >= made_) [[unlikely]]
      return nullptr;
    Record &r = at(id);
    if (!r.deadline.is_set() && r.deadline.seq == kFree) [[unlikely]]
      return nullptr;
    return &r;
  }
  // Ids 1 to made() were handed out once.
  uint32_t made() const noexcept { return made_; }

  // An id that nobody has, the one given back last if there is one. Its deadline is not set, but may have a carrier.
  // Returns: 0 when there is no memory, or no number left.
  [[nodiscard]] uint32_t take() noexcept {
    if (free_.empty()) [[unlikely]]
      return make();
    const uint32_t id = free_.back();
    free_.pop();
    if (free_.size() >= kAhead) [[likely]]
      __builtin_prefetch(&at(free_[free_.size() - kAhead]), 1);
    return id;
  }
  // Requires: the record of that id, which is held, and its deadline not set.
  void give(uint32_t id, Record &r) noexcept {
    r.deadline.seq = kFree;
    free_.push_reserved(id);
  }
  // What the wheel has just unset stays with whoever has it.
  static void keep(Record &r) noexcept { r.deadline.seq = kHeld; }

 private:
  static constexpr uint32_t kBias = 63;  // so that the first segment has 64 records
  static constexpr unsigned kSegments = 31;
  static constexpr uint32_t kMost = (1u << 31) - 1 - kBias;
  static constexpr size_t kAhead = 8;  // free records between prefetch and use
  static constexpr uint32_t kHeld = 0;
  static constexpr uint32_t kFree = 1;

  [[gnu::noinline]] uint32_t make() noexcept {
    if (made_ == kMost) return 0;
    const unsigned s = static_cast<unsigned>(std::bit_width(made_ + 1 + kBias)) - 1;
    if (!segment_[s] && !add_segment(s)) return 0;
    ++made_;
    std::construct_at(&at(made_));
    return made_;
  }
  bool add_segment(unsigned s) noexcept {
    if (!free_.reserve((size_t{2} << s) - 1 - kBias)) return false;
    const size_t bytes = sizeof(Record) << s;
    void *p = alloc_->get(bytes, alignof(Record));
    if (!p) return false;
    if (!alloc_->take) prefer_huge_pages(p, bytes);
    segment_[s] = reinterpret_cast<uintptr_t>(p) - bytes;
    return true;
  }
  void *first_of(unsigned s) const noexcept { return reinterpret_cast<void *>(segment_[s] + (sizeof(Record) << s)); }

  const Alloc *alloc_;
  uint32_t made_ = 0;
  Vec<uint32_t> free_;  // the newest last; with room for every id
  // Number s: 2^s records, of the ids that are 2^s or more with the bias; where the record of number 0 would be.
  uintptr_t segment_[kSegments] = {};
};

}  // namespace torque::timer
