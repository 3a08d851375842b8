// SPDX-License-Identifier: BSD-3-Clause
#include "toy_kind/toy.hh"

#include "toy_kind/kinds.hh"

using namespace torque;

namespace toy {

int bells, dismantled;

namespace {

struct Bell {
  std::atomic<uint32_t> strikes{0};
};

Bell &bell_of(Slot &s) { return *static_cast<Bell *>(cold_of(s).object); }

}  // namespace

torque_err make_bell(Context &context, Fn fn, void *arg, uint64_t *ret) noexcept {
  Slot *s;
  if (const torque_err err = create(context, kBell, TORQUE_PLACE_DEFAULT, &s)) return err;
  const uint64_t handle = handle_of(*s);
  auto *bell = context.alloc.make<Bell>();
  if (!bell) {
    retire(handle, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  ++bells;
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  cold_of(*s).object = bell;
  *ret = handle;
  return TORQUE_ERR_NONE;
}

torque_err start_bell(Context &, Slot &s, uint64_t handle) noexcept {
  return arm_word(s, generation_of(handle)) ? TORQUE_ERR_NONE : TORQUE_ERR_STATE;
}

torque_err strike(uint64_t handle) noexcept {
  const Visit visit;
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  torque_err err = TORQUE_ERR_KIND;
  if (v.kind == kBell) {
    bell_of(*v.slot).strikes.fetch_add(1, std::memory_order_relaxed);
    err = activate(handle, TORQUE_TRIGGER);
  }
  let_go(*v.slot);
  return err;
}

bool run_bell(Turn &, Slot &s, uint64_t handle, uint32_t) noexcept {
  const uint32_t strikes = bell_of(s).strikes.exchange(0, std::memory_order_relaxed);
  if (strikes) reinterpret_cast<Fn>(s.fn)(handle, strikes, s.arg.look());
  return false;
}

void dismantle_bell(const Snapshot &, uint64_t) noexcept { ++dismantled; }

void free_bell(Context &context, Slot &s, uint32_t) noexcept {
  if (!cold_of(s).object) return;
  context.alloc.destroy(&bell_of(s));
  --bells;
}

}  // namespace toy
