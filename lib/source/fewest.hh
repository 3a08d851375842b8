// SPDX-License-Identifier: BSD-3-Clause
// Which domain has the fewest sources, without asking all of them each time: one is taken until it has more than the
// next, and the search for that goes on from there. With few sources the answer is exact, with many it is off by an
// eighth at most, or by what other threads do meanwhile.
// Where all have the same, and one source goes as another comes, half of the domains would be asked each time. So no more
// than kAskedMost are: where there are more domains, the answer is one of the fewest among those.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace torque {

class Fewest {
 public:
  static constexpr uint32_t kAskedMost = 64;

  // load(i): how many domain i has. Requires: count is always the same, below 2^16.
  template <class Load>
  uint32_t pick(uint32_t count, Load load) noexcept {
    const uint64_t hint = hint_.load(std::memory_order_relaxed);
    const uint32_t last = index_of(hint);
    if (load(last) <= limit_of(hint)) return last;
    uint64_t least = kMost, second = kMost;
    uint32_t best = last;
    for (uint32_t i = next(last, count), left = std::min(count, kAskedMost); left > 0; i = next(i, count), --left) {
      const uint64_t n = load(i);
      if (n <= limit_of(hint)) {
        keep(limit_of(hint), i);
        return i;
      }
      second = std::min(second, std::max(n, least));
      if (n >= least) continue;
      least = n;
      best = i;
    }
    keep(std::max(second == kMost ? least : second, least + least / kSlack), best);
    return best;
  }

  // Domain i has one source fewer than it had: n. Nothing is written as long as it is near the others.
  void fell(uint32_t i, uint64_t n) noexcept {
    const uint64_t limit = limit_of(hint_.load(std::memory_order_relaxed));
    if (n < limit - limit / 4) keep(n + n / kSlack, i);
  }

 private:
  static constexpr uint64_t kMost = UINT64_MAX;
  static constexpr uint64_t kSlack = 8;
  static constexpr unsigned kIndexBits = 16;

  static uint32_t index_of(uint64_t hint) noexcept { return hint & ((1u << kIndexBits) - 1); }
  static uint64_t limit_of(uint64_t hint) noexcept { return hint >> kIndexBits; }
  static uint32_t next(uint32_t i, uint32_t count) noexcept { return i + 1 == count ? 0 : i + 1; }
  void keep(uint64_t limit, uint32_t i) noexcept { hint_.store(limit << kIndexBits | i, std::memory_order_relaxed); }

  // Domain i is taken as long as it has no more than limit. Any thread, relaxed: a hint, and only that.
  std::atomic<uint64_t> hint_{0};
};

}  // namespace torque
