/* SPDX-License-Identifier: BSD-3-Clause */
/* A driven context inside somebody else's loop: one descriptor and one deadline tell everything, at any time. */
#include "support/probe.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "support/cmocka.h"

static int poll_timeout_ms(uint64_t deadline) {
  const uint64_t now = monotonic_ns();
  if (deadline <= now) return 0;
  const uint64_t ms = (deadline - now + 999999) / 1000000;
  return ms > 10000 ? 10000 : (int)ms;
}

/* One turn of the foreign loop. 0: neither the descriptor nor the deadline said anything for 10 s. */
static int foreign_turn(struct fixture *f) {
  struct pollfd p = {.fd = torque_poll_fd(f->ctx), .events = POLLIN};
  uint64_t deadline = 0;
  assert_int_equal(torque_deadline(f->ctx, &deadline), 0);
  const int timeout = poll_timeout_ms(deadline);
  const int n = poll(&p, 1, timeout);
  assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  return n > 0 || timeout < 10000;
}

static int quiet(struct fixture *f) {
  struct pollfd p = {.fd = torque_poll_fd(f->ctx), .events = POLLIN};
  return poll(&p, 1, 0) == 0;
}

static void until_quiet(struct fixture *f) {
  for (int i = 0; i < 100 && !quiet(f); i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
}

/* Another thread makes something happen, waits until it did, and so on: each time the loop sleeps in poll. */
enum { ROUNDS = FEWER(2000), KINDS = 6 };

struct world {
  struct fixture *f;
  int peer;
  torque_source descriptor, event, timer, fresh;
  _Atomic uint32_t wanted;
  _Atomic uint32_t done;
  _Atomic uint32_t errors;
  _Atomic int finished;
};

static void happened(struct world *w) { atomic_fetch_add(&w->done, 1); }

static int32_t on_ready(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)events;
  if (fd >= 0) drain(fd, NULL);
  happened(arg);
  return TORQUE_DONE;
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  (void)expirations;
  happened(arg);
}

static void on_post(void *arg) { happened(arg); }

static torque_err cause(struct world *w, uint32_t kind) {
  torque_source source = 0;
  switch (kind) {
    case 0: return say(w->peer, 1), 0;
    case 1: return torque_trigger(w->event, 0);
    case 2: return torque_post(w->f->ctx, on_post, w);
    case 3: return torque_timer_set(w->timer, 100000, 0, 0); /* sooner than what the loop sleeps for */
    case 4: return torque_timer_add(w->f->ctx, 1, 0, TORQUE_TIMER_REMOVE, on_timer, w, &source);
    default: return torque_post_source(w->event, on_post, w);
  }
}

static void *make_things_happen(void *arg) {
  struct world *w = arg;
  for (uint32_t i = 0; i < ROUNDS && !atomic_load(&w->f->quit); i++) {
    if (i % 4 == 0) nap(); /* until it sleeps for sure; else: about to */
    atomic_store(&w->wanted, i + 1);
    if (cause(w, i % KINDS)) atomic_fetch_add(&w->errors, 1);
    STAY_UNTIL(atomic_load(&w->done) >= i + 1 || atomic_load(&w->f->quit));
  }
  atomic_store(&w->finished, 1);
  (void)torque_wake(w->f->ctx);
  return NULL;
}

static struct world *populate(struct fixture *f) {
  struct world *w = fixture_take(f, sizeof *w);
  int fd[2];
  w->f = f;
  fixture_pair(f, fd);
  w->peer = fd[1];
  assert_int_equal(torque_fd_add(f->ctx, fd[0], TORQUE_READ, 0, on_ready, w, &w->descriptor), 0);
  assert_int_equal(torque_event_add(f->ctx, 0, on_ready, w, &w->event), 0);
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, w, &w->timer), 0);
  return w;
}

static void a_poll_loop_misses_nothing(void **state) {
  struct fixture *f = *state;
  struct world *w = populate(f);
  torque_source far = 0;
  assert_int_equal(torque_timer_add(f->ctx, 3600000000000u, 0, 0, on_timer, w, &far), 0);
  fixture_thread(f, make_things_happen, w);
  while (!atomic_load(&w->finished)) assert_true(foreign_turn(f));
  fixture_join(f);
  assert_int_equal(w->errors, 0);
  assert_int_equal(w->done, ROUNDS);
}

static void several_contexts_in_one_loop(void **state) {
  struct fixture *f = *state;
  struct fixture *other = fixture_take(f, sizeof *other);
  struct torque_config *c = shape_config(f->shape);
  other->shape = f->shape;
  assert_int_equal(torque_ctx_new(c, &other->ctx), 0);
  torque_config_free(c);
  struct probe *here = probe_event(f, 0), *there = probe_event(other, 0);
  for (uint32_t i = 1; i <= 100; i++) {
    struct pollfd p[2] = {{.fd = torque_poll_fd(f->ctx), .events = POLLIN},
                          {.fd = torque_poll_fd(other->ctx), .events = POLLIN}};
    assert_int_equal(torque_trigger(i & 1 ? here->source : there->source, 0), 0);
    uint64_t deadline = 0;
    assert_int_equal(torque_deadline(i & 1 ? f->ctx : other->ctx, &deadline), 0);
    assert_true(poll(p, 2, poll_timeout_ms(deadline)) > 0 || deadline == 0);
    assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_int_equal(torque_run_ready(other->ctx, NULL), 0);
    assert_int_equal(here->calls + there->calls, i);
  }
  assert_int_equal(torque_stop(other->ctx), 0);
  other->ctx = NULL;
  assert_ended(there, TORQUE_END_STOPPED);
  while (other->owned_memory) { /* what probe_event() took for it */
    void *next = *(void **)other->owned_memory;
    free(other->owned_memory);
    other->owned_memory = next;
  }
}

