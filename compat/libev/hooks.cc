// SPDX-License-Identifier: BSD-3-Clause
// The watchers that belong to the pass itself: idle, prepare, check, fork, cleanup, and the embedding of one loop in
// another.
#include <cstddef>

#include "loop.hh"

using namespace torque_ev;

namespace {

ev_embed *embed_of_io(ev_io *w) {
  return reinterpret_cast<ev_embed *>(reinterpret_cast<char *>(w) - offsetof(ev_embed, io));
}
ev_embed *embed_of_prepare(ev_prepare *w) {
  return reinterpret_cast<ev_embed *>(reinterpret_cast<char *>(w) - offsetof(ev_embed, prepare));
}
ev_embed *embed_of_fork(ev_fork *w) {
  return reinterpret_cast<ev_embed *>(reinterpret_cast<char *>(w) - offsetof(ev_embed, fork));
}

void embedded_is_ready(struct ev_loop *loop, ev_io *io, int) {
  ev_embed *w = embed_of_io(io);
  if (ev_cb(w)) feed(loop, base(w), EV_EMBED);
  else ev_run(w->other, EVRUN_NOWAIT);
}

// What has changed in the other loop must be with the kernel before this one waits for it.
void before_embedding_waits(struct ev_loop *, ev_prepare *prepare, int) {
  struct ev_loop *other = embed_of_prepare(prepare)->other;
  while (other->changes.count) ev_run(other, EVRUN_NOWAIT);
}

void embedded_forked(struct ev_loop *loop, ev_fork *fork, int) {
  ev_embed *w = embed_of_fork(fork);
  ev_embed_stop(loop, w);
  ev_loop_fork(w->other);
  ev_run(w->other, EVRUN_NOWAIT);
  ev_embed_start(loop, w);
}

}  // namespace

extern "C" {

void ev_idle_start(struct ev_loop *loop, ev_idle *w) EV_NOEXCEPT {
  if (w->active) return;
  clamp_priority(base(w));
  ++loop->idleall;
  enlist(loop, loop->idles[level(base(w))], w);
}

void ev_idle_stop(struct ev_loop *loop, ev_idle *w) EV_NOEXCEPT {
  if (delist(loop, loop->idles[level(base(w))], w)) --loop->idleall;
}

void ev_prepare_start(struct ev_loop *loop, ev_prepare *w) EV_NOEXCEPT { enlist(loop, loop->prepares, w); }
void ev_prepare_stop(struct ev_loop *loop, ev_prepare *w) EV_NOEXCEPT { delist(loop, loop->prepares, w); }
void ev_check_start(struct ev_loop *loop, ev_check *w) EV_NOEXCEPT { enlist(loop, loop->checks, w); }
void ev_check_stop(struct ev_loop *loop, ev_check *w) EV_NOEXCEPT { delist(loop, loop->checks, w); }
void ev_fork_start(struct ev_loop *loop, ev_fork *w) EV_NOEXCEPT { enlist(loop, loop->forks, w); }
void ev_fork_stop(struct ev_loop *loop, ev_fork *w) EV_NOEXCEPT { delist(loop, loop->forks, w); }

// These do not keep the loop running.
void ev_cleanup_start(struct ev_loop *loop, ev_cleanup *w) EV_NOEXCEPT {
  if (w->active) return;
  enlist(loop, loop->cleanups, w);
  --loop->activecnt;
}
void ev_cleanup_stop(struct ev_loop *loop, ev_cleanup *w) EV_NOEXCEPT {
  if (delist(loop, loop->cleanups, w)) ++loop->activecnt;
}

void ev_embed_sweep(struct ev_loop *, ev_embed *w) EV_NOEXCEPT { ev_run(w->other, EVRUN_NOWAIT); }

void ev_embed_start(struct ev_loop *loop, ev_embed *w) EV_NOEXCEPT {
  if (w->active) return;
  require(w->other->backend & ev_embeddable_backends(), "loop to be embedded is not embeddable");
  ev_io_init(&w->io, embedded_is_ready, torque_poll_fd(w->other->ctx), EV_READ);
  ev_set_priority(&w->io, ev_priority(w));
  ev_io_start(loop, &w->io);
  ev_prepare_init(&w->prepare, before_embedding_waits);
  ev_set_priority(&w->prepare, EV_MINPRI);
  ev_prepare_start(loop, &w->prepare);
  ev_fork_init(&w->fork, embedded_forked);
  ev_fork_start(loop, &w->fork);
  start(loop, base(w), 1);
}

void ev_embed_stop(struct ev_loop *loop, ev_embed *w) EV_NOEXCEPT {
  clear_pending(loop, base(w));
  if (!w->active) return;
  ev_io_stop(loop, &w->io);
  ev_prepare_stop(loop, &w->prepare);
  ev_fork_stop(loop, &w->fork);
  stop(loop, base(w));
}

}  // extern "C"
