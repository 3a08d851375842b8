// SPDX-License-Identifier: BSD-3-Clause
#include "source/source.hh"

#include <sched.h>
#include <unistd.h>

#include "base/tsan.hh"
#include "source/strand.hh"
#include "source/waiters.hh"
#include "stats/probes.hh"

namespace torque {

using namespace word;

namespace {

constexpr int kRerunsMax = 4;  // before a source that keeps getting events while it runs must let others run

// The finalizers that this thread is in: waiting for one of their sources, or for the end of its context, would never end.
class Finishing {
 public:
  Finishing(uint64_t handle, uint64_t parent, const Context &context) noexcept
      : handle_(handle), parent_(parent), context_(context), outer_(innermost) {
    innermost = this;
  }
  ~Finishing() { innermost = outer_; }
  Finishing(const Finishing &) = delete;
  Finishing &operator=(const Finishing &) = delete;
  static bool any(uint64_t handle) noexcept {
    return find([=](const Finishing &f) { return f.handle_ == handle || f.parent_ == handle; });
  }
  static bool any_of(const Context &context) noexcept {
    return find([&](const Finishing &f) { return &f.context_ == &context; });
  }

 private:
  template <class F>
  static bool find(F fits) noexcept {
    const Finishing *f = innermost;
    while (f && !fits(*f)) f = f->outer_;
    return f != nullptr;
  }
  const uint64_t handle_;
  const uint64_t parent_;  // which cannot end before it; 0: none
  const Context &context_;
  Finishing *const outer_;
  [[gnu::tls_model("initial-exec")]] static inline constinit thread_local Finishing *innermost = nullptr;
};

[[gnu::noinline, gnu::cold]] bool exchange_told(Slot &s, uint64_t &w, uint64_t next) noexcept {
  tsan::gives(&s);
  const bool ok = s.word.compare_exchange_weak(w, next, std::memory_order_acq_rel, std::memory_order_acquire);
  tsan::takes(&s);
  return ok;
}

// Each transition of a source hands over what its thread has done, and takes what those before have.
bool exchange(Slot &s, uint64_t &w, uint64_t next) noexcept {
  if (tsan::present()) return exchange_told(s, w, next);
  return s.word.compare_exchange_weak(w, next, std::memory_order_acq_rel, std::memory_order_acquire);
}

bool concurrent(const Slot &s) noexcept { return s.traits.get() & kConcurrent; }

bool ending(uint64_t w, uint32_t gen) noexcept { return generation(w) == gen && state(w) == RETIRED; }

// What cannot end before this source has: the condition that it waits for. (Listeners and groups of datagram sockets run
// their parts' callbacks under their own handle.)
uint64_t parent_of(Slot &s) noexcept {
  const auto parent = ops_of(s).parent;
  return parent ? parent(s) : 0;
}

// A number that somebody closed and gave to another source is not ours to close any more.
void close_descriptor(const Slot &s, const KindOps &kind, uint32_t why) noexcept {
  if (!(kind.traits & trait::kDescriptor) || s.fd.get() < 0) return;
  const bool ours = (s.traits.get() & kOwnsFd) && why != TORQUE_END_REPLACED;
  if (!ours && !((kind.traits & trait::kCallersDescriptor) && why == TORQUE_END_CLOSED)) return;
  const tsan::Own own;
  ::close(s.fd.get());
}

void call_finalizer(Slot &s, uint64_t handle, uint32_t why) noexcept {
  torque_final_fn *final = s.traits.get() & kGuest ? nullptr : cold_of(s).final;
  if (!final) return;
  Turn *t = current_turn();
  const Watched watched(t ? t->beat : nullptr, handle, reinterpret_cast<Callback>(final));
  final(handle, static_cast<int32_t>(why), s.arg.look());
}

// Everything of a source that has ended, but for its slot, which keeps the context alive meanwhile. Its program is told in
// between: functions that wait for its turn, then the finalizer. What these may still use is freed after them.
void take_apart(Slot &s, uint64_t w) noexcept {
  const Outside outside;  // finalizers are the program's
  Context &context = s.domain.get()->context;
  const uint64_t handle = handle_of(generation(w), s.index);
  const uint32_t why = reason(w);
  const KindOps &kind = ops_of(s);
  const Finishing finishing(handle, parent_of(s), context);
  close_descriptor(s, kind, why);
  if (kind.free_before_final) kind.free_before_final(context, s);
  Strand *strand = cold_of(s).strand.get();
  if (kind.end_calls) kind.end_calls(s, handle, why);
  else if (has_calls(s)) end_calls(s, handle, why);
  call_finalizer(s, handle, why);
  if (kind.free_after_final) kind.free_after_final(context, s, why);
  if (strand) strand->unref();
}

// Requires: the word says RETIRED and nobody holds it.
void finish(Slot &s, uint64_t w) noexcept {
  take_apart(s, w);
  const Visit visit;  // the context may be freed once it has its slots back, but not before this is over
  Domain &d = *s.domain.get();
  tsan::gives(&s);
  const uint64_t last = s.word.exchange(make(next_generation(generation(w)), FREE), std::memory_order_acq_rel);
  d.context.one_fewer(d);
  const uint32_t index = s.index;
  chunk_of(s)->pool->give(s);
  if (last & WAITER) wake_waiters(index);
}

// Off its domain's list of those that were left. False: it is not on it (any more).
bool take_left(Slot &s, uint32_t gen) noexcept {
  Postponed &list = s.domain.look()->left;
  Lock lock(list.lock);
  uint64_t w = s.word.load(std::memory_order_acquire);
  while (ending(w, gen) && (w & LEFT)) {
    if (!exchange(s, w, w & ~LEFT)) continue;
    list.unlink(s);
    return true;
  }
  return false;
}

// Until the source has been finished; by this thread where it was left to whoever comes.
void wait_for_end(uint32_t index, uint32_t gen) noexcept {
  const auto word_of = [=] {
    const Slot *s = find_slot(index);  // null: its context has gone, and it with it
    return s ? s->word.load(std::memory_order_acquire) : 0;
  };
  for (;;) {
    {
      const Visit visit;
      uint64_t w = word_of();
      if (!ending(w, gen)) return tsan::takes(find_slot(index));
      Slot &s = *find_slot(index);
      if ((w & LEFT) && take_left(s, gen)) return drop(s);
      if (!(w & WAITER) && !exchange(s, w, w | WAITER)) continue;
    }
    wait_while(index, [&] {
      const Visit visit;
      const uint64_t w = word_of();
      return ending(w, gen) && (w & WAITER) && !(w & LEFT);
    });
  }
}

// To RETIRED, with the caller as one more holder. POSTPONED and the list change together.
bool retire_word(Slot &s, uint32_t gen, uint32_t why, bool only_new) noexcept {
  uint64_t w = s.word.load(std::memory_order_acquire);
  const auto retired = [why](uint64_t from) {
    return with_reason(with_state(no_pending(from) & ~AGAIN, RETIRED), why) + kRunningOne;
  };
  while (is_live(w, gen) && !(only_new && state(w) != NEW)) {
    if (state(w) != POSTPONED) {
      if (exchange(s, w, retired(w))) return true;
      continue;
    }
    Postponed &list = s.domain.look()->postponed;
    Lock lock(list.lock);
    w = s.word.load(std::memory_order_acquire);
    while (is_live(w, gen) && state(w) == POSTPONED) {
      if (!exchange(s, w, retired(w))) continue;
      list.unlink(s);
      return true;
    }
  }
  return false;
}

void run_again_later(Turn &t, Slot &s, uint32_t events) noexcept {
  Domain &d = *s.domain.get();
  bool ended = false;
  {
    Lock lock(d.postponed.lock);
    uint64_t w = s.word.load(std::memory_order_acquire);
    for (;;) {
      ended = state(w) == RETIRED;
      if (ended) break;
      if (exchange(s, w, add_pending(with_state(w & ~AGAIN, POSTPONED), events) - kRunningOne)) break;
    }
    if (!ended) {
      d.postponed.push(s);
      if (&d != &t.domain) d.poke();  // a strand has brought it here; its own workers may sleep
    }
  }
  if (ended) return drop(s);
  t.counters.add(Counter::postponed);
}

// After a callback: what the holder does with the source. Answers the events for one more call, 0: given up.
uint32_t settle(Turn &t, Slot &s, uint64_t handle, uint32_t events, bool again, bool may_rerun) noexcept {
  Domain &d = *s.domain.get();
  const uint16_t traits = s.traits.get();
  const int fd = s.fd.get();
  const bool asked = s.interest.load(std::memory_order_relaxed) != 0;
  if ((traits & kAlwaysReady) && (traits & (kOneshot | kLevel)) && asked) again = true;
  uint64_t w = s.word.load(std::memory_order_acquire);
  for (;;) {
    if (state(w) == RETIRED) {
      drop(s);
      return 0;
    }
    if (again || ((w & AGAIN) && !may_rerun)) {
      run_again_later(t, s, again ? events : 0);
      return 0;
    }
    if (w & AGAIN) {
      const uint32_t more = pending(w);
      if (exchange(s, w, no_pending(w) & ~AGAIN)) return more ? more : kNoEvent;
      continue;
    }
    if (!exchange(s, w, with_state(w, ARMED) - kRunningOne)) continue;
    // Not ours any more: only what was copied above may be used.
    if ((traits & kOneshot) && !(traits & kAlwaysReady) && fd >= 0) rearm_fd(d, fd, handle);
    return 0;
  }
}

bool run(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  const uint64_t outer_source = t.current;
  const bool outer_postpone = t.postpone;
  t.current = handle;
  t.postpone = false;
  t.counters.add(Counter::callbacks);
  TORQUE_PROBE3(callback_begin, handle, events, s.fd.get());
  const Watched watched(t.beat, handle, s.fn);
  bool again;
  if (t.timing) {
    const uint64_t begin = monotonic_ns();
    t.timing->lag.add(begin - t.began);
    again = ops_of(s).run(t, s, handle, events);
    t.timing->callback.add(monotonic_ns() - begin);
  } else {
    again = ops_of(s).run(t, s, handle, events);
  }
  TORQUE_PROBE2(callback_end, handle, again);
  again = again || t.postpone;
  t.current = outer_source;
  t.postpone = outer_postpone;
  return again;
}

// What of these events the source wants to hear.
uint32_t wanted(const Slot &s, uint32_t events) noexcept {
  if (events == kNoEvent) return 0;
  if (!(s.traits.get() & kFiltered)) return events;
  if (events & TORQUE_TRIGGER) return events;  // by torque_trigger(): whatever it said
  const uint32_t interest = s.interest.load(std::memory_order_relaxed);
  return interest ? events & (interest | kAlwaysTold) : 0;
}

void serve_concurrent(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  if (state(s.word.load(std::memory_order_acquire)) != RETIRED && wanted(s, events)) {
    if (run(t, s, handle, wanted(s, events))) (void)activate(handle, events);
  }
  drop(s);
}

void serve(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  if (concurrent(s)) return serve_concurrent(t, s, handle, events);
  if (!(s.traits.get() & kStranded)) return serve_held(t, s, handle, events);
  Strand *strand = cold_of(s).strand.get();
  if (!strand->enter(s, events)) {
    t.counters.add(Counter::strand_waits);
    return;
  }
  strand->serve_first(t, s, handle, events);
}

}  // namespace

torque_err create(Context &context, Kind kind, int32_t place, Slot **ret) noexcept {
  if (const torque_err err = context.usable()) return err;
  Domain *d = context.pick(place);
  if (!d) return TORQUE_ERR_INVAL;
  Slot *s = d->slots.take();
  if (!s) return TORQUE_ERR_RESOURCE;
  s->kind.set(kind);
  d->load.fetch_add(1, std::memory_order_relaxed);
  *ret = s;
  return TORQUE_ERR_NONE;
}

void move_to(Slot &s, Domain &d) noexcept {
  d.context.one_fewer(*s.domain.get());
  d.load.fetch_add(1, std::memory_order_relaxed);
  s.domain.set(&d);
  const uint16_t traits = s.traits.get();
  s.traits.set(static_cast<uint16_t>(&d == &chunk_of(s)->pool->owner ? traits & ~kElsewhere : traits | kElsewhere));
}

// The word, once nobody sets the source up.
static uint64_t word_after_setup(const Slot &s, uint32_t gen) noexcept {
  uint64_t w = s.word.load(std::memory_order_acquire);
  while (generation(w) == gen && state(w) == NEW && w & SETUP) {
    sched_yield();
    w = s.word.load(std::memory_order_acquire);
  }
  return w;
}

torque_err begin_setup(Slot &s, uint32_t gen) noexcept {
  for (;;) {
    uint64_t w = word_after_setup(s, gen);
    if (!is_live(w, gen)) return TORQUE_ERR_STALE;
    if (state(w) != NEW) return TORQUE_ERR_STATE;
    if (exchange(s, w, w | SETUP)) return TORQUE_ERR_NONE;
  }
}

void end_setup(Slot &s, uint32_t gen) noexcept {
  uint64_t w = s.word.load(std::memory_order_acquire);
  while (generation(w) == gen && state(w) == NEW && w & SETUP) {
    if (exchange(s, w, w & ~SETUP)) return;
  }
}

bool arm_word(Slot &s, uint32_t gen) noexcept {
  uint64_t w = s.word.load(std::memory_order_acquire);
  while (generation(w) == gen && state(w) == NEW) {
    if (exchange(s, w, with_state(w & ~SETUP, ARMED))) return true;
  }
  return false;
}

bool arm_when_set_up(Slot &s, uint32_t gen) noexcept {
  for (;;) {
    uint64_t w = word_after_setup(s, gen);
    if (generation(w) != gen || state(w) != NEW) return false;
    if (exchange(s, w, with_state(w, ARMED))) return true;
  }
}

bool disarm_word(Slot &s, uint32_t gen) noexcept {
  uint64_t w = s.word.load(std::memory_order_acquire);
  // An exclusive source whose callback runs is HELD: in ARMED it is held by calls alone, which do not mind. A concurrent one
  // is held by who starts it.
  const bool calls_alone = !(s.traits.get() & kConcurrent);
  while (generation(w) == gen && state(w) == ARMED && (running(w) <= 1 || calls_alone)) {
    if (exchange(s, w, with_state(w, NEW) | SETUP)) return true;
  }
  return false;
}

bool dismantle(const Snapshot &v, uint64_t handle) noexcept {
  Slot &s = *v.slot;
  if (const auto undo = ops_of(s).dismantle) undo(v, handle);
  Strand *strand = cold_of(s).strand.get();
  return strand && strand->withdraw(s);
}

namespace {

// As one more holder of what was retired: null when it had ended already.
Slot *retire_held(uint64_t handle, uint32_t why, bool only_new) noexcept {
  Snapshot v;
  if (!look(handle, &v) || !retire_word(*v.slot, generation_of(handle), why, only_new)) return nullptr;
  TORQUE_PROBE2(retire, handle, why);
  Slot &s = *v.slot;
  v.domain = s.domain.get();  // it may have moved until it started
  if (dismantle(v, handle)) drop(s);  // the queue's hold: nobody need come for it
  return &s;
}

}  // namespace

bool retire(uint64_t handle, uint32_t why, bool only_new) noexcept {
  Slot *s = retire_held(handle, why, only_new);
  if (s) drop(*s);
  return s != nullptr;
}

void retire_for_others(uint64_t handle, uint32_t why) noexcept {
  if (Slot *s = retire_held(handle, why, false)) let_go(*s);
}

namespace {

// Whether this thread is in a callback that the source's end must wait for: its own, or that of a child of it.
bool runs_for(uint64_t handle) noexcept {
  for (Turn *t = current_turn(); t; t = t->outer) {
    if (t->current == 0) continue;
    if (t->current == handle) return true;
    Slot *s = find_slot(index_of(t->current));
    if (s && parent_of(*s) == handle) return true;
  }
  return false;
}

torque_err retire_unless_waited_for(uint64_t handle, uint32_t why) noexcept {
  const Visit visit;
  if (runs_for(handle) || Finishing::any(handle)) return TORQUE_ERR_DEADLOCK;
  Snapshot v;
  if (!look(handle, &v)) return TORQUE_ERR_STALE;  // ended by another call, which may not be over
  for (Turn *t = current_turn(); t; t = t->outer) {
    if (t->strand && v.kind != Kind::strand && cold_of(*v.slot).strand.look() == t->strand) return TORQUE_ERR_DEADLOCK;
  }
  const bool only_new = ops_of(v.kind).traits & trait::kCannotBeCutOff;
  if (retire(handle, why, only_new)) return TORQUE_ERR_NONE;
  return only_new && look(handle, &v) ? TORQUE_ERR_STATE : TORQUE_ERR_STALE;
}

}  // namespace

bool finishing_in(const Context &context) noexcept { return Finishing::any_of(context); }
bool finishing_here(uint64_t handle) noexcept { return Finishing::any(handle); }

torque_err retire_and_wait(uint64_t handle, uint32_t why) noexcept {
  if (generation_of(handle) == 0) return TORQUE_ERR_STALE;
  const torque_err err = retire_unless_waited_for(handle, why);
  if (err == TORQUE_ERR_NONE || err == TORQUE_ERR_STALE) wait_for_end(index_of(handle), generation_of(handle));
  return err;
}

void drop(Slot &s) noexcept {
  tsan::gives(&s);
  const uint64_t w = s.word.fetch_sub(kRunningOne, std::memory_order_acq_rel) - kRunningOne;
  if (state(w) != RETIRED || running(w) != 0) return;
  tsan::takes(&s);
  finish(s, w);
}

// The last holder leaves the source on a list that holds it; the domain's workers, or who waits for its end, take it.
void let_go(Slot &s) noexcept {
  uint64_t w = s.word.load(std::memory_order_acquire);
  while (state(w) != RETIRED || running(w) != 1) {
    if (exchange(s, w, w - kRunningOne)) return;
  }
  Domain &d = *s.domain.get();
  Context &context = d.context;
  if (!context.stopping.load(std::memory_order_acquire) && context.ensure_started()) return drop(s);  // no worker will come
  const uint32_t index = s.index;
  {
    Lock lock(d.left.lock);
    while (!exchange(s, w, w | LEFT)) {
    }
    d.left.push(s);
    d.poke();
  }
  if (w & WAITER) wake_waiters(index);
}

bool hold(uint64_t handle, Snapshot *ret) noexcept {
  if (!look(handle, ret)) return false;
  Slot &s = *ret->slot;
  uint64_t w = s.word.load(std::memory_order_acquire);
  while (is_live(w, generation_of(handle))) {
    if (crowded(w)) {  // by calls that are soon over
      ::sched_yield();
      w = s.word.load(std::memory_order_acquire);
      continue;
    }
    if (!exchange(s, w, w + kRunningOne)) continue;
    ret->word = w;
    ret->domain = s.domain.get();
    return true;
  }
  return false;
}

void hold_too(Slot &s) noexcept { s.word.fetch_add(kRunningOne, std::memory_order_relaxed); }

// A read-modify-write: it comes before or after the one that ends the source, and pairs with it.
bool has_ended(Slot &s) noexcept { return state(s.word.fetch_add(0, std::memory_order_acq_rel)) == RETIRED; }

torque_err activate(uint64_t handle, uint32_t events) noexcept {
  Snapshot v;
  const uint32_t gen = generation_of(handle);
  if (!look(handle, &v)) return TORQUE_ERR_STALE;
  Slot &s = *v.slot;
  uint64_t w = v.word;
  while (is_live(w, gen)) {
    switch (state(w)) {
      case NEW: return TORQUE_ERR_STATE;
      case HELD:
        if (exchange(s, w, add_pending(w | AGAIN, events))) return TORQUE_ERR_NONE;
        break;
      case POSTPONED:
        if (exchange(s, w, add_pending(w, events))) return TORQUE_ERR_NONE;
        break;
      default: {
        Domain &d = *s.domain.look();
        Lock lock(d.postponed.lock);
        w = s.word.load(std::memory_order_acquire);
        if (!is_live(w, gen) || state(w) != ARMED) break;
        if (!exchange(s, w, add_pending(with_state(w, POSTPONED), events))) break;
        d.postponed.push(s);
        d.poke();
        return TORQUE_ERR_NONE;
      }
    }
  }
  return TORQUE_ERR_STALE;
}

void deliver(Turn &t, uint64_t handle, uint32_t events) noexcept {
  Slot *s = find_slot(index_of(handle));
  const uint32_t gen = generation_of(handle);
  uint64_t w = s ? s->word.load(std::memory_order_acquire) : 0;
  while (is_live(w, gen) && state(w) != NEW) {
    const bool shared = concurrent(*s);
    if (shared && crowded(w)) return (void)activate(handle, events);  // when some of those calls are over
    if (shared || state(w) == ARMED) {
      if (exchange(*s, w, (shared ? w : with_state(w, HELD)) + kRunningOne)) return serve(t, *s, handle, events);
    } else if (state(w) == HELD) {
      if (exchange(*s, w, add_pending(w | AGAIN, events))) return t.counters.add(Counter::held);
    } else {
      if (exchange(*s, w, add_pending(w, events))) return;
    }
  }
  t.counters.add(Counter::stale);
  TORQUE_PROBE2(stale, handle, events);
}

bool deliver_if_armed(Turn &t, uint64_t handle) noexcept {
  Slot *s = find_slot(index_of(handle));
  uint64_t w = s ? s->word.load(std::memory_order_acquire) : 0;
  while (is_live(w, generation_of(handle)) && state(w) == ARMED) {
    if (!exchange(*s, w, with_state(w, HELD) + kRunningOne)) continue;
    serve(t, *s, handle, TORQUE_TRIGGER);
    return true;
  }
  return false;
}

void serve_held(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  int reruns = 0;
  do {
    bool again = false;
    if (has_calls(s) && run_calls(t, s, handle)) {
      events |= TORQUE_TRIGGER;
      again = true;
    } else if (state(s.word.load(std::memory_order_acquire)) != RETIRED) {
      const uint32_t told = wanted(s, events);
      if (told) again = run(t, s, handle, told);
    }
    events = settle(t, s, handle, events, again, reruns++ < kRerunsMax && !halted(t));
  } while (events);
}

bool halted(const Turn &t) noexcept {
  return t.context.stopping.load(std::memory_order_relaxed) ||
         (t.breaks && t.breaks->load(std::memory_order_relaxed) != 0);
}

uint32_t run_postponed(Turn &t, uint32_t limit) noexcept {
  Postponed &list = t.domain.postponed;
  uint32_t ran = 0;
  while (ran < limit && !halted(t)) {
    Slot *s;
    uint64_t w;
    {
      Lock lock(list.lock);
      s = list.front();
      if (!s) break;
      list.unlink(*s);
      w = s->word.load(std::memory_order_acquire);
      if (concurrent(*s) && crowded(w)) {
        list.push(*s);
        break;
      }
      while (!exchange(*s, w, with_state(no_pending(w), concurrent(*s) ? ARMED : HELD) + kRunningOne)) {
      }
    }
    ++ran;
    serve(t, *s, handle_of(generation(w), s->index), pending(w) ? pending(w) : kNoEvent);
  }
  return ran;
}

uint32_t finish_left(Domain &d, uint32_t limit) noexcept {
  uint32_t done = 0;
  while (done < limit) {
    Slot *s;
    {
      Lock lock(d.left.lock);
      s = d.left.front();
      if (!s) break;
      d.left.unlink(*s);
      s->word.fetch_and(~LEFT, std::memory_order_acq_rel);
    }
    drop(*s);
    ++done;
  }
  return done;
}

namespace {

// Of a context that lives on in a child. What a thread of the child may be finishing is not held by anybody.
uint32_t finish_orphans(Domain &d, bool parents) noexcept {
  uint32_t done = 0;
  d.slots.each_ended([&](uint64_t handle) {
    Slot &s = *find_slot(index_of(handle));
    const uint64_t w = s.word.load(std::memory_order_acquire);
    if (!ending(w, generation_of(handle)) || running(w) == 0 || (w & LEFT)) return;
    const KindOps &kind = ops_of(s);
    if (static_cast<bool>(kind.traits & trait::kParent) != parents || (kind.has_children && kind.has_children(s))) return;
    s.word.fetch_sub(w & kRunningMask, std::memory_order_acq_rel);
    finish(s, w & ~kRunningMask);
    ++done;
  });
  return done;
}

}  // namespace

void finish_orphans(Context &context) noexcept {
  for (const bool parents : {false, true}) {
    uint32_t done = 0;
    for (uint32_t i = 0; i < context.domain_count(); ++i) done += finish_orphans(context.domain(i), parents);
    if (done) return;  // parents when their children have gone
  }
}

namespace {

// Does anything of another kind wait for these timers? What comes later waits for their share.
bool others_wait(Domain &d) noexcept {
  return d.posted.length() != 0 || d.postponed.length() != 0 || d.left.length() != 0 || d.queue().any();
}

// Those that have sprung up together fire together, unless somebody waits. Answers how many fired.
uint64_t fire_some(Turn &t, Timers &timers, uint64_t monotonic, uint64_t wall, Share &share, bool *more) noexcept {
  uint64_t fired = 0;
  // Callbacks may set timers anew for ever; each round serves as many as there were.
  for (size_t left = timers.armed(); left > 0 && *more && !halted(t); --left) {
    uint32_t gen;
    bool retry;
    Slot *s = timers.pop(monotonic, wall, &gen, &retry);
    if (!s) break;
    const uint32_t events = kTimerEvent | (retry ? uint32_t{TORQUE_ERROR} : 0u);
    if (s->domain.look() == &t.domain) deliver(t, handle_of(gen, s->index), events);
    else (void)activate(handle_of(gen, s->index), events);  // it was placed in another domain
    ++fired;
    if (left == 1 || share.more()) continue;
    if (others_wait(t.domain)) *more = false;
    else share.renew();
  }
  return fired;
}

}  // namespace

bool fire_timers(Turn &t, const DueTimers &due) noexcept {
  Timers &timers = t.domain.timers;
  const bool only_worker = t.domain.workers == 1;
  if ((!due.told && !timers.maybe_due(due.by)) || !timers.claim(only_worker)) return false;
  const uint64_t wall = due.by && timers.take_look_at_wall() ? realtime_ns() - (due.now - due.by) : 0;
  Share share(kTimersARound, t.began, due.now);
  bool more = true;
  uint64_t fired = wall && due.wall_first ? fire_some(t, timers, 0, wall, share, &more) : 0;
  fired += fire_some(t, timers, due.by, 0, share, &more);
  if (wall && !due.wall_first) fired += fire_some(t, timers, 0, wall, share, &more);
  timers.give_up_claim(wall != 0);
  t.counters.add(Counter::timers, fired);
  return !more;
}

uint64_t run_posted(Turn &t) noexcept {
  if (halted(t)) return 0;
  Share share(kPostsARound, t.began, 0);
  const uint64_t n = t.domain.posted.run_batch(t.domain.workers == 1, [&](const Posted::Item &item) {
    const uint64_t outer_source = std::exchange(t.current, 0);
    const uint64_t begin = t.timing ? monotonic_ns() : 0;
    if (t.timing) t.timing->lag.add(begin - t.began);
    {
      const Watched watched(t.beat, 0, reinterpret_cast<Callback>(item.fn));
      item.fn(item.arg);
    }
    if (t.timing) t.timing->callback.add(monotonic_ns() - begin);
    t.current = outer_source;
    return (t.domain.posted.length() == 0 || share.more()) && !halted(t);
  });
  t.counters.add(Counter::posted, n);
  t.counters.add(Counter::callbacks, n);
  return n;
}

}  // namespace torque
