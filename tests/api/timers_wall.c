/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers on the wall clock follow when that is set forwards and backwards.
 *
 * Nobody sets the machine's clock for a test: the program stands in front of the calls that read it and that wait for
 * it, and gives the library a clock of its own. A descriptor that shall expire on it really waits on the monotonic
 * clock, and setting the clock makes it expire at once and its reader fail with ECANCELED, as timerfd_create(2) says. */
#include "support/context.h"
#include "support/faults.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000, MOST_FDS = 1024 };
#define HOUR (3600ull * 1000 * MS)
#define EPOCH (1800000000ull * 1000 * MS)

typedef int gettime_type(clockid_t, struct timespec *);
typedef int create_type(int, int);
typedef int settime_type(int, int, const struct itimerspec *, struct itimerspec *);
typedef ssize_t read_type(int, void *, size_t);

static gettime_type *real_gettime;
static create_type *real_create;
static settime_type *real_settime;
static read_type *real_read;

static _Atomic uint64_t clock_readings;
static _Atomic int64_t wall_offset; /* wall clock less monotonic clock */
static _Atomic int wall_fd[MOST_FDS];
static _Atomic int cancel_on_set[MOST_FDS];
static _Atomic int cancelled[MOST_FDS];

static void find(void *function, const char *name) {
  void *found = faults_real(name);
  memcpy(function, &found, sizeof found);
}

__attribute__((constructor)) static void find_all(void) {
  find(&real_gettime, "clock_gettime");
  find(&real_create, "timerfd_create");
  find(&real_settime, "timerfd_settime");
  find(&real_read, "read");
}

static struct timespec split(int64_t ns) {
  return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}
static int64_t join(const struct timespec *t) { return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec; }

int clock_gettime(clockid_t clock, struct timespec *ret) {
  if (!real_gettime) find_all();
  atomic_fetch_add(&clock_readings, 1);
  if (clock != CLOCK_REALTIME) return real_gettime(clock, ret);
  struct timespec now;
  if (real_gettime(CLOCK_MONOTONIC, &now)) return -1;
  *ret = split(join(&now) + atomic_load(&wall_offset));
  return 0;
}

int timerfd_create(int clock, int flags) {
  int fd = real_create(CLOCK_MONOTONIC, flags);
  if (fd < 0 || fd >= MOST_FDS) return fd;
  atomic_store(&wall_fd[fd], clock == CLOCK_REALTIME);
  atomic_store(&cancel_on_set[fd], 0);
  atomic_store(&cancelled[fd], 0);
  return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *spec, struct itimerspec *ret_old) {
  if (fd < 0 || fd >= MOST_FDS || !atomic_load(&wall_fd[fd])) return real_settime(fd, flags, spec, ret_old);
  struct itimerspec mine = *spec;
  atomic_store(&cancelled[fd], 0);
  atomic_store(&cancel_on_set[fd], (flags & TFD_TIMER_CANCEL_ON_SET) != 0);
  if ((flags & TFD_TIMER_ABSTIME) && join(&spec->it_value)) {
    int64_t at = join(&spec->it_value) - atomic_load(&wall_offset);
    mine.it_value = split(at < 1 ? 1 : at);
  }
  return real_settime(fd, flags & TFD_TIMER_ABSTIME, &mine, ret_old);
}

ssize_t read(int fd, void *buf, size_t size) {
  if (!real_read) find_all();
  ssize_t n = real_read(fd, buf, size);
  if (n < 0 || fd < 0 || fd >= MOST_FDS || !atomic_exchange(&cancelled[fd], 0)) return n;
  errno = ECANCELED;
  return -1;
}

static uint64_t wall_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)join(&now);
}

static void set_wall_clock(uint64_t to) {
  struct timespec now;
  real_gettime(CLOCK_MONOTONIC, &now);
  atomic_store(&wall_offset, (int64_t)to - join(&now));
  for (int fd = 0; fd < MOST_FDS; fd++) {
    if (!atomic_load(&wall_fd[fd]) || !atomic_load(&cancel_on_set[fd])) continue;
    const struct itimerspec at_once = {.it_value = {.tv_nsec = 1}};
    atomic_store(&cancelled[fd], 1);
    real_settime(fd, TFD_TIMER_ABSTIME, &at_once, NULL); /* fails when the number is closed by now: no harm */
  }
}

static struct record {
  _Atomic uint64_t deadline;
  _Atomic uint32_t calls, early;
  _Atomic uint64_t expirations;
} seen, other;

