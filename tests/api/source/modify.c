/* SPDX-License-Identifier: BSD-3-Clause */
/* What a source waits for can change in any state; what is ready for the new events is told at once. */
#include "support/probe.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

static void ready_for_the_new_events_is_told_at_once(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  say(fd[1], 5);
  struct probe *p = probe_fd(f, fd[0], TORQUE_PRIORITY, 0); /* which never comes */
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_READ), 0);
  AWAIT(f, p->bytes == 5);
  assert_int_equal(p->told, TORQUE_READ);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_WRITE), 0);
  AWAIT(f, p->last == TORQUE_WRITE);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_READ | TORQUE_WRITE), 0);
  AWAIT(f, p->calls >= 3);
}

static void nothing_asked_is_nothing_told(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_fd_modify(p->source, 0), 0);
  fixture_settle(f);
  say(fd[1], 1);
  fixture_settle(f);
  fixture_close(f, fd[1]); /* a hang-up is not told either */
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_READ), 0);
  AWAIT(f, p->ends);
  assert_int_equal(p->bytes, 1);
}

static void nothing_asked_from_the_beginning(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  say(fd[1], 1);
  struct probe *p = probe_fd(f, fd[0], 0, 0);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0); /* but its program may call it */
  AWAIT(f, p->calls == 1);
  assert_int_equal(p->told, TORQUE_TRIGGER);
}

static void a_level_triggered_one_that_asks_nothing_is_quiet(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  say(fd[1], 1);
  struct probe *p = probe_new(f);
  p->keep = 1;
  probe_start_fd(f, p, fd[0], TORQUE_READ, TORQUE_LEVEL);
  AWAIT(f, p->calls >= 3);
  assert_int_equal(torque_fd_modify(p->source, 0), 0);
  fixture_close(f, fd[1]);
  fixture_settle(f);
  const uint32_t calls = p->calls;
  const uint64_t begin = monotonic_ns();
  for (int i = 0; i < 3; i++) assert_int_equal(torque_run_once(f->ctx, 3000000, NULL), 0);
  assert_true(monotonic_ns() - begin >= 9000000); /* it slept: nothing is reported over and over */
  assert_int_equal(p->calls, calls);
}

static void while_its_callback_runs(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, p->inside);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_WRITE), 0);
  for (int i = 0; i < 5; i++) nap();
  assert_int_equal(p->inside, 1);
  assert_int_equal(p->calls, 1);
  atomic_store(&p->blocked, 0);
  AWAIT(f, p->last == TORQUE_WRITE);
  fixture_settle(f);
  const uint32_t calls = p->calls;
  say(fd[1], 1); /* not asked for any more */
  fixture_settle(f);
  assert_int_equal(p->bytes, p->calls == calls ? 1 : 2); /* writability may be told again, reading may not */
  assert_false(p->last & TORQUE_READ);
  assert_int_equal(p->most_inside, 1);
}

static void while_it_is_postponed(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  p->answer = TORQUE_AGAIN;
  p->keep = 1;
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, p->calls > 3);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(torque_fd_modify(p->source, TORQUE_WRITE), 0);
    AWAIT(f, p->last & TORQUE_WRITE);
    assert_int_equal(torque_fd_modify(p->source, TORQUE_READ), 0);
    AWAIT(f, p->last & TORQUE_READ && !(p->last & TORQUE_WRITE));
  }
  assert_int_equal(torque_fd_modify(p->source, 0), 0);
  const uint32_t calls = p->calls;
  fixture_settle(f);
  assert_true(p->calls - calls <= 1); /* that one had begun */
  assert_int_equal(torque_fd_modify(p->source, TORQUE_READ), 0);
  AWAIT(f, p->calls > calls + 1);
}

/* Two ends of a line, each waiting for what it needs next, changed from their own callbacks. */
enum { TRIPS = FEWER(2000) };

struct end {
  uint32_t interest; /* only its own callbacks look */
  uint32_t sent, received;
  uint32_t unexpected;
  int first;
  _Atomic torque_err error;
  _Atomic int done;
};

