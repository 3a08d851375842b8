// SPDX-License-Identifier: BSD-3-Clause
// The graceful end of a context: it accepts no more, its streams end, those that do not in time are aborted, then it stops.
//
// Two sources of the context's own do the work: a timer rings at the limit, and an event is activated by the last stream
// that ends (Context::stream_is_over()). So all that the program is told comes on a worker.
#include "api/handle.hh"
#include "kinds/listener.hh"
#include "libtorque/attr.h"
#include "stream/stream.hh"

using namespace torque;

namespace {

void abort_streams(Context &core) noexcept {
  core.each_source([](uint64_t handle) {
    Snapshot v;
    if (look(handle, &v) && v.kind == Kind::stream) abort_stream(handle);
  });
}

// Each in its own turn, where its program is told if it wants to be.
void tell_streams(Context &core) noexcept {
  core.each_source([](uint64_t handle) {
    Snapshot v;
    if (!look(handle, &v) || v.kind != Kind::stream || !hold(handle, &v)) return;
    (void)activate(handle, TORQUE_TRIGGER);
    let_go(*v.slot);
  });
}

// One that is about to start finds out by itself.
void end_listeners(Context &core) noexcept {
  core.each_source([](uint64_t handle) {
    Snapshot v;
    if (!look(handle, &v) || v.kind != Kind::listener || !hold(handle, &v)) return;
    if (word::state(v.word) != word::NEW) {
      pause_listener(listener_of(*v.slot));
      retire_for_others(handle, TORQUE_END_STOPPED);
    }
    let_go(*v.slot);
  });
}

// The program is told once.
void tell_drained(torque_ctx &ctx, bool stopped) noexcept {
  Draining &d = ctx.draining;
  torque_drained_fn *fn;
  void *arg;
  {
    HandingLock lock(d.lock);
    fn = std::exchange(d.fn, nullptr);
    arg = d.arg;
  }
  const uint64_t aborted = ctx.core.drain_aborted.load(std::memory_order_relaxed);
  if (fn) fn(&ctx, stopped ? TORQUE_ERR_STOPPED : aborted ? TORQUE_ERR_SYSCALL + ETIMEDOUT : TORQUE_ERR_NONE, aborted, arg);
}

extern "C" {

static void on_limit(torque_source, uint64_t, void *arg) {
  auto &ctx = *static_cast<torque_ctx *>(arg);
  ctx.core.drain.store(Context::Drain::aborts, std::memory_order_seq_cst);
  abort_streams(ctx.core);
  ctx.core.look_whether_drained();
}

static int32_t on_drained(torque_source, int32_t, uint32_t, void *arg) {
  auto &ctx = *static_cast<torque_ctx *>(arg);
  if (ctx.core.any_stream()) return TORQUE_DONE;  // it began in the meantime, and calls this again when it is over
  tell_drained(ctx, false);
  (void)torque_stop_async(&ctx);
  return TORQUE_DONE;
}

// The context stops. (One that came second is none.)
static void on_end(torque_source source, int32_t, void *arg) {
  auto &ctx = *static_cast<torque_ctx *>(arg);
  if (source == ctx.core.drain_source.load(std::memory_order_acquire)) tell_drained(ctx, true);
}

}  // extern "C"

torque_err make_sources(torque_ctx *ctx, uint64_t *ret_timer, uint64_t *ret_source) noexcept {
  uint64_t timer, source;
  torque_err err = torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, on_limit, ctx, &timer);
  if (err) return err;
  torque_attr attr;
  attr.final = on_end;
  err = torque_event_add_with(ctx, &attr, 0, on_drained, ctx, &source);
  if (err) {
    retire(timer, TORQUE_END_REMOVED);
    return err;
  }
  *ret_timer = timer;
  *ret_source = source;
  return TORQUE_ERR_NONE;
}

// An earlier limit than the one before.
torque_err set_limit(Draining &d, uint64_t until) noexcept REQUIRES(d.lock) {
  if (until >= d.until) return TORQUE_ERR_NONE;
  const torque_err err = torque_timer_set(d.timer, until, 0, TORQUE_TIMER_ABSOLUTE);
  if (!err) d.until = until;
  return err;
}

// True: it has begun before, and this may have made its limit an earlier one.
bool goes_on(Draining &d, uint64_t until, torque_err *ret_err) noexcept {
  HandingLock lock(d.lock);
  if (!d.source) return false;
  *ret_err = set_limit(d, until);
  return true;
}

// With those two sources. False: another thread was first, or *ret_err.
bool begin_with(torque_ctx &ctx, uint64_t timer, uint64_t source, uint64_t until, torque_drained_fn *fn, void *arg,
                torque_err *ret_err) noexcept {
  Draining &d = ctx.draining;
  HandingLock lock(d.lock);
  const bool first = !d.source;
  if (first) d.timer = timer;
  *ret_err = set_limit(d, until);
  if (!first || *ret_err) return false;
  d.source = source;
  d.fn = fn;
  d.arg = arg;
  ctx.core.drain_source.store(source, std::memory_order_release);
  Context::Drain none = Context::Drain::none;  // the limit may be over already
  ctx.core.drain.compare_exchange_strong(none, Context::Drain::lets_end, std::memory_order_seq_cst);
  return true;
}

}  // namespace

namespace torque {

// What a thread of the parent may have been at is done once more.
void resume_drain(torque_ctx &ctx) noexcept NO_THREAD_SAFETY_ANALYSIS {
  (void)ctx.draining.lock.reset();
  const auto stage = ctx.core.drain.load(std::memory_order_relaxed);
  if (stage == Context::Drain::none) {
    ctx.draining.source = 0;  // it had not begun
    return;
  }
  end_listeners(ctx.core);
  tell_streams(ctx.core);
  if (stage == Context::Drain::aborts) abort_streams(ctx.core);
  ctx.core.look_whether_drained();
}

}  // namespace torque

extern "C" {

torque_err torque_ctx_drain(struct torque_ctx *ctx, uint64_t limit_ns, torque_drained_fn *fn, void *arg) {
  const Visit visit;
  if (const torque_err err = check(ctx)) return err;
  if (const torque_err err = ctx->core.ensure_started()) return err;
  const uint64_t until = limit_ns == kNever ? kNever : add_ns(monotonic_ns(), limit_ns);
  torque_err err;
  if (goes_on(ctx->draining, until, &err)) return err;
  uint64_t timer, source;
  err = make_sources(ctx, &timer, &source);
  if (err) return err;
  if (!begin_with(*ctx, timer, source, until, fn, arg, &err)) {
    retire(timer, TORQUE_END_REMOVED);
    retire(source, TORQUE_END_REMOVED);
    return err;
  }
  end_listeners(ctx->core);
  tell_streams(ctx->core);
  ctx->core.look_whether_drained();
  return TORQUE_ERR_NONE;
}

int32_t torque_ctx_draining(const struct torque_ctx *ctx) {
  const Visit visit;
  return !check_lives(ctx) && ctx->core.drain.load(std::memory_order_acquire) != Context::Drain::none;
}

}  // extern "C"
