/* SPDX-License-Identifier: BSD-3-Clause */
/* Where ours goes beyond libev: any number of loops, in any threads, may watch one signal, and each is told every time.
 */
#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { LOOPS = 8, ROUNDS = 40 };

struct member {
  struct ev_loop *loop;
  ev_signal watcher;
  ev_async end;
  pthread_t thread;
  atomic_int told;
  atomic_int others; /* events that were not EV_SIGNAL alone */
  atomic_int running;
};

static void told(struct ev_loop *loop, ev_signal *w, int revents) {
  struct member *m = w->data;
  (void)loop;
  if (revents != EV_SIGNAL) atomic_fetch_add(&m->others, 1);
  atomic_fetch_add(&m->told, 1);
}

static void ended(struct ev_loop *loop, ev_async *w, int revents) {
  (void)w, (void)revents;
  ev_break(loop, EVBREAK_ALL);
}

static void make(struct member *m, int signum) {
  memset(m, 0, sizeof *m);
  m->loop = ev_loop_new(EVFLAG_NOENV);
  assert_non_null(m->loop);
  ev_signal_init(&m->watcher, told, signum);
  m->watcher.data = m;
  ev_signal_start(m->loop, &m->watcher);
  ev_async_init(&m->end, ended);
  ev_async_start(m->loop, &m->end);
}

static void unmake(struct member *m) {
  ev_signal_stop(m->loop, &m->watcher);
  ev_async_stop(m->loop, &m->end);
  ev_loop_destroy(m->loop);
}

static void *runs(void *arg) {
  struct member *m = arg;
  atomic_store(&m->running, 1);
  ev_run(m->loop, 0);
  return NULL;
}

static void start(struct member *m) {
  assert_int_equal(pthread_create(&m->thread, NULL, runs, m), 0);
  while (!atomic_load(&m->running)) sched_yield();
}

static void end(struct member *m) {
  ev_async_send(m->loop, &m->end);
  pthread_join(m->thread, NULL);
}

static void pause_ms(long ms) {
  struct timespec left = {0, ms * 1000000};
  while (nanosleep(&left, &left) && errno == EINTR) {
  }
}

/* Waits until the member was told so often; what it was told in the end. */
static int wait_told(struct member *m, int count) {
  for (int i = 0; i < 10000 && atomic_load(&m->told) < count; ++i) pause_ms(1);
  return atomic_load(&m->told);
}

static void turn(struct member *m) { ev_run(m->loop, EVRUN_NOWAIT); }

static int is_handled(int signum) {
  struct sigaction now;
  assert_int_equal(sigaction(signum, NULL, &now), 0);
  return now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN;
}

static void loops_of_one_thread_are_all_told(void **state) {
  struct member all[3];
  (void)state;
  for (int i = 0; i < 3; ++i) make(&all[i], SIGUSR1);
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
}

static void loops_of_many_threads_are_told_every_time(void **state) {
  static struct member all[LOOPS];
  int least[LOOPS];
  (void)state;
  for (int i = 0; i < LOOPS; ++i) make(&all[i], SIGUSR1);
  for (int i = 0; i < LOOPS; ++i) start(&all[i]);
  memset(least, 0, sizeof least);
  int complete = 0;
  for (int round = 1; round <= ROUNDS; ++round) {
    kill(getpid(), SIGUSR1);
    int all_told = 1;
    for (int i = 0; i < LOOPS; ++i) all_told &= (least[i] = wait_told(&all[i], round)) == round;
    complete += all_told;
    if (!all_told) break;
  }
  for (int i = 0; i < LOOPS; ++i) end(&all[i]);
  assert_int_equal(complete, ROUNDS);
  for (int i = 0; i < LOOPS; ++i) {
    assert_int_equal(atomic_load(&all[i].told), ROUNDS);
    assert_int_equal(atomic_load(&all[i].others), 0);
    unmake(&all[i]);
  }
}

