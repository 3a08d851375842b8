// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/path.h"

#include "api/handle.hh"
#include "kinds/path/path.hh"

using namespace torque;

namespace {

constexpr uint32_t kEvents = TORQUE_PATH_CREATED | TORQUE_PATH_DELETED | TORQUE_PATH_MODIFIED | TORQUE_PATH_WRITTEN |
                             TORQUE_PATH_ATTRIBUTES | TORQUE_PATH_RENAMED | TORQUE_PATH_MOVED_IN |
                             TORQUE_PATH_MOVED_OUT | TORQUE_PATH_ACCESSED | TORQUE_PATH_OPENED | TORQUE_PATH_CLOSED;
constexpr uint32_t kFlags =
    TORQUE_PATH_RECURSIVE | TORQUE_PATH_NOFOLLOW | TORQUE_PATH_ONLYDIR | TORQUE_PATH_EXCLUDE_UNLINKED;

}  // namespace

extern "C" {

torque_err torque_path_new(struct torque_ctx *ctx, const char *path, uint32_t mask, uint32_t flags, torque_path_fn *fn,
                           void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!ctx || !path || !*path || mask == 0 || (mask & ~kEvents) || (flags & ~kFlags) || !fn || !ret_source) {
    return TORQUE_ERR_INVAL;
  }
  if (const torque_err err = check(ctx)) return err;
  Slot *s;
  if (const torque_err err = create(ctx->core, Kind::path, TORQUE_PLACE_DEFAULT, &s)) return err;
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  if (const torque_err err = prepare_path(ctx->core, *s, path, mask, flags)) {
    retire(handle_of(*s), TORQUE_END_REMOVED);
    return err;
  }
  *ret_source = handle_of(*s);
  return TORQUE_ERR_NONE;
}

torque_err torque_path_add(struct torque_ctx *ctx, const char *path, uint32_t mask, uint32_t flags, torque_path_fn *fn,
                           void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!ret_source) return TORQUE_ERR_INVAL;
  torque_source source;
  const torque_err err = torque_path_new(ctx, path, mask, flags, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

}  // extern "C"
