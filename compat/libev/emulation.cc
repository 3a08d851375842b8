// SPDX-License-Identifier: BSD-3-Clause
// libev's emulation of libevent 1.4: an event is one io or signal watcher and a timer, a base is a loop. Written
// against ev.h alone, it asks the loop for nothing that a program could not.
//
// It does what libev's does where that differs from libevent: there are no priorities, event_pending() tells the loop's
// time and not when the timeout is due, and the first event_init() takes the default loop.
#include "event.hh"

#include <cstdlib>

namespace {

constexpr int kReported = EV_READ | EV_WRITE | EV_TIMER | EV_SIGNAL;

// What event_init() made last: bases are implied in libevent's oldest calls.
event_base *current_base;

// Bases are loops under another name; nobody looks inside.
struct ev_loop *loop_of(event_base *base) { return reinterpret_cast<struct ev_loop *>(base); }
struct ev_loop *loop_of(const event *ev) { return loop_of(ev->ev_base); }
event_base *base_of(struct ev_loop *loop) { return reinterpret_cast<event_base *>(loop); }

bool is_signal(const event *ev) { return (ev->ev_events & EV_SIGNAL) != 0; }
int directions(int events) { return events & (EV_READ | EV_WRITE); }
// Anything else is a timeout alone.
bool is_io(const event *ev) { return !is_signal(ev) && directions(ev->ev_events) != 0; }

template <typename Watcher> bool waits_or_fires(Watcher *w) { return ev_is_active(w) || ev_is_pending(w); }

// In seconds; no time at all becomes the shortest, as a timer of 0 would not repeat; -1 without a time.
ev_tstamp seconds(const timeval *time) {
  if (time == nullptr) return -1.;
  const ev_tstamp after = static_cast<ev_tstamp>(time->tv_sec) + static_cast<ev_tstamp>(time->tv_usec) * 1e-6;
  return after != 0. ? after : 1e-6;
}

void call(event *ev, int revents) {
  ev->ev_res = revents & kReported;
  ev->ev_callback(ev->ev_fd, static_cast<short>(ev->ev_res), ev->ev_arg);
}

template <typename Watcher> event *event_at(Watcher *w, std::size_t offset) {
  return reinterpret_cast<event *>(reinterpret_cast<char *>(w) - offset);
}

void on_signal(struct ev_loop *, ev_signal *w, int revents) {
  event *ev = event_at(w, offsetof(event, iosig));
  if (revents & static_cast<int>(EV_ERROR)) event_del(ev);
  call(ev, revents);
}

void on_io(struct ev_loop *, ev_io *w, int revents) {
  event *ev = event_at(w, offsetof(event, iosig));
  if ((revents & static_cast<int>(EV_ERROR)) || !(ev->ev_events & kPersist)) event_del(ev);
  call(ev, revents);
}

void on_timeout(struct ev_loop *, ev_timer *w, int revents) {
  event *ev = event_at(w, offsetof(event, to));
  event_del(ev);
  call(ev, revents);
}

void on_loopexit(int, void *base) { ev_break(loop_of(static_cast<event_base *>(base)), EVBREAK_ONE); }

struct Once {
  int fd;
  event_callback_fn callback;
  void *arg;
};

void on_once(int revents, void *arg) {
  Once *once = static_cast<Once *>(arg);
  once->callback(once->fd, static_cast<short>(revents), once->arg);
  std::free(once);
}

void start_signal(event *ev) {
  if (ev_is_active(&ev->iosig.sig)) return;
  ev_signal_set(&ev->iosig.sig, ev->ev_fd);
  ev_signal_start(loop_of(ev), &ev->iosig.sig);
  ev->ev_flags |= kListSignal;
}

void start_io(event *ev) {
  if (ev_is_active(&ev->iosig.io)) return;
  ev_io_set(&ev->iosig.io, ev->ev_fd, directions(ev->ev_events));
  ev_io_start(loop_of(ev), &ev->iosig.io);
  ev->ev_flags |= kListInserted;
}

void set_timeout(event *ev, const timeval *timeout) {
  if (timeout != nullptr) {
    ev->to.repeat = seconds(timeout);
    ev_timer_again(loop_of(ev), &ev->to);
    ev->ev_flags |= kListTimeout;
  } else {
    ev_timer_stop(loop_of(ev), &ev->to);
    ev->ev_flags &= ~kListTimeout;
  }
}

void tell_now(struct ev_loop *loop, timeval *ret_now) {
  const ev_tstamp now = ev_now(loop);
  ret_now->tv_sec = static_cast<time_t>(now);
  ret_now->tv_usec = static_cast<suseconds_t>((now - static_cast<ev_tstamp>(ret_now->tv_sec)) * 1e6);
}

}  // namespace

