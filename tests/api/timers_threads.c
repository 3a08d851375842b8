/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers that several threads set, re-set, cancel and remove at once, while callbacks do the same: the last setting
 * always fires, once and not early, and the timers of one domain fire one after another, in order. */
#include "support/child.h"
#include "support/context.h"

#include <sched.h>

#include "support/cmocka.h"

enum { SETTERS = 4, PER_SETTER = 50, TIMERS = SETTERS * PER_SETTER, ROUNDS = 2000, MS = 1000000, DOMAINS = 8 };

struct shared_timer {
  torque_source source;
  _Atomic uint64_t deadline; /* once nobody changes it any more */
  _Atomic uint64_t calls;
};

static struct shared_timer timers[TIMERS];
static _Atomic uint32_t early, failed, together;
static _Atomic int last_word;
static _Atomic int32_t inside[DOMAINS];
static struct fixture *fixture;

static void set_one(struct shared_timer *t, uint64_t in) {
  if (torque_timer_set(t->source, in, 0, 0)) atomic_fetch_add(&failed, 1);
}

static void on_shared(torque_source source, uint64_t expirations, void *arg) {
  struct shared_timer *t = arg;
  uint32_t domain = 0;
  if (torque_source_domain(source, &domain) || domain >= DOMAINS || expirations != 1) atomic_fetch_add(&failed, 1);
  if (atomic_fetch_add(&inside[domain % DOMAINS], 1)) atomic_fetch_add(&together, 1);
  if (monotonic_ns() < atomic_load(&t->deadline)) atomic_fetch_add(&early, 1);
  const uint64_t calls = atomic_fetch_add(&t->calls, 1) + 1;
  if (calls % 5 == 1 && !atomic_load(&last_word)) set_one(&timers[(size_t)(t - timers + 7) % TIMERS], 50000);
  atomic_fetch_sub(&inside[domain % DOMAINS], 1);
}

static void *set_and_cancel(void *arg) {
  const size_t me = (size_t)(uintptr_t)arg;
  uint64_t seed = me * 7919 + 1;
  for (int i = 0; i < FEWER(ROUNDS) && !atomic_load(&fixture->quit); i++) {
    struct shared_timer *t = &timers[me * PER_SETTER + next_random(&seed) % PER_SETTER];
    const uint64_t r = next_random(&seed);
    if (r % 4) set_one(t, r / 16 % (2 * MS));
    else if (torque_timer_cancel(t->source)) atomic_fetch_add(&failed, 1);
    if (r % 64 == 0) sched_yield();
  }
  return NULL;
}

static void make_timers(struct fixture *f) {
  fixture = f;
  atomic_store(&early, 0), atomic_store(&failed, 0), atomic_store(&together, 0), atomic_store(&last_word, 0);
  for (int i = 0; i < TIMERS; i++) {
    timers[i] = (struct shared_timer){0};
    assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_shared, &timers[i], &timers[i].source), 0);
  }
}

static void threads_set_and_cancel_at_once(void **state) {
  struct fixture *f = *state;
  make_timers(f);
  for (uintptr_t i = 0; i < SETTERS; i++) fixture_thread(f, set_and_cancel, (void *)i);
  if (f->shape->driven)
    for (int i = 0; i < 100; i++) assert_int_equal(torque_run_once(f->ctx, MS, NULL), 0);
  fixture_join(f);
  atomic_store(&last_word, 1);
  for (int i = 0; i < TIMERS; i++) assert_int_equal(torque_timer_cancel(timers[i].source), 0);
  fixture_settle(f);
  uint64_t calls[TIMERS];
  for (int i = 0; i < TIMERS; i++) {
    calls[i] = timers[i].calls;
    atomic_store(&timers[i].deadline, monotonic_ns() + (uint64_t)(i % 10) * MS);
    set_one(&timers[i], (uint64_t)(i % 10) * MS);
  }
  for (int i = 0; i < TIMERS; i++) AWAIT(f, timers[i].calls == calls[i] + 1);
  fixture_settle(f);
  for (int i = 0; i < TIMERS; i++) assert_int_equal(timers[i].calls, calls[i] + 1);
  assert_int_equal(failed, 0);
  assert_int_equal(early, 0);
  assert_int_equal(together, 0);
}

/* Order. Deadlines come in groups of equal ones; all are set before the first is due. */
enum { ORDERED = 600, GROUP = 10 };

