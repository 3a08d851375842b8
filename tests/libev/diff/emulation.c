/* SPDX-License-Identifier: BSD-3-Clause */
/* The emulation of libevent 1.4 that libev.so.4 has inside. Its header cannot be installed beside libevent's, so what a
   program compiled against it sees is written out here. */
#include "diff.h"

#include <sys/time.h>

struct event_base;
typedef void (*event_callback_fn)(int, short, void *);
struct event {
  union {
    ev_io io;
    ev_signal sig;
  } iosig;
  ev_timer to;
  struct event_base *ev_base;
  event_callback_fn ev_callback;
  void *ev_arg;
  int ev_fd, ev_pri, ev_res, ev_flags;
  short ev_events;
};

#define EV_PERSIST 0x10
#define EVLIST_TIMEOUT 0x01
#define EVLIST_INSERTED 0x02
#define EVLIST_SIGNAL 0x04
#define EVLIST_ACTIVE 0x08
#define EVLIST_INIT 0x80

const char *event_get_version(void);
const char *event_get_method(void);
void *event_init(void);
void event_base_free(struct event_base *base);
int event_loop(int flags);
int event_loopexit(struct timeval *tv);
int event_dispatch(void);
void event_set(struct event *ev, int fd, short events, event_callback_fn cb, void *arg);
int event_once(int fd, short events, event_callback_fn cb, void *arg, struct timeval *tv);
int event_add(struct event *ev, struct timeval *tv);
int event_del(struct event *ev);
void event_active(struct event *ev, int res, short ncalls);
int event_pending(struct event *ev, short events, struct timeval *tv);
int event_priority_init(int npri);
int event_priority_set(struct event *ev, int pri);
event_callback_fn event_get_callback(const struct event *ev);
struct event_base *event_base_new(void);
const char *event_base_get_method(const struct event_base *base);
int event_base_set(struct event_base *base, struct event *ev);
int event_base_loop(struct event_base *base, int flags);
int event_base_loopexit(struct event_base *base, struct timeval *tv);
int event_base_dispatch(struct event_base *base);
int event_base_once(struct event_base *base, int fd, short events, event_callback_fn cb, void *arg, struct timeval *tv);
int event_base_priority_init(struct event_base *base, int npri);

static struct timeval moment = {0, 2000};
static struct timeval at_once = {0, 0};
static struct timeval long_time = {1000, 0};

static const char *flags_of(const struct event *ev) {
  static char text[80];
  snprintf(text, sizeof text, "%s%s%s%s%s", ev->ev_flags & EVLIST_INIT ? "init " : "",
           ev->ev_flags & EVLIST_INSERTED ? "inserted " : "", ev->ev_flags & EVLIST_SIGNAL ? "signal " : "",
           ev->ev_flags & EVLIST_TIMEOUT ? "timeout " : "", ev->ev_flags & EVLIST_ACTIVE ? "active" : "");
  return text;
}

static void tell(const char *when, struct event *ev) {
  const int all = EV_READ | EV_WRITE | EV_TIMER | EV_SIGNAL;
  trace("%s: flags %#x %s; pending %s; res %s; watcher %s; timer %s", when, (unsigned)ev->ev_flags, flags_of(ev),
        bits(event_pending(ev, (short)all, NULL)), bits(ev->ev_res), state(&ev->iosig.io), state(&ev->to));
}

/* The argument is the event. What it was called with and how it stands, as seen from inside. */
static void narrate(int fd, short events, void *arg) {
  struct event *ev = arg;
  trace("called: %s, its descriptor %d, same as res %d", bits(events), fd == ev->ev_fd, ev->ev_res == events);
  tell("  inside", ev);
}

static void narrate_and_read(int fd, short events, void *arg) {
  narrate(fd, events, arg);
  trace("  bytes: %d", drain(fd));
}

