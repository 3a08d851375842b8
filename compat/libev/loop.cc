// SPDX-License-Identifier: BSD-3-Clause
// Loops: how they begin and end, what survives a fork, and what can be asked of them.
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "common/context.hh"
#include "loop.hh"

extern "C" {
struct ev_loop *ev_default_loop_ptr = nullptr;
}

namespace torque_ev {

namespace {

// What the genuine library answers on Linux. Here they are names: whichever is asked for, the engine does it.
constexpr unsigned kSupported = EVBACKEND_SELECT | EVBACKEND_POLL | EVBACKEND_EPOLL | EVBACKEND_IOURING;
constexpr unsigned kRecommended = EVBACKEND_SELECT | EVBACKEND_POLL | EVBACKEND_EPOLL;

constinit struct ev_loop default_loop {};

unsigned choose_backend(unsigned flags) {
  for (const unsigned b : {unsigned{EVBACKEND_IOURING}, unsigned{EVBACKEND_EPOLL}, unsigned{EVBACKEND_POLL},
                           unsigned{EVBACKEND_SELECT}}) {
    if (flags & b) return b;
  }
  return 0;
}

unsigned flags_from_environment(unsigned flags) {
  const bool privileged = getuid() != geteuid() || getgid() != getegid();
  if (flags & EVFLAG_NOENV || privileged) return flags;
  const char *text = std::getenv("LIBEV_FLAGS");
  return text ? static_cast<unsigned>(std::atoi(text)) : flags;
}

void *take(size_t size) { return resize(nullptr, size); }
void give(void *p) { resize(p, 0); }

torque_ctx *open_context(struct ev_loop *loop) {
  using Memory = torque_compat::AlignedMemory<take, give>;
  const bool own = has_allocator();
  torque_ctx *ctx = nullptr;
  (void)torque_compat::open_context(own ? Memory::take : nullptr, own ? Memory::give : nullptr, on_watch,
                                    take_notes_if_any, loop, &ctx);
  return ctx;
}

void set_clocks(struct ev_loop *loop) {
  loop->rt_now = ev_time();
  loop->mn_now = monotonic();
  loop->now_floor = loop->mn_now;
  loop->rtmn_diff = loop->rt_now - loop->mn_now;
}

// False: there is no such back end, or the system refuses.
bool init(struct ev_loop *loop, unsigned flags) {
  loop->origflags = flags;
  if (flags & EVFLAG_FORKCHECK) loop->curpid = getpid();
  flags = flags_from_environment(flags);
  set_clocks(loop);
  loop->invoke_cb = ev_invoke_pending;
  loop->io_blocktime = loop->timeout_blocktime = 0;
  loop->signals_pending.store(0);
  loop->async_pending.store(0);
  loop->waiting.store(0);
  loop->fs_fd = flags & EVFLAG_NOINOTIFY ? -1 : -2;
  loop->sigfd = flags & EVFLAG_SIGNALFD ? -2 : -1;
  loop->timerfd = flags & EVFLAG_NOTIMERFD ? -1 : -2;
  if (!(flags & EVBACKEND_MASK)) flags |= ev_recommended_backends();
  const unsigned backend = choose_backend(flags);
  loop->ctx = backend ? open_context(loop) : nullptr;
  loop->backend = loop->ctx ? backend : 0;
  if (loop->ctx) loop->publisher.open(loop->ctx, TORQUE_BOARD_LIBEV);
  ev_init(&loop->pending_w, [](struct ev_loop *, ev_watcher *, int) {});
  init_pipe_watcher(loop);
  return loop->backend != 0;
}

void free_arrays(struct ev_loop *loop) {
  for (auto &list : loop->pendings) list.release();
  for (auto &list : loop->idles) list.release();
  loop->fds.release();
  loop->changes.release();
  loop->feeds.release();
  loop->timers.release();
  loop->periodics.release();
  loop->prepares.release();
  loop->checks.release();
  loop->forks.release();
  loop->cleanups.release();
  loop->asyncs.release();
}

}  // namespace

void revive(struct ev_loop *loop) {
  while (torque_reinit(loop->ctx)) system_error("(libev) epoll_create");
  loop->publisher.open(loop->ctx, TORQUE_BOARD_LIBEV);
}

}  // namespace torque_ev

using namespace torque_ev;

extern "C" {

struct ev_loop *ev_default_loop(unsigned int flags) EV_NOEXCEPT {
  if (ev_default_loop_ptr) return ev_default_loop_ptr;
  ev_default_loop_ptr = &default_loop;
  if (init(&default_loop, flags)) start_children(&default_loop);
  else ev_default_loop_ptr = nullptr;
  return ev_default_loop_ptr;
}

struct ev_loop *ev_loop_new(unsigned int flags) EV_NOEXCEPT {
  void *p = resize(nullptr, sizeof(struct ev_loop));
  auto *loop = static_cast<struct ev_loop *>(std::memset(p, 0, sizeof(struct ev_loop)));
  if (init(loop, flags)) return loop;
  resize(loop, 0);
  return nullptr;
}

void ev_loop_destroy(struct ev_loop *loop) {
  if (!loop) return;
  if (loop->cleanups.count) {
    feed_all(loop, loop->cleanups, EV_CLEANUP);
    invoke_pending(loop);
  }
  stop_children(loop);
  notify_close(loop);
  if (ev_is_active(&loop->timerfd_w)) close(loop->timerfd);
  if (loop->fs_fd >= 0) close(loop->fs_fd);
  loop->publisher.close(loop->ctx);
  torque_stop(loop->ctx);
  loop->ctx = nullptr;
  free_arrays(loop);
  loop->backend = 0;
  if (loop == ev_default_loop_ptr) ev_default_loop_ptr = nullptr;
  else resize(loop, 0);
}

void ev_loop_fork(struct ev_loop *loop) EV_NOEXCEPT { loop->postfork = 1; }

unsigned int ev_supported_backends(void) EV_NOEXCEPT { return kSupported; }
unsigned int ev_recommended_backends(void) EV_NOEXCEPT { return kRecommended; }
unsigned int ev_embeddable_backends(void) EV_NOEXCEPT {
  return EVBACKEND_EPOLL | EVBACKEND_KQUEUE | EVBACKEND_PORT | EVBACKEND_IOURING;
}
unsigned int ev_backend(struct ev_loop *loop) EV_NOEXCEPT { return loop->backend; }
int ev_version_major(void) EV_NOEXCEPT { return EV_VERSION_MAJOR; }
int ev_version_minor(void) EV_NOEXCEPT { return EV_VERSION_MINOR; }

unsigned int ev_iteration(struct ev_loop *loop) EV_NOEXCEPT { return loop->loop_count; }
unsigned int ev_depth(struct ev_loop *loop) EV_NOEXCEPT { return loop->loop_depth; }
void ev_set_userdata(struct ev_loop *loop, void *data) EV_NOEXCEPT { loop->userdata = data; }
void *ev_userdata(struct ev_loop *loop) EV_NOEXCEPT { return loop->userdata; }
void ev_ref(struct ev_loop *loop) EV_NOEXCEPT { ++loop->activecnt; }
void ev_unref(struct ev_loop *loop) EV_NOEXCEPT { --loop->activecnt; }
void ev_set_io_collect_interval(struct ev_loop *loop, ev_tstamp interval) EV_NOEXCEPT { loop->io_blocktime = interval; }
void ev_set_timeout_collect_interval(struct ev_loop *loop, ev_tstamp interval) EV_NOEXCEPT {
  loop->timeout_blocktime = interval;
}

}  // extern "C"