static struct ordered {
  torque_source source;
  uint64_t deadline;
  uint32_t place; /* among equals of one domain, as set */
} ordered[ORDERED];

static struct domain_log {
  _Atomic uint64_t last_deadline;
  _Atomic uint32_t last_place;
  _Atomic uint32_t wrong, calls;
} logs[DOMAINS];

static void on_ordered(torque_source source, uint64_t expirations, void *arg) {
  struct ordered *o = arg;
  uint32_t domain = 0;
  if (torque_source_domain(source, &domain) || domain >= DOMAINS || expirations != 1) atomic_fetch_add(&failed, 1);
  struct domain_log *log = &logs[domain % DOMAINS];
  const uint64_t last = atomic_load(&log->last_deadline);
  if (monotonic_ns() < o->deadline) atomic_fetch_add(&early, 1);
  if (o->deadline < last || (o->deadline == last && o->place < atomic_load(&log->last_place)))
    atomic_fetch_add(&log->wrong, 1);
  atomic_store(&log->last_deadline, o->deadline);
  atomic_store(&log->last_place, o->place);
  atomic_fetch_add(&log->calls, 1);
}

static uint32_t calls_logged(void) {
  uint32_t n = 0;
  for (int d = 0; d < DOMAINS; d++) n += logs[d].calls;
  return n;
}

/* Answers 0 when the first was due before the last was set. */
static int set_all(uint64_t margin) {
  const uint64_t base = monotonic_ns() + margin;
  for (uint32_t k = 0; k < ORDERED; k++) {
    struct ordered *o = &ordered[k * 7 % ORDERED]; /* 7 and 600 have no common divisor */
    o->deadline = base + (uint64_t)((o - ordered) / GROUP * 37 % (ORDERED / GROUP)) * 300000;
    o->place = k;
    assert_int_equal(torque_timer_set(o->source, o->deadline, 0, TORQUE_TIMER_ABSOLUTE), 0);
  }
  return monotonic_ns() < base;
}

static void start_over(struct fixture *f) {
  for (int i = 0; i < ORDERED; i++)
    if (ordered[i].deadline) assert_int_equal(torque_timer_cancel(ordered[i].source), 0);
  fixture_settle(f);
  atomic_store(&failed, 0), atomic_store(&early, 0);
  for (int d = 0; d < DOMAINS; d++) logs[d] = (struct domain_log){0};
}

static void timers_of_a_domain_fire_in_order(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < ORDERED; i++) {
    ordered[i] = (struct ordered){0};
    assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_ordered, &ordered[i], &ordered[i].source), 0);
  }
  uint64_t margin = 50 * MS;
  do {
    start_over(f); /* a slow machine tries again with more time */
    margin *= 2;
  } while (!set_all(margin) && margin < 20000ull * MS);
  AWAIT(f, calls_logged() >= ORDERED);
  fixture_settle(f);
  assert_int_equal(calls_logged(), ORDERED);
  for (int d = 0; d < DOMAINS; d++) assert_int_equal(logs[d].wrong, 0);
  assert_int_equal(failed, 0);
  assert_int_equal(early, 0);
}

/* One cancels what another one's callback sets; removal meets firing. Nothing fires after its end. */
static struct removed {
  torque_source source;
  _Atomic uint32_t finals, after;
} removed[256];
static _Atomic uint32_t ended;

static void on_removed(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations;
  struct removed *r = arg;
  if (atomic_load(&r->finals)) atomic_fetch_add(&r->after, 1);
}

static void count_end(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason;
  atomic_fetch_add(&((struct removed *)arg)->finals, 1);
  atomic_fetch_add(&ended, 1);
}

static void *remove_all(void *arg) {
  (void)arg;
  for (int i = 0; i < 256; i++) (void)torque_source_remove(removed[i].source);
  return NULL;
}

