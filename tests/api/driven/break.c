/* SPDX-License-Identifier: BSD-3-Clause */
/* torque_break() ends the innermost run after the callback under way, or the next one; nothing is lost by it. */
#include "support/probe.h"

#include "support/cmocka.h"

static void before_the_run(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  assert_int_equal(torque_break(f->ctx), 0);
  assert_int_equal(torque_run(f->ctx), 0);
  assert_int_equal(torque_break(f->ctx), 0);
  assert_int_equal(torque_break(f->ctx), 0); /* twice is once */
  assert_int_equal(torque_run(f->ctx), 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->calls == 1);
}

static void a_wait_for_one_round(void **state) {
  struct fixture *f = *state;
  uint64_t n = 77;
  assert_int_equal(torque_break(f->ctx), 0);
  assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, &n), 0);
  assert_int_equal(n, 0);
}

/* It ends one run or wait, and is used up by that. */
static void it_does_not_linger(void **state) {
  struct fixture *f = *state;
  uint64_t n = 77;
  assert_int_equal(torque_break(f->ctx), 0);
  assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, NULL), 0);
  const uint64_t begin = monotonic_ns();
  assert_int_equal(torque_run_once(f->ctx, 5000000, &n), 0);
  assert_true(monotonic_ns() - begin >= 5000000);
  assert_int_equal(n, 0);
}

static void break_it(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct fixture *f = p->aux;
  atomic_store(&p->result, torque_break(f->ctx));
}

static void from_a_callback(void **state) {
  struct fixture *f = *state;
  struct probe *p[3];
  for (int i = 0; i < 3; i++) {
    p[i] = probe_new(f);
    p[i]->then = break_it;
    p[i]->aux = f;
    probe_start_event(f, p[i], 0);
  }
  for (int i = 0; i < 3; i++) assert_int_equal(torque_trigger(p[i]->source, 0), 0);
  for (uint32_t done = 1; done <= 3; done++) {
    assert_int_equal(torque_run(f->ctx), 0);
    assert_int_equal(p[0]->calls + p[1]->calls + p[2]->calls, done); /* after the one under way, no other */
  }
}

/* Events that the round had in hand when it was broken off are served by the next. */
static const struct shape shape_wide = {.name = "wide", .driven = 1, .window = 64, .counted = 1};

static void nothing_in_hand_is_lost(void **state) {
  struct fixture *f = *state;
  struct probe *p[10];
  for (int i = 0; i < 10; i++) {
    int fd[2];
    fixture_pair(f, fd);
    p[i] = probe_new(f);
    p[i]->then = break_it;
    p[i]->aux = f;
    probe_start_fd(f, p[i], fd[0], TORQUE_READ, i % 3 == 1 ? TORQUE_RECHECK : i % 3 == 2 ? TORQUE_LEVEL : 0);
    say(fd[1], 1);
  }
  for (int run = 0; run < 10; run++) assert_int_equal(torque_run(f->ctx), 0);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(p[i]->calls, 1);
    assert_int_equal(p[i]->bytes, 1);
  }
}

/* Posted functions and timers break it as well, and those behind them wait for the next run. */
struct queue {
  struct fixture *f;
  _Atomic uint32_t calls;
};

static void break_in_post(void *arg) {
  struct queue *q = arg;
  atomic_fetch_add(&q->calls, 1);
  (void)torque_break(q->f->ctx);
}

static void break_in_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  (void)expirations;
  break_in_post(arg);
}

static void from_posted_functions(void **state) {
  struct fixture *f = *state;
  struct queue *q = fixture_take(f, sizeof *q);
  q->f = f;
  for (int i = 0; i < 5; i++) assert_int_equal(torque_post(f->ctx, break_in_post, q), 0);
  for (uint32_t run = 1; run <= 5; run++) {
    assert_int_equal(torque_run(f->ctx), 0);
    assert_int_equal(q->calls, run);
  }
}

