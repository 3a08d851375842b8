/* SPDX-License-Identifier: BSD-3-Clause */
/* Conditions: threads and sources wait for the same signals, in the order in which they began to; none is lost. */
#include "support/child.h"
#include "support/context.h"

#include <errno.h>
#include <sched.h>

#include "support/cmocka.h"

#define TIMED_OUT (TORQUE_ERR_SYSCALL + ETIMEDOUT)

struct waiter {
  struct fixture *f;
  torque_source condition, source;
  pthread_mutex_t *mutex;
  uint64_t timeout;
  _Atomic int about_to_wait;
  _Atomic uint32_t woken, calls, finals, reason;
  _Atomic uint64_t signals;
  _Atomic torque_err err;
};

static struct waiter *waiters_for(struct fixture *f, uint32_t n, torque_source condition, pthread_mutex_t *mutex) {
  struct waiter *w = fixture_take(f, n * sizeof *w);
  for (uint32_t i = 0; i < n; i++)
    w[i] = (struct waiter){.f = f, .condition = condition, .mutex = mutex, .timeout = UINT64_MAX};
  return w;
}

static torque_source condition_of(struct fixture *f, uint32_t flags) {
  torque_source c;
  assert_int_equal(torque_condition_new(f->ctx, flags, &c), 0);
  return c;
}

static void *wait_once(void *arg) {
  struct waiter *w = arg;
  if (w->mutex) pthread_mutex_lock(w->mutex);
  atomic_store(&w->about_to_wait, 1);
  atomic_store(&w->err, torque_condition_wait(w->condition, w->mutex, w->timeout));
  if (w->mutex) pthread_mutex_unlock(w->mutex);
  atomic_fetch_add(&w->woken, 1);
  return NULL;
}

static void on_signal(torque_source source, uint64_t signals, void *arg) {
  struct waiter *w = arg;
  if (source != w->source) atomic_store(&w->err, -1);
  atomic_fetch_add(&w->signals, signals);
  atomic_fetch_add(&w->calls, 1);
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  struct waiter *w = arg;
  (void)source;
  atomic_store(&w->reason, (uint32_t)reason);
  atomic_fetch_add(&w->finals, 1);
}

static void source_waits(struct waiter *w) {
  assert_int_equal(torque_condition_add_new(w->condition, on_signal, w, &w->source), 0);
  assert_int_equal(torque_source_set_finalizer(w->source, on_final), 0);
  assert_int_equal(torque_source_start(w->source), 0);
}

/* A thread that has given up its mutex is waiting: it took its place before. */
static void thread_waits(struct fixture *f, struct waiter *w) {
  fixture_thread(f, wait_once, w);
  AWAIT(f, w->about_to_wait);
  pthread_mutex_lock(w->mutex);
  pthread_mutex_unlock(w->mutex);
}

static void first_come_first_served(void **state) {
  struct fixture *f = *state;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  enum { N = 6 };
  struct waiter *w = waiters_for(f, N, condition_of(f, 0), &mutex);
  for (int i = 0; i < N; i++) {
    if (i % 2) source_waits(&w[i]);
    else thread_waits(f, &w[i]);
  }
  for (int i = 0; i < N; i++) {
    assert_int_equal(torque_condition_signal(w[0].condition), 0);
    AWAIT(f, i % 2 ? w[i].calls : w[i].woken);
    for (int k = i + 1; k < N; k++) assert_int_equal(w[k].calls + w[k].woken, 0);
    assert_int_equal(w[i].err, 0);
  }
  /* Only the sources wait again, one after another. (That of a signal has its place when its callback has returned.) */
  fixture_settle(f);
  for (int round = 0; round < 3; round++) assert_int_equal(torque_condition_signal(w[0].condition), 0);
  AWAIT(f, w[1].signals + w[3].signals + w[5].signals == 6);
  for (int i = 1; i < N; i += 2) assert_int_equal(w[i].signals, 2);
}

