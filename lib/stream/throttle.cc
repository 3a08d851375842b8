// SPDX-License-Identifier: BSD-3-Clause
// A stream under rates: what it may read and send now, and when it is its turn again.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "stream/stream.hh"

namespace torque {

namespace {

Throttle &throttle_of(const Hold &h) noexcept { return *h.s.extras->throttle; }

// Bytes are counted once where both are the same.
bool counts(const Throttle &t, int which) noexcept {
  return t.rate[which] && (which == Throttle::kOwn || t.rate[which] != t.rate[Throttle::kOwn]);
}

// Somebody else's time went by.
void go_on(Hold &h, Direction d, uint64_t now) noexcept {
  Throttle &t = throttle_of(h);
  if (!t.held[d]) return;
  t.held[d] = false;
  if (!h.is(kOpened)) {  // the connect limit counts neither: what both wait is counted with the one that waits on
    const Direction other = d == kIn ? kOut : kIn;
    const uint64_t end = t.held[other] ? std::max(t.since[other], t.since[d]) : now;
    h.s.last_in += end - std::min(end, t.since[d]);
    return;
  }
  (d == kIn ? h.s.last_in : h.s.last_out) += now - std::min(now, t.since[d]);
}

void wait_until(Hold &h, Direction d, uint64_t due, uint64_t now) noexcept {
  Throttle &t = throttle_of(h);
  if (!t.held[d]) t.since[d] = now;
  t.held[d] = true;
  t.until[d] = due;
}

void give_up_turns(Throttle &t, int which) noexcept {
  for (int d = 0; d < 2 && t.rate[which]; ++d) t.rate[which]->meter[d].leave(t.quota[d][which]);
}

void leave(Throttle &t, int which) noexcept {
  give_up_turns(t, which);
  if (Rate *r = std::exchange(t.rate[which], nullptr)) unref(r);
}

void join(Throttle &t, int which, Rate &rate, uint64_t handle) noexcept {
  rate.ref();
  t.rate[which] = &rate;
  for (int d = 0; d < 2; ++d) t.quota[d][which].handle = handle;
}

// Null: no memory.
Throttle *make_throttle(const Alloc &alloc, Stream &s) noexcept {
  if (!s.extras) s.extras = alloc.make<Extras>();
  if (!s.extras) return nullptr;
  if (!s.extras->throttle) s.extras->throttle = alloc.make<Throttle>();
  return s.extras->throttle;
}

bool wants(const Hold &h, Direction d) noexcept {
  if (d == kIn) return wants_wire(h) && !h.is(kClosing);
  const Stream &s = h.s;
  return h.is(kWritable) && !h.is(kBroken) && (!s.wire.empty() || between(s));
}

}  // namespace

size_t allowed(Hold &h, Direction d, uint64_t want) noexcept {
  Throttle &t = throttle_of(h);
  const uint64_t now = monotonic_ns();
  uint64_t n = std::min<uint64_t>(want, kAllowedMost);
  for (int i = 0; i < 2; ++i) {
    if (!counts(t, i)) continue;
    Meter &m = t.rate[i]->meter[d];
    Quota &quota = t.quota[d][i];
    uint64_t due;
    if (quota.hand == 0 && !m.take(quota, n, now, &due)) {
      // What its own rate gave is kept until then, but no more of it than can pass then.
      if (i == Throttle::kOfType && counts(t, Throttle::kOwn)) {
        t.rate[Throttle::kOwn]->meter[d].give_back(t.quota[d][Throttle::kOwn], n);
      }
      wait_until(h, d, due, now);
      return 0;
    }
    n = std::min(n, quota.hand);
  }
  go_on(h, d, now);
  return static_cast<size_t>(n);
}

void passed(Hold &h, Direction d, uint64_t n) noexcept {
  const int e = errno;  // the caller has not looked at it yet
  Throttle &t = throttle_of(h);
  for (int i = 0; i < 2; ++i) {
    if (!counts(t, i)) continue;
    Quota &quota = t.quota[d][i];
    quota.hand -= std::min(quota.hand, n);
    t.rate[i]->meter[d].give_back(quota, 0);
  }
  errno = e;
}

torque_err throttle(const Alloc &alloc, Stream &s, int which, Rate *rate) noexcept {
  Throttle *t = s.extras ? s.extras->throttle : nullptr;
  if (!t && !rate) return TORQUE_ERR_NONE;
  if (!t) t = make_throttle(alloc, s);
  if (!t) return TORQUE_ERR_RESOURCE;
  if (t->rate[which] == rate) return TORQUE_ERR_NONE;
  leave(*t, which);
  if (rate) join(*t, which, *rate, handle_of(*s.slot));
  for (int i = 0; i < 2; ++i) {
    if (!counts(*t, i)) give_up_turns(*t, i);  // in the other it keeps its turn
  }
  if (!(s.flags & kTimed)) {
    const uint64_t now = monotonic_ns();
    s.last_in = now;
    if (!(s.last_out & kOpenBy)) s.last_out = now;
  }
  const bool any = t->rate[Throttle::kOwn] || t->rate[Throttle::kOfType];
  s.flags = any ? s.flags | kRated | kTimed : s.flags & ~kRated;
  return TORQUE_ERR_NONE;
}

torque_err throttle_own(Hold &h, int which, Rate *rate) noexcept {
  const torque_err err = throttle(h.context().alloc, h.s, which, rate);
  Extras *x = h.s.extras;
  if (err || !x || !x->throttle) return err;
  const uint64_t now = monotonic_ns();
  const bool held = x->throttle->held[kIn] || x->throttle->held[kOut];
  for (const Direction d : {kIn, kOut}) go_on(h, d, now);
  if (held) (void)activate(h.handle, TORQUE_TRIGGER);
  return TORQUE_ERR_NONE;
}

void mind_rates(Hold &h) noexcept {
  Throttle &t = throttle_of(h);
  for (const Direction d : {kIn, kOut}) {
    if (!t.held[d] || wants(h, d)) continue;
    go_on(h, d, monotonic_ns());
    for (int i = 0; i < 2; ++i) {
      if (t.rate[i]) t.rate[i]->meter[d].leave(t.quota[d][i]);
    }
  }
}

void end_throttle(const Alloc &alloc, Stream &s) noexcept {
  Throttle *t = std::exchange(s.extras->throttle, nullptr);
  if (!t) return;
  leave(*t, Throttle::kOwn);
  leave(*t, Throttle::kOfType);
  alloc.destroy(t);
}

}  // namespace torque
