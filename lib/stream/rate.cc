// SPDX-License-Identifier: BSD-3-Clause
#include "stream/rate.hh"

#include <algorithm>
#include <utility>

#include "base/clock.hh"
#include "source/source.hh"

namespace torque {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr uint32_t kBusy = UINT32_MAX;
constexpr uint64_t kPortionsASecond = 16;  // who waits alone is woken so often
constexpr uint64_t kPortionMin = 1448;     // of many who wait: no less than a segment, where that is less than the above
constexpr uint64_t kPortionMax = 16384;
constexpr uint64_t kNsMax = uint64_t{1} << 61;

uint64_t clamped(Wide n, uint64_t most) noexcept { return n > most ? most : static_cast<uint64_t>(n); }

// A large burst may lie before the clock's beginning.
uint64_t moment(int64_t at) noexcept { return static_cast<uint64_t>(std::max<int64_t>(at, 0)); }

}  // namespace

// In a forked child the lock may be held, and the list cut in two, by a thread that is not there; and the streams of the
// list are the parent's. So the first who comes begins anew, while the others wait.
class SCOPED_CAPABILITY Meter::Holding {
 public:
  explicit Holding(Meter &m) noexcept ACQUIRE(m.lock_) : m_(m) {
    if (m.forks_.load(std::memory_order_acquire) != fork_generation()) m.begin_in_child();
    m.lock_.lock();
  }
  ~Holding() RELEASE() { m_.lock_.unlock(); }
  Holding(const Holding &) = delete;
  Holding &operator=(const Holding &) = delete;

 private:
  Meter &m_;
  const tsan::Own own_;
};

void Meter::begin_in_child() noexcept NO_THREAD_SAFETY_ANALYSIS {
  const uint32_t here = fork_generation();
  for (;;) {
    uint32_t seen = forks_.load(std::memory_order_acquire);  // pairs with the store below: the lock is free
    if (seen == here) return;
    if (seen == kBusy || !forks_.compare_exchange_weak(seen, kBusy, std::memory_order_acquire)) continue;
    (void)lock_.reset();
    refund(promised_);
    first_ = last_ = nullptr;
    waiting_ = 0;
    promised_ = 0;
    ++epoch_;
    forks_.store(here, std::memory_order_release);
    return;
  }
}

uint64_t Meter::cost(uint64_t bytes) const noexcept {
  return clamped((Wide{bytes} * kSecond + per_s_ - 1) / per_s_, kNsMax);
}

uint64_t Meter::bytes_in(uint64_t ns) const noexcept { return clamped(Wide{ns} * per_s_ / kSecond, UINT64_MAX); }

// What so many bytes are worth, rounded down.
int64_t Meter::span(uint64_t bytes) const noexcept {
  return static_cast<int64_t>(clamped(Wide{bytes} * kSecond / per_s_, kNsMax));
}

// Enough for many to have their turns soon, and for few not to be woken for a handful of bytes.
uint64_t Meter::portion() const noexcept {
  const uint64_t alone = std::clamp<uint64_t>(per_s_ / kPortionsASecond, 1, kPortionMax);
  return std::max(std::min(alone, kPortionMin), alone / (1 + waiting_));
}

void Meter::list(Quota &s) noexcept {
  s.listed = true;
  s.forks = fork_generation();
  s.before = last_;
  (last_ ? last_->next : first_) = &s;
  last_ = &s;
  ++waiting_;
  promised_ += s.promised;
}

void Meter::unlist(Quota &s) noexcept {
  (s.before ? s.before->next : first_) = s.next;
  (s.next ? s.next->before : last_) = s.before;
  s.next = s.before = nullptr;
  s.listed = false;
  --waiting_;
  promised_ -= s.promised;
}

// What it had reserved is of no use to it, or was reserved in the parent.
void Meter::forget(Quota &s) noexcept {
  if (s.forks == fork_generation()) {
    refund(s.promised);
    unlist(s);
  }
  s.listed = false;
}

// No more than what they had cost.
void Meter::refund(uint64_t bytes) noexcept {
  if (per_s_) empty_at_ -= span(bytes);
}

