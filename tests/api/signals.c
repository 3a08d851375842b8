/* SPDX-License-Identifier: BSD-3-Clause */
/* Signal sources: who is told, what is told, and what the process has afterwards. */
#include "support/child.h"
#include "support/context.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cmocka.h"

static struct heard {
  _Atomic uint32_t calls, finals, of_usr1, of_usr2, strange;
  _Atomic int32_t pid, code, status, reason;
  _Atomic uint32_t uid;
  _Atomic int64_t value;
} heard, also_heard;

static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source;
  struct heard *h = arg;
  const int32_t signo = torque_siginfo_signo(info);
  atomic_store(&h->pid, torque_siginfo_pid(info));
  atomic_store(&h->code, torque_siginfo_code(info));
  atomic_store(&h->uid, torque_siginfo_uid(info));
  atomic_store(&h->value, torque_siginfo_value(info));
  if (signo == SIGUSR1) atomic_fetch_add(&h->of_usr1, 1);
  else if (signo == SIGUSR2) atomic_fetch_add(&h->of_usr2, 1);
  else if (signo < SIGRTMIN && signo != SIGCHLD && signo != SIGPIPE && signo != SIGTERM && signo != SIGINT)
    atomic_fetch_add(&h->strange, 1);
  atomic_fetch_add(&h->calls, 1);
}

static void on_end(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct heard *h = arg;
  atomic_store(&h->reason, reason);
  atomic_fetch_add(&h->finals, 1);
}

static torque_source watch(struct torque_ctx *ctx, int32_t signo, struct heard *h) {
  torque_source s;
  *h = (struct heard){0};
  assert_int_equal(torque_signal_add(ctx, &signo, 1, on_signal, h, &s), 0);
  return s;
}

static void tells_number_and_sender(void **state) {
  struct fixture *f = *state;
  (void)watch(f->ctx, SIGUSR1, &heard);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  AWAIT(f, heard.calls == 1);
  fixture_settle(f);
  assert_int_equal(heard.calls, 1);
  assert_int_equal(heard.of_usr1, 1);
  assert_int_equal(heard.pid, getpid());
  assert_int_equal(heard.uid, getuid());
  assert_int_equal(heard.code, SI_USER);
}

static void a_value_travels(void **state) {
  struct fixture *f = *state;
  (void)watch(f->ctx, SIGRTMIN + 3, &heard);
  assert_int_equal(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = -77}), 0);
  AWAIT(f, heard.calls == 1);
  assert_int_equal((int32_t)heard.value, -77);
  assert_int_equal(heard.code, SI_QUEUE);
  assert_int_equal(heard.pid, getpid());
}

