/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches: what is ready is told as it was wished, and wishes cost a call to the system only where they changed. */
#include "support/watched.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "support/cmocka.h"

/* ---- What is told ---- */

static void a_level_is_told_as_long_as_it_lasts(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  assert_int_equal(pass(w), 0);
  say(fd[1], 1);
  for (uint32_t i = 1; i <= 5; i++) {
    assert_int_equal(pass(w), 1);
    assert_int_equal(w->fd[fd[0]].calls, i);
    assert_int_equal(w->fd[fd[0]].last, TORQUE_READ);
  }
  drain(fd[0], NULL);
  assert_int_equal(pass(w), 0);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->calls, 6);
}

static void an_edge_is_told_once_for_each_change(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_EDGE);
  for (uint32_t i = 1; i <= 3; i++) {
    say(fd[1], 1);
    assert_int_equal(pass(w), 1);
    assert_int_equal(pass(w), 0);
    wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_EDGE); /* the same wish: nothing new */
    assert_int_equal(pass(w), 0);
  }
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_EDGE | TORQUE_WATCH_NEW);
  assert_int_equal(pass(w), 1);
  assert_int_equal(pass(w), 0);
  wish(w, fd[0], TORQUE_READ, 0); /* and as a level from now on */
  for (int i = 0; i < 3; i++) assert_int_equal(pass(w), 1);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_EDGE);
  assert_int_equal(pass(w), 1);
  assert_int_equal(pass(w), 0);
}

static uint32_t told_of(struct watched *w, int fd, uint32_t events) {
  const uint32_t calls = w->fd[fd].calls;
  wish(w, fd, events, 0);
  (void)pass(w);
  const uint32_t told = w->fd[fd].calls > calls ? w->fd[fd].last : 0;
  wish(w, fd, 0, 0);
  (void)pass(w);
  return told;
}

static void only_what_was_asked_for(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_tcp(*state, fd);
  assert_int_equal(told_of(w, fd[0], TORQUE_READ), 0);
  assert_int_equal(told_of(w, fd[0], TORQUE_WRITE), TORQUE_WRITE);
  assert_int_equal(told_of(w, fd[0], TORQUE_READ | TORQUE_WRITE | TORQUE_PRIORITY), TORQUE_WRITE);
  assert_int_equal(send(fd[1], "!", 1, MSG_OOB), 1);
  for (int i = 0; i < 1000 && !told_of(w, fd[0], TORQUE_PRIORITY); i++) nap();
  assert_int_equal(told_of(w, fd[0], TORQUE_PRIORITY), TORQUE_PRIORITY);
  assert_int_equal(told_of(w, fd[0], TORQUE_PRIORITY | TORQUE_HANGUP), TORQUE_PRIORITY);
  say(fd[1], 1);
  for (int i = 0; i < 1000 && !told_of(w, fd[0], TORQUE_READ); i++) nap();
  assert_int_equal(told_of(w, fd[0], TORQUE_READ), TORQUE_READ);
  assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
  for (int i = 0; i < 1000 && !told_of(w, fd[0], TORQUE_HANGUP); i++) nap();
  assert_int_equal(told_of(w, fd[0], TORQUE_HANGUP), TORQUE_HANGUP);
  assert_int_equal(told_of(w, fd[0], TORQUE_READ), TORQUE_READ);
}

static void errors_and_the_end_are_told_unasked(void **state) {
  struct watched *w = watched_new(*state);
  int a[2], b[2];
  fixture_pipe(*state, a);
  fixture_pipe(*state, b);
  fixture_close(*state, a[1]);
  assert_int_equal(told_of(w, a[0], TORQUE_PRIORITY), TORQUE_CLOSED);
  fixture_close(*state, b[0]);
  assert_int_equal(told_of(w, b[1], TORQUE_PRIORITY), TORQUE_ERROR);
}

static void each_that_is_ready_is_counted(void **state) {
  struct watched *w = watched_new(*state);
  int fd[10][2];
  for (int i = 0; i < 10; i++) {
    fixture_pair(*state, fd[i]);
    wish(w, fd[i][0], TORQUE_READ, 0);
  }
  for (int i = 0; i < 10; i++) {
    say(fd[i][1], 1);
    uint64_t told = 77;
    assert_int_equal(torque_run_once(w->f->ctx, UINT64_MAX, &told), 0);
    assert_int_equal(told, i + 1);
  }
  for (int i = 0; i < 10; i++) assert_int_equal(w->fd[fd[i][0]].calls, 10 - i);
}

