/* SPDX-License-Identifier: BSD-3-Clause */
/* Posted work: from many threads, to everything that takes it, in order, one after another. */
#include "support/context.h"

#include <sched.h>
#include <stdlib.h>

#include "support/cmocka.h"

enum { POSTERS = 16, EACH = FEWER(4000), PLACES = 3 };

/* What one thread posts to one place. */
struct line {
  _Atomic uint32_t next, wrong_order, overlapping, inside;
};

struct item {
  struct line *line;
  uint32_t number;
};

static struct line lines[POSTERS][PLACES];
static _Atomic uint32_t failed, ran;
static struct fixture *fixture;
static torque_source target;
static struct torque_strand *strand;

static void run_item(void *arg) {
  struct item *item = arg;
  struct line *l = item->line;
  if (atomic_fetch_add(&l->inside, 1)) atomic_fetch_add(&l->overlapping, 1);
  if (atomic_load(&l->next) != item->number) atomic_fetch_add(&l->wrong_order, 1);
  atomic_store(&l->next, item->number + 1);
  if (item->number % 64 == 0) sched_yield();
  atomic_fetch_sub(&l->inside, 1);
  free(item);
  atomic_fetch_add(&ran, 1);
}

typedef torque_err post_to(struct item *item, uintptr_t poster);
static torque_err to_context(struct item *item, uintptr_t poster) {
  (void)poster;
  return torque_post(fixture->ctx, run_item, item);
}
static torque_err to_domain(struct item *item, uintptr_t poster) {
  return torque_post_domain(fixture->ctx, (uint32_t)poster % torque_ctx_domains(fixture->ctx), run_item, item);
}
static torque_err to_source(struct item *item, uintptr_t poster) {
  (void)poster;
  return torque_post_source(target, run_item, item);
}
static torque_err to_strand(struct item *item, uintptr_t poster) {
  (void)poster;
  return torque_strand_post(strand, run_item, item);
}

static void post_all(uintptr_t poster, post_to *const *places, uint32_t count) {
  for (uint32_t i = 0; i < EACH && !atomic_load(&fixture->quit); i++)
    for (uint32_t p = 0; p < count; p++) {
      struct item *item = malloc(sizeof *item);
      if (item) *item = (struct item){&lines[poster][p], i};
      if (!item || places[p](item, poster)) {
        free(item);
        atomic_fetch_add(&failed, 1);
      }
    }
}

static void *post_everywhere(void *arg) {
  static post_to *const places[PLACES] = {to_context, to_domain, to_source};
  post_all((uintptr_t)arg, places, PLACES);
  return NULL;
}

static void *post_to_strand(void *arg) {
  static post_to *const places[1] = {to_strand};
  post_all((uintptr_t)arg, places, 1);
  return NULL;
}

static int32_t quiet(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  return TORQUE_DONE;
}

static void begin(struct fixture *f) {
  fixture = f;
  atomic_store(&failed, 0), atomic_store(&ran, 0);
  for (int i = 0; i < POSTERS; i++)
    for (int p = 0; p < PLACES; p++) lines[i][p] = (struct line){0};
  assert_int_equal(torque_event_add(f->ctx, 0, quiet, NULL, &target), 0);
}

static void expect_lines(uint32_t places) {
  assert_int_equal(failed, 0);
  for (int i = 0; i < POSTERS; i++)
    for (uint32_t p = 0; p < places; p++) {
      assert_int_equal(lines[i][p].next, EACH);
      assert_int_equal(lines[i][p].wrong_order, 0);
      assert_int_equal(lines[i][p].overlapping, 0);
    }
}

static void sixteen_threads_post_in_order(void **state) {
  struct fixture *f = *state;
  begin(f);
  for (uintptr_t i = 0; i < POSTERS; i++) fixture_thread(f, post_everywhere, (void *)i);
  for (uint32_t part = 1; part <= 10; part++) AWAIT(f, ran >= POSTERS * PLACES * EACH / 10 * part);
  fixture_join(f);
  AWAIT(f, ran == POSTERS * PLACES * EACH);
  fixture_settle(f);
  assert_int_equal(ran, POSTERS * PLACES * EACH);
  expect_lines(PLACES);
}

/* To a strand, none of anybody's overlap: one line for all. */
static _Atomic uint32_t strand_inside, strand_overlapping, strand_ran;

