// SPDX-License-Identifier: BSD-3-Clause
// One pass after another, and the order of callbacks in each.
#include <unistd.h>

#include <algorithm>

#include "common/context.hh"
#include "loop.hh"

namespace torque_ev {

namespace {

constexpr ev_tstamp kBlockMax = 59.743;  // with periodics, where nothing tells that the wall clock was set

// Idle watchers come only when nothing of their priority, or a higher one, is pending.
void idle_reify(struct ev_loop *loop) {
  for (int p = kPriorities; p-- > 0;) {
    if (loop->pendings[p].count) return;
    if (!loop->idles[p].count) continue;
    feed_all(loop, loop->idles[p], EV_IDLE);
    return;
  }
}

void adapt_to_fork(struct ev_loop *loop) {
  revive(loop);
  stat_fork(loop);
  timerfd_fork(loop);
  // Flags may have been left while nobody could be woken.
  if (loop->notified) feed(loop, &loop->pipe_w, EV_CUSTOM);
  loop->postfork = 0;
}

void notice_fork(struct ev_loop *loop) {
  if (!loop->curpid || getpid() == loop->curpid) return;
  loop->curpid = getpid();
  loop->postfork = 1;
}

// How long the pass may wait, in seconds; negative: as long as it takes.
ev_tstamp waiting_time(struct ev_loop *loop) {
  ev_tstamp wait = -1;
  const auto at_most = [&wait](ev_tstamp t) {
    t = std::max(t, ev_tstamp{0});
    if (wait < 0 || t < wait) wait = t;
  };
  if (loop->periodics.count()) {
    if (loop->timerfd < 0) at_most(kBlockMax);
    at_most(loop->periodics.top_at() - loop->rt_now);
  }
  if (loop->timers.count()) at_most(loop->timers.next() - loop->mn_now);
  if (wait >= 0 && wait < loop->timeout_blocktime) wait = loop->timeout_blocktime;
  return wait;
}

// ev_set_io_collect_interval(): the rest of it is slept through, deaf to descriptors.
ev_tstamp collect(struct ev_loop *loop, ev_tstamp wait, ev_tstamp pass_began) {
  ev_tstamp sleep = loop->io_blocktime - (loop->mn_now - pass_began);
  if (wait >= 0) sleep = std::min(sleep, wait);
  if (sleep <= 0) return wait;
  ev_sleep(sleep);
  return wait < 0 ? wait : wait - sleep;
}

uint64_t to_ns(ev_tstamp wait) {
  if (wait < 0 || wait > 9e9) return UINT64_MAX;
  // Up: what is waited for must lie in the past then.
  return wait == 0 ? 0 : torque_compat::wait_for(static_cast<uint64_t>(wait * 1e9) + 1);
}

// Whether anything came.
bool wait_once(struct ev_loop *loop, uint64_t ns) {
  uint64_t told = 0;
  const torque_err err = torque_run_once(loop->ctx, ns, &told);
  if (err == TORQUE_ERR_FORKED) [[unlikely]] {
    // A child of whose birth nobody told us.
    revive(loop);
    (void)torque_run_once(loop->ctx, ns, &told);
  }
  return told != 0;
}

// A crowd of timers may have been waited for in vain: the first of them was stopped or put off. That ends no pass.
bool must_wait_on(struct ev_loop *loop, uint64_t ns) {
  return ns != 0 && loop->timers.many() && !notify_pending(loop) && loop->timers.came_early(loop->mn_now);
}

void poll(struct ev_loop *loop, int flags) {
  const ev_tstamp before = loop->mn_now;
  const bool may_block = !(flags & EVRUN_NOWAIT) && !loop->idleall && loop->activecnt;
  uint64_t ns = 0;
  if (may_block) {
    // Nothing to compute where only descriptors are waited for; the time is read again after the wait.
    if (loop->timers.count() || loop->periodics.count() || loop->io_blocktime > 0) update_time(loop);
    loop->waiting.store(1);
  }
  const bool left = notify_pending(loop);
  if (may_block && !left) {
    ev_tstamp wait = waiting_time(loop);
    if (loop->io_blocktime > 0) [[unlikely]]
      wait = collect(loop, wait, before);
    ns = to_ns(wait);
  }
  ++loop->loop_count;
  for (;;) {
    loop->loop_done = kRecursion;
    const bool told = wait_once(loop, ns);
    loop->loop_done = EVBREAK_CANCEL;
    update_time(loop);
    if (told || !must_wait_on(loop, ns)) break;
    ns = to_ns(waiting_time(loop));
  }
  if (may_block) loop->waiting.store(0, std::memory_order_relaxed);
  // What comes when the wait is over is the next pass's, as in libev: a handler runs as the wait returns, and what the wait
  // has brought comes before its signal.
  if (left) take_notes_if_any(loop);
}

// False: a prepare watcher has broken the loop.
bool pass(struct ev_loop *loop, int flags) {
  notice_fork(loop);
  if (loop->postfork && loop->forks.count) {
    feed_all(loop, loop->forks, EV_FORK);
    invoke_pending(loop);
  }
  if (loop->prepares.count) {
    feed_all(loop, loop->prepares, EV_PREPARE);
    invoke_pending(loop);
  }
  if (loop->loop_done) return false;
  if (loop->postfork) adapt_to_fork(loop);
  reify(loop);
  poll(loop, flags);
  loop->publisher.pass(loop->ctx);
  if (loop->timers.count()) timers_reify(loop);
  if (loop->periodics.count()) periodics_reify(loop);
  if (loop->idleall) idle_reify(loop);
  feed_all(loop, loop->checks, EV_CHECK);  // last, so that they are called first
  invoke_pending(loop);
  return true;
}

void call_release(void *loop) {
  auto *l = static_cast<struct ev_loop *>(loop);
  if (l->release_cb) l->release_cb(l);
}
void call_acquire(void *loop) {
  auto *l = static_cast<struct ev_loop *>(loop);
  if (l->acquire_cb) l->acquire_cb(l);
}

void verify(struct ev_loop *loop, W w) {
  require(level(w) >= 0 && level(w) < kPriorities, "watcher has invalid priority");
  require(!w->pending || loop->pendings[level(w)].at[w->pending - 1].w == w, "pending watcher not on pending queue");
}
template <class T>
void verify_list(struct ev_loop *loop, const Array<T *> &list) {
  for (int i = 0; i < list.count; ++i) {
    require(list.at[i]->active == i + 1, "active index mismatch");
    verify(loop, base(list.at[i]));
  }
}
void verify_descriptor(struct ev_loop *loop, int fd) {
  for (WL w = loop->fds.at[fd].head; w; w = w->next) {
    verify(loop, base(w));
    require(w->active == 1, "inactive fd watcher on anfd list");
    require(reinterpret_cast<ev_io *>(w)->fd == fd, "fd mismatch between watcher and anfd");
  }
}

}  // namespace
}  // namespace torque_ev

