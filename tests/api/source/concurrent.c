/* SPDX-License-Identifier: BSD-3-Clause */
/* A concurrent source may run on several threads at once, and its end still comes after the last of them. */
#include "support/probe.h"

#include "support/cmocka.h"

static const struct shape shape_four = {.name = "four", .workers = 4, .sharing = TORQUE_SHARE_MACHINE};
static const struct shape shape_four_oneshot = {
    .name = "four_oneshot", .workers = 4, .sharing = TORQUE_SHARE_MACHINE, .oneshot = 1, .counted = 1};

static void two_callbacks_meet(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  p->keep = 1; /* the bytes belong to whoever comes */
  probe_start_fd(f, p, fd[0], TORQUE_READ, TORQUE_CONCURRENT);
  say(fd[1], 1);
  AWAIT(f, p->inside == 1);
  say(fd[1], 1);
  AWAIT(f, p->inside == 2);
  say(fd[1], 1);
  AWAIT(f, p->inside == 3);
  atomic_store(&p->blocked, 0);
  AWAIT(f, p->inside == 0);
  assert_int_equal(p->most_inside, 3);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void triggered_ones_meet(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  probe_start_event(f, p, TORQUE_CONCURRENT);
  for (uint32_t n = 1; n <= 3; n++) {
    assert_int_equal(torque_trigger(p->source, 0), 0);
    AWAIT(f, p->inside == n);
  }
  atomic_store(&p->blocked, 0);
  AWAIT(f, p->inside == 0);
  assert_int_equal(p->calls, 3);
}

static void the_end_comes_after_the_last(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  probe_start_event(f, p, TORQUE_CONCURRENT);
  for (uint32_t n = 1; n <= 3; n++) {
    assert_int_equal(torque_trigger(p->source, 0), 0);
    AWAIT(f, p->inside == n);
  }
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_int_equal(torque_source_remove(p->source), TORQUE_ERR_STALE);
  for (int i = 0; i < 10; i++) nap();
  assert_int_equal(p->finals, 0);
  atomic_store(&p->blocked, 0);
  AWAIT(f, p->finals);
  fixture_settle(f);
  assert_int_equal(p->calls, 3);
  assert_ended(p, TORQUE_END_REMOVED);
}

/* Each of the callbacks under way is its own source's: none may wait for the others. */
static void wait_for_own(struct probe *p, torque_source source, int fd) {
  (void)fd;
  if (torque_source_remove_wait(source) == TORQUE_ERR_DEADLOCK) atomic_fetch_add(&p->noted, 1);
}

static void waiting_for_oneself_is_refused(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  p->then = wait_for_own;
  probe_start_event(f, p, TORQUE_CONCURRENT);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->noted == 1);
  assert_int_equal(torque_source_alive(p->source), 1);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void asking_for_more_gets_it(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  p->answer = TORQUE_AGAIN;
  probe_start_event(f, p, TORQUE_CONCURRENT);
  assert_int_equal(torque_trigger(p->source, TORQUE_READ), 0);
  AWAIT(f, p->calls >= 20);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

/* Not so an exclusive one. */
static void an_exclusive_one_does_not(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->inside == 1);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(torque_trigger(p->source, 0), 0);
    nap();
  }
  assert_int_equal(p->most_inside, 1);
  atomic_store(&p->blocked, 0);
  AWAIT(f, p->calls == 2); /* all that came meanwhile is one more call */
  fixture_settle(f);
  assert_int_equal(p->calls, 2);
  assert_int_equal(p->most_inside, 1);
}

/* Nor does one of a descriptor; and what comes while its callback runs, after that has read, is told next. */
static void an_exclusive_descriptor_does_not(struct fixture *f, uint32_t flags) {
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  probe_start_fd(f, p, fd[0], TORQUE_READ, flags);
  for (uint64_t bytes = 0; bytes < 60; bytes += 3) {
    atomic_store(&p->blocked, 1);
    say(fd[1], 1);
    AWAIT(f, p->inside == 1 && p->bytes == bytes + 1); /* it has read, and stays inside */
    say(fd[1], 1);
    nap();
    say(fd[1], 1);
    nap();
    assert_int_equal(p->inside, 1);
    atomic_store(&p->blocked, 0);
    AWAIT(f, p->bytes == bytes + 3);
    AWAIT(f, p->inside == 0);
  }
  assert_int_equal(p->most_inside, 1);
}

static void an_exclusive_edge_does_not(void **state) { an_exclusive_descriptor_does_not(*state, 0); }
static void a_rechecked_descriptor_does_not(void **state) { an_exclusive_descriptor_does_not(*state, TORQUE_RECHECK); }

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(four, two_callbacks_meet),
      ON(synthetic, two_callbacks_meet),
      ON(four_oneshot, two_callbacks_meet),
      ON(four, triggered_ones_meet),
      ON(synthetic, triggered_ones_meet),
      ON(four, the_end_comes_after_the_last),
      ON(synthetic, the_end_comes_after_the_last),
      ON(four_oneshot, the_end_comes_after_the_last),
      ON_EVERY(waiting_for_oneself_is_refused),
      ON_EVERY(asking_for_more_gets_it),
      ON(four, an_exclusive_one_does_not),
      ON_THREADED(an_exclusive_one_does_not),
      ON(four, an_exclusive_edge_does_not),
      ON_THREADED(an_exclusive_edge_does_not),
      ON(shared, an_exclusive_edge_does_not),
      ON(four, a_rechecked_descriptor_does_not),
      ON_THREADED(a_rechecked_descriptor_does_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