/* ---- What it costs ---- */

static void a_wish_costs_one_call(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  wish(w, fd[0], TORQUE_READ, 0);
  assert_int_equal(controls_since(w, &controls), 0); /* not before the wait */
  for (int i = 0; i < 10; i++) (void)pass(w);
  assert_int_equal(controls_since(w, &controls), 1);
  for (int i = 0; i < 10; i++) {
    wish(w, fd[0], TORQUE_READ, 0); /* the same again */
    (void)pass(w);
  }
  assert_int_equal(controls_since(w, &controls), 0);
}

static void there_and_back_costs_nothing(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2], never[2];
  fixture_pair(*state, fd);
  fixture_pair(*state, never);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  for (int i = 0; i < 10; i++) {
    wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, 0);
    wish(w, fd[0], TORQUE_WRITE, TORQUE_WATCH_EDGE);
    wish(w, fd[0], 0, 0);
    wish(w, fd[0], TORQUE_READ, 0);
    wish(w, never[0], TORQUE_READ, 0);
    wish(w, never[0], 0, 0);
    (void)pass(w);
  }
  assert_int_equal(controls_since(w, &controls), 0);
  say(never[1], 1);
  assert_int_equal(pass(w), 0);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
}

static void a_toggle_costs_one_call(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  for (int i = 1; i <= 10; i++) {
    wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, 0);
    assert_int_equal(pass(w), 1);
    assert_int_equal(w->fd[fd[0]].last, TORQUE_WRITE);
    assert_int_equal(controls_since(w, &controls), 1);
    wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW); /* one call also where the number might be another's */
    assert_int_equal(pass(w), 0);
    assert_int_equal(controls_since(w, &controls), 1);
  }
}

static void to_ask_the_kernel_costs_one_call(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  for (int i = 0; i < 10; i++) {
    wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
    wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
    assert_int_equal(pass(w), 0);
    assert_int_equal(controls_since(w, &controls), 1);
  }
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
}

static void stop_and_start_cost_nothing(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  for (int i = 0; i < 10; i++) {
    wish(w, fd[0], 0, 0);
    if (i % 2) (void)pass(w); /* also over several passes */
    wish(w, fd[0], TORQUE_READ, 0);
    (void)pass(w);
  }
  assert_int_equal(controls_since(w, &controls), 0);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
}

static void what_was_taken_back_is_not_told(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  wish(w, fd[0], 0, 0);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  for (int i = 0; i < 10; i++) assert_int_equal(pass(w), 0);
  assert_int_equal(controls_since(w, &controls), 0);
  say(fd[1], 1);
  for (int i = 0; i < 10; i++) assert_int_equal(pass(w), 0);
  assert_int_equal(controls_since(w, &controls), 1); /* it fired, and was taken out */
  assert_int_equal(stat_total(w->f->ctx, "stale"), 1);
  assert_int_equal(w->calls, 0);
  wish(w, fd[0], TORQUE_READ, 0);
  assert_int_equal(pass(w), 1);
  assert_int_equal(controls_since(w, &controls), 1);
}

/* ---- Wishes made while others are told ---- */

struct scene {
  int a, b;        /* both are ready */
  uint32_t events; /* the wish that whoever is told first makes for the other */
  uint32_t flags;
  int first, done;
};

static void wish_for_the_other(struct watched *w, int32_t fd) {
  struct scene *s = w->aux;
  if (s->done++) return;
  s->first = fd;
  if (torque_watch(w->f->ctx, fd == s->a ? s->b : s->a, s->events, s->flags)) w->strange++;
}

static struct scene *two_ready(struct watched *w, uint32_t flags, uint32_t events) {
  struct scene *s = fixture_take(w->f, sizeof *s);
  int a[2], b[2];
  fixture_pair(w->f, a);
  fixture_pair(w->f, b);
  *s = (struct scene){.a = a[0], .b = b[0], .events = events, .flags = flags};
  wish(w, s->a, TORQUE_READ, flags);
  wish(w, s->b, TORQUE_READ, flags);
  assert_int_equal(pass(w), 0);
  say(a[1], 1);
  say(b[1], 1);
  w->aux = s;
  w->then = wish_for_the_other;
  return s;
}

