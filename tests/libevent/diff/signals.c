/* SPDX-License-Identifier: BSD-3-Clause */
/* Signals: how often, in which order, what becomes of the handler, and with threads, children and forks. */
#include "diff.h"

static struct event_base *the;
static struct event *all[6];
static int calls;

static void count_told(evutil_socket_t fd, short what, void *name) {
  calls++;
  trace("%s: signal %s, %s", (const char *)name, sigabbrev_np(fd), bits(what));
}

CASE(a_signal_is_told_as_often_as_it_came) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "s");
  event_add(all[0], NULL);
  turn(the);
  for (int n = 1; n < 6; n++) {
    trace("-- %d", n);
    for (int i = 0; i < n; i++) raise(SIGUSR1);
    CALL("turn", turn(the), state(all[0]));
  }
  event_free(all[0]);
  event_base_free(the);
}

CASE(several_events_of_several_signals) {
  the = new_base_with(2);
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "a");
  all[1] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "b");
  all[2] = make(the, SIGUSR2, EV_SIGNAL | EV_PERSIST, count_told, "c");
  all[3] = make(the, SIGUSR1, EV_SIGNAL, count_told, "once");
  all[4] = make(the, SIGHUP, EV_SIGNAL | EV_PERSIST, count_told, "urgent");
  event_priority_set(all[4], 0);
  for (int i = 0; i < 5; i++) event_add(all[i], NULL);
  turn(the);
  raise(SIGUSR2), raise(SIGUSR1), raise(SIGUSR1), raise(SIGHUP);
  for (int i = 0; i < 3; i++) trace("turn: %d", turn(the));
  for (int i = 0; i < 5; i++) trace("%s", state(all[i])), event_free(all[i]);
  event_base_free(the);
}

static void delete_itself(evutil_socket_t fd, short what, void *name) {
  count_told(fd, what, name);
  if (calls == 2) trace("del: %d", event_del(all[0]));
}

CASE(deleted_in_its_callback_it_is_not_called_the_times_that_are_left) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, delete_itself, "s");
  event_add(all[0], NULL);
  turn(the);
  for (int i = 0; i < 5; i++) raise(SIGUSR1);
  CALL("turn", turn(the), state(all[0]));
  trace("calls: %d, %s", calls, disposition(SIGUSR1));
  event_free(all[0]);
  event_base_free(the);
}

static void active_again(evutil_socket_t fd, short what, void *name) {
  count_told(fd, what, name);
  if (calls == 1) event_active(all[0], EV_SIGNAL, 3);
  if (calls == 2) event_active(all[0], EV_TIMEOUT, 7);
}

CASE(made_active_by_hand) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, active_again, "s");
  event_active(all[0], EV_SIGNAL, 2);
  trace("not added: %s", state(all[0]));
  trace("turn: %d", turn(the));
  trace("turn: %d", turn(the));
  event_add(all[0], NULL);
  calls = 10;
  event_active(all[0], EV_SIGNAL, 0);
  trace("no calls: %s", state(all[0]));
  trace("turn: %d", turn(the));
  event_active(all[0], EV_SIGNAL, 2), event_active(all[0], EV_SIGNAL, 5);
  trace("turn: %d", turn(the));
  event_free(all[0]);
  event_base_free(the);
}

static void break_loop(evutil_socket_t fd, short what, void *name) {
  count_told(fd, what, name);
  if (calls == 2) event_base_loopbreak(the);
}

CASE(loopbreak_ends_the_calls_that_are_left) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, break_loop, "s");
  event_add(all[0], NULL);
  turn(the);
  for (int i = 0; i < 5; i++) raise(SIGUSR1);
  trace("loop: %d", event_base_dispatch(the));
  trace("loop: %d", turn(the));
  raise(SIGUSR1);
  trace("loop: %d", turn(the));
  event_free(all[0]);
  event_base_free(the);
}

static void free_itself(evutil_socket_t fd, short what, void *name) {
  count_told(fd, what, name);
  event_free(all[0]);
}

