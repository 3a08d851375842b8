/* SPDX-License-Identifier: BSD-3-Clause */
/* torque_block(): what ends it, what does not, and to whom termination signals belong. Each scenario has a process of
 * its own, which a signal that goes astray would end. */
#include "support/child.h"
#include "support/context.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/cmocka.h"

static _Atomic int entering, hold, inside, finals, stopped;
static _Atomic pid_t blocker, others[2];
static struct torque_ctx *ctx;

static char state_of(pid_t thread) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
  FILE *file = fopen(path, "r");
  if (!file) return '?';
  size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = 0;
  const char *end = strrchr(text, ')');
  return end && end[1] ? end[2] : '?';
}

static void wait_until_asleep(_Atomic pid_t *thread) {
  CHECK_SOON(atomic_load(thread));
  for (int calm = 0, tries = 0; calm < 40; child_nap()) {
    calm = state_of(atomic_load(thread)) == 'S' ? calm + 1 : 0;
    CHECK(++tries < 100000);
  }
}

/* The thread has said that it goes into torque_block(), and has been asleep for a while. */
static void wait_until_blocked(void) {
  CHECK_SOON(atomic_load(&entering));
  wait_until_asleep(&blocker);
}

static int block(struct torque_ctx *context) {
  atomic_store(&blocker, (pid_t)syscall(SYS_gettid));
  atomic_store(&entering, 1);
  return torque_block(context);
}

static int32_t stay(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  atomic_store(&inside, 1);
  STAY_UNTIL(!atomic_load(&hold));
  return TORQUE_DONE;
}

static void count_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)arg;
  if (reason == TORQUE_END_STOPPED) atomic_fetch_add(&finals, 1);
}

static torque_source new_event(void) {
  torque_source s;
  CHECK(torque_event_new(ctx, 0, stay, NULL, &s) == 0);
  CHECK(torque_source_set_finalizer(s, count_final) == 0);
  CHECK(torque_source_start(s) == 0);
  return s;
}

static void open_context(const struct shape *shape) {
  struct torque_config *config = NULL;
  CHECK(torque_config_new(&config) == 0);
  if (shape->synthetic)
    CHECK(torque_config_set_topology(config, TORQUE_TOPOLOGY_SYNTHETIC, shape->synthetic) == 0);
  CHECK(torque_ctx_new(config, &ctx) == 0);
  torque_config_free(config);
}

static void *send_signal(void *arg) {
  wait_until_blocked();
  CHECK(kill(getpid(), (int)(intptr_t)arg) == 0);
  return NULL;
}

/* Threads of a program leave termination signals to torque_block(), see torque_sigmask(). */
static void in_thread(pthread_t *t, void *(*body)(void *), void *arg) {
  sigset_t all, old;
  sigfillset(&all);
  CHECK(pthread_sigmask(SIG_BLOCK, &all, &old) == 0);
  CHECK(pthread_create(t, NULL, body, arg) == 0);
  CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
}

struct plan {
  const struct shape *shape;
  int signo;
};

static int ended_by_signal(void *arg) {
  const struct plan *plan = arg;
  pthread_t t;
  open_context(plan->shape);
  (void)new_event();
  (void)new_event();
  in_thread(&t, send_signal, (void *)(intptr_t)plan->signo);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(atomic_load(&finals) == 2);
  return 0;
}

static int ended_by_signal_with_all_blocked(void *arg) {
  const struct plan *plan = arg;
  CHECK(torque_sigmask(NULL) == 0);
  return ended_by_signal((void *)(uintptr_t)plan);
}

static void *have_them_unblocked(void *arg) {
  (void)arg;
  while (atomic_load(&finals) < 2) child_nap();
  return NULL;
}

