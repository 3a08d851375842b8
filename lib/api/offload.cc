// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/offload.h"

#include "api/handle.hh"
#include "api/job.hh"

using namespace torque;

namespace {

void do_work(Job &j) noexcept { j.result = j.fn(find_slot(index_of(j.handle))->arg.look()); }

torque_err make(Context &context, int32_t place, torque_offload_fn *work, torque_offload_done_fn *done, void *arg,
                torque_source *ret) noexcept {
  Job *j;
  if (const torque_err err = make_job(context, place, done, arg, &j)) return err;
  j->fn = work;
  j->work = do_work;
  *ret = j->handle;
  return TORQUE_ERR_NONE;
}

}  // namespace

extern "C" {

torque_err torque_offload_new(struct torque_ctx *ctx, torque_offload_fn *work, torque_offload_done_fn *done, void *arg,
                              torque_source *ret_job) {
  const Visit visit;
  if (!work || !done || !ret_job) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  return make(ctx->core, static_cast<int32_t>(ctx->core.home().index), work, done, arg, ret_job);
}

torque_err torque_offload(struct torque_ctx *ctx, torque_offload_fn *work, torque_offload_done_fn *done, void *arg,
                          torque_source *ret_job) {
  const Visit visit;
  torque_source job, unwanted = 0;
  const torque_err err = torque_offload_new(ctx, work, done, arg, &job);
  return err ? err : start_or_undo(job, ret_job ? ret_job : &unwanted);
}

torque_err torque_offload_source(torque_source source, torque_offload_fn *work, torque_offload_done_fn *done, void *arg,
                                 torque_source *ret_job) {
  const Visit visit;
  if (!work || !done) return TORQUE_ERR_INVAL;
  Snapshot v;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (const torque_err err = v.domain->context.usable()) return err;
  if (!hold(source, &v)) return TORQUE_ERR_STALE;  // it keeps its strand
  torque_source job, unwanted = 0;
  torque_err err = make(v.domain->context, static_cast<int32_t>(v.domain->index), work, done, arg, &job);
  if (!err) err = torque_source_set_strand(job, static_cast<torque_strand *>(cold_of(*v.slot).strand.get()));
  let_go(*v.slot);
  return err ? err : start_or_undo(job, ret_job ? ret_job : &unwanted);
}

torque_err torque_offload_cancel(torque_source job) {
  const Visit visit;
  return cancel_job(job, false);
}

}  // extern "C"
