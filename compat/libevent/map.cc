// SPDX-License-Identifier: BSD-3-Clause
// Descriptors: what all events of one want together is one interest of the context's. A number's first event goes to the kernel at
// once, so that event_add() can answer what is wrong with it, also where an earlier one was deleted: the number may have
// been closed since. What changes beside that event waits for the next wait.
#include <cerrno>
#include <climits>
#include <cstring>

#include "base.hh"

namespace torque_event {

namespace {

uint32_t to_torque(short what) {
  return (what & EV_READ ? uint32_t{TORQUE_READ} : 0u) | (what & EV_WRITE ? uint32_t{TORQUE_WRITE} : 0u) |
         (what & EV_CLOSED ? uint32_t{TORQUE_HANGUP} : 0u);
}

short from_torque(uint32_t events) {
  if (events & TORQUE_ERROR || (events & TORQUE_CLOSED && !(events & TORQUE_HANGUP))) return EV_READ | EV_WRITE;
  return static_cast<short>((events & TORQUE_READ ? EV_READ : 0) | (events & TORQUE_WRITE ? EV_WRITE : 0) |
                            (events & TORQUE_HANGUP ? EV_CLOSED : 0));
}

short wanted(const Descriptor &d) {
  return static_cast<short>((d.reads ? EV_READ : 0) | (d.writes ? EV_WRITE : 0) | (d.closes ? EV_CLOSED : 0));
}

void count(Descriptor &d, short what, int by) {
  if (what & EV_READ) d.reads = static_cast<uint16_t>(d.reads + by);
  if (what & EV_WRITE) d.writes = static_cast<uint16_t>(d.writes + by);
  if (what & EV_CLOSED) d.closes = static_cast<uint16_t>(d.closes + by);
}

[[gnu::noinline]] bool make_more_room(event_base *b, int fd) {
  if (fd > INT_MAX / 2) return false;
  int room = b->fds_room ? b->fds_room : 32;
  while (room <= fd) room *= 2;
  if (room > INT_MAX / static_cast<int>(sizeof *b->fds)) return false;
  void *p = mm_realloc(b->fds, static_cast<size_t>(room) * sizeof *b->fds);
  if (!p) return false;
  b->fds = static_cast<Descriptor *>(p);
  std::memset(static_cast<void *>(b->fds + b->fds_room), 0, static_cast<size_t>(room - b->fds_room) * sizeof *b->fds);
  for (int i = 0; i < b->fds_room; ++i) b->fds[i].events.rehang();
  b->fds_room = room;
  return true;
}

bool make_room(event_base *b, int fd) { return fd < b->fds_room || make_more_room(b, fd); }

[[gnu::always_inline]] inline int set_interest(event_base *b, int fd, short before, short now, bool edge) {
  uint32_t flags = edge && b->method->features & EV_FEATURE_ET ? uint32_t{TORQUE_WATCH_EDGE} : 0u;
  // A number that nobody watched may have been closed meanwhile.
  if (!before) flags |= TORQUE_WATCH_NEW;
  if (!before && b->method->features & EV_FEATURE_O1) flags |= TORQUE_WATCH_NOW;
  // Mostly there is room for what is to be written, and when it has been written the interest is gone.
  if (before && now & ~before & EV_WRITE && !edge) flags |= TORQUE_WATCH_PEEK;
  const torque_err err = torque_watch(b->ctx, fd, to_torque(now), flags);
  if (!err) return 0;
  errno = err > TORQUE_ERR_SYSCALL ? err - TORQUE_ERR_SYSCALL : ENOMEM;
  log_warn("Epoll %s(%d) on fd %d failed", before ? "MOD" : "ADD", static_cast<int>(to_torque(now)), fd);
  return -1;
}

}  // namespace

int add_io(event_base *b, event *e) {
  const int fd = e->ev_fd;
  if (fd < 0) return 0;
  if (!make_room(b, fd)) return -1;
  Descriptor &d = b->fds[fd];
  const event *other = d.events.first;
  const short before = other ? wanted(d) : short{0};
  if (other && (d.reads == UINT16_MAX || d.writes == UINT16_MAX || d.closes == UINT16_MAX)) {
    log_warnx("Too many events reading or writing on fd %d", fd);
    return -1;
  }
  if (event_debug_mode_on_ && other && (other->ev_events & EV_ET) != (e->ev_events & EV_ET)) {
    log_warnx("Tried to mix edge-triggered and non-edge-triggered events on fd %d", fd);
    return -1;
  }
  const auto now = static_cast<short>(before | (e->ev_events & kIo));
  if (now != before && set_interest(b, fd, before, now, e->ev_events & EV_ET)) return -1;
  count(d, e->ev_events, 1);
  d.events.push(e);
  return now != before;
}

int del_io(event_base *b, event *e) {
  const int fd = e->ev_fd;
  if (fd < 0) return 0;
  if (fd >= b->fds_room) return -1;
  Descriptor &d = b->fds[fd];
  const short before = wanted(d);
  count(d, e->ev_events, -1);
  EventList::remove(e);
  const short now = d.events.first ? wanted(d) : short{0};
  if (now == before) return 0;
  return set_interest(b, fd, before, now, e->ev_events & EV_ET) ? -1 : 1;
}

int bring_again(event_base *b) {
  int r = 0;
  for (int fd = 0; fd < b->fds_room; ++fd) {
    const Descriptor &d = b->fds[fd];
    if (d.events.first && wanted(d) && set_interest(b, fd, 0, wanted(d), d.events.first->ev_events & EV_ET)) r = -1;
  }
  return r;
}

void active_io(event_base *b, int fd, short what) {
  if (fd < 0 || fd >= b->fds_room) return;
  for (event *e = b->fds[fd].events.first; e; e = EventList::next(e)) {
    if (e->ev_events & what & ~EV_ET) activate(e, e->ev_events & what, 1);
  }
}

void told(int32_t fd, uint32_t events, int32_t error, void *base) {
  auto *b = static_cast<event_base *>(base);
  const bool edges = b->method->features & EV_FEATURE_ET;
  if (error) [[unlikely]] {
    // poll() and select() say nothing when it is added, and call it ready.
    if (!edges) {
      active_io(b, fd, EV_READ | EV_WRITE);
      (void)torque_wake(b->ctx);  // the wait is yet to come
      return;
    }
    errno = error;
    log_warn("Epoll change on fd %d failed", fd);
    return;
  }
  if (const short what = from_torque(events)) active_io(b, fd, static_cast<short>(edges ? what | EV_ET : what));
}

void free_map(event_base *b) {
  if (b->fds) mm_free(b->fds);
  b->fds = nullptr;
  b->fds_room = 0;
}

}  // namespace torque_event