CASE(freed_in_its_callback) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, free_itself, "s");
  event_add(all[0], NULL);
  turn(the);
  for (int i = 0; i < 3; i++) raise(SIGUSR1);
  trace("loop: %d", turn(the));
  trace("%s", counts(the));
  event_base_free(the);
}

static int by_hand;
static void handler(int signum) {
  (void)signum;
  by_hand++;
}

CASE(the_handler_of_before_is_restored) {
  the = new_base();
  for (int i = 0; i < 3; i++) {
    struct sigaction act = {.sa_handler = i == 0   ? SIG_DFL
                                          : i == 1 ? SIG_IGN
                                                   : handler,
                            .sa_flags = i == 2 ? SA_NODEFER : 0},
                     now;
    NEED(!sigaction(SIGUSR1, &act, NULL));
    all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "s");
    all[1] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "t");
    event_add(all[0], NULL), event_add(all[1], NULL);
    NEED(!sigaction(SIGUSR1, NULL, &now));
    trace("changed: %s, restarts: %d", yes(now.sa_handler != act.sa_handler), !!(now.sa_flags & SA_RESTART));
    event_del(all[0]);
    NEED(!sigaction(SIGUSR1, NULL, &now));
    trace("one left: %s", yes(now.sa_handler != act.sa_handler));
    event_del(all[1]);
    NEED(!sigaction(SIGUSR1, NULL, &now));
    trace("restored: %s, as it was: %s", yes(now.sa_handler == act.sa_handler),
          yes((now.sa_flags & SA_NODEFER) == (act.sa_flags & SA_NODEFER)));
    event_free(all[0]), event_free(all[1]);
  }
  raise(SIGUSR1);
  trace("by hand: %d", by_hand);
  event_base_free(the);
}

CASE(a_base_that_is_freed_restores_handlers) {
  signal(SIGUSR1, SIG_IGN);
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "s");
  all[1] = make(the, SIGUSR2, EV_SIGNAL | EV_PERSIST, count_told, "t");
  event_add(all[0], NULL), event_add(all[1], NULL);
  trace("%s %s", disposition(SIGUSR1), disposition(SIGUSR2));
  event_base_free(the);
  trace("%s %s", disposition(SIGUSR1), disposition(SIGUSR2));
}

CASE(a_signal_with_a_timeout) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "s");
  event_add(all[0], ms(1));
  pause_ms(20);
  CALL("turn", turn(the), state(all[0]));
  raise(SIGUSR1);
  CALL("turn", turn(the), state(all[0]));
  event_add(all[0], ms(1));
  raise(SIGUSR1), raise(SIGUSR1);
  pause_ms(20);
  CALL("both", turn(the), state(all[0]));
  event_free(all[0]);
  event_base_free(the);
}

CASE(a_signal_that_is_not_persistent) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL, count_told, "s");
  event_add(all[0], NULL);
  turn(the);
  raise(SIGUSR1), raise(SIGUSR1), raise(SIGUSR1);
  CALL("turn", turn(the), state(all[0]));
  trace("%s", disposition(SIGUSR1));
  event_add(all[0], NULL);
  trace("%s", disposition(SIGUSR1));
  turn(the);
  raise(SIGUSR1);
  CALL("turn", turn(the), state(all[0]));
  event_free(all[0]);
  event_base_free(the);
}

static void raise_again(evutil_socket_t fd, short what, void *name) {
  count_told(fd, what, name);
  if (calls < 4)
    raise(SIGUSR1);
  else
    event_base_loopbreak(the);
}

CASE(raised_in_its_callback) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, raise_again, "s");
  event_add(all[0], NULL);
  turn(the);
  raise(SIGUSR1);
  trace("loop: %d", event_base_dispatch(the));
  event_free(all[0]);
  event_base_free(the);
}

static void add_other(evutil_socket_t fd, short what, void *name) {
  count_told(fd, what, name);
  if (calls == 1)
    event_add(all[1], NULL), raise(SIGUSR2), raise(SIGUSR2);
  else
    event_base_loopbreak(the);
}

