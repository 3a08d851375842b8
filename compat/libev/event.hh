// SPDX-License-Identifier: BSD-3-Clause
// The part of libevent 1.4's interface that libev has inside: struct event as programs compiled against libev's event.h
// have it in their memory. Private; such programs are relinked or run as they are, not compiled against this.
#pragma once

#include "ev.hh"

#include <sys/time.h>
#include <cstddef>

struct event_base;

using event_callback_fn = void (*)(int, short, void *);

struct event {
  union {
    ev_io io;
    ev_signal sig;
  } iosig;
  ev_timer to;
  event_base *ev_base;
  event_callback_fn ev_callback;
  void *ev_arg;
  int ev_fd;
  int ev_pri;
  int ev_res;
  int ev_flags;
  short ev_events;
};

#ifdef __LP64__
static_assert(sizeof(event) == 144 && offsetof(event, to) == 48 && offsetof(event, ev_base) == 96);
static_assert(offsetof(event, ev_callback) == 104 && offsetof(event, ev_arg) == 112 && offsetof(event, ev_fd) == 120);
static_assert(offsetof(event, ev_pri) == 124 && offsetof(event, ev_res) == 128 && offsetof(event, ev_flags) == 132);
static_assert(offsetof(event, ev_events) == 136);
#endif

constexpr short kPersist = 0x10;  // EV_PERSIST

// ev_flags, which the macro event_initialized() reads.
constexpr int kListTimeout = 0x01, kListInserted = 0x02, kListSignal = 0x04, kListActive = 0x08, kListInit = 0x80;

#pragma GCC visibility push(default)
extern "C" {
const char *event_get_version();
const char *event_get_method();
const char *event_base_get_method(const event_base *base);
event_callback_fn event_get_callback(const event *ev);

void *event_init();
event_base *event_base_new();
void event_base_free(event_base *base);
int event_base_set(event_base *base, event *ev);
int event_priority_init(int count);
int event_base_priority_init(event_base *base, int count);
int event_priority_set(event *ev, int priority);

int event_dispatch();
int event_loop(int flags);
int event_loopexit(timeval *after);
int event_base_dispatch(event_base *base);
int event_base_loop(event_base *base, int flags);
int event_base_loopexit(event_base *base, timeval *after);

void event_set(event *ev, int fd, short events, event_callback_fn callback, void *arg);
int event_add(event *ev, timeval *timeout);
int event_del(event *ev);
void event_active(event *ev, int res, short calls);
int event_pending(event *ev, short events, timeval *ret_now);
int event_once(int fd, short events, event_callback_fn callback, void *arg, timeval *timeout);
int event_base_once(event_base *base, int fd, short events, event_callback_fn callback, void *arg, timeval *timeout);
}
#pragma GCC visibility pop