static void a_loop_that_is_destroyed_leaves_the_others_watching(void **state) {
  static struct member one, two, three;
  (void)state;
  make(&one, SIGUSR1);
  make(&two, SIGUSR1);
  make(&three, SIGUSR1);
  start(&two);
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

/* With its watcher still active: the memory of both may be used for something else afterwards. */
static void a_loop_destroyed_while_it_watches_is_forgotten(void **state) {
  static struct member other;
  (void)state;
  struct member *gone = malloc(sizeof *gone);
  assert_non_null(gone);
  make(gone, SIGUSR1);
  make(&other, SIGUSR1);
  ev_loop_destroy(gone->loop);
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

static void the_last_stop_alone_gives_the_signal_back(void **state) {
  struct member all[4];
  (void)state;
  assert_false(is_handled(SIGUSR2));
  for (int i = 0; i < 4; ++i) make(&all[i], SIGUSR2);
  for (int i = 0; i < 4; ++i) {
    assert_true(is_handled(SIGUSR2));
    unmake(&all[i]);
  }
  assert_false(is_handled(SIGUSR2));
}

static void a_signal_told_late_to_one_loop_is_told_once(void **state) {
  struct member quick, slow;
  (void)state;
  make(&quick, SIGUSR1);
  make(&slow, SIGUSR1);
  for (int i = 0; i < 5; ++i) {
    raise(SIGUSR1);
    turn(&quick);
  }
  turn(&slow);
  turn(&slow);
  assert_int_equal(atomic_load(&quick.told), 5);
  assert_int_equal(atomic_load(&slow.told), 1);
  unmake(&quick);
  unmake(&slow);
}

static void a_signal_that_is_fed_reaches_every_loop(void **state) {
  struct member one, two;
  (void)state;
  make(&one, SIGUSR1);
  make(&two, SIGUSR1);
  ev_feed_signal(SIGUSR1);
  turn(&one);
  turn(&two);
  assert_int_equal(atomic_load(&one.told), 1);
  assert_int_equal(atomic_load(&two.told), 1);
  ev_feed_signal_event(two.loop, SIGUSR1);
  assert_int_equal(ev_pending_count(one.loop), 0);
  assert_int_equal(ev_pending_count(two.loop), 1);
  turn(&one);
  turn(&two);
  assert_int_equal(atomic_load(&one.told), 1);
  assert_int_equal(atomic_load(&two.told), 2);
  unmake(&one);
  unmake(&two);
}

/* What the child found, as its exit code: 0 is well. */
static int in_forked_child(struct member *one, struct member *two) {
  ev_loop_fork(one->loop);
  ev_loop_fork(two->loop);
  turn(one);
  turn(two);
  if (atomic_load(&one->told) || atomic_load(&two->told)) return 1;
  raise(SIGUSR1);
  turn(one);
  turn(two);
  if (atomic_load(&one->told) != 1 || atomic_load(&two->told) != 1) return 2;
  unmake(one);
  raise(SIGUSR1);
  turn(two);
  if (atomic_load(&two->told) != 2) return 3;
  unmake(two);
  return is_handled(SIGUSR1) ? 4 : 0;
}

static void loops_of_a_forked_child_are_its_own(void **state) {
  static struct member one, two;
  (void)state;
  make(&one, SIGUSR1);
  make(&two, SIGUSR1);
  turn(&one);
  turn(&two);
  pid_t pid = fork();
  if (!pid) _exit(in_forked_child(&one, &two));
  assert_true(pid > 0);
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  turn(&one);
  turn(&two);
  assert_int_equal(atomic_load(&one.told), 0);
  assert_int_equal(atomic_load(&two.told), 0);
  raise(SIGUSR1);
  turn(&one);
  turn(&two);
  assert_int_equal(atomic_load(&one.told), 1);
  assert_int_equal(atomic_load(&two.told), 1);
  unmake(&one);
  unmake(&two);
}

static void child_told(struct ev_loop *loop, ev_child *w, int revents) {
  (void)loop;
  if (revents == EV_CHILD && w->rpid == w->pid) ++*(int *)w->data;
}

static void another_loop_may_watch_sigchld_beside_the_default_one(void **state) {
  static struct member other;
  ev_child child;
  int ends = 0;
  siginfo_t info;
  (void)state;
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
  assert_non_null(loop);
  make(&other, SIGCHLD);
  pid_t pid = fork();
  if (!pid) _exit(0);
  assert_true(pid > 0);
  ev_child_init(&child, child_told, pid, 0);
  child.data = &ends;
  ev_child_start(loop, &child);
  while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT)) assert_int_equal(errno, EINTR);
  pause_ms(1);
  turn(&other);
  assert_int_equal(atomic_load(&other.told), 1);
  ev_run(loop, EVRUN_NOWAIT);
  assert_int_equal(ends, 1);
  ev_child_stop(loop, &child);
  unmake(&other);
  assert_true(is_handled(SIGCHLD));
  ev_loop_destroy(loop);
  assert_false(is_handled(SIGCHLD));
}

