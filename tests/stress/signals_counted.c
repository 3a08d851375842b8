/* SPDX-License-Identifier: BSD-3-Clause */
/* Real-time signals are counted exactly, with the right sender and value, however many come: from another process, from
 * a thread of this one, while the workers are busy, to several sources at once. Where all threads block them they come in
 * order and none is ever without its details; else a flood may have some whose sender and value are unknown. */
#include "support/child.h"
#include "support/context.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { SIGNALS = FEWER(100000), LISTENERS = 3 };

static struct counter {
  _Atomic int64_t calls, out_of_order, strangers, repeated, unknown;
  _Atomic int32_t from;
  _Atomic char seen[SIGNALS];
} counters[LISTENERS];

static int number;

static void count_one(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source;
  struct counter *c = arg;
  const int64_t value = torque_siginfo_value(info);
  if (torque_siginfo_signo(info) != number) atomic_fetch_add(&c->strangers, 1);
  if (torque_siginfo_pid(info) == 0) {
    atomic_fetch_add(&c->unknown, 1);
    atomic_fetch_add(&c->calls, 1);
    return;
  }
  if (value != atomic_load(&c->calls)) atomic_fetch_add(&c->out_of_order, 1);
  if (value < 0 || value >= SIGNALS || atomic_exchange(&c->seen[value], 1)) atomic_fetch_add(&c->repeated, 1);
  if (torque_siginfo_pid(info) != atomic_load(&c->from)) atomic_fetch_add(&c->strangers, 1);
  atomic_fetch_add(&c->calls, 1);
}

/* The kernel's queue has an end; the sender waits when it is full. */
static int send_all(pid_t to) {
  for (int i = 0; i < SIGNALS; i++)
    while (sigqueue(to, number, (union sigval){.sival_int = i})) {
      if (errno != EAGAIN) return 1;
      sched_yield();
    }
  return 0;
}

static void *send_to_self(void *arg) {
  (void)arg;
  sigset_t all; /* to be handled elsewhere, or the sender would count itself */
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  (void)send_all(getpid());
  return NULL;
}

static void listen_to(struct fixture *f, pid_t sender) {
  for (int i = 0; i < LISTENERS; i++) {
    torque_source s;
    memset((void *)&counters[i], 0, sizeof counters[i]);
    counters[i].from = sender;
    assert_int_equal(torque_signal_add(f->ctx, &number, 1, count_one, &counters[i], &s), 0);
  }
}

static void expect_all(struct fixture *f, int in_order) {
  /* Patience for each piece: all of it may take longer under a sanitizer. */
  for (int64_t part = SIGNALS / 10; part <= SIGNALS; part += SIGNALS / 10)
    for (int i = 0; i < LISTENERS; i++) AWAIT(f, counters[i].calls >= part);
  fixture_settle(f);
  for (int i = 0; i < LISTENERS; i++) {
    assert_int_equal(counters[i].calls, SIGNALS);
    assert_int_equal(counters[i].repeated, 0);
    if (in_order) assert_int_equal(counters[i].out_of_order + counters[i].unknown, 0);
    assert_int_equal(counters[i].strangers, 0);
  }
}

#ifndef __SANITIZE_THREAD__
static int send_to_parent(void *arg) {
  const int *go = arg;
  char byte;
  while (read(*go, &byte, 1) < 0) child_nap();
  return send_all(getppid());
}

static void counted_from_another_process(void **state) {
  struct fixture *f = *state;
  number = SIGRTMIN + 5;
  int go[2];
  fixture_pipe(f, go);
  pid_t sender = child_start(send_to_parent, &go[0]);
  listen_to(f, sender);
  assert_int_equal(write(go[1], "g", 1), 1);
  expect_all(f, 0);
  assert_int_equal(child_end(sender), 0);
}

static void counted_from_a_thread(void **state) {
  struct fixture *f = *state;
  number = SIGRTMAX;
  listen_to(f, getpid());
  fixture_thread(f, send_to_self, NULL);
  expect_all(f, 0);
}
#endif

/* With the signal blocked in the one thread that could handle it, the kernel's queue is all there is. */
static void counted_while_blocked_everywhere(void **state) {
  struct fixture *f = *state;
  number = SIGRTMIN + 2;
  sigset_t all, old;
  sigfillset(&all);
  assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, &old), 0);
  listen_to(f, getpid());
  fixture_thread(f, send_to_self, NULL);
  expect_all(f, 1);
  assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_THREAD__ /* which keeps one pending signal of a number for a thread, and forgets the others */
      ON(live, counted_from_another_process),          ON(synthetic, counted_from_another_process),
      ON(driven, counted_from_another_process),        ON(live, counted_from_a_thread),
      ON(synthetic, counted_from_a_thread),            ON(driven, counted_from_a_thread),
#endif
      ON(live, counted_while_blocked_everywhere),      ON(synthetic, counted_while_blocked_everywhere),
      ON(driven, counted_while_blocked_everywhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
