/* SPDX-License-Identifier: BSD-3-Clause */
/* A triggered source runs soon, once for all triggers that came before it started, and is never forgotten. */
#include "support/probe.h"

#include "support/cmocka.h"

static void an_event_is_told_as_it_was_triggered(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  assert_int_equal(torque_trigger(p->source, TORQUE_WRITE), 0);
  AWAIT(f, p->calls);
  fixture_settle(f);
  assert_int_equal(p->calls, 1);
  assert_int_equal(p->told, TORQUE_WRITE | TORQUE_TRIGGER);
  assert_int_equal(p->fd, -1);
}

static void a_descriptor_source(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_trigger(p->source, TORQUE_READ), 0);
  AWAIT(f, p->calls);
  assert_int_equal(p->told, TORQUE_READ | TORQUE_TRIGGER);
  say(fd[1], 2); /* and its own events come as ever */
  AWAIT(f, p->bytes == 2);
  assert_int_equal(p->last, TORQUE_READ);
}

static void a_rechecked_descriptor_source(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, TORQUE_RECHECK);
  for (uint32_t i = 1; i <= 20; i++) {
    assert_int_equal(torque_trigger(p->source, TORQUE_READ), 0);
    AWAIT(f, p->calls >= i);
    say(fd[1], 1);
    AWAIT(f, p->bytes == i);
  }
}

/* The events are what the trigger says, also those that the descriptor is not watched for. */
static void events_that_are_not_waited_for(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_trigger(p->source, TORQUE_WRITE), 0);
  AWAIT(f, p->calls);
  assert_int_equal(p->told, TORQUE_WRITE | TORQUE_TRIGGER);
}

/* While its callback runs: one more call, however many there were. */
static void triggers_are_merged(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->inside);
  for (int i = 0; i < 1000; i++) assert_int_equal(torque_trigger(p->source, i & 1 ? TORQUE_READ : TORQUE_WRITE), 0);
  atomic_store(&p->blocked, 0);
  AWAIT(f, p->calls == 2);
  fixture_settle(f);
  assert_int_equal(p->calls, 2);
  assert_int_equal(p->last, TORQUE_READ | TORQUE_WRITE | TORQUE_TRIGGER);
}

static void triggers_are_merged_before_a_round(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  for (int i = 0; i < 1000; i++) assert_int_equal(torque_trigger(p->source, 0), 0);
  fixture_settle(f);
  assert_int_equal(p->calls, 1);
}

static void trigger_own(struct probe *p, torque_source source, int fd) {
  (void)fd;
  if (atomic_load(&p->calls) < 100) atomic_store(&p->result, torque_trigger(source, 0));
}

static void from_its_own_callback_it_runs_again(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  p->then = trigger_own;
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->calls == 100);
  fixture_settle(f);
  assert_int_equal(p->calls, 100);
  assert_int_equal(p->result, 0);
  assert_int_equal(p->most_inside, 1);
}

/* Each thread counts up, then triggers: the last call sees all of it. */
enum { THREADS = 4, PUSHES = FEWER(20000) };

struct counter {
  struct fixture *f;
  torque_source source;
  _Atomic uint64_t pushed;
  uint64_t seen; /* its callback only */
  _Atomic uint64_t published;
  _Atomic uint32_t errors;
};

static int32_t look_at_counter(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)fd;
  (void)events;
  struct counter *c = arg;
  c->seen = atomic_load(&c->pushed);
  atomic_store(&c->published, c->seen);
  return TORQUE_DONE;
}

static void *push(void *arg) {
  struct counter *c = arg;
  for (int i = 0; i < PUSHES && !atomic_load(&c->f->quit); i++) {
    atomic_fetch_add(&c->pushed, 1);
    if (torque_trigger(c->source, 0)) atomic_fetch_add(&c->errors, 1);
  }
  return NULL;
}

static void none_is_lost_among_threads(void **state) {
  struct fixture *f = *state;
  struct counter *c = fixture_take(f, sizeof *c);
  c->f = f;
  assert_int_equal(torque_event_add(f->ctx, 0, look_at_counter, c, &c->source), 0);
  for (int i = 0; i < THREADS; i++) fixture_thread(f, push, c);
  AWAIT(f, c->published == (uint64_t)THREADS * PUSHES);
  assert_int_equal(c->errors, 0);
}

/* A trigger makes what was written before it visible, and wakes who sleeps: one at a time, each waited for. */
static void each_one_wakes_a_sleeper(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  for (uint32_t i = 1; i <= 2000; i++) {
    assert_int_equal(torque_trigger(p->source, 0), 0);
    AWAIT(f, p->calls == i);
  }
}

static void what_is_gone_is_stale(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_int_equal(torque_trigger(p->source, 0), TORQUE_ERR_STALE);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
}

static void tick(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  (void)expirations;
  (void)arg;
}

static void wrong_use(void **state) {
  struct fixture *f = *state;
  torque_source timer = 0;
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, tick, NULL, &timer), 0);
  assert_int_equal(torque_trigger(timer, 0), TORQUE_ERR_KIND);
  struct probe *p = probe_event(f, 0);
  assert_int_equal(torque_trigger(p->source, 0x100), TORQUE_ERR_INVAL);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(an_event_is_told_as_it_was_triggered),
      ON_EVERY(a_descriptor_source),
      ON_EVERY(a_rechecked_descriptor_source),
      ON_EVERY(events_that_are_not_waited_for),
      ON_THREADED(triggers_are_merged),
      ON(driven, triggers_are_merged_before_a_round),
      ON_EVERY(from_its_own_callback_it_runs_again),
      ON_EVERY(none_is_lost_among_threads),
      ON_EVERY(each_one_wakes_a_sleeper),
      ON_EVERY(what_is_gone_is_stale),
      ON_EVERY(wrong_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
