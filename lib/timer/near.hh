// SPDX-License-Identifier: BSD-3-Clause
// Entries of the near past and of the current tick, in exact order: a sorted run, as loaded from buckets, and a heap
// for those that came after it was sorted.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/assert.hh"
#include "base/vec.hh"
#include "timer/buckets.hh"

namespace torque::timer {

// Earlier deadline first, then the longer ago set. The age is counted back from the newest set(), so this is a strict
// order even after the counter has wrapped; equal deadlines set 2^32 set() calls apart may swap.
struct Before {
  uint32_t newest;
  bool operator()(const Entry &a, const Entry &b) const noexcept {
    if (a.at != b.at) return a.at < b.at;
    return newest - a.seq > newest - b.seq;
  }
};

class Near {
 public:
  static constexpr size_t kKeep = 64;  // entries of capacity that are not worth giving back

  explicit Near(const Alloc &alloc) noexcept : alloc_(&alloc), run_(alloc), late_(alloc) {}

  size_t size() const noexcept { return run_left() + late_.size(); }
  size_t run_left() const noexcept { return run_.size() - pos_; }
  size_t capacity() const noexcept { return run_.capacity() + late_.capacity(); }
  bool empty() const noexcept { return size() == 0; }

  // Null when empty.
  const Entry *first(uint32_t newest) const noexcept {
    const Entry *r = pos_ < run_.size() ? &run_[pos_] : nullptr;
    if (late_.empty()) [[likely]]
      return r;
    return !r || Before{newest}(late_[0], *r) ? &late_[0] : r;
  }
  // Requires: e is what first() returned.
  void drop(const Entry *e, uint32_t newest) noexcept {
    if (late_.empty() || e != &late_[0]) {
      ++pos_;
      return;
    }
    std::pop_heap(late_.begin(), late_.end(), After{newest});
    late_.pop();
    if (late_.capacity() > kKeep && late_.size() < late_.capacity() / 4) shrink_late();
  }
  // The entry that will come n places after the first, as far as known: for prefetching.
  const Entry *peek(size_t n) const noexcept { return pos_ + n < run_.size() ? &run_[pos_ + n] : nullptr; }

  [[nodiscard, gnu::noinline]] bool insert(const Entry &e, uint32_t newest) noexcept {
    if (!late_.push(e)) return false;
    std::push_heap(late_.begin(), late_.end(), After{newest});
    return true;
  }
  // As insert, for an entry just dropped and changed: cannot fail, for the dropped one has left its place.
  void put_back(const Entry &e, uint32_t newest) noexcept {
    if (insert(e, newest)) return;
    CHECK1(pos_ > 0);
    Entry *from = run_.begin() + pos_;
    Entry *to = std::upper_bound(from, run_.end(), e, Before{newest});
    std::move(from, to, from - 1);
    to[-1] = e;
    --pos_;
  }

  // Appends a bucket that is later than the whole run. Returns: false when there is no memory; nothing has changed.
  [[nodiscard]] bool load(const Bucket &b, uint32_t newest) noexcept {
    if (pos_ == run_.size()) start_over();
    const size_t old = run_.size();
    const size_t need = old + b.n;
    if (need > run_.capacity() && !run_.reserve(std::max({need, run_.capacity() * 2, kKeep}))) return false;
    append(b);
    sort(run_.begin() + old, run_.end(), newest);
    return true;
  }

  // Keeps the late entries for which keep(entry) is true.
  template <class Keep>
  void filter_late(uint32_t newest, Keep &&keep) noexcept {
    size_t n = 0;
    for (const Entry &e : late_)
      if (keep(e)) late_[n++] = e;
    late_.truncate(n);
    std::make_heap(late_.begin(), late_.end(), After{newest});
    if (late_.capacity() > kKeep && n < late_.capacity() / 4) shrink_late();
  }
  // Room for n late entries, so that as many insert() calls cannot fail after discard().
  [[nodiscard]] bool reserve_late(size_t n) noexcept { return late_.reserve(n); }
  void discard() noexcept {
    start_over();
    late_.clear();
  }
  // Gives memory back. Requires: empty.
  void release() noexcept {
    start_over();
    if (run_.capacity() > kKeep) run_.release();
    if (late_.capacity() > kKeep) late_.release();
  }

 private:
  struct After {
    uint32_t newest;
    bool operator()(const Entry &a, const Entry &b) const noexcept { return Before{newest}(b, a); }
  };

  void start_over() noexcept {
    run_.clear();
    pos_ = 0;
  }
  // Oldest first, so that equal deadlines mostly lie in order already. Requires: capacity.
  void append(const Bucket &b) noexcept {
    const size_t old = run_.size();
    uint32_t fill = b.fill;
    for (const Chunk *c = b.head; c; c = c->older, fill = Chunk::kRoom)
      for (uint32_t i = fill; i-- > 0;) static_cast<void>(run_.push(c->entry[i]));
    std::reverse(run_.begin() + old, run_.end());
  }
  static void sort(Entry *from, Entry *to, uint32_t newest) noexcept {
    if (!std::is_sorted(from, to, Before{newest})) std::sort(from, to, Before{newest});
  }
  void shrink_late() noexcept {
    Vec<Entry> fresh(*alloc_);
    if (!fresh.reserve(late_.size() * 2 + 16)) return;
    for (const Entry &e : late_)
      if (!fresh.push(e)) return;
    late_.swap(fresh);
  }

  const Alloc *alloc_;
  Vec<Entry> run_;  // sorted; those before pos_ are done with
  size_t pos_ = 0;
  Vec<Entry> late_;  // heap
};

}  // namespace torque::timer