static atomic_int stop_changing;

/* Loops that come, watch and go, while the signal is sent. */
static void *comes_and_goes(void *arg) {
  while (!atomic_load(&stop_changing)) {
    struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV);
    struct member m;
    memset(&m, 0, sizeof m);
    ev_signal_init(&m.watcher, told, SIGUSR1);
    m.watcher.data = &m;
    ev_signal_start(loop, &m.watcher);
    ev_run(loop, EVRUN_NOWAIT);
    ev_signal_stop(loop, &m.watcher);
    ev_loop_destroy(loop);
  }
  return arg;
}

static void loops_that_come_and_go_cost_the_others_no_signal(void **state) {
  static struct member steady[2];
  pthread_t threads[2];
  int complete = 0;
  (void)state;
  for (int i = 0; i < 2; ++i) make(&steady[i], SIGUSR1);
  for (int i = 0; i < 2; ++i) start(&steady[i]);
  atomic_store(&stop_changing, 0);
  for (int i = 0; i < 2; ++i) assert_int_equal(pthread_create(&threads[i], NULL, comes_and_goes, NULL), 0);
  for (int round = 1; round <= ROUNDS; ++round) {
    kill(getpid(), SIGUSR1);
    complete += wait_told(&steady[0], round) == round && wait_told(&steady[1], round) == round;
  }
  atomic_store(&stop_changing, 1);
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < 2; ++i) end(&steady[i]);
  for (int i = 0; i < 2; ++i) unmake(&steady[i]);
  assert_int_equal(complete, ROUNDS);
}

static void *watches_now_and_then(void *arg) {
  struct member *m = arg;
  for (int i = 0; i < 20000; ++i) {
    ev_signal_start(m->loop, &m->watcher);
    pthread_kill(pthread_self(), SIGUSR1);
    ev_signal_stop(m->loop, &m->watcher);
  }
  return NULL;
}

/* One thread's last stop must not take the handler from another one that just started. */
static void a_signal_never_gets_past_a_loop_that_watches(void **state) {
  (void)state;
  pid_t pid = fork();
  if (!pid) {
    static struct member all[3];
    for (int i = 0; i < 3; ++i) {
      make(&all[i], SIGUSR1);
      ev_signal_stop(all[i].loop, &all[i].watcher);
    }
    for (int i = 0; i < 3; ++i)
      if (pthread_create(&all[i].thread, NULL, watches_now_and_then, &all[i])) _exit(1);
    for (int i = 0; i < 3; ++i) pthread_join(all[i].thread, NULL);
    _exit(is_handled(SIGUSR1) ? 2 : 0);
  }
  assert_true(pid > 0);
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_false(WIFSIGNALED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(loops_of_one_thread_are_all_told),
      cmocka_unit_test(loops_of_many_threads_are_told_every_time),
      cmocka_unit_test(a_loop_that_is_destroyed_leaves_the_others_watching),
      cmocka_unit_test(a_loop_destroyed_while_it_watches_is_forgotten),
      cmocka_unit_test(the_last_stop_alone_gives_the_signal_back),
      cmocka_unit_test(a_signal_told_late_to_one_loop_is_told_once),
      cmocka_unit_test(a_signal_that_is_fed_reaches_every_loop),
      cmocka_unit_test(loops_of_a_forked_child_are_its_own),
      cmocka_unit_test(another_loop_may_watch_sigchld_beside_the_default_one),
      cmocka_unit_test(a_signal_never_gets_past_a_loop_that_watches),
      cmocka_unit_test(loops_that_come_and_go_cost_the_others_no_signal),
  };
  return cmocka_run_group_tests_name("several loops", tests, NULL, NULL);
}