using namespace torque_ev;

extern "C" {

int ev_run(struct ev_loop *loop, int flags) {
  ++loop->loop_depth;
  require(loop->loop_done != kRecursion, "ev_loop recursion during release detected");
  loop->loop_done = EVBREAK_CANCEL;
  invoke_pending(loop);  // of the run that this one is nested in, so that the order stays
  while (pass(loop, flags) && loop->activecnt && !loop->loop_done && !(flags & (EVRUN_ONCE | EVRUN_NOWAIT))) {
  }
  if (loop->loop_done == EVBREAK_ONE) loop->loop_done = EVBREAK_CANCEL;
  --loop->loop_depth;
  return loop->activecnt;
}

void ev_break(struct ev_loop *loop, int how) EV_NOEXCEPT { loop->loop_done = how; }

// Highest priority first, and within one priority the newest; a callback that makes a higher one pending is overtaken.
void ev_invoke_pending(struct ev_loop *loop) {
  loop->pendingpri = kPriorities;
  do {
    --loop->pendingpri;
    for (;;) {
      Array<Pending> &list = loop->pendings[loop->pendingpri];
      if (!list.count) break;
      const Pending p = list.pop();
      p.w->pending = 0;
      invoke(loop, p.w, p.events);
    }
  } while (loop->pendingpri);
}

void ev_invoke(struct ev_loop *loop, void *w, int revents) { invoke(loop, base(w), revents); }
void ev_feed_event(struct ev_loop *loop, void *w, int revents) EV_NOEXCEPT { feed(loop, base(w), revents); }

int ev_clear_pending(struct ev_loop *loop, void *watcher) EV_NOEXCEPT {
  W w = base(watcher);
  if (!w->pending) return 0;
  const int events = loop->pendings[level(w)].at[w->pending - 1].events;
  clear_pending(loop, w);
  return events;
}

unsigned int ev_pending_count(struct ev_loop *loop) EV_NOEXCEPT {
  unsigned n = 0;
  for (const auto &list : loop->pendings) n += static_cast<unsigned>(list.count);
  return n;
}

void ev_set_invoke_pending_cb(struct ev_loop *loop, ev_loop_callback invoke_pending_cb) EV_NOEXCEPT {
  loop->invoke_cb = invoke_pending_cb;
}

void ev_set_loop_release_cb(struct ev_loop *loop, void (*release)(struct ev_loop *) EV_NOEXCEPT,
                            void (*acquire)(struct ev_loop *) EV_NOEXCEPT) EV_NOEXCEPT {
  loop->release_cb = release;
  loop->acquire_cb = acquire;
  (void)torque_watch_set_hooks(loop->ctx, release ? call_release : nullptr, acquire ? call_acquire : nullptr, loop);
}

void ev_verify(struct ev_loop *loop) EV_NOEXCEPT {
  require(loop->activecnt >= -1, "activecnt >= -1");
  for (const int fd : loop->changes) require(fd >= 0, "negative fd in fdchanges");
  for (int fd = 0; fd < loop->fds.room; ++fd) verify_descriptor(loop, fd);
  require(loop->timers.is_sound() && loop->periodics.is_sound(), "heap condition violated");
  require(loop->idleall >= 0, "idleall >= 0");
  for (const auto &list : loop->idles) verify_list(loop, list);
  verify_list(loop, loop->forks);
  verify_list(loop, loop->cleanups);
  verify_list(loop, loop->asyncs);
  verify_list(loop, loop->prepares);
  verify_list(loop, loop->checks);
}

}  // extern "C"