static int32_t ping_pong(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct end *e = arg;
  char c = 'x';
  e->unexpected += !(events & e->interest) || (events & ~e->interest);
  if (e->interest == TORQUE_WRITE) {
    if (write(fd, &c, 1) != 1) return TORQUE_DONE;
    e->sent++;
    e->interest = TORQUE_READ;
  } else {
    if (read(fd, &c, 1) != 1) return TORQUE_DONE;
    e->received++;
    e->interest = TORQUE_WRITE;
  }
  const int done = e->first ? e->received == TRIPS : e->sent == TRIPS;
  const torque_err err = torque_fd_modify(source, done ? 0 : e->interest);
  if (err) atomic_store(&e->error, err);
  if (done || err) atomic_store(&e->done, 1);
  return TORQUE_DONE;
}

static void from_its_own_callback(struct fixture *f, uint32_t flags) {
  int fd[2];
  fixture_pair(f, fd);
  struct end *e = fixture_take(f, 2 * sizeof *e);
  torque_source source[2];
  e[0] = (struct end){.interest = TORQUE_WRITE, .first = 1};
  e[1] = (struct end){.interest = TORQUE_READ};
  for (int i = 0; i < 2; i++)
    assert_int_equal(torque_fd_add(f->ctx, fd[i], i ? TORQUE_READ : TORQUE_WRITE, flags, ping_pong, &e[i], &source[i]),
                     0);
  AWAIT(f, e[0].done && e[1].done);
  for (int i = 0; i < 2; i++) assert_int_equal(torque_source_remove_wait(source[i]), 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(e[i].error, 0);
    assert_int_equal(e[i].sent, TRIPS);
    assert_int_equal(e[i].received, TRIPS);
  }
}

static void edge_from_its_own_callback(void **state) { from_its_own_callback(*state, 0); }
static void recheck_from_its_own_callback(void **state) { from_its_own_callback(*state, TORQUE_RECHECK); }
static void level_from_its_own_callback(void **state) { from_its_own_callback(*state, TORQUE_LEVEL); }

static void before_it_is_started(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  assert_int_equal(torque_fd_new(f->ctx, fd[0], TORQUE_READ, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_WRITE), 0);
  say(fd[1], 1);
  assert_int_equal(torque_source_start(p->source), 0);
  AWAIT(f, p->calls);
  fixture_settle(f);
  assert_int_equal(p->told, TORQUE_WRITE);
}

static void a_descriptor_that_was_closed(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  fixture_close(f, fd[0]);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_READ | TORQUE_WRITE), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(dup2(fd[1], fd[0]), fd[0]); /* the number is somebody else's, and not ours to change */
  fixture_own(f, fd[0]);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_READ | TORQUE_WRITE), TORQUE_ERR_SYSCALL + ENOENT);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void tick(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  (void)expirations;
  (void)arg;
}

static void wrong_use(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0), *event = probe_event(f, 0);
  torque_source timer = 0;
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, tick, NULL, &timer), 0);
  assert_int_equal(torque_fd_modify(timer, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_fd_modify(event->source, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_fd_modify(p->source, 0x1000), TORQUE_ERR_INVAL);
  assert_int_equal(torque_fd_modify(0, TORQUE_READ), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_int_equal(torque_fd_modify(p->source, TORQUE_READ), TORQUE_ERR_STALE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(ready_for_the_new_events_is_told_at_once),
      ON_EVERY(nothing_asked_is_nothing_told),
      ON_EVERY(nothing_asked_from_the_beginning),
      ON(driven, a_level_triggered_one_that_asks_nothing_is_quiet),
      ON_THREADED(while_its_callback_runs),
      ON_EVERY(while_it_is_postponed),
      ON_EVERY(edge_from_its_own_callback),
      ON_EVERY(recheck_from_its_own_callback),
      ON(driven, level_from_its_own_callback),
      ON_EVERY(before_it_is_started),
      ON_EVERY(a_descriptor_that_was_closed),
      ON_EVERY(wrong_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
