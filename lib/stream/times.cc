// SPDX-License-Identifier: BSD-3-Clause
// One timer a stream, set for the earliest of its limits. Activity only moves limits away, and is noted, not set: the
// timer rings at the old time, finds nothing, and is set anew. So a limit costs a clock reading for each read and send.
#include <algorithm>

#include "stream/stream.hh"

namespace torque {

namespace {

constexpr int32_t kNothing = -1;
constexpr int32_t kLinger = 4;
constexpr int32_t kLate = 5;  // for open, says who has made the connection

struct Due {
  uint64_t at = kNever;
  int32_t which = kNothing;
  void consider(uint64_t since, uint64_t limit, int32_t what) noexcept {
    if (limit == 0 || add_ns(since, limit) >= at) return;
    at = add_ns(since, limit);
    which = what;
  }
};

Due next_due(const Hold &h) noexcept {
  const Stream &s = h.s;
  const uint64_t *limit = s.type->limit;
  Due due;
  if ((h.is(kClosing) && h.is(kEndSent)) || (s.extras && s.extras->failing)) {
    due.consider(s.last_out, s.type->linger, kLinger);
    return due;
  }
  if (!h.is(kOpened)) {
    due.consider(s.last_in, limit[TORQUE_STREAM_CONNECT_TIMEOUT], TORQUE_STREAM_CONNECT_TIMEOUT);
    if (const uint64_t by = s.last_out & ~kOpenBy; (s.last_out & kOpenBy) && by < due.at) due = {by, kLate};
    return due;
  }
  if (wants_input(h)) due.consider(s.last_in, limit[TORQUE_STREAM_READ_TIMEOUT], TORQUE_STREAM_READ_TIMEOUT);
  if (output_waits(s)) {
    due.consider(s.last_out, limit[TORQUE_STREAM_WRITE_TIMEOUT], TORQUE_STREAM_WRITE_TIMEOUT);
  }
  due.consider(std::max(s.last_in, s.last_out), limit[TORQUE_STREAM_IDLE_TIMEOUT], TORQUE_STREAM_IDLE_TIMEOUT);
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
  if (!s.type->timeout || !s.type->timeout(h.handle, which, s.slot->arg.get())) {
    return over(h, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  }
  if (which != TORQUE_STREAM_WRITE_TIMEOUT) s.last_in = now;
  if (which != TORQUE_STREAM_READ_TIMEOUT && h.is(kOpened)) s.last_out = now;
}

}  // namespace

void mind_times(Hold &h, bool rang) noexcept {
  Stream &s = h.s;
  if (!h.is(kTimed)) return;
  if (rang) s.alarm = 0;
  Due due = next_due(h);
  if (rang && due.which != kNothing) {
    const uint64_t now = monotonic_ns();
    if (due.at <= now) {
      run_out(h, due.which, now);
      if (h.over()) return;
      due = next_due(h);
    }
  }
  if (due.which == kNothing || (s.alarm && s.alarm <= due.at)) return;
  bool wake;
  const torque_err err = timers_of(*s.slot).set(*s.slot, generation_of(h.handle), due.at, 0, false, &wake);
  if (wake) owner_of(s.slot->index)->poke();
  if (err == TORQUE_ERR_RESOURCE) return over(h, err);  // it would wait for ever
  s.alarm = due.at;
}

}  // namespace torque
