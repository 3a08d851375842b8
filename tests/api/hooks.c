/* SPDX-License-Identifier: BSD-3-Clause */
/* Hooks: of threads, around waits; and idle sources, which run when there is nothing else to do. */
#include "support/context.h"

#include <sched.h>
#include <string.h>

#include "support/cmocka.h"

struct seen {
  _Atomic uint32_t started[3], ended[3];
  _Atomic uint32_t waits, waiting_now, wrong;
  _Atomic uint32_t posted;
  struct torque_ctx *_Atomic ctx;
  _Atomic int bring_up;
};
static struct seen seen;
static _Thread_local int attached, waiting;

static void on_start(int32_t kind, int32_t number, void *arg) {
  (void)arg;
  if (attached++ || kind < 0 || kind > 2 || number < 0) atomic_fetch_add(&seen.wrong, 1);
  else atomic_fetch_add(&seen.started[kind], 1);
}
static void on_end(int32_t kind, int32_t number, void *arg) {
  (void)number, (void)arg;
  if (--attached) atomic_fetch_add(&seen.wrong, 1);
  else atomic_fetch_add(&seen.ended[kind], 1);
}

static void count_post(void *arg) {
  (void)arg;
  if (waiting) atomic_fetch_add(&seen.wrong, 1);
  atomic_fetch_add(&seen.posted, 1);
}

static void before_wait(int32_t worker, void *arg) {
  (void)arg;
  if (waiting++ || worker < 0) atomic_fetch_add(&seen.wrong, 1);
  atomic_fetch_add(&seen.waits, 1);
  if (atomic_exchange(&seen.bring_up, 0) && torque_post(atomic_load(&seen.ctx), count_post, NULL)) atomic_fetch_add(&seen.wrong, 1);
}
static void after_wait(int32_t worker, void *arg) {
  (void)worker, (void)arg;
  if (--waiting) atomic_fetch_add(&seen.wrong, 1);
}

static void hooked(struct fixture *f) {
  fixture_stop(f);
  memset(&seen, 0, sizeof seen);
  struct torque_config *c = shape_config(f->shape);
  assert_int_equal(torque_config_set_thread_hooks(c, on_start, on_end, NULL), 0);
  assert_int_equal(torque_config_set_wait_hooks(c, before_wait, after_wait, NULL), 0);
  assert_int_equal(torque_config_set_watchdog(c, 3600ull * 1000000000, NULL, NULL), 0);
  assert_int_equal(torque_ctx_new(c, &f->ctx), 0);
  torque_config_free(c);
  atomic_store(&seen.ctx, f->ctx);
}

static int64_t look_attached(void *arg) {
  (void)arg;
  return attached;
}
static void on_done(torque_source s, torque_err err, int64_t result, void *arg) {
  (void)s;
  if (err || result != 1 || waiting) atomic_fetch_add(&seen.wrong, 1);
  atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static void threads_come_and_go(void **state) {
  struct fixture *f = *state;
  _Atomic uint32_t done = 0;
  hooked(f);
  for (int i = 0; i < 20; i++) assert_int_equal(torque_offload(f->ctx, look_attached, on_done, (void *)(uintptr_t)&done, NULL), 0);
  AWAIT(f, done == 20);
  const uint32_t workers = f->shape->driven ? 0 : torque_ctx_workers(f->ctx);
  AWAIT(f, seen.started[TORQUE_THREAD_WORKER] == workers);
  assert_true(seen.started[TORQUE_THREAD_HELPER] > 0);
  AWAIT(f, seen.started[TORQUE_THREAD_WATCHDOG] == 1);
  fixture_stop(f);
  for (int kind = 0; kind < 3; kind++) assert_int_equal(seen.started[kind], seen.ended[kind]);
  assert_int_equal(seen.wrong, 0);
}

static void nothing_runs_during_a_wait(void **state) {
  struct fixture *f = *state;
  hooked(f);
  for (uint32_t i = 1; i <= 200; i++) {
    assert_int_equal(torque_post_domain(f->ctx, i % torque_ctx_domains(f->ctx), count_post, NULL), 0);
    if (i % 10 == 0) AWAIT(f, seen.posted == i);
  }
  AWAIT(f, seen.waits > 0);
  fixture_stop(f);
  assert_int_equal(seen.wrong, 0);
  assert_int_equal(waiting, 0);
}

/* What the hook brings up is served, though nobody else would wake the worker. */
static void what_a_hook_posts_is_run(void **state) {
  struct fixture *f = *state;
  hooked(f);
  for (uint32_t i = 1; i <= 50; i++) {
    atomic_store(&seen.bring_up, 1);
    uint64_t n = 0;
    while (!n) assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, &n), 0);
    assert_int_equal(seen.posted, i);
  }
  const uint32_t waits = seen.waits;
  assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  assert_int_equal(seen.waits, waits); /* a look is no wait */
  assert_int_equal(seen.wrong, 0);
}

