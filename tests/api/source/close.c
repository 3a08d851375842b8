/* SPDX-License-Identifier: BSD-3-Clause */
/* torque_close() removes, then closes, when no callback can meet the descriptor any more. */
#include "support/probe.h"

#include <fcntl.h>
#include <unistd.h>

#include "support/cmocka.h"

static int peer_sees_the_end(int fd) {
  int end = 0;
  drain(fd, &end);
  return end;
}

static void an_idle_one_is_closed_at_once(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_close(p->source), 0);
  fixture_disown(f, fd[0]);
  assert_ended(p, TORQUE_END_CLOSED);
  assert_int_equal(p->fd_open_at_final, 0);
  assert_true(fcntl(fd[0], F_GETFD) < 0);
  assert_true(peer_sees_the_end(fd[1]));
}

static void not_under_a_running_callback(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, p->inside);
  assert_int_equal(torque_close(p->source), 0);
  assert_int_equal(torque_close(p->source), TORQUE_ERR_STALE);
  for (int i = 0; i < 10; i++) nap();
  assert_true(fcntl(fd[0], F_GETFD) >= 0); /* still its own: the number cannot be used again */
  const int other = dup(fd[1]);
  fixture_own(f, other);
  assert_int_not_equal(other, fd[0]);
  assert_int_equal(p->finals, 0);
  fixture_disown(f, fd[0]);
  atomic_store(&p->blocked, 0);
  AWAIT(f, p->finals);
  assert_ended(p, TORQUE_END_CLOSED);
  assert_int_equal(p->fd_open_at_final, 0);
  fixture_close(f, other);
  assert_true(peer_sees_the_end(fd[1]));
}

static void close_own(struct probe *p, torque_source source, int fd) {
  atomic_store(&p->result, torque_close(source));
  atomic_store(&p->noted, fcntl(fd, F_GETFD) >= 0);
}

static void from_its_own_callback(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  p->then = close_own;
  fixture_disown(f, fd[0]);
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, p->finals);
  assert_int_equal(p->result, 0);
  assert_int_equal(p->noted, 1); /* open as long as the callback ran */
  assert_int_equal(p->fd_open_at_final, 0);
  assert_ended(p, TORQUE_END_CLOSED);
  assert_true(peer_sees_the_end(fd[1]));
}

static void before_it_was_started(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  assert_int_equal(torque_fd_new(f->ctx, fd[0], TORQUE_READ, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_finalizer(p->source, probe_final), 0);
  fixture_disown(f, fd[0]);
  assert_int_equal(torque_close(p->source), 0);
  assert_ended(p, TORQUE_END_CLOSED);
  assert_true(fcntl(fd[0], F_GETFD) < 0);
}

static void tick(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  (void)expirations;
  (void)arg;
}

static void only_descriptors_are_closed(void **state) {
  struct fixture *f = *state;
  struct probe *event = probe_event(f, 0);
  torque_source timer = 0;
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, tick, NULL, &timer), 0);
  assert_int_equal(torque_close(event->source), TORQUE_ERR_KIND);
  assert_int_equal(torque_close(timer), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_alive(event->source), 1);
  assert_int_equal(torque_source_alive(timer), 1);
  assert_int_equal(torque_close(0), TORQUE_ERR_STALE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(an_idle_one_is_closed_at_once),
      ON_THREADED(not_under_a_running_callback),
      ON_EVERY(from_its_own_callback),
      ON_EVERY(before_it_was_started),
      ON_EVERY(only_descriptors_are_closed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
