/* SPDX-License-Identifier: BSD-3-Clause */
/* A driven context inside a loop that takes a descriptor and nothing else: timers that fall due, and work that is left, make
 * it readable. Each test waits in poll() or epoll_wait() alone, for 30 s at most. */
#include <libtorque/watch.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"
#include "support/probe.h"

#include "support/cmocka.h"

enum { PATIENCE_MS = 30000 };

static int readable(struct torque_ctx *ctx, int ms) {
  struct pollfd p = {.fd = torque_poll_fd(ctx), .events = POLLIN};
  return poll(&p, 1, ms) > 0;
}

/* One turn of the foreign loop. 0: the descriptor said nothing. */
static int turn(struct fixture *f) {
  if (!readable(f->ctx, PATIENCE_MS)) return 0;
  assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  return 1;
}

static void until_quiet(struct fixture *f) {
  for (int i = 0; i < 100 && readable(f->ctx, 0); i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  assert_false(readable(f->ctx, 0));
}

struct times {
  struct fixture *f;
  torque_source source;
  _Atomic uint32_t calls;
  uint32_t until;
  uint64_t again; /* it sets itself anew, this far ahead */
};

static void on_time(torque_source source, uint64_t expirations, void *arg) {
  struct times *t = arg;
  (void)expirations;
  const uint32_t calls = atomic_fetch_add(&t->calls, 1) + 1;
  if (t->until && calls == t->until) (void)torque_source_remove(source);
  else if (t->again) (void)torque_timer_set(source, t->again, 0, 0);
}

static struct times *new_timer(struct fixture *f, int32_t clock) {
  struct times *t = fixture_take(f, sizeof *t);
  t->f = f;
  assert_int_equal(torque_timer_new(f->ctx, clock, on_time, t, &t->source), 0);
  return t;
}

static void a_timer_makes_it_readable(void **state) {
  struct times *t = new_timer(*state, TORQUE_CLOCK_MONOTONIC);
  for (uint32_t i = 1; i <= 50; i++) {
    assert_int_equal(torque_timer_set(t->source, i % 5 * 300000, 0, 0), 0);
    while (t->calls < i) assert_true(turn(*state));
  }
  until_quiet(*state);
}

static void without_the_setting_it_does_not(void **state) {
  struct times *t = new_timer(*state, TORQUE_CLOCK_MONOTONIC);
  uint64_t deadline = UINT64_MAX;
  until_quiet(*state);
  assert_int_equal(torque_timer_set(t->source, 3600000000000u, 0, 0), 0);
  until_quiet(*state); /* whoever sets it from outside has the loop ask for the deadline again */
  assert_int_equal(torque_timer_set(t->source, 1, 0, TORQUE_TIMER_ABSOLUTE), 0);
  until_quiet(*state);
  assert_int_equal(t->calls, 1); /* by that run */
  assert_int_equal(torque_deadline(((struct fixture *)*state)->ctx, &deadline), 0);
  assert_true(deadline == UINT64_MAX);
}

static void the_wall_clocks_too(void **state) {
  struct times *t = new_timer(*state, TORQUE_CLOCK_WALL);
  for (uint32_t i = 1; i <= 10; i++) {
    assert_int_equal(torque_timer_set(t->source, i % 3 * 300000, 0, 0), 0);
    while (t->calls < i) assert_true(turn(*state));
  }
}

static void after_one_that_was_cancelled_the_next(void **state) {
  struct fixture *f = *state;
  struct times *first = new_timer(f, TORQUE_CLOCK_MONOTONIC), *second = new_timer(f, TORQUE_CLOCK_MONOTONIC);
  for (uint32_t i = 1; i <= 20; i++) {
    assert_int_equal(torque_timer_set(second->source, 2000000, 0, 0), 0);
    assert_int_equal(torque_timer_set(first->source, 500000, 0, 0), 0);
    if (i % 2) assert_int_equal(torque_timer_cancel(first->source), 0);
    else assert_int_equal(torque_timer_set(first->source, 1500000, 0, 0), 0);
    while (second->calls < i) assert_true(turn(f));
    (void)torque_timer_cancel(first->source);
  }
  assert_true(first->calls <= 10);
}

static void a_period_and_one_that_sets_itself(void **state) {
  struct fixture *f = *state;
  struct times *periodic = new_timer(f, TORQUE_CLOCK_MONOTONIC), *self = new_timer(f, TORQUE_CLOCK_MONOTONIC);
  self->again = 700000;
  self->until = 20;
  assert_int_equal(torque_timer_set(periodic->source, 500000, 500000, 0), 0);
  assert_int_equal(torque_timer_set(self->source, 0, 0, 0), 0);
  while (periodic->calls < 20 || self->calls < 20) assert_true(turn(f));
}

/* More at once than a run serves. */
static void a_crowd_that_is_due_together(void **state) {
  struct fixture *f = *state;
  enum { CROWD = 20000 };
  struct times *t = fixture_take(f, sizeof *t);
  t->f = f;
  for (uint32_t i = 0; i < CROWD; i++) {
    torque_source source;
    assert_int_equal(torque_timer_add(f->ctx, 1000000, 0, TORQUE_TIMER_REMOVE, on_time, t, &source), 0);
  }
  while (t->calls < CROWD) assert_true(turn(f));
  until_quiet(f);
}

/* ---- What a run has left ---- */

static void count(void *arg) { atomic_fetch_add((_Atomic uint32_t *)arg, 1); }

static void more_posts_than_a_run_serves(void **state) {
  struct fixture *f = *state;
  enum { POSTS = 20000 };
  _Atomic uint32_t *ran = fixture_take(f, sizeof *ran);
  for (uint32_t i = 0; i < POSTS; i++) assert_int_equal(torque_post(f->ctx, count, (void *)ran), 0);
  while (*ran < POSTS) assert_true(turn(f));
  until_quiet(f);
}

struct relay {
  struct fixture *f;
  uint32_t left;
};
static void pass_on(void *arg) {
  struct relay *r = arg;
  if (--r->left) assert_int_equal(torque_post(r->f->ctx, pass_on, r), 0);
}
static void one_that_posts_itself(void **state) {
  struct relay *r = fixture_take(*state, sizeof *r);
  *r = (struct relay){.f = *state, .left = 1000};
  assert_int_equal(torque_post(r->f->ctx, pass_on, r), 0);
  while (r->left) assert_true(turn(*state));
  until_quiet(*state);
}

static void a_source_that_asks_for_more(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  p->answer = TORQUE_AGAIN;
  assert_int_equal(torque_trigger(p->source, 0), 0);
  while (p->calls < 100) assert_true(turn(f));
  assert_int_equal(torque_source_remove(p->source), 0);
  until_quiet(f);
}

static int32_t when_idle(torque_source source, void *arg) {
  (void)source;
  count(arg);
  return TORQUE_AGAIN;
}

static void idle_sources_have_their_turns(void **state) {
  struct fixture *f = *state;
  _Atomic uint32_t *told = fixture_take(f, sizeof *told);
  torque_source source;
  assert_int_equal(torque_idle_add(f->ctx, when_idle, (void *)told, &source), 0);
  for (int i = 0; i < 10000 && *told < 100; i++) assert_true(turn(f));
  assert_true(*told >= 100);
  assert_int_equal(torque_source_remove(source), 0);
  until_quiet(f);
}

/* ---- From other threads, and in other loops ---- */

enum { ROUNDS = FEWER(2000) };

static void *set_and_await(void *arg) {
  struct times *t = arg;
  for (uint32_t i = 1; i <= ROUNDS && !atomic_load(&t->f->quit); i++) {
    if (i % 4 == 0) nap(); /* until it sleeps for sure; else: about to */
    if (torque_timer_set(t->source, i % 3 * 50000, 0, 0)) break;
    STAY_UNTIL(atomic_load(&t->calls) >= i || atomic_load(&t->f->quit));
  }
  return NULL;
}

static void set_by_another_thread(void **state) {
  struct times *t = new_timer(*state, TORQUE_CLOCK_MONOTONIC), *far = new_timer(*state, TORQUE_CLOCK_MONOTONIC);
  assert_int_equal(torque_timer_set(far->source, 3600000000000u, 0, 0), 0);
  fixture_thread(*state, set_and_await, t);
  while (t->calls < ROUNDS) assert_true(turn(*state));
  assert_int_equal(far->calls, 0);
  until_quiet(*state); /* one that is not due says nothing */
}

static void in_epoll_sets(void **state) {
  struct fixture *f = *state;
  struct times *t = new_timer(f, TORQUE_CLOCK_MONOTONIC);
  struct epoll_event ev = {.events = EPOLLIN};
  const int inner = epoll_create1(EPOLL_CLOEXEC), outer = epoll_create1(EPOLL_CLOEXEC); /* a loop within a loop */
  fixture_own(f, inner);
  fixture_own(f, outer);
  assert_int_equal(epoll_ctl(inner, EPOLL_CTL_ADD, torque_poll_fd(f->ctx), &ev), 0);
  assert_int_equal(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &ev), 0);
  fixture_thread(f, set_and_await, t);
  while (t->calls < ROUNDS) {
    assert_int_equal(epoll_wait(outer, &ev, 1, PATIENCE_MS), 1);
    assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  }
}

