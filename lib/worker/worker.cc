// SPDX-License-Identifier: BSD-3-Clause
#include "worker/worker.hh"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kinds/idle.hh"
#include "source/source.hh"
#include "stats/probes.hh"
#include "watch/rebuild.hh"
#include "watch/watches.hh"

namespace torque {

namespace {
constexpr uint32_t kStaleRoundsMost = 8;
}

Worker::~Worker() {
  context_.alloc.put(events_, window_.ceiling() * sizeof(Ready));
  context_.alloc.destroy(timing_);
}

torque_err Worker::open() noexcept {
  events_ = static_cast<Ready *>(context_.alloc.get(window_.ceiling() * sizeof(Ready)));
  if (!events_) return TORQUE_ERR_RESOURCE;
  if (!context_.options.timing) return TORQUE_ERR_NONE;
  timing_ = context_.alloc.make<Timing>();
  return timing_ ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

uint64_t Worker::until_deadline(uint64_t timeout_ns) noexcept {
  const uint64_t deadline = domain.timers.wake_at();
  if (deadline == kNever) return timeout_ns;
  const uint64_t now = monotonic_ns();
  return std::min(timeout_ns, deadline > now ? deadline - now : 0);
}

// Announced asleep: a last look, then the kernel. Whoever brings work after the look sees the sleeper and wakes it.
uint32_t Worker::block(Ready *events, uint32_t max, uint64_t timeout_ns) noexcept {
  context_.options.waits.about_to_wait(number);  // before the look: what it brings up is seen
  domain.fall_asleep();
  timeout_ns = until_deadline(timeout_ns);
  if (domain.has_work() || domain.idle.length() || context_.stopping.load(std::memory_order_seq_cst)) timeout_ns = 0;
  if (timeout_ns) counters.add(Counter::sleeps);
  counters.add(Counter::waits);
  const uint32_t n = domain.queue().wait(events, max, timeout_ns);
  domain.woke_up();
  context_.options.waits.waited(number);
  return n;
}

uint32_t Worker::wait(Turn &t, Ready *events, uint32_t max, uint64_t timeout_ns) noexcept {
  const auto poll = [&] {
    t.counters.add(Counter::waits);
    return domain.queue().wait(events, max, 0);
  };
  if (timeout_ns == 0 || behind_ || domain.has_work() || domain.idle.length()) return poll();
  for (uint32_t tries = context_.options.driven ? 0 : patience_.tries(); tries > 0; --tries) {
    if (const uint32_t n = poll()) return n;
    t.counters.add(Counter::yields);
    sched_yield();
    const uint32_t n = poll();
    if (n == 0) {
      patience_.lost();
      continue;
    }
    t.counters.add(Counter::yield_gains);
    patience_.gained();
    return n;
  }
  return block(events, max, timeout_ns);
}

// A timeout is judged when every descriptor that was ready before it has been retrieved. After a retrieval that was not
// full that is so for all; while retrievals are full, for those due by the domain's horizon. (One full retrieval is common
// where windows are small, so that it takes two for the horizon to be looked for.)
void Worker::judge_timers(Turn &t, bool told, uint32_t asked, uint32_t n) noexcept {
  const bool full = n >= asked;
  const bool were_behind = std::exchange(behind_, false);
  unfired_ = false;
  if (told) domain.timers.note_told();
  if (!told && !domain.timers.any()) return;
  const uint64_t now = monotonic_ns();
  uint64_t due_by = now;
  if (full) {
    if (were_behind && domain.timers.maybe_due(now)) domain.horizon.approach(domain.queue(), now, n);
    due_by = domain.horizon.passed();
  }
  unfired_ = fire_timers(t, {.by = due_by, .now = now, .told = told, .wall_first = wall_first_});
  wall_first_ = unfired_ && !wall_first_;
  behind_ = full || unfired_;
}

void Worker::run_finalizers(const Turn &t) noexcept {
  if (const uint32_t n = domain.left.length(); n && !halted(t)) finish_left(domain, std::min(n, kFinalizersARound));
}

// An edge is told once: what a broken round leaves goes to the next one. (A level is told again by itself.)
void Worker::keep(uint64_t handle, uint32_t events) noexcept {
  Snapshot v;
  if (look(handle, &v) && !(v.traits & kLevel)) (void)activate(handle, events);
}

// Levels (driven contexts only) of a registration that has lost its descriptor come in every round.
void Worker::look_for_orphaned_registrations(uint32_t delivered, uint64_t stale) noexcept {
  stale_rounds_ = delivered && stale == delivered ? stale_rounds_ + 1 : 0;
  if (stale_rounds_ < kStaleRoundsMost) return;
  stale_rounds_ = 0;
  rebuild_queue(context_);
}

// What is the worker's own. Answers whether the timer descriptor has fired.
bool Worker::note_wakes(const Ready *events, uint32_t n) noexcept {
  bool timer_told = false;
  for (uint32_t i = 0; i < n; ++i) {
    if (events[i].handle == Queue::kWakeHandle) domain.poke_taken();
    if (events[i].handle == Queue::kMarkHandle) domain.horizon.mark_came();
    timer_told |= events[i].handle == Queue::kTimerHandle;
  }
  return timer_told;
}

// Each event of a source to that. Answers how many there were.
uint32_t Worker::deliver_all(Turn &t, const Ready *events, uint32_t n) noexcept {
  uint32_t delivered = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const uint64_t handle = events[i].handle;
    if (handle <= Queue::kOwnHandles || handle & Watches::kMark) continue;
    ++delivered;
    if (!halted(t)) deliver(t, handle, events[i].events);
    else keep(handle, events[i].events);
  }
  counters.add(Counter::events, delivered);
  return delivered;
}

// Descriptors before timers: a reply that is there is served before its timeout is judged.
uint64_t Worker::dispatch(Turn &t, const Ready *events, uint32_t n, const Dispatch &how) noexcept {
  t.began = t.timing || unfired_ || domain.posted.length() ? monotonic_ns() : 0;
  t.strand_work = 0;
  const uint64_t before = counters.get(static_cast<uint32_t>(Counter::callbacks));
  const uint64_t stale = counters.get(static_cast<uint32_t>(Counter::stale));
  const uint32_t listed = domain.postponed.length();
  const bool timer_told = note_wakes(events, n);  // before any callback: from here on others must be woken again

  const uint32_t delivered = deliver_all(t, events, n);
  if (context_.options.driven) {
    look_for_orphaned_registrations(delivered, counters.get(static_cast<uint32_t>(Counter::stale)) - stale);
  }
  const uint32_t postponed = how.new_ones_too ? domain.postponed.length() : listed;
  if (postponed) run_postponed(t, std::min(postponed, kPostponedARound));
  judge_timers(t, timer_told, how.asked, how.asked_got);
  run_posted(t);
  run_finalizers(t);
  // (A wake-up is nothing that was to be done; it may have been for the idle sources.)
  const bool ran = counters.get(static_cast<uint32_t>(Counter::callbacks)) != before;
  if (how.quiet && delivered == 0 && !ran && domain.idle.length()) run_idle_sources(t);
  return counters.get(static_cast<uint32_t>(Counter::callbacks)) - before;
}

uint64_t Worker::round(Turn &t, uint64_t timeout_ns) noexcept {
  const Watched between(t.beat);  // a callback may run this
  Ready nested[kNestedEvents];
  Ready *events = depth_++ == 0 ? events_ : nested;
  const Pool::Apart apart(pool_, events == nested);
  const uint32_t room = events == nested ? std::min(kNestedEvents, window_.ceiling()) : window_.ceiling();

  const uint32_t asked = std::min(window_.ask(siblings_idle()), room);
  const uint32_t n = wait(t, events, asked, timeout_ns);
  window_.got(asked, n);
  counters.add(Counter::rounds);
  if (n == asked) counters.add(Counter::full_windows);
  TORQUE_PROBE2(round, number, n);

  const uint64_t ran = dispatch(t, events, n, {.asked = asked, .asked_got = n});
  if (siblings_idle() && (domain.postponed.length() > 1 || (n != 0 && domain.posted.ready()))) domain.poke();

  --depth_;
  return ran;
}

// What came for the context itself: sources, timers, posted work. (Few, where the program watches descriptors itself.)
uint64_t Worker::serve_sources(const std::atomic<uint64_t> *breaks, const Ready *events, uint32_t n, bool quiet) noexcept {
  const Pool::Apart apart(pool_, depth_ > 1);
  Turn t = turn();
  t.breaks = breaks;
  Turn *outer = set_current_turn(&t);
  domain.woke_up();
  // Those that the deliveries have made ready as well: a signal is told in the pass that brought it. All that was ready has
  // been retrieved: timers are judged by now.
  const uint64_t ran = dispatch(t, events, n, {.new_ones_too = true, .quiet = quiet});
  domain.fall_asleep();
  set_current_turn(outer);
  return ran;
}

void Worker::loop() noexcept {
  Turn t = turn();
  Turn *outer = set_current_turn(&t);
  if (t.beat) beat.thread.store(static_cast<int32_t>(::syscall(SYS_gettid)), std::memory_order_relaxed);
  while (!context_.stopping.load(std::memory_order_acquire)) round(t, kNever);
  domain.wake();  // the next one of this domain; each passes it on
  set_current_turn(outer);
}

}  // namespace torque