static int other(const struct scene *s) { return s->first == s->a ? s->b : s->a; }

static void a_wish_taken_back_in_the_pass_counts(void **state) {
  struct watched *w = watched_new(*state);
  struct scene *s = two_ready(w, 0, 0);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[other(s)].calls, 0);
  wish(w, other(s), TORQUE_READ, 0);
  assert_int_equal(pass(w), 2);
}

static void a_wish_changed_in_the_pass_counts(void **state) {
  struct watched *w = watched_new(*state);
  struct scene *s = two_ready(w, 0, TORQUE_WRITE);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[other(s)].calls, 0);
  assert_int_equal(pass(w), 2);
  assert_int_equal(w->fd[other(s)].last, TORQUE_WRITE);
}

static void an_edge_dropped_for_a_changed_wish_comes_again(void **state) {
  struct watched *w = watched_new(*state);
  struct scene *s = two_ready(w, TORQUE_WATCH_EDGE, TORQUE_WRITE);
  assert_int_equal(pass(w), 1);
  wish(w, other(s), TORQUE_READ, TORQUE_WATCH_EDGE); /* there and back, but what came meanwhile was dropped */
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[other(s)].calls, 1);
  assert_int_equal(w->fd[other(s)].last, TORQUE_READ);
}

/* ---- Regular files ---- */

static int regular_file(struct fixture *f) {
  const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  fixture_own(f, fd);
  return fd;
}

static void regular_files_are_always_ready(void **state) {
  struct watched *w = watched_new(*state);
  const int a = regular_file(*state), b = regular_file(*state);
  wish(w, a, TORQUE_READ, 0);
  wish(w, b, TORQUE_READ | TORQUE_WRITE | TORQUE_PRIORITY, TORQUE_WATCH_EDGE);
  for (uint32_t i = 1; i <= 10; i++) {
    uint64_t told = 0;
    assert_int_equal(torque_run_once(w->f->ctx, UINT64_MAX, &told), 0); /* it does not wait */
    assert_int_equal(told, 2);
    assert_int_equal(w->fd[a].calls, i);
    assert_int_equal(w->fd[a].last, TORQUE_READ);
    assert_int_equal(w->fd[b].last, TORQUE_READ | TORQUE_WRITE);
  }
  wish(w, a, TORQUE_WRITE, 0);
  wish(w, b, 0, 0);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[a].last, TORQUE_WRITE);
  wish(w, a, 0, 0);
  for (int i = 0; i < 3; i++) assert_int_equal(pass(w), 0);
  wish(w, a, TORQUE_READ, 0);
  wish(w, b, TORQUE_READ, 0);
  assert_int_equal(pass(w), 2);
  assert_int_equal(w->errors, 0);
}

static void regular_files_beside_sockets(void **state) {
  struct watched *w = watched_new(*state);
  const int file = regular_file(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, file, TORQUE_READ, 0);
  wish(w, fd[0], TORQUE_READ, 0);
  assert_int_equal(pass(w), 1);
  say(fd[1], 1);
  assert_int_equal(pass(w), 2);
}

/* Nothing else ever comes of one, and so it keeps nobody awake. */
static void a_regular_file_asked_for_nothing_it_has(void **state) {
  struct watched *w = watched_new(*state);
  const int fd = regular_file(*state);
  wish(w, fd, TORQUE_PRIORITY | TORQUE_HANGUP, 0);
  const uint64_t sleeps = stat_total(w->f->ctx, "sleeps");
  for (int i = 0; i < 3; i++) assert_int_equal(torque_run_once(w->f->ctx, 100000, NULL), 0);
  assert_int_equal(stat_total(w->f->ctx, "sleeps"), sleeps + 3);
  assert_int_equal(w->calls + w->errors, 0);
  wish(w, fd, TORQUE_PRIORITY | TORQUE_READ, 0);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[fd].last, TORQUE_READ);
}

/* ---- How it waits ---- */

