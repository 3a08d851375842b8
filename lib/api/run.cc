// SPDX-License-Identifier: BSD-3-Clause
// Driven contexts: the caller's thread is the worker.
#include <sys/syscall.h>
#include <unistd.h>

#include "api/handle.hh"
#include "kinds/signal.hh"
#include "worker/watch_round.hh"

using namespace torque;

[[gnu::tls_model("initial-exec")]] constinit thread_local pid_t torque::thread_id = 0;

namespace {

[[gnu::noinline]] void be_watched(torque_ctx &ctx) noexcept {
  if (ctx.run_depth != 0) return;
  ctx.team.worker(0).beat.thread.store(this_thread(), std::memory_order_relaxed);
  ctx.watchdog.start();
}

// From here until leave() this thread is the one who runs the context, possibly nested.
inline torque_err enter(torque_ctx *ctx) noexcept {
  const Visit visit;  // once it is the runner's nobody else ends it
  if (const torque_err err = check_lives(ctx)) return err;
  if (!ctx->core.options.driven) return TORQUE_ERR_KIND;
  if (const torque_err err = ctx->core.usable()) return err;
  const pid_t me = this_thread();
  pid_t runner = ctx->runner.load(std::memory_order_relaxed);
  if (runner != me && (runner != 0 || !ctx->runner.compare_exchange_strong(runner, me, std::memory_order_acquire))) {
    return TORQUE_ERR_BUSY;
  }
  tsan::takes(&ctx->runner);
  if (ctx->core.options.watchdog_ns) [[unlikely]]
    be_watched(*ctx);
  if (ctx->run_depth++ == 0 && !ctx->watches.in_use()) ctx->core.domain(0).woke_up();
  return TORQUE_ERR_NONE;
}

// What is left to do makes the descriptor readable: work that waits for its turn, and timers that the kernel cannot tell of.
[[gnu::noinline]] void show_what_is_left(Domain &d) noexcept {
  if (d.has_work() || d.idle.length() != 0 || d.timers.wake_at() != kNever) d.poke();
}

inline void leave(torque_ctx *ctx) noexcept {
  if (--ctx->run_depth != 0) return;
  // From here on what comes must make the descriptor readable. (With watches it does so all the time.)
  if (!ctx->watches.in_use()) ctx->core.domain(0).fall_asleep();
  if (ctx->core.options.poll_deadline) [[unlikely]]
    show_what_is_left(ctx->core.domain(0));
  tsan::takes(&ctx->wake_asked);
  tsan::gives(&ctx->runner);
  ctx->runner.store(0, std::memory_order_release);
}

bool stopping(const torque_ctx &ctx) noexcept { return ctx.core.stopping.load(std::memory_order_acquire); }

// Rounds until something ran, somebody woke us, or the time is over.
[[gnu::noinline]] uint64_t serve_sources(torque_ctx &ctx, uint64_t timeout_ns) noexcept {
  Worker &w = ctx.team.worker(0);
  Turn t = w.turn();
  t.breaks = &ctx.breaks;
  Turn *outer = set_current_turn(&t);
  const uint64_t end = timeout_ns == 0 || timeout_ns == kNever ? timeout_ns : add_ns(monotonic_ns(), timeout_ns);
  uint64_t ran = 0;
  for (uint64_t left = timeout_ns;;) {
    if (ctx.wake_asked.load(std::memory_order_relaxed) && ctx.wake_asked.exchange(false, std::memory_order_acquire)) {
      ran += w.round(t, 0);
      break;
    }
    if (ctx.breaks.load(std::memory_order_acquire) || stopping(ctx)) break;
    ran += w.round(t, left);
    if (ran || left == 0) break;
    if (end == kNever) continue;
    const uint64_t now = monotonic_ns();
    if (now >= end) break;
    left = end - now;
  }
  set_current_turn(outer);
  return ran;
}

// One pass. A wake-up or a break that has come shortens it to a look.
[[gnu::always_inline]] inline uint64_t serve_watches(torque_ctx &ctx, uint64_t timeout_ns) noexcept {
  if (ctx.wake_asked.load(std::memory_order_relaxed) || ctx.breaks.load(std::memory_order_relaxed)) timeout_ns = 0;
  const uint64_t told = ctx.team.worker(0).watch_round(&ctx.breaks, timeout_ns);
  // What made it return is in the past; what is asked for from here on wakes the queue anew.
  if (ctx.wake_asked.load(std::memory_order_relaxed)) ctx.wake_asked.store(false, std::memory_order_relaxed);
  return told;
}

[[gnu::always_inline]] inline uint64_t serve(torque_ctx &ctx, uint64_t timeout_ns) noexcept {
  return ctx.watches.in_use() ? serve_watches(ctx, timeout_ns) : serve_sources(ctx, timeout_ns);
}

bool take_break(torque_ctx &ctx) noexcept {
  uint64_t n = ctx.breaks.load(std::memory_order_relaxed);
  while (n != 0) {
    if (ctx.breaks.compare_exchange_weak(n, n - 1, std::memory_order_acquire)) return true;
  }
  return false;
}

}  // namespace

