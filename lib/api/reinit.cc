// SPDX-License-Identifier: BSD-3-Clause
// A driven context in a forked child.
#include "api/handle.hh"
#include "kinds/job.hh"
#include "kinds/listener.hh"
#include "kinds/signal.hh"
#include "source/kind.hh"

using namespace torque;

namespace {

void reattach_sources(torque_ctx &ctx, torque_err *err) noexcept {
  ctx.core.each_source([&](uint64_t handle) {
    Snapshot v;
    if (*err || !look(handle, &v)) return;
    const auto reattach = ops_of(v.kind).reattach;
    if (reattach && word::state(v.word) != word::NEW) *err = reattach(*v.slot, handle);
  });
}

// ---- What threads of the parent had counted, or were about to, is counted anew ----

uint32_t is_begun_job(Slot &s) noexcept {
  return s.kind.get() == Kind::job && cold_of(s).object && job_of(s).where != Job::Where::nowhere;
}

// As Context::any_stream() has it: a connection that is being taken may become a stream.
uint64_t is_stream(Slot &s, uint64_t handle) noexcept {
  if (s.kind.get() == Kind::acceptor) return callbacks_here(s, handle) != 0;
  return s.kind.get() == Kind::stream && (s.traits.get() & kBegun);
}

void recount_sources(Context &context) noexcept {
  for (uint32_t i = 0; i < context.domain_count(); ++i) {
    Domain &d = context.domain(i);
    d.streams_begun.store(0, std::memory_order_relaxed);
    d.streams_over.store(0, std::memory_order_relaxed);
    d.jobs.store(0, std::memory_order_relaxed);
    d.load.store(0, std::memory_order_relaxed);
  }
  each_unfinished(context, [](Domain &, Slot &s, uint64_t handle) {
    Domain &d = *s.domain.get();
    d.streams_begun.fetch_add(is_stream(s, handle), std::memory_order_relaxed);
    d.jobs.fetch_add(is_begun_job(s), std::memory_order_relaxed);
    d.load.fetch_add(1, std::memory_order_relaxed);
  });
}

// This thread takes a connection for that listener: it has a place, and is no stream yet.
bool takes_one_here(const Guests &g) noexcept {
  for (const Turn *t = current_turn(); t; t = t->outer) {
    if (t->current == g.listener) return true;
  }
  return false;
}

// Where the slot counts, or its listener's streams do; null: nowhere, or that is left as it is.
Guests *guests_of(Slot &s, bool guest) noexcept {
  Guests *g = nullptr;
  if (guest && s.kind.get() == Kind::stream && (s.traits.get() & kGuest)) g = cold_of(s).guests;
  if (!guest && s.kind.get() == Kind::listener && cold_of(s).object) g = listener_of(s).guests;
  return g && !takes_one_here(*g) ? g : nullptr;
}

void recount_guests(Context &context) noexcept {
  const auto none = [](Domain &, Slot &s, uint64_t) {
    for (const bool guest : {false, true}) {
      if (Guests *g = guests_of(s, guest)) g->word.fetch_and(~Guests::kNumber, std::memory_order_relaxed);
    }
  };
  const auto one = [](Domain &, Slot &s, uint64_t) {
    if (Guests *g = guests_of(s, true)) g->word.fetch_add(1, std::memory_order_relaxed);
  };
  each_unfinished(context, none);
  each_unfinished(context, one);
}

}  // namespace

extern "C" torque_err torque_reinit(struct torque_ctx *ctx) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (!ctx->core.options.driven) return TORQUE_ERR_KIND;
  if (!ctx->core.foreign()) return TORQUE_ERR_NONE;
  torque_err err = ctx->core.reinit();
  if (err) return err;
  err = ctx->watches.prepare_to_start_over();
  if (!err) {
    ctx->watches.start_over();
    revive_sources(ctx->core);
    recount_sources(ctx->core);
    recount_guests(ctx->core);
    reattach_sources(*ctx, &err);
  }
  if (!err) err = reattach_signals(ctx->core);
  if (!err) err = ctx->inodes.start_over(ctx->core);
  if (err) {
    ctx->core.undo_reinit();
    return err;
  }
  cancel_jobs_of_parent(ctx->core);
  resume_drain(*ctx);
  return TORQUE_ERR_NONE;
}