bool Meter::take(Quota &s, uint64_t want, uint64_t now, uint64_t *ret_due) noexcept {
  const Holding holding(*this);
  if (s.listed && (s.forks != fork_generation() || per_s_ == 0)) forget(s);
  s.epoch = epoch_;
  if (per_s_ == 0) {
    s.hand = want;
    return true;
  }
  if (s.listed) {
    if (now < s.due) {
      *ret_due = s.due;
      return false;
    }
    unlist(s);
    s.hand = s.promised;
    return true;
  }
  empty_at_ = std::max(empty_at_, static_cast<int64_t>(now) - burst_ns_);
  const int64_t saved = static_cast<int64_t>(now) - empty_at_;
  const uint64_t there = saved > 0 ? bytes_in(static_cast<uint64_t>(saved)) : 0;
  const uint64_t least = std::min(want, portion());
  const uint64_t n = there >= least ? std::min(want, there) : least;
  empty_at_ += static_cast<int64_t>(cost(n));
  if (there >= least) {
    s.hand = n;
    return true;
  }
  s.promised = n;
  s.due = *ret_due = moment(empty_at_);
  list(s);
  return false;
}

void Meter::give_back(Quota &s, uint64_t keep) noexcept {
  if (s.hand <= keep) return;
  const Holding holding(*this);
  if (s.epoch == epoch_) refund(s.hand - keep);
  s.hand = keep;
}

void Meter::leave(Quota &s) noexcept {
  give_back(s, 0);
  const Holding holding(*this);
  if (s.listed) forget(s);
}

// Beside what is promised, in ns; negative: those who have bytes in hand owe it.
int64_t Meter::saved(int64_t now) const noexcept {
  const int64_t without = empty_at_ - span(promised_);
  return now - std::max(without, now - burst_ns_ - span(promised_));
}

// Those who wait have their turns from what there is, one behind the other.
void Meter::promise_anew(int64_t now, int64_t credit) noexcept {
  promised_ = 0;
  for (Quota *q = first_; q; q = q->next) promised_ += q->promised = std::min(q->promised, portion());
  // What the first has waited for goes on counting: else a rate that is set often would never let it pass.
  empty_at_ = now - std::min(credit, burst_ns_ + (first_ ? span(first_->promised) : 0));
  for (Quota *q = first_; q; q = q->next) {
    empty_at_ += static_cast<int64_t>(cost(q->promised));
    q->due = moment(empty_at_);
  }
}

// What was saved and what is owed counts on as so many bytes. (In ns, so that nothing is lost to rounding however often this
// is done.)
void Meter::change(uint64_t per_s, uint64_t burst, int64_t now) noexcept {
  const uint64_t before = per_s_;
  int64_t credit = before ? saved(now) : static_cast<int64_t>(kNsMax);  // no limit before: the burst is full
  per_s_ = per_s;
  if (!before) ++epoch_;
  if (per_s == 0) return;
  if (before) {
    const uint64_t size = static_cast<uint64_t>(credit < 0 ? -credit : credit);
    const auto scaled = static_cast<int64_t>(clamped(Wide{size} * before / per_s, kNsMax));
    credit = credit < 0 ? -scaled - (before != per_s) : scaled;
  }
  burst_ns_ = span(burst);
  promise_anew(now, credit);
}

// Each of those who wait is told once; those who come meanwhile stand behind them, as do those who were told.
void Meter::set(uint64_t per_s, uint64_t burst) noexcept {
  uint32_t left;
  {
    const Holding holding(*this);
    change(per_s, burst, static_cast<int64_t>(monotonic_ns()));
    left = waiting_;
  }
  for (; left; --left) {
    uint64_t handle;
    {
      const Holding holding(*this);
      Quota *q = first_;
      if (!q) return;
      handle = q->handle;
      unlist(*q);
      list(*q);
    }
    (void)activate(handle, TORQUE_TRIGGER);
  }
}

void unref(Rate *rate) noexcept {
  if (rate->unref()) delete static_cast<torque_rate *>(rate);
}

}  // namespace torque