/* Nobody called torque_sigmask(): the sender and a thread that does something else have the signal unblocked. */
static int ended_though_other_threads_have_it_unblocked(void *arg) {
  const struct plan *plan = arg;
  pthread_t t[2];
  open_context(plan->shape);
  (void)new_event();
  (void)new_event();
  CHECK(pthread_create(&t[0], NULL, have_them_unblocked, NULL) == 0);
  CHECK(pthread_create(&t[1], NULL, send_signal, (void *)(intptr_t)plan->signo) == 0);
  CHECK(block(ctx) == 0);
  for (int i = 0; i < 2; i++) CHECK(pthread_join(t[i], NULL) == 0);
  CHECK(atomic_load(&finals) == 2);
  struct sigaction now;
  CHECK(sigaction(plan->signo, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  return 0;
}

static int ended_by_signal_without_workers(void *arg) {
  const struct plan *plan = arg;
  pthread_t t;
  open_context(plan->shape);
  in_thread(&t, send_signal, (void *)(intptr_t)plan->signo);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  return 0;
}

/* Both were sent before anybody waited: nothing of them is left when the mask is as it was. */
static int both_pending(void *arg) {
  const struct plan *plan = arg;
  sigset_t old, pending;
  CHECK(torque_sigmask(&old) == 0);
  open_context(plan->shape);
  (void)new_event();
  CHECK(kill(getpid(), SIGTERM) == 0);
  CHECK(kill(getpid(), SIGINT) == 0);
  CHECK(block(ctx) == 0);
  CHECK(sigpending(&pending) == 0);
  CHECK(!sigismember(&pending, SIGTERM) && !sigismember(&pending, SIGINT));
  CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
  return 0;
}

/* While a callback is under way the context cannot have stopped, so that these all come while it is stopping. */
static void *send_again_and_again(void *arg) {
  (void)arg;
  wait_until_blocked();
  for (int i = 0; i < 200; i++) {
    CHECK(kill(getpid(), i % 3 ? SIGTERM : SIGINT) == 0);
    if (i % 20 == 0) child_nap();
  }
  for (int i = 0; i < 20; i++) child_nap();
  atomic_store(&hold, 0);
  return NULL;
}

static int repeated_while_stopping(void *arg) {
  const struct plan *plan = arg;
  pthread_t t;
  open_context(plan->shape);
  atomic_store(&hold, 1);
  CHECK(torque_trigger(new_event(), TORQUE_READ) == 0);
  CHECK_SOON(atomic_load(&inside));
  in_thread(&t, send_again_and_again, NULL);
  CHECK(block(ctx) == 0);
  CHECK(atomic_load(&hold) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  return 0;
}

/* ---- Who waits for signals himself ---- */

static _Atomic int taken;

static void *take_signals(void *arg) {
  for (int i = 0; i < 100; i++) {
    int signo = 0;
    CHECK(sigwait(arg, &signo) == 0 && signo == SIGTERM);
    atomic_fetch_add(&taken, 1);
  }
  return NULL;
}

static int a_program_that_sigwaits(void *arg) {
  const struct plan *plan = arg;
  static sigset_t term;
  pthread_t t;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  CHECK(pthread_sigmask(SIG_BLOCK, &term, NULL) == 0);
  open_context(plan->shape);
  (void)new_event();
  in_thread(&t, take_signals, &term);
  for (int i = 1; i <= 100; i++) {
    CHECK(kill(getpid(), SIGTERM) == 0);
    CHECK_SOON(atomic_load(&taken) == i);
  }
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(torque_stop(ctx) == 0);
  return 0;
}

static int nobody_waits(void *arg) {
  const struct plan *plan = arg;
  open_context(plan->shape);
  (void)new_event();
  CHECK(kill(getpid(), plan->signo) == 0); /* nobody took it over: its action is the default one */
  for (;;) child_nap();
}

/* ---- Handlers, before and after ---- */

static _Atomic int handled;
static void own_handler(int signo) {
  (void)signo;
  atomic_fetch_add(&handled, 1);
}

static void own_disposition(int signo, void (*handler)(int)) {
  struct sigaction mine;
  memset(&mine, 0, sizeof mine);
  mine.sa_handler = handler;
  CHECK(sigaction(signo, &mine, NULL) == 0);
}

static int handlers_come_back(void *arg) {
  const struct plan *plan = arg;
  struct sigaction now;
  sigset_t mask;
  const int other = plan->signo == SIGTERM ? SIGINT : SIGTERM;
  own_disposition(other, own_handler);
  CHECK(ended_by_signal(arg) == 0);
  CHECK(sigaction(other, NULL, &now) == 0 && now.sa_handler == own_handler);
  CHECK(sigaction(plan->signo, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
  CHECK(!sigismember(&mask, SIGTERM) && !sigismember(&mask, SIGINT));
  CHECK(atomic_load(&handled) == 0);
  CHECK(raise(other) == 0);
  CHECK(atomic_load(&handled) == 1);
  return 0;
}

/* A mask that was there comes back as well, though the thread took signals meanwhile. */
static int masks_come_back(void *arg) {
  sigset_t mask;
  CHECK(ended_by_signal_with_all_blocked(arg) == 0);
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
  CHECK(sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1);
  return 0;
}

/* ---- Signals that are the program's ---- */

enum { SHOTS = 100 };

/* Every SIGINT runs the program's handler, and none of them ends the wait. */
static void shoot(int so_far) {
  for (int i = 1; i <= SHOTS; i++) {
    CHECK(kill(getpid(), SIGINT) == 0);
    CHECK_SOON(atomic_load(&handled) == so_far + i);
    CHECK(atomic_load(&finals) == 0);
  }
}

static void *shoot_then_end(void *arg) {
  (void)arg;
  wait_until_blocked();
  shoot(0);
  CHECK(state_of(atomic_load(&blocker)) == 'S');
  CHECK(kill(getpid(), SIGTERM) == 0);
  return NULL;
}

static int a_handler_of_its_own(void *arg) {
  const struct plan *plan = arg;
  pthread_t t;
  own_disposition(SIGINT, own_handler);
  open_context(plan->shape);
  (void)new_event();
  CHECK(pthread_create(&t, NULL, shoot_then_end, NULL) == 0);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(atomic_load(&handled) == SHOTS);
  return 0;
}

/* It is put in place only when the wait has begun, and is the one that is left. */
static void *install_and_shoot(void *arg) {
  (void)arg;
  wait_until_blocked();
  own_disposition(SIGINT, own_handler);
  shoot(0);
  CHECK(kill(getpid(), SIGTERM) == 0);
  return NULL;
}

static int a_handler_that_comes_later(void *arg) {
  const struct plan *plan = arg;
  pthread_t t;
  struct sigaction now;
  open_context(plan->shape);
  (void)new_event();
  CHECK(pthread_create(&t, NULL, install_and_shoot, NULL) == 0);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == own_handler);
  CHECK(sigaction(SIGTERM, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  return 0;
}

/* All threads have it blocked, and its handler is there: it stays pending. */
static void *leave_pending(void *arg) {
  sigset_t pending;
  (void)arg;
  wait_until_blocked();
  for (int i = 0; i < SHOTS; i++) {
    CHECK(kill(getpid(), SIGINT) == 0);
    child_nap();
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGINT) == 1);
    CHECK(atomic_load(&finals) == 0 && atomic_load(&handled) == 0);
  }
  CHECK(kill(getpid(), SIGTERM) == 0);
  return NULL;
}

static int a_handler_behind_masks(void *arg) {
  const struct plan *plan = arg;
  pthread_t t;
  sigset_t old;
  own_disposition(SIGINT, own_handler);
  CHECK(torque_sigmask(&old) == 0);
  open_context(plan->shape);
  (void)new_event();
  CHECK(pthread_create(&t, NULL, leave_pending, NULL) == 0);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(atomic_load(&handled) == 0);
  CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
  CHECK(atomic_load(&handled) == 1);
  return 0;
}

static void *shoot_in_vain(void *arg) {
  wait_until_blocked();
  if (arg) own_disposition(SIGINT, SIG_IGN);
  for (int i = 0; i < SHOTS; i++) {
    CHECK(kill(getpid(), SIGINT) == 0);
    child_nap();
    CHECK(atomic_load(&finals) == 0);
  }
  CHECK(state_of(atomic_load(&blocker)) == 'S');
  CHECK(kill(getpid(), SIGTERM) == 0);
  return NULL;
}

static int ignored(const struct plan *plan, int later) {
  pthread_t t;
  struct sigaction now;
  if (!later) own_disposition(SIGINT, SIG_IGN);
  open_context(plan->shape);
  (void)new_event();
  CHECK(pthread_create(&t, NULL, shoot_in_vain, later ? &t : NULL) == 0);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
  return 0;
}

static int ignored_from_the_start(void *arg) { return ignored(arg, 0); }
static int ignored_later(void *arg) { return ignored(arg, 1); }
static int ignored_behind_masks(void *arg) {
  CHECK(torque_sigmask(NULL) == 0);
  return ignored(arg, 0);
}

/* Some code keeps what it finds, here the library's, and puts it back when torque_block() has long returned. */
static struct sigaction kept;
static void *keep_what_is_there(void *arg) {
  (void)arg;
  struct sigaction mine;
  memset(&mine, 0, sizeof mine);
  mine.sa_handler = own_handler;
  wait_until_blocked();
  CHECK(sigaction(SIGINT, &mine, &kept) == 0);
  CHECK(kill(getpid(), SIGTERM) == 0);
  return NULL;
}

static int put_back_too_late(void *arg) {
  const struct plan *plan = arg;
  pthread_t t;
  open_context(plan->shape);
  CHECK(pthread_create(&t, NULL, keep_what_is_there, NULL) == 0);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(kept.sa_handler != SIG_DFL && kept.sa_handler != SIG_IGN);
  CHECK(sigaction(SIGINT, &kept, NULL) == 0);
  CHECK(kill(getpid(), SIGINT) == 0);
  for (;;) child_nap();
}

/* ---- Together with signal sources ---- */

static _Atomic uint32_t told;
static void tell(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)arg;
  CHECK(torque_siginfo_signo(info) == SIGTERM);
  atomic_fetch_add(&told, 1);
}

/* A source on another context watches the signal: from before the wait until after it, or only meanwhile. */
static struct torque_ctx *watching;
static torque_source watch_term(void) {
  torque_source s;
  const int32_t term = SIGTERM;
  CHECK(torque_signal_add(watching, &term, 1, tell, NULL, &s) == 0);
  return s;
}

static void *watch_then_end(void *arg) {
  wait_until_blocked();
  if (arg) CHECK(torque_source_remove_wait(watch_term()) == 0);
  const torque_source s = arg ? watch_term() : 0;
  CHECK(kill(getpid(), SIGTERM) == 0);
  CHECK_SOON(atomic_load(&told) == 1);
  if (arg) CHECK(torque_source_remove_wait(s) == 0);
  return NULL;
}

static int with_a_source(const struct plan *plan, int later) {
  pthread_t t;
  struct sigaction now;
  open_context(plan->shape);
  watching = ctx;
  open_context(plan->shape);
  (void)new_event();
  const torque_source s = later ? 0 : watch_term();
  in_thread(&t, watch_then_end, later ? &t : NULL);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  if (s) CHECK(torque_source_remove_wait(s) == 0);
  CHECK(atomic_load(&told) == 1);
  CHECK(torque_stop(watching) == 0);
  CHECK(sigaction(SIGTERM, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  return 0;
}

static int a_source_from_before(void *arg) { return with_a_source(arg, 0); }
static int a_source_meanwhile(void *arg) { return with_a_source(arg, 1); }
static int a_source_from_before_behind_masks(void *arg) {
  CHECK(torque_sigmask(NULL) == 0);
  return with_a_source(arg, 0);
}
static int a_source_meanwhile_behind_masks(void *arg) {
  CHECK(torque_sigmask(NULL) == 0);
  return with_a_source(arg, 1);
}

static int chosen_signal(void *arg) {
  const struct plan *plan = arg;
  struct torque_config *config = NULL;
  pthread_t t;
  const int32_t usr1 = SIGUSR1;
  CHECK(torque_config_new(&config) == 0);
  CHECK(torque_config_set_term_signals(config, &usr1, 1) == 0);
  CHECK(torque_ctx_new(config, &ctx) == 0);
  torque_config_free(config);
  (void)new_event();
  in_thread(&t, send_signal, (void *)(intptr_t)plan->signo);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  return 0;
}

static int no_signal_at_all(void *arg) {
  const struct plan *plan = arg;
  struct torque_config *config = NULL;
  pthread_t t;
  CHECK(torque_config_new(&config) == 0);
  CHECK(torque_config_set_term_signals(config, NULL, 0) == 0);
  CHECK(torque_ctx_new(config, &ctx) == 0);
  torque_config_free(config);
  (void)new_event();
  in_thread(&t, send_signal, (void *)(intptr_t)plan->signo);
  CHECK(block(ctx) == 0);
  return 0;
}

/* ---- Ended by the program ---- */

static void *stop_it(void *arg) {
  (void)arg;
  wait_until_blocked();
  CHECK(torque_stop(ctx) == 0);
  atomic_store(&stopped, 1);
  return NULL;
}

static int stopped_from_another_thread(void *arg) {
  const struct plan *plan = arg;
  pthread_t t;
  open_context(plan->shape);
  (void)new_event();
  in_thread(&t, stop_it, NULL);
  CHECK(block(ctx) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(atomic_load(&finals) == 1);
  return 0;
}

static void stop_soon(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations, (void)arg;
  CHECK(torque_stop(ctx) == TORQUE_ERR_DEADLOCK);
  CHECK(torque_block(ctx) == TORQUE_ERR_DEADLOCK);
  CHECK(torque_stop_async(ctx) == 0);
}

static int stopped_from_a_callback(void *arg) {
  const struct plan *plan = arg;
  torque_source t;
  open_context(plan->shape);
  (void)new_event();
  CHECK(torque_timer_add(ctx, 5000000, 0, 0, stop_soon, NULL, &t) == 0);
  CHECK(block(ctx) == 0);
  CHECK(atomic_load(&finals) == 1);
  return 0;
}

static int stopped_before_it_began(void *arg) {
  const struct plan *plan = arg;
  open_context(plan->shape);
  (void)new_event();
  CHECK(torque_stop_async(ctx) == 0);
  CHECK(block(ctx) == 0);
  CHECK(atomic_load(&finals) == 1);
  return 0;
}

struct waiting {
  struct torque_ctx *ctx;
  _Atomic pid_t *thread;
};

static void *block_on(void *arg) {
  const struct waiting *w = arg;
  atomic_store(w->thread, (pid_t)syscall(SYS_gettid));
  CHECK(torque_block(w->ctx) == 0);
  atomic_fetch_add(&stopped, 1);
  return NULL;
}

/* Two contexts, a thread in each one's torque_block(): one signal ends both of them, every time. */
static void end_two_contexts(const struct plan *plan) {
  pthread_t t[2];
  struct waiting w[2];
  atomic_store(&stopped, 0);
  atomic_store(&finals, 0);
  for (int i = 0; i < 2; i++) {
    open_context(plan->shape);
    (void)new_event();
    atomic_store(&others[i], 0);
    w[i] = (struct waiting){ctx, &others[i]};
    in_thread(&t[i], block_on, &w[i]);
  }
  for (int i = 0; i < 2; i++) wait_until_asleep(&others[i]);
  CHECK(kill(getpid(), plan->signo) == 0);
  for (int i = 0; i < 2; i++) CHECK(pthread_join(t[i], NULL) == 0);
  CHECK(atomic_load(&stopped) == 2 && atomic_load(&finals) == 2);
}

static int two_contexts(void *arg) {
  for (int i = 0; i < 5; i++) end_two_contexts(arg);
  return 0;
}

static int two_contexts_with_all_blocked(void *arg) {
  CHECK(torque_sigmask(NULL) == 0);
  for (int i = 0; i < 5; i++) end_two_contexts(arg);
  return 0;
}

/* Each of them ends by the signals that it waits for, and no other. */
static int contexts_with_signals_of_their_own(void *arg) {
  const struct plan *plan = arg;
  pthread_t t[2];
  struct waiting w[2];
  const int32_t signals[2][2] = {{SIGUSR1, SIGUSR2}, {SIGUSR2, SIGHUP}};
  for (int i = 0; i < 2; i++) {
    struct torque_config *config = NULL;
    CHECK(torque_config_new(&config) == 0);
    CHECK(torque_config_set_term_signals(config, signals[i], 2) == 0);
    CHECK(torque_config_set_topology(config, TORQUE_TOPOLOGY_SYNTHETIC, shape_synthetic.synthetic) == 0);
    CHECK(torque_ctx_new(config, &ctx) == 0);
    torque_config_free(config);
    w[i] = (struct waiting){ctx, &others[i]};
    in_thread(&t[i], block_on, &w[i]);
  }
  for (int i = 0; i < 2; i++) wait_until_asleep(&others[i]);
  if (plan->signo == SIGTERM) CHECK(kill(getpid(), SIGUSR2) == 0);
  else {
    CHECK(kill(getpid(), SIGHUP) == 0);
    CHECK(pthread_join(t[1], NULL) == 0);
    for (int i = 0; i < 100; i++) child_nap();
    CHECK(atomic_load(&stopped) == 1);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    return pthread_join(t[0], NULL);
  }
  for (int i = 0; i < 2; i++) CHECK(pthread_join(t[i], NULL) == 0);
  return 0;
}

static const struct plan plans[] = {
    {&shape_live, SIGTERM}, {&shape_synthetic, SIGTERM}, {&shape_live, SIGINT}, {&shape_synthetic, SIGINT}};

static void each(int (*scenario)(void *), size_t how_many, int status) {
  for (size_t i = 0; i < how_many; i++) {
    struct plan plan = plans[i];
    assert_int_equal(child_run(scenario, &plan), status);
  }
}

static void a_termination_signal_ends_it(void **state) {
  (void)state;
  each(ended_by_signal, 4, 0);
  each(ended_by_signal_with_all_blocked, 4, 0);
  each(ended_by_signal_without_workers, 4, 0);
  each(ended_though_other_threads_have_it_unblocked, 4, 0);
}

static void both_at_once_are_harmless(void **state) { (void)state, each(both_pending, 2, 0); }
static void more_of_them_while_stopping_are_harmless(void **state) { (void)state, each(repeated_while_stopping, 2, 0); }
static void a_program_that_sigwaits_wins(void **state) { (void)state, each(a_program_that_sigwaits, 2, 0); }

static void without_a_thread_in_it_the_default_action_is_taken(void **state) {
  (void)state;
  each(nobody_waits, 2, 1000 + SIGTERM);
}

static void dispositions_and_masks_come_back(void **state) {
  (void)state;
  each(handlers_come_back, 4, 0);
  each(masks_come_back, 4, 0);
}

static void a_signal_with_a_handler_is_the_programs(void **state) {
  (void)state;
  each(a_handler_of_its_own, 2, 0);
  each(a_handler_that_comes_later, 2, 0);
  each(a_handler_behind_masks, 2, 0);
}

static void an_ignored_signal_stays_ignored(void **state) {
  (void)state;
  each(ignored_from_the_start, 2, 0);
  each(ignored_later, 2, 0);
  each(ignored_behind_masks, 2, 0);
}

static void a_disposition_put_back_too_late_is_the_default_one(void **state) {
  (void)state;
  each(put_back_too_late, 2, 1000 + SIGINT);
}

static void signal_sources_are_told_as_well(void **state) {
  (void)state;
  each(a_source_from_before, 2, 0);
  each(a_source_meanwhile, 2, 0);
  each(a_source_from_before_behind_masks, 2, 0);
  each(a_source_meanwhile_behind_masks, 2, 0);
}

static void the_configuration_says_which_signals(void **state) {
  (void)state;
  struct plan usr1 = {&shape_live, SIGUSR1}, term = {&shape_live, SIGTERM};
  assert_int_equal(child_run(chosen_signal, &usr1), 0);
  assert_int_equal(child_run(chosen_signal, &term), 1000 + SIGTERM);
  assert_int_equal(child_run(no_signal_at_all, &term), 1000 + SIGTERM);
}

static void the_program_may_end_it(void **state) {
  (void)state;
  each(stopped_from_another_thread, 2, 0);
  each(stopped_from_a_callback, 2, 0);
  each(stopped_before_it_began, 2, 0);
}

static void one_signal_ends_every_context_that_waits_for_it(void **state) {
  (void)state;
  each(two_contexts, 4, 0);
  each(two_contexts_with_all_blocked, 4, 0);
  each(contexts_with_signals_of_their_own, 4, 0);
}

static void refuses_what_it_cannot_wait_for(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_block(f->ctx), TORQUE_ERR_KIND);
  assert_int_equal(torque_block(NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stop(NULL), TORQUE_ERR_INVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_termination_signal_ends_it),
      cmocka_unit_test(both_at_once_are_harmless),
      cmocka_unit_test(more_of_them_while_stopping_are_harmless),
      cmocka_unit_test(a_program_that_sigwaits_wins),
      cmocka_unit_test(without_a_thread_in_it_the_default_action_is_taken),
      cmocka_unit_test(dispositions_and_masks_come_back),
      cmocka_unit_test(the_configuration_says_which_signals),
      cmocka_unit_test(the_program_may_end_it),
      cmocka_unit_test(a_signal_with_a_handler_is_the_programs),
      cmocka_unit_test(an_ignored_signal_stays_ignored),
      cmocka_unit_test(a_disposition_put_back_too_late_is_the_default_one),
      cmocka_unit_test(signal_sources_are_told_as_well),
      cmocka_unit_test(one_signal_ends_every_context_that_waits_for_it),
      ON(driven, refuses_what_it_cannot_wait_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
