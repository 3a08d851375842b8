/* SPDX-License-Identifier: BSD-3-Clause */
/* The watchdog: a callback that blocks is counted and named while it does, once; what does not block is not. */
#include "support/child.h"
#include "support/context.h"

#include <string.h>

#include "support/cmocka.h"

enum { LIMIT = 20000000 };

struct found {
  _Atomic uint32_t times, logged, wrong;
  _Atomic int32_t worker, thread;
  _Atomic torque_source source;
  _Atomic(const void *) function;
  _Atomic uint64_t ns;
  _Atomic torque_err stop;
};
static struct found found;
static struct fixture *fixture;

static void on_blocked(const struct torque_blocked *b, void *arg) {
  struct found *f = arg;
  atomic_store(&f->worker, torque_blocked_worker(b));
  atomic_store(&f->thread, torque_blocked_thread(b));
  atomic_store(&f->source, torque_blocked_source(b));
  atomic_store(&f->function, torque_blocked_function(b));
  atomic_store(&f->ns, torque_blocked_ns(b));
  if (torque_blocked_function(b) && !torque_blocked_object(b)) atomic_fetch_add(&f->wrong, 1);
  if (torque_blocked_ns(b) < LIMIT || torque_getcurctx()) atomic_fetch_add(&f->wrong, 1);
  atomic_store(&f->stop, torque_stop(fixture->ctx));
  atomic_fetch_add(&f->times, 1);
}

static void on_log(int32_t level, const char *text, void *arg) {
  if (level == TORQUE_LOG_WARNING && strstr(text, "has been in one callback for")) atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static void watched(struct fixture *f, uint64_t limit) {
  fixture_stop(f);
  memset(&found, 0, sizeof found);
  fixture = f;
  struct torque_config *c = shape_config(f->shape);
  assert_int_equal(torque_config_set_watchdog(c, limit, on_blocked, &found), 0);
  assert_int_equal(torque_config_set_log(c, on_log, (void *)(uintptr_t)&found.logged), 0);
  assert_int_equal(torque_ctx_new(c, &f->ctx), 0);
  torque_config_free(c);
}

/* Stays until it was found once more. */
static _Atomic uint32_t expected;
static _Atomic int32_t stayed_on, ended;
static void stay(void) {
  atomic_store(&stayed_on, torque_current_worker());
  STAY_UNTIL(atomic_load(&found.times) >= atomic_load(&expected));
  atomic_fetch_add(&ended, 1);
}

static int32_t stay_in_event(torque_source s, int32_t fd, uint32_t events, void *arg) {
  (void)s, (void)fd, (void)events, (void)arg;
  stay();
  return TORQUE_DONE;
}
static void stay_in_timer(torque_source s, uint64_t expirations, void *arg) {
  (void)s, (void)expirations, (void)arg;
  stay();
}
static void stay_in_post(void *arg) {
  (void)arg;
  stay();
}
static int64_t no_work(void *arg) { return arg != NULL; }
static void stay_in_done(torque_source s, torque_err err, int64_t result, void *arg) {
  (void)s, (void)err, (void)result, (void)arg;
  stay();
}
static void stay_in_final(torque_source s, int32_t reason, void *arg) {
  (void)s, (void)reason, (void)arg;
  stay();
}
static int32_t remove_it(torque_source s, int32_t fd, uint32_t events, void *arg) {
  (void)fd, (void)events, (void)arg;
  (void)torque_source_remove(s);
  return TORQUE_DONE;
}

static void expect(struct fixture *f, uint32_t n, torque_source source, const void *function) {
  AWAIT(f, ended == (int32_t)n);
  assert_int_equal(found.times, n);
  assert_int_equal(found.source, source);
  assert_ptr_equal(found.function, function);
  assert_int_equal(found.worker, stayed_on);
  assert_true(found.thread > 0);
  assert_int_equal(found.wrong, 0);
  assert_int_equal(found.stop, TORQUE_ERR_DEADLOCK);
}

static void every_kind_is_found_and_named(void **state) {
  struct fixture *f = *state;
  torque_source s;
  struct torque_strand *strand;
  watched(f, LIMIT);
  atomic_store(&ended, 0), atomic_store(&expected, 1);
  assert_int_equal(torque_event_add(f->ctx, 0, stay_in_event, NULL, &s), 0);
  assert_int_equal(torque_trigger(s, TORQUE_READ), 0);
  expect(f, 1, s, (const void *)(uintptr_t)stay_in_event);

  atomic_store(&expected, 2);
  assert_int_equal(torque_timer_add(f->ctx, 1, 0, 0, stay_in_timer, NULL, &s), 0);
  expect(f, 2, s, (const void *)(uintptr_t)stay_in_timer);

  atomic_store(&expected, 3);
  assert_int_equal(torque_post(f->ctx, stay_in_post, NULL), 0);
  expect(f, 3, 0, (const void *)(uintptr_t)stay_in_post);

  atomic_store(&expected, 4);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_strand_post(strand, stay_in_post, NULL), 0);
  expect(f, 4, 0, (const void *)(uintptr_t)stay_in_post);
  torque_strand_free(strand);

  atomic_store(&expected, 5);
  assert_int_equal(torque_offload_new(f->ctx, no_work, stay_in_done, NULL, &s), 0);
  assert_int_equal(torque_source_start(s), 0);
  expect(f, 5, s, (const void *)(uintptr_t)stay_in_done);

  atomic_store(&expected, 6);
  assert_int_equal(torque_event_new(f->ctx, 0, remove_it, NULL, &s), 0);
  assert_int_equal(torque_source_set_finalizer(s, stay_in_final), 0);
  assert_int_equal(torque_source_start(s), 0);
  assert_int_equal(torque_trigger(s, TORQUE_READ), 0);
  expect(f, 6, s, (const void *)(uintptr_t)stay_in_final);

  assert_int_equal(stat_total(f->ctx, "blocked"), 6);
  assert_int_equal(found.logged, 6);
}