static void run_in_strand(void *arg) {
  (void)arg;
  if (atomic_fetch_add(&strand_inside, 1)) atomic_fetch_add(&strand_overlapping, 1);
  if (atomic_load(&strand_ran) % 64 == 0) sched_yield();
  atomic_fetch_sub(&strand_inside, 1);
  atomic_fetch_add(&strand_ran, 1);
}

static void *post_plain_to_strand(void *arg) {
  (void)arg;
  for (uint32_t i = 0; i < EACH; i++)
    if (torque_strand_post(strand, run_in_strand, NULL)) atomic_fetch_add(&failed, 1);
  return NULL;
}

static void a_strand_takes_posts_one_after_another(void **state) {
  struct fixture *f = *state;
  begin(f);
  atomic_store(&strand_overlapping, 0), atomic_store(&strand_ran, 0);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  for (uintptr_t i = 0; i < POSTERS; i++) fixture_thread(f, i % 2 ? post_to_strand : post_plain_to_strand, (void *)i);
  AWAIT(f, ran == POSTERS / 2 * EACH && strand_ran == POSTERS / 2 * EACH);
  fixture_join(f);
  torque_strand_free(strand);
  assert_int_equal(failed, 0);
  assert_int_equal(strand_overlapping, 0);
  for (int i = 1; i < POSTERS; i += 2) {
    assert_int_equal(lines[i][0].next, EACH);
    assert_int_equal(lines[i][0].wrong_order, 0);
  }
}

/* ---- Posts and the end ---- */

static void count_run(void *arg) {
  (void)arg;
  atomic_fetch_add(&ran, 1);
}

static void all_posts_before_the_stop_are_run(void **state) {
  struct fixture *f = *state;
  begin(f);
  for (uint32_t i = 0; i < 1000; i++) {
    assert_int_equal(torque_post(f->ctx, count_run, NULL), 0);
    assert_int_equal(torque_post_domain(f->ctx, i % torque_ctx_domains(f->ctx), count_run, NULL), 0);
    assert_int_equal(torque_post_source(target, count_run, NULL), 0);
  }
  fixture_stop(f);
  assert_int_equal(ran, 3000);
}

/* Work that posts more work while the context stops: refused, not lost in silence. */
static _Atomic uint32_t accepted;
static void post_another(void *arg) {
  (void)arg;
  atomic_fetch_add(&ran, 1);
  if (torque_post(fixture->ctx, post_another, NULL) == 0) atomic_fetch_add(&accepted, 1);
}

static void what_was_accepted_is_run(void **state) {
  struct fixture *f = *state;
  begin(f);
  atomic_store(&accepted, 20);
  for (int i = 0; i < 20; i++) assert_int_equal(torque_post(f->ctx, post_another, NULL), 0);
  AWAIT(f, ran > 100);
  fixture_stop(f);
  assert_int_equal(ran, accepted);
}

static void posts_are_refused_after_the_stop(void **state) {
  struct fixture *f = *state;
  begin(f);
  assert_int_equal(torque_stop_async(f->ctx), 0);
  struct patience p = patience_start();
  torque_err err = 0;
  while ((err = torque_post(f->ctx, count_run, NULL)) == 0 && patience_left(&p)) nap();
  assert_int_equal(err, TORQUE_ERR_STOPPED);
  assert_int_equal(torque_post_domain(f->ctx, 0, count_run, NULL), TORQUE_ERR_STOPPED);
}

static _Atomic int32_t refused;
static void post_in_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason, (void)arg;
  atomic_store(&refused, torque_post(fixture->ctx, count_run, NULL));
}

static void a_finalizer_of_the_stop_can_post_no_more(void **state) {
  struct fixture *f = *state;
  begin(f);
  torque_source s;
  atomic_store(&refused, 0);
  assert_int_equal(torque_event_new(f->ctx, 0, quiet, NULL, &s), 0);
  assert_int_equal(torque_source_set_finalizer(s, post_in_final), 0);
  assert_int_equal(torque_source_start(s), 0);
  fixture_stop(f);
  assert_int_equal(refused, TORQUE_ERR_STOPPED);
  assert_int_equal(ran, 0);
}

/* ---- From callbacks, and where they run ---- */