static void say(int fd, short events, void *arg) { trace("%s: %s%s", (const char *)arg, bits(events), fd < 0 ? " no descriptor" : ""); }

static void count(int fd, short events, void *arg) {
  (void)fd, (void)events;
  ++*(int *)arg;
}

CASE(it_calls_itself_libev) {
  struct event_base *base = event_base_new();
  trace("version %s, method %s", event_get_version(), event_get_method());
  trace("method of a base %s, of none %s", event_base_get_method(base), event_base_get_method(NULL));
  event_base_free(base);
}

CASE(the_first_init_takes_the_default_loop_and_the_next_a_new_one) {
  void *first = event_init();
  trace("default: %d", first == (void *)EV_DEFAULT_UC);
  void *second = event_init();
  trace("default: %d, same: %d", second == (void *)EV_DEFAULT_UC, first == second);
  struct event ev;
  event_set(&ev, -1, 0, say, NULL);
  trace("new events belong to the second: %d", ev.ev_base == second);
  event_base_free(second);
}

CASE(a_new_base_is_not_the_default_one) {
  struct event_base *base = event_base_new();
  trace("made: %d, default loop there: %d", base != NULL, EV_DEFAULT_UC != NULL);
  struct event ev;
  event_set(&ev, -1, 0, say, NULL);
  trace("events belong to nothing before an init: %d", ev.ev_base == NULL);
  event_base_free(base);
}

CASE(freeing_the_default_base_leaves_it) {
  struct event_base *base = event_init();
  event_base_free(base);
  trace("still there: %d", EV_DEFAULT_UC == (struct ev_loop *)base);
  trace("it runs: %d", event_base_loop(base, EVRUN_NOWAIT));
}

CASE(set_writes_every_field) {
  struct event_base *base = event_init();
  struct event ev;
  memset(&ev, 0x5a, sizeof ev);
  event_set(&ev, 7, EV_READ | EV_PERSIST, say, &ev);
  trace("base %d, callback %d, argument %d", ev.ev_base == base, ev.ev_callback == say, ev.ev_arg == &ev);
  trace("fd %d, events %#x, priority %d", ev.ev_fd, (unsigned)ev.ev_events, ev.ev_pri);
  trace("the callback is told: %d", event_get_callback(&ev) == say);
  tell("set", &ev);
  event_set(&ev, SIGUSR1, EV_SIGNAL, say, NULL);
  tell("set as a signal", &ev);
  event_set(&ev, -1, EV_TIMER, say, NULL);
  tell("set as a timeout", &ev);
}

CASE(an_event_that_is_not_persistent_fires_once) {
  int ends[2];
  struct event ev;
  make_pipe(ends);
  event_init();
  event_set(&ev, ends[0], EV_READ, narrate, &ev);
  trace("add: %d", event_add(&ev, NULL));
  tell("added", &ev);
  put(ends[1], 1);
  trace("loop: %d", event_loop(EVRUN_NOWAIT));
  trace("loop: %d", event_loop(EVRUN_NOWAIT));
  tell("after", &ev);
  event_add(&ev, NULL);
  trace("again: %d", event_loop(EVRUN_NOWAIT));
  close_both(ends);
}

CASE(a_persistent_event_fires_until_deleted) {
  int ends[2];
  struct event ev;
  make_pipe(ends);
  event_init();
  event_set(&ev, ends[0], EV_READ | EV_PERSIST, narrate_and_read, &ev);
  event_add(&ev, NULL);
  for (int i = 0; i < 3; i++) {
    put(ends[1], (size_t)i + 1);
    trace("loop: %d", event_loop(EVRUN_NOWAIT));
  }
  put(ends[1], 1);
  trace("del: %d", event_del(&ev));
  tell("deleted", &ev);
  trace("loop: %d", event_loop(EVRUN_NOWAIT));
  trace("del again: %d", event_del(&ev));
  close_both(ends);
}

