// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/timer.h"

#include "api/handle.hh"
#include "kinds/timer.hh"

using namespace torque;

namespace {

constexpr uint32_t kFlags = TORQUE_TIMER_ABSOLUTE | TORQUE_TIMER_REMOVE;

torque_err make_timer(torque_ctx *ctx, int32_t clock, torque_timer_fn *fn, void *arg, torque_source *ret) noexcept {
  const bool wall = clock == TORQUE_CLOCK_WALL;
  if (!fn || !ret || (!wall && clock != TORQUE_CLOCK_MONOTONIC)) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  Slot *s;
  if (const torque_err err = create(ctx->core, Kind::timer, TORQUE_PLACE_DEFAULT, &s)) return err;
  Domain &d = *s->domain.get();
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  s->traits.set(wall ? kWall : uint16_t{0});
  d.timers.adopt(*s, true);
  const torque_err err = wall ? d.timers.need_wall(d.queue()) : TORQUE_ERR_NONE;
  if (err) retire(handle_of(*s), TORQUE_END_REMOVED);
  else *ret = handle_of(*s);
  return err;
}

}  // namespace

extern "C" {

torque_err torque_timer_new(struct torque_ctx *ctx, int32_t clock, torque_timer_fn *fn, void *arg,
                            torque_source *ret_source) {
  const Visit visit;
  return make_timer(ctx, clock, fn, arg, ret_source);
}

torque_err torque_timer_set(torque_source source, uint64_t when_ns, uint64_t period_ns, uint32_t flags) {
  const Visit visit;
  if (flags & ~kFlags) return TORQUE_ERR_INVAL;
  return set_timer(source, when_ns, period_ns, flags);
}

torque_err torque_timer_set_slack(torque_source source, uint64_t slack_ns) {
  const Visit visit;
  Snapshot v;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::timer) return TORQUE_ERR_KIND;
  return timers_of(*v.slot).set_slack(*v.slot, generation_of(source), slack_ns) ? TORQUE_ERR_NONE : TORQUE_ERR_STALE;
}

torque_err torque_timer_cancel(torque_source source) {
  const Visit visit;
  return cancel_timer(source);
}

torque_err torque_timer_remaining(torque_source source, uint64_t *ret_ns) {
  const Visit visit;
  Snapshot v;
  if (!ret_ns) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::timer) return TORQUE_ERR_KIND;
  uint64_t due;
  if (!timers_of(*v.slot).due_at(*v.slot, generation_of(source), &due)) return TORQUE_ERR_STALE;
  const uint64_t now = v.traits & kWall ? realtime_ns() : monotonic_ns();
  *ret_ns = due == kNever ? kNever : due > now ? due - now : 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_timer_add(struct torque_ctx *ctx, uint64_t after_ns, uint64_t period_ns, uint32_t flags,
                            torque_timer_fn *fn, void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!ret_source || (flags & ~kFlags)) return TORQUE_ERR_INVAL;
  torque_source source;
  if (const torque_err err = make_timer(ctx, TORQUE_CLOCK_MONOTONIC, fn, arg, &source)) return err;
  return run_or_undo(source, ret_source, [=] { return set_timer(source, after_ns, period_ns, flags); });
}

}  // extern "C"