static void a_broadcast_is_for_all(void **state) {
  struct fixture *f = *state;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  enum { N = 10 };
  struct waiter *w = waiters_for(f, N, condition_of(f, 0), &mutex);
  for (int i = 0; i < N; i++) {
    if (i % 2) source_waits(&w[i]);
    else thread_waits(f, &w[i]);
  }
  assert_int_equal(torque_condition_broadcast(w[0].condition), 0);
  for (int i = 0; i < N; i++) AWAIT(f, i % 2 ? w[i].calls : w[i].woken);
  fixture_settle(f);
  for (int i = 0; i < N; i++) {
    assert_int_equal(w[i].err, 0);
    assert_int_equal(w[i].calls, i % 2);
    assert_int_equal(w[i].signals, i % 2);
  }
}

static void what_finds_nobody_is_lost_or_kept(void **state) {
  struct fixture *f = *state;
  const torque_source plain = condition_of(f, 0), counting = condition_of(f, TORQUE_CONDITION_COUNTING);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(torque_condition_signal(plain), 0);
    assert_int_equal(torque_condition_signal(counting), 0);
    assert_int_equal(torque_condition_broadcast(counting), 0);
  }
  assert_int_equal(torque_condition_wait(plain, NULL, 0), TIMED_OUT);
  assert_int_equal(torque_condition_wait(counting, NULL, 0), 0);
  assert_int_equal(torque_condition_wait(counting, NULL, UINT64_MAX), 0);
  struct waiter *w = waiters_for(f, 2, counting, NULL);
  w[1].condition = plain;
  source_waits(&w[0]), source_waits(&w[1]);
  AWAIT(f, w[0].signals == 3);
  fixture_settle(f);
  assert_int_equal(w[0].calls, 1);
  assert_int_equal(w[1].calls, 0);
  assert_int_equal(torque_condition_wait(counting, NULL, 1000), TIMED_OUT);
}

static void a_wait_ends_with_its_time_and_the_mutex(void **state) {
  struct fixture *f = *state;
  pthread_mutex_t mutex;
  pthread_mutexattr_t checked;
  const torque_source c = condition_of(f, 0);
  pthread_mutexattr_init(&checked);
  pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&mutex, &checked);
  const uint64_t before = monotonic_ns();
  pthread_mutex_lock(&mutex);
  assert_int_equal(torque_condition_wait(c, &mutex, 3000000), TIMED_OUT);
  assert_true(monotonic_ns() - before >= 3000000);
  assert_int_equal(pthread_mutex_unlock(&mutex), 0);
#ifndef __SANITIZE_THREAD__ /* which has an opinion of its own on that */
  /* Not ours: nothing is waited for. */
  assert_int_equal(torque_condition_wait(c, &mutex, UINT64_MAX), TORQUE_ERR_SYSCALL + EPERM);
#endif
  pthread_mutex_destroy(&mutex);
  pthread_mutexattr_destroy(&checked);
}

/* ---- Nothing is lost: a store that both kinds take from ---- */

struct store {
  struct fixture *f;
  torque_source condition;
  pthread_mutex_t mutex;
  _Atomic uint64_t taken, takers, by_sources;
  uint64_t goods;
  int closed;
};

static void *take_goods(void *arg) {
  struct store *s = arg;
  pthread_mutex_lock(&s->mutex);
  for (;;) {
    while (s->goods == 0 && !s->closed) {
      if (torque_condition_wait(s->condition, &s->mutex, UINT64_MAX)) s->closed = 1;
    }
    if (s->goods == 0) break;
    s->goods--;
    atomic_fetch_add(&s->taken, 1);
  }
  pthread_mutex_unlock(&s->mutex);
  atomic_fetch_add(&s->takers, 1);
  return NULL;
}

static void take_goods_too(torque_source source, uint64_t signals, void *arg) {
  struct store *s = arg;
  (void)source, (void)signals;
  pthread_mutex_lock(&s->mutex);
  while (s->goods > 0) {
    s->goods--;
    atomic_fetch_add(&s->taken, 1), atomic_fetch_add(&s->by_sources, 1);
  }
  pthread_mutex_unlock(&s->mutex);
}

