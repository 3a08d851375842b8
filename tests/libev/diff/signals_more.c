/* SPDX-License-Identifier: BSD-3-Clause */
/* Signals and the process: dispositions, masks, threads, forks, several loops, and what a program feeds itself. */
#include "helpers.h"

#include <stdatomic.h>

struct named {
  ev_signal watcher;
  const char *name;
};

static void told(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("%s: %s %s", ((struct named *)w)->name, bits(revents), state(w));
  (void)loop;
}

static void watch(struct ev_loop *loop, struct named *n, const char *name, int signum) {
  n->name = name;
  ev_signal_init(&n->watcher, told, signum);
  ev_signal_start(loop, &n->watcher);
}

static struct named one, two, three;

CASE(signal_disposition_is_default_after_the_last_stop) {
  struct ev_loop *loop = ev_loop_new(0);
  trace("before: %s", disposition(SIGUSR1));
  watch(loop, &one, "one", SIGUSR1);
  watch(loop, &two, "two", SIGUSR1);
  trace("two watchers: %s", disposition(SIGUSR1));
  ev_signal_stop(loop, &two.watcher);
  trace("one watcher: %s", disposition(SIGUSR1));
  raise(SIGUSR1);
  turn(loop);
  ev_signal_stop(loop, &one.watcher);
  trace("none: %s", disposition(SIGUSR1));
}

static void on_signal(int signum) { (void)signum; }

CASE(signal_disposition_the_program_had_does_not_come_back) {
  struct ev_loop *loop = ev_loop_new(0);
  signal(SIGUSR1, SIG_IGN);
  signal(SIGUSR2, on_signal);
  watch(loop, &one, "one", SIGUSR1);
  watch(loop, &two, "two", SIGUSR2);
  trace("watched: %s, %s", disposition(SIGUSR1), disposition(SIGUSR2));
  raise(SIGUSR1);
  turn(loop);
  ev_signal_stop(loop, &one.watcher);
  ev_signal_stop(loop, &two.watcher);
  trace("stopped: %s, %s", disposition(SIGUSR1), disposition(SIGUSR2));
}

CASE(signal_handler_restarts_calls_and_blocks_all_signals) {
  struct ev_loop *loop = ev_loop_new(0);
  struct sigaction action;
  watch(loop, &one, "one", SIGUSR1);
  NEED(!sigaction(SIGUSR1, NULL, &action));
  trace("restart %s, once %s, nested %s", yes(action.sa_flags & SA_RESTART), yes(action.sa_flags & (int)SA_RESETHAND),
        yes(action.sa_flags & SA_NODEFER));
  int blocked = 0;
  for (int i = 1; i <= SIGRTMAX; ++i) blocked += sigismember(&action.sa_mask, i) == 1;
  trace("in its mask: TERM %d, USR2 %d, SEGV %d, RTMIN %d, all that can be: %s", sigismember(&action.sa_mask, SIGTERM),
        sigismember(&action.sa_mask, SIGUSR2), sigismember(&action.sa_mask, SIGSEGV),
        sigismember(&action.sa_mask, SIGRTMIN), yes(blocked >= 60));
}

static pthread_t main_thread;
static atomic_int stop_kicking;

static void *kicks_then_writes(void *fd) {
  for (int i = 0; i < 20; ++i) {
    pause_ms(3);
    pthread_kill(main_thread, SIGUSR1);
  }
  put(*(int *)fd, 1);
  return NULL;
}

CASE(signal_does_not_interrupt_a_blocking_read) {
  struct ev_loop *loop = ev_loop_new(0);
  int ends[2];
  char byte;
  pthread_t thread;
  main_thread = pthread_self();
  watch(loop, &one, "one", SIGUSR1);
  NEED(!pipe(ends));
  NEED(!pthread_create(&thread, NULL, kicks_then_writes, &ends[1]));
  trace("read %d", (int)read(ends[0], &byte, 1));
  pthread_join(thread, NULL);
  turn(loop);
}