static void a_run_waits_once(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  const uint64_t waits = stat_total(w->f->ctx, "waits");
  const uint64_t begin = monotonic_ns();
  uint64_t told = 77;
  assert_int_equal(torque_run_once(w->f->ctx, 3000000, &told), 0);
  assert_true(monotonic_ns() - begin >= 3000000);
  assert_int_equal(told, 0);
  say(fd[1], 1);
  assert_int_equal(torque_run_once(w->f->ctx, UINT64_MAX, NULL), 0);
  assert_int_equal(torque_wake(w->f->ctx), 0);
  assert_int_equal(torque_run_once(w->f->ctx, UINT64_MAX, NULL), 0);
  assert_int_equal(stat_total(w->f->ctx, "waits"), waits + 3);
}

static volatile sig_atomic_t interrupts;
static void on_alarm(int signo) {
  (void)signo;
  interrupts++;
}

static void a_run_returns_when_its_wait_is_interrupted(void **state) {
  struct watched *w = watched_new(*state);
  struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  sigaction(SIGALRM, &act, &before);
  const struct itimerval again = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &again, NULL);
  uint32_t in_vain = 0;
  for (int i = 0; i < 10; i++) in_vain += !pass_woken(w);
  setitimer(ITIMER_REAL, &never, NULL);
  sigaction(SIGALRM, &before, NULL);
  assert_int_equal(in_vain, 0);
  assert_true(interrupts > 0);
  assert_int_equal(w->calls + w->errors, 0);
}

/* ---- Many ---- */

enum { MANY = FEWER(5000) };

static void five_thousand(void **state) {
  struct fixture *f = *state;
  struct rlimit limit;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  if (limit.rlim_max < 2 * MANY + 100 || setrlimit(RLIMIT_NOFILE, &limit)) skip();
  struct watched *w = watched_new(f);
  int(*fd)[2] = fixture_take(f, MANY * sizeof *fd);
  for (int i = 0; i < MANY; i++) {
    fixture_pair(f, fd[i]);
    wish(w, fd[i][0], TORQUE_READ, 0);
  }
  uint64_t controls = stat_total(f->ctx, "controls");
  assert_int_equal(pass(w), 0);
  assert_int_equal(controls_since(w, &controls), MANY);
  for (int i = 0; i < MANY; i++) say(fd[i][1], 1);
  /* Levels stay; all come in their turn nevertheless. */
  for (int i = 0; i < MANY && w->calls < MANY; i++) assert_true(pass(w) > 0);
  for (int i = 0; i < MANY; i++) {
    assert_in_range(w->fd[fd[i][0]].calls, 1, 2); /* the last pass may have begun anew */
    w->fd[fd[i][0]].calls = 0;
    drain(fd[i][0], NULL);
    wish(w, fd[i][0], 0, 0);
  }
  assert_int_equal(pass(w), 0);
  for (int i = 0; i < MANY; i++) wish(w, fd[i][0], TORQUE_READ, 0);
  assert_int_equal(pass(w), 0);
  assert_int_equal(controls_since(w, &controls), 0);
  say(fd[MANY - 1][1], 1);
  assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[fd[MANY - 1][0]].calls, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, a_level_is_told_as_long_as_it_lasts),
      ON(driven, an_edge_is_told_once_for_each_change),
      ON(driven, only_what_was_asked_for),
      ON(driven, errors_and_the_end_are_told_unasked),
      ON(driven, each_that_is_ready_is_counted),
      ON(driven, a_wish_costs_one_call),
      ON(driven, there_and_back_costs_nothing),
      ON(driven, a_toggle_costs_one_call),
      ON(driven, to_ask_the_kernel_costs_one_call),
      ON(driven, stop_and_start_cost_nothing),
      ON(driven, what_was_taken_back_is_not_told),
      ON(driven, a_wish_taken_back_in_the_pass_counts),
      ON(driven, a_wish_changed_in_the_pass_counts),
      ON(driven, an_edge_dropped_for_a_changed_wish_comes_again),
      ON(driven, regular_files_are_always_ready),
      ON(driven, regular_files_beside_sockets),
      ON(driven, a_regular_file_asked_for_nothing_it_has),
      ON(driven, a_run_waits_once),
      ON(driven, a_run_returns_when_its_wait_is_interrupted),
      ON(driven, five_thousand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
