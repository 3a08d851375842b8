/* SPDX-License-Identifier: BSD-3-Clause */
/* torque_wake() ends a wait, or the next one; from any thread, and from a signal handler. */
#include "support/probe.h"

#include <errno.h>
#include <signal.h>

#include "support/cmocka.h"

static void before_the_wait(void **state) {
  struct fixture *f = *state;
  uint64_t n = 77;
  for (int i = 0; i < 100; i++) {
    assert_int_equal(torque_wake(f->ctx), 0);
    assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, &n), 0);
    assert_int_equal(n, 0);
  }
}

struct waker {
  struct fixture *f;
  _Atomic uint32_t waits; /* begun by the test's thread */
  _Atomic uint32_t errors;
  uint32_t rounds;
};

static void *wake_each_wait(void *arg) {
  struct waker *w = arg;
  for (uint32_t i = 1; i <= w->rounds; i++) {
    STAY_UNTIL(atomic_load(&w->waits) >= i || atomic_load(&w->f->quit));
    if (i % 8 == 0) nap(); /* sometimes it sleeps, sometimes it is about to */
    if (torque_wake(w->f->ctx)) atomic_fetch_add(&w->errors, 1);
  }
  return NULL;
}

static void from_another_thread(void **state) {
  struct fixture *f = *state;
  struct waker *w = fixture_take(f, sizeof *w);
  *w = (struct waker){.f = f, .rounds = FEWER(5000)};
  fixture_thread(f, wake_each_wait, w);
  for (uint32_t i = 1; i <= w->rounds; i++) {
    uint64_t n = 77;
    atomic_store(&w->waits, i);
    assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, &n), 0);
    assert_int_equal(n, 0);
  }
  fixture_join(f);
  assert_int_equal(w->errors, 0);
}

static struct torque_ctx *_Atomic handler_ctx;
static _Atomic int handler_runs;
static _Atomic int handler_changed_errno;

static void wake_in_handler(int signo) {
  (void)signo;
  const int before = errno;
  (void)torque_wake(atomic_load(&handler_ctx));
  if (errno != before) atomic_store(&handler_changed_errno, 1);
  atomic_fetch_add(&handler_runs, 1);
}

struct signaller {
  struct fixture *f;
  pthread_t victim;
  _Atomic uint32_t waits;
  uint32_t rounds;
};

static void *signal_each_wait(void *arg) {
  struct signaller *s = arg;
  for (uint32_t i = 1; i <= s->rounds; i++) {
    STAY_UNTIL(atomic_load(&s->waits) >= i || atomic_load(&s->f->quit));
    if (i % 8 == 0) nap();
    pthread_kill(i % 2 ? s->victim : pthread_self(), SIGUSR1); /* handled by the one who waits, or by another */
  }
  return NULL;
}

static void from_a_signal_handler(void **state) {
  struct fixture *f = *state;
  struct sigaction act = {.sa_handler = wake_in_handler, .sa_flags = SA_RESTART}, before;
  struct signaller *s = fixture_take(f, sizeof *s);
  *s = (struct signaller){.f = f, .victim = pthread_self(), .rounds = FEWER(2000)};
  atomic_store(&handler_ctx, f->ctx);
  atomic_store(&handler_runs, 0);
  sigaction(SIGUSR1, &act, &before);
  fixture_thread(f, signal_each_wait, s);
  for (uint32_t i = 1; i <= s->rounds; i++) {
    uint64_t n = 77;
    atomic_store(&s->waits, i);
    assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, &n), 0);
    assert_int_equal(n, 0);
  }
  fixture_join(f);
  sigaction(SIGUSR1, &before, NULL);
  assert_int_equal(handler_runs, s->rounds);
  assert_int_equal(handler_changed_errno, 0);
}

/* torque_run() looks around and goes on. */
static void break_run(void *arg) { (void)torque_break(((struct waker *)arg)->f->ctx); }

static void *wake_then_break(void *arg) {
  struct waker *w = arg;
  for (int i = 0; i < 20; i++) {
    if (torque_wake(w->f->ctx)) atomic_fetch_add(&w->errors, 1);
    nap();
  }
  atomic_store(&w->waits, 1);
  if (torque_post(w->f->ctx, break_run, w)) atomic_fetch_add(&w->errors, 1);
  return NULL;
}

static void a_run_goes_on(void **state) {
  struct fixture *f = *state;
  struct waker *w = fixture_take(f, sizeof *w);
  w->f = f;
  fixture_thread(f, wake_then_break, w);
  assert_int_equal(torque_run(f->ctx), 0);
  assert_int_equal(w->waits, 1); /* not before the break */
  fixture_join(f);
  assert_int_equal(w->errors, 0);
}

/* Events that come together with it are not lost. */
static void events_beside_it_are_served(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  for (uint32_t i = 1; i <= 100; i++) {
    say(fd[1], 1);
    assert_int_equal(torque_wake(f->ctx), 0);
    AWAIT(f, p->bytes == i);
  }
}

static void a_threaded_context_does_not_mind(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  for (uint32_t i = 1; i <= 100; i++) {
    assert_int_equal(torque_wake(f->ctx), 0);
    assert_int_equal(torque_trigger(p->source, 0), 0);
    AWAIT(f, p->calls == i);
  }
  fixture_settle(f);
  assert_int_equal(p->calls, 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, before_the_wait),
      ON(driven, from_another_thread),
      ON(driven, from_a_signal_handler),
      ON(driven, a_run_goes_on),
      ON(driven, events_beside_it_are_served),
      ON_THREADED(a_threaded_context_does_not_mind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
