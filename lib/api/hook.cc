// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/hook.h"

#include "api/handle.hh"
#include "kinds/idle.hh"

using namespace torque;

extern "C" {

torque_err torque_config_set_thread_hooks(struct torque_config *config, torque_thread_fn *start, torque_thread_fn *end,
                                          void *arg) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.threads = {start, end, arg};
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_wait_hooks(struct torque_config *config, torque_hook_fn *before, torque_hook_fn *after,
                                        void *arg) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.waits = {before, after, arg};
  return TORQUE_ERR_NONE;
}

torque_err torque_idle_new(struct torque_ctx *ctx, torque_idle_fn *fn, void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!fn || !ret_source) return TORQUE_ERR_INVAL;
  const torque_err err = check(ctx);
  return err ? err : make_idle(ctx->core, fn, arg, ret_source);
}

torque_err torque_idle_add(struct torque_ctx *ctx, torque_idle_fn *fn, void *arg, torque_source *ret_source) {
  const Visit visit;
  torque_source source;
  if (!ret_source) return TORQUE_ERR_INVAL;
  const torque_err err = torque_idle_new(ctx, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

torque_err torque_idle_set(torque_source source, int32_t active) {
  const Visit visit;
  Snapshot v;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::idle) return TORQUE_ERR_KIND;
  if (word::state(v.word) == word::NEW) return TORQUE_ERR_STATE;
  if (const torque_err err = v.domain->context.usable()) return err;
  return set_idle(source, active != 0);
}

}  // extern "C"
