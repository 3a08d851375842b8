/* SPDX-License-Identifier: BSD-3-Clause */
/* Timeouts: persistent ones, common ones, the cached clock, and ten thousand of them. */
#include "diff.h"

static struct event_base *the;
static struct event timer[4];

static void count_down(evutil_socket_t fd, short what, void *name) {
  static int left = 4;
  told(fd, what, name);
  if (--left == 0) event_del(&timer[0]);
}

CASE(a_persistent_timer_goes_on_until_it_is_deleted) {
  struct event_base *base = new_base();
  set(&timer[0], base, -1, EV_PERSIST, count_down, "t");
  event_add(&timer[0], ms(2));
  trace("loop: %d", event_base_dispatch(base));
  trace("%s", state(&timer[0]));
  event_base_free(base);
}

static void state_within(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  trace("within: %s", state(event_base_get_running_event(the)));
}

CASE(what_is_pending_within_a_timers_callback) {
  the = new_base();
  static const struct timeval zero;
  set(&timer[0], the, -1, 0, state_within, "once");
  set(&timer[1], the, -1, EV_PERSIST, state_within, "persistent");
  set(&timer[2], the, -1, EV_PERSIST | EV_TIMEOUT, state_within, "persistent, no time");
  set(&timer[3], the, -1, EV_PERSIST, state_within, "common");
  event_add(&timer[0], ms(1)), event_add(&timer[1], ms(5)), event_add(&timer[2], &zero);
  event_add(&timer[3], event_base_init_common_timeout(the, ms(5)));
  for (int i = 0; i < 4; i++) trace("%s", state(&timer[i]));
  pause_ms(30);
  turn(the);
  for (int i = 0; i < 4; i++) trace("%s", state(&timer[i])), event_del(&timer[i]);
  event_base_free(the);
}

static struct timeval due[8];
static int dues;
static void note_due(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  event_pending(&timer[0], EV_TIMEOUT, &due[dues++]);
  if (dues == 4) event_base_loopbreak(the);
}

CASE(a_persistent_timer_is_due_at_whole_intervals) {
  the = new_base_of(EVENT_BASE_FLAG_PRECISE_TIMER, NULL);
  set(&timer[0], the, -1, EV_PERSIST, note_due, "t");
  event_add(&timer[0], ms(300));
  event_pending(&timer[0], EV_TIMEOUT, &due[dues++]);
  event_base_dispatch(the);
  for (int i = 1; i < dues; i++) {
    struct timeval between;
    evutil_timersub(&due[i], &due[i - 1], &between);
    /* Exactly the interval, but for the clocks' difference, which is looked up anew from time to time. */
    trace("%d: %s", i, yes(between.tv_sec == 0 && between.tv_usec > 299000 && between.tv_usec < 301000));
  }
  event_del(&timer[0]);
  event_base_free(the);
}

CASE(a_persistent_timer_that_is_late_starts_from_now) {
  the = new_base();
  struct timeval before, now, wall;
  set(&timer[0], the, -1, EV_PERSIST, told, "t");
  event_add(&timer[0], ms(400));
  pause_ms(900);
  turn(the);
  gettimeofday(&wall, NULL);
  event_pending(&timer[0], EV_TIMEOUT, &now);
  evutil_timersub(&wall, ms(30), &before);
  trace("in the future: %s", yes(evutil_timercmp(&now, &before, >)));
  trace("called once: %d", turn(the));
  event_del(&timer[0]);
  event_base_free(the);
}

CASE(an_active_persistent_event_has_its_timeout_put_off) {
  the = new_base();
  struct timeval first, second, third;
  set(&timer[0], the, -1, EV_PERSIST, told, "t");
  event_add(&timer[0], ms(90000));
  event_pending(&timer[0], EV_TIMEOUT, &first);
  pause_ms(50);
  event_active(&timer[0], EV_READ, 1);
  turn(the);
  event_pending(&timer[0], EV_TIMEOUT, &second);
  trace("put off: %s", yes(evutil_timercmp(&second, &first, >)));
  event_add(&timer[0], NULL);
  event_pending(&timer[0], EV_TIMEOUT, &third);
  trace("by event_add without a time: %s", yes(third.tv_sec - second.tv_sec > 1));
  event_remove_timer(&timer[0]);
  event_active(&timer[0], EV_READ, 1);
  turn(the);
  trace("removed, and active: %s", state(&timer[0]));
  event_base_free(the);
}