pid_t torque::ask_thread_id() noexcept { return thread_id = static_cast<pid_t>(::syscall(SYS_gettid)); }

extern "C" {

torque_err torque_run(struct torque_ctx *ctx) {
  if (const torque_err err = enter(ctx)) return err;
  while (!stopping(*ctx)) {
    if (take_break(*ctx)) break;
    serve(*ctx, kNever);
  }
  leave(ctx);
  return TORQUE_ERR_NONE;
}

torque_err torque_run_once(struct torque_ctx *ctx, uint64_t timeout_ns, uint64_t *ret_count) {
  if (const torque_err err = enter(ctx)) return err;
  const uint64_t ran = serve(*ctx, timeout_ns);
  take_break(*ctx);
  leave(ctx);
  if (ret_count) *ret_count = ran;
  return TORQUE_ERR_NONE;
}

torque_err torque_run_ready(struct torque_ctx *ctx, uint64_t *ret_count) { return torque_run_once(ctx, 0, ret_count); }

torque_err torque_break(struct torque_ctx *ctx) {
  const Visit visit;
  if (const torque_err err = check(ctx)) return err;
  if (!ctx->core.options.driven) return TORQUE_ERR_KIND;
  tsan::gives(&ctx->wake_asked);
  ctx->breaks.fetch_add(1, std::memory_order_release);
  if (ctx->runner.load(std::memory_order_relaxed) != this_thread()) ctx->core.domain(0).wake();
  return TORQUE_ERR_NONE;
}

torque_err torque_wake(struct torque_ctx *ctx) {
  // No lock, no allocation, no thread-local state: safe in a signal handler.
  const SignalVisit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (ctx->core.foreign()) return TORQUE_ERR_FORKED;
  tsan::gives(&ctx->wake_asked);
  if (ctx->core.options.driven) ctx->wake_asked.store(true, std::memory_order_release);
  ctx->core.domain(0).wake();
  return TORQUE_ERR_NONE;
}

int32_t torque_poll_fd(const struct torque_ctx *ctx) {
  const Visit visit;
  if (check_lives(ctx) || !ctx->core.options.driven) return -1;
  return const_cast<torque_ctx *>(ctx)->core.domain(0).queue().poll_fd();
}

torque_err torque_deadline(struct torque_ctx *ctx, uint64_t *ret_ns) {
  const Visit visit;
  if (!ret_ns) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  if (!ctx->core.options.driven) return TORQUE_ERR_KIND;
  Domain &d = ctx->core.domain(0);
  const uint64_t next = d.timers.next_deadline();
  *ret_ns = d.has_work() || d.idle.length() != 0 || (ctx->watches.in_use() && ctx->watches.pending()) ? 0 : next;
  return TORQUE_ERR_NONE;
}

uint64_t torque_now(const struct torque_ctx *ctx) {
  Turn *t = current_turn();
  if (!t || !ctx || t->context.handle != ctx) return monotonic_ns();
  if (t->began == 0) t->began = monotonic_ns();
  return t->began;
}

}  // extern "C"
