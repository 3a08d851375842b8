// SPDX-License-Identifier: BSD-3-Clause
// The program's own loop runs this once a pass, so that what it costs beside the system call counts. It is inline because
// after a system call processors no longer know where functions return to: each one that lies between the wait and the
// program's loop costs a misprediction (5 ns of 200 measured).
#pragma once

#include "source/source.hh"
#include "watch/rebuild.hh"
#include "watch/watches.hh"
#include "worker/worker.hh"

namespace torque {

// The context stays announced as asleep but while its sources are served: whoever brings work wakes it, at most once too
// often.
[[gnu::always_inline]] inline uint64_t Worker::watch_round(const std::atomic<uint64_t> *breaks, uint64_t timeout_ns) noexcept {
  Watches &w = context_.locals.get<Watches>();
  Queue &queue = domain.queue();
  Ready own[kNestedEvents];
  const bool nested = depth_++ != 0;  // a source's callback runs this
  Ready *events = nested ? own : events_;
  const uint32_t room = nested ? std::min(kNestedEvents, window_.ceiling()) : window_.ceiling();
  if (nested) domain.fall_asleep();
  const Watched between(nested ? beat_or_null() : nullptr);

  if (w.must_start_over()) [[unlikely]]
    rebuild_queue(context_);
  uint64_t told = w.flush(queue, counters);
  uint64_t wait = timeout_ns;
  // What was found by looking is told in this pass, and so is whatever else is ready: a program may count on it that a pass
  // tells all.
  const bool peeked = w.any_peeked();
  if (wait) {
    if (peeked || w.any_always() || domain.has_work() || domain.idle.length() ||
        context_.stopping.load(std::memory_order_seq_cst)) {
      wait = 0;
    } else {
      wait = until_deadline(wait);
    }
    if (wait) counters.add(Counter::sleeps);
  }
  counters.add(Counter::rounds);
  counters.add(Counter::waits);
  const WaitHooks &hooks = context_.options.waits;
  const bool blocks = wait != 0;
  if (blocks && hooks.before) [[unlikely]] {
    hooks.about_to_wait(number);
    if (domain.has_work() || domain.idle.length() || w.pending()) wait = 0;  // it brought that up
  }
  if (w.owner.before) w.owner.before(w.owner.hook_arg);
  uint32_t n = queue.wait(events, room, wait);
  if (w.owner.after) w.owner.after(w.owner.hook_arg);
  if (blocks) hooks.waited(number);

  if (peeked) n = w.tell_peeked(events, n, &told);
  uint32_t watched = 0;
  for (uint32_t i = 0; i < n; ++i) {
    if (!(events[i].handle & Watches::kMark)) {
      w.arrived_elsewhere(events[i].handle);
      continue;
    }
    ++watched;
    told += w.arrived(events[i].handle, events[i].events, queue, counters);
  }
  counters.add(Counter::events, watched);
  if (w.any_always()) told += w.tell_always();
  if (watched != n || domain.has_work() || domain.timers.any() || domain.idle.length()) {
    told += serve_sources(breaks, events, n, told == 0 && watched == 0);
  }
  if (nested) domain.woke_up();
  --depth_;
  return told;
}

}  // namespace torque
