// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/post.h"

#include "api/handle.hh"
#include "stream/stream.hh"

using namespace torque;

namespace {

torque_err post_to(Domain &d, torque_post_fn *fn, void *arg) noexcept {
  if (const torque_err err = d.context.ensure_started()) return err;
  bool poke = false;
  const torque_err err = d.posted.put(fn, arg, &poke);
  if (poke) d.poke();
  return err;
}

}  // namespace

extern "C" {

torque_err torque_post(struct torque_ctx *ctx, torque_post_fn *fn, void *arg) {
  const Visit visit;
  if (!fn) return TORQUE_ERR_INVAL;
  const torque_err err = check(ctx);
  return err ? err : post_to(ctx->core.home(), fn, arg);
}

torque_err torque_post_domain(struct torque_ctx *ctx, uint32_t domain, torque_post_fn *fn, void *arg) {
  const Visit visit;
  if (!fn) return TORQUE_ERR_INVAL;
  torque_err err = check(ctx);
  if (!err && domain >= ctx->core.domain_count()) err = TORQUE_ERR_INVAL;
  return err ? err : post_to(ctx->core.domain(domain), fn, arg);
}

torque_err torque_post_source(torque_source source, torque_post_fn *fn, void *arg) {
  const Visit visit;
  Snapshot v;
  if (!fn) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (const torque_err err = v.domain->context.usable()) return err;
  if (!hold(source, &v)) return TORQUE_ERR_STALE;  // it keeps its strand
  Strand *strand = cold_of(*v.slot).strand.get();
  const torque_err err = strand ? torque_strand_post(static_cast<torque_strand *>(strand), fn, arg)
                                : post_to(*v.domain, fn, arg);
  let_go(*v.slot);
  return err;
}

torque_err torque_source_run(torque_source source, torque_run_fn *fn, void *arg) {
  const Visit visit;
  Snapshot v;
  if (!fn) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  const auto call = ops_of(v.kind).call;
  return (call ? call : call_source)(source, fn, arg);
}

torque_err torque_strand_new(struct torque_ctx *ctx, struct torque_strand **ret_strand) {
  const Visit visit;
  if (!ret_strand) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  torque_err err;
  Strand *s = Strand::make(ctx->core, &err);
  if (s) *ret_strand = static_cast<torque_strand *>(s);
  return err;
}

void torque_strand_free(struct torque_strand *strand) {
  const Visit visit;
  if (strand) strand->unref();
}

torque_err torque_strand_post(struct torque_strand *strand, torque_post_fn *fn, void *arg) {
  const Visit visit;
  if (!strand || !fn) return TORQUE_ERR_INVAL;
  Context *context = strand->context();
  if (!context) return TORQUE_ERR_STOPPED;
  if (const torque_err err = context->usable()) return err;
  if (const torque_err err = context->ensure_started()) return err;
  return strand->post(fn, arg);
}

}  // extern "C"
