/* SPDX-License-Identifier: BSD-3-Clause */
/* torque_run_once() waits as long as it was told and no shorter; torque_run_ready() never waits. */
#include "support/probe.h"

#include <signal.h>

#include "support/cmocka.h"

static uint64_t wait_once(struct fixture *f, uint64_t timeout, uint64_t *ret_count) {
  const uint64_t begin = monotonic_ns();
  *ret_count = 77;
  assert_int_equal(torque_run_once(f->ctx, timeout, ret_count), 0);
  return monotonic_ns() - begin;
}

static const uint64_t kTimeouts[] = {0, 1, 1000, 100000, 999999, 1500000, 20000001};

static void not_early(void **state) {
  struct fixture *f = *state;
  for (size_t i = 0; i < sizeof kTimeouts / sizeof *kTimeouts; i++) {
    uint64_t n;
    assert_true(wait_once(f, kTimeouts[i], &n) >= kTimeouts[i]);
    assert_int_equal(n, 0);
  }
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  (void)expirations;
  atomic_store((_Atomic uint64_t *)arg, monotonic_ns());
}

static void not_early_with_a_later_timer(void **state) {
  struct fixture *f = *state;
  _Atomic uint64_t *fired = fixture_take(f, sizeof *fired);
  torque_source source = 0;
  assert_int_equal(
      torque_timer_add(f->ctx, 3600000000000u, 0, 0, on_timer, (void *)(uintptr_t)fired, &source), 0);
  not_early(state);
  assert_int_equal(*fired, 0);
}

static void a_timer_ends_the_wait(void **state) {
  struct fixture *f = *state;
  for (size_t i = 0; i < sizeof kTimeouts / sizeof *kTimeouts; i++) {
    _Atomic uint64_t *fired = fixture_take(f, sizeof *fired);
    torque_source source = 0;
    const uint64_t due = monotonic_ns() + kTimeouts[i];
    assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, (void *)(uintptr_t)fired, &source), 0);
    assert_int_equal(torque_timer_set(source, due, 0, TORQUE_TIMER_ABSOLUTE), 0);
    uint64_t n = 0;
    assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, &n), 0); /* one round, and the one that served it */
    assert_int_equal(n, 1);
    assert_true(*fired >= due);
    assert_int_equal(torque_source_remove(source), 0);
  }
}

static void interrupted(int signo) { (void)signo; }

struct pest {
  struct fixture *f;
  pthread_t victim;
  _Atomic int enough;
  _Atomic uint32_t sent;
};

static void *interrupt(void *arg) {
  struct pest *p = arg;
  while (!atomic_load(&p->enough) && !atomic_load(&p->f->quit)) {
    pthread_kill(p->victim, SIGUSR1);
    atomic_fetch_add(&p->sent, 1);
    nap();
  }
  return NULL;
}

static void signals_do_not_shorten_it(void **state) {
  struct fixture *f = *state;
  struct sigaction act = {.sa_handler = interrupted}, before;
  struct pest *p = fixture_take(f, sizeof *p);
  *p = (struct pest){.f = f, .victim = pthread_self()};
  sigaction(SIGUSR1, &act, &before);
  fixture_thread(f, interrupt, p);
  AWAIT(f, p->sent > 3);
  uint64_t n;
  const uint64_t took = wait_once(f, 50000000, &n);
  const uint32_t sent = p->sent;
  atomic_store(&p->enough, 1);
  fixture_join(f);
  sigaction(SIGUSR1, &before, NULL);
  assert_true(took >= 50000000);
  assert_int_equal(n, 0);
  assert_true(sent > 3);
}

static void everything_is_counted(void **state) {
  struct fixture *f = *state;
  int fd[2];
  uint64_t n = 0, total = 0;
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0), *q = probe_event(f, 0);
  assert_int_equal(torque_run_ready(f->ctx, &n), 0);
  assert_int_equal(n, 0);
  say(fd[1], 1);
  assert_int_equal(torque_trigger(q->source, 0), 0);
  for (int i = 0; i < 10 && total < 2; i++, total += n) assert_int_equal(torque_run_ready(f->ctx, &n), 0);
  assert_int_equal(total, 2);
  assert_int_equal(p->calls, 1);
  assert_int_equal(q->calls, 1);
  assert_int_equal(torque_run_ready(f->ctx, NULL), 0); /* it may be null */
  assert_int_equal(torque_run_once(f->ctx, 0, NULL), 0);
}

/* Should it block after all, it is woken, and found out. */
struct guard {
  struct fixture *f;
  _Atomic int done;
  _Atomic int had_to_wake;
};

static void *guard(void *arg) {
  struct guard *g = arg;
  STAY_UNTIL(atomic_load(&g->done) || atomic_load(&g->f->quit));
  if (atomic_load(&g->done)) return NULL;
  atomic_store(&g->had_to_wake, 1);
  while (!atomic_load(&g->done) && !atomic_load(&g->f->quit)) {
    (void)torque_wake(g->f->ctx);
    nap();
  }
  return NULL;
}

static void run_ready_never_waits(void **state) {
  struct fixture *f = *state;
  struct guard *g = fixture_take(f, sizeof *g);
  _Atomic uint64_t *fired = fixture_take(f, sizeof *fired);
  torque_source source = 0;
  g->f = f;
  fixture_thread(f, guard, g);
  struct probe *p = probe_event(f, 0);
  for (int i = 0; i < 200; i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  assert_int_equal(
      torque_timer_add(f->ctx, 3600000000000u, 0, 0, on_timer, (void *)(uintptr_t)fired, &source), 0);
  for (int i = 0; i < 200; i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  atomic_store(&g->done, 1);
  fixture_join(f);
  assert_int_equal(g->had_to_wake, 0);
  assert_int_equal(p->calls, 0);
  assert_int_equal(*fired, 0);
}

/* Descriptors that are ready come before a timeout that became due while they waited. */
struct order {
  _Atomic int next;
  _Atomic int descriptor;
  _Atomic int timer;
};

static int32_t on_descriptor(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)events;
  struct order *o = arg;
  drain(fd, NULL);
  atomic_store(&o->descriptor, atomic_fetch_add(&o->next, 1) + 1);
  return TORQUE_DONE;
}

static void on_timeout(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  (void)expirations;
  struct order *o = arg;
  atomic_store(&o->timer, atomic_fetch_add(&o->next, 1) + 1);
}

static void ready_descriptors_come_before_due_timers(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 20; i++) {
    struct order *o = fixture_take(f, sizeof *o);
    torque_source descriptor = 0, timer = 0;
    int fd[2];
    fixture_pair(f, fd);
    assert_int_equal(torque_fd_add(f->ctx, fd[0], TORQUE_READ, 0, on_descriptor, o, &descriptor), 0);
    assert_int_equal(torque_timer_add(f->ctx, 100000, 0, 0, on_timeout, o, &timer), 0);
    say(fd[1], 1);
    nap(); /* the timer falls due while nobody runs the context */
    AWAIT(f, o->next == 2);
    assert_int_equal(o->descriptor, 1);
    assert_int_equal(o->timer, 2);
    assert_int_equal(torque_source_remove(timer), 0);
    assert_int_equal(torque_source_remove(descriptor), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, not_early),
      ON(driven, not_early_with_a_later_timer),
      ON(driven, a_timer_ends_the_wait),
      ON(driven, signals_do_not_shorten_it),
      ON(driven, everything_is_counted),
      ON(driven, run_ready_never_waits),
      ON(driven, ready_descriptors_come_before_due_timers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
