// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/condition.h"

#include "api/handle.hh"
#include "kinds/condition.hh"

using namespace torque;

namespace {

// Runs f on a condition that cannot go meanwhile.
template <class F>
torque_err with(torque_source condition, F f) noexcept {
  Snapshot v;
  if (!look(condition, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::condition) return TORQUE_ERR_KIND;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  if (!hold(condition, &v)) return TORQUE_ERR_STALE;
  const torque_err err = f(v);
  let_go(*v.slot);
  return err;
}

}  // namespace

extern "C" {

torque_err torque_condition_new(struct torque_ctx *ctx, uint32_t flags, torque_source *ret_condition) {
  const Visit visit;
  if (!ret_condition || (flags & ~uint32_t{TORQUE_CONDITION_COUNTING})) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  return make_condition(ctx->core, flags & TORQUE_CONDITION_COUNTING, ret_condition);
}

torque_err torque_condition_signal(torque_source condition) {
  const Visit visit;
  return with(condition, [](const Snapshot &v) {
    point_of(*v.slot).signal();
    return torque_err{TORQUE_ERR_NONE};
  });
}

torque_err torque_condition_broadcast(torque_source condition) {
  const Visit visit;
  return with(condition, [](const Snapshot &v) {
    point_of(*v.slot).broadcast();
    return torque_err{TORQUE_ERR_NONE};
  });
}

torque_err torque_condition_wait(torque_source condition, pthread_mutex_t *mutex, uint64_t timeout_ns) {
  const Visit visit;
  return wait_for_condition(condition, mutex, timeout_ns);
}

torque_err torque_condition_add_new(torque_source condition, torque_condition_fn *fn, void *arg,
                                    torque_source *ret_source) {
  const Visit visit;
  if (!fn || !ret_source) return TORQUE_ERR_INVAL;
  return with(condition, [&](const Snapshot &v) { return make_waiter(v, fn, arg, ret_source); });
}

torque_err torque_condition_add(torque_source condition, torque_condition_fn *fn, void *arg,
                                torque_source *ret_source) {
  const Visit visit;
  torque_source source;
  if (!ret_source) return TORQUE_ERR_INVAL;
  const torque_err err = torque_condition_add_new(condition, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

}  // extern "C"
