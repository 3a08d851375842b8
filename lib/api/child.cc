// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/child.h"

#include "api/handle.hh"
#include "kinds/child.hh"

using namespace torque;

extern "C" {

torque_err torque_child_new(struct torque_ctx *ctx, int32_t pid, uint32_t flags, torque_child_fn *fn, void *arg,
                            torque_source *ret_source) {
  const Visit visit;
  if (pid <= 0 || (flags & ~uint32_t{TORQUE_CHILD_NOREAP | TORQUE_CHILD_FOREIGN}) || !fn || !ret_source) {
    return TORQUE_ERR_INVAL;
  }
  if (const torque_err err = check(ctx)) return err;
  Fd fd;
  if (const torque_err err = open_child(pid, flags & TORQUE_CHILD_FOREIGN, &fd)) return err;
  Slot *s;
  if (const torque_err err = create(ctx->core, Kind::child, TORQUE_PLACE_DEFAULT, &s)) return err;
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  s->fd.set(fd.release());
  s->traits.set(kOwnsFd);
  s->interest.store(TORQUE_READ, std::memory_order_relaxed);
  set_child(*s, {pid, flags});
  *ret_source = handle_of(*s);
  return TORQUE_ERR_NONE;
}

torque_err torque_child_add(struct torque_ctx *ctx, int32_t pid, uint32_t flags, torque_child_fn *fn, void *arg,
                            torque_source *ret_source) {
  const Visit visit;
  if (!ret_source) return TORQUE_ERR_INVAL;
  torque_source source;
  const torque_err err = torque_child_new(ctx, pid, flags, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

}  // extern "C"
