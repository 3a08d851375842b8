// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/deadlines.h"

#include "timer/deadline_queue.hh"

using namespace torque;

struct torque_deadlines {
  explicit torque_deadlines(const Alloc &a) noexcept : alloc(a), queue(alloc) {}

  const Alloc alloc;
  timer::DeadlineQueue queue;
};

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
  const uint32_t id = deadlines->queue.add(when, arg);
  if (!id) return TORQUE_ERR_RESOURCE;
  *ret_id = id;
  return TORQUE_ERR_NONE;
}

torque_err torque_deadlines_set(struct torque_deadlines *deadlines, uint32_t id, uint64_t when) {
  timer::Record *r = deadlines ? deadlines->queue.find(id) : nullptr;
  if (!r) return TORQUE_ERR_INVAL;
  return deadlines->queue.set(id, *r, when) ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

torque_err torque_deadlines_remove(struct torque_deadlines *deadlines, uint32_t id) {
  timer::Record *r = deadlines ? deadlines->queue.find(id) : nullptr;
  if (!r) return TORQUE_ERR_INVAL;
  deadlines->queue.remove(id, *r);
  return TORQUE_ERR_NONE;
}

uint64_t torque_deadlines_when(const struct torque_deadlines *deadlines, uint32_t id) {
  const timer::Record *r = deadlines ? deadlines->queue.find(id) : nullptr;
  return r ? r->deadline.at : kNever;
}

int32_t torque_deadlines_pop(struct torque_deadlines *deadlines, uint64_t now, uint32_t *ret_id, void **ret_arg,
                             uint64_t *ret_when) {
  void *arg;
  uint64_t when;
  const uint32_t id = deadlines ? deadlines->queue.pop(now, &arg, &when) : 0;
  if (!id) return 0;
  if (ret_id) *ret_id = id;
  if (ret_arg) *ret_arg = arg;
  if (ret_when) *ret_when = when;
  return 1;
}

uint64_t torque_deadlines_next(struct torque_deadlines *deadlines) {
  return deadlines ? deadlines->queue.next() : kNever;
}

uint32_t torque_deadlines_count(const struct torque_deadlines *deadlines) {
  return deadlines ? static_cast<uint32_t>(deadlines->queue.count()) : 0;
}

torque_err torque_deadlines_shift(struct torque_deadlines *deadlines, int64_t by_ns) {
  if (!deadlines) return TORQUE_ERR_INVAL;
  return deadlines->queue.shift(by_ns) ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

void torque_deadlines_each(struct torque_deadlines *deadlines, torque_deadlines_fn *fn, void *fn_arg) {
  if (!deadlines || !fn) return;
  deadlines->queue.each([=](uint32_t id, timer::Record &r) { fn(id, r.arg, r.deadline.at, fn_arg); });
}

}  // extern "C"