CASE(signal_handler_leaves_errno_alone) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, "one", SIGUSR1);
  errno = ENOTTY;
  raise(SIGUSR1);
  trace("still %d", errno == ENOTTY);
}

CASE(loops_leave_the_signal_mask_of_a_thread_alone) {
  sigset_t before, now;
  int same = 1;
  change_mask(SIG_BLOCK, SIGWINCH);
  NEED(!pthread_sigmask(SIG_BLOCK, NULL, &before));
  struct ev_loop *loop = ev_default_loop(0);
  watch(loop, &one, "one", SIGUSR1);
  raise(SIGUSR1);
  turn(loop);
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  for (int i = 1; i <= SIGRTMAX; ++i) same &= sigismember(&before, i) == sigismember(&now, i);
  ev_signal_stop(loop, &one.watcher);
  ev_loop_destroy(loop);
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  for (int i = 1; i <= SIGRTMAX; ++i) same &= sigismember(&before, i) == sigismember(&now, i);
  trace("same %d", same);
}

static void say_mask(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("in the callback: USR1 blocked %d, TERM blocked %d", is_blocked(SIGUSR1), is_blocked(SIGTERM));
  (void)loop, (void)w, (void)revents;
}

CASE(signal_callbacks_run_with_the_mask_of_the_thread) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_signal w;
  ev_signal_init(&w, say_mask, SIGUSR1);
  ev_signal_start(loop, &w);
  raise(SIGUSR1);
  turn(loop);
  change_mask(SIG_BLOCK, SIGTERM);
  raise(SIGUSR1);
  turn(loop);
}

CASE(signal_that_is_blocked_stays_pending_until_it_is_unblocked) {
  struct ev_loop *loop = ev_loop_new(0);
  sigset_t pending;
  change_mask(SIG_BLOCK, SIGUSR1);
  watch(loop, &one, "one", SIGUSR1);
  trace("blocked after the start: %d", is_blocked(SIGUSR1));
  raise(SIGUSR1);
  turns(loop, 3);
  sigpending(&pending);
  trace("pending in the kernel: %d", sigismember(&pending, SIGUSR1));
  change_mask(SIG_UNBLOCK, SIGUSR1);
  turn(loop);
}

/* A quirk that programs may rely on: this flag makes a start unblock the signal, and its absence does not. */
CASE(signal_start_with_nosigmask_unblocks_the_signal) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_NOSIGMASK);
  change_mask(SIG_BLOCK, SIGUSR1);
  change_mask(SIG_BLOCK, SIGUSR2);
  watch(loop, &one, "one", SIGUSR1);
  trace("USR1 blocked %d, USR2 blocked %d", is_blocked(SIGUSR1), is_blocked(SIGUSR2));
  change_mask(SIG_BLOCK, SIGUSR1);
  watch(loop, &two, "two", SIGUSR1);
  trace("blocked after a second watcher: %d", is_blocked(SIGUSR1));
  ev_signal_stop(loop, &one.watcher);
  ev_signal_stop(loop, &two.watcher);
  trace("blocked after the stops: %d", is_blocked(SIGUSR1));
}

CASE(signalfd_flag_blocks_watched_signals_and_takes_them) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_SIGNALFD);
  trace("new: blocked %d %s", is_blocked(SIGUSR1), disposition(SIGUSR1));
  watch(loop, &one, "one", SIGUSR1);
  watch(loop, &two, "two", SIGUSR1);
  watch(loop, &three, "three", SIGUSR2);
  trace("watched: blocked %d %d, %s", is_blocked(SIGUSR1), is_blocked(SIGUSR2), disposition(SIGUSR1));
  raise(SIGUSR1);
  raise(SIGUSR1);
  turns(loop, 3);
  trace("both signals");
  raise(SIGUSR2);
  raise(SIGUSR1);
  turns(loop, 3);
  ev_signal_stop(loop, &one.watcher);
  trace("one of two stopped: blocked %d", is_blocked(SIGUSR1));
  ev_signal_stop(loop, &two.watcher);
  trace("both stopped: blocked %d, %s, the other one %d", is_blocked(SIGUSR1), disposition(SIGUSR1),
        is_blocked(SIGUSR2));
  raise(SIGUSR2);
  turns(loop, 2);
  ev_loop_destroy(loop);
}

