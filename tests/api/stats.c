/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics: counters have names and add up, gauges tell what is there, histograms are filled when asked for. */
#include "support/context.h"

#include <ctype.h>
#include <string.h>

#include "support/cmocka.h"

enum { HOUR_MS = 3600000, MS = 1000000, BUCKETS = 40 };

static _Atomic uint32_t calls;
static _Atomic int hold, inside;

static int32_t on_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  atomic_fetch_add(&calls, 1);
  return TORQUE_DONE;
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations, (void)arg;
  atomic_fetch_add(&calls, 1);
}

static void on_post(void *arg) {
  (void)arg;
  atomic_fetch_add(&calls, 1);
}

static void stay(void *arg) {
  (void)arg;
  atomic_fetch_add(&inside, 1);
  STAY_UNTIL(!atomic_load(&hold));
}

static uint64_t gauge(struct fixture *f, uint32_t which) {
  uint64_t sum = 0;
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
    uint64_t value = 0;
    assert_int_equal(torque_stats_gauge(f->ctx, d, which, &value), 0);
    sum += value;
  }
  return sum;
}

static void counters_have_names_and_explanations(void **state) {
  (void)state;
  const uint32_t n = torque_stats_count();
  assert_true(n > 10);
  for (uint32_t i = 0; i < n; i++) {
    const char *name = torque_stats_name(i), *help = torque_stats_help(i);
    assert_non_null(name);
    assert_non_null(help);
    assert_true(strlen(name) > 0 && strlen(help) > 5 && !strchr(help, '\n'));
    for (const char *c = name; *c; c++) assert_true(islower((unsigned char)*c) || *c == '_');
    assert_int_equal(torque_stats_find(name), i);
  }
  assert_null(torque_stats_name(n));
  assert_null(torque_stats_help(n));
  assert_null(torque_stats_name(UINT32_MAX));
  assert_int_equal(torque_stats_find("no such counter"), n);
  assert_int_equal(torque_stats_find(""), n);
  assert_int_equal(torque_stats_find(NULL), n);
}

/* The numbers of those that exist are part of the interface. */
static void numbers_and_names_stay(void **state) {
  (void)state;
  static const char *const names[] = {"rounds",  "waits",  "sleeps",   "events",       "callbacks", "full_windows", "held",
                                      "postponed", "stale", "rearms",   "controls",     "timers",    "posted",       "signals",
                                      "accepted", "accept_rests", "wakeups", "yields",  "yield_gains", "strand_waits"};
  for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) assert_string_equal(torque_stats_name(i), names[i]);
}

/* More in one domain than in another. */
static void make_traffic(struct fixture *f) {
  torque_source t;
  atomic_store(&calls, 0);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(torque_timer_add(f->ctx, 100000, 0, 0, on_timer, NULL, &t), 0);
    for (int k = 0; k < 10; k++)
      assert_int_equal(torque_post_domain(f->ctx, (k % 3 == 1) % torque_ctx_domains(f->ctx), on_post, NULL), 0);
  }
  AWAIT(f, calls == 220);
}

static void counters_count(void **state) {
  struct fixture *f = *state;
  const uint64_t timers = stat_total(f->ctx, "timers"), posted = stat_total(f->ctx, "posted");
  const uint64_t callbacks = stat_total(f->ctx, "callbacks");
  make_traffic(f);
  assert_int_equal(stat_total(f->ctx, "timers") - timers, 20);
  assert_int_equal(stat_total(f->ctx, "posted") - posted, 200);
  assert_true(stat_total(f->ctx, "callbacks") - callbacks >= 220);
  assert_true(stat_total(f->ctx, "rounds") > 0);
}

/* What the workers counted is in their domains, and the domains make the total. */
static void workers_domains_and_total_agree(void **state) {
  struct fixture *f = *state;
  make_traffic(f);
  static const char *const settled[] = {"timers", "posted", "callbacks"};
  for (int i = 0; i < 3; i++) {
    const uint32_t c = torque_stats_find(settled[i]);
    uint64_t total = 0, domains = 0, workers = 0, value = 0;
    assert_int_equal(torque_stats_total(f->ctx, c, &total), 0);
    for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
      assert_int_equal(torque_stats_domain(f->ctx, d, c, &value), 0);
      domains += value;
    }
    for (uint32_t w = 0; w < torque_ctx_workers(f->ctx); w++) {
      assert_int_equal(torque_stats_worker(f->ctx, w, c, &value), 0);
      workers += value;
    }
    assert_int_equal(domains, total);
    assert_int_equal(workers, total);
  }
}

