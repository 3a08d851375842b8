// SPDX-License-Identifier: BSD-3-Clause
// The calls of libevent 1.4, which mean the base that was made last.
#include "base.hh"

extern "C" {

struct event_base *event_init(void) {
  event_base *b = event_base_new_with_config(nullptr);
  if (!b) torque_event::die(1, "%s: Unable to construct event_base", "event_init");
  return event_global_current_base_ = b;
}

int event_dispatch(void) { return event_loop(0); }
int event_loop(int flags) { return event_base_loop(event_global_current_base_, flags); }
int event_loopexit(const struct timeval *tv) { return event_base_loopexit(event_global_current_base_, tv); }
int event_loopbreak(void) { return event_base_loopbreak(event_global_current_base_); }
int event_priority_init(int n) { return event_base_priority_init(event_global_current_base_, n); }
const char *event_get_method(void) { return event_base_get_method(event_global_current_base_); }

int event_once(evutil_socket_t fd, short events, event_callback_fn fn, void *arg, const struct timeval *tv) {
  return event_base_once(event_global_current_base_, fd, events, fn, arg, tv);
}

void event_set(struct event *e, evutil_socket_t fd, short events, event_callback_fn fn, void *arg) {
  const int r = event_assign(e, event_global_current_base_, fd, events, fn, arg);
  TORQUE_EVENT_REQUIRE(r == 0);
}

}  // extern "C"
