// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/watch.h"

#include "api/handle.hh"

using namespace torque;

namespace {
constexpr uint32_t kEvents = TORQUE_READ | TORQUE_WRITE | TORQUE_PRIORITY | TORQUE_HANGUP;
constexpr uint32_t kFlags = TORQUE_WATCH_NEW | TORQUE_WATCH_EDGE | TORQUE_WATCH_NOW | TORQUE_WATCH_PEEK;
}  // namespace

extern "C" {

torque_err torque_watch_init(struct torque_ctx *ctx, torque_watch_fn *fn, void *arg) {
  const Visit visit;
  if (!fn) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  if (!ctx->core.options.driven || ctx->core.options.poll_deadline) return TORQUE_ERR_KIND;
  Watches::Owner &owner = ctx->watches.owner;
  if (owner.fn || ctx->runner.load(std::memory_order_relaxed) != 0) return TORQUE_ERR_STATE;
  owner.fn = fn;
  owner.arg = arg;
  return TORQUE_ERR_NONE;
}

torque_err torque_watch_set_hooks(struct torque_ctx *ctx, torque_wait_fn *before, torque_wait_fn *after, void *arg) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  Watches::Owner &owner = ctx->watches.owner;
  if (!owner.fn) return TORQUE_ERR_STATE;
  owner.before = before;
  owner.after = after;
  owner.hook_arg = arg;
  return TORQUE_ERR_NONE;
}

torque_err torque_watch_set_woken(struct torque_ctx *ctx, torque_wait_fn *woken, void *arg) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  Watches::Owner &owner = ctx->watches.owner;
  if (!owner.fn) return TORQUE_ERR_STATE;
  owner.woken = woken;
  owner.woken_arg = arg;
  return TORQUE_ERR_NONE;
}

torque_err torque_watch(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags) {
  // Not in usable(): a forked child may set its interest before it calls torque_reinit(), or after.
  if (!ctx || fd < 0 || fd >= Descriptors::kEnd || (events & ~kEvents) || (flags & ~kFlags)) return TORQUE_ERR_INVAL;
  const Visit visit;
  if (!lives(ctx)) [[unlikely]]
    return TORQUE_ERR_STOPPED;
  Watches &w = ctx->watches;
  if (!w.in_use()) return TORQUE_ERR_STATE;
  // (In a child the kernel's object is the parent's as well until the context is made to work there.)
  if (!(flags & TORQUE_WATCH_NOW) || ctx->core.foreign()) [[likely]]
    return w.set_interest(fd, events, flags);
  // Whoever may set an interest holds what the worker counts under, too.
  return w.set_interest_now(fd, events, flags, ctx->core.domain(0).queue(), ctx->team.worker(0).counters);
}

}  // extern "C"