CASE(both_directions_are_told_at_once) {
  int ends[2];
  struct event ev;
  make_pair(ends);
  event_init();
  event_set(&ev, ends[0], EV_READ | EV_WRITE, narrate, &ev);
  event_add(&ev, NULL);
  put(ends[1], 1);
  event_loop(EVRUN_ONCE);
  event_set(&ev, ends[0], EV_READ | EV_WRITE, narrate, &ev);
  drain(ends[0]);
  event_add(&ev, NULL);
  event_loop(EVRUN_ONCE);
  close_both(ends);
}

CASE(events_of_one_descriptor_are_apart) {
  int ends[2];
  struct event reads, writes;
  make_pair(ends);
  event_init();
  event_set(&reads, ends[0], EV_READ, say, "reads");
  event_set(&writes, ends[0], EV_WRITE | EV_PERSIST, say, "writes");
  event_add(&reads, NULL);
  event_add(&writes, NULL);
  event_loop(EVRUN_NOWAIT);
  put(ends[1], 1);
  event_loop(EVRUN_NOWAIT);
  event_loop(EVRUN_NOWAIT);
  event_del(&writes);
  trace("nothing left: %d", event_loop(EVRUN_NOWAIT));
  close_both(ends);
}

CASE(a_timeout_alone_fires_once) {
  struct event ev;
  event_init();
  event_set(&ev, -1, 0, narrate, &ev);
  tell("set", &ev);
  trace("add: %d", event_add(&ev, &moment));
  tell("added", &ev);
  trace("dispatch: %d", event_dispatch());
  tell("after", &ev);
}

CASE(a_timeout_of_nothing_fires_in_the_next_pass) {
  struct event ev;
  event_init();
  event_set(&ev, -1, 0, narrate, &ev);
  event_add(&ev, &at_once);
  tell("added", &ev);
  trace("dispatch: %d", event_dispatch());
}

CASE(a_persistent_timeout_fires_once_too) {
  struct event ev;
  event_init();
  event_set(&ev, -1, EV_PERSIST, narrate, &ev);
  event_add(&ev, &moment);
  trace("dispatch: %d", event_dispatch());
}

CASE(a_timeout_deletes_the_event_persistent_or_not) {
  int ends[2];
  make_pipe(ends);
  event_init();
  for (int persist = 0; persist < 2; persist++) {
    struct event ev;
    event_set(&ev, ends[0], (short)(EV_READ | (persist ? EV_PERSIST : 0)), narrate, &ev);
    event_add(&ev, &moment);
    tell("added", &ev);
    trace("dispatch: %d", event_dispatch());
    tell("after", &ev);
    put(ends[1], 1);
    trace("loop: %d", event_loop(EVRUN_NOWAIT));
    drain(ends[0]);
  }
  close_both(ends);
}

CASE(reading_in_time_ends_the_timeout_of_an_event_for_once_only) {
  int ends[2];
  make_pipe(ends);
  event_init();
  for (int persist = 0; persist < 2; persist++) {
    struct event ev;
    event_set(&ev, ends[0], (short)(EV_READ | (persist ? EV_PERSIST : 0)), narrate_and_read, &ev);
    event_add(&ev, &long_time);
    put(ends[1], 1);
    trace("loop: %d", event_loop(EVRUN_NOWAIT));
    tell("after", &ev);
    event_del(&ev);
  }
  close_both(ends);
}

CASE(adding_again_renews_or_drops_the_timeout) {
  int ends[2];
  struct event ev;
  make_pipe(ends);
  event_init();
  event_set(&ev, ends[0], EV_READ, narrate, &ev);
  event_add(&ev, &long_time);
  tell("with a time", &ev);
  event_add(&ev, NULL);
  tell("without", &ev);
  event_add(&ev, &long_time);
  event_add(&ev, &moment);
  tell("with a shorter one", &ev);
  trace("dispatch: %d", event_dispatch());
  close_both(ends);
}