static void *waits_then_kills(void *arg) {
  change_mask(SIG_BLOCK, SIGUSR1);
  pause_ms(30);
  kill(getpid(), SIGUSR1);
  return arg;
}

static void breaks(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("signal %d %s", w->signum, bits(revents));
  ev_break(loop, EVBREAK_ALL);
}

CASE(signalfd_flag_wakes_a_blocked_loop) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_SIGNALFD);
  ev_signal w;
  pthread_t thread;
  ev_signal_init(&w, breaks, SIGUSR1);
  ev_signal_start(loop, &w);
  NEED(!pthread_create(&thread, NULL, waits_then_kills, NULL));
  trace("run %d", run_guarded(loop, 0));
  pthread_join(thread, NULL);
}

static void feeds_usr2(int signum) {
  (void)signum;
  ev_feed_signal(SIGUSR2);
}

CASE(fed_signal_from_a_handler_of_the_program) {
  struct ev_loop *loop = ev_loop_new(0);
  signal(SIGUSR1, feeds_usr2);
  watch(loop, &one, "one", SIGUSR2);
  watch(loop, &two, "two", SIGUSR2);
  raise(SIGUSR1);
  trace("pending %d count %u", ev_is_pending(&one.watcher), ev_pending_count(loop));
  turn(loop);
  ev_signal_stop(loop, &one.watcher);
  ev_signal_stop(loop, &two.watcher);
  raise(SIGUSR1);
  trace("nobody watches any more");
  turn(loop);
}

CASE(fed_signal_nobody_watches_is_forgotten) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_feed_signal(SIGUSR1);
  turn(loop);
  watch(loop, &one, "one", SIGUSR1);
  turn(loop);
  ev_feed_signal(SIGUSR1);
  turn(loop);
}

CASE(fed_signal_event_queues_the_watchers_at_once) {
  struct ev_loop *loop = ev_loop_new(0);
  struct ev_loop *other = ev_loop_new(0);
  watch(loop, &one, "one", SIGUSR1);
  watch(loop, &two, "two", SIGUSR1);
  watch(other, &three, "three", SIGUSR2);
  ev_feed_signal_event(loop, SIGUSR1);
  trace("pending %s %s, count %u", yes(ev_is_pending(&one.watcher)), yes(ev_is_pending(&two.watcher)),
        ev_pending_count(loop));
  ev_feed_signal_event(loop, SIGUSR1);
  trace("count %u", ev_pending_count(loop));
  ev_invoke_pending(loop);
  trace("to the wrong loop");
  ev_feed_signal_event(loop, SIGUSR2);
  trace("count %u %u", ev_pending_count(loop), ev_pending_count(other));
  trace("no such signals, and one nobody watches");
  ev_feed_signal_event(loop, 0);
  ev_feed_signal_event(loop, -1);
  ev_feed_signal_event(loop, 65);
  ev_feed_signal_event(loop, 1000);
  ev_feed_signal_event(loop, SIGHUP);
  trace("count %u", ev_pending_count(loop));
  turn(loop);
  turn(other);
}

CASE(signal_fed_as_an_event_swallows_one_that_was_raised) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, "one", SIGUSR1);
  raise(SIGUSR1);
  ev_feed_signal_event(loop, SIGUSR1);
  ev_invoke_pending(loop);
  trace("pass");
  turn(loop);
  trace("events %s", bits(ev_clear_pending(loop, &one.watcher)));
  ev_feed_event(loop, &one.watcher, EV_CUSTOM);
  ev_feed_signal_event(loop, SIGUSR1);
  trace("both fed, cleared: %s", bits(ev_clear_pending(loop, &one.watcher)));
  turn(loop);
  ev_invoke(loop, &one.watcher, EV_SIGNAL);
}

