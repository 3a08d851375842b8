// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/signal.h"

#include "api/handle.hh"
#include "kinds/signal.hh"

using namespace torque;

extern "C" {

torque_err torque_signal_new(struct torque_ctx *ctx, const int32_t *signos, uint32_t count, torque_signal_fn *fn,
                             void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!ctx || !signos || count == 0 || !fn || !ret_source) return TORQUE_ERR_INVAL;
  for (uint32_t i = 0; i < count; ++i) {
    if (!may_watch(signos[i])) return TORQUE_ERR_INVAL;
  }
  if (const torque_err err = check(ctx)) return err;
  Slot *s;
  if (const torque_err err = create(ctx->core, Kind::signal, TORQUE_PLACE_DEFAULT, &s)) return err;
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  if (const torque_err err = prepare_signal(ctx->core, *s, signos, count)) {
    retire(handle_of(*s), TORQUE_END_REMOVED);
    return err;
  }
  *ret_source = handle_of(*s);
  return TORQUE_ERR_NONE;
}

torque_err torque_signal_add(struct torque_ctx *ctx, const int32_t *signos, uint32_t count, torque_signal_fn *fn,
                             void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!ret_source) return TORQUE_ERR_INVAL;
  torque_source source;
  if (const torque_err err = torque_signal_new(ctx, signos, count, fn, arg, &source)) return err;
  return start_or_undo(source, ret_source);
}

void torque_spawn_mask(sigset_t *ret_mask) {
  if (ret_mask) get_spawn_mask(ret_mask);
}

}  // extern "C"