CASE(pending_answers_what_is_asked_for) {
  int ends[2];
  struct event ev;
  struct timeval when = {1, 1};
  make_pair(ends);
  struct ev_loop *loop = event_init();
  event_set(&ev, ends[0], EV_READ | EV_WRITE, narrate, &ev);
  trace("before: %s", bits(event_pending(&ev, EV_READ | EV_WRITE | EV_TIMER, &when)));
  trace("time untouched: %d", when.tv_sec == 1 && when.tv_usec == 1);
  event_add(&ev, &long_time);
  trace("read %s", bits(event_pending(&ev, EV_READ, NULL)));
  trace("write %s", bits(event_pending(&ev, EV_WRITE, NULL)));
  trace("time %s", bits(event_pending(&ev, EV_TIMER, &when)));
  trace("signal %s", bits(event_pending(&ev, EV_SIGNAL, NULL)));
  trace("the loop's time is told: %d", (double)when.tv_sec == (double)(long)ev_now(loop) && when.tv_usec >= 0 && when.tv_usec < 1000000);
  event_del(&ev);
  trace("after: %s", bits(event_pending(&ev, EV_READ | EV_WRITE | EV_TIMER, NULL)));
  event_set(&ev, -1, EV_TIMER, narrate, &ev);
  trace("asked for a time when set: %s", bits(event_pending(&ev, EV_TIMER, NULL)));
  close_both(ends);
}

CASE(activating_calls_once_for_the_io_and_once_for_the_timeout) {
  struct event ev;
  event_init();
  event_set(&ev, 3, EV_READ | EV_WRITE, narrate, &ev);
  event_active(&ev, EV_READ, 5);
  tell("fed", &ev);
  event_loop(EVRUN_NOWAIT);
  event_active(&ev, EV_READ | EV_WRITE | EV_TIMER, 1);
  tell("fed with a timeout", &ev);
  event_loop(EVRUN_NOWAIT);
  tell("after", &ev);
  event_active(&ev, EV_READ, 1);
  event_active(&ev, EV_WRITE, 1);
  event_loop(EVRUN_NOWAIT);
}

CASE(activating_may_say_what_was_not_asked_for) {
  int ends[2];
  struct event ev;
  make_pipe(ends);
  event_init();
  event_set(&ev, ends[0], EV_READ | EV_PERSIST, narrate, &ev);
  event_add(&ev, NULL);
  event_active(&ev, EV_WRITE, 1);
  event_loop(EVRUN_NOWAIT);
  event_active(&ev, 0, 1);
  event_active(&ev, EV_PERSIST, 1);
  event_loop(EVRUN_NOWAIT);
  event_del(&ev);
  close_both(ends);
}

CASE(deleting_takes_back_what_was_fed_but_not_a_timeout) {
  int ends[2];
  struct event ev;
  make_pipe(ends);
  event_init();
  event_set(&ev, ends[0], EV_READ | EV_PERSIST, narrate, &ev);
  event_add(&ev, NULL);
  event_active(&ev, EV_READ, 1);
  event_del(&ev);
  tell("deleted", &ev);
  event_loop(EVRUN_NOWAIT);
  event_active(&ev, EV_TIMER, 1);
  event_del(&ev);
  tell("deleted", &ev);
  event_loop(EVRUN_NOWAIT);
  event_add(&ev, &long_time);
  event_active(&ev, EV_TIMER, 1);
  event_del(&ev);
  tell("deleted", &ev);
  event_loop(EVRUN_NOWAIT);
  close_both(ends);
}

