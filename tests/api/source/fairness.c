/* SPDX-License-Identifier: BSD-3-Clause */
/* Who has always more to do runs once a round, and delays nobody by more than that. Rounds are counted, not timed. */
#include "support/probe.h"

#include "support/cmocka.h"

enum { OTHERS = 100 };

/* A window that holds them all, so that a round's length does not depend on how it adapts. */
static const struct shape shape_wide = {.name = "wide", .driven = 1, .window = 256, .counted = 1};

static struct probe *flood(struct fixture *f) {
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  p->answer = TORQUE_AGAIN;
  p->keep = 1;
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, p->calls > 3);
  return p;
}

static void note_flood(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  const struct probe *flooder = p->aux;
  atomic_store(&p->noted, atomic_load(&flooder->calls));
}

static void make_others(struct fixture *f, struct probe *flooder, struct probe **others, int *peers) {
  for (int i = 0; i < OTHERS; i++) {
    int fd[2];
    fixture_pair(f, fd);
    others[i] = probe_new(f);
    others[i]->then = note_flood;
    others[i]->aux = flooder;
    probe_start_fd(f, others[i], fd[0], TORQUE_READ, 0);
    peers[i] = fd[1];
  }
  fixture_settle(f);
}

static uint64_t slowest(struct probe **others, uint64_t before) {
  uint64_t most = 0;
  for (int i = 0; i < OTHERS; i++) {
    assert_int_equal(others[i]->calls, 1);
    if (others[i]->noted - before > most) most = others[i]->noted - before;
  }
  return most;
}

static void one_round_serves_all_others(void **state) {
  struct fixture *f = *state;
  struct probe *others[OTHERS];
  int peers[OTHERS];
  struct probe *flooder = flood(f);
  make_others(f, flooder, others, peers);
  for (int i = 0; i < OTHERS; i++) say(peers[i], 1);
  const uint64_t before = flooder->calls;
  assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, NULL), 0);
  assert_true(slowest(others, before) <= 1);
}

static void a_flooder_runs_once_a_round(void **state) {
  struct fixture *f = *state;
  struct probe *flooder = flood(f);
  const uint64_t calls = flooder->calls;
  for (int i = 0; i < 50; i++) assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, NULL), 0);
  assert_in_range(flooder->calls - calls, 49, 51);
}

/* A threaded context stands still in a posted function while the others become ready. */
struct gate {
  struct probe *flooder;
  _Atomic int reached;
  _Atomic int open;
  _Atomic uint64_t before;
};

static void stand_still(void *arg) {
  struct gate *g = arg;
  atomic_store(&g->reached, 1);
  STAY_UNTIL(atomic_load(&g->open));
  atomic_store(&g->before, atomic_load(&g->flooder->calls));
}

static void a_worker_serves_all_others_within_a_round(void **state) {
  struct fixture *f = *state;
  struct probe *others[OTHERS];
  int peers[OTHERS];
  struct gate *g = fixture_take(f, sizeof *g);
  struct probe *flooder = g->flooder = flood(f);
  make_others(f, flooder, others, peers);
  assert_int_equal(torque_post(f->ctx, stand_still, g), 0);
  AWAIT(f, g->reached);
  for (int i = 0; i < OTHERS; i++) say(peers[i], 1);
  atomic_store(&g->open, 1);
  for (int i = 0; i < OTHERS; i++) AWAIT(f, others[i]->calls);
  assert_true(slowest(others, g->before) <= 2); /* the rest of the round that was under way, and one more */
}

static void flooders_take_turns(void **state) {
  struct fixture *f = *state;
  struct probe *p[OTHERS];
  uint32_t before[OTHERS];
  for (int i = 0; i < OTHERS; i++) p[i] = flood(f);
  fixture_settle(f);
  for (int i = 0; i < OTHERS; i++) before[i] = p[i]->calls;
  for (int i = 0; i < 20; i++) assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, NULL), 0);
  for (int i = 0; i < OTHERS; i++) assert_in_range(p[i]->calls - before[i], 19, 21);
}

/* Timers and posted work are others, too. */
static void count_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  (void)expirations;
  atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static void count_post(void *arg) { atomic_fetch_add((_Atomic uint32_t *)arg, 1); }

static void everybody_is_served_while_one_floods(void **state) {
  struct fixture *f = *state;
  struct probe *others[OTHERS];
  int peers[OTHERS];
  _Atomic uint32_t *fired = fixture_take(f, sizeof *fired), *posted = fixture_take(f, sizeof *posted);
  struct probe *flooder = flood(f);
  make_others(f, flooder, others, peers);
  for (uint32_t round = 1; round <= 10; round++) {
    torque_source timer = 0;
    const uint32_t calls = flooder->calls;
    for (int i = 0; i < OTHERS; i++) say(peers[i], 1);
    assert_int_equal(
        torque_timer_add(f->ctx, 1000, 0, TORQUE_TIMER_REMOVE, count_timer, (void *)(uintptr_t)fired, &timer), 0);
    assert_int_equal(torque_post(f->ctx, count_post, (void *)(uintptr_t)posted), 0);
    for (int i = 0; i < OTHERS; i++) AWAIT(f, others[i]->bytes == round);
    AWAIT(f, *fired == round && *posted == round);
    AWAIT(f, flooder->calls > calls); /* and it is served, too */
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(wide, one_round_serves_all_others),
      ON(wide, a_flooder_runs_once_a_round),
      ON(driven, a_flooder_runs_once_a_round),
      ON(single, a_worker_serves_all_others_within_a_round),
      ON(wide, flooders_take_turns),
      ON_EVERY(everybody_is_served_while_one_floods),
      ON(single, everybody_is_served_while_one_floods),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
