/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads that set something of a source, start it and remove it, all at once, between its making and its start. Each call
 * answers; one start at most succeeds, and nothing is set after it. What they touch belongs to one of them at a time (the
 * sanitizers look), and strands, domains and descriptors are given back (teardown looks). */
#include <arpa/inet.h>
#include <errno.h>
#include <libtorque/torque.h>
#include <unistd.h>

#include "support/child.h"
#include "support/context.h"

#include "support/cmocka.h"

enum { SETTERS = 2, STARTERS = 2, KINDS = 6, SOURCES = FEWER(3000) };

struct arena {
  struct fixture *f;
  struct torque_strand *strand[2];
  _Atomic torque_source source; /* the one that they are at */
  _Atomic uint32_t round;
  _Atomic uint32_t started; /* starts of it that answered 0 */
  _Atomic uint32_t finals, wrong, over, set;
};

static void wrong_unless(struct arena *a, int holds) {
  if (!holds) atomic_fetch_add(&a->wrong, 1);
}

static void on_end(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason;
  atomic_fetch_add(&((struct arena *)arg)->finals, 1);
}
static int32_t on_fd(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  return TORQUE_DONE;
}
static void on_timer(torque_source source, uint64_t expirations, void *arg) { (void)source, (void)expirations, (void)arg; }
static int32_t on_idle(torque_source source, void *arg) {
  (void)source, (void)arg;
  return TORQUE_DONE;
}
static void on_datagram(torque_source source, struct torque_datagrams *batch, void *arg) {
  (void)source, (void)batch, (void)arg;
}
static int expected(torque_err err) { return err == 0 || err == TORQUE_ERR_STATE || err == TORQUE_ERR_STALE; }

static torque_err set_something(struct arena *a, torque_source s, uint64_t r) {
  switch (r % 4) {
    case 0: return torque_source_set_strand(s, r & 8 ? a->strand[r / 16 % 2] : NULL);
    case 1: return torque_source_set_placement(s, TORQUE_PLACE_FAR);
    case 2: return torque_source_set_finalizer(s, on_end);
    default: return torque_timer_set_slack(s, 1000);
  }
}

static torque_err start(torque_source s, uint64_t r) {
  const torque_err err = r % 2 ? torque_timer_set(s, 1000000000, 0, 0) : TORQUE_ERR_KIND;
  return err == TORQUE_ERR_KIND ? torque_source_start(s) : err;
}

/* Waits for the next source. 0: that was the last. */
static torque_source next(struct arena *a, uint32_t *round) {
  STAY_UNTIL(atomic_load(&a->round) > *round || atomic_load(&a->f->quit));
  if (atomic_load(&a->round) == *round) return 0;
  *round = atomic_load(&a->round);
  return atomic_load(&a->source);
}

static void *set_on_and_on(void *arg) {
  struct arena *a = arg;
  uint32_t round = 0;
  uint64_t seed = (uint64_t)(uintptr_t)&round;
  for (torque_source s; (s = next(a, &round)); atomic_fetch_add(&a->over, 1)) {
    for (int i = 0; i < 20; i++) {
      const uint64_t r = next_random(&seed) >> 8;
      const uint32_t started = atomic_load(&a->started);
      const torque_err err = set_something(a, s, r);
      wrong_unless(a, expected(err) || err == TORQUE_ERR_KIND);
      wrong_unless(a, err != 0 || !started || r % 4 == 3); /* slack may be set at any time */
      if (err == 0) atomic_fetch_add(&a->set, 1);
    }
  }
  return NULL;
}

static void *start_on_and_on(void *arg) {
  struct arena *a = arg;
  uint32_t round = 0;
  uint64_t seed = (uint64_t)(uintptr_t)&round;
  for (torque_source s; (s = next(a, &round)); atomic_fetch_add(&a->over, 1)) {
    for (int i = 0; i < 4; i++) {
      const uint64_t r = next_random(&seed) >> 8;
      if (r % 8 == 0) sched_yield();
      const torque_err err = start(s, r / 8);
      wrong_unless(a, expected(err) || err == TORQUE_ERR_KIND || err == TORQUE_ERR_SYSCALL + EBADF);
      if (err == 0) atomic_fetch_add(&a->started, 1);
    }
  }
  return NULL;
}

static void *remove_some(void *arg) {
  struct arena *a = arg;
  uint32_t round = 0;
  for (torque_source s; (s = next(a, &round)); atomic_fetch_add(&a->over, 1)) {
    if (round % 3 == 0) sched_yield();
    if (round % 3 != 1) wrong_unless(a, expected(torque_source_remove(s)));
  }
  return NULL;
}

/* Of the last kind the start fails: the number is no descriptor's. */
static torque_source make(struct arena *a, uint32_t kind, int fd) {
  const struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct torque_ctx *ctx = a->f->ctx;
  torque_source s = 0;
  switch (kind) {
    case 0: assert_int_equal(torque_event_new(ctx, 0, on_fd, a, &s), 0); break;
    case 1: assert_int_equal(torque_fd_new(ctx, fd, TORQUE_READ, 0, on_fd, a, &s), 0); break;
    case 2: assert_int_equal(torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, on_timer, a, &s), 0); break;
    case 3: assert_int_equal(torque_idle_new(ctx, on_idle, a, &s), 0); break;
    case 4: assert_int_equal(torque_datagram_bind_new(ctx, &here, sizeof here, 0, on_datagram, a, &s), 0); break;
    default: assert_int_equal(torque_fd_new(ctx, 100000, TORQUE_READ, TORQUE_CONCURRENT, on_fd, a, &s), 0); break;
  }
  return s;
}

static void set_started_and_removed_at_once(void **state) {
  struct fixture *f = *state;
  struct arena *a = fixture_take(f, sizeof *a);
  int fd[2];
  a->f = f;
  fixture_pair(f, fd);
  for (int i = 0; i < 2; i++) assert_int_equal(torque_strand_new(f->ctx, &a->strand[i]), 0);
  for (int i = 0; i < SETTERS; i++) fixture_thread(f, set_on_and_on, a);
  for (int i = 0; i < STARTERS; i++) fixture_thread(f, start_on_and_on, a);
  fixture_thread(f, remove_some, a);
  uint32_t starts = 0;
  for (uint32_t i = 1; i <= SOURCES; i++) {
    const uint32_t kind = i % KINDS;
    const torque_source s = make(a, kind, fd[0]);
    atomic_store(&a->started, 0);
    atomic_store(&a->over, 0);
    atomic_store(&a->source, s);
    atomic_store(&a->round, i);
    AWAIT(f, atomic_load(&a->over) == SETTERS + STARTERS + 1);
    const uint32_t started = atomic_load(&a->started);
    if (kind != 2) assert_true(started <= (kind != KINDS - 1)); /* a timer may be set again and again */
    starts += started > 0;
    (void)torque_source_remove(s);
    AWAIT(f, !torque_source_alive(s));
  }
  atomic_store(&f->quit, 1);
  fixture_join(f);
  assert_int_equal(a->wrong, 0);
  assert_true(starts > SOURCES / 4);
  assert_true(a->set > SOURCES);
  assert_true(a->finals > 0);
  for (int i = 0; i < 2; i++) torque_strand_free(a->strand[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(synthetic, set_started_and_removed_at_once),
      ON(driven, set_started_and_removed_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