static void a_set_is_watched_by_one_source(void **state) {
  struct fixture *f = *state;
  torque_source s;
  int32_t set[] = {SIGUSR1, SIGUSR2, SIGRTMAX, SIGHUP};
  heard = (struct heard){0};
  assert_int_equal(torque_signal_add(f->ctx, set, 3, on_signal, &heard, &s), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  assert_int_equal(kill(getpid(), SIGUSR2), 0);
  assert_int_equal(kill(getpid(), SIGRTMAX), 0); /* the last number there is */
  AWAIT(f, heard.calls == 3);
  assert_int_equal(heard.of_usr1, 1);
  assert_int_equal(heard.of_usr2, 1);
  assert_int_equal(heard.strange, 0);
}

static void every_source_of_every_context_is_told(void **state) {
  struct fixture *f = *state;
  enum { SOURCES = 5 };
  static struct heard each[SOURCES], foreign[SOURCES];
  struct torque_ctx *second = NULL, *third = NULL;
  struct torque_config *c = shape_config(&shape_synthetic);
  assert_int_equal(torque_ctx_new(c, &second), 0);
  torque_config_free(c);
  c = shape_config(&shape_driven);
  assert_int_equal(torque_ctx_new(c, &third), 0);
  torque_config_free(c);
  for (int i = 0; i < SOURCES; i++) {
    (void)watch(f->ctx, SIGUSR1, &each[i]);
    (void)watch(i % 2 ? second : third, SIGUSR1, &foreign[i]);
  }
  for (uint32_t n = 1; n <= 10; n++) {
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    for (int i = 0; i < SOURCES; i++) {
      AWAIT(f, each[i].calls == n);
      AWAIT(f, (torque_run_once(third, 0, NULL), foreign[i].calls == n));
    }
  }
  /* One context goes; the others go on. */
  assert_int_equal(torque_stop(second), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  for (int i = 0; i < SOURCES; i++) {
    AWAIT(f, each[i].calls == 11);
    if (i % 2 == 0) AWAIT(f, (torque_run_once(third, 0, NULL), foreign[i].calls == 11));
    else assert_int_equal(foreign[i].calls, 10);
  }
  assert_int_equal(torque_stop(third), 0);
}

static void two_sources_of_one_set_of_signals_end_one_after_the_other(void **state) {
  struct fixture *f = *state;
  torque_source a = watch(f->ctx, SIGUSR1, &heard), b = watch(f->ctx, SIGUSR1, &also_heard);
  assert_int_equal(torque_source_remove(a), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  AWAIT(f, also_heard.calls == 1);
  fixture_settle(f);
  assert_int_equal(heard.calls, 0);
  assert_int_equal(torque_source_remove_wait(b), 0);
}

/* ---- Masks: blocked in all threads, in some, in none ---- */

static void told_whether_blocked_or_not(void **state) {
  struct fixture *f = *state;
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  (void)watch(f->ctx, SIGUSR1, &heard);
  for (uint32_t i = 0; i < 10; i++) {
    assert_int_equal(pthread_sigmask(i % 2 ? SIG_BLOCK : SIG_UNBLOCK, &set, &old), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    AWAIT(f, heard.calls == i + 1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
  }
  fixture_settle(f);
  assert_int_equal(heard.calls, 10);
}

static void the_mask_of_the_caller_is_not_changed(void **state) {
  struct fixture *f = *state;
  sigset_t before, after;
  assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
  torque_source s = watch(f->ctx, SIGUSR2, &heard);
  assert_int_equal(torque_source_remove_wait(s), 0);
  assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
  for (int i = 1; i < SIGRTMAX; i++) assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

/* ---- Dispositions ---- */

static _Atomic uint32_t handled;
static void own_handler(int signo) {
  (void)signo;
  atomic_fetch_add(&handled, 1);
}

static void the_disposition_comes_back_with_the_last_source(void **state) {
  struct fixture *f = *state;
  struct sigaction mine, before, now;
  memset(&mine, 0, sizeof mine);
  mine.sa_handler = own_handler;
  mine.sa_flags = SA_RESTART;
  sigaddset(&mine.sa_mask, SIGUSR2);
  assert_int_equal(sigaction(SIGUSR1, &mine, &before), 0);
  atomic_store(&handled, 0);
  torque_source a = watch(f->ctx, SIGUSR1, &heard), b = watch(f->ctx, SIGUSR1, &also_heard);
  assert_int_equal(torque_source_remove_wait(a), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  AWAIT(f, also_heard.calls == 1);
  assert_int_equal(handled, 0);
  assert_int_equal(torque_source_remove_wait(b), 0);
  assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
  assert_true(now.sa_handler == own_handler);
  assert_true(now.sa_flags & SA_RESTART);
  assert_int_equal(sigismember(&now.sa_mask, SIGUSR2), 1);
  assert_int_equal(raise(SIGUSR1), 0);
  assert_int_equal(handled, 1);
  assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void the_disposition_comes_back_when_the_context_stops(void **state) {
  struct fixture *f = *state;
  struct sigaction now;
  (void)watch(f->ctx, SIGUSR2, &heard);
  fixture_stop(f);
  assert_int_equal(sigaction(SIGUSR2, NULL, &now), 0);
  assert_true(now.sa_handler == SIG_DFL);
}

static int init_and_look_at_sigpipe(void *arg) {
  struct sigaction now, mine;
  (void)arg;
  memset(&mine, 0, sizeof mine);
  CHECK(sigaction(SIGPIPE, &mine, NULL) == 0); /* the default action */
  struct sigaction before[65], after;
  for (int i = 1; i < SIGRTMAX; i++) (void)sigaction(i, NULL, &before[i]);
  torque_err err = 0;
  struct torque_ctx *ctx = torque_init(&err);
  CHECK(ctx && !err);
  CHECK(sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
  for (int i = 1; i < SIGRTMAX; i++) {
    if (i == SIGPIPE || sigaction(i, NULL, &after)) continue;
    CHECK(after.sa_handler == before[i].sa_handler); /* no other is touched */
  }
  CHECK(torque_stop(ctx) == 0);
  mine.sa_handler = own_handler; /* an action of the program's own stays */
  CHECK(sigaction(SIGPIPE, &mine, NULL) == 0);
  ctx = torque_init(&err);
  CHECK(ctx && !err);
  CHECK(sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == own_handler);
  CHECK(torque_stop(ctx) == 0);
  return 0;
}

static int make_one_that_leaves_sigpipe_alone(void *arg) {
  (void)arg;
  struct sigaction now, mine;
  struct torque_config *config = NULL;
  struct torque_ctx *ctx = NULL;
  memset(&mine, 0, sizeof mine);
  CHECK(torque_config_new(&config) == 0);
  CHECK(torque_config_set_sigpipe(NULL, 0) == TORQUE_ERR_INVAL);
  for (int32_t ignore = 0; ignore <= 1; ignore++) {
    CHECK(sigaction(SIGPIPE, &mine, NULL) == 0); /* the default action */
    CHECK(torque_config_set_sigpipe(config, ignore) == 0);
    CHECK(torque_ctx_new(config, &ctx) == 0);
    CHECK(sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == (ignore ? SIG_IGN : SIG_DFL));
    CHECK(torque_stop(ctx) == 0);
  }
  torque_config_free(config);
  return 0;
}

static void a_context_leaves_sigpipe_alone_if_told_so(void **state) {
  (void)state;
  assert_int_equal(child_run(make_one_that_leaves_sigpipe_alone, NULL), 0);
}

static void init_ignores_sigpipe_if_nobody_handles_it(void **state) {
  (void)state;
  assert_int_equal(child_run(init_and_look_at_sigpipe, NULL), 0);
}

static void signals_that_cannot_be_watched_are_refused(void **state) {
  struct fixture *f = *state;
  const int32_t wrong[] = {0, -1, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 32, 33, SIGRTMAX + 1, 1000};
  torque_source s = 5;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    int32_t both[] = {SIGUSR1, wrong[i]};
    assert_int_equal(torque_signal_add(f->ctx, &wrong[i], 1, on_signal, &heard, &s), TORQUE_ERR_INVAL);
    assert_int_equal(torque_signal_add(f->ctx, both, 2, on_signal, &heard, &s), TORQUE_ERR_INVAL);
  }
  int32_t good = SIGUSR1;
  assert_int_equal(torque_signal_add(f->ctx, &good, 0, on_signal, &heard, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_signal_add(f->ctx, &good, 1, NULL, &heard, &s), TORQUE_ERR_INVAL);
  assert_int_equal(s, 5);
  struct sigaction now;
  assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
  assert_true(now.sa_handler == SIG_DFL); /* a refused set leaves no handler behind */
}

/* ---- Children ---- */

static int exit_with(void *arg) { return (int)(intptr_t)arg; }

static int wait_for(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0) {
  }
  return status;
}

static void a_child_that_ends_is_told_with_its_status(void **state) {
  struct fixture *f = *state;
  (void)watch(f->ctx, SIGCHLD, &heard);
  for (uint32_t i = 1; i <= 3; i++) {
    pid_t child = child_start(exit_with, (void *)(intptr_t)(40 + i));
    AWAIT(f, heard.calls >= i);
    assert_int_equal(heard.pid, child);
    assert_int_equal(heard.code, CLD_EXITED);
    assert_int_equal(heard.value, 40 + i);
    (void)wait_for(child);
  }
}

/* ---- Ends ---- */

static void remove_own(torque_source source, const struct torque_siginfo *info, void *arg) {
  on_signal(source, info, arg);
  if (torque_source_remove(source)) atomic_fetch_add(&heard.strange, 1);
}

static void may_remove_its_own_source(void **state) {
  struct fixture *f = *state;
  torque_source s;
  int32_t signo = SIGRTMIN + 1;
  heard = (struct heard){.reason = -1};
  assert_true(signal(signo, SIG_IGN) != SIG_ERR); /* what those that come too late meet */
  assert_int_equal(torque_signal_new(f->ctx, &signo, 1, remove_own, &heard, &s), 0);
  assert_int_equal(torque_source_set_finalizer(s, on_end), 0);
  assert_int_equal(torque_source_start(s), 0);
  for (int i = 0; i < 3; i++) assert_int_equal(kill(getpid(), signo), 0); /* all at once: the first ends it */
  AWAIT(f, heard.finals == 1);
  fixture_settle(f);
  assert_int_equal(heard.calls, 1);
  assert_int_equal(heard.strange, 0);
  assert_int_equal(heard.reason, TORQUE_END_REMOVED);
  assert_int_equal(torque_source_alive(s), 0);
  assert_true(signal(signo, SIG_DFL) == SIG_IGN);
}

static void nothing_is_told_after_removal(void **state) {
  struct fixture *f = *state;
  torque_source keep = watch(f->ctx, SIGUSR1, &also_heard);
  for (int i = 0; i < 20; i++) {
    torque_source s = watch(f->ctx, SIGUSR1, &heard);
    assert_int_equal(torque_source_remove_wait(s), 0);
    const uint32_t calls = heard.calls;
    const uint32_t others = also_heard.calls;
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    AWAIT(f, also_heard.calls > others);
    assert_int_equal(heard.calls, calls);
  }
  assert_int_equal(torque_source_remove_wait(keep), 0);
}

static void a_source_not_started_hears_nothing(void **state) {
  struct fixture *f = *state;
  torque_source s;
  int32_t signo = SIGUSR1;
  (void)watch(f->ctx, SIGUSR1, &also_heard);
  heard = (struct heard){0};
  assert_int_equal(torque_signal_new(f->ctx, &signo, 1, on_signal, &heard, &s), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  AWAIT(f, also_heard.calls == 1);
  fixture_settle(f);
  assert_int_equal(heard.calls, 0);
  assert_int_equal(torque_source_start(s), 0);
  assert_int_equal(torque_source_start(s), TORQUE_ERR_STATE);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  AWAIT(f, heard.calls == 1);
}

/* Programs that leave all signals to sources and torque_block(). */
static int mask_everything(void *arg) {
  (void)arg;
  sigset_t old, now;
  CHECK(torque_sigmask(&old) == 0);
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
  CHECK(sigismember(&now, SIGTERM) && sigismember(&now, SIGUSR1) && sigismember(&now, SIGRTMAX));
  CHECK(!sigismember(&now, SIGSEGV) && !sigismember(&now, SIGBUS) && !sigismember(&now, SIGFPE) &&
        !sigismember(&now, SIGILL));
  CHECK(!sigismember(&old, SIGUSR1));
  CHECK(torque_sigmask(NULL) == 0);
  struct torque_ctx *ctx = NULL;
  CHECK(torque_ctx_new(NULL, &ctx) == 0);
  torque_source s;
  int32_t signo = SIGUSR1;
  heard = (struct heard){0};
  CHECK(torque_signal_add(ctx, &signo, 1, on_signal, &heard, &s) == 0);
  CHECK(kill(getpid(), SIGUSR1) == 0);
  CHECK_SOON(heard.calls == 1);
  CHECK(torque_stop(ctx) == 0);
  return 0;
}

static void sigmask_blocks_all_that_can_be_blocked(void **state) {
  (void)state;
  assert_int_equal(child_run(mask_everything, NULL), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      /* Those that fork first, while this process has no other thread. */
      cmocka_unit_test(init_ignores_sigpipe_if_nobody_handles_it),
      cmocka_unit_test(a_context_leaves_sigpipe_alone_if_told_so),
      cmocka_unit_test(sigmask_blocks_all_that_can_be_blocked),
      ON_EVERY(a_child_that_ends_is_told_with_its_status),
      ON_EVERY(tells_number_and_sender),
      ON_EVERY(a_value_travels),
      ON_EVERY(a_set_is_watched_by_one_source),
      ON_EVERY(every_source_of_every_context_is_told),
      ON_EVERY(two_sources_of_one_set_of_signals_end_one_after_the_other),
      ON_EVERY(told_whether_blocked_or_not),
      ON_EVERY(the_mask_of_the_caller_is_not_changed),
      ON_EVERY(the_disposition_comes_back_with_the_last_source),
      ON_EVERY(the_disposition_comes_back_when_the_context_stops),
      ON_EVERY(signals_that_cannot_be_watched_are_refused),
      ON_EVERY(may_remove_its_own_source),
      ON_EVERY(nothing_is_told_after_removal),
      ON_EVERY(a_source_not_started_hears_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