static void delete_and_raise(evutil_socket_t fd, short what, void *name) {
  count_told(fd, what, name);
  event_del(all[1]);
  raise(SIGUSR1);
}

CASE(added_and_raised_in_another_signals_callback) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, add_other, "first");
  all[1] = make(the, SIGUSR2, EV_SIGNAL | EV_PERSIST, delete_and_raise, "second");
  signal(SIGUSR2, SIG_IGN);
  event_add(all[0], NULL);
  turn(the);
  raise(SIGUSR1);
  trace("loop: %d", event_base_dispatch(the));
  trace("%s", disposition(SIGUSR2));
  event_free(all[0]), event_free(all[1]);
  event_base_free(the);
}

CASE(raised_and_deleted_before_the_loop_looks) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "s");
  event_add(all[0], NULL);
  turn(the);
  raise(SIGUSR1);
  event_del(all[0]);
  trace("turn: %d", turn(the));
  event_add(all[0], NULL);
  trace("added again: %d", turn(the));
  raise(SIGUSR1);
  trace("turn: %d", turn(the));
  event_free(all[0]);
  event_base_free(the);
}

static void *raises(void *arg) {
  (void)arg;
  for (int i = 0; i < 3; i++) kill(getpid(), SIGUSR1);
  return NULL;
}

static void until_three(evutil_socket_t fd, short what, void *name) {
  count_told(fd, what, name);
  if (calls == 3) event_base_loopbreak(the);
}

CASE(raised_by_another_thread_it_wakes_the_loop) {
  NEED(!evthread_use_pthreads());
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, until_three, "s");
  event_add(all[0], NULL);
  pthread_t thread;
  NEED(!pthread_create(&thread, NULL, raises, NULL));
  pthread_join(thread, NULL);
  /* Some may have been merged by the kernel: what is missing is raised here. */
  turn(the);
  while (calls < 3) raise(SIGUSR1), turn(the);
  event_free(all[0]);
  event_base_free(the);
}

static volatile int reaped;
static void child_ended(evutil_socket_t fd, short what, void *name) {
  (void)fd, (void)what;
  int status;
  while (waitpid(-1, &status, WNOHANG) > 0) {
    trace("%s: exit %d", (const char *)name, WEXITSTATUS(status));
    reaped++;
  }
}

CASE(children_are_reaped) {
  the = new_base();
  all[0] = make(the, SIGCHLD, EV_SIGNAL | EV_PERSIST, child_ended, "child");
  event_add(all[0], NULL);
  for (int i = 1; i <= 3; i++) {
    reaped = 0;
    child_that_exits(i);
    run_until(the, &reaped);
  }
  event_free(all[0]);
  event_base_free(the);
}

CASE(a_blocked_signal_comes_when_it_is_unblocked) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "s");
  event_add(all[0], NULL);
  turn(the);
  change_mask(SIG_BLOCK, SIGUSR1);
  raise(SIGUSR1), raise(SIGUSR1);
  trace("blocked: %d", turn(the));
  change_mask(SIG_UNBLOCK, SIGUSR1);
  trace("unblocked: %d", turn(the));
  event_free(all[0]);
  event_base_free(the);
}

CASE(by_poll_and_by_select) {
  static const char *const avoid[] = {"epoll", "poll"};
  struct event_config *config = event_config_new();
  for (int i = 0; i < 2; i++) {
    event_config_avoid_method(config, avoid[i]);
    the = event_base_new_with_config(config);
    trace("%s", event_base_get_method(the));
    all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "s");
    event_add(all[0], NULL);
    turn(the);
    raise(SIGUSR1), raise(SIGUSR1);
    trace("turn: %d", turn(the));
    event_free(all[0]);
    event_base_free(the);
  }
  event_config_free(config);
}