CASE(loops_change_no_disposition_but_that_of_sigchld) {
  const char *before[65];
  int changed = 0;
  for (int i = 1; i < 65; ++i) before[i] = i == 32 || i == 33 ? "" : disposition(i);
  struct ev_loop *loop = ev_loop_new(0);
  turn(loop);
  for (int i = 1; i < 65; ++i)
    if (*before[i]) changed += before[i] != disposition(i);
  trace("by a dynamic loop: %d", changed);
  turn(ev_default_loop(0));
  for (int i = 1; i < 65; ++i)
    if (*before[i] && strcmp(before[i], disposition(i))) trace("by the default loop: %s", strsignal(i));
  trace("PIPE: %s", disposition(SIGPIPE));
  ev_loop_destroy(ev_default_loop(0));
  trace("CHLD after the destruction: %s", disposition(SIGCHLD));
}

CASE(signals_of_two_loops_come_each_to_its_own) {
  struct ev_loop *loop = ev_loop_new(0);
  struct ev_loop *other = ev_loop_new(0);
  watch(loop, &one, "one", SIGUSR1);
  watch(other, &two, "two", SIGUSR2);
  raise(SIGUSR1);
  raise(SIGUSR2);
  trace("the other loop first");
  turn(other);
  trace("now the first one");
  turn(loop);
  trace("a signal moves");
  ev_signal_stop(loop, &one.watcher);
  ev_signal_start(other, &one.watcher);
  raise(SIGUSR1);
  turn(loop);
  trace("its new loop");
  turn(other);
  trace("run %d", ev_run(loop, 0));
  trace("run %d", ev_run(other, EVRUN_NOWAIT));
}

static atomic_int ready_loops;

static void says_ready(struct ev_loop *loop, ev_prepare *w, int revents) {
  (void)revents;
  ev_prepare_stop(loop, w);
  ready_loops++;
}

struct threaded {
  int signum;
  int count;
};

static void counts(struct ev_loop *loop, ev_signal *w, int revents) {
  struct threaded *t = w->data;
  (void)revents;
  t->count++;
  ev_break(loop, EVBREAK_ONE);
}

static void *runs_a_loop(void *arg) {
  struct threaded *t = arg;
  struct ev_loop *loop = ev_loop_new(0);
  ev_signal w;
  ev_prepare ready;
  ev_signal_init(&w, counts, t->signum);
  w.data = t;
  ev_signal_start(loop, &w);
  ev_prepare_init(&ready, says_ready);
  ev_prepare_start(loop, &ready);
  run_guarded(loop, 0);
  ev_signal_stop(loop, &w);
  ev_loop_destroy(loop);
  return NULL;
}

CASE(signals_reach_loops_of_several_threads) {
  struct threaded all[] = {{SIGUSR1, 0}, {SIGUSR2, 0}, {SIGHUP, 0}, {SIGRTMIN + 1, 0}};
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) NEED(!pthread_create(&threads[i], NULL, runs_a_loop, &all[i]));
  while (ready_loops < 4) pause_ms(2);
  for (int i = 0; i < 4; ++i) kill(getpid(), all[i].signum);
  for (int i = 0; i < 4; ++i) {
    pthread_join(threads[i], NULL);
    trace("loop %d: %d", i, all[i].count);
  }
}

/* A handler that is the program's own interrupts the wait. */
static volatile sig_atomic_t handled;

static void notes(int signum) {
  (void)signum;
  handled = 1;
}

static void syserr(const char *message) { trace("error callback: %s", message); }

static void *kicks(void *arg) {
  while (!stop_kicking) {
    pause_ms(10);
    pthread_kill(main_thread, SIGUSR1);
  }
  return arg;
}