CASE(added_again_a_due_timer_waits_anew) {
  struct event_base *base = new_base();
  set(&timer[0], base, -1, EV_TIMEOUT, told, "t");
  set(&timer[1], base, -1, EV_TIMEOUT, told, "u");
  event_add(&timer[0], ms(1)), event_add(&timer[1], ms(1));
  pause_ms(20);
  event_add(&timer[0], ms(100000));
  turn(base);
  event_active(&timer[0], EV_TIMEOUT, 1);
  event_add(&timer[0], ms(100000));
  CALL("an active timeout", turn(base), state(&timer[0]));
  event_active(&timer[0], EV_READ, 1);
  event_add(&timer[0], ms(100000));
  CALL("active otherwise", turn(base), state(&timer[0]));
  event_base_free(base);
}

CASE(common_timeouts_are_known_by_their_length) {
  struct event_base *base = new_base(), *other = new_base();
  const struct timeval *a = event_base_init_common_timeout(base, ms(1500)), *b, *c, *d;
  b = event_base_init_common_timeout(base, ms(1500));
  c = event_base_init_common_timeout(base, ms(2500));
  const struct timeval odd = {1, 1500000};
  d = event_base_init_common_timeout(base, &odd);
  trace("the same: %s, another: %s, of more than a second's microseconds: %s", yes(a == b), yes(a != c), yes(c == d));
  trace("itself: %s", yes(event_base_init_common_timeout(base, a) == a));
  trace("a value: %ld.%06ld", (long)a->tv_sec, (long)a->tv_usec & 0xfffff);
  struct timeval copy = *a;
  set(&timer[0], base, -1, EV_TIMEOUT, told, "by copy");
  set(&timer[1], base, -1, EV_TIMEOUT, told, "another base's");
  CALL("by copy", event_add(&timer[0], &copy), state(&timer[0]));
  trace("%s", counts(base));
  event_del(&timer[0]);
  trace("%s", counts(base));
  (void)other;
  event_base_free(base), event_base_free(other);
}

CASE(two_hundred_and_fifty_six_common_timeouts_and_no_more) {
  struct event_base *base = new_base();
  trace_log();
  int made = 0;
  for (int i = 0; i < 260; i++) made += event_base_init_common_timeout(base, ms(1000 + i)) != NULL;
  trace("made: %d", made);
  trace("one of them again: %s", yes(event_base_init_common_timeout(base, ms(1003)) != NULL));
  event_base_free(base);
}

static const struct timeval *common;
static void again(evutil_socket_t fd, short what, void *name) {
  static int left = 6;
  told(fd, what, name);
  if (--left > 0) event_add(event_base_get_running_event(the), common);
}

CASE(common_timeouts_added_in_their_callbacks) {
  the = new_base();
  common = event_base_init_common_timeout(the, ms(5));
  static const char *const names[] = {"a", "b", "c", "d"};
  for (int i = 0; i < 4; i++) set(&timer[i], the, -1, EV_TIMEOUT, again, names[i]), event_add(&timer[i], common);
  event_del(&timer[1]);
  trace("loop: %d", event_base_dispatch(the));
  event_base_free(the);
}

CASE(one_event_with_common_and_plain_timeouts_in_turn) {
  struct event_base *base = new_base();
  common = event_base_init_common_timeout(base, ms(50000));
  set(&timer[0], base, -1, EV_PERSIST, told, "t");
  set(&timer[1], base, -1, EV_PERSIST, told, "u");
  for (int i = 0; i < 6; i++) {
    event_add(&timer[i & 1], i & 2 ? ms(40000) : common);
    event_add(&timer[0], i & 1 ? common : ms(30000));
    struct timeval at, now;
    gettimeofday(&now, NULL);
    event_pending(&timer[0], EV_TIMEOUT, &at);
    long in = at.tv_sec - now.tv_sec;
    trace("in: %s, %s", in > 45 ? "50" : in > 35 ? "40" : in > 25 ? "30" : "less", counts(base));
  }
  event_add(&timer[0], event_base_init_common_timeout(base, ms(1)));
  pause_ms(20), turn(base);
  trace("%s", state(&timer[0]));
  event_del(&timer[0]), event_del(&timer[1]);
  event_base_free(base);
}

static void clocks(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  struct timeval a, b, c, d;
  event_base_gettimeofday_cached(the, &a);
  pause_ms(30);
  event_base_gettimeofday_cached(the, &b);
  trace("the cached time stands still: %s", yes(!evutil_timercmp(&a, &b, !=)));
  trace("update: %d", event_base_update_cache_time(the));
  event_base_gettimeofday_cached(the, &c);
  trace("moved: %s", yes(evutil_timercmp(&c, &b, >)));
  event_gettime_monotonic(the, &a), pause_ms(20), event_gettime_monotonic(the, &d);
  trace("the other clock moves: %s", yes(evutil_timercmp(&d, &a, >)));
}