static void *bring_goods(void *arg) {
  struct store *s = arg;
  for (int i = 0; i < FEWER(20000); i++) {
    pthread_mutex_lock(&s->mutex);
    s->goods++;
    if (i % 2) torque_condition_signal(s->condition);
    pthread_mutex_unlock(&s->mutex);
    if (i % 2 == 0) torque_condition_signal(s->condition);
    if (i % 100 == 0) nap();
  }
  return NULL;
}

static void trade(struct fixture *f, int threads, int sources) {
  struct store *s = fixture_take(f, sizeof *s);
  s->f = f;
  s->condition = condition_of(f, 0);
  pthread_mutex_init(&s->mutex, NULL);
  for (int i = 0; i < sources; i++) {
    torque_source w;
    assert_int_equal(torque_condition_add(s->condition, take_goods_too, s, &w), 0);
  }
  for (int i = 0; i < threads; i++) fixture_thread(f, take_goods, s);
  for (int i = 0; i < 3; i++) fixture_thread(f, bring_goods, s);
  AWAIT(f, s->taken == 3 * FEWER(20000));
  pthread_mutex_lock(&s->mutex);
  s->closed = 1;
  assert_int_equal(torque_condition_broadcast(s->condition), 0);
  pthread_mutex_unlock(&s->mutex);
  AWAIT(f, s->takers == (uint64_t)threads);
  fixture_join(f);
  assert_int_equal(s->taken, 3 * FEWER(20000));
  if (!threads) assert_int_equal(s->by_sources, s->taken);
}

static void nothing_is_lost_on_threads(void **state) { trade(*state, 4, 0); }
static void nothing_is_lost_on_sources(void **state) { trade(*state, 0, 3); }
static void nothing_is_lost_on_both(void **state) { trade(*state, 3, 2); }

/* Signals of a source are counted: as many as were sent. */
static void *send_signals(void *arg) {
  struct waiter *w = arg;
  for (int i = 0; i < FEWER(10000); i++) (void)torque_condition_signal(w->condition);
  return NULL;
}

static void a_source_is_told_how_many(void **state) {
  struct fixture *f = *state;
  struct waiter *w = waiters_for(f, 1, condition_of(f, 0), NULL);
  source_waits(w);
  for (int i = 0; i < 4; i++) fixture_thread(f, send_signals, w);
  AWAIT(f, w->signals == 4 * FEWER(10000));
  fixture_join(f);
  fixture_settle(f);
  assert_int_equal(w->signals, 4 * FEWER(10000));
  assert_int_equal(w->err, 0);
}

static void postpone_once(torque_source source, uint64_t signals, void *arg) {
  struct waiter *w = arg;
  if (atomic_fetch_add(&w->calls, 1) == 0) (void)torque_postpone(source);
  else atomic_fetch_add(&w->signals, signals);
}

static void a_postponed_signal_is_told_again(void **state) {
  struct fixture *f = *state;
  struct waiter *w = waiters_for(f, 1, condition_of(f, 0), NULL);
  assert_int_equal(torque_condition_add(w->condition, postpone_once, w, &w->source), 0);
  assert_int_equal(torque_condition_signal(w->condition), 0);
  AWAIT(f, w->calls == 2);
  assert_int_equal(w->signals, 1);
  assert_int_equal(torque_condition_signal(w->condition), 0);
  AWAIT(f, w->signals == 2);
}

/* ---- Ends ---- */

static void remove_itself(torque_source source, uint64_t signals, void *arg) {
  struct waiter *w = arg;
  atomic_fetch_add(&w->signals, signals);
  atomic_store(&w->err, torque_source_remove_wait(source));
  (void)torque_source_remove(source);
  atomic_fetch_add(&w->calls, 1);
}

