// SPDX-License-Identifier: BSD-3-Clause
// How many bytes a second the streams under one rate may pass in each direction.
//
// A meter is a token bucket that is kept as one moment: when it is empty. Each byte that passes moves that moment on by what
// the byte costs, and time goes by towards it; it never lies more than a burst in the past. A stream that finds too little
// reserves a portion: the moment moves into the future, and the stream comes back when it is reached. Whoever comes later
// reserves behind that. So all who wait have portions in turn, each with a timer of its own, and none waits for another's
// callbacks.
//
// Always true: what has passed and is promised is paid for by the burst and the time until it may pass.
//
// Thread: any.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/mutex.hh"
#include "libtorque/rate.h"
#include "stream/type.hh"

namespace torque {

class Meter;

// What one stream has of a meter.
struct Quota {
  // The stream's holder.
  uint64_t hand = 0;   // bytes that it may pass now
  uint32_t epoch = 0;  // the meter's when they were taken
  uint64_t handle = 0;

  // Guarded by the meter's lock.
  uint64_t promised = 0;  // bytes that it may pass from due on; while it is listed
  uint64_t due = 0;
  uint32_t forks = 0;     // in which process it was listed
  bool listed = false;
  Quota *next = nullptr;
  Quota *before = nullptr;
};

class Meter {
 public:
  // per_s 0: no limit. Wakes those who wait.
  void set(uint64_t per_s, uint64_t burst) noexcept EXCLUDES(lock_);
  // Into s.hand at most want bytes, and at least 1 if that is what it had reserved. False: nothing before *ret_due.
  bool take(Quota &s, uint64_t want, uint64_t now, uint64_t *ret_due) noexcept EXCLUDES(lock_);
  // All but keep of s.hand was not used.
  void give_back(Quota &s, uint64_t keep) noexcept EXCLUDES(lock_);
  // It wants nothing more, or goes.
  void leave(Quota &s) noexcept EXCLUDES(lock_);

 private:
  class Holding;
  void begin_in_child() noexcept;
  uint64_t cost(uint64_t bytes) const noexcept REQUIRES(lock_);       // ns, rounded up
  uint64_t bytes_in(uint64_t ns) const noexcept REQUIRES(lock_);      // rounded down
  uint64_t portion() const noexcept REQUIRES(lock_);
  void list(Quota &s) noexcept REQUIRES(lock_);
  void unlist(Quota &s) noexcept REQUIRES(lock_);
  void forget(Quota &s) noexcept REQUIRES(lock_);
  void refund(uint64_t bytes) noexcept REQUIRES(lock_);
  int64_t span(uint64_t bytes) const noexcept REQUIRES(lock_);
  void change(uint64_t per_s, uint64_t burst, int64_t now) noexcept REQUIRES(lock_);
  int64_t saved(int64_t now) const noexcept REQUIRES(lock_);
  void promise_anew(int64_t now, int64_t credit) noexcept REQUIRES(lock_);

  std::atomic<uint32_t> forks_{0};  // whose process it is; kBusy: about to be this one's

  Mutex lock_;
  uint64_t per_s_ GUARDED_BY(lock_) = 0;
  int64_t burst_ns_ GUARDED_BY(lock_) = 0;
  int64_t empty_at_ GUARDED_BY(lock_) = 0;
  uint32_t epoch_ GUARDED_BY(lock_) = 0;  // grows when a limit begins: what was taken before cost nothing
  uint32_t waiting_ GUARDED_BY(lock_) = 0;
  uint64_t promised_ GUARDED_BY(lock_) = 0;  // to those who wait, all together
  Quota *first_ GUARDED_BY(lock_) = nullptr;
  Quota *last_ GUARDED_BY(lock_) = nullptr;
};

struct Rate : Counted {
  Meter meter[2];  // by TORQUE_RATE_...
};

void unref(Rate *rate) noexcept;

struct Hold;
struct Stream;

// The rates of one stream: only streams that have one have this.
//
// Thread: the stream's holder; before the start, whoever makes it.
struct Throttle {
  static constexpr int kOwn = 0, kOfType = 1;
  Rate *rate[2] = {};     // kOwn, kOfType; with a reference each
  Quota quota[2][2];      // by direction, then as rate
  bool held[2] = {};      // by direction: something is to pass, and may not before until
  uint64_t until[2] = {};
  uint64_t since[2] = {};
};

}  // namespace torque

struct torque_rate : torque::Rate {};
