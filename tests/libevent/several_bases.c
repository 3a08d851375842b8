/* SPDX-License-Identifier: BSD-3-Clause */
/* Where ours goes beyond libevent: any number of bases, in any threads, may watch one signal, and each that loops is
   told every time. */
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { BASES = 8, ROUNDS = 40 };

struct member {
  struct event_base *base;
  struct event *signal;
  pthread_t thread;
  atomic_int told;
  atomic_int others; /* events that were not EV_SIGNAL alone */
  atomic_int running;
};

static void told(evutil_socket_t signum, short what, void *arg) {
  struct member *m = arg;
  (void)signum;
  if (what != EV_SIGNAL) atomic_fetch_add(&m->others, 1);
  atomic_fetch_add(&m->told, 1);
}

static void runs(evutil_socket_t fd, short what, void *arg) {
  (void)fd, (void)what;
  atomic_store(&((struct member *)arg)->running, 1);
}

static void make(struct member *m, int signum) {
  memset(m, 0, sizeof *m);
  m->base = event_base_new();
  assert_non_null(m->base);
  m->signal = event_new(m->base, signum, EV_SIGNAL | EV_PERSIST, told, m);
  assert_non_null(m->signal);
  assert_int_equal(event_add(m->signal, NULL), 0);
}

static void unmake(struct member *m) {
  event_free(m->signal);
  event_base_free(m->base);
}

static void *loops(void *arg) {
  event_base_loop(((struct member *)arg)->base, EVLOOP_NO_EXIT_ON_EMPTY);
  return NULL;
}

static void pause_ms(long ms) {
  struct timespec left = {0, ms * 1000000};
  while (nanosleep(&left, &left) && errno == EINTR) {
  }
}

static void start(struct member *m) {
  assert_int_equal(event_base_once(m->base, -1, EV_TIMEOUT, runs, m, NULL), 0);
  assert_int_equal(pthread_create(&m->thread, NULL, loops, m), 0);
  while (!atomic_load(&m->running)) pause_ms(1);
}

static void end(struct member *m) {
  event_base_loopexit(m->base, NULL);
  pthread_join(m->thread, NULL);
}

static void turn(struct member *m) { event_base_loop(m->base, EVLOOP_ONCE | EVLOOP_NONBLOCK); }

/* Waits until the member was told so often; what it was told in the end. */
static int wait_told(struct member *m, int count) {
  for (int i = 0; i < 10000 && atomic_load(&m->told) < count; ++i) pause_ms(1);
  return atomic_load(&m->told);
}

static int is_handled(int signum) {
  struct sigaction now;
  assert_int_equal(sigaction(signum, NULL, &now), 0);
  return now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN;
}

static void bases_of_one_thread_are_all_told(void **state) {
  struct member all[3];
  (void)state;
  for (int i = 0; i < 3; ++i) make(&all[i], SIGUSR1);
  for (int i = 0; i < 3; ++i) turn(&all[i]);
  for (int round = 1; round <= 3; ++round) {
    raise(SIGUSR1);
    for (int i = 0; i < 3; ++i) {
      turn(&all[i]);
      assert_int_equal(atomic_load(&all[i].told), round);
    }
  }
  for (int i = 0; i < 3; ++i) {
    turn(&all[i]);
    assert_int_equal(atomic_load(&all[i].told), 3);
    assert_int_equal(atomic_load(&all[i].others), 0);
    unmake(&all[i]);
  }
  assert_false(is_handled(SIGUSR1));
}

static void bases_of_many_threads_are_told_every_time(void **state) {
  static struct member all[BASES];
  (void)state;
  for (int i = 0; i < BASES; ++i) make(&all[i], SIGUSR1);
  for (int i = 0; i < BASES; ++i) start(&all[i]);
  int complete = 0;
  for (int round = 1; round <= ROUNDS; ++round) {
    kill(getpid(), SIGUSR1);
    int all_told = 1;
    for (int i = 0; i < BASES; ++i) all_told &= wait_told(&all[i], round) == round;
    complete += all_told;
    if (!all_told) break;
  }
  for (int i = 0; i < BASES; ++i) end(&all[i]);
  assert_int_equal(complete, ROUNDS);
  for (int i = 0; i < BASES; ++i) {
    assert_int_equal(atomic_load(&all[i].told), ROUNDS);
    assert_int_equal(atomic_load(&all[i].others), 0);
    unmake(&all[i]);
  }
  assert_false(is_handled(SIGUSR1));
}

static void bases_of_many_threads_with_different_signals(void **state) {
  static struct member all[4];
  static const int signals[] = {SIGUSR1, SIGUSR2, SIGUSR1, SIGHUP};
  (void)state;
  for (int i = 0; i < 4; ++i) make(&all[i], signals[i]);
  for (int i = 0; i < 4; ++i) start(&all[i]);
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGUSR2);
  kill(getpid(), SIGHUP);
  int right = 1;
  for (int i = 0; i < 4; ++i) right &= wait_told(&all[i], 1) == 1;
  for (int i = 0; i < 4; ++i) end(&all[i]);
  for (int i = 0; i < 4; ++i) unmake(&all[i]);
  assert_true(right);
}

static void a_base_that_is_freed_leaves_the_others_watching(void **state) {
  static struct member one, two, three;
  (void)state;
  make(&one, SIGUSR1);
  make(&two, SIGUSR1);
  make(&three, SIGUSR1);
  start(&two);
  turn(&three);
  unmake(&one);
  kill(getpid(), SIGUSR1);
  int told_two = wait_told(&two, 1);
  end(&two);
  assert_int_equal(told_two, 1);
  turn(&three);
  assert_int_equal(atomic_load(&three.told), 1);
  unmake(&two);
  assert_true(is_handled(SIGUSR1));
  raise(SIGUSR1);
  turn(&three);
  assert_int_equal(atomic_load(&three.told), 2);
  unmake(&three);
  assert_false(is_handled(SIGUSR1));
}

/* With its event still added: the memory of both may be used for something else afterwards. */
static void a_base_freed_while_it_watches_is_forgotten(void **state) {
  static struct member other;
  (void)state;
  struct member *gone = malloc(sizeof *gone);
  assert_non_null(gone);
  make(gone, SIGUSR1);
  make(&other, SIGUSR1);
  turn(gone);
  turn(&other);
  event_base_free(gone->base);
  free(gone->signal);
  memset(gone, 0xa5, sizeof *gone);
  free(gone);
  for (int round = 1; round <= 3; ++round) {
    raise(SIGUSR1);
    turn(&other);
    assert_int_equal(atomic_load(&other.told), round);
  }
  unmake(&other);
  assert_false(is_handled(SIGUSR1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bases_of_one_thread_are_all_told),
      cmocka_unit_test(bases_of_many_threads_are_told_every_time),
      cmocka_unit_test(bases_of_many_threads_with_different_signals),
      cmocka_unit_test(a_base_that_is_freed_leaves_the_others_watching),
      cmocka_unit_test(a_base_freed_while_it_watches_is_forgotten),
  };
  if (evthread_use_pthreads()) return 1;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
