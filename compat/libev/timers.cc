// SPDX-License-Identifier: BSD-3-Clause
#include "timers.hh"

#include "error.hh"

namespace torque_ev {

namespace {

void *take(size_t size, size_t, void *) { return resize(nullptr, size); }
void give(void *p, size_t, void *) { resize(p, 0); }

}  // namespace

uint64_t Timers::ns(ev_tstamp at) {
  const ev_tstamp t = at * 1e9;
  if (!(t > -4e18)) return 0;
  return t < 9e18 ? kZero + static_cast<uint64_t>(static_cast<int64_t>(t)) : UINT64_MAX - 1;
}

void Timers::insert_many(ev_timer *w) {
  if (!many_) become_many();
  uint32_t id;
  if (torque_deadlines_add(wheel_, ns(w->at), w, &id)) no_memory();
  w->active = static_cast<int>(id);
}

void Timers::remove_many(ev_timer *w) {
  torque_deadlines_remove(wheel_, static_cast<uint32_t>(w->active));
  if (torque_deadlines_count(wheel_) == 0) many_ = false;
}

void Timers::set(ev_timer *w) {
  if (torque_deadlines_set(wheel_, static_cast<uint32_t>(w->active), ns(w->at))) no_memory();
}

void Timers::become_many() {
  if (!wheel_) {
    const bool own = has_allocator();
    if (torque_deadlines_new(own ? take : nullptr, own ? give : nullptr, nullptr, &wheel_)) no_memory();
  }
  many_ = true;
  for (Heap::Entry &e : heap_) insert_many(timer(e.w));
  heap_.clear();
}

ev_timer *Timers::due_of_many(ev_tstamp now) {
  const uint64_t before = ns(now);
  if (before == 0) return nullptr;
  void *w;
  uint64_t when;
  while (torque_deadlines_pop(wheel_, before - 1, nullptr, &w, &when)) {
    auto *t = static_cast<ev_timer *>(w);
    if (when >= ns(t->at)) return t;
    set(t);  // it was put off meanwhile
  }
  return nullptr;
}

void Timers::shift(ev_tstamp by) {
  if (!many_) {
    for (Heap::Entry &e : heap_) e.w->at += by;
    heap_.refresh();
    return;
  }
  struct Shift {
    Array<ev_timer *> all;
  } s{};
  const auto collect = [](uint32_t, void *w, uint64_t, void *arg) {
    static_cast<Shift *>(arg)->all.push(static_cast<ev_timer *>(w));
  };
  torque_deadlines_each(wheel_, collect, &s);
  for (ev_timer *w : s.all) w->at += by;
  if (torque_deadlines_shift(wheel_, static_cast<int64_t>(by * 1e9))) no_memory();
  s.all.release();
}

void Timers::release() {
  heap_.release();
  if (wheel_) torque_deadlines_free(wheel_);
  wheel_ = nullptr;
  first_ = nullptr;
  many_ = false;
}

}  // namespace torque_ev
