// SPDX-License-Identifier: BSD-3-Clause
#include "source/timers.hh"

#include <algorithm>
#include <bit>

#include "base/syscall.hh"
#include "queue/queue.hh"
#include "source/slots.hh"

namespace torque {

namespace {

// The roundest moment within the slack: deadlines that may coincide do.
uint64_t with_slack(uint64_t at, uint64_t slack) noexcept {
  if (slack == 0 || at >= kNever - slack) return at;
  const uint64_t last = at + slack;
  const int bits = static_cast<int>(std::bit_width(at ^ last)) - 1;  // highest bit that changes in between
  return bits < 0 ? at : last & ~((uint64_t{1} << bits) - 1);
}

// A timer, and not a source of another kind that has a deadline.
bool is_timer(Slot &s) noexcept { return !deadline_of(s).is(kUnusualKind); }

uint64_t slack_of(Slot &s) noexcept { return is_timer(s) ? s.slack.load(std::memory_order_relaxed) : 0; }

constexpr uint64_t kRetry = 1000000;  // ns, until a timer descriptor that could not be set is set again

torque_err settime(int fd, uint64_t at, int flags) noexcept {
  itimerspec spec{};
  spec.it_value = to_timespec(at);
  return ::timerfd_settime(fd, flags, &spec, nullptr) == 0 ? TORQUE_ERR_NONE : last_error();
}

}  // namespace

Deadline *ResolveDeadline::operator()(uint32_t id) const noexcept {
  Slot *first = first_slot_of(id);
  return first ? &deadlines_of(first)[id & (kChunkSlots - 1)].due : nullptr;
}

void ResolveDeadline::prefetch(uint32_t id) const noexcept {
  Slot *first = first_slot_of(id);
  if (!first) return;
  __builtin_prefetch(&deadlines_of(first)[id & (kChunkSlots - 1)].due);
  __builtin_prefetch(first + (id & (kChunkSlots - 1)));
}

torque_err Timers::open(Queue &queue) noexcept {
  Lock lock(lock_);
  const bool wall = static_cast<bool>(wall_timer_);
  wall_timer_.reset();
  timer_.reset();
  programmed_ = wall_programmed_ = kNever;
  if (by_descriptor_) {
    timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer_) return last_error();
    if (const torque_err err = queue.arm(timer_.get(), Queue::kTimerHandle, TORQUE_READ, Trigger::edge)) return err;
    program_monotonic();
  }
  return wall ? open_wall(queue) : TORQUE_ERR_NONE;
}

torque_err Timers::open_wall(Queue &queue) noexcept {
  Fd fd(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd) return last_error();
  if (const torque_err err = queue.arm(fd.get(), Queue::kTimerHandle, TORQUE_READ, Trigger::edge)) return err;
  wall_timer_ = std::move(fd);
  program_wall(true);
  return TORQUE_ERR_NONE;
}

torque_err Timers::watch_again(Queue &queue) noexcept {
  Lock lock(lock_);
  torque_err err = TORQUE_ERR_NONE;
  if (timer_) err = queue.arm(timer_.get(), Queue::kTimerHandle, TORQUE_READ, Trigger::edge);
  if (wall_timer_ && !err) err = queue.arm(wall_timer_.get(), Queue::kTimerHandle, TORQUE_READ, Trigger::edge);
  return err;
}

torque_err Timers::need_wall(Queue &queue) noexcept {
  Lock lock(lock_);
  return wall_timer_ ? TORQUE_ERR_NONE : open_wall(queue);
}

// A timer descriptor that cannot be set leaves the deadline to the sleepers' own timeouts, until it can.
void Timers::program_monotonic() noexcept {
  const uint64_t next = monotonic_.next();
  if (!timer_ || next >= programmed_) return;
  const bool ok = settime(timer_.get(), std::max<uint64_t>(next, 1), TFD_TIMER_ABSTIME) == TORQUE_ERR_NONE;
  if (ok) programmed_ = next;
  unset_.store(!ok, std::memory_order_seq_cst);
}