/* The library's own runs are as ever. */
static void run_by_the_library(void **state) {
  struct times *t = new_timer(*state, TORQUE_CLOCK_MONOTONIC);
  t->again = 300000;
  t->until = 50;
  assert_int_equal(torque_timer_set(t->source, 0, 0, 0), 0);
  while (t->calls < 50) assert_int_equal(torque_run_once(t->f->ctx, UINT64_MAX, NULL), 0);
  until_quiet(*state);
}

static int tell_twice(void *arg) {
  struct times *t = arg;
  CHECK(torque_reinit(t->f->ctx) == 0);
  for (uint32_t i = 1; i <= 2; i++) {
    if (i == 2) CHECK(torque_timer_set(t->source, 1000000, 0, 0) == 0);
    while (t->calls < i) {
      CHECK(readable(t->f->ctx, PATIENCE_MS));
      CHECK(torque_run_ready(t->f->ctx, NULL) == 0);
    }
  }
  CHECK(torque_stop(t->f->ctx) == 0);
  return 0;
}

static void in_a_forked_child(void **state) {
  struct times *t = new_timer(*state, TORQUE_CLOCK_MONOTONIC);
  assert_int_equal(torque_timer_set(t->source, 1000000, 0, 0), 0);
  assert_int_equal(child_run(tell_twice, t), 0);
  while (t->calls < 1) assert_true(turn(*state));
}

static void on_watch(int32_t fd, uint32_t events, int32_t error, void *arg) {
  (void)fd, (void)events, (void)error, (void)arg;
}

static void not_for_watches(void **state) {
  assert_int_equal(torque_watch_init(((struct fixture *)*state)->ctx, on_watch, NULL), TORQUE_ERR_KIND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(polled, a_timer_makes_it_readable),
      ON(driven, without_the_setting_it_does_not),
      ON(polled, the_wall_clocks_too),
      ON(polled, after_one_that_was_cancelled_the_next),
      ON(polled, a_period_and_one_that_sets_itself),
      ON(polled, a_crowd_that_is_due_together),
      ON(polled, more_posts_than_a_run_serves),
      ON(polled, one_that_posts_itself),
      ON(polled, a_source_that_asks_for_more),
      ON(polled, idle_sources_have_their_turns),
      ON(polled, set_by_another_thread),
      ON(polled, in_epoll_sets),
      ON(polled, run_by_the_library),
      ON(polled, in_a_forked_child),
      ON(polled, not_for_watches),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