/* ---- Idle ---- */

struct idler {
  torque_source source;
  _Atomic uint32_t calls, inside, overlapping, finals;
  _Atomic int32_t answer, limit;
  _Atomic torque_err err;
};

static int32_t idle(torque_source source, void *arg) {
  struct idler *i = arg;
  (void)source;
  if (atomic_fetch_add(&i->inside, 1)) atomic_fetch_add(&i->overlapping, 1);
  const uint32_t n = atomic_fetch_add(&i->calls, 1) + 1;
  atomic_fetch_sub(&i->inside, 1);
  return atomic_load(&i->limit) && n >= (uint32_t)atomic_load(&i->limit) ? TORQUE_DONE : atomic_load(&i->answer);
}
static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason;
  atomic_fetch_add(&((struct idler *)arg)->finals, 1);
}

static struct idler *idler_in(struct fixture *f, int32_t limit) {
  struct idler *i = fixture_take(f, sizeof *i);
  atomic_store(&i->answer, TORQUE_AGAIN), atomic_store(&i->limit, limit);
  assert_int_equal(torque_idle_new(f->ctx, idle, i, &i->source), 0);
  assert_int_equal(torque_idle_set(i->source, 1), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_set_finalizer(i->source, on_final), 0);
  assert_int_equal(torque_source_start(i->source), 0);
  return i;
}

static void idle_sources_run_until_they_are_done(void **state) {
  struct fixture *f = *state;
  struct idler *a = idler_in(f, 10), *b = idler_in(f, 1);
  AWAIT(f, a->calls == 10 && b->calls == 1);
  fixture_settle(f);
  assert_int_equal(a->calls, 10);
  assert_int_equal(b->calls, 1);
  for (uint32_t i = 2; i <= 20; i++) {
    assert_int_equal(torque_idle_set(b->source, 1), 0);
    AWAIT(f, b->calls == i);
  }
  assert_int_equal(a->calls, 10);
  assert_int_equal(a->overlapping + b->overlapping, 0);
}

static void others_go_first(void **state) {
  struct fixture *f = *state;
  struct idler *a = idler_in(f, 0);
  seen.posted = 0;
  for (int i = 0; i < 100; i++) {
    const uint32_t calls = a->calls;
    AWAIT(f, a->calls > calls);
    assert_int_equal(torque_post(f->ctx, count_post, NULL), 0);
    AWAIT(f, seen.posted == (uint32_t)i + 1);
  }
  assert_int_equal(torque_idle_set(a->source, 0), 0);
  fixture_settle(f);
  const uint32_t calls = a->calls;
  fixture_settle(f);
  assert_int_equal(a->calls, calls);
  assert_int_equal(torque_idle_set(a->source, 1), 0);
  AWAIT(f, a->calls > calls);
}

