// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/network.h"

#include "api/handle.hh"
#include "kinds/network/network.hh"

using namespace torque;

namespace {
constexpr uint32_t kKinds =
    TORQUE_NETWORK_LINKS | TORQUE_NETWORK_ADDRESSES | TORQUE_NETWORK_ROUTES | TORQUE_NETWORK_NEIGHBOURS;
}

extern "C" {

torque_err torque_network_new(struct torque_ctx *ctx, uint32_t kinds, uint32_t flags, torque_network_fn *fn, void *arg,
                              torque_source *ret_source) {
  const Visit visit;
  if (!ctx || kinds == 0 || (kinds & ~kKinds) || (flags & ~uint32_t{TORQUE_NETWORK_DUMP}) || !fn || !ret_source) {
    return TORQUE_ERR_INVAL;
  }
  if (const torque_err err = check(ctx)) return err;
  Slot *s;
  if (const torque_err err = create(ctx->core, Kind::network, TORQUE_PLACE_DEFAULT, &s)) return err;
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  if (const torque_err err = prepare_network(ctx->core, *s, kinds, flags)) {
    retire(handle_of(*s), TORQUE_END_REMOVED);
    return err;
  }
  *ret_source = handle_of(*s);
  return TORQUE_ERR_NONE;
}

torque_err torque_network_add(struct torque_ctx *ctx, uint32_t kinds, uint32_t flags, torque_network_fn *fn, void *arg,
                              torque_source *ret_source) {
  const Visit visit;
  if (!ret_source) return TORQUE_ERR_INVAL;
  torque_source source;
  const torque_err err = torque_network_new(ctx, kinds, flags, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

}  // extern "C"
