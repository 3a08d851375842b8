// SPDX-License-Identifier: BSD-3-Clause
// ev_io: what all watchers of a descriptor want together is one interest of the context's, set once before it waits.
#include <cerrno>

#include "loop.hh"

namespace torque_ev {

namespace {

static_assert(int{EV_READ} == int{TORQUE_READ} && int{EV_WRITE} << 1 == int{TORQUE_WRITE});
uint32_t to_torque(int events) { return static_cast<uint32_t>((events & EV_READ) | (events & EV_WRITE) << 1); }
// A descriptor in error, or hung up, is ready for everything.
inline int from_torque(uint32_t events) {
  if (events & (TORQUE_ERROR | TORQUE_CLOSED)) [[unlikely]]
    return EV_READ | EV_WRITE;
  return static_cast<int>((events & TORQUE_READ) | (events & TORQUE_WRITE) >> 1);
}

void changed(struct ev_loop *loop, int fd, unsigned char how) {
  Descriptor &d = loop->fds.at[fd];
  const unsigned char before = d.reify;
  d.reify = static_cast<unsigned char>(before | how);
  if (!before) loop->changes.push(fd);
}

[[gnu::always_inline]] inline void feed_descriptor(struct ev_loop *loop, int fd, int revents) {
  for (WL w = loop->fds.at[fd].head; w; w = w->next) {
    if (const int events = reinterpret_cast<ev_io *>(w)->events & revents) feed(loop, base(w), events);
  }
}

void kill(struct ev_loop *loop, int fd) {
  while (WL w = loop->fds.at[fd].head) {
    ev_io_stop(loop, reinterpret_cast<ev_io *>(w));
    feed(loop, base(w), EV_ERROR | EV_READ | EV_WRITE);
  }
}

}  // namespace

void on_watch(int32_t fd, uint32_t events, int32_t error, void *arg) {
  auto *loop = static_cast<struct ev_loop *>(arg);
  if (error) [[unlikely]] {
    // libev takes it for a mistake of the program, but where select() is asked for, which would tell it first.
    const bool mistake = error == EBADF || error == ELOOP || error == EINVAL;
    require(!mistake || loop->backend == EVBACKEND_SELECT, "I/O watcher with invalid fd found in epoll_ctl");
    kill(loop, fd);
    return;
  }
  // One that has changed since is asked again first.
  if (fd < loop->fds.room && !loop->fds.at[fd].reify) feed_descriptor(loop, fd, from_torque(events));
}

void reify(struct ev_loop *loop) {
  for (const int fd : loop->changes) {
    Descriptor &d = loop->fds.at[fd];
    const unsigned char before = d.events;
    const bool fresh = d.reify & EV__IOFDSET;
    d.reify = 0;
    d.events = 0;
    for (WL w = d.head; w; w = w->next) d.events |= static_cast<unsigned char>(reinterpret_cast<ev_io *>(w)->events);
    if (!fresh && d.events == before) continue;
    if (torque_watch(loop->ctx, fd, to_torque(d.events), fresh ? uint32_t{TORQUE_WATCH_NEW} : 0u)) no_memory();
  }
  loop->changes.count = 0;
}

}  // namespace torque_ev

using namespace torque_ev;

extern "C" {

void ev_io_start(struct ev_loop *loop, ev_io *w) EV_NOEXCEPT {
  if (w->active) return;
  const int fd = w->fd;
  require(fd >= 0, "ev_io_start called with negative fd");
  require(!(w->events & ~(EV__IOFDSET | EV_READ | EV_WRITE)), "ev_io_start called with illegal event mask");
  start(loop, base(w), 1);
  loop->fds.need(fd + 1);
  list_add(&loop->fds.at[fd].head, in_list(w));
  require(in_list(w)->next != in_list(w), "ev_io_start called with corrupted watcher");
  changed(loop, fd, static_cast<unsigned char>((w->events & EV__IOFDSET) | kReify));
  w->events &= ~EV__IOFDSET;
}

void ev_io_stop(struct ev_loop *loop, ev_io *w) EV_NOEXCEPT {
  clear_pending(loop, base(w));
  if (!w->active) return;
  require(w->fd >= 0 && w->fd < loop->fds.room, "ev_io_stop called with illegal fd (must stay constant after start!)");
  list_remove(&loop->fds.at[w->fd].head, in_list(w));
  stop(loop, base(w));
  changed(loop, w->fd, kReify);
}

void ev_feed_fd_event(struct ev_loop *loop, int fd, int revents) EV_NOEXCEPT {
  if (fd >= 0 && fd < loop->fds.room) feed_descriptor(loop, fd, revents);
}

}  // extern "C"
