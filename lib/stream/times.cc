// SPDX-License-Identifier: BSD-3-Clause
// One timer a stream, set for the earliest of its limits. Activity only moves limits away, and is noted, not set: the
// timer rings at the old time, finds nothing, and is set anew. So a limit costs a clock reading for each read and send.
//
// What the kernel took of the output is not what the peer took: its buffer may hold seconds of a slow peer's. So while
// it holds some, and a limit counts that, the timer also rings a few times within the limit and looks whether that has
// become less.
#include <sys/ioctl.h>

#include <algorithm>

#include "stream/stream.hh"

namespace torque {

namespace {

constexpr int32_t kNothing = -1;
constexpr int32_t kLinger = 4;
constexpr int32_t kLate = 5;  // for open, says who has made the connection
constexpr int32_t kTurn = 6;  // a rate lets it go on
constexpr uint64_t kLooks = 8;  // within one limit: it is late by that part of it at most
constexpr uint64_t kStepMin = 1000000;

struct Due {
  uint64_t at = kNever;
  int32_t which = kNothing;
  uint64_t look = kNever;  // at the peer
  void consider(uint64_t since, uint64_t limit, int32_t what) noexcept {
    if (limit == 0 || add_ns(since, limit) >= at) return;
    at = add_ns(since, limit);
    which = what;
  }
  void turn_comes(uint64_t when) noexcept {
    if (when < at) *this = {when, kTurn, look};
  }
  void watch(uint64_t from, uint64_t limit) noexcept {
    if (limit) look = std::min(look, add_ns(from, std::max(limit / kLooks, kStepMin)));
  }
};

bool lingers(const Hold &h) noexcept {
  return (h.is(kClosing) && h.is(kEndSent)) || (h.s.extras && h.s.extras->failing);
}

// At the last look since something was sent; few streams need to remember it.
uint32_t queued(const Stream &s) noexcept { return s.extras ? s.extras->queued : Extras::kUnseen; }

// Of bytes that were sent and the peer has not taken. 0 also where nobody knows.
uint32_t untaken(const Hold &h) noexcept {
  const int fd = h.s.slot->fd.get();
  int n = 0;
  if (h.is(kReadOnly)) return 0;
  if (::ioctl(fd, TIOCOUTQ, &n) == 0) return static_cast<uint32_t>(std::max(n, 0));  // a socket, a terminal
  if (!h.is(kSocket) && ::ioctl(fd, FIONREAD, &n) == 0) return static_cast<uint32_t>(std::max(n, 0));  // a pipe
  return 0;
}

// Has the peer taken some since? At the first look after something was sent nobody knows, and it may have.
void look_at_peer(Hold &h, uint64_t now) noexcept {
  Stream &s = h.s;
  const uint32_t before = queued(s);
  if (before == 0) return;
  const uint32_t left = untaken(h);
  // All of it, at some time since it was sent: that counts from then on.
  if (before == Extras::kUnseen && left == 0 && !output_waits(s)) return;
  if (left < before) s.last_out = now;
  if (Extras *x = extras_of(h)) x->queued = left;  // no memory: the next look is the first
}

// Of the limits; while a rate holds the stream back its time stands still. from: when the peer was looked at just now, or
// given something.
Due next_limit(const Hold &h, uint64_t from) noexcept {
  const Stream &s = h.s;
  const uint64_t *limit = s.type->limit;
  Due due;
  const bool in_held = is_held_back(h, kIn), out_held = is_held_back(h, kOut);
  if (lingers(h)) {
    if (out_held) return due;
    due.consider(s.last_out, s.type->linger, kLinger);
    if (queued(s)) due.watch(from, s.type->linger);
    return due;
  }
  if (!h.is(kOpened)) {
    if (!in_held && !out_held) {
      due.consider(s.last_in, limit[TORQUE_STREAM_CONNECT_TIMEOUT], TORQUE_STREAM_CONNECT_TIMEOUT);
    }
    if (const uint64_t by = s.last_out & ~kOpenBy; (s.last_out & kOpenBy) && by < due.at) due = {by, kLate};
    return due;
  }
  if (wants_input(h) && !h.is(kWriteOnly) && !in_held) {
    due.consider(s.last_in, limit[TORQUE_STREAM_READ_TIMEOUT], TORQUE_STREAM_READ_TIMEOUT);
  }
  const bool waits = output_waits(s) && !out_held;
  if (in_held || out_held) {
    if (waits) due.consider(s.last_out, limit[TORQUE_STREAM_WRITE_TIMEOUT], TORQUE_STREAM_WRITE_TIMEOUT);
    if (waits && queued(s)) due.watch(from, limit[TORQUE_STREAM_WRITE_TIMEOUT]);
    return due;
  }
  if (waits) due.consider(s.last_out, limit[TORQUE_STREAM_WRITE_TIMEOUT], TORQUE_STREAM_WRITE_TIMEOUT);
  due.consider(std::max(s.last_in, s.last_out), limit[TORQUE_STREAM_IDLE_TIMEOUT], TORQUE_STREAM_IDLE_TIMEOUT);
  const uint32_t left = queued(s);
  if (waits && left) due.watch(from, limit[TORQUE_STREAM_WRITE_TIMEOUT]);
  // Mostly all has arrived long before: then this limit looks only when it has run out.
  if (left && (waits || left != Extras::kUnseen)) due.watch(from, limit[TORQUE_STREAM_IDLE_TIMEOUT]);
  return due;
}

Due next_due(const Hold &h, uint64_t from) noexcept {
  Due due = next_limit(h, from);
  for (const Direction d : {kIn, kOut}) {
    if (is_held_back(h, d)) due.turn_comes(h.s.extras->throttle->until[d]);
  }
  return due;
}

void run_out(Hold &h, int32_t which, uint64_t now) noexcept {
  Stream &s = h.s;
  if (which == kLinger) {
    const torque_err failing = s.extras ? s.extras->failing : TORQUE_ERR_NONE;
    if (failing) h.set(kReset);
    return over(h, failing);
  }
  if (which == kLate) return over(h, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  if (!s.type->timeout || !s.type->timeout(h.handle, which, s.slot->arg.look())) {
    return over(h, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  }
  if (which != TORQUE_STREAM_WRITE_TIMEOUT) s.last_in = now;
  if (which != TORQUE_STREAM_READ_TIMEOUT && h.is(kOpened)) s.last_out = now;
}

bool counts_output(const Hold &h) noexcept {
  const uint64_t *limit = h.s.type->limit;
  return lingers(h) || (h.is(kOpened) && (limit[TORQUE_STREAM_WRITE_TIMEOUT] || limit[TORQUE_STREAM_IDLE_TIMEOUT]));
}

}  // namespace

void mind_times(Hold &h, bool rang) noexcept {
  Stream &s = h.s;
  if (!h.is(kTimed)) return;
  uint64_t from = s.last_out;
  if (rang) {
    s.alarm = 0;
    const uint64_t now = monotonic_ns();
    if (counts_output(h)) {
      look_at_peer(h, now);
      from = now;
    }
    if (const Due due = next_due(h, from); due.at <= now && due.which != kNothing) {
      if (due.which == kTurn) return;  // the turn that begins sets the timer
      run_out(h, due.which, now);
      if (h.over()) return;
    }
  }
  const Due due = next_due(h, from);
  // Since the last look nothing was sent: the next is set already.
  const uint64_t at = rang || queued(s) == Extras::kUnseen ? std::min(due.at, due.look) : due.at;
  if (due.which == kNothing || (s.alarm && s.alarm <= at)) return;
  bool wake;
  const torque_err err = timers_of(*s.slot).set(*s.slot, generation_of(h.handle), at, 0, false, &wake);
  if (wake) owner_of(s.slot->index)->poke();
  if (err == TORQUE_ERR_RESOURCE) return over(h, err);  // it would wait for ever
  s.alarm = at;
}

}  // namespace torque
