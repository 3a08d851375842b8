// SPDX-License-Identifier: BSD-3-Clause
#include "timeouts.hh"

#include "memory.hh"

namespace torque_event {

void Timeouts::up(unsigned k, event *e) {
  while (k) {
    const unsigned parent = (k - 1) / 2;
    if (!later(heap_[parent], e)) break;
    place(k, heap_[parent]);
    k = parent;
  }
  place(k, e);
}

void Timeouts::down(unsigned k, event *e) {
  for (unsigned child = 2 * (k + 1); child <= n_; child = 2 * (k + 1)) {
    if (child == n_ || later(heap_[child], heap_[child - 1])) --child;
    if (!later(e, heap_[child])) break;
    place(k, heap_[child]);
    k = child;
  }
  place(k, e);
}

bool Timeouts::reserve() {
  if (many_) return true;
  if (n_ >= kFew) return become_many();
  if (n_ < room_) return true;
  const unsigned room = room_ ? 2 * room_ : 8;
  void *p = mm_realloc(heap_, room * sizeof *heap_);
  if (!p) return false;
  heap_ = static_cast<event **>(p);
  room_ = room;
  return true;
}

void Timeouts::insert(event *e) {
  if (many_) insert_many(e);
  else up(n_++, e);
}

void Timeouts::insert_many(event *e) {
  uint32_t id;
  if (torque_deadlines_add(wheel_, ns(e->ev_timeout), e, &id)) die(1, "event_add: out of memory");
  e->ev_timeout_pos.min_heap_idx = static_cast<int>(id);
}

bool Timeouts::become_many() {
  if (!wheel_ && torque_deadlines_new(take_memory, give_memory, nullptr, &wheel_)) return false;
  many_ = true;
  for (unsigned i = 0; i < n_; ++i) insert_many(heap_[i]);
  n_ = 0;
  return true;
}

void Timeouts::remove(event *e) {
  if (e->ev_timeout_pos.min_heap_idx < 0) return;
  if (many_) {
    torque_deadlines_remove(wheel_, static_cast<uint32_t>(e->ev_timeout_pos.min_heap_idx));
    if (torque_deadlines_count(wheel_) == 0) many_ = false;
  } else {
    remove_from_heap(e);
  }
  e->ev_timeout_pos.min_heap_idx = -1;
}

void Timeouts::remove_from_heap(event *e) {
  event *last = heap_[--n_];
  const auto k = static_cast<unsigned>(e->ev_timeout_pos.min_heap_idx);
  if (k && later(heap_[(k - 1) / 2], last)) up(k, last);
  else down(k, last);
}

event *Timeouts::due(const timeval &now) {
  if (many_) {
    void *e;
    return torque_deadlines_pop(wheel_, ns(now), nullptr, &e, nullptr) ? static_cast<event *>(e) : nullptr;
  }
  if (!n_) return nullptr;
  const timeval &first = heap_[0]->ev_timeout;
  const bool due = first.tv_sec != now.tv_sec ? first.tv_sec < now.tv_sec : first.tv_usec <= now.tv_usec;
  return due ? heap_[0] : nullptr;
}

uint64_t Timeouts::next() const {
  if (many_) return torque_deadlines_next(wheel_);
  return n_ ? ns(heap_[0]->ev_timeout) : UINT64_MAX;
}

bool Timeouts::is_first(const event *e) const {
  return many_ ? ns(e->ev_timeout) <= torque_deadlines_next(wheel_) : e->ev_timeout_pos.min_heap_idx == 0;
}

int Timeouts::each(int (*fn)(event *e, void *arg), void *arg) {
  if (!many_) {
    for (unsigned i = 0; i < n_; ++i) {
      if (const int r = fn(heap_[i], arg)) return r;
    }
    return 0;
  }
  struct Call {
    int (*fn)(event *e, void *arg);
    void *arg;
    int answer;
  } call{fn, arg, 0};
  torque_deadlines_each(
      wheel_,
      [](uint32_t, void *e, uint64_t, void *p) {
        auto *c = static_cast<Call *>(p);
        if (!c->answer) c->answer = c->fn(static_cast<event *>(e), c->arg);
      },
      &call);
  return call.answer;
}

bool Timeouts::is_sound() const {
  for (unsigned i = 0; !many_ && i < n_; ++i) {
    const event *e = heap_[i];
    if (!(e->ev_evcallback.evcb_flags & EVLIST_TIMEOUT) || e->ev_timeout_pos.min_heap_idx != static_cast<int>(i)) return false;
    if (i && later(heap_[(i - 1) / 2], e)) return false;
  }
  return true;
}

void Timeouts::release() {
  if (heap_) mm_free(heap_);
  if (wheel_) torque_deadlines_free(wheel_);
  *this = {};
}

}  // namespace torque_event