static void fired(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  struct record *r = arg;
  if (wall_now() < atomic_load(&r->deadline)) atomic_fetch_add(&r->early, 1);
  atomic_fetch_add(&r->expirations, expirations);
  atomic_fetch_add(&r->calls, 1);
}

static torque_source wall_timer(struct fixture *f, struct record *r, uint64_t when, uint64_t period, uint32_t flags) {
  torque_source t;
  *r = (struct record){.deadline = flags & TORQUE_TIMER_ABSOLUTE ? when : wall_now() + when};
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_WALL, fired, r, &t), 0);
  assert_int_equal(torque_timer_set(t, when, period, flags), 0);
  return t;
}

static int start(void **state) {
  memset((void *)(uintptr_t)wall_fd, 0, sizeof wall_fd);
  set_wall_clock(EPOCH);
  return fixture_up(state);
}

static void on_post(void *arg) { (void)arg; }

static uint64_t readings_of_a_hundred_rounds(struct fixture *f) {
  const uint64_t before = atomic_load(&clock_readings);
  for (int i = 0; i < 100; i++) {
    assert_int_equal(torque_post(f->ctx, on_post, NULL), 0);
    assert_int_equal(torque_run_once(f->ctx, 0, NULL), 0);
  }
  return atomic_load(&clock_readings) - before;
}

/* The rounds of the library, not of the test, read clocks: as many with it as without. */
static void a_far_one_costs_a_round_nothing(void **state) {
  struct fixture *f = *state;
  const uint64_t without = readings_of_a_hundred_rounds(f);
  torque_source t = wall_timer(f, &seen, HOUR, 0, 0);
  assert_int_equal(torque_run_once(f->ctx, 0, NULL), 0);
  assert_int_equal(readings_of_a_hundred_rounds(f), without);
  set_wall_clock(wall_now() + 2 * HOUR);
  AWAIT(f, seen.calls == 1);
  assert_int_equal(seen.early, 0);
  assert_int_equal(readings_of_a_hundred_rounds(f), without);
  assert_int_equal(torque_timer_set(t, wall_now(), 0, TORQUE_TIMER_ABSOLUTE), 0);
  assert_int_equal(torque_run_once(f->ctx, 0, NULL), 0); /* due already: in the very next round */
  assert_int_equal(seen.calls, 2);
}

static void due_when_the_clock_says_so(void **state) {
  struct fixture *f = *state;
  (void)wall_timer(f, &seen, wall_now() + 5 * MS, 0, TORQUE_TIMER_ABSOLUTE);
  AWAIT(f, seen.calls == 1);
  assert_int_equal(seen.early, 0);
}

static void due_after_a_while(void **state) {
  struct fixture *f = *state;
  (void)wall_timer(f, &seen, 5 * MS, 0, 0);
  AWAIT(f, seen.calls == 1);
  assert_int_equal(seen.early, 0);
}

static void due_at_once_when_the_clock_is_set_past_it(void **state) {
  struct fixture *f = *state;
  (void)wall_timer(f, &seen, EPOCH + HOUR, 0, TORQUE_TIMER_ABSOLUTE);
  (void)wall_timer(f, &other, EPOCH + 5 * HOUR, 0, TORQUE_TIMER_ABSOLUTE);
  fixture_settle(f);
  assert_int_equal(seen.calls, 0);
  set_wall_clock(EPOCH + 2 * HOUR);
  AWAIT(f, seen.calls == 1);
  fixture_settle(f);
  assert_int_equal(other.calls, 0);
  set_wall_clock(EPOCH + 6 * HOUR);
  AWAIT(f, other.calls == 1);
  assert_int_equal(seen.early + other.early, 0);
}

/* A timer for a moment that would come, were the clock not set back before it. Answers when, by the monotonic clock. */
static uint64_t timer_then_clock_set_back(struct fixture *f) {
  for (uint64_t ahead = 100 * MS;; ahead *= 2) {
    const uint64_t due = monotonic_ns() + ahead;
    torque_source t = wall_timer(f, &seen, wall_now() + ahead, 0, TORQUE_TIMER_ABSOLUTE);
    fixture_settle(f);
    set_wall_clock(EPOCH - HOUR);
    if (monotonic_ns() < due) return due;
    assert_int_equal(torque_source_remove_wait(t), 0); /* too slow: it may have come */
    set_wall_clock(EPOCH);
  }
}

