// SPDX-License-Identifier: BSD-3-Clause
// Which callback a worker is in, for the watchdog to look at; null where nobody watches.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "source/slot.hh"

namespace torque {

class Beat {
 public:
  struct In {
    uint64_t source = 0;
    Callback fn = nullptr;
    bool callback = false;
  };
  struct Sight {
    uint64_t count;  // odd: in a callback, the same one as long as this is the same
    uint64_t source;
    Callback fn;
  };

  // The worker: it is in this from now on. Answers what it was in.
  In enter(In in) noexcept {
    if (count_.load(std::memory_order_relaxed) & 1) bump();
    // Release: whoever sees one of these sees the even count before.
    source_.store(in.source, std::memory_order_release);
    fn_.store(in.fn, std::memory_order_release);
    if (in.callback) bump();
    return std::exchange(in_, in);
  }

  // Any thread. False: it is in none, or on its way to another.
  bool look(Sight *ret) const noexcept {
    ret->count = count_.load(std::memory_order_acquire);
    ret->source = source_.load(std::memory_order_acquire);
    ret->fn = fn_.load(std::memory_order_acquire);
    return (ret->count & 1) && count_.load(std::memory_order_relaxed) == ret->count;
  }

  std::atomic<int32_t> thread{0};  // the worker's, by the system's number

 private:
  void bump() noexcept { count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  std::atomic<uint64_t> count_{0};
  std::atomic<uint64_t> source_{0};
  std::atomic<Callback> fn_{nullptr};
  In in_;  // the worker's own
};

// In a callback, or (neither) between two, for as long as this exists.
class Watched {
 public:
  Watched(Beat *beat, uint64_t source, Callback fn) noexcept : beat_(beat) {
    if (beat_) [[unlikely]]
      outer_ = beat_->enter({source, fn, true});
  }
  explicit Watched(Beat *beat) noexcept : beat_(beat) {
    if (beat_) [[unlikely]]
      outer_ = beat_->enter({});
  }
  ~Watched() {
    if (beat_) [[unlikely]]
      beat_->enter(outer_);
  }
  Watched(const Watched &) = delete;
  Watched &operator=(const Watched &) = delete;

 private:
  Beat *beat_;
  Beat::In outer_;
};

}  // namespace torque