static _Atomic uint32_t short_calls;
static void count_call(void *arg) {
  (void)arg;
  atomic_fetch_add(&short_calls, 1);
}

static int64_t block_in_work(void *arg) {
  const struct timespec t = {.tv_nsec = 5 * LIMIT / 2};
  nanosleep(&t, NULL);
  return arg != NULL;
}
static void count_done(torque_source s, torque_err err, int64_t result, void *arg) {
  (void)s, (void)err, (void)result;
  count_call(arg);
}

/* The limit is far above what even a busy machine makes of a short callback. */
static void who_does_not_block_is_left_alone(void **state) {
  struct fixture *f = *state;
  watched(f, 60ull * 1000000000);
  atomic_store(&short_calls, 0);
  for (int i = 0; i < 1000; i++) assert_int_equal(torque_post(f->ctx, count_call, NULL), 0);
  assert_int_equal(torque_offload(f->ctx, block_in_work, count_done, NULL, NULL), 0);
  AWAIT(f, short_calls == 1001);
  assert_int_equal(found.times, 0);
  assert_int_equal(stat_total(f->ctx, "blocked"), 0);
}

static void no_thread_without_a_limit(void **state) {
  struct fixture *f = *state;
  watched(f, 0);
  const unsigned before = threads_alive();
  fixture_settle(f);
  const unsigned without = threads_alive() - before;
  watched(f, LIMIT * 1000ull);
  const unsigned again = threads_alive();
  fixture_settle(f);
  assert_int_equal(threads_alive() - again, without + 1);
}

/* A callback that waits in its own driven context does not block; what that runs may. */
static void wait_inside(void *arg) {
  struct fixture *f = arg;
  const uint64_t before = monotonic_ns();
  while (monotonic_ns() - before < 3ull * LIMIT) (void)torque_run_once(f->ctx, 1000000, NULL);
  atomic_fetch_add(&short_calls, 1);
}

static void a_nested_run_does_not_block(void **state) {
  struct fixture *f = *state;
  watched(f, LIMIT);
  atomic_store(&ended, 0), atomic_store(&expected, 1), atomic_store(&short_calls, 0);
  torque_source s;
  assert_int_equal(torque_event_add(f->ctx, 0, stay_in_event, NULL, &s), 0);
  assert_int_equal(torque_trigger(s, TORQUE_READ), 0);
  assert_int_equal(torque_post(f->ctx, wait_inside, f), 0);
  AWAIT(f, short_calls == 1);
  expect(f, 1, s, (const void *)(uintptr_t)stay_in_event);
}

static int in_child(void *arg) {
  struct fixture *f = arg;
  CHECK(torque_reinit(f->ctx) == 0);
#ifndef __SANITIZE_THREAD__ /* it takes a new thread of a child for one of the parent's */
  atomic_store(&expected, found.times + 1);
  CHECK(torque_post(f->ctx, stay_in_post, NULL) == 0);
  CHECK_SOON((torque_run_once(f->ctx, 1000000, NULL), found.times == expected));
#endif
  CHECK(torque_stop(f->ctx) == 0);
  return 0;
}

static void a_child_has_its_own(void **state) {
  struct fixture *f = *state;
  watched(f, LIMIT);
  atomic_store(&short_calls, 0);
  assert_int_equal(torque_post(f->ctx, count_call, NULL), 0);
  AWAIT(f, short_calls == 1);
  assert_int_equal(child_run(in_child, f), 0);
}

static void calls_that_make_no_sense_are_refused(void **state) {
  (void)state;
  struct torque_config *c;
  assert_int_equal(torque_config_new(&c), 0);
  assert_int_equal(torque_config_set_watchdog(c, 999999, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_watchdog(c, 1000000, NULL, NULL), 0);
  assert_int_equal(torque_config_set_watchdog(NULL, 0, NULL, NULL), TORQUE_ERR_INVAL);
  torque_config_free(c);
  assert_int_equal(torque_blocked_worker(NULL), -1);
  assert_int_equal(torque_blocked_ns(NULL) + torque_blocked_source(NULL) + torque_blocked_offset(NULL), 0);
  assert_null(torque_blocked_function(NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(every_kind_is_found_and_named),
      ON_EVERY(who_does_not_block_is_left_alone),
      ON(single, no_thread_without_a_limit),
      ON(driven, no_thread_without_a_limit),
      ON(driven, a_nested_run_does_not_block),
      ON(driven, a_child_has_its_own),
      cmocka_unit_test(calls_that_make_no_sense_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