static void waits_longer_when_the_clock_is_set_back(void **state) {
  struct fixture *f = *state;
  const uint64_t until = timer_then_clock_set_back(f) + 50 * MS;
  AWAIT(f, monotonic_ns() > until);
  fixture_settle(f);
  assert_int_equal(seen.calls, 0);
  set_wall_clock(EPOCH + HOUR);
  AWAIT(f, seen.calls == 1);
  assert_int_equal(seen.early, 0);
}

static void notices_every_one_of_many_jumps(void **state) {
  struct fixture *f = *state;
  for (uint32_t i = 0; i < 20; i++) {
    const uint64_t at = wall_now() + HOUR;
    torque_source t = wall_timer(f, &seen, at, 0, TORQUE_TIMER_ABSOLUTE);
    if (i % 2) fixture_settle(f); /* set while asleep, and while awake */
    set_wall_clock(at - HOUR / 2);
    set_wall_clock(at + 1);
    AWAIT(f, seen.calls == 1);
    assert_int_equal(seen.early, 0);
    assert_int_equal(torque_source_remove(t), 0);
  }
}

static void periods_go_on_after_a_jump(void **state) {
  struct fixture *f = *state;
  torque_source t = wall_timer(f, &seen, EPOCH + HOUR, HOUR, TORQUE_TIMER_ABSOLUTE);
  fixture_settle(f);
  set_wall_clock(EPOCH + 3 * HOUR + HOUR / 2);
  AWAIT(f, seen.calls >= 1);
  fixture_settle(f);
  assert_int_equal(seen.expirations, 3);
  set_wall_clock(EPOCH + 4 * HOUR + HOUR / 2);
  AWAIT(f, seen.expirations == 4);
  assert_int_equal(torque_timer_cancel(t), 0);
}

static void the_monotonic_clock_does_not_care(void **state) {
  struct fixture *f = *state;
  torque_source t;
  (void)wall_timer(f, &other, EPOCH + 9 * HOUR, 0, TORQUE_TIMER_ABSOLUTE);
  seen = (struct record){0};
  assert_int_equal(torque_timer_add(f->ctx, 10000ull * MS, 0, 0, fired, &seen, &t), 0);
  set_wall_clock(EPOCH + HOUR);
  set_wall_clock(EPOCH - HOUR);
  fixture_settle(f);
  assert_int_equal(seen.calls, 0);
  uint64_t left = 0;
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  assert_in_range(left, 1, 10000ull * MS);
  assert_int_equal(torque_timer_set(t, MS, 0, 0), 0);
  AWAIT(f, seen.calls == 1);
}

static void remaining_follows_the_clock(void **state) {
  struct fixture *f = *state;
  torque_source t = wall_timer(f, &seen, EPOCH + 4 * HOUR, 0, TORQUE_TIMER_ABSOLUTE);
  uint64_t left = 0;
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  assert_in_range(left, 3 * HOUR, 4 * HOUR);
  set_wall_clock(EPOCH + 2 * HOUR);
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  assert_in_range(left, 1 * HOUR, 2 * HOUR);
}

static void a_cancelled_one_stays_silent_over_a_jump(void **state) {
  struct fixture *f = *state;
  torque_source t = wall_timer(f, &seen, EPOCH + HOUR, 0, TORQUE_TIMER_ABSOLUTE);
  (void)wall_timer(f, &other, EPOCH + HOUR + 1, 0, TORQUE_TIMER_ABSOLUTE);
  assert_int_equal(torque_timer_cancel(t), 0);
  set_wall_clock(EPOCH + 2 * HOUR);
  AWAIT(f, other.calls == 1);
  assert_int_equal(seen.calls, 0);
}

#define WALL_ON(which, test) {#test " on " #which, test, start, fixture_down, (void *)(uintptr_t)&shape_##which}
#define WALL(test) WALL_ON(live, test), WALL_ON(synthetic, test), WALL_ON(single, test), WALL_ON(driven, test)

int main(void) {
  const struct CMUnitTest tests[] = {
      WALL(due_when_the_clock_says_so),
      WALL(due_after_a_while),
      WALL_ON(driven, a_far_one_costs_a_round_nothing),
      WALL(due_at_once_when_the_clock_is_set_past_it),
      WALL(waits_longer_when_the_clock_is_set_back),
      WALL(notices_every_one_of_many_jumps),
      WALL(periods_go_on_after_a_jump),
      WALL(the_monotonic_clock_does_not_care),
      WALL(remaining_follows_the_clock),
      WALL(a_cancelled_one_stays_silent_over_a_jump),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
