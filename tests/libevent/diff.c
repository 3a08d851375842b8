/* SPDX-License-Identifier: BSD-3-Clause */
#include "diff.h"

const char *const diff_symbol = "event_base_loop";

const char *bits(int events) {
  static const struct diff_bit names[] = {{EV_TIMEOUT, "TIMEOUT"},   {EV_READ, "READ"},       {EV_WRITE, "WRITE"},
                                          {EV_SIGNAL, "SIGNAL"},     {EV_PERSIST, "PERSIST"}, {EV_ET, "ET"},
                                          {EV_FINALIZE, "FINALIZE"}, {EV_CLOSED, "CLOSED"},   {0, NULL}};
  return diff_bits(events, names);
}

static const char *flags(int value) {
  static const struct diff_bit names[] = {
      {EVLIST_TIMEOUT, "TIMEOUT"},       {EVLIST_INSERTED, "INSERTED"}, {EVLIST_SIGNAL, "SIGNAL"},
      {EVLIST_ACTIVE, "ACTIVE"},         {EVLIST_INTERNAL, "INTERNAL"}, {EVLIST_ACTIVE_LATER, "ACTIVE_LATER"},
      {EVLIST_FINALIZING, "FINALIZING"}, {EVLIST_INIT, "INIT"},         {0, NULL}};
  return diff_bits(value, names);
}

const char *state(const struct event *e) {
  char *text = diff_scratch();
  int pending = event_pending(e, EV_TIMEOUT | EV_READ | EV_WRITE | EV_CLOSED | EV_SIGNAL, NULL);
  snprintf(text, SCRATCH, "waits for %s, flags %s, priority %d", bits(pending), flags(e->ev_evcallback.evcb_flags),
           event_get_priority(e));
  return text;
}

const char *counts(struct event_base *base) {
  char *text = diff_scratch();
  snprintf(text, SCRATCH, "%d %d %d, at most %d %d %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED),
           event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE),
           event_base_get_num_events(base, EVENT_BASE_COUNT_VIRTUAL),
           event_base_get_max_events(base, EVENT_BASE_COUNT_ADDED, 0),
           event_base_get_max_events(base, EVENT_BASE_COUNT_ACTIVE, 0),
           event_base_get_max_events(base, EVENT_BASE_COUNT_VIRTUAL, 0));
  return text;
}

struct event_base *new_base_of(int flag, const char *avoid) {
  struct event_config *config = event_config_new();
  NEED(config);
  NEED(!event_config_set_flag(config, flag | EVENT_BASE_FLAG_IGNORE_ENV));
  if (avoid) NEED(!event_config_avoid_method(config, avoid));
  struct event_base *base = event_base_new_with_config(config);
  event_config_free(config);
  NEED(base);
  return base;
}

struct event_base *new_base(void) {
  return new_base_of(0, NULL);
}

struct event_base *new_base_with(int priorities) {
  struct event_base *base = new_base();
  NEED(!event_base_priority_init(base, priorities));
  return base;
}

int turn(struct event_base *base) { return event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK); }

void turns(struct event_base *base, int count) {
  while (count--) turn(base);
}

void run_until(struct event_base *base, const volatile int *flag) {
  while (!*flag) event_base_loop(base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
}

void told(evutil_socket_t fd, short what, void *name) {
  (void)fd;
  trace("%s: %s", (const char *)name, bits(what));
}

void told_and_drain(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  if (what & EV_READ) drain(fd);
}

struct event *make(struct event_base *base, int fd, short events, event_callback_fn fn, const char *name) {
  struct event *e = event_new(base, fd, events, fn, NAME(name));
  NEED(e);
  return e;
}

void set(struct event *e, struct event_base *base, int fd, short events, event_callback_fn fn, const char *name) {
  NEED(!event_assign(e, base, fd, events, fn, NAME(name)));
}

const char *answer(int result) {
  char *text = diff_scratch();
  if (result < 0 && errno)
    snprintf(text, SCRATCH, "%d %s", result, strerrorname_np(errno));
  else
    snprintf(text, SCRATCH, "%d", result);
  return text;
}

const struct timeval *ms(int milliseconds) {
  static _Thread_local struct timeval ring[8];
  static _Thread_local unsigned next;
  struct timeval *one = &ring[next++ % 8];
  one->tv_sec = milliseconds / 1000;
  one->tv_usec = milliseconds % 1000 * 1000;
  return one;
}

static void log_severity(int severity, const char *text) {
  static const char *const names[] = {"debug", "message", "warning", "error"};
  trace("log: %s", severity >= 0 && severity < 4 ? names[severity] : "?");
  if (getenv("DIFF_VERBOSE")) fprintf(stderr, "%s\n", text);
}

void trace_log(void) { event_set_log_callback(log_severity); }
