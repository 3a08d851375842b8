// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/context.h"

#include <sched.h>

#include <new>

#include "api/handle.hh"
#include "base/syscall.hh"
#include "kinds/condition.hh"
#include "kinds/handler.hh"
#include "kinds/signal.hh"

using namespace torque;

namespace {

void ignore_sigpipe() noexcept {
  struct sigaction now;
  if (::sigaction(SIGPIPE, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL) return;
  now.sa_handler = SIG_IGN;
  (void)::sigaction(SIGPIPE, &now, nullptr);
}

torque_err open_driven(torque_ctx &ctx) noexcept {
  const uint32_t one = 1;
  if (const torque_err err = ctx.core.open(1, &one)) return err;
  return ctx.team.open_driven();
}

torque_err open_threaded(torque_ctx &ctx, const TopologyRequest &request) noexcept {
  Topology *map;
  if (const torque_err err = Topology::load(request, ctx.core.alloc, &map)) return err;
  const auto domains = map->domains();
  torque_err err = TORQUE_ERR_RESOURCE;
  const size_t bytes = domains.size() * sizeof(uint32_t);
  if (auto *sizes = static_cast<uint32_t *>(ctx.core.alloc.get(bytes))) {
    for (size_t i = 0; i < domains.size(); ++i) sizes[i] = domains[i].workers;
    err = ctx.core.open(static_cast<uint32_t>(domains.size()), sizes);
    ctx.core.alloc.put(sizes, bytes);
  }
  if (!err) err = ctx.team.open(*map);
  Topology::destroy(map);
  return err;
}

torque_err start_team(Context &core) noexcept {
  const torque_err err = core.handle->team.start();
  if (!err) core.handle->watchdog.start();
  return err;
}

// Within one of its callbacks, jobs or finalizers. Looks at what is this thread's only: the context may have gone.
bool inside(const torque_ctx *ctx) noexcept {
  if (Helpers::inside(&ctx->core) || finishing_in(ctx->core)) return true;
  for (Turn *t = current_turn(); t; t = t->outer) {
    if (t->context.handle == ctx) return true;
  }
  return false;
}

void announce_stop(torque_ctx &ctx) noexcept {
  tsan::gives(&ctx.wake_asked);  // to who blocks, runs or ends it
  ctx.core.stopping.store(true, std::memory_order_seq_cst);
  release_threads_of(ctx.core);
  for (uint32_t i = 0; i < ctx.core.domain_count(); ++i) ctx.core.domain(i).wake();
  handler::wake_blocked();
}

// Posted work, then the end of every source, on this thread, which is inside the context for that time.
void wind_up(torque_ctx &ctx) noexcept {
  Turn t = ctx.team.worker(0).turn();
  Turn *outer = set_current_turn(&t);
  const auto run = [](const Posted::Item &item) {
    item.fn(item.arg);
    return true;
  };
  Context &core = ctx.core;
  for (uint32_t i = 0; i < core.domain_count(); ++i) core.domain(i).posted.close();
  for (uint32_t i = 0; i < ctx.core.domain_count(); ++i) {
    while (ctx.core.domain(i).posted.run_batch(false, run)) {
    }
  }
  each_strand(ctx, [&](Strand &s) { s.close(t); });
  // Strands last: their sources release them.
  for (const bool strands : {false, true}) {
    ctx.core.each_source([&](uint64_t handle) {
      Snapshot v;
      if (look(handle, &v) && (v.kind == Kind::strand) == strands) retire(handle, TORQUE_END_STOPPED);
    });
  }
  for (uint32_t i = 0; i < core.domain_count(); ++i) finish_left(core.domain(i), UINT32_MAX);
  set_current_turn(outer);
}

bool any_source(Context &core) noexcept {
  for (uint32_t i = 0; i < core.domain_count(); ++i) {
    if (core.domain(i).slots.live() != 0) return true;
  }
  return false;
}

// Until no source is left: other threads may be in calls that look at one, in the finalizer of one that they have removed,
// or about to return from waiting for a condition.
void end_sources(torque_ctx &ctx) noexcept {
  for (uint32_t tries = 0;; ++tries) {
    wind_up(ctx);
    if (!any_source(ctx.core)) return;
    if (ctx.core.has_orphans()) {
      wait_for_visits();
      finish_orphans(ctx.core);
    }
    const timespec pause{0, 100000};
    if (tries < 64) ::sched_yield();
    else ::nanosleep(&pause, nullptr);
  }
}

// After this no call finds anything of it, and those that have found something are over.
void vanish(torque_ctx &ctx) noexcept {
  room_of(&ctx).lives.store(false, std::memory_order_seq_cst);
  for (uint32_t i = 0; i < ctx.core.domain_count(); ++i) ctx.core.domain(i).slots.withdraw();
  {
    HandingLock lock(Registry::lock());
    Registry::remove(ctx);
    Registry::changed().notify_all();
    while (ctx.blocked > 0) Registry::changed().wait(Registry::lock());
  }
  wait_for_visits();
}

void free_ctx(torque_ctx &ctx) noexcept {
  Room &room = room_of(&ctx);
  ctx.~torque_ctx();
  Registry::bury(room);
}

// Requires: this thread has set ctx.ending, and is the runner if it is driven.
void end(torque_ctx *ctx) noexcept {
  if (!ctx->core.foreign()) {
    announce_stop(*ctx);
    wait_for_visits();  // from here on nobody starts its threads or adds a source
    tsan::takes(&ctx->wake_asked);
    tsan::takes(&ctx->runner);
    ctx->team.join();
    ctx->watchdog.stop();
    ctx->helpers.stop();
    ctx->files.each([](Files &f) { f.stop(); });
    end_sources(*ctx);
  } else {
    free_attachment_in_child(ctx->core);
    free_jobs_of_parent(ctx->core);
  }
  vanish(*ctx);
  free_ctx(*ctx);
}

// Requires: the registry's lock.
torque_err registered(const torque_ctx *ctx) noexcept {
  if (Registry::has(ctx)) return TORQUE_ERR_NONE;
  return Registry::has_had(ctx) ? TORQUE_ERR_STOPPED : TORQUE_ERR_INVAL;
}

// The right to end it; false: somebody else has that, and has done it when this returns.
bool claim_end(torque_ctx *ctx, torque_err *err) noexcept {
  HandingLock lock(Registry::lock());
  *err = registered(ctx);
  if (*err) return false;
  if (!ctx->ending && ctx->core.options.driven && !ctx->core.foreign()) {
    pid_t nobody = 0;  // from here on nobody runs it: see enter() in run.cc
    if (!ctx->runner.compare_exchange_strong(nobody, this_thread(), std::memory_order_acquire)) *err = TORQUE_ERR_BUSY;
    if (*err) return false;
  }
  if (!ctx->ending) return ctx->ending = true;
  const uint64_t serial = ctx->serial;
  while (Registry::has(ctx) && ctx->serial == serial) Registry::changed().wait(Registry::lock());
  return false;
}

}  // namespace

extern "C" {

torque_err torque_ctx_new(const struct torque_config *config, struct torque_ctx **ret_ctx) {
  if (!ret_ctx) return TORQUE_ERR_INVAL;
  const torque_config defaults;
  if (!config) config = &defaults;
  if (const torque_err err = watch_forks()) return err;
  Room *room = Registry::take_room();
  if (!room) return TORQUE_ERR_RESOURCE;
  auto *ctx = new (room->context()) torque_ctx(*config);
  const bool driven = config->options.driven;
  if (!driven) ctx->core.start = start_team;
  torque_err err = driven ? open_driven(*ctx) : open_threaded(*ctx, config->topology);
  if (!err) err = ctx->batches.open();
  if (!err) err = ctx->files.open();
  if (err) {
    ctx->~torque_ctx();
    Registry::give_room(*room);
    return err;
  }
  if (config->ignore_sigpipe) ignore_sigpipe();
  Registry::add(*ctx);
  room->lives.store(true, std::memory_order_release);
  *ret_ctx = ctx;
  return TORQUE_ERR_NONE;
}

struct torque_ctx *torque_init(torque_err *err) {
  torque_ctx *ctx = nullptr;
  const torque_err e = torque_ctx_new(nullptr, &ctx);
  if (err) *err = e;
  return e ? nullptr : ctx;
}

torque_err torque_start(struct torque_ctx *ctx) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (ctx->core.options.driven) return TORQUE_ERR_KIND;
  if (const torque_err err = ctx->core.usable()) return err;
  return ctx->core.ensure_started();
}

torque_err torque_stop(struct torque_ctx *ctx) {
  if (!ctx) return TORQUE_ERR_INVAL;
  if (inside(ctx)) return TORQUE_ERR_DEADLOCK;
  torque_err err;
  if (claim_end(ctx, &err)) end(ctx);
  return err;
}

torque_err torque_stop_async(struct torque_ctx *ctx) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (ctx->core.foreign()) return TORQUE_ERR_FORKED;
  announce_stop(*ctx);
  return TORQUE_ERR_NONE;
}

