/* SPDX-License-Identifier: BSD-3-Clause */
/* Signals where something else happens at the same time: other phases of a pass, threads, programs that are started. */
#include "helpers.h"

#include <stdatomic.h>
#include <semaphore.h>
#include <spawn.h>

static int told_count;

static void told(struct ev_loop *loop, ev_signal *w, int revents) {
  told_count++;
  trace("signal %d: %s, pass %u, depth %u", w->signum, bits(revents), ev_iteration(loop), ev_depth(loop));
}

static void watch(struct ev_loop *loop, ev_signal *w, int signum) {
  ev_signal_init(w, told, signum);
  ev_signal_start(loop, w);
}

static ev_signal one, two;

#define RAISES(kind)                                                              \
  static void raises_in_##kind(struct ev_loop *loop, ev_##kind *w, int revents) { \
    trace("%s raises in pass %u", bits(revents), ev_iteration(loop));             \
    ev_##kind##_stop(loop, w);                                                    \
    raise(SIGUSR1);                                                               \
  }                                                                               \
  static void from_##kind(struct ev_loop *loop) {                                 \
    static ev_##kind w;                                                           \
    ev_##kind##_init(&w, raises_in_##kind);                                       \
    ev_##kind##_start(loop, &w);                                                  \
    turn(loop);                                                                   \
    turn(loop);                                                                   \
  }
RAISES(prepare)
RAISES(check)
RAISES(idle)

CASE(signal_raised_in_prepare_is_told_in_the_same_pass) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, SIGUSR1);
  from_prepare(loop);
}

CASE(signal_raised_in_check_is_told_in_the_next_pass) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, SIGUSR1);
  from_check(loop);
}

CASE(signal_raised_in_an_idle_callback_is_told_in_the_next_pass) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, SIGUSR1);
  from_idle(loop);
}

CASE(signals_of_all_real_time_numbers) {
  struct ev_loop *loop = ev_loop_new(0);
  static ev_signal all[64];
  int count = 0;
  for (int s = SIGRTMIN; s <= SIGRTMAX; ++s) watch(loop, &all[count++], s);
  for (int s = SIGRTMAX; s >= SIGRTMIN; --s) raise(s);
  turn(loop);
  trace("told %s", yes(told_count == count));
  while (count > 0) ev_signal_stop(loop, &all[--count]);
  trace("run %d", ev_run(loop, 0));
}

static void invokes(struct ev_loop *loop) {
  trace("pending %u", ev_pending_count(loop));
  ev_invoke_pending(loop);
  trace("pending %u afterwards", ev_pending_count(loop));
}

CASE(signal_seen_by_a_callback_that_invokes_what_is_pending) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, SIGUSR1);
  watch(loop, &two, SIGUSR1);
  ev_set_invoke_pending_cb(loop, invokes);
  trace("without a signal");
  turn(loop);
  trace("with one");
  raise(SIGUSR1);
  turn(loop);
}

static void nothing_is_invoked(struct ev_loop *loop) { trace("left pending: %s", yes(ev_pending_count(loop) > 0)); }

CASE(signal_left_pending_is_told_when_it_is_invoked) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, SIGUSR1);
  ev_set_invoke_pending_cb(loop, nothing_is_invoked);
  raise(SIGUSR1);
  turn(loop);
  raise(SIGUSR1);
  turn(loop);
  trace("invoked");
  ev_invoke_pending(loop);
  trace("pending %u", ev_pending_count(loop));
}

struct owned {
  ev_signal watcher;
  int number;
};

static void frees_itself(struct ev_loop *loop, ev_signal *w, int revents) {
  struct owned *o = (struct owned *)w;
  trace("%d: %s", o->number, bits(revents));
  ev_signal_stop(loop, w);
  memset(o, 0xa5, sizeof *o);
  free(o);
}

CASE(signal_watchers_may_free_themselves) {
  struct ev_loop *loop = ev_loop_new(0);
  for (int i = 0; i < 5; ++i) {
    struct owned *o = malloc(sizeof *o);
    NEED(o);
    o->number = i;
    ev_signal_init(&o->watcher, frees_itself, SIGUSR1);
    ev_signal_start(loop, &o->watcher);
  }
  raise(SIGUSR1);
  trace("run %d", ev_run(loop, 0));
  trace("now %s", disposition(SIGUSR1));
}

static void changes_signal(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("%d: %s", w->signum, bits(revents));
  ev_signal_stop(loop, w);
  if (w->signum == SIGUSR2) return;
  ev_signal_set(w, SIGUSR2);
  ev_signal_start(loop, w);
}

CASE(signal_watcher_takes_another_signal_in_its_callback) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_signal_init(&one, changes_signal, SIGUSR1);
  ev_signal_start(loop, &one);
  raise(SIGUSR1);
  turn(loop);
  trace("%s, %s", disposition(SIGUSR1), disposition(SIGUSR2));
  raise(SIGUSR2);
  trace("run %d", ev_run(loop, 0));
  trace("%s, %s", disposition(SIGUSR1), disposition(SIGUSR2));
}

static sem_t heard;
static int rounds;

static void answers(struct ev_loop *loop, ev_signal *w, int revents) {
  (void)w, (void)revents;
  if (++rounds == 3000) ev_break(loop, EVBREAK_ALL);
  sem_post(&heard);
}