static void a_source_may_end_itself(void **state) {
  struct fixture *f = *state;
  struct waiter *w = waiters_for(f, 2, condition_of(f, 0), NULL);
  assert_int_equal(torque_condition_add_new(w->condition, remove_itself, w, &w->source), 0);
  assert_int_equal(torque_source_set_finalizer(w->source, on_final), 0);
  assert_int_equal(torque_source_start(w->source), 0);
  assert_int_equal(torque_condition_signal(w->condition), 0);
  AWAIT(f, w->finals);
  assert_int_equal(w->err, TORQUE_ERR_DEADLOCK);
  source_waits(&w[1]);
  assert_int_equal(torque_condition_signal(w->condition), 0);
  AWAIT(f, w[1].calls);
  assert_int_equal(w[0].calls, 1);
}

/* Waiting for the end of the condition is waiting for its sources, the one that waits among them. */
static void remove_its_condition(torque_source source, uint64_t signals, void *arg) {
  struct waiter *w = arg;
  (void)source;
  atomic_fetch_add(&w->signals, signals);
  atomic_store(&w->err, torque_source_remove_wait(w->condition));
  atomic_fetch_add(&w->calls, 1);
}

static void finish_its_condition(torque_source source, int32_t reason, void *arg) {
  struct waiter *w = arg;
  atomic_store(&w->err, torque_source_remove_wait(w->condition));
  on_final(source, reason, arg);
}

static void a_source_cannot_wait_for_the_end_of_its_condition(void **state) {
  struct fixture *f = *state;
  struct waiter *w = waiters_for(f, 2, condition_of(f, 0), NULL);
  assert_int_equal(torque_condition_add_new(w->condition, remove_its_condition, w, &w->source), 0);
  assert_int_equal(torque_source_set_finalizer(w->source, finish_its_condition), 0);
  assert_int_equal(torque_source_start(w->source), 0);
  assert_int_equal(torque_condition_signal(w->condition), 0);
  AWAIT(f, w->calls);
  assert_int_equal(w->err, TORQUE_ERR_DEADLOCK);
  source_waits(&w[1]); /* nothing was done */
  atomic_store(&w->err, 0);
  assert_int_equal(torque_source_remove(w->source), 0);
  AWAIT(f, w->finals);
  assert_int_equal(w->err, TORQUE_ERR_DEADLOCK);
  assert_int_equal(torque_source_remove_wait(w->condition), 0);
  assert_int_equal(w[1].finals, 1);
}

/* More than a word's count of holders has room for: they hold the condition together. */
static void any_number_of_sources_may_wait(void **state) {
  struct fixture *f = *state;
  enum { MANY = 66000 };
  struct waiter *w = waiters_for(f, 1, condition_of(f, 0), NULL);
  torque_source *all = fixture_take(f, MANY * sizeof *all);
  for (int i = 0; i < MANY; i++) {
    assert_int_equal(torque_condition_add_new(w->condition, on_signal, w, &all[i]), 0);
    assert_int_equal(torque_source_set_finalizer(all[i], on_final), 0);
    w->source = all[i];
    assert_int_equal(torque_source_start(all[i]), 0);
  }
  assert_int_equal(torque_condition_broadcast(w->condition), 0);
  AWAIT(f, w->signals == MANY);
  for (int i = 0; i < 100; i++) assert_int_equal(torque_source_remove_wait(all[i]), 0);
  assert_int_equal(torque_source_alive(w->condition), 1);
  assert_int_equal(torque_source_remove_wait(w->condition), 0);
  assert_int_equal(w->finals, MANY);
}

/* What a source was signalled and not told goes to the next. */
static void a_signal_outlives_who_got_it(void **state) {
  struct fixture *f = *state;
  struct waiter *w = waiters_for(f, 2, condition_of(f, 0), NULL);
  source_waits(&w[0]), source_waits(&w[1]);
  assert_int_equal(torque_condition_signal(w->condition), 0); /* nobody runs the context: it is told to none yet */
  assert_int_equal(torque_source_remove_wait(w[0].source), 0);
  AWAIT(f, w[1].calls);
  assert_int_equal(w[0].calls, 0);
  assert_int_equal(w[1].signals, 1);
}