CASE(a_signal_event_stays_persistent_or_not) {
  event_init();
  for (int persist = 0; persist < 2; persist++) {
    struct event ev;
    event_set(&ev, SIGUSR1, (short)(EV_SIGNAL | (persist ? EV_PERSIST : 0)), narrate, &ev);
    tell("set", &ev);
    trace("add: %d", event_add(&ev, NULL));
    tell("added", &ev);
    for (int i = 0; i < 2; i++) {
      raise(SIGUSR1);
      trace("loop: %d", event_loop(EVRUN_ONCE));
    }
    trace("del: %d", event_del(&ev));
    tell("deleted", &ev);
  }
}

CASE(a_signal_event_has_a_timeout_too) {
  struct event ev;
  event_init();
  event_set(&ev, SIGUSR2, EV_SIGNAL | EV_PERSIST, narrate, &ev);
  event_add(&ev, &moment);
  tell("added", &ev);
  trace("dispatch: %d", event_dispatch());
  tell("after", &ev);
}

CASE(activating_a_signal_event) {
  struct event ev;
  event_init();
  event_set(&ev, SIGUSR1, EV_SIGNAL | EV_PERSIST, narrate, &ev);
  event_active(&ev, EV_SIGNAL, 3);
  event_loop(EVRUN_NOWAIT);
  event_add(&ev, NULL);
  event_active(&ev, EV_SIGNAL, 3);
  event_loop(EVRUN_NOWAIT);
  event_del(&ev);
}

CASE(loop_says_whether_nothing_is_left) {
  int ends[2];
  struct event ev;
  make_pipe(ends);
  struct event_base *base = event_init();
  trace("empty: %d %d %d", event_loop(0), event_dispatch(), event_base_dispatch(base));
  event_set(&ev, ends[0], EV_READ, say, "read");
  event_add(&ev, NULL);
  trace("waiting: %d", event_loop(EVRUN_NOWAIT));
  put(ends[1], 1);
  trace("once: %d", event_base_loop(base, EVRUN_ONCE));
  close_both(ends);
}

CASE(loopexit_ends_at_once_or_after_a_while) {
  int ends[2];
  struct event ev;
  struct event_base *base = event_init();
  make_pipe(ends);
  event_set(&ev, ends[0], EV_READ | EV_PERSIST, say, "read");
  event_add(&ev, NULL);
  trace("loopexit: %d", event_loopexit(NULL));
  trace("dispatch: %d", event_dispatch());
  double before = ev_now((struct ev_loop *)base); /* what the delay counts from */
  trace("loopexit: %d", event_base_loopexit(base, &moment));
  trace("dispatch: %d", event_dispatch());
  trace("not early: %d", ev_time() - before >= 0.0015);
  trace("loopexit: %d", event_loopexit(&at_once));
  trace("dispatch: %d", event_dispatch());
  event_del(&ev);
  close_both(ends);
}

static void nest(int fd, short events, void *arg) {
  (void)fd, (void)events, (void)arg;
  event_loopexit(NULL);
  trace("nested: %d", event_dispatch());
}

CASE(loopexit_ends_the_innermost_loop) {
  int ends[2];
  struct event keeps, ev;
  event_init();
  make_pipe(ends);
  event_set(&keeps, ends[0], EV_READ | EV_PERSIST, say, "read");
  event_add(&keeps, NULL);
  event_set(&ev, -1, 0, nest, NULL);
  event_add(&ev, &at_once);
  trace("outer, once: %d", event_loop(EVRUN_ONCE));
  trace("depth: %u", ev_depth(EV_DEFAULT_UC));
  put(ends[1], 1);
  trace("it goes on: %d", event_loop(EVRUN_ONCE));
  event_del(&keeps);
  close_both(ends);
}

CASE(once_calls_for_what_comes_first) {
  int ends[2];
  make_pipe(ends);
  event_init();
  trace("once: %d", event_once(ends[0], EV_READ, say, "readable", &long_time));
  trace("once: %d", event_once(ends[1], EV_WRITE, say, "writable", NULL));
  put(ends[1], 1);
  trace("dispatch: %d", event_dispatch());
  trace("once: %d", event_once(-1, EV_TIMER, say, "time", &moment));
  trace("dispatch: %d", event_dispatch());
  drain(ends[0]);
  trace("once: %d", event_once(ends[0], EV_READ, say, "not in time", &moment));
  trace("dispatch: %d", event_dispatch());
  close_both(ends);
}