CASE(what_a_handler_interrupts_goes_on) {
  the = new_base();
  all[0] = make(the, SIGALRM, EV_SIGNAL | EV_PERSIST, count_told, "alarm");
  event_add(all[0], NULL);
  turn(the);
  int ends[2];
  NEED(!pipe(ends));
  pid_t child = fork();
  if (!child) {
    pause_ms(20);
    kill(getppid(), SIGALRM);
    pause_ms(50);
    _exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
  }
  char byte;
  trace("read: %d", (int)read(ends[0], &byte, 1));
  wait_traced("child", child);
  trace("turn: %d", turn(the));
  event_free(all[0]);
  event_base_free(the);
}

CASE(two_bases_one_after_the_other) {
  struct event_base *first = new_base(), *second = new_base();
  trace_log();
  all[0] = make(first, SIGUSR1, EV_SIGNAL | EV_PERSIST, count_told, "first");
  all[1] = make(second, SIGUSR2, EV_SIGNAL | EV_PERSIST, count_told, "second");
  event_add(all[0], NULL);
  turn(first);
  raise(SIGUSR1);
  trace("first: %d", turn(first));
  event_del(all[0]);
  event_add(all[1], NULL);
  turn(second);
  raise(SIGUSR2);
  trace("second: %d", turn(second));
  event_free(all[0]), event_free(all[1]);
  event_base_free(first);
  trace("%s", disposition(SIGUSR2));
  event_base_free(second);
  trace("%s", disposition(SIGUSR2));
}

/* A handler often runs just as the wait returns. What the wait has brought is told first, the signal in the next pass. The
 * base's lock is taken again at that moment. */
enum { MOST_LOCKS = 16 };
static char locks_made[MOST_LOCKS];
static char *newest_lock = locks_made, *lock_of_base;
static int takes, raise_at;

static void *make_lock(unsigned kind) {
  (void)kind;
  return newest_lock < locks_made + MOST_LOCKS - 1 ? ++newest_lock : NULL;
}
static void free_lock(void *lock, unsigned kind) { (void)lock, (void)kind; }
static int take_lock(unsigned mode, void *lock) {
  (void)mode;
  if (lock == lock_of_base && ++takes == raise_at) raise(SIGUSR1);
  return 0;
}
static int leave_lock(unsigned mode, void *lock) {
  (void)mode, (void)lock;
  return 0;
}
static unsigned long same_thread(void) { return 1; }

static void told_in_its_pass(evutil_socket_t fd, short what, void *name) {
  (void)fd;
  trace("%s %s", (const char *)name, bits(what));
}

static void late_signal(int flags, int priority) {
  static const struct evthread_lock_callbacks locks = {
      EVTHREAD_LOCK_API_VERSION, EVTHREAD_LOCKTYPE_RECURSIVE, make_lock, free_lock, take_lock, leave_lock};
  int ends[2];
  evthread_set_lock_callbacks(&locks);
  evthread_set_id_callback(same_thread);
  the = new_base_with(2);
  lock_of_base = newest_lock;
  make_pipe(ends), put(ends[1], 1);
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, told_in_its_pass, "signal");
  all[1] = make(the, ends[0], EV_READ | EV_PERSIST, told_in_its_pass, "descriptor");
  event_priority_set(all[0], priority);
  event_priority_set(all[1], 1);
  for (int i = 0; i < 2; i++) event_add(all[i], NULL);
  for (int i = 0; i < 3; i++) {
    takes = 0, raise_at = i ? 0 : 2; /* the loop's entry takes it, then the end of the wait */
    trace("loop: %d", event_base_loop(the, flags));
    trace("taken again: %d", takes > 1);
  }
  for (int i = 0; i < 2; i++) event_free(all[i]);
  event_base_free(the);
}

CASE(raised_as_a_wait_returns_it_is_told_in_the_next_pass) {
  for (int priority = 0; priority < 2; priority++) {
    trace("-- priority %d", priority);
    late_signal(EVLOOP_ONCE, priority);
    late_signal(EVLOOP_ONCE | EVLOOP_NONBLOCK, priority);
  }
}