static void *asks(void *arg) {
  for (int i = 0; i < 3000; ++i) {
    kill(getpid(), SIGUSR1);
    while (sem_wait(&heard)) {
    }
  }
  return arg;
}

CASE(signal_never_lost_while_the_loop_goes_to_sleep) {
  struct ev_loop *loop = ev_loop_new(0);
  pthread_t thread;
  NEED(!sem_init(&heard, 0, 0));
  ev_signal_init(&one, answers, SIGUSR1);
  ev_signal_start(loop, &one);
  NEED(!pthread_create(&thread, NULL, asks, NULL));
  trace("run %d", run_guarded(loop, 0));
  trace("rounds %d", rounds);
  while (rounds < 3000) {
    rounds++;
    sem_post(&heard);
  }
  pthread_join(thread, NULL);
}

static void counts(struct ev_loop *loop, ev_signal *w, int revents) {
  (void)loop, (void)w, (void)revents;
  told_count++;
}

static atomic_int ended;

static void ends(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("%d: %s, the others were told: %s", w->signum, bits(revents), yes(told_count > 0));
  ev_break(loop, EVBREAK_ALL);
  ended = 1;
}

static void *storms(void *arg) {
  for (int i = 0; i < 5000; ++i) kill(getpid(), i % 2 ? SIGUSR1 : SIGHUP);
  kill(getpid(), SIGUSR2);
#ifdef __SANITIZE_THREAD__
  /* Its runtime puts handlers off, and of a storm's last signal for ever in one of ten runs, with either library. */
  while (!ended) {
    pause_ms(10);
    if (!ended) kill(getpid(), SIGUSR2);
  }
#endif
  return arg;
}

CASE(signal_storm_leaves_the_last_one_standing) {
  struct ev_loop *loop = ev_loop_new(0);
  static ev_signal usr1, hup, usr2;
  pthread_t thread;
  ev_signal_init(&usr1, counts, SIGUSR1);
  ev_signal_init(&hup, counts, SIGHUP);
  ev_signal_init(&usr2, ends, SIGUSR2);
  ev_signal_start(loop, &usr1);
  ev_signal_start(loop, &hup);
  ev_signal_start(loop, &usr2);
  NEED(!pthread_create(&thread, NULL, storms, NULL));
  trace("run %d", run_guarded(loop, 0));
  pthread_join(thread, NULL);
}

/* What a program sees that is started now: how many descriptors, and whether signals are blocked or ignored. */
static void start_program(const char *what) {
  char *const argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
                        (char *)(uintptr_t) "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status", NULL};
  trace("%s", what);
  pid_t pid = fork();
  NEED(pid >= 0);
  if (!pid) {
    execv("/bin/sh", argv);
    _exit(127);
  }
  int status;
  while (waitpid(pid, &status, 0) < 0) NEED(errno == EINTR);
}

static void starts_program(struct ev_loop *loop, ev_signal *w, int revents) {
  start_program("in a callback");
  (void)loop, (void)w, (void)revents;
}

static void on_stat(struct ev_loop *loop, ev_stat *w, int revents) { (void)loop, (void)w, (void)revents; }

CASE(programs_that_are_started_get_nothing_of_a_loop) {
  start_program("before");
  struct ev_loop *loop = ev_loop_new(0);
  static ev_async async;
  static ev_stat stat_watcher;
  ev_async_init(&async, NULL);
  ev_async_start(loop, &async);
  ev_stat_init(&stat_watcher, on_stat, "/tmp", 0.);
  ev_stat_start(loop, &stat_watcher);
  ev_signal_init(&one, starts_program, SIGUSR1);
  ev_signal_start(loop, &one);
  raise(SIGUSR1);
  turn(loop);
  start_program("afterwards");
}

static struct ev_loop *shared_loop;

static void raises_with_fork_check(void *arg) {
  (void)arg;
  turn(shared_loop);
  raise(SIGUSR1);
  turn(shared_loop);
}

CASE(signal_in_a_child_that_the_loop_detects) {
  shared_loop = ev_loop_new(EVFLAG_FORKCHECK);
  watch(shared_loop, &one, SIGUSR1);
  turn(shared_loop);
  in_child("child", raises_with_fork_check, NULL);
  trace("parent");
  turn(shared_loop);
}

static void raises_after_fork(void *arg) {
  (void)arg;
  ev_loop_fork(shared_loop);
  turn(shared_loop);
  trace("blocked in the child: %d", is_blocked(SIGUSR1));
  raise(SIGUSR1);
  turn(shared_loop);
}

CASE(signalfd_of_a_forked_child_is_its_own) {
  shared_loop = ev_loop_new(EVFLAG_SIGNALFD);
  watch(shared_loop, &one, SIGUSR1);
  turn(shared_loop);
  in_child("child", raises_after_fork, NULL);
  trace("parent");
  turns(shared_loop, 2);
  raise(SIGUSR1);
  turn(shared_loop);
}

static void raises_in_waiting(struct ev_loop *loop) EV_NOEXCEPT { (void)loop, raise(SIGUSR1); }
static void waited(struct ev_loop *loop) EV_NOEXCEPT { (void)loop; }

/* As when it arrives at the last moment before the kernel is asked. */
CASE(signal_raised_while_the_loop_is_released_ends_the_wait) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, SIGUSR1);
  ev_set_loop_release_cb(loop, raises_in_waiting, waited);
  trace("run %d", run_guarded(loop, EVRUN_ONCE));
  trace("told %d", told_count);
}