CASE(interrupted_wait_is_no_error_and_no_event) {
  struct ev_loop *loop = ev_loop_new(0);
  struct sigaction action;
  int ends[2];
  pthread_t thread;
  main_thread = pthread_self();
  memset(&action, 0, sizeof action);
  action.sa_handler = notes;
  NEED(!sigaction(SIGUSR1, &action, NULL));
  ev_set_syserr_cb(syserr);
  watch(loop, &one, "one", SIGUSR2);
  make_pipe(ends);
  NEED(!pthread_create(&thread, NULL, kicks, NULL));
  trace("one pass %d", run_guarded(loop, EVRUN_ONCE));
  trace("a handler of the program ran: %d", handled);
  stop_kicking = 1;
  pthread_join(thread, NULL);
  raise(SIGUSR2);
  trace("another one %d", run_guarded(loop, EVRUN_ONCE));
}

static struct ev_loop *shared_loop;

static void raises_before_ev_loop_fork(void *arg) {
  (void)arg;
  raise(SIGUSR1);
  trace("the child lives");
  ev_loop_fork(shared_loop);
  turn(shared_loop);
  trace("once more");
  raise(SIGUSR1);
  ev_run(shared_loop, EVRUN_ONCE);
}

CASE(signal_between_fork_and_ev_loop_fork_is_not_lost) {
  shared_loop = ev_loop_new(0);
  watch(shared_loop, &one, "one", SIGUSR1);
  turn(shared_loop);
  in_child("child", raises_before_ev_loop_fork, NULL);
  trace("in the parent");
  turn(shared_loop);
  raise(SIGUSR1);
  turn(shared_loop);
}

static void stops_and_raises(void *arg) {
  (void)arg;
  ev_signal_stop(shared_loop, &one.watcher);
  trace("child: %s", disposition(SIGUSR1));
  raise(SIGUSR1);
  trace("never written");
}

CASE(signal_watcher_stopped_in_a_child_does_not_stop_the_parents) {
  shared_loop = ev_loop_new(0);
  watch(shared_loop, &one, "one", SIGUSR1);
  in_child("child", stops_and_raises, NULL);
  trace("parent: %s", disposition(SIGUSR1));
  raise(SIGUSR1);
  turn(shared_loop);
}

static void start_signal(void *arg) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, "one", *(int *)arg);
  trace("signal %d: %s", *(int *)arg, state(&one.watcher));
}

CASE(signal_numbers_out_of_range_abort) {
  int numbers[] = {0, -1, 65, 1000, 64, 1};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) in_child("child", start_signal, &numbers[i]);
}

CASE(signals_that_cannot_be_caught_may_be_watched_in_vain) {
  struct ev_loop *loop = ev_loop_new(0);
  watch(loop, &one, "one", SIGKILL);
  watch(loop, &two, "two", SIGSTOP);
  trace("run %d", ev_run(loop, EVRUN_NOWAIT));
  trace("%s, %s", state(&one.watcher), state(&two.watcher));
  ev_feed_signal(SIGSTOP);
  turn(loop);
  ev_signal_stop(loop, &one.watcher);
  ev_signal_stop(loop, &two.watcher);
  trace("run %d", ev_run(loop, 0));
}

CASE(sigpipe_is_the_programs_until_it_is_watched) {
  struct ev_loop *loop = ev_loop_new(0);
  int ends[2];
  signal(SIGPIPE, SIG_IGN);
  make_pipe(ends);
  close(ends[0]);
  trace("write: %d", write(ends[1], "x", 1) < 0 && errno == EPIPE);
  watch(loop, &one, "one", SIGPIPE);
  trace("write: %d", write(ends[1], "x", 1) < 0 && errno == EPIPE);
  turn(loop);
}

CASE(signal_watcher_in_a_loop_that_was_destroyed_and_made_again) {
  for (int i = 0; i < 3; ++i) {
    struct ev_loop *loop = ev_loop_new(0);
    watch(loop, &one, "one", SIGUSR1);
    raise(SIGUSR1);
    turn(loop);
    ev_signal_stop(loop, &one.watcher);
    ev_loop_destroy(loop);
  }
  trace("%s", disposition(SIGUSR1));
}
