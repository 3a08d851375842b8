// SPDX-License-Identifier: BSD-3-Clause
#include "api/attempt.hh"

#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "api/handle.hh"
#include "libtorque/timer.h"
#include "stream/stream.hh"

namespace torque {

namespace {

constexpr uint64_t kFirst = 1000000;   // ns
constexpr uint64_t kLast = 32000000;

struct Attempt {
  // Constant.
  torque_ctx *const ctx;
  const uint64_t source;
  torque_source timer = 0;
  sockaddr_un addr = {};
  socklen_t addrlen = 0;

  // Who tries.
  uint64_t delay = kFirst;

  // One of the timer, one of each call to the stream that was asked for. The last release sees what all others wrote.
  std::atomic<uint32_t> refs{1};
};

void drop_attempt(Attempt *a) noexcept {
  if (a->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) a->ctx->core.alloc.destroy(a);
}

// 0: it stands; EAGAIN: the timer is set anew.
int try_once(Attempt &a, int fd) noexcept {
  const int failed = ::connect(fd, reinterpret_cast<const sockaddr *>(&a.addr), a.addrlen);
  const int error = failed && errno != EINTR && errno != EISCONN ? errno : 0;
  if (error != EAGAIN) return error;
  a.delay = std::min(a.delay * 2, kLast);
  return torque_timer_set(a.timer, a.delay, 0, 0) ? ENOMEM : EAGAIN;
}

extern "C" {

static void try_in_turn(torque_source source, torque_err over, void *arg) {
  auto *a = static_cast<Attempt *>(arg);
  Snapshot v;
  int error = ECANCELED;
  if (!over && look(source, &v)) {
    Stream &s = stream_of(*v.slot);
    error = try_once(*a, v.fd);
    if (error != EAGAIN) {
      s.flags &= ~uint32_t{kWaits};
      if (error) s.error = err_of_errno(error);
      (void)activate(source, TORQUE_WRITE);
    }
  }
  if (error != EAGAIN) (void)torque_source_remove(a->timer);
  drop_attempt(a);
}

static void attempt_due(torque_source timer, uint64_t, void *arg) {
  auto *a = static_cast<Attempt *>(arg);
  Snapshot v;
  if (!hold(a->source, &v)) {
    (void)torque_source_remove(timer);
    return;
  }
  if (v.kind == Kind::stream) {
    a->refs.fetch_add(1, std::memory_order_relaxed);
    const torque_err err = call_stream(a->source, try_in_turn, a);
    if (err) drop_attempt(a);
    const bool not_started = err == TORQUE_ERR_STATE;
    if (err && (!not_started || torque_timer_set(timer, kFirst, 0, 0))) (void)torque_source_remove(timer);
  } else if (try_once(*a, v.slot->fd.get()) != EAGAIN) {
    // It learns by itself whether it is connected, as those do that were not at once.
    if (start_source(a->source)) (void)torque_source_remove(a->source);
    (void)torque_source_remove(timer);
  }
  let_go(*v.slot);
}

static void attempt_end(torque_source, int32_t, void *arg) { drop_attempt(static_cast<Attempt *>(arg)); }

}  // extern "C"

}  // namespace

torque_err try_again_later(torque_ctx *ctx, uint64_t source, const sockaddr *addr, socklen_t addrlen) noexcept {
  if (addrlen > sizeof(sockaddr_un)) return TORQUE_ERR_INVAL;
  void *p = ctx->core.alloc.get(sizeof(Attempt), alignof(Attempt));
  if (!p) return TORQUE_ERR_RESOURCE;
  auto *a = new (p) Attempt{ctx, source};
  std::memcpy(&a->addr, addr, addrlen);
  a->addrlen = addrlen;
  torque_err err = torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, attempt_due, a, &a->timer);
  if (err) {
    drop_attempt(a);
    return err;
  }
  const torque_source timer = a->timer;  // which may have been due, and gone, when it has been set
  (void)torque_source_set_finalizer(timer, attempt_end);
  err = torque_timer_set(timer, kFirst, 0, 0);
  if (err) (void)torque_source_remove(timer);
  return err;
}

}  // namespace torque
