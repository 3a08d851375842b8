// SPDX-License-Identifier: BSD-3-Clause
// The wheel by itself, over records that it can find by number.
#include "libtorque/deadlines.h"

#include "timer/deadline_table.hh"
#include "timer/wheel.hh"

using namespace torque;
using timer::Record;

namespace {

struct FindRecord {
  const timer::DeadlineTable *table;
  Deadline *operator()(uint32_t id) const noexcept { return &table->at(id).deadline; }
  void prefetch(uint32_t id) const noexcept { __builtin_prefetch(&table->at(id), 1); }
  void prefetch_owner(uint32_t id) const noexcept { __builtin_prefetch(table->at(id).arg, 1); }
};

uint64_t moved(uint64_t at, int64_t by) noexcept {
  const uint64_t distance = by < 0 ? uint64_t{0} - static_cast<uint64_t>(by) : static_cast<uint64_t>(by);
  if (by < 0) return at > distance ? at - distance : 0;
  return at < kNever - 1 - distance ? at + distance : kNever - 1;
}

}  // namespace

struct torque_deadlines {
  explicit torque_deadlines(const Alloc &a) noexcept : alloc(a), table(alloc), wheel(alloc, FindRecord{&table}) {}

  const Alloc alloc;
  timer::DeadlineTable table;
  Wheel<FindRecord> wheel;
  uint64_t latest = 0;  // time of the last pop()

  // Every deadline that the wheel may have an entry for.
  template <class F>
  void each(F f) noexcept {
    for (uint32_t id = 1; id <= table.made(); ++id) f(id, table.at(id).deadline);
  }
  // The wheel only turns forwards. When the clock was set back it would go on in exact order, but with all that is set
  // from then on in one heap; so it starts over, where there is memory for that.
  [[gnu::noinline]] void turn_back(uint64_t now) noexcept {
    static_cast<void>(wheel.rebuild(now, [this](auto f) { each(f); }, [](uint64_t at) { return at; }));
  }
};

namespace {
constexpr uint64_t kBackwards = kSecond;  // less is not worth starting over
}

extern "C" {

torque_err torque_deadlines_new(torque_alloc_take_fn *take, torque_alloc_give_fn *give, void *alloc_arg,
                                struct torque_deadlines **ret_deadlines) {
  if (!ret_deadlines || !take != !give) return TORQUE_ERR_INVAL;
  const Alloc alloc{take, give, alloc_arg};
  auto *d = alloc.make<torque_deadlines>(alloc);
  if (!d) return TORQUE_ERR_RESOURCE;
  *ret_deadlines = d;
  return TORQUE_ERR_NONE;
}

void torque_deadlines_free(struct torque_deadlines *deadlines) {
  if (!deadlines) return;
  const Alloc alloc = deadlines->alloc;
  alloc.destroy(deadlines);
}

torque_err torque_deadlines_add(struct torque_deadlines *deadlines, uint64_t when, void *arg, uint32_t *ret_id) {
  if (!deadlines || !ret_id) return TORQUE_ERR_INVAL;
  uint32_t id;
  if (!deadlines->table.take(&id)) return TORQUE_ERR_RESOURCE;
  Record &r = deadlines->table.at(id);
  if (!deadlines->wheel.set(id, r.deadline, when)) {
    deadlines->table.give(id);
    return TORQUE_ERR_RESOURCE;
  }
  r.arg = arg;
  *ret_id = id;
  return TORQUE_ERR_NONE;
}

torque_err torque_deadlines_set(struct torque_deadlines *deadlines, uint32_t id, uint64_t when) {
  Record *r = deadlines ? deadlines->table.find(id) : nullptr;
  if (!r) return TORQUE_ERR_INVAL;
  if (!deadlines->wheel.set(id, r->deadline, when)) return TORQUE_ERR_RESOURCE;
  if (when == kNever) timer::DeadlineTable::mark_held(*r);
  return TORQUE_ERR_NONE;
}

torque_err torque_deadlines_remove(struct torque_deadlines *deadlines, uint32_t id) {
  Record *r = deadlines ? deadlines->table.find(id) : nullptr;
  if (!r) return TORQUE_ERR_INVAL;
  deadlines->wheel.cancel(r->deadline);  // its carrier waits for the next one who gets the number
  deadlines->table.give(id);
  return TORQUE_ERR_NONE;
}

uint64_t torque_deadlines_when(const struct torque_deadlines *deadlines, uint32_t id) {
  const Record *r = deadlines ? deadlines->table.find(id) : nullptr;
  return r ? r->deadline.at : kNever;
}

int32_t torque_deadlines_pop(struct torque_deadlines *deadlines, uint64_t now, uint32_t *ret_id, void **ret_arg,
                             uint64_t *ret_when) {
  if (!deadlines) return 0;
  if (now < deadlines->latest && deadlines->latest - now > kBackwards) [[unlikely]]
    deadlines->turn_back(now);
  deadlines->latest = now;
  uint32_t id;
  uint64_t when;
  if (!deadlines->wheel.pop(now, &id, &when)) return 0;
  Record &r = deadlines->table.at(id);
  timer::DeadlineTable::mark_held(r);
  if (ret_id) *ret_id = id;
  if (ret_arg) *ret_arg = r.arg;
  if (ret_when) *ret_when = when;
  return 1;
}

uint64_t torque_deadlines_next(struct torque_deadlines *deadlines) {
  return deadlines ? deadlines->wheel.next() : kNever;
}

uint32_t torque_deadlines_count(const struct torque_deadlines *deadlines) {
  return deadlines ? static_cast<uint32_t>(deadlines->wheel.armed()) : 0;
}

torque_err torque_deadlines_shift(struct torque_deadlines *deadlines, int64_t by_ns) {
  if (!deadlines) return TORQUE_ERR_INVAL;
  torque_deadlines &d = *deadlines;
  const uint64_t from = moved(d.latest, by_ns);
  const bool ok = d.wheel.rebuild(from, [&d](auto f) { d.each(f); }, [=](uint64_t at) { return moved(at, by_ns); });
  if (!ok) return TORQUE_ERR_RESOURCE;
  d.latest = from;
  return TORQUE_ERR_NONE;
}

void torque_deadlines_each(struct torque_deadlines *deadlines, torque_deadlines_fn *fn, void *fn_arg) {
  if (!deadlines || !fn) return;
  for (uint32_t id = 1; id <= deadlines->table.made(); ++id) {
    const Record &r = deadlines->table.at(id);
    if (r.deadline.is_set()) fn(id, r.arg, r.deadline.at, fn_arg);
  }
}

}  // extern "C"
