// SPDX-License-Identifier: BSD-3-Clause
// What signal handlers may know of the loops of a process: a list of stations, which are used again and never freed, so
// that handlers may walk it at any moment. A handler counts itself into a station before it touches the loop, and the
// loop leaves only when nobody is counted in.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace torque_compat {

constexpr uint64_t signal_bit(int signum) { return uint64_t{1} << (signum - 1); }

template <class Loop>
struct Station {
  std::atomic<Loop *> loop;         // null: nobody has it
  std::atomic<uint64_t> signals;    // that the loop watches
  std::atomic<int> handlers;        // in the loop
  Station *next;                    // constant once it is in the list
};

template <class Loop>
class Stations {
 public:
  using S = Station<Loop>;
  constexpr Stations() noexcept = default;

  // Null: there is no memory. (Not the program's allocator's: it outlives the loop.)
  S *take(Loop *loop) noexcept {
    for (S *s = head_.load(); s; s = s->next) {
      Loop *nobody = nullptr;
      if (s->loop.compare_exchange_strong(nobody, loop)) return s;
    }
    auto *s = static_cast<S *>(std::calloc(1, sizeof(S)));
    if (!s) return nullptr;
    s->loop.store(loop);
    s->next = head_.load();
    while (!head_.compare_exchange_weak(s->next, s)) {
    }
    return s;
  }

  // Afterwards no handler touches the loop. Answers the signals that it watched. (The wait is bounded: a forked child may
  // have inherited a count that nobody there lowers.)
  static uint64_t leave(S *s) noexcept {
    const uint64_t signals = s->signals.exchange(0);
    s->loop.store(nullptr);
    for (int i = 0; s->handlers.load() != 0 && i < 10000; ++i) sched_yield();
    return signals;
  }

  // Async-signal-safe.
  template <class F>
  void each_watching(int signum, F f) noexcept {
    for (S *s = head_.load(); s; s = s->next) {
      if (!(s->signals.load() & signal_bit(signum))) continue;
      s->handlers.fetch_add(1);
      if (Loop *loop = s->loop.load()) f(loop);
      s->handlers.fetch_sub(1);
    }
  }

 private:
  std::atomic<S *> head_{nullptr};
};

}  // namespace torque_compat
