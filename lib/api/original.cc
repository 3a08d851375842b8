// SPDX-License-Identifier: BSD-3-Clause
// The calls of the original libtorque, on top of the others. What they register keeps its callbacks in a small object
// that the source's end frees.
#include <sys/stat.h>
#include <time.h>

#include <algorithm>

#include "api/attempt.hh"
#include "api/handle.hh"
#include "base/clock.hh"
#include "base/syscall.hh"
#include "kinds/signal.hh"
#include "libtorque/torque.h"

using namespace torque;

namespace {

struct Closure {
  torque_ctx *ctx;
  libtorquercb rx;
  libtorquewcb tx;
  libtorquetimecb timed;
  void *state;
  bool connecting;  // the holder's
};

Closure *make_closure(torque_ctx *ctx, const Closure &c) noexcept {
  void *p = ctx->core.alloc.get(sizeof(Closure), alignof(Closure));
  return p ? new (p) Closure(c) : nullptr;
}

// Whether a callback that was given a descriptor has left it open. (It may have freed its state with it.)
class Open {
 public:
  explicit Open(int fd) noexcept : fd_(fd) { ok_ = ::fstat(fd, &before_) == 0; }
  bool still() const noexcept {
    struct stat now;
    return ok_ && ::fstat(fd_, &now) == 0 && now.st_ino == before_.st_ino && now.st_dev == before_.st_dev;
  }

 private:
  int fd_;
  bool ok_;
  struct stat before_;
};

// first, and then second if first has not closed the descriptor.
template <class F, class G>
void call_both(torque_source source, int fd, void *state, F first, G second) noexcept {
  if (!first || !second) {
    if (first) first(fd, state);
    if (second) second(fd, state);
    return;
  }
  const Open open(fd);
  first(fd, state);
  if (torque_source_alive(source) && open.still()) second(fd, state);
}

void free_closure(void *arg) noexcept {
  auto *c = static_cast<Closure *>(arg);
  c->ctx->core.alloc.put(c, sizeof *c);
}

extern "C" {

static void closure_end(torque_source, int32_t, void *arg) { free_closure(arg); }

static int32_t closure_fd(torque_source source, int32_t fd, uint32_t events, void *arg) {
  auto *c = static_cast<Closure *>(arg);
  const uint32_t broken = TORQUE_ERROR | TORQUE_CLOSED;
  const bool connected = c->connecting;
  if (connected) c->connecting = false;
  const auto rx = events & (TORQUE_READ | broken) ? c->rx : nullptr;
  const auto tx = events & (TORQUE_WRITE | (c->rx && !connected ? 0u : broken)) ? c->tx : nullptr;
  connected ? call_both(source, fd, c->state, tx, rx) : call_both(source, fd, c->state, rx, tx);
  return TORQUE_DONE;
}

static void closure_signal(torque_source, const torque_siginfo *info, void *arg) {
  const auto *c = static_cast<Closure *>(arg);
  c->rx(torque_siginfo_signo(info), c->state);
}

static void closure_path(torque_source, const torque_path_event *event, void *arg) {
  const auto *c = static_cast<Closure *>(arg);
  c->rx(static_cast<int>(torque_path_event_mask(event)), c->state);
}

// One call for each period that has ended. Of a tiny period, after a long delay, that could be billions: what is further
// behind than kPeriodsMost does not catch up.
static void closure_timer(torque_source, uint64_t expirations, void *arg) {
  constexpr uint64_t kPeriodsMost = 1000;
  const auto *c = static_cast<Closure *>(arg);
  for (uint64_t left = std::min(expirations, kPeriodsMost); left > 0; --left) c->timed(c->state);
}

}  // extern "C"

// Starts what was made, with the closure freed on every path. waits: it is started later.
torque_err finish_adding(torque_err err, torque_source source, Closure *c, bool timer, uint64_t when,
                         uint64_t period, bool waits = false) noexcept {
  if (err) {
    free_closure(c);
    return err;
  }
  (void)torque_source_set_finalizer(source, closure_end);
  if (waits) return TORQUE_ERR_NONE;
  err = timer ? torque_timer_set(source, when, period, TORQUE_TIMER_REMOVE) : torque_source_start(source);
  if (err) (void)torque_source_remove(source);
  return err;
}

torque_err connect_fd(int fd, const sockaddr *addr, socklen_t addrlen) noexcept {
  const int mode = ::fcntl(fd, F_GETFL);
  if (mode < 0 || (!(mode & O_NONBLOCK) && ::fcntl(fd, F_SETFL, mode | O_NONBLOCK) != 0)) return last_error();
  if (::connect(fd, addr, addrlen) == 0 || errno == EINPROGRESS || errno == EINTR) return TORQUE_ERR_NONE;
  return last_error();
}

// addr null: fd is what it is.
torque_err add_fd(torque_ctx *ctx, int fd, uint32_t flags, libtorquercb rx, libtorquewcb tx, void *state,
                  const sockaddr *addr, socklen_t addrlen) noexcept {
  if (!ctx || (!rx && !tx)) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  Closure *c = make_closure(ctx, {ctx, rx, tx, nullptr, state, addr && tx});
  if (!c) return TORQUE_ERR_RESOURCE;
  const uint32_t events = (rx ? uint32_t{TORQUE_READ} : 0u) | (tx ? uint32_t{TORQUE_WRITE} : 0u);
  torque_source source = 0;
  bool waits = false;
  torque_err err = torque_fd_new(ctx, fd, events, flags, closure_fd, c, &source);
  if (!err && addr) {
    err = connect_fd(fd, addr, addrlen);
    waits = err && waits_for_room(addr, torque_err_errno(err));
    if (err && !waits) (void)torque_source_remove(source);
  }
  if (!waits) return finish_adding(err, source, c, false, 0, 0);
  (void)finish_adding(TORQUE_ERR_NONE, source, c, false, 0, 0, true);
  err = try_again_later(ctx, source, addr, addrlen);
  if (err) (void)torque_source_remove(source);
  return err;
}

}  // namespace