static void the_condition_ends_and_all_with_it(void **state) {
  struct fixture *f = *state;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct waiter *w = waiters_for(f, 4, condition_of(f, 0), &mutex);
  thread_waits(f, &w[0]), thread_waits(f, &w[1]);
  source_waits(&w[2]);
  assert_int_equal(torque_condition_add_new(w->condition, on_signal, &w[3], &w[3].source), 0);
  assert_int_equal(torque_source_remove(w->condition), 0);
  for (int i = 0; i < 2; i++) {
    AWAIT(f, w[i].woken);
    assert_int_equal(w[i].err, TORQUE_ERR_STALE);
  }
  AWAIT(f, w[2].finals);
  assert_int_equal(w[2].reason, TORQUE_END_REMOVED);
  assert_int_equal(torque_source_start(w[3].source), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_remove(w[3].source), 0);
  assert_int_equal(torque_condition_signal(w->condition), TORQUE_ERR_STALE);
  assert_int_equal(torque_condition_wait(w->condition, NULL, 0), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_remove_wait(w->condition), TORQUE_ERR_STALE);
}

static void the_context_stops(void **state) {
  struct fixture *f = *state;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct waiter *w = waiters_for(f, 8, condition_of(f, 0), &mutex);
  for (int i = 0; i < 7; i++) thread_waits(f, &w[i]);
  source_waits(&w[7]);
  fixture_stop(f);
  assert_int_equal(w[7].finals, 1);
  assert_int_equal(w[7].reason, TORQUE_END_STOPPED);
  for (int i = 0; i < 7; i++) {
    AWAIT(f, w[i].woken);
    assert_int_equal(w[i].err, TORQUE_ERR_STOPPED);
  }
}

static int64_t wait_in_work(void *arg) {
  (void)wait_once(arg);
  return 0;
}
static void work_done(torque_source job, torque_err err, int64_t result, void *arg) {
  (void)job, (void)err, (void)result;
  atomic_fetch_add(&((struct waiter *)arg)->calls, 1);
}

static void work_that_waits_does_not_hold_up_the_stop(void **state) {
  struct fixture *f = *state;
  struct waiter *w = waiters_for(f, 1, condition_of(f, 0), NULL);
  assert_int_equal(torque_offload(f->ctx, wait_in_work, work_done, w, NULL), 0);
  AWAIT(f, w->about_to_wait);
  fixture_stop(f);
  assert_int_equal(w->calls, 1);
  assert_int_equal(w->err, TORQUE_ERR_STOPPED);
}

struct churn {
  struct waiter *w;
  _Atomic int enough;
};

static void *signal_on_and_on(void *arg) {
  struct churn *c = arg;
  while (!atomic_load(&c->enough) && !atomic_load(&c->w->f->quit)) {
    (void)torque_condition_signal(c->w->condition);
    (void)torque_condition_broadcast(c->w->condition);
  }
  return NULL;
}

static void *wait_on_and_on(void *arg) {
  struct churn *c = arg;
  while (!atomic_load(&c->enough) && !atomic_load(&c->w->f->quit)) (void)torque_condition_wait(c->w->condition, NULL, 100000);
  return NULL;
}

static void sources_come_and_go_while_it_is_signalled(void **state) {
  struct fixture *f = *state;
  struct waiter *w = waiters_for(f, 1, condition_of(f, 0), NULL);
  struct churn *c = fixture_take(f, sizeof *c);
  c->w = w;
  for (int i = 0; i < 2; i++) fixture_thread(f, signal_on_and_on, c), fixture_thread(f, wait_on_and_on, c);
  for (uint32_t i = 1; i <= FEWER(1000); i++) {
    w->source = 0;
    torque_source s;
    assert_int_equal(torque_condition_add_new(w->condition, on_signal, w, &s), 0);
    assert_int_equal(torque_source_set_finalizer(s, on_final), 0);
    assert_int_equal(torque_source_start(s), 0);
    if (i % 16 == 0 && f->shape->driven) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_int_equal(torque_source_remove_wait(s), 0);
    assert_int_equal(w->finals, i);
  }
  atomic_store(&c->enough, 1);
  fixture_join(f);
}