/* Once it has been looked after: an earlier deadline first asks for that. */
static uint64_t settled_deadline(struct fixture *f) {
  uint64_t deadline = 0;
  until_quiet(f);
  assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  assert_int_equal(torque_deadline(f->ctx, &deadline), 0);
  return deadline;
}

static void the_deadline_is_the_next_timers(void **state) {
  struct fixture *f = *state;
  struct world *w = populate(f);
  torque_source second = 0;
  uint64_t deadline = UINT64_MAX;
  const uint64_t later = monotonic_ns() + 7200000000000u, sooner = later - 3600000000000u;
  assert_true(settled_deadline(f) == UINT64_MAX);
  assert_int_equal(torque_timer_set(w->timer, later, 0, TORQUE_TIMER_ABSOLUTE), 0);
  assert_int_equal(torque_deadline(f->ctx, &deadline), 0);
  assert_true(deadline <= later); /* at any time: never later than it should be */
  assert_true(settled_deadline(f) == later);
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, w, &second), 0);
  assert_int_equal(torque_timer_set(second, sooner, 0, TORQUE_TIMER_ABSOLUTE), 0);
  assert_int_equal(torque_deadline(f->ctx, &deadline), 0);
  assert_true(deadline <= sooner);
  assert_true(settled_deadline(f) == sooner);
  assert_int_equal(torque_timer_cancel(second), 0);
  assert_true(settled_deadline(f) == later);
  assert_int_equal(torque_source_remove(w->timer), 0);
  assert_true(settled_deadline(f) == UINT64_MAX);
  assert_int_equal(w->done, 0);
}

/* Either of the two says that there is something to do, and neither does when there is nothing. */
static int something_to_do(struct fixture *f) {
  uint64_t deadline = UINT64_MAX;
  assert_int_equal(torque_deadline(f->ctx, &deadline), 0);
  return !quiet(f) || deadline <= monotonic_ns();
}

static void work_is_shown_and_idleness_too(void **state) {
  struct fixture *f = *state;
  struct world *w = populate(f);
  struct probe *postponed = probe_new(f);
  postponed->answer = TORQUE_AGAIN;
  until_quiet(f);
  for (uint32_t kind = 0; kind < KINDS; kind++) {
    const uint32_t done = w->done;
    assert_int_equal(cause(w, kind), 0);
    AWAIT(f, w->done == done + 1);
    until_quiet(f);
    assert_false(something_to_do(f));
    assert_int_equal(cause(w, kind), 0);
    nap(); /* for the timers */
    assert_true(something_to_do(f));
    for (int i = 0; i < 10 && w->done < done + 2; i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_int_equal(w->done, done + 2);
    until_quiet(f);
  }
  probe_start_event(f, postponed, 0);
  assert_int_equal(torque_trigger(postponed->source, 0), 0);
  for (uint32_t i = 1; i <= 20; i++) {
    assert_true(something_to_do(f)); /* a source that asked for more */
    assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_int_equal(postponed->calls, i);
  }
}

/* The descriptor is a good citizen of an epoll set. */
static void in_an_epoll_set(void **state) {
  struct fixture *f = *state;
  struct world *w = populate(f);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  fixture_own(f, epoll);
  struct epoll_event ev = {.events = EPOLLIN};
  assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, torque_poll_fd(f->ctx), &ev), 0);
  fixture_thread(f, make_things_happen, w);
  while (!atomic_load(&w->finished)) {
    uint64_t deadline = 0;
    assert_int_equal(torque_deadline(f->ctx, &deadline), 0);
    const int timeout = poll_timeout_ms(deadline);
    assert_true(epoll_wait(epoll, &ev, 1, timeout) > 0 || timeout < 10000);
    assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  }
  fixture_join(f);
  assert_int_equal(w->done, ROUNDS);
  assert_int_equal(w->errors, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, a_poll_loop_misses_nothing),
      ON(polled, a_poll_loop_misses_nothing),
      ON(driven, several_contexts_in_one_loop),
      ON(polled, several_contexts_in_one_loop),
      ON(driven, the_deadline_is_the_next_timers),
      ON(polled, the_deadline_is_the_next_timers),
      ON(driven, work_is_shown_and_idleness_too),
      ON(polled, work_is_shown_and_idleness_too),
      ON(driven, in_an_epoll_set),
      ON(polled, in_an_epoll_set),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