const char *event_get_version() {
  static_assert(EV_VERSION_MAJOR == 4 && EV_VERSION_MINOR == 33);
  return "4.33";
}

const char *event_get_method() { return "libev"; }
const char *event_base_get_method(const event_base *) { return event_get_method(); }
event_callback_fn event_get_callback(const event *ev) { return ev->ev_callback; }

void *event_init() {
  current_base = base_of(current_base ? ev_loop_new(EVFLAG_AUTO) : ev_default_loop(EVFLAG_AUTO));
  return current_base;
}

event_base *event_base_new() { return base_of(ev_loop_new(EVFLAG_AUTO)); }

void event_base_free(event_base *base) {
  if (!ev_is_default_loop(loop_of(base))) ev_loop_destroy(loop_of(base));
}

int event_base_set(event_base *base, event *ev) {
  ev->ev_base = base;
  return 0;
}

int event_priority_init(int count) { return event_base_priority_init(current_base, count); }
int event_base_priority_init(event_base *, int) { return 0; }

int event_priority_set(event *ev, int priority) {
  ev->ev_pri = priority;
  return 0;
}

int event_dispatch() { return event_base_dispatch(current_base); }
int event_loop(int flags) { return event_base_loop(current_base, flags); }
int event_loopexit(timeval *after) { return event_base_loopexit(current_base, after); }
int event_base_dispatch(event_base *base) { return event_base_loop(base, 0); }
int event_base_loop(event_base *base, int flags) { return !ev_run(loop_of(base), flags); }

int event_base_loopexit(event_base *base, timeval *after) {
  const ev_tstamp delay = seconds(after);
  ev_once(loop_of(base), -1, 0, delay >= 0. ? delay : 0., on_loopexit, base);
  return 0;
}

void event_set(event *ev, int fd, short events, event_callback_fn callback, void *arg) {
  if (events & EV_SIGNAL)
    ev_init(&ev->iosig.sig, on_signal);
  else
    ev_init(&ev->iosig.io, on_io);
  ev_init(&ev->to, on_timeout);
  ev->ev_base = current_base;
  ev->ev_fd = fd;
  ev->ev_events = events;
  ev->ev_pri = 0;
  ev->ev_callback = callback;
  ev->ev_arg = arg;
  ev->ev_res = 0;
  ev->ev_flags = kListInit;
}

int event_add(event *ev, timeval *timeout) {
  if (is_signal(ev))
    start_signal(ev);
  else if (is_io(ev))
    start_io(ev);
  set_timeout(ev, timeout);
  ev->ev_flags |= kListActive;
  return 0;
}

int event_del(event *ev) {
  if (is_signal(ev))
    ev_signal_stop(loop_of(ev), &ev->iosig.sig);
  else if (is_io(ev))
    ev_io_stop(loop_of(ev), &ev->iosig.io);
  // One that has expired and is only fed again stays so: stopping it would take that back.
  if (ev_is_active(&ev->to)) ev_timer_stop(loop_of(ev), &ev->to);
  ev->ev_flags = kListInit;
  return 0;
}

void event_active(event *ev, int res, short) {
  struct ev_loop *loop = loop_of(ev);
  if (res & EV_TIMER) ev_feed_event(loop, &ev->to, EV_TIMER);
  if (res & EV_SIGNAL) ev_feed_event(loop, &ev->iosig.sig, EV_SIGNAL);
  if (directions(res)) ev_feed_event(loop, &ev->iosig.io, directions(res));
}

int event_pending(event *ev, short events, timeval *ret_now) {
  int revents = 0;
  if (is_signal(ev) && waits_or_fires(&ev->iosig.sig)) revents |= EV_SIGNAL;
  if (is_io(ev) && waits_or_fires(&ev->iosig.io)) revents |= directions(ev->ev_events);
  if ((ev->ev_events & EV_TIMER) || waits_or_fires(&ev->to)) {
    revents |= EV_TIMER;
    if (ret_now != nullptr) tell_now(loop_of(ev), ret_now);
  }
  return events & revents;
}

int event_once(int fd, short events, event_callback_fn callback, void *arg, timeval *timeout) {
  return event_base_once(current_base, fd, events, callback, arg, timeout);
}

int event_base_once(event_base *base, int fd, short events, event_callback_fn callback, void *arg, timeval *timeout) {
  Once *once = static_cast<Once *>(std::malloc(sizeof(Once)));
  if (once == nullptr) return -1;
  *once = {fd, callback, arg};
  ev_once(loop_of(base), fd, directions(events), seconds(timeout), on_once, once);
  return 0;
}