CASE(once_on_another_base_is_called_there) {
  struct event_base *other = event_base_new();
  event_init();
  trace("once: %d", event_base_once(other, -1, 0, say, "other", &at_once));
  trace("first: %d", event_dispatch());
  trace("other: %d", event_base_dispatch(other));
  event_base_free(other);
}

CASE(an_event_moves_to_another_base) {
  int ends[2];
  struct event ev;
  make_pipe(ends);
  event_init();
  struct event_base *other = event_base_new();
  event_set(&ev, ends[0], EV_READ, say, "read");
  trace("set: %d, there: %d", event_base_set(other, &ev), ev.ev_base == other);
  event_add(&ev, NULL);
  put(ends[1], 1);
  trace("first: %d", event_dispatch());
  trace("other: %d", event_base_dispatch(other));
  event_base_free(other);
  close_both(ends);
}

CASE(priorities_are_kept_and_not_used) {
  struct event low, high;
  struct event_base *base = event_init();
  trace("init: %d %d", event_priority_init(3), event_base_priority_init(base, 64));
  event_set(&low, 0, EV_READ, say, "last");
  event_set(&high, 0, EV_READ, say, "first");
  trace("set: %d %d", event_priority_set(&low, 0), event_priority_set(&high, 2));
  trace("kept: %d %d; the watcher's: %d", low.ev_pri, high.ev_pri, ev_priority(&high.iosig.io));
  event_active(&high, EV_READ, 1);
  event_active(&low, EV_READ, 1);
  event_loop(EVRUN_NOWAIT);
}

static void delete_other(int fd, short events, void *arg) {
  (void)fd, (void)events;
  trace("deletes the other: %d", event_del(arg));
}

CASE(an_event_deleted_by_another_callback_is_not_called) {
  int ends[2];
  struct event one, two;
  make_pipe(ends);
  event_init();
  event_set(&one, ends[0], EV_READ, say, "deleted, never to be seen");
  event_set(&two, ends[0], EV_READ, delete_other, &one);
  event_add(&two, NULL);
  event_add(&one, NULL);
  event_active(&one, EV_READ, 1);
  event_active(&two, EV_READ, 1);
  event_loop(EVRUN_NOWAIT);
  trace("nothing left: %d", event_loop(EVRUN_NOWAIT));
  close_both(ends);
}

static void add_again(int fd, short events, void *arg) {
  struct event *ev = arg;
  trace("called: %s", bits(events));
  drain(fd);
  event_add(ev, NULL);
}

CASE(an_event_adds_itself_again_in_its_callback) {
  int ends[2];
  struct event ev;
  make_pipe(ends);
  event_init();
  event_set(&ev, ends[0], EV_READ, add_again, &ev);
  event_add(&ev, NULL);
  for (int i = 0; i < 3; i++) {
    put(ends[1], 1);
    trace("loop: %d", event_loop(EVRUN_NOWAIT));
  }
  event_del(&ev);
  close_both(ends);
}

CASE(a_thousand_events_come_and_go) {
  enum { many = 1000 };
  static struct event events[many];
  int calls = 0;
  event_init();
  for (int i = 0; i < many; i++) {
    event_set(&events[i], -1, 0, count, &calls);
    event_add(&events[i], i % 2 ? &at_once : &long_time);
  }
  for (int i = 0; i < many; i += 4) event_del(&events[i]);
  while (calls < many / 2) event_loop(EVRUN_ONCE);
  trace("called: %d", calls);
  for (int i = 0; i < many; i++) event_del(&events[i]);
  trace("nothing left: %d", event_loop(EVRUN_NOWAIT));
}