torque_err torque_block(struct torque_ctx *ctx) {
  if (!ctx) return TORQUE_ERR_INVAL;
  if (inside(ctx)) return TORQUE_ERR_DEADLOCK;
  uint64_t serial;
  {
    HandingLock lock(Registry::lock());
    if (const torque_err err = registered(ctx)) return err;
    if (ctx->core.options.driven) return TORQUE_ERR_KIND;
    if (ctx->core.foreign() && ctx->core.started.load(std::memory_order_acquire)) return TORQUE_ERR_FORKED;
    serial = ctx->serial;
    ++ctx->blocked;
  }
  // Until the end, so that termination signals that come while it stops do no harm.
  handler::Termination termination(ctx->term);
  termination.wait([ctx] { return ctx->core.stopping.load(std::memory_order_seq_cst); });
  bool mine;
  {
    HandingLock lock(Registry::lock());
    mine = !ctx->ending;
    ctx->ending = true;
    --ctx->blocked;
    Registry::changed().notify_all();
    // Somebody else ends it: not before it is gone do we answer.
    while (!mine && Registry::has(ctx) && ctx->serial == serial) Registry::changed().wait(Registry::lock());
  }
  if (mine) end(ctx);
  return TORQUE_ERR_NONE;
}

torque_err torque_sigmask(sigset_t *ret_mask) {
  sigset_t set;
  sigfillset(&set);
  remove_fault_signals(&set);
  sigdelset(&set, SIGXCPU);
  const int e = pthread_sigmask(SIG_BLOCK, &set, ret_mask);
  return e ? err_of_errno(e) : TORQUE_ERR_NONE;
}

struct torque_ctx *torque_getcurctx(void) {
  Turn *t = current_turn();
  return t ? t->context.handle : nullptr;
}

int32_t torque_current_worker(void) {
  Turn *t = current_turn();
  return t ? t->worker : -1;
}

uint32_t torque_ctx_workers(const struct torque_ctx *ctx) {
  const Visit visit;
  return check_lives(ctx) ? 0 : ctx->team.size();
}
uint32_t torque_ctx_domains(const struct torque_ctx *ctx) {
  const Visit visit;
  return check_lives(ctx) ? 0 : ctx->core.domain_count();
}

}  // extern "C"
