/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches that look first: what can be written to is told without a registration, and nobody else is kept waiting. */
#include "support/watched.h"

#include <errno.h>
#include <unistd.h>

#include "support/cmocka.h"

static void watch_for_reading(struct watched *w, int fd[2]) {
  fixture_pair(w->f, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  assert_int_equal(pass(w), 0);
}

static void a_short_wish_to_write_costs_no_registration(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  watch_for_reading(w, fd);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  for (uint32_t i = 1; i <= 10; i++) {
    wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
    assert_int_equal(pass(w), 1);
    assert_int_equal(w->fd[fd[0]].calls, i);
    assert_int_equal(w->fd[fd[0]].last, TORQUE_WRITE);
    wish(w, fd[0], TORQUE_READ, 0);
    assert_int_equal(pass(w), 0);
  }
  assert_int_equal(controls_since(w, &controls), 0);
}

static void a_wish_that_stays_is_registered(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  watch_for_reading(w, fd);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
  for (uint32_t i = 1; i <= 10; i++) assert_int_equal(pass(w), 1);
  assert_int_equal(controls_since(w, &controls), 1);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[fd[0]].last, TORQUE_READ | TORQUE_WRITE);
  wish(w, fd[0], TORQUE_READ, 0);
  assert_int_equal(pass(w), 1);
  assert_int_equal(controls_since(w, &controls), 1);
  wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK); /* and the next short one is looked at again */
  (void)pass(w);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  assert_int_equal(controls_since(w, &controls), 0);
}

static void what_has_no_room_is_told_when_it_has(void **state) {
  struct watched *w = watched_new(*state);
  static const char text[65536];
  int fd[2];
  watch_for_reading(w, fd);
  while (write(fd[0], text, sizeof text) > 0) {
  }
  uint64_t controls = stat_total(w->f->ctx, "controls");
  wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
  for (int i = 0; i < 3; i++) assert_int_equal(pass(w), 0);
  assert_int_equal(controls_since(w, &controls), 1);
  drain(fd[1], NULL);
  assert_true(pass_woken(w));
  assert_int_equal(w->fd[fd[0]].last, TORQUE_WRITE);
}

/* A number that nobody watches yet, an edge, another file: as if nothing had been said. */
static void elsewhere_it_changes_nothing(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2], edge[2];
  fixture_pair(*state, fd);
  fixture_pair(*state, edge);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  wish(w, fd[0], TORQUE_WRITE, TORQUE_WATCH_PEEK);
  assert_int_equal(pass(w), 1);
  assert_int_equal(controls_since(w, &controls), 1);
  wish(w, fd[0], 0, 0);
  wish(w, edge[0], TORQUE_READ, TORQUE_WATCH_EDGE);
  assert_int_equal(pass(w), 0);
  wish(w, edge[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_EDGE | TORQUE_WATCH_PEEK);
  assert_int_equal(pass(w), 1);
  for (int i = 0; i < 3; i++) assert_int_equal(pass(w), 0); /* once */
}

static void a_closed_number_is_an_error(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  watch_for_reading(w, fd);
  fixture_close(*state, fd[0]);
  wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[fd[0]].error, EBADF);
  assert_int_equal(pass(w), 0);
}

/* Who is told of an error takes the wish of another back that was looked at beside it. */
static void take_back(struct watched *w, int32_t fd) {
  (void)fd;
  if (torque_watch(w->f->ctx, *(int *)w->aux, 0, 0)) w->strange++;
}

static void a_wish_taken_back_while_others_are_looked_at(void **state) {
  struct watched *w = watched_new(*state);
  int closed[2], fd[2];
  watch_for_reading(w, closed);
  watch_for_reading(w, fd);
  fixture_close(*state, closed[0]);
  wish(w, closed[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
  wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
  w->aux = &fd[0];
  w->then = take_back;
  assert_int_equal(pass(w), 1);
  w->then = NULL;
  for (int i = 0; i < 3; i++) assert_int_equal(pass(w), 0);
  assert_int_equal(w->calls, 0);
  wish(w, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
}

/* A pass that has looked tells all that is ready, as one does that has registered. */
static void nobody_is_kept_from_being_heard(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2][2], other[2];
  watch_for_reading(w, fd[0]);
  watch_for_reading(w, fd[1]);
  watch_for_reading(w, other);
  say(other[1], 1);
  for (uint32_t i = 0; i < 20; i++) {
    wish(w, fd[i % 2][0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
    wish(w, fd[(i + 1) % 2][0], TORQUE_READ, 0);
    assert_true(pass(w) >= 1);
  }
  assert_int_equal(w->fd[fd[0][0]].calls + w->fd[fd[1][0]].calls, 20);
  assert_int_equal(w->fd[other[0]].calls, 20);
}

/* What comes from the kernel for the same descriptor is told with what was found, at the kernel's place for it. */
static void both_are_told_in_one_call(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  watch_for_reading(w, fd);
  say(fd[1], 1);
  wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[fd[0]].calls, 1);
  assert_int_equal(w->fd[fd[0]].last, TORQUE_READ | TORQUE_WRITE);
  wish(w, fd[0], TORQUE_READ, 0);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[fd[0]].last, TORQUE_READ);
}

/* During a wait another thread may change its mind; here the hook does. */
struct mind {
  struct watched *w;
  int fd;
  uint32_t waits;
};

static void change_it(void *arg) {
  struct mind *m = arg;
  m->waits++;
  if (torque_watch(m->w->f->ctx, m->fd, TORQUE_READ, 0)) m->w->strange++;
}

static void a_wish_changed_during_the_wait_counts(void **state) {
  struct watched *w = watched_new(*state);
  struct mind *m = fixture_take(*state, sizeof *m);
  int a[2], b[2];
  watch_for_reading(w, a);
  watch_for_reading(w, b);
  *m = (struct mind){.w = w, .fd = b[0]};
  assert_int_equal(torque_watch_set_hooks(w->f->ctx, change_it, NULL, m), 0);
  wish(w, a[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
  assert_int_equal(pass(w), 1);
  assert_int_equal(m->waits, 1);
  wish(w, a[0], TORQUE_READ, 0);
  wish(w, b[0], TORQUE_READ | TORQUE_WRITE, TORQUE_WATCH_PEEK);
  assert_int_equal(pass(w), 0);
  assert_int_equal(m->waits, 2);
  assert_int_equal(w->fd[b[0]].calls, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, a_short_wish_to_write_costs_no_registration),
      ON(driven, a_wish_that_stays_is_registered),
      ON(driven, what_has_no_room_is_told_when_it_has),
      ON(driven, elsewhere_it_changes_nothing),
      ON(driven, a_closed_number_is_an_error),
      ON(driven, a_wish_taken_back_while_others_are_looked_at),
      ON(driven, nobody_is_kept_from_being_heard),
      ON(driven, both_are_told_in_one_call),
      ON(driven, a_wish_changed_during_the_wait_counts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
