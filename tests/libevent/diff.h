/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that say what an event base does, for libevent: see ../diff/cases.h. */
#ifndef TORQUE_TESTS_LIBEVENT_DIFF_H
#define TORQUE_TESTS_LIBEVENT_DIFF_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <event2/util.h>
#include <pthread.h>
#include <sys/time.h>

#include "../diff/cases.h"
#include "../diff/processes.h"

/* Event bits by name: "READ|PERSIST", "0". A few results live at a time. */
const char *bits(int events);

/* "waits for READ, flags INSERTED|INIT, priority 0": what event_pending() answers and evcb_flags. */
const char *state(const struct event *e);

/* The number of added, active and virtual events, and their maxima: "2 1 0, at most 3 1 0". */
const char *counts(struct event_base *base);

/* --- Bases */

struct event_base *new_base(void); /* without the environment */
struct event_base *new_base_of(int flags,
                               const char *avoid); /* flags for event_config_set_flag(); a method not to take */
struct event_base *new_base_with(int priorities);

/* One pass that does not wait. Its result. */
int turn(struct event_base *base);
void turns(struct event_base *base, int count);

/* Passes that wait until *flag is not zero; other threads may set it in a callback of the base's. */
void run_until(struct event_base *base, const volatile int *flag);

/* --- Events. A callback's argument is its name. */
void told(evutil_socket_t fd, short what, void *name);           /* "name: READ" */
void told_and_drain(evutil_socket_t fd, short what, void *name); /* and reads what there is */
struct event *make(struct event_base *base, int fd, short events, event_callback_fn fn, const char *name);
void set(struct event *e, struct event_base *base, int fd, short events, event_callback_fn fn, const char *name);
#define NAME(text) ((void *)(uintptr_t)(text))

/* "0", "-1 EBADF": what a call answered; errno only where it failed. Set errno to 0 before. */
const char *answer(int result);
#define ANSWER(call) (errno = 0, answer(call))

/* "text: answer; after", where `after` is looked at after the call. */
#define CALL(text, call, after)                    \
  do {                                             \
    const char *answer_ = ANSWER(call);            \
    trace("%s: %s; %s", (text), answer_, (after)); \
  } while (0)

/* A few live at a time. libevent's clock is a coarse one: outside of callbacks, what differs by less than 10 ms may be
 * equal. */
const struct timeval *ms(int milliseconds);

/* Messages are traced by their severity alone: "log: warning". */
void trace_log(void);

#endif
