// SPDX-License-Identifier: BSD-3-Clause
// The due times of ev_timers. Few are kept in a heap, which has libev's order among equal ones; many in libtorque's
// wheel, which is quicker and has the order in which they were set. `active` is the place in the one or the id in the
// other.
#pragma once

#include <libtorque/deadlines.h>

#include <utility>

#include "heap.hh"

namespace torque_ev {

class Timers {
 public:
  static constexpr int kFew = 2048;

  int count() const {
    if (!many_) [[likely]]
      return heap_.count();
    return static_cast<int>(torque_deadlines_count(wheel_)) + (first_ != nullptr);
  }
  bool many() const { return many_; }
  void insert(ev_timer *w) {
    if (!many_ && heap_.count() < kFew) [[likely]]
      heap_.insert(base(w));
    else
      insert_many(w);
  }
  void remove(ev_timer *w) {
    if (!many_) [[likely]]
      heap_.remove(w->active);
    else
      remove_many(w);
  }
  // w->at was before, and has changed. Among many a later time is only noticed when the old one has come: mostly it has
  // been put off again by then.
  void update(ev_timer *w, ev_tstamp before) {
    if (!many_) [[likely]]
      heap_.update(w->active);
    else if (w->at < before)
      set(w);
  }
  // When to wake up: never later than the first is due. Requires: there is one.
  ev_tstamp next() { return many_ ? seconds(torque_deadlines_next(wheel_)) : heap_.top_at(); }

  // The first that was due before now, null: none. It stays; its owner updates or removes it at once.
  ev_timer *due(ev_tstamp now) {
    if (!many_) [[likely]]
      return heap_.count() && heap_.top_at() < now ? timer(heap_.top()) : nullptr;
    return first_ ? std::exchange(first_, nullptr) : due_of_many(now);
  }
  // Requires: many. next() has come, and yet none was due before now: it was about one that was stopped or put off, and
  // is later now.
  bool came_early(ev_tstamp now) {
    if (next() > now) return false;
    if (!first_) first_ = due_of_many(now);
    return !first_;
  }
  // The one that due() answered, with a later time now.
  void renew(ev_timer *w) {
    if (!many_) [[likely]]
      heap_.top_is_later();
    else
      set(w);
  }

  void shift(ev_tstamp by);
  bool is_sound() { return many_ || heap_.is_sound(); }
  void release();

 private:
  static ev_watcher_time *base(ev_timer *w) { return reinterpret_cast<ev_watcher_time *>(w); }
  static ev_timer *timer(ev_watcher_time *w) { return reinterpret_cast<ev_timer *>(w); }
  static uint64_t ns(ev_tstamp at);
  // The wheel knows no times below zero: its zero lies well before any due time.
  static constexpr uint64_t kZero = 4000000000 * 1000000000ull;
  static ev_tstamp seconds(uint64_t ns) { return static_cast<ev_tstamp>(static_cast<int64_t>(ns - kZero)) * 1e-9; }
  void insert_many(ev_timer *w);
  void remove_many(ev_timer *w);
  void set(ev_timer *w);
  void become_many();
  ev_timer *due_of_many(ev_tstamp now);

  Heap heap_;
  torque_deadlines *wheel_;
  ev_timer *first_;  // taken out of the wheel by came_early() for the next due()
  bool many_;
};

}  // namespace torque_ev