static void from_timers(void **state) {
  struct fixture *f = *state;
  struct queue *q = fixture_take(f, sizeof *q);
  q->f = f;
  for (int i = 0; i < 5; i++) {
    torque_source source = 0;
    assert_int_equal(torque_timer_add(f->ctx, 0, 0, TORQUE_TIMER_REMOVE, break_in_timer, q, &source), 0);
  }
  for (uint32_t run = 1; run <= 5; run++) {
    assert_int_equal(torque_run(f->ctx), 0);
    assert_int_equal(q->calls, run);
  }
}

struct breaker {
  struct fixture *f;
  _Atomic int running;
};

static void *break_from_outside(void *arg) {
  struct breaker *b = arg;
  STAY_UNTIL(atomic_load(&b->running));
  nap();
  (void)torque_break(b->f->ctx);
  return NULL;
}

static void note_running(void *arg) { atomic_store(&((struct breaker *)arg)->running, 1); }

static void from_another_thread(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 50; i++) {
    struct breaker *b = fixture_take(f, sizeof *b);
    b->f = f;
    fixture_thread(f, break_from_outside, b);
    assert_int_equal(torque_post(f->ctx, note_running, b), 0);
    assert_int_equal(torque_run(f->ctx), 0);
    assert_int_equal(b->running, 1);
    fixture_join(f);
  }
}

/* Depth of runs: each break ends one. */
struct depth {
  struct fixture *f;
  struct probe *inner;
  struct probe *last;
  _Atomic int inner_returned;
};

static void run_inside(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct depth *d = p->aux;
  (void)torque_trigger(d->inner->source, 0);
  atomic_store(&p->result, torque_run(d->f->ctx));
  atomic_store(&d->inner_returned, 1);
  (void)torque_trigger(d->last->source, 0);
}

static void the_innermost_run_only(void **state) {
  struct fixture *f = *state;
  struct depth *d = fixture_take(f, sizeof *d);
  struct probe *outer = probe_new(f), *inner = probe_new(f), *last = probe_new(f);
  *d = (struct depth){.f = f, .inner = inner};
  outer->then = run_inside;
  outer->aux = d;
  inner->then = break_it;
  inner->aux = f;
  last->then = break_it;
  last->aux = f;
  probe_start_event(f, outer, 0);
  probe_start_event(f, inner, 0);
  probe_start_event(f, last, 0);
  d->last = last;
  assert_int_equal(torque_trigger(outer->source, 0), 0);
  assert_int_equal(torque_run(f->ctx), 0);
  assert_int_equal(outer->result, 0);
  assert_int_equal(inner->calls, 1);
  assert_int_equal(d->inner_returned, 1);
  assert_int_equal(last->calls, 1); /* the outer run went on until this broke it */
  assert_int_equal(outer->calls, 1);
}

static void stopping_ends_it(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_stop_async(f->ctx), 0);
  const torque_err err = torque_run(f->ctx);
  assert_true(err == 0 || err == TORQUE_ERR_STOPPED);
  assert_int_equal(torque_run(f->ctx), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, NULL), TORQUE_ERR_STOPPED);
}

static void stop_it(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct fixture *f = p->aux;
  atomic_store(&p->result, torque_stop(f->ctx));
  atomic_store(&p->noted, (uint64_t)torque_stop_async(f->ctx) + 1);
}

static void stopping_from_a_callback_ends_it(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  p->then = stop_it;
  p->aux = f;
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  assert_int_equal(torque_run(f->ctx), 0);
  assert_int_equal(p->result, TORQUE_ERR_DEADLOCK);
  assert_int_equal(p->noted, 1);
  fixture_stop(f);
  assert_ended(p, TORQUE_END_STOPPED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, before_the_run),
      ON(driven, a_wait_for_one_round),
      ON(driven, it_does_not_linger),
      ON(driven, from_posted_functions),
      ON(driven, from_timers),
      ON(driven, from_a_callback),
      ON(wide, from_a_callback),
      ON(wide, nothing_in_hand_is_lost),
      ON(driven, nothing_in_hand_is_lost),
      ON(driven, from_another_thread),
      ON(driven, the_innermost_run_only),
      ON(driven, stopping_ends_it),
      ON(driven, stopping_from_a_callback_ends_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
