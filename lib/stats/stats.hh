// SPDX-License-Identifier: BSD-3-Clause
// Counters: one block per worker, and one per domain for what other threads do. The owner adds with plain loads and
// stores (relaxed: no reader needs order); any thread reads and sums.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace torque {

enum class Counter : uint32_t {
#define TORQUE_COUNTER(name, help) name,
#include "stats/counters.def"
#undef TORQUE_COUNTER
  count
};

constexpr uint32_t kCounters = static_cast<uint32_t>(Counter::count);
const char *counter_name(uint32_t i) noexcept;
const char *counter_help(uint32_t i) noexcept;

class alignas(64) Counters {
 public:
  // Owner only.
  void add(Counter c, uint64_t n = 1) noexcept {
    auto &v = v_[static_cast<uint32_t>(c)];
    v.store(v.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  // Any thread, for a block that has no owner.
  void add_shared(Counter c, uint64_t n = 1) noexcept {
    v_[static_cast<uint32_t>(c)].fetch_add(n, std::memory_order_relaxed);
  }
  uint64_t get(uint32_t i) const noexcept { return v_[i].load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> v_[kCounters] = {};
};

// Powers of two of nanoseconds. Owner adds, any thread reads.
class Histogram {
 public:
  static constexpr uint32_t kBuckets = 40;
  void add(uint64_t ns) noexcept {
    const uint32_t b = ns < 2 ? 0 : static_cast<uint32_t>(std::bit_width(ns) - 1);
    auto &v = v_[b < kBuckets ? b : kBuckets - 1];
    v.store(v.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  uint64_t get(uint32_t b) const noexcept { return v_[b].load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> v_[kBuckets] = {};
};

}  // namespace torque
