// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/job.hh"

namespace torque {

torque_err make_job(Context &context, int32_t place, torque_offload_done_fn *done, void *arg, Job **ret) noexcept {
  Slot *s;
  if (const torque_err err = create(context, Kind::job, place, &s)) return err;
  Job *j = context.alloc.make<Job>();
  const uint64_t handle = handle_of(*s);
  if (!j) {
    retire(handle, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  j->handle = handle;
  j->done = done;
  s->fn = reinterpret_cast<Callback>(done);
  s->arg.set(arg);
  cold_of(*s).object = j;
  *ret = j;
  return TORQUE_ERR_NONE;
}

void complete(Job &j, torque_err err, int64_t result) noexcept {
  j.err = err;
  j.result = result;
  j.where = Job::Where::done;
  (void)activate(j.handle, TORQUE_TRIGGER);
}

bool run_job(Turn &t, Slot &s, uint64_t handle, uint32_t) noexcept {
  Job &j = job_of(s);
  t.counters.add(Counter::jobs);
  j.told = true;
  j.done(handle, j.err, j.result, s.arg.look());
  if (t.postpone) j.told = false;
  else retire(handle, TORQUE_END_REMOVED);
  return false;
}

void free_job(Context &context, Slot &s) noexcept {
  auto *j = static_cast<Job *>(cold_of(s).object);
  if (!j) return;
  // Done, but not told when the context stopped; or never begun.
  if (j->where != Job::Where::nowhere && !j->told) {
    const bool over = j->where == Job::Where::done;
    j->done(j->handle, over ? j->err : kCancelled, over ? j->result : 0, s.arg.look());
  }
  if (j->where != Job::Where::nowhere) s.domain.get()->jobs.fetch_sub(1, std::memory_order_relaxed);
  cold_of(s).object = nullptr;
  context.alloc.destroy(j);
}

void leave_job(Slot &s, uint64_t handle) noexcept {
  if (job_of(s).told) retire_for_others(handle, TORQUE_END_REMOVED);
  else (void)activate(handle, TORQUE_TRIGGER);
}

void cancel_jobs_of_parent(Context &context) noexcept {
  each_job(context, [](Job &j) {
    if (j.where == Job::Where::queued || j.where == Job::Where::running) complete(j, kCancelled, 0);
  });
}

void free_jobs_of_parent(Context &context) noexcept {
  each_job(context, [&](Job &j) {
    cold_of(*find_slot(index_of(j.handle))).object = nullptr;
    context.alloc.destroy(&j);
  });
}

}  // namespace torque
