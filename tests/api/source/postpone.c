/* SPDX-License-Identifier: BSD-3-Clause */
/* torque_postpone() means "again, after the others", for every kind of callback. */
#include "support/probe.h"

#include "support/cmocka.h"

static void postpone_some(struct probe *p, torque_source source, int fd) {
  (void)fd;
  if (atomic_load(&p->calls) < 10) atomic_store(&p->result, torque_postpone(source));
}

static void a_descriptor_or_event(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f), *q = probe_new(f);
  p->then = q->then = postpone_some;
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  probe_start_event(f, q, 0);
  say(fd[1], 1);
  assert_int_equal(torque_trigger(q->source, 0), 0);
  AWAIT(f, p->calls == 10);
  AWAIT(f, q->calls == 10);
  fixture_settle(f);
  assert_int_equal(p->calls, 10);
  assert_int_equal(q->calls, 10);
  assert_int_equal(p->result, 0);
  assert_int_equal(p->most_inside, 1);
}

struct ticks {
  _Atomic uint32_t calls;
  _Atomic uint64_t expirations;
  _Atomic torque_err result;
};

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  struct ticks *t = arg;
  atomic_fetch_add(&t->expirations, expirations);
  if (atomic_fetch_add(&t->calls, 1) < 4) atomic_store(&t->result, torque_postpone(source));
}

static void a_timer(void **state) {
  struct fixture *f = *state;
  struct ticks *t = fixture_take(f, sizeof *t);
  torque_source source = 0;
  assert_int_equal(torque_timer_add(f->ctx, 0, 0, 0, on_timer, t, &source), 0);
  AWAIT(f, t->calls == 5);
  fixture_settle(f);
  assert_int_equal(t->calls, 5);
  assert_int_equal(t->result, 0);
}

/* The others have their turn in between. */
static const struct shape shape_wide = {.name = "wide", .driven = 1, .window = 64, .counted = 1};

static void others_come_first(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f), *others[5];
  p->answer = TORQUE_AGAIN;
  probe_start_event(f, p, 0);
  for (int i = 0; i < 5; i++) {
    others[i] = probe_new(f);
    others[i]->answer = TORQUE_AGAIN;
    probe_start_event(f, others[i], 0);
    assert_int_equal(torque_trigger(others[i]->source, 0), 0);
  }
  assert_int_equal(torque_trigger(p->source, 0), 0);
  for (uint32_t round = 1; round <= 10; round++) {
    assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_int_equal(p->calls, round);
    for (int i = 0; i < 5; i++) assert_int_equal(others[i]->calls, round);
  }
}

static void postpone_other(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  const struct probe *other = p->aux;
  atomic_store(&p->result, torque_postpone(other->source));
}

static void only_from_the_own_callback(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f), *other = probe_event(f, 0);
  p->then = postpone_other;
  p->aux = other;
  probe_start_event(f, p, 0);
  assert_int_equal(torque_postpone(other->source), TORQUE_ERR_STATE);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->result);
  assert_int_equal(p->result, TORQUE_ERR_STATE);
  fixture_settle(f);
  assert_int_equal(p->calls, 1);
  assert_int_equal(other->calls, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(a_descriptor_or_event),
      ON_EVERY(a_timer),
      ON(wide, others_come_first),
      ON_EVERY(only_from_the_own_callback),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