CASE(the_cached_time) {
  for (int i = 0; i < 2; i++) {
    the = new_base_of(i ? EVENT_BASE_FLAG_NO_CACHE_TIME : 0, NULL);
    struct timeval a, b;
    event_base_gettimeofday_cached(the, &a), pause_ms(20), event_base_gettimeofday_cached(the, &b);
    trace("outside it moves: %s, update: %d", yes(evutil_timercmp(&b, &a, >)), event_base_update_cache_time(the));
    set(&timer[0], the, -1, 0, clocks, i ? "no cache" : "cache");
    event_active(&timer[0], EV_READ, 1);
    turn(the);
    event_base_free(the);
  }
}

enum { MANY = 10000 };
static struct {
  struct event e;
  int time, order;
} many[MANY];
static int called[MANY], ncalled;

static void record(evutil_socket_t fd, short what, void *arg) {
  (void)fd, (void)what;
  called[ncalled++] = (int)(intptr_t)arg;
}

static void add_many(evutil_socket_t fd, short what, void *arg) {
  (void)fd, (void)what, (void)arg;
  unsigned seed = 12345;
  for (int i = 0; i < MANY; i++) {
    seed = seed * 1103515245u + 12345u;
    many[i].time = 20 + (int)(seed >> 16) % 50;
    event_assign(&many[i].e, the, -1, EV_TIMEOUT, record, (void *)(intptr_t)i);
    event_add(&many[i].e, ms(many[i].time));
  }
  for (int i = 0; i < MANY; i += 7) event_del(&many[i].e), many[i].time = -1;
  for (int i = 0; i < MANY; i += 5) many[i].time = 20 + i % 50, event_add(&many[i].e, ms(many[i].time));
}

CASE(ten_thousand_timers_come_in_order_of_their_times) {
  the = new_base();
  set(&timer[0], the, -1, 0, add_many, "begin");
  event_active(&timer[0], EV_READ, 1);
  trace("loop: %d", event_base_dispatch(the));
  int expected = 0, wrong = 0;
  for (int i = 0; i < MANY; i++) expected += many[i].time >= 0;
  for (int i = 1; i < ncalled; i++) wrong += many[called[i]].time < many[called[i - 1]].time;
  trace("expected %d, called %d, out of order %d", expected, ncalled, wrong);
  trace("left: %d", event_base_get_num_events(the, EVENT_BASE_COUNT_ADDED));
  event_base_free(the);
}

CASE(active_by_number_finds_timers) {
  struct event_base *base = new_base();
  set(&timer[0], base, 7, EV_TIMEOUT, told, "seven");
  set(&timer[1], base, 7, EV_TIMEOUT, told, "common seven");
  set(&timer[2], base, 8, EV_TIMEOUT, told, "eight");
  set(&timer[3], base, -1, EV_TIMEOUT | EV_PERSIST, told, "none");
  event_add(&timer[0], ms(50000)), event_add(&timer[1], event_base_init_common_timeout(base, ms(50000)));
  event_add(&timer[2], ms(50000)), event_add(&timer[3], ms(50000));
  event_base_active_by_fd(base, 7, EV_TIMEOUT), turn(base);
  trace("%s", counts(base));
  event_base_active_by_fd(base, -1, EV_TIMEOUT), turn(base);
  trace("%s", counts(base));
  event_base_free(base);
}

CASE(timers_by_every_clock) {
  static const int flags[] = {0, EVENT_BASE_FLAG_PRECISE_TIMER, EVENT_BASE_FLAG_NO_CACHE_TIME,
                              EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME};
  for (int i = 0; i < 4; i++) {
    struct event_base *base = new_base_of(flags[i], NULL);
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int k = 3; k >= 0; k--)
      set(&timer[k], base, -1, EV_TIMEOUT, told, names[k]), event_add(&timer[k], ms(10 + k * 15));
    trace("loop: %d", event_base_dispatch(base));
    event_base_free(base);
  }
}

CASE(a_timer_is_never_early) {
  struct event_base *base = new_base_of(EVENT_BASE_FLAG_PRECISE_TIMER, NULL);
  static const int lengths[] = {0, 1, 3, 10, 17};
  for (int i = 0; i < 5; i++) {
    struct timespec a, b;
    set(&timer[0], base, -1, EV_TIMEOUT, told, "t");
    clock_gettime(CLOCK_MONOTONIC, &a);
    event_add(&timer[0], ms(lengths[i]));
    event_base_dispatch(base);
    clock_gettime(CLOCK_MONOTONIC, &b);
    long passed = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
    trace("%d: %s", lengths[i], yes(passed >= lengths[i] * 1000));
  }
  event_base_free(base);
}
