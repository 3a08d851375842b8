/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers beside a reference model, under random settings, cancels and removals, made outside of and in callbacks: the
 * first to fire is the one with the earliest deadline, among equals the one that was set first; none is early, none is
 * lost, none fires that the model does not have. One worker, so that the model has one thread. */
#include "support/child.h"
#include "support/context.h"

#include "support/cmocka.h"

enum { TIMERS = 200, STEPS = 3000, MS = 1000000 };

struct model_timer {
  torque_source source;
  int set;
  uint64_t deadline, period;
  uint64_t order; /* of the settings */
};

static struct model {
  struct torque_ctx *ctx;
  struct model_timer timer[TIMERS];
  uint64_t seed, settings, grid;
  uint64_t fired, steps;
  uint64_t early, unexpected, out_of_order, failed;
  _Atomic int done;
} model;

static void on_timer(torque_source source, uint64_t expirations, void *arg);

static int before(const struct model_timer *a, const struct model_timer *b) {
  return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void set(struct model_timer *t, uint64_t deadline, uint64_t period) {
  if (torque_timer_set(t->source, deadline, period, TORQUE_TIMER_ABSOLUTE)) model.failed++;
  t->set = 1;
  t->deadline = deadline;
  t->period = period;
  t->order = model.settings++;
}

/* Many deadlines fall on the same point. */
static uint64_t some_deadline(void) {
  const uint64_t r = next_random(&model.seed);
  const uint64_t now = monotonic_ns() / model.grid;
  return (r % 20 ? now + r / 32 % 24 : now - r / 32 % 4) * model.grid;
}

static void renew(struct model_timer *t) {
  if (torque_source_remove(t->source)) model.failed++;
  t->set = 0;
  if (torque_timer_new(model.ctx, TORQUE_CLOCK_MONOTONIC, on_timer, t, &t->source)) model.failed++;
}

static void some_change(void) {
  struct model_timer *t = &model.timer[next_random(&model.seed) % TIMERS];
  const uint64_t what = next_random(&model.seed) % 16;
  if (what < 11) set(t, some_deadline(), 0);
  else if (what < 12) set(t, some_deadline(), model.grid * (1 + what % 3));
  else if (what < 15) t->set = 0, model.failed += torque_timer_cancel(t->source) != 0;
  else renew(t);
}

static void judge(struct model_timer *t, uint64_t expirations) {
  const uint64_t now = monotonic_ns();
  if (!t->set || expirations == 0) model.unexpected++;
  if (now < t->deadline) model.early++;
  for (int i = 0; i < TIMERS; i++)
    if (model.timer[i].set && &model.timer[i] != t && before(&model.timer[i], t)) model.out_of_order++;
  if (!t->period) {
    t->set = 0;
    if (expirations != 1) model.unexpected++;
    return;
  }
  t->deadline += (expirations - 1) * t->period;
  if (now < t->deadline) model.early++;
  t->deadline += t->period;
  t->order = model.settings++;
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  struct model_timer *t = arg;
  model.fired++;
  if (source != t->source) model.unexpected++;
  judge(t, expirations);
  if (model.steps > STEPS) return;
  for (int i = 0; i < 3; i++) some_change();
  model.steps += 3;
}

/* In the context's own thread: changes made between the rounds. */
static void change_more(void *arg) {
  (void)arg;
  for (int i = 0; i < 10; i++) some_change();
  model.steps += 10;
  if (model.steps < STEPS) {
    if (torque_post(model.ctx, change_more, NULL)) model.failed++;
    return;
  }
  for (int i = 0; i < TIMERS; i++) model.timer[i].period = 0;
  for (int i = 0; i < TIMERS; i++) set(&model.timer[i], some_deadline(), 0);
  atomic_store(&model.done, 1);
}

static void count_set(void *arg) {
  int n = 0;
  for (int i = 0; i < TIMERS; i++) n += model.timer[i].set;
  atomic_store((_Atomic int *)arg, n);
}

static void run_model(struct fixture *f, uint64_t seed, uint64_t grid) {
  model = (struct model){.ctx = f->ctx, .seed = seed, .grid = grid};
  for (int i = 0; i < TIMERS; i++)
    assert_int_equal(
        torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, &model.timer[i], &model.timer[i].source), 0);
  assert_int_equal(torque_post(f->ctx, change_more, NULL), 0);
  AWAIT(f, model.done);
  /* All that the model still has falls due: none is lost. Asked in the context's thread, which owns the model. */
  static _Atomic int left;
  struct patience p = patience_start();
  do {
    atomic_store(&left, -1);
    assert_int_equal(torque_post(f->ctx, count_set, (void *)(uintptr_t)&left), 0);
    AWAIT(f, left >= 0);
  } while (left > 0 && fixture_step(f, &p));
  fixture_settle(f);
  assert_int_equal(left, 0);
  fixture_stop(f);
  assert_int_equal(model.failed, 0);
  assert_int_equal(model.early, 0);
  assert_int_equal(model.unexpected, 0);
  assert_int_equal(model.out_of_order, 0);
  assert_true(model.fired > TIMERS);
}

static void agree_with_the_model_far_apart(void **state) { run_model(*state, 0x9e3779b97f4a7c15, MS); }
static void agree_with_the_model_close_together(void **state) { run_model(*state, 0x2545f4914f6cdd1d, 10007); }
static void agree_with_the_model_within_a_microsecond(void **state) { run_model(*state, 77, 61); }

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, agree_with_the_model_far_apart),
      ON(driven, agree_with_the_model_close_together),
      ON(driven, agree_with_the_model_within_a_microsecond),
      ON(single, agree_with_the_model_far_apart),
      ON(single, agree_with_the_model_close_together),
      ON(single, agree_with_the_model_within_a_microsecond),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
