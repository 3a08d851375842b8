// SPDX-License-Identifier: BSD-3-Clause
#include "api/job.hh"

#include "api/handle.hh"

namespace torque {

namespace {

torque_err submit(Context &context, Slot &s) noexcept {
  torque_ctx &ctx = *context.handle;
  Job &j = job_of(s);
  return j.fn || !ctx.files.in_use() ? ctx.helpers.submit(j) : ctx.files.of(*s.domain.get()).submit(j);
}

}  // namespace

torque_err start_job(Context &context, Slot &s, uint64_t handle) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;  // it may be over before this returns
  const bool armed = arm_word(s, generation_of(handle));
  const torque_err err = armed ? submit(context, s) : TORQUE_ERR_STATE;
  let_go(s);
  if (err && armed) disarm_word(s, generation_of(handle));
  return err;
}

torque_err cancel_job(uint64_t handle, bool of_files) noexcept {
  Snapshot v;
  if (!look(handle, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::job) return TORQUE_ERR_KIND;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;  // a look into it
  torque_ctx &ctx = *v.domain->context.handle;
  Job &j = job_of(*v.slot);
  torque_err err = TORQUE_ERR_KIND;
  if (of_files == (j.fn == nullptr)) {
    const bool in_ring = of_files && ctx.files.in_use();
    err = (in_ring ? ctx.files.of(*v.domain).cancel(j) : ctx.helpers.cancel(j)) ? TORQUE_ERR_NONE : TORQUE_ERR_STATE;
  }
  let_go(*v.slot);
  return err;
}

}  // namespace torque
