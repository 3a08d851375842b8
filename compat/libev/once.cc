// SPDX-License-Identifier: BSD-3-Clause
#include <cstddef>

#include "loop.hh"

using namespace torque_ev;

namespace {

struct Once {
  ev_io io;
  ev_timer to;
  void (*cb)(int revents, void *arg);
  void *arg;
};

void finish(struct ev_loop *loop, Once *once, int revents) {
  const Once o = *once;
  ev_io_stop(loop, &once->io);
  ev_timer_stop(loop, &once->to);
  resize(once, 0);
  o.cb(revents, o.arg);
}

void on_io(struct ev_loop *loop, ev_io *w, int revents) {
  auto *once = reinterpret_cast<Once *>(reinterpret_cast<char *>(w) - offsetof(Once, io));
  finish(loop, once, revents | ev_clear_pending(loop, &once->to));
}

void on_timeout(struct ev_loop *loop, ev_timer *w, int revents) {
  auto *once = reinterpret_cast<Once *>(reinterpret_cast<char *>(w) - offsetof(Once, to));
  finish(loop, once, revents | ev_clear_pending(loop, &once->io));
}

}  // namespace

extern "C" void ev_once(struct ev_loop *loop, int fd, int events, ev_tstamp timeout, void (*cb)(int revents, void *arg),
                        void *arg) EV_NOEXCEPT {
  auto *once = static_cast<Once *>(resize(nullptr, sizeof(Once)));
  once->cb = cb;
  once->arg = arg;
  ev_init(&once->io, on_io);
  if (fd >= 0) {
    ev_io_set(&once->io, fd, events);
    ev_io_start(loop, &once->io);
  }
  ev_init(&once->to, on_timeout);
  if (timeout >= 0) {
    ev_timer_set(&once->to, timeout, 0.);
    ev_timer_start(loop, &once->to);
  }
}
