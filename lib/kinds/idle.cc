// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/idle.hh"

namespace torque {

namespace {
IdleSource &idle_of(Slot &s) noexcept { return *static_cast<IdleSource *>(cold_of(s).object); }
}  // namespace

torque_err make_idle(Context &context, torque_idle_fn *fn, void *arg, uint64_t *ret) noexcept {
  Slot *s;
  if (const torque_err err = create(context, Kind::idle, TORQUE_PLACE_DEFAULT, &s)) return err;
  const uint64_t handle = handle_of(*s);
  auto *i = context.alloc.make<IdleSource>();
  if (!i) {
    retire(handle, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  i->handle = handle;
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  cold_of(*s).object = i;
  *ret = handle;
  return TORQUE_ERR_NONE;
}

torque_err set_idle(uint64_t handle, bool active) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  Domain &d = *v.domain;
  d.idle.set(idle_of(*v.slot), active);
  // Ended meanwhile: it may have been taken off before.
  Snapshot now;
  if (!look(handle, &now)) d.idle.forget(idle_of(*v.slot));
  else if (active) d.poke();
  let_go(*v.slot);
  return TORQUE_ERR_NONE;
}

torque_err start_idle(Context &, Slot &s, uint64_t handle) noexcept {
  if (!arm_word(s, generation_of(handle))) return TORQUE_ERR_STATE;
  (void)set_idle(handle, true);
  return TORQUE_ERR_NONE;
}

void revive_idle(Slot &s) noexcept {
  if (cold_of(s).object) s.domain.get()->idle.revive(idle_of(s));
}

void end_idle(const Snapshot &v, uint64_t) noexcept {
  if (cold_of(*v.slot).object) v.domain->idle.forget(idle_of(*v.slot));
}

void free_idle(Context &context, Slot &s, uint32_t) noexcept { context.alloc.destroy(static_cast<IdleSource *>(cold_of(s).object)); }

bool run_idle(Turn &t, Slot &s, uint64_t handle, uint32_t) noexcept {
  const auto fn = reinterpret_cast<torque_idle_fn *>(s.fn);
  const bool more = fn(handle, s.arg.look()) == TORQUE_AGAIN || t.postpone;
  t.postpone = false;
  s.domain.get()->idle.put_back(idle_of(s), more);
  return false;
}

uint32_t run_idle_sources(Turn &t) noexcept {
  IdleList &list = t.domain.idle;
  uint32_t ran = 0;
  Share share(kIdleARound, 0, 0);
  bool more = true;
  for (uint32_t left = list.length(); left > 0 && more && !halted(t); more = --left == 0 || share.more()) {
    const uint64_t handle = list.take();
    if (!handle) break;
    if (deliver_if_armed(t, handle)) {
      ++ran;
      continue;
    }
    // Another thread is about to give it up; or it has ended.
    Snapshot v;
    if (!hold(handle, &v)) continue;
    list.put_back(idle_of(*v.slot), true);
    drop(*v.slot);
  }
  return ran;
}

}  // namespace torque
