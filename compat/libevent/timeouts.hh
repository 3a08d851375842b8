// SPDX-License-Identifier: BSD-3-Clause
// Events by their timeouts. Few are kept in a binary heap that moves as libevent's does, because the order of equal ones
// comes from there; many in libtorque's wheel, which is quicker and has the order in which they were set.
// event::ev_timeout_pos.min_heap_idx is the place in the one or the id in the other, -1: in none.
#pragma once

#include <libtorque/deadlines.h>

#include "genuine.hh"

namespace torque_event {

class Timeouts {
 public:
  static constexpr unsigned kFew = 2048;

  static void init(event *e) { e->ev_timeout_pos.min_heap_idx = -1; }
  bool empty() const { return many_ ? torque_deadlines_count(wheel_) == 0 : n_ == 0; }

  // Room for one more, so that insert() cannot fail. False: there is no memory.
  bool reserve();
  void insert(event *e);
  void remove(event *e);

  // The first that is due by now; it stays, and is removed at once by its owner. Null: none.
  event *due(const timeval &now);
  // When the first is due, or earlier. UINT64_MAX: there is none.
  uint64_t next() const;
  // Whether no other is due before e, which has just been inserted.
  bool is_first(const event *e) const;

  // Answers what fn did not answer with 0.
  int each(int (*fn)(event *e, void *arg), void *arg);
  bool is_sound() const;
  void release();

  static uint64_t ns(const timeval &tv) {
    if (tv.tv_sec < 0) return 0;
    const auto s = static_cast<uint64_t>(tv.tv_sec);
    if (s > UINT64_MAX / 2000000000) return UINT64_MAX - 1;
    return s * 1000000000 + static_cast<uint64_t>(tv.tv_usec) * 1000;
  }

 private:
  static bool later(const event *a, const event *b) {
    return a->ev_timeout.tv_sec != b->ev_timeout.tv_sec ? a->ev_timeout.tv_sec > b->ev_timeout.tv_sec
                                                        : a->ev_timeout.tv_usec > b->ev_timeout.tv_usec;
  }
  void place(unsigned k, event *e) {
    heap_[k] = e;
    e->ev_timeout_pos.min_heap_idx = static_cast<int>(k);
  }
  void up(unsigned k, event *e);
  void down(unsigned k, event *e);
  void remove_from_heap(event *e);
  bool become_many();
  void insert_many(event *e);

  event **heap_;
  unsigned n_, room_;
  torque_deadlines *wheel_;
  bool many_;
};

}  // namespace torque_event