extern "C" {

torque_err torque_addfd_unbuffered(struct torque_ctx *ctx, int fd, libtorquercb rx, libtorquewcb tx, void *state) {
  const Visit visit;
  return add_fd(ctx, fd, 0, rx, tx, state, nullptr, 0);
}

torque_err torque_addfd_concurrent(struct torque_ctx *ctx, int fd, libtorquercb rx, libtorquewcb tx, void *state) {
  const Visit visit;
  return add_fd(ctx, fd, TORQUE_CONCURRENT, rx, tx, state, nullptr, 0);
}

torque_err torque_addconnector_unbuffered(struct torque_ctx *ctx, int fd, const struct sockaddr *addr,
                                          socklen_t addrlen, libtorquercb rx, libtorquewcb tx, void *state) {
  const Visit visit;
  return addr ? add_fd(ctx, fd, 0, rx, tx, state, addr, addrlen) : TORQUE_ERR_INVAL;
}

torque_err torque_addsignal(struct torque_ctx *ctx, const sigset_t *signals, libtorquercb rx, void *state) {
  const Visit visit;
  if (!ctx || !signals || !rx || sigismember(signals, SIGTERM) == 1) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  int32_t signos[64];
  uint32_t count = 0;
  for (int s = 1; s <= SIGRTMAX; ++s) {
    if (sigismember(signals, s) == 1) signos[count++] = s;
  }
  Closure *c = make_closure(ctx, {ctx, rx, nullptr, nullptr, state, false});
  if (!c) return TORQUE_ERR_RESOURCE;
  torque_source source = 0;
  const torque_err err = torque_signal_new(ctx, signos, count, closure_signal, c, &source);
  return finish_adding(err, source, c, false, 0, 0);
}

torque_err torque_addpath(struct torque_ctx *ctx, const char *path, libtorquercb rx, void *state) {
  const Visit visit;
  constexpr uint32_t kTold = TORQUE_PATH_CREATED | TORQUE_PATH_DELETED | TORQUE_PATH_MODIFIED | TORQUE_PATH_WRITTEN |
                             TORQUE_PATH_ATTRIBUTES | TORQUE_PATH_RENAMED | TORQUE_PATH_MOVED_IN | TORQUE_PATH_MOVED_OUT;
  if (!ctx || !path || !rx) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  Closure *c = make_closure(ctx, {ctx, rx, nullptr, nullptr, state, false});
  if (!c) return TORQUE_ERR_RESOURCE;
  torque_source source = 0;
  const torque_err err = torque_path_new(ctx, path, kTold, 0, closure_path, c, &source);
  return finish_adding(err, source, c, false, 0, 0);
}

torque_err torque_addtimer(struct torque_ctx *ctx, const struct itimerspec *when, libtorquetimecb cb, void *state) {
  const Visit visit;
  if (!ctx || !when || !cb) return TORQUE_ERR_INVAL;
  const auto valid = [](const timespec &t) { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1000000000; };
  if (!valid(when->it_value) || !valid(when->it_interval)) return TORQUE_ERR_INVAL;
  const uint64_t period = to_ns(when->it_interval);
  const uint64_t first = to_ns(when->it_value) ? to_ns(when->it_value) : period;
  if (first == 0) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  Closure *c = make_closure(ctx, {ctx, nullptr, nullptr, cb, state, false});
  if (!c) return TORQUE_ERR_RESOURCE;
  torque_source source = 0;
  const torque_err err = torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, closure_timer, c, &source);
  return finish_adding(err, source, c, true, first, period);
}

}  // extern "C"
