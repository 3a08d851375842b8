/* SPDX-License-Identifier: BSD-3-Clause */
/* A descriptor that became ready is served before a timeout that fell due while both waited: the answer that arrived in
 * time, but was read late, cancels its own timeout. */
#include "support/context.h"

#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000, PAIRS = 50 };

static struct request {
  torque_source answer, timeout;
  _Atomic uint32_t answered, timed_out, failed;
} requests[PAIRS];

static int32_t on_answer(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events;
  struct request *r = arg;
  if (!drain(fd, NULL)) return TORQUE_DONE;
  if (torque_timer_cancel(r->timeout)) atomic_fetch_add(&r->failed, 1);
  atomic_fetch_add(&r->answered, 1);
  return TORQUE_DONE;
}

static void on_timeout(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations;
  struct request *r = arg;
  atomic_fetch_add(&r->timed_out, 1);
}

static _Atomic int busy, hold;

static void hold_the_loop(void *arg) {
  (void)arg;
  atomic_store(&busy, 1);
  STAY_UNTIL(!atomic_load(&hold));
}

static uint32_t settled(void) {
  uint32_t n = 0;
  for (int i = 0; i < PAIRS; i++) n += requests[i].answered + requests[i].timed_out;
  return n;
}

/* One worker, held in a callback while the answers come and then the timeouts fall due. */
static void an_answer_in_time_wins(void **state) {
  struct fixture *f = *state;
  int fds[PAIRS][2];
  for (int i = 0; i < PAIRS; i++) {
    struct request *r = &requests[i];
    *r = (struct request){0};
    fixture_pair(f, fds[i]);
    assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timeout, r, &r->timeout), 0);
    assert_int_equal(torque_fd_add(f->ctx, fds[i][0], TORQUE_READ, 0, on_answer, r, &r->answer), 0);
  }
  fixture_settle(f);
  atomic_store(&busy, 0);
  atomic_store(&hold, !f->shape->driven); /* a driven context is simply not run meanwhile */
  if (!f->shape->driven) {
    assert_int_equal(torque_post(f->ctx, hold_the_loop, NULL), 0);
    AWAIT(f, busy);
  }
  uint64_t last = 0;
  for (int i = 0; i < PAIRS; i++) {
    say(fds[i][1], 1);
    last = monotonic_ns() + (uint64_t)(i % 5) * MS / 4;
    assert_int_equal(torque_timer_set(requests[i].timeout, last, 0, TORQUE_TIMER_ABSOLUTE), 0);
  }
  for (last += 2 * MS; monotonic_ns() < last;) nap();
  atomic_store(&hold, 0);
  AWAIT(f, settled() >= PAIRS);
  fixture_settle(f);
  for (int i = 0; i < PAIRS; i++) {
    assert_int_equal(requests[i].answered, 1);
    assert_int_equal(requests[i].timed_out, 0);
    assert_int_equal(requests[i].failed, 0);
  }
}

/* More descriptors than one retrieval takes. */
static const struct shape shape_narrow = {.name = "narrow", .workers = 1, .window = 1, .counted = 1};
static const struct shape shape_narrow_driven = {.name = "narrow driven", .driven = 1, .window = 1, .counted = 1};

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(single, an_answer_in_time_wins),
      ON(driven, an_answer_in_time_wins),
      ON(narrow, an_answer_in_time_wins),
      ON(narrow_driven, an_answer_in_time_wins),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
