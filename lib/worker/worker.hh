// SPDX-License-Identifier: BSD-3-Clause
// A worker: one thread's loop over one domain's queue. A driven context has one without a thread; who calls
// torque_run() is it for that time.
#pragma once

#include "memory/pool.hh"
#include "source/context.hh"
#include "source/turn.hh"
#include "worker/patience.hh"
#include "worker/window.hh"

namespace torque {

class Worker {
 public:
  Worker(Context &context, Domain &d, uint32_t n, uint32_t window_ceiling, uint64_t cache_share) noexcept
      : domain(d), number(n), pool_(context.alloc, cache_share),
        window_(context.options.window_min, context.options.window_max ? context.options.window_max : window_ceiling,
                d.workers == 1),
        context_(context) {}
  Worker(const Worker &) = delete;
  Worker &operator=(const Worker &) = delete;
  ~Worker();

  torque_err open() noexcept;  // takes its memory

  // Constant.
  Domain &domain;
  const uint32_t number;

  // Any thread reads.
  Counters counters;
  Beat beat;
  Timing *timing() const noexcept { return timing_; }
  Beat *beat_or_null() noexcept { return context_.options.watchdog_ns ? &beat : nullptr; }

  // One round: wait at most timeout_ns, serve what is ready. Answers how many callbacks ran.
  // Thread: the worker's own.
  uint64_t round(Turn &t, uint64_t timeout_ns) noexcept;
  Turn turn() noexcept {
    return {.context = context_, .domain = domain, .counters = counters, .pool = pool_, .timing = timing_,
            .beat = beat_or_null(),
            .worker = static_cast<int32_t>(number), .outer = current_turn()};
  }
  // The same for a context with watches: one wait, then all that it brought. (watch_round.hh)
  uint64_t watch_round(const std::atomic<uint64_t> *breaks, uint64_t timeout_ns) noexcept;
  // In a forked child, of a driven context: the thread that ran it does not exist here.
  void abandoned() noexcept {
    depth_ = 0;
    domain.abandoned();
  }
  // Round after round until the context stops.
  void loop() noexcept;

 private:
  static constexpr uint32_t kNestedEvents = 64;

  uint32_t wait(Turn &t, Ready *events, uint32_t max, uint64_t timeout_ns) noexcept;
  uint32_t block(Ready *events, uint32_t max, uint64_t timeout_ns) noexcept;
  uint64_t until_deadline(uint64_t timeout_ns) noexcept;
  void judge_timers(Turn &t, bool told, uint32_t asked, uint32_t n) noexcept;
  void run_finalizers(const Turn &t) noexcept;
  // What rounds of sources and passes over watches do differently.
  struct Dispatch {
    uint32_t asked = 1;          // so many events were asked for,
    uint32_t asked_got = 0;      // and so many came: as many as were asked for may not be all
    bool new_ones_too = false;   // of the postponed, also those that these events bring
    bool quiet = true;           // nothing else was ready: idle sources may run
  };
  // What a wait brought, and then what is left of the round. Answers how many callbacks ran.
  uint64_t dispatch(Turn &t, const Ready *events, uint32_t n, const Dispatch &how) noexcept;
  uint32_t deliver_all(Turn &t, const Ready *events, uint32_t n) noexcept;
  uint64_t serve_sources(const std::atomic<uint64_t> *breaks, const Ready *events, uint32_t n, bool quiet) noexcept;
  bool note_wakes(const Ready *events, uint32_t n) noexcept;
  void look_for_orphaned_registrations(uint32_t delivered, uint64_t stale) noexcept;
  static void keep(uint64_t handle, uint32_t events) noexcept;
  bool siblings_idle() const noexcept { return domain.workers > 1 && domain.sleepers() > 0; }

  // Owner worker only.
  Pool pool_;
  Window window_;
  Patience patience_;
  Ready *events_ = nullptr;
  bool behind_ = false;    // timers may be due that were not judged yet, or have not fired yet
  bool unfired_ = false;   // the last round's share of timers was used up
  bool wall_first_ = false;  // after that the clocks take turns
  uint32_t stale_rounds_ = 0;   // rounds in a row that brought stale events only
  uint32_t depth_ = 0;  // nested rounds; those beyond the first bring their own events
  Timing *timing_ = nullptr;

  Context &context_;
};

}  // namespace torque