/* ---- Forks ---- */

static int in_child(void *arg) {
  struct waiter *w = arg;
  CHECK(torque_condition_signal(w[0].condition) == TORQUE_ERR_FORKED);
  CHECK(torque_reinit(w[0].f->ctx) == 0);
  CHECK(torque_condition_signal(w[0].condition) == 0); /* the thread that waits is the parent's */
  CHECK_SOON((torque_run_once(w[0].f->ctx, 1000000, NULL), w[1].calls));
  CHECK(torque_condition_wait(w[0].condition, NULL, 1000) == TIMED_OUT);
  CHECK(torque_stop(w[0].f->ctx) == 0);
  return 0;
}

static void a_child_has_the_sources_only(void **state) {
  struct fixture *f = *state;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct waiter *w = waiters_for(f, 2, condition_of(f, 0), &mutex);
  thread_waits(f, &w[0]);
  source_waits(&w[1]);
  assert_int_equal(child_run(in_child, w), 0);
  assert_int_equal(torque_condition_signal(w[0].condition), 0);
  AWAIT(f, w[0].woken);
  assert_int_equal(w[0].err, 0);
  assert_int_equal(w[1].calls, 0);
}

static void calls_that_make_no_sense_are_refused(void **state) {
  struct fixture *f = *state;
  torque_source s = 55, event;
  assert_int_equal(torque_condition_new(NULL, 0, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_condition_new(f->ctx, 2, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_condition_new(f->ctx, 0, NULL), TORQUE_ERR_INVAL);
  const torque_source c = condition_of(f, 0);
  assert_int_equal(torque_condition_add(c, NULL, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_condition_add(c, on_signal, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_condition_add(0, on_signal, NULL, &s), TORQUE_ERR_STALE);
  assert_int_equal(torque_condition_signal(0), TORQUE_ERR_STALE);
  assert_int_equal(torque_condition_broadcast(0), TORQUE_ERR_STALE);
  assert_int_equal(torque_timer_new(f->ctx, 0, (torque_timer_fn *)(uintptr_t)on_signal, NULL, &event), 0);
  assert_int_equal(torque_condition_signal(event), TORQUE_ERR_KIND);
  assert_int_equal(torque_condition_wait(event, NULL, 0), TORQUE_ERR_KIND);
  assert_int_equal(torque_condition_add(event, on_signal, NULL, &s), TORQUE_ERR_KIND);
  assert_int_equal(torque_trigger(c, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_close(c), TORQUE_ERR_KIND);
  assert_int_equal(s, 55);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(first_come_first_served),
      ON_EVERY(a_broadcast_is_for_all),
      ON_EVERY(what_finds_nobody_is_lost_or_kept),
      ON_EVERY(a_wait_ends_with_its_time_and_the_mutex),
      ON_EVERY(nothing_is_lost_on_threads),
      ON_EVERY(nothing_is_lost_on_sources),
      ON_EVERY(nothing_is_lost_on_both),
      ON_EVERY(a_source_is_told_how_many),
      ON_EVERY(a_postponed_signal_is_told_again),
      ON_EVERY(a_source_may_end_itself),
      ON_EVERY(a_source_cannot_wait_for_the_end_of_its_condition),
      ON(live, any_number_of_sources_may_wait),
      ON(driven, any_number_of_sources_may_wait),
      ON(driven, a_signal_outlives_who_got_it),
      ON_EVERY(the_condition_ends_and_all_with_it),
      ON_EVERY(the_context_stops),
      ON_EVERY(work_that_waits_does_not_hold_up_the_stop),
      ON_EVERY(sources_come_and_go_while_it_is_signalled),
      ON(driven, a_child_has_the_sources_only),
      ON_EVERY(calls_that_make_no_sense_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