static void removal_meets_firing(void **state) {
  struct fixture *f = *state;
  for (int round = 0; round < FEWER(40); round++) {
    atomic_store(&ended, 0);
    for (int i = 0; i < 256; i++) {
      removed[i] = (struct removed){0};
      assert_int_equal(
          torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_removed, &removed[i], &removed[i].source), 0);
      assert_int_equal(torque_source_set_finalizer(removed[i].source, count_end), 0);
    }
    for (int i = 0; i < 256; i++)
      assert_int_equal(torque_timer_set(removed[i].source, (uint64_t)i * 2000, 20000, i % 2 ? TORQUE_TIMER_REMOVE : 0), 0);
    fixture_thread(f, remove_all, NULL);
    fixture_thread(f, remove_all, NULL);
    if (f->shape->driven)
      for (int i = 0; i < 4; i++) assert_int_equal(torque_run_once(f->ctx, 100000, NULL), 0);
    fixture_join(f);
    AWAIT(f, ended == 256);
    fixture_settle(f);
    for (int i = 0; i < 256; i++) {
      assert_int_equal(removed[i].finals, 1);
      assert_int_equal(removed[i].after, 0);
    }
  }
}

/* A timer that goes with its last expiration is set again by another thread, just when its callback returns: either
 * that is refused, or the timer stays and the setting is told. */
enum { SETTINGS = 20 };

static struct going {
  torque_source source;
  _Atomic uint64_t calls, sets, ready; /* ready: calls that may return */
  _Atomic int gone;
  uint64_t seed;
} going;

static void pause_for(uint64_t turns) {
  for (volatile uint64_t i = 0; i < turns; i++) {
  }
}

static void on_going(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)arg;
  if (expirations != 1) atomic_fetch_add(&failed, 1);
  const uint64_t call = atomic_fetch_add(&going.calls, 1) + 1;
  for (uint64_t i = 1; atomic_load(&going.ready) < call; i++)
    if (i % 1000 == 0 && (atomic_load(&fixture->quit) || sched_yield())) return;
  pause_for(next_random(&going.seed) % 100);
}

static void note_gone(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)arg;
  if (reason != TORQUE_END_REMOVED) atomic_fetch_add(&failed, 1);
  atomic_store(&going.gone, 1);
}

/* Each setting begins after the call before it has begun, so that nothing but a further call can tell it. */
static void *set_going(void *arg) {
  uint64_t seed = (uint64_t)(uintptr_t)arg;
  for (;;) {
    const uint64_t sets = atomic_load(&going.sets);
    while (atomic_load(&going.calls) < sets && !atomic_load(&going.gone) && !atomic_load(&fixture->quit)) sched_yield();
    if (atomic_load(&going.calls) < sets) return NULL;
    if (sets == SETTINGS) break;
    atomic_store(&going.sets, sets + 1);
    atomic_store(&going.ready, sets);
    pause_for(next_random(&seed) % 400);
    const torque_err err = torque_timer_set(going.source, 0, 0, TORQUE_TIMER_REMOVE);
    if (!err) continue;
    atomic_store(&going.sets, sets);
    if (err != TORQUE_ERR_STALE) atomic_fetch_add(&failed, 1);
    break;
  }
  atomic_store(&going.ready, UINT64_MAX);
  return NULL;
}

static void race_the_last_expiration(struct fixture *f, int32_t clock, int round) {
  going = (struct going){.sets = 1, .seed = (uint64_t)round * 7919 + 1};
  assert_int_equal(torque_timer_new(f->ctx, clock, on_going, NULL, &going.source), 0);
  assert_int_equal(torque_source_set_finalizer(going.source, note_gone), 0);
  assert_int_equal(torque_timer_set(going.source, 0, 0, TORQUE_TIMER_REMOVE), 0);
  fixture_thread(f, set_going, (void *)(uintptr_t)(round * 2 + 1));
  AWAIT(f, going.gone);
  fixture_join(f);
  assert_int_equal(failed, 0);
  assert_int_equal(going.calls, going.sets);
}

static void a_setting_is_refused_or_told(void **state) {
  fixture = *state;
  atomic_store(&failed, 0);
  for (int round = 0; round < FEWER(120); round++) {
    race_the_last_expiration(*state, TORQUE_CLOCK_MONOTONIC, round);
    race_the_last_expiration(*state, TORQUE_CLOCK_WALL, round);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(threads_set_and_cancel_at_once), ON(shared, threads_set_and_cancel_at_once),
      ON_EVERY(timers_of_a_domain_fire_in_order), ON(shared, timers_of_a_domain_fire_in_order),
      ON_EVERY(removal_meets_firing), ON(shared, removal_meets_firing),
      ON_EVERY(a_setting_is_refused_or_told), ON(shared, a_setting_is_refused_or_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