static void unknown_numbers_are_refused(void **state) {
  struct fixture *f = *state;
  uint64_t value = 5;
  const uint32_t n = torque_stats_count();
  assert_int_equal(torque_stats_worker(f->ctx, torque_ctx_workers(f->ctx), 0, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_worker(f->ctx, 0, n, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_domain(f->ctx, torque_ctx_domains(f->ctx), 0, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_domain(f->ctx, 0, n, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_total(f->ctx, n, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_total(NULL, 0, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_gauge(f->ctx, 0, 99, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_gauge(f->ctx, torque_ctx_domains(f->ctx), 0, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_histogram(f->ctx, 0, 99, 0, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_histogram(f->ctx, 0, 0, BUCKETS, &value), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stats_histogram(f->ctx, torque_ctx_workers(f->ctx), 0, 0, &value), TORQUE_ERR_INVAL);
  assert_int_equal(value, 5);
}

static void gauges_tell_what_is_there(void **state) {
  struct fixture *f = *state;
  torque_source event[10], timer[10];
  assert_int_equal(gauge(f, TORQUE_GAUGE_SOURCES), 0);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(torque_event_add(f->ctx, 0, on_event, NULL, &event[i]), 0);
    assert_int_equal(torque_timer_add(f->ctx, (uint64_t)HOUR_MS * MS, 0, 0, on_timer, NULL, &timer[i]), 0);
  }
  assert_int_equal(gauge(f, TORQUE_GAUGE_SOURCES), 20);
  assert_int_equal(gauge(f, TORQUE_GAUGE_TIMERS), 10);
  assert_int_equal(gauge(f, TORQUE_GAUGE_POSTPONED), 0);
  assert_true(gauge(f, TORQUE_GAUGE_MEMORY) >= 20 * 64);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(torque_timer_cancel(timer[i]), 0);
    assert_int_equal(torque_source_remove_wait(event[i]), 0);
  }
  assert_int_equal(gauge(f, TORQUE_GAUGE_SOURCES), 10);
  assert_int_equal(gauge(f, TORQUE_GAUGE_TIMERS), 0);
}

static void posted_work_that_waits_is_a_gauge(void **state) {
  struct fixture *f = *state;
  atomic_store(&calls, 0), atomic_store(&inside, 0), atomic_store(&hold, 1);
  if (!f->shape->driven) {
    assert_int_equal(torque_post(f->ctx, stay, NULL), 0);
    AWAIT(f, inside);
  }
  for (int i = 0; i < 50; i++) assert_int_equal(torque_post(f->ctx, on_post, NULL), 0);
  const uint64_t waiting = gauge(f, TORQUE_GAUGE_POSTED);
  atomic_store(&hold, 0);
  AWAIT(f, calls == 50);
  fixture_settle(f);
  assert_int_equal(waiting, 50);
  assert_int_equal(gauge(f, TORQUE_GAUGE_POSTED), 0);
}

static void idle_workers_sleep(void **state) {
  struct fixture *f = *state;
  make_traffic(f);
  AWAIT(f, gauge(f, TORQUE_GAUGE_SLEEPERS) == torque_ctx_workers(f->ctx));
  /* Zero system calls when idle: not one wait more while nothing happens. */
  uint64_t waits = 0, again = 1;
  for (int i = 0; i < 20 && waits != again; i++) {
    waits = stat_total(f->ctx, "waits");
    for (int k = 0; k < 50; k++) nap();
    again = stat_total(f->ctx, "waits");
  }
  assert_int_equal(waits, again);
}

/* ---- Histograms ---- */

static uint64_t in_histogram(struct torque_ctx *ctx, uint32_t which, uint32_t from) {
  uint64_t sum = 0;
  for (uint32_t w = 0; w < torque_ctx_workers(ctx); w++)
    for (uint32_t b = from; b < BUCKETS; b++) {
      uint64_t n = 0;
      assert_int_equal(torque_stats_histogram(ctx, w, which, b, &n), 0);
      sum += n;
    }
  return sum;
}

static void slow_post(void *arg) {
  (void)arg;
  const uint64_t until = monotonic_ns() + 2 * MS;
  while (monotonic_ns() < until) nap();
  atomic_fetch_add(&calls, 1);
}

static void histograms_are_empty_unless_asked_for(void **state) {
  struct fixture *f = *state;
  make_traffic(f);
  assert_int_equal(in_histogram(f->ctx, TORQUE_HISTOGRAM_CALLBACK, 0), 0);
  assert_int_equal(in_histogram(f->ctx, TORQUE_HISTOGRAM_LAG, 0), 0);
}

static int with_timing(void **state) {
  const struct shape *shape = *state;
  if (fixture_up(state)) return -1;
  struct fixture *f = *state;
  struct torque_config *config = shape_config(shape);
  assert_int_equal(torque_config_set_timing(config, 1), 0);
  fixture_stop(f);
  const torque_err err = torque_ctx_new(config, &f->ctx);
  torque_config_free(config);
  return err ? -1 : 0;
}

static void histograms_measure_callbacks(void **state) {
  struct fixture *f = *state;
  make_traffic(f);
  atomic_store(&calls, 0);
  for (int i = 0; i < 5; i++) assert_int_equal(torque_post(f->ctx, slow_post, NULL), 0);
  AWAIT(f, calls == 5);
  AWAIT(f, in_histogram(f->ctx, TORQUE_HISTOGRAM_CALLBACK, 0) >= 225);
  assert_true(in_histogram(f->ctx, TORQUE_HISTOGRAM_CALLBACK, 20) >= 5); /* from 2^20 ns on: a callback is not shorter than it slept */
  assert_true(in_histogram(f->ctx, TORQUE_HISTOGRAM_LAG, 0) >= 225);
}

/* ---- While it runs ---- */

static void *read_all(void *arg) {
  struct fixture *f = arg;
  uint64_t before[64] = {0};
  uint64_t wrong = 0;
  while (!atomic_load(&f->quit)) {
    for (uint32_t c = 0; c < torque_stats_count() && c < 64; c++) {
      uint64_t value = 0;
      if (torque_stats_total(f->ctx, c, &value) || value < before[c]) wrong++; /* they only grow */
      before[c] = value;
    }
    for (uint32_t g = TORQUE_GAUGE_SOURCES; g <= TORQUE_GAUGE_MEMORY; g++) {
      uint64_t value = 0;
      if (torque_stats_gauge(f->ctx, 0, g, &value) || value > (1u << 30)) wrong++;
    }
  }
  if (wrong) atomic_store(&inside, 1);
  return NULL;
}

static void readable_while_it_runs(void **state) {
  struct fixture *f = *state;
  atomic_store(&inside, 0);
  for (int i = 0; i < 3; i++) fixture_thread(f, read_all, f);
  for (int i = 0; i < FEWER(50); i++) make_traffic(f);
  atomic_store(&f->quit, 1);
  fixture_join(f);
  assert_int_equal(inside, 0);
}

#define TIMED(name, test) {#test " on " #name, test, with_timing, fixture_down, (void *)(uintptr_t)&shape_##name}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counters_have_names_and_explanations),
      cmocka_unit_test(numbers_and_names_stay),
      ON_EVERY(counters_count),
      ON_EVERY(workers_domains_and_total_agree),
      ON_EVERY(unknown_numbers_are_refused),
      ON_EVERY(gauges_tell_what_is_there),
      ON_EVERY(posted_work_that_waits_is_a_gauge),
      ON_THREADED(idle_workers_sleep),
      ON_EVERY(histograms_are_empty_unless_asked_for),
      TIMED(live, histograms_measure_callbacks),
      TIMED(synthetic, histograms_measure_callbacks),
      TIMED(driven, histograms_measure_callbacks),
      ON_EVERY(readable_while_it_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
