// SPDX-License-Identifier: BSD-3-Clause
// A set of CPU numbers of any size. Thread: its holder.
#pragma once

#include <bit>
#include <cstdint>

#include "base/vec.hh"

namespace torque {

class CpuSet {
 public:
  // Numbers beyond this come from malformed files or callers, never from a machine.
  static constexpr uint32_t cpu_max = (1U << 20) - 1;

  enum class Parse { ok, malformed, no_memory };

  explicit CpuSet(const Alloc &alloc) noexcept : words_(alloc) {}

  // False when there is no memory. Requires: cpu <= cpu_max.
  [[nodiscard]] bool add(uint32_t cpu) noexcept {
    while (words_.size() <= cpu / 64)
      if (!words_.push(0)) return false;
    words_[cpu / 64] |= uint64_t{1} << (cpu % 64);
    return true;
  }
  bool has(uint32_t cpu) const noexcept {
    return cpu / 64 < words_.size() && (words_[cpu / 64] >> (cpu % 64) & 1) != 0;
  }
  uint32_t count() const noexcept {
    uint32_t n = 0;
    for (const uint64_t w : words_) n += static_cast<uint32_t>(std::popcount(w));
    return n;
  }
  // Requires: not empty.
  uint32_t first() const noexcept {
    uint32_t w = 0;
    while (!words_[w]) ++w;
    return w * 64 + static_cast<uint32_t>(std::countr_zero(words_[w]));
  }
  bool meets(const CpuSet &o) const noexcept {
    for (size_t i = 0; i < words_.size() && i < o.words_.size(); i++)
      if (words_[i] & o.words_[i]) return true;
    return false;
  }
  void keep_only(const CpuSet &o) noexcept {
    for (size_t i = 0; i < words_.size(); i++) words_[i] &= i < o.words_.size() ? o.words_[i] : 0;
  }
  // One past the largest number that may be in the set.
  uint32_t bound() const noexcept { return static_cast<uint32_t>(words_.size() * 64); }
  void clear() noexcept { words_.clear(); }

  // The kernel's list notation, "0-3,8". What was parsed before a mistake stays in the set.
  Parse parse(const char *text) noexcept;

 private:
  Vec<uint64_t> words_;
};

}  // namespace torque
