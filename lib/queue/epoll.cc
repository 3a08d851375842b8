// SPDX-License-Identifier: BSD-3-Clause
#include "queue/epoll.hh"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>

#include "base/clock.hh"
#include "base/syscall.hh"
#include "base/tsan.hh"
#include "libtorque/source.h"

namespace torque {

namespace {

// The public bits are chosen so that only one of them must move.
constexpr bool same(uint32_t ours, uint32_t theirs) { return ours == theirs; }
static_assert(same(TORQUE_READ, EPOLLIN) && same(TORQUE_PRIORITY, EPOLLPRI) && same(TORQUE_WRITE, EPOLLOUT));
static_assert(same(TORQUE_ERROR, EPOLLERR) && same(TORQUE_CLOSED, EPOLLHUP));
constexpr uint32_t kSame = TORQUE_READ | TORQUE_PRIORITY | TORQUE_WRITE | TORQUE_ERROR | TORQUE_CLOSED;

uint32_t to_epoll(uint32_t interest, Trigger trigger) noexcept {
  uint32_t e = interest & kSame;
  if (interest & TORQUE_HANGUP) e |= EPOLLRDHUP;
  if (trigger == Trigger::level && interest != 0) [[likely]]
    return e;
  // Nothing asked for: edge, or a descriptor in error would be told for ever.
  if (interest == 0) return EPOLLET;
  switch (trigger) {
    case Trigger::edge: return e | EPOLLET;
    case Trigger::oneshot: return e | EPOLLET | EPOLLONESHOT;
    case Trigger::exclusive: return (e & (EPOLLIN | EPOLLOUT)) | EPOLLET | EPOLLEXCLUSIVE;
    case Trigger::level: break;
  }
  return e;
}

uint32_t from_epoll(uint32_t e) noexcept { return (e & kSame) | (e & EPOLLRDHUP ? uint32_t{TORQUE_HANGUP} : 0u); }

torque_err control(int epoll, int op, int fd, uint64_t handle, uint32_t events) noexcept {
  const tsan::Own own;  // others may close it meanwhile: that is told apart here
  epoll_event ev{};
  ev.events = events;
  ev.data.u64 = handle;
  return ::epoll_ctl(epoll, op, fd, &ev) == 0 ? TORQUE_ERR_NONE : last_error();
}

int timeout_ms(uint64_t ns) noexcept {
  if (ns == 0) return 0;
  if (ns == kNever) return -1;
  const uint64_t ms = ns / 1000000 + (ns % 1000000 != 0);  // up: a deadline must have come when we return
  return static_cast<int>(std::min<uint64_t>(ms, INT32_MAX));
}

}  // namespace

torque_err EpollQueue::reopen(bool forked) noexcept {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return last_error();
  Fd wake;
  if (forked || !wake_) {
    wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) return last_error();
  }
  const int told = wake ? wake.get() : wake_.get();
  if (const torque_err err = control(epoll.get(), EPOLL_CTL_ADD, told, kWakeHandle, EPOLLIN | EPOLLET)) return err;
  // The number stays: the caller's own loop may poll it.
  if (!epoll_) epoll_ = std::move(epoll);
  else if (sys::retry([&] { return ::dup3(epoll.get(), epoll_.get(), O_CLOEXEC); }) < 0) return last_error();
  if (wake) wake_ = std::move(wake);
  mark_.reset();
  return TORQUE_ERR_NONE;
}

torque_err EpollQueue::arm(int fd, uint64_t handle, uint32_t interest, Trigger t) noexcept {
  return control(epoll_.get(), EPOLL_CTL_ADD, fd, handle, to_epoll(interest, t));
}

torque_err EpollQueue::rearm(int fd, uint64_t handle, uint32_t interest, Trigger t) noexcept {
  return control(epoll_.get(), EPOLL_CTL_MOD, fd, handle, to_epoll(interest, t));
}

torque_err EpollQueue::disarm(int fd) noexcept { return control(epoll_.get(), EPOLL_CTL_DEL, fd, 0, 0); }

uint32_t EpollQueue::wait(Ready *out, uint32_t max, uint64_t timeout_ns) noexcept {
  // The kernel's records are packed into the front of each of ours, and unpacked from the back.
  static_assert(sizeof(Ready) >= sizeof(epoll_event));
  auto *raw = reinterpret_cast<epoll_event *>(out);
  int n = -1;
  const int limit = static_cast<int>(max);
  // What can be said in milliseconds (0 and kNever as well) is: the other call takes 80 ns more.
  if (timeout_ns % 1000000 == 0 || timeout_ns == kNever || milliseconds_only_.load(std::memory_order_relaxed)) {
    n = ::epoll_wait(epoll_.get(), raw, limit, timeout_ms(timeout_ns));
  } else {
    const timespec ts = to_timespec(timeout_ns);
    n = ::epoll_pwait2(epoll_.get(), raw, limit, &ts, nullptr);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
      milliseconds_only_.store(true, std::memory_order_relaxed);
      n = ::epoll_wait(epoll_.get(), raw, limit, timeout_ms(timeout_ns));
    }
  }
  if (n <= 0) return 0;  // EINTR: whoever waits looks at the clock and comes again
  for (int i = n - 1; i >= 0; --i) {
    epoll_event e;
    __builtin_memcpy(&e, &raw[i], sizeof e);
    const Ready r{e.data.u64, from_epoll(e.events)};
    __builtin_memcpy(static_cast<void *>(&out[i]), &r, sizeof r);
  }
  return static_cast<uint32_t>(n);
}

bool EpollQueue::any() const noexcept {
  pollfd p{epoll_.get(), POLLIN, 0};
  return ::poll(&p, 1, 0) != 0;  // an error counts as something: the next wait meets it
}

void EpollQueue::wake() noexcept { sys::eventfd_signal(wake_.get()); }

torque_err EpollQueue::mark() noexcept {
  if (!mark_) {
    Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) return last_error();
    if (const torque_err err = control(epoll_.get(), EPOLL_CTL_ADD, fd.get(), kMarkHandle, EPOLLIN | EPOLLET)) return err;
    mark_ = std::move(fd);
  }
  sys::eventfd_signal(mark_.get());
  return TORQUE_ERR_NONE;
}

Queue *make_queue(const Alloc &alloc, torque_err *err) noexcept {
  auto *q = alloc.make<EpollQueue>();
  if (!q) {
    *err = TORQUE_ERR_RESOURCE;
    return nullptr;
  }
  *err = q->reopen(false);
  if (!*err) return q;
  alloc.destroy(q);
  return nullptr;
}

void free_queue(const Alloc &alloc, Queue *queue) noexcept { alloc.destroy(static_cast<EpollQueue *>(queue)); }

}  // namespace torque