void Timers::program_wall(bool force) noexcept {
  if (!wall_timer_) return;
  const uint64_t next = wall_.next();
  if (!force && next >= wall_programmed_) return;
  // Armed even when nothing is set: a far one still tells that the clock was changed.
  const uint64_t at = std::clamp<uint64_t>(next, 1, uint64_t{INT64_MAX} / 2);
  const torque_err err = settime(wall_timer_.get(), at, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
  // ECANCELED: it is set, and the clock was too: the descriptor tells so.
  const bool ok = err == TORQUE_ERR_NONE || err == TORQUE_ERR_SYSCALL + ECANCELED;
  if (ok) wall_programmed_ = next;
  if (next != kNever && (err || next <= realtime_ns())) wall_due_.store(true, std::memory_order_relaxed);
  wall_unset_.store(!ok && next != kNever, std::memory_order_seq_cst);
}

uint64_t Timers::wake_at() const noexcept {
  const uint64_t next = hint_.load(std::memory_order_seq_cst);
  const uint64_t told = by_descriptor_ && !unset_.load(std::memory_order_seq_cst) ? kNever : next;
  // A look that is still to come (the clock was set while its descriptor was) is not left to that descriptor alone.
  if (!wall_unset_.load(std::memory_order_seq_cst) && !wall_due_.load(std::memory_order_seq_cst)) return told;
  return std::min(told, monotonic_ns() + kRetry);
}

void Timers::publish() noexcept {
  hint_.store(monotonic_.next(), std::memory_order_relaxed);
  wall_count_.store(wall_.armed(), std::memory_order_relaxed);
}

// Requires: the monotonic deadline `due` was just set. True: a sleeper must be woken to learn of it.
bool Timers::noticed(uint64_t due) noexcept {
  if (due >= hint_.load(std::memory_order_relaxed)) return false;
  hint_.store(due, std::memory_order_seq_cst);  // before the caller looks for sleepers: see Domain::poke()
  if (!by_descriptor_) return true;
  if (!claimed_) program_monotonic();  // else who fires will, when done
  return unset_.load(std::memory_order_relaxed);
}

bool Timers::noticed(Slot &s) noexcept {
  if (!(s.traits.get() & kWall)) return noticed(deadline_of(s).due.at);
  wall_count_.store(wall_.armed(), std::memory_order_relaxed);
  program_wall(false);
  return wall_unset_.load(std::memory_order_relaxed);
}

// Sets the deadline, with the source's slack, and remembers how late that made a timer. False: no memory, nothing changed.
bool Timers::place(Slot &s, uint64_t at) noexcept {
  const uint64_t due = std::min(with_slack(at, slack_of(s)), kNever - 1);
  if (!wheel_of(s).set(s.index, deadline_of(s).due, due)) return false;
  if (is_timer(s)) s.moved_by.set(static_cast<int32_t>(due - std::min(at, due)));
  return true;
}

bool Timers::set_plain(SlotDeadline &k, uint32_t index, uint32_t generation, uint64_t at, bool removes, torque_err *ret_err,
                       bool *ret_wake) noexcept {
  Lock lock(lock_);
  if (k.generation != generation || k.is(~kRemovesItself)) return false;
  at = std::min(at, kNever - 1);
  const bool ok = monotonic_.set(index, k.due, at);
  *ret_err = ok ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
  *ret_wake = ok && noticed(at);
  if (ok && k.is(kRemovesItself) != removes) k.become(removes ? kRemovesItself : 0u);
  return true;
}

bool Timers::cancel_plain(SlotDeadline &k, uint32_t generation) noexcept {
  Lock lock(lock_);
  if (k.generation != generation || k.is(~kRemovesItself)) return false;
  monotonic_.cancel(k.due);
  return true;
}

torque_err Timers::set(Slot &s, uint32_t generation, uint64_t at, uint64_t period, bool removes,
                       bool *ret_wake) noexcept {
  *ret_wake = false;
  Lock lock(lock_);
  SlotDeadline &k = deadline_of(s);
  if (k.generation != generation) return TORQUE_ERR_STALE;
  if (!place(s, at)) return TORQUE_ERR_RESOURCE;
  forget_expirations(s);
  k.change(kUnusualNew | kUnusualFired, 0);
  if (is_timer(s)) {
    cold_of(s).period = period;
    k.change(kUnusualPeriod | kRemovesItself, (period ? kUnusualPeriod : 0u) | (removes ? kRemovesItself : 0u));
  }
  *ret_wake = noticed(s);
  return TORQUE_ERR_NONE;
}

bool Timers::cancel(Slot &s, uint32_t generation) noexcept {
  Lock lock(lock_);
  if (deadline_of(s).generation != generation) return false;
  wheel_of(s).cancel(deadline_of(s).due);
  forget_expirations(s);
  deadline_of(s).change(kUnusualFired, 0);
  if (is_timer(s)) cold_of(s).period = 0;
  wall_count_.store(wall_.armed(), std::memory_order_relaxed);
  return true;
}

void Timers::forget(Slot &s) noexcept {
  Lock lock(lock_);
  wheel_of(s).forget(deadline_of(s).due);
  deadline_of(s).generation = 0;
  forget_expirations(s);
  wall_count_.store(wall_.armed(), std::memory_order_relaxed);
}

void Timers::adopt(Slot &s, bool timer) noexcept {
  Lock lock(lock_);
  const uint32_t unusual = (s.traits.get() & kWall ? kUnusualWall : 0u) | (timer ? 0u : kUnusualKind);
  SlotDeadline &k = deadline_of(s);
  k.due = {};
  k.generation = word::generation(s.word.load(std::memory_order_relaxed));
  k.become(kUnusualNew | unusual);
  if (!timer) return;
  s.moved_by.set(0);
  cold_of(s).period = 0;
}

bool Timers::due_at(Slot &s, uint32_t generation, uint64_t *ret_at) noexcept {
  Lock lock(lock_);
  if (deadline_of(s).generation != generation) return false;
  *ret_at = deadline_of(s).due.at;
  return true;
}

bool Timers::set_slack(Slot &s, uint32_t generation, uint64_t slack_ns) noexcept {
  Lock lock(lock_);
  if (deadline_of(s).generation != generation) return false;
  s.interest.store(static_cast<uint32_t>(std::min<uint64_t>(slack_ns, UINT32_MAX)), std::memory_order_relaxed);
  deadline_of(s).change(0, kUnusualSlack);
  return true;
}

// A periodic timer that could not be set anew for lack of memory: once more, from now.
bool Timers::revive(Slot &s, uint32_t generation, bool *ret_wake) noexcept {
  *ret_wake = false;
  Lock lock(lock_);
  SlotDeadline &k = deadline_of(s);
  const uint64_t period = cold_of(s).period;
  if (k.generation != generation || !period || k.due.is_set()) return true;
  if (!place(s, add_ns(s.traits.get() & kWall ? realtime_ns() : monotonic_ns(), period))) return false;
  *ret_wake = noticed(s);
  return true;
}

void Timers::untell(Slot &s, uint32_t generation, uint64_t expirations) noexcept {
  Lock lock(lock_);
  if (deadline_of(s).generation != generation || !deadline_of(s).is(kUnusualFired)) return;
  // A one-shot timer has more only after it was set anew.
  if (deadline_of(s).is(kUnusualPeriod) || s.expirations.load(std::memory_order_relaxed) == 0) add_expirations(s, expirations);
}

bool Timers::end_if_over(Slot &s, uint32_t generation) noexcept {
  Lock lock(lock_);
  SlotDeadline &k = deadline_of(s);
  const bool over = k.generation == generation && k.is(kRemovesItself) && !k.due.is_set() && !cold_of(s).period &&
                    s.expirations.load(std::memory_order_relaxed) == 0;
  if (over) k.generation = 0;
  return over;
}

bool Timers::claim(bool nested) noexcept {
  Lock lock(lock_);
  if (claimed_) return nested;
  claimed_ = true;
  return true;
}

Slot *Timers::pop(uint64_t monotonic_now, uint64_t wall_now, uint32_t *ret_generation, bool *ret_retry) noexcept {
  Lock lock(lock_);
  *ret_retry = false;
  uint32_t id;
  uint64_t now = monotonic_now, due;
  bool got = monotonic_.pop(now, &id, &due);
  if (!got && wall_now && wall_.armed()) {
    now = wall_now;
    got = wall_.pop(now, &id, &due);
  }
  if (!got) {
    publish();
    return nullptr;
  }
  Slot *s = find_slot(id);
  *ret_generation = word::generation(s->word.load(std::memory_order_relaxed));
  const uint64_t ended = is_timer(*s) ? renew(*s, due - static_cast<uint32_t>(s->moved_by.get()), now, ret_retry) : 1;
  deadline_of(*s).change(0, kUnusualFired);
  add_expirations(*s, ended);
  return s;
}

// Its holder may take what is there at any moment.
void Timers::add_expirations(Slot &s, uint64_t n) noexcept {
  uint32_t before = s.expirations.load(std::memory_order_relaxed);
  while (n < kMany - before) {
    if (s.expirations.compare_exchange_weak(before, before + static_cast<uint32_t>(n), std::memory_order_relaxed)) return;
  }
  before = s.expirations.exchange(kMany, std::memory_order_relaxed);
  if (before != kMany) n += before;
  for (Many &m : many_) {
    if (m.index != s.index) continue;
    m.n += n;
    return;
  }
  if (!many_.push({s.index, n})) s.expirations.store(kMany - 1, std::memory_order_relaxed);
}

uint64_t Timers::take_many(const Slot &s) noexcept {
  for (Many &m : many_) {
    if (m.index != s.index) continue;
    const uint64_t n = m.n;
    m = many_.back();
    many_.pop();
    return n;
  }
  return 0;
}

void Timers::forget_expirations(Slot &s) noexcept {
  s.expirations.store(0, std::memory_order_relaxed);
  if (!many_.empty()) [[unlikely]]
    take_many(s);
}

uint64_t Timers::take_expirations(Slot &s) noexcept {
  const uint32_t n = s.expirations.exchange(0, std::memory_order_relaxed);
  if (n != kMany) [[likely]]
    return n;
  Lock lock(lock_);
  return take_many(s);
}

// Sets a periodic timer anew, from when it should have fired. Answers how many periods ended.
uint64_t Timers::renew(Slot &s, uint64_t nominal, uint64_t now, bool *ret_retry) noexcept {
  if (!deadline_of(s).is(kUnusualPeriod)) return 1;
  const uint64_t period = cold_of(s).period;
  if (!period) return 1;  // cancelled since
  const uint64_t ended = 1 + (now - nominal) / period;
  *ret_retry = !place(s, add_ns(nominal, ended * period));
  return ended;
}

void Timers::give_up_claim(bool looked) noexcept {
  Lock lock(lock_);
  claimed_ = false;
  publish();
  if (by_descriptor_) {
    // The kernel's timer has fired, or tells of a deadline that is gone; either way it is told anew.
    if (programmed_ <= monotonic_ns()) programmed_ = kNever;
    program_monotonic();
  }
  // What was told has been used up, perhaps by another worker while this one had the claim.
  program_wall(looked || look_at_wall() || wall_.next() != wall_programmed_);
}

uint64_t Timers::next_deadline() noexcept {
  Lock lock(lock_);
  publish();
  return hint_.load(std::memory_order_relaxed);
}

size_t Timers::armed() noexcept {
  Lock lock(lock_);
  return monotonic_.armed() + wall_.armed();
}

size_t Timers::bytes() noexcept {
  Lock lock(lock_);
  return monotonic_.bytes() + wall_.bytes();
}

}  // namespace torque
