/* SPDX-License-Identifier: BSD-3-Clause */
/* The calls of libevent 1.4: a current base, and events that are set and not assigned. */
#include <event.h>

#include "diff.h"

static struct event e[6];
static int ends[2];

static void stop_after_three(evutil_socket_t fd, short what, void *name) {
  static int left = 3;
  told(fd, what, name);
  if (--left == 0) trace("break: %d", event_loopbreak());
}

CASE(a_program_of_the_old_style) {
  trace("init: %s", yes(event_init() != NULL));
  trace("%s", event_get_method());
  make_pipe(ends);
  event_set(&e[0], ends[0], EV_READ, told_and_drain, NAME("read"));
  evtimer_set(&e[1], told, NAME("timer"));
  signal_set(&e[2], SIGUSR1, told, NAME("signal"));
  trace("initialized: %d %d %d", event_initialized(&e[0]), evtimer_initialized(&e[1]), signal_initialized(&e[2]));
  trace("add: %d %d %d", event_add(&e[0], NULL), evtimer_add(&e[1], ms(100000)), signal_add(&e[2], NULL));
  trace("pending: %d", evtimer_pending(&e[1], NULL) ? 1 : 0);
  put(ends[1], 1);
  trace("loop: %d", event_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK));
  trace("add: %d", evtimer_add(&e[1], ms(1)));
  pause_ms(20);
  trace("loop: %d", event_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK));
  raise(SIGUSR1);
  trace("loop: %d", event_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK));
  trace("del: %d %d %d", event_del(&e[0]), evtimer_del(&e[1]), signal_del(&e[2]));
  trace("dispatch: %d", event_dispatch());
  event_base_free(NULL);
}

CASE(events_set_before_there_is_a_base) {
  event_set(&e[0], -1, EV_TIMEOUT, told, NAME("early"));
  trace_log();
  trace("initialized: %d, base: %s", event_initialized(&e[0]), yes(event_get_base(&e[0]) != NULL));
  trace("add: %d", event_add(&e[0], ms(1)));
  struct event_base *base = event_init();
  trace("add: %d", event_add(&e[0], ms(1)));
  trace("set: %d", event_base_set(base, &e[0]));
  trace("add: %d", event_add(&e[0], ms(1)));
  trace("dispatch: %d", event_dispatch());
  event_base_free(base);
}

CASE(the_newest_base_is_the_current_one) {
  struct event_base *first = event_init(), *second = event_init();
  event_set(&e[0], -1, EV_TIMEOUT, told, NAME("e"));
  trace("the second's: %s", yes(event_get_base(&e[0]) == second));
  event_base_free(second);
  event_set(&e[1], -1, EV_TIMEOUT, told, NAME("e"));
  trace("none's: %s", yes(event_get_base(&e[1]) == NULL));
  event_base_free(first);
}

CASE(a_base_made_otherwise_is_not_the_current_one) {
  struct event_base *current = event_init(), *other = new_base();
  event_set(&e[0], -1, EV_TIMEOUT, told, NAME("e"));
  trace("%s", yes(event_get_base(&e[0]) == current));
  struct event *null = event_new(NULL, -1, EV_TIMEOUT, told, NAME("e"));
  trace("without a base: %s", yes(event_get_base(null) == current));
  event_free(null);
  trace("priorities: %d %d", event_priority_init(3), event_base_get_npriorities(NULL));
  struct timeval now;
  trace("clocks: %d %d", event_base_gettimeofday_cached(NULL, &now), event_base_update_cache_time(NULL));
  event_base_free(other);
  event_base_free(current);
}

CASE(once_and_loopexit_of_the_old_style) {
  event_init();
  make_pipe(ends), put(ends[1], 1);
  trace("once: %d", event_once(ends[0], EV_READ, told_and_drain, NAME("read"), NULL));
  trace("once: %d", event_once(-1, EV_TIMEOUT, told, NAME("timer"), NULL));
  trace("once: %d", event_once(SIGUSR1, EV_SIGNAL, told, NAME("signal"), NULL));
  trace("exit: %d", event_loopexit(ms(30)));
  event_set(&e[0], ends[0], EV_READ | EV_PERSIST, told, NAME("never"));
  event_add(&e[0], NULL);
  trace("dispatch: %d", event_dispatch());
  event_del(&e[0]);
  event_base_free(NULL);
}

CASE(loopbreak_of_the_old_style) {
  event_init();
  for (int i = 0; i < 5; i++) event_set(&e[i], -1, 0, stop_after_three, NAME("e")), event_active(&e[i], EV_READ, 1);
  trace("dispatch: %d", event_dispatch());
  trace("loop: %d", event_loop(EVLOOP_NONBLOCK));
  event_base_free(NULL);
}

static void nothing_current(void *arg) {
  (void)arg;
  trace("loop: %d", event_loop(EVLOOP_NONBLOCK));
}

CASE(a_child_with_an_old_style_base) {
  event_init();
  make_pipe(ends);
  event_set(&e[0], ends[0], EV_READ, told_and_drain, NAME("read"));
  event_add(&e[0], NULL);
  pid_t child = fork();
  if (!child) {
    trace("reinit: %d", event_reinit(event_get_base(&e[0])));
    put(ends[1], 1);
    nothing_current(NULL);
    _exit(0);
  }
  wait_traced("child", child);
  put(ends[1], 1);
  trace("-- parent");
  nothing_current(NULL);
  event_base_free(NULL);
}