static _Atomic uint32_t chain;
static _Atomic int32_t elsewhere;

static void next_of_chain(void *arg) {
  const uint32_t domain = (uint32_t)(uintptr_t)arg;
  if (torque_getcurctx() != fixture->ctx || torque_current_worker() < 0) atomic_fetch_add(&elsewhere, 1);
  if (atomic_fetch_add(&chain, 1) >= 999) return;
  const uint32_t next = (domain + 1) % torque_ctx_domains(fixture->ctx);
  if (torque_post_domain(fixture->ctx, next, next_of_chain, (void *)(uintptr_t)next)) atomic_fetch_add(&failed, 1);
}

static void callbacks_post_to_each_other(void **state) {
  struct fixture *f = *state;
  begin(f);
  atomic_store(&chain, 0), atomic_store(&elsewhere, 0);
  assert_int_equal(torque_post(f->ctx, next_of_chain, NULL), 0);
  AWAIT(f, chain == 1000);
  assert_int_equal(failed, 0);
  assert_int_equal(elsewhere, 0);
}

static void calls_that_make_no_sense_are_refused(void **state) {
  struct fixture *f = *state;
  begin(f);
  assert_int_equal(torque_post(f->ctx, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_post_domain(f->ctx, torque_ctx_domains(f->ctx), count_run, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_post_domain(f->ctx, 0, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_post_source(target, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_source_remove(target), 0);
  assert_int_equal(torque_post_source(target, count_run, NULL), TORQUE_ERR_STALE);
  assert_int_equal(torque_post_source(0, count_run, NULL), TORQUE_ERR_STALE);
}

/* ---- Wake-ups ---- */

static _Atomic int held, release;
static void hold_worker(void *arg) {
  (void)arg;
  atomic_store(&held, 1);
  STAY_UNTIL(atomic_load(&release));
}

static void a_worker_that_is_awake_is_not_woken(void **state) {
  struct fixture *f = *state;
  begin(f);
  atomic_store(&held, 0), atomic_store(&release, 0);
  assert_int_equal(torque_post(f->ctx, hold_worker, NULL), 0);
  AWAIT(f, held);
  const uint64_t before = stat_total(f->ctx, "wakeups");
  for (int i = 0; i < 10000; i++) assert_int_equal(torque_post(f->ctx, count_run, NULL), 0);
  const uint64_t after = stat_total(f->ctx, "wakeups");
  atomic_store(&release, 1);
  AWAIT(f, ran == 10000);
  assert_in_range(after - before, 0, 1);
}

static void post_to_self(void *arg) {
  (void)arg;
  if (atomic_fetch_add(&ran, 1) < 10000 && torque_post(fixture->ctx, post_to_self, NULL)) atomic_fetch_add(&failed, 1);
}

static void posting_from_a_callback_wakes_nobody(void **state) {
  struct fixture *f = *state;
  begin(f);
  const uint64_t before = stat_total(f->ctx, "wakeups");
  assert_int_equal(torque_post(f->ctx, post_to_self, NULL), 0);
  AWAIT(f, ran > 10000);
  assert_in_range(stat_total(f->ctx, "wakeups") - before, 0, 2);
  assert_int_equal(failed, 0);
}

static void a_worker_that_sleeps_is_woken(void **state) {
  struct fixture *f = *state;
  begin(f);
  for (uint32_t i = 1; i <= 50; i++) {
    nap();
    assert_int_equal(torque_post(f->ctx, count_run, NULL), 0);
    AWAIT(f, ran == i);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(sixteen_threads_post_in_order),
      ON(shared, sixteen_threads_post_in_order),
      ON_EVERY(a_strand_takes_posts_one_after_another),
      ON_EVERY(all_posts_before_the_stop_are_run),
      ON_EVERY(what_was_accepted_is_run),
      ON_EVERY(posts_are_refused_after_the_stop),
      ON_EVERY(a_finalizer_of_the_stop_can_post_no_more),
      ON_EVERY(callbacks_post_to_each_other),
      ON_EVERY(calls_that_make_no_sense_are_refused),
      ON(single, a_worker_that_is_awake_is_not_woken),
      ON(single, posting_from_a_callback_wakes_nobody),
      ON(driven, posting_from_a_callback_wakes_nobody),
      ON_EVERY(a_worker_that_sleeps_is_woken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