static void idle_sources_end(void **state) {
  struct fixture *f = *state;
  for (int n = 0; n < 50; n++) {
    struct idler *a = idler_in(f, 0);
    if (n % 2) AWAIT(f, a->calls > 2);
    assert_int_equal(torque_source_remove_wait(a->source), 0);
    assert_int_equal(a->finals, 1);
    const uint32_t calls = a->calls;
    fixture_settle(f);
    assert_int_equal(a->calls, calls);
    assert_int_equal(torque_idle_set(a->source, 1), TORQUE_ERR_STALE);
  }
  struct idler *a = idler_in(f, 0);
  fixture_stop(f);
  assert_int_equal(a->finals, 1);
}

static int32_t remove_itself(torque_source source, void *arg) {
  struct idler *i = arg;
  atomic_store(&i->err, torque_source_remove(source));
  atomic_fetch_add(&i->calls, 1);
  return TORQUE_AGAIN;
}

static void an_idle_source_may_end_itself(void **state) {
  struct fixture *f = *state;
  struct idler *i = fixture_take(f, sizeof *i);
  assert_int_equal(torque_idle_add(f->ctx, remove_itself, i, &i->source), 0);
  AWAIT(f, !torque_source_alive(i->source) && i->calls);
  fixture_settle(f);
  assert_int_equal(i->calls, 1);
  assert_int_equal(i->err, 0);
}

struct setter {
  struct fixture *f;
  struct idler *i;
  _Atomic int enough;
};
static void *set_on_and_on(void *arg) {
  struct setter *s = arg;
  for (uint32_t n = 0; !atomic_load(&s->enough) && !atomic_load(&s->f->quit); n++) {
    (void)torque_idle_set(s->i->source, n % 3 != 0);
    sched_yield();
  }
  return NULL;
}

/* An order that comes while the callback runs is not lost, whatever that answers. */
static void orders_from_many_threads(void **state) {
  struct fixture *f = *state;
  struct setter *s = fixture_take(f, sizeof *s);
  s->f = f, s->i = idler_in(f, 1);
  for (int t = 0; t < 3; t++) fixture_thread(f, set_on_and_on, s);
  AWAIT(f, s->i->calls > FEWER(2000));
  atomic_store(&s->enough, 1);
  fixture_join(f);
  fixture_settle(f);
  const uint32_t calls = s->i->calls;
  assert_int_equal(torque_idle_set(s->i->source, 1), 0);
  AWAIT(f, s->i->calls > calls);
  assert_int_equal(s->i->overlapping, 0);
}

static void a_driven_context_does_not_wait(void **state) {
  struct fixture *f = *state;
  struct idler *a = idler_in(f, 5);
  uint64_t at = 77, n = 0, sum = 0;
  assert_int_equal(torque_deadline(f->ctx, &at), 0);
  assert_int_equal(at, 0);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, &n), 0);
    sum += n;
  }
  assert_int_equal(sum, 5);
  assert_int_equal(a->calls, 5);
  assert_int_equal(torque_deadline(f->ctx, &at), 0);
  assert_true(at == UINT64_MAX);
}

static void calls_that_make_no_sense_are_refused(void **state) {
  struct fixture *f = *state;
  torque_source s = 55, timer;
  assert_int_equal(torque_idle_add(NULL, idle, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_idle_add(f->ctx, NULL, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_idle_add(f->ctx, idle, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_idle_set(0, 1), TORQUE_ERR_STALE);
  assert_int_equal(torque_timer_new(f->ctx, 0, (torque_timer_fn *)(uintptr_t)idle, NULL, &timer), 0);
  assert_int_equal(torque_idle_set(timer, 1), TORQUE_ERR_KIND);
  assert_int_equal(torque_config_set_thread_hooks(NULL, NULL, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_wait_hooks(NULL, NULL, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(s, 55);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(threads_come_and_go),
      ON_EVERY(nothing_runs_during_a_wait),
      ON(driven, what_a_hook_posts_is_run),
      ON_EVERY(idle_sources_run_until_they_are_done),
      ON_EVERY(others_go_first),
      ON_EVERY(idle_sources_end),
      ON_EVERY(an_idle_source_may_end_itself),
      ON_EVERY(orders_from_many_threads),
      ON(driven, a_driven_context_does_not_wait),
      ON_EVERY(calls_that_make_no_sense_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
