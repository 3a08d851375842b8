/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_child: what the default loop tells of children, in which order, and what it reaps. */
#include "helpers.h"

struct named {
  ev_child watcher;
  const char *name;
};

static struct named one, two, three, any;

static const char *status_text(int status) {
  static char text[4][40];
  static unsigned next;
  char *t = text[next++ % 4];
  if (WIFEXITED(status))
    snprintf(t, sizeof text[0], "exit %d", WEXITSTATUS(status));
  else if (WIFSIGNALED(status))
    snprintf(t, sizeof text[0], "killed %d", WTERMSIG(status));
  else if (WIFSTOPPED(status))
    snprintf(t, sizeof text[0], "stopped %d", WSTOPSIG(status));
  else
    snprintf(t, sizeof text[0], WIFCONTINUED(status) ? "continued" : "unknown");
  return t;
}

static int told_count;

static void told(struct ev_loop *loop, ev_child *w, int revents) {
  told_count++;
  trace("%s: %s, %s, its pid %s, %s", ((struct named *)w)->name, bits(revents), status_text(w->rstatus),
        yes(w->pid ? w->rpid == w->pid : w->rpid > 0), state(w));
  (void)loop;
}

static void watch(struct named *n, const char *name, pid_t pid, int trace_it) {
  n->name = name;
  ev_child_init(&n->watcher, told, pid, trace_it);
  ev_child_start(EV_DEFAULT_UC, &n->watcher);
}

/* A child whose watchers share no hash chain with those of any child: where they do, order is chance. */
static pid_t child_that_waits(void) {
  for (;;) {
    pid_t pid = fork();
    NEED(pid >= 0);
    if (!pid)
      for (;;) pause();
    if (pid & 15) return pid;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
  }
}

/* The child ends, and the signal of that has arrived. */
static void until_ended(pid_t pid) {
  wait_ended(pid);
  pause_ms(1);
}

CASE(child_that_exits_is_told_with_its_status) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_exits(3);
  ev_child_init(&one.watcher, told, pid, 0);
  trace("new: %s, flags %d", state(&one.watcher), one.watcher.flags);
  watch(&one, "one", pid, 0);
  trace("started: %s", state(&one.watcher));
  run_until(loop, &told_count);
  trace("afterwards: %s, reaped %s", state(&one.watcher), yes(waitpid(pid, NULL, WNOHANG) < 0 && errno == ECHILD));
  turns(loop, 3);
  ev_child_stop(loop, &one.watcher);
  trace("stopped: %s, run %d", state(&one.watcher), ev_run(loop, 0));
}

CASE(child_that_is_killed_is_told_with_the_signal) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_waits();
  watch(&one, "one", pid, 0);
  turn(loop);
  kill(pid, SIGTERM);
  run_until(loop, &told_count);
}

CASE(child_that_ended_before_its_watcher_started_is_told) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_exits(4);
  until_ended(pid);
  watch(&one, "one", pid, 0);
  turns(loop, 2);
}

static pid_t late_child;

static void forks_and_watches(struct ev_loop *loop, ev_timer *w, int revents) {
  late_child = child_that_exits(5);
  until_ended(late_child);
  trace("forked in a callback");
  watch(&one, "one", late_child, 0);
  (void)loop, (void)w, (void)revents;
}

CASE(child_forked_in_a_callback_and_watched_there_is_told) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_timer timer;
  ev_timer_init(&timer, forks_and_watches, 0., 0.);
  ev_timer_start(loop, &timer);
  run_until(loop, &told_count);
}

CASE(child_that_ends_while_the_loop_waits_wakes_it) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = fork();
  NEED(pid >= 0);
  if (!pid) {
    pause_ms(30);
    _exit(6);
  }
  watch(&one, "one", pid, 0);
  run_until(loop, &told_count);
}

static int any_seen[40];
static int any_count;

static void collects(struct ev_loop *loop, ev_child *w, int revents) {
  if (revents != EV_CHILD || !WIFEXITED(w->rstatus)) trace("unexpected %s", bits(revents));
  any_seen[WEXITSTATUS(w->rstatus) % 40]++;
  if (++any_count == 20) ev_break(loop, EVBREAK_ALL);
}

CASE(watcher_of_any_child_is_told_of_each) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pids[20];
  ev_child_init(&any.watcher, collects, 0, 0);
  ev_child_start(loop, &any.watcher);
  for (int i = 0; i < 20; ++i) pids[i] = child_that_exits(i);
  for (int i = 0; i < 20; ++i) wait_ended(pids[i]);
  run_guarded(loop, 0);
  for (int i = 0; i < 20; ++i)
    if (any_seen[i] != 1) trace("child %d told %d times", i, any_seen[i]);
  turns(loop, 2);
  trace("%d in all, left to reap: %s", any_count, yes(!(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)));
}

struct counted {
  ev_child watcher;
  int times;
  int status;
};

static int all_told;

static void counts(struct ev_loop *loop, ev_child *w, int revents) {
  struct counted *c = (struct counted *)w;
  c->times++;
  c->status = w->rpid == w->pid && revents == EV_CHILD ? w->rstatus : -1;
  ev_child_stop(loop, w);
  all_told++;
}

CASE(many_children_that_end_at_once_are_all_told) {
  struct ev_loop *loop = ev_default_loop(0);
  static struct counted all[30];
  for (int i = 0; i < 30; ++i) {
    pid_t pid = child_that_exits(i);
    ev_child_init(&all[i].watcher, counts, pid, 0);
    ev_child_start(loop, &all[i].watcher);
  }
  for (int i = 0; i < 30; ++i) wait_ended(all[i].watcher.pid);
  trace("run %d", run_guarded(loop, 0));
  for (int i = 0; i < 30; ++i)
    if (all[i].times != 1 || !WIFEXITED(all[i].status) || WEXITSTATUS(all[i].status) != i)
      trace("child %d: %d times, status %x", i, all[i].times, (unsigned)all[i].status);
  trace("told %d", all_told);
}

static pid_t pair_pids[2];

static void looks_for_the_other(struct ev_loop *loop, ev_child *w, int revents) {
  static int calls;
  siginfo_t info;
  pid_t other = w->rpid == pair_pids[0] ? pair_pids[1] : pair_pids[0];
  memset(&info, 0, sizeof info);
  int gone = waitid(P_PID, (id_t)other, &info, WEXITED | WNOHANG | WNOWAIT) < 0;
  trace("call %d, pass %u: %s, the other child is reaped: %s", ++calls, ev_iteration(loop), bits(revents), yes(gone));
}

/* A child's watchers are told before the next child is reaped, so that its process number is not taken anew. */
CASE(child_is_told_before_the_next_one_is_reaped) {
  struct ev_loop *loop = ev_default_loop(0);
  static ev_child watchers[2];
  for (int i = 0; i < 2; ++i) {
    pair_pids[i] = child_that_exits(i);
    ev_child_init(&watchers[i], looks_for_the_other, pair_pids[i], 0);
    ev_child_start(loop, &watchers[i]);
  }
  for (int i = 0; i < 2; ++i) until_ended(pair_pids[i]);
  turn(loop);
}

CASE(watchers_of_one_child_run_in_order_any_first) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_waits();
  watch(&one, "one", pid, 0);
  watch(&any, "any", 0, 0);
  watch(&two, "two", pid, 1);
  watch(&three, "three", pid, 0);
  kill(pid, SIGKILL);
  until_ended(pid);
  turn(loop);
}

/* Sends the signal and runs until its effect is told: the kernel sends SIGCHLD when the child comes to it. */
static void change_state(struct ev_loop *loop, pid_t pid, int signum) {
  told_count = 0;
  kill(pid, signum);
  run_until(loop, &told_count);
  turns(loop, 2);
}

CASE(child_that_is_stopped_and_continued_is_told_to_those_who_trace) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_waits();
  watch(&one, "tracing", pid, 1);
  watch(&two, "not tracing", pid, 0);
  watch(&any, "tracing any", 0, 5);
  trace("flags %d", any.watcher.flags);
  change_state(loop, pid, SIGSTOP);
  change_state(loop, pid, SIGCONT);
  change_state(loop, pid, SIGKILL);
}

CASE(children_nobody_watches_are_reaped) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pids[3];
  for (int i = 0; i < 3; ++i) pids[i] = child_that_exits(i);
  for (int i = 0; i < 3; ++i) until_ended(pids[i]);
  trace("run %d", ev_run(loop, 0));
  trace("left: %s", yes(!(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)));
}

CASE(child_watcher_that_stopped_is_not_told) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_exits(1);
  watch(&one, "one", pid, 0);
  watch(&two, "two", pid, 0);
  ev_child_stop(loop, &one.watcher);
  until_ended(pid);
  turns(loop, 2);
  ev_child_stop(loop, &one.watcher);
  trace("%s, status %d", state(&one.watcher), one.watcher.rstatus);
}

CASE(child_that_the_program_reaped_is_not_told) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_exits(1);
  watch(&one, "one", pid, 0);
  int status;
  NEED(waitpid(pid, &status, 0) == pid);
  turns(loop, 3);
  trace("told %d, %s", told_count, state(&one.watcher));
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents) {
  trace("timer %s priority %d", bits(revents), ev_priority(w));
  (void)loop;
}

static void on_check(struct ev_loop *loop, ev_check *w, int revents) {
  trace("check %s priority %d", bits(revents), ev_priority(w));
  (void)loop;
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("signal %s priority %d", bits(revents), ev_priority(w));
  (void)loop;
}

CASE(child_is_told_at_the_highest_priority_whatever_its_own) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_timer timer, high;
  ev_check check;
  pid_t pid = child_that_exits(2);
  one.name = "one";
  ev_child_init(&one.watcher, told, pid, 0);
  ev_set_priority(&one.watcher, -2);
  ev_child_start(loop, &one.watcher);
  trace("started: %s", state(&one.watcher));
  ev_timer_init(&timer, on_timer, 0., 0.);
  ev_set_priority(&timer, 1);
  ev_timer_start(loop, &timer);
  ev_timer_init(&high, on_timer, 0., 0.);
  ev_set_priority(&high, 2);
  ev_timer_start(loop, &high);
  ev_check_init(&check, on_check);
  ev_check_start(loop, &check);
  until_ended(pid);
  turn(loop);
  ev_child_stop(loop, &one.watcher);
  ev_child_start(loop, &one.watcher);
  trace("started again: %s", state(&one.watcher));
}

CASE(signal_watcher_of_sigchld_beside_child_watchers) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_signal plain, high;
  pid_t pid = child_that_exits(8);
  ev_signal_init(&plain, on_signal, SIGCHLD);
  ev_signal_start(loop, &plain);
  ev_signal_init(&high, on_signal, SIGCHLD);
  ev_set_priority(&high, 2);
  ev_signal_start(loop, &high);
  watch(&one, "one", pid, 0);
  until_ended(pid);
  turns(loop, 2);
  trace("without a child");
  raise(SIGCHLD);
  turns(loop, 2);
  ev_signal_stop(loop, &plain);
  ev_signal_stop(loop, &high);
  trace("stopped: CHLD is %s", disposition(SIGCHLD));
}

CASE(child_watcher_alone_keeps_the_default_loop_alive) {
  struct ev_loop *loop = ev_default_loop(0);
  trace("CHLD is %s, run %d", disposition(SIGCHLD), ev_run(loop, 0));
  pid_t pid = child_that_exits(0);
  static struct counted c;
  ev_child_init(&c.watcher, counts, pid, 0);
  ev_child_start(loop, &c.watcher);
  trace("run %d", run_guarded(loop, 0));
  trace("told %d", c.times);
}

static void starts_child_watcher(void *arg) { ev_child_start(arg, &one.watcher); }

CASE(child_watcher_outside_the_default_loop_aborts) {
  ev_child_init(&one.watcher, told, 0, 0);
  trace("no default loop yet");
  struct ev_loop *loop = ev_loop_new(0);
  in_child("dynamic loop", starts_child_watcher, loop);
  trace("with a default loop");
  struct ev_loop *other = ev_default_loop(0);
  in_child("dynamic loop", starts_child_watcher, loop);
  in_child("default loop", starts_child_watcher, other);
}

static void uses_children_after_fork(void *arg) {
  struct ev_loop *loop = arg;
  ev_loop_fork(loop);
  pid_t pid = child_that_exits(9);
  until_ended(pid);
  watch(&two, "grandchild", pid, 0);
  turns(loop, 2);
}

CASE(child_watchers_work_in_a_forked_process) {
  struct ev_loop *loop = ev_default_loop(0);
  turn(loop);
  in_child("child", uses_children_after_fork, loop);
  turn(loop);
  pid_t pid = child_that_exits(10);
  until_ended(pid);
  watch(&one, "one", pid, 0);
  turns(loop, 2);
}

CASE(default_loop_made_again_watches_children_again) {
  for (int i = 0; i < 3; ++i) {
    struct ev_loop *loop = ev_default_loop(0);
    trace("made: CHLD is %s", disposition(SIGCHLD));
    pid_t pid = child_that_exits(i);
    watch(&one, "one", pid, 0);
    until_ended(pid);
    turns(loop, 2);
    ev_child_stop(loop, &one.watcher);
    ev_loop_destroy(loop);
    trace("destroyed: CHLD is %s", disposition(SIGCHLD));
  }
}

static void stops_the_next(struct ev_loop *loop, ev_child *w, int revents) {
  trace("first: %s, the second is pending: %s", bits(revents), yes(ev_is_pending(&two.watcher)));
  ev_child_stop(loop, &two.watcher);
  (void)w;
}

CASE(child_watcher_stopped_by_another_one_is_not_told) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_exits(0);
  static ev_child first;
  ev_child_init(&first, stops_the_next, pid, 0);
  ev_child_start(loop, &first);
  watch(&two, "two", pid, 0);
  watch(&three, "three", pid, 0);
  until_ended(pid);
  turns(loop, 2);
}

CASE(sigchld_without_a_child_is_nothing) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(&any, "any", 0, 1);
  raise(SIGCHLD);
  turns(loop, 2);
  ev_feed_signal(SIGCHLD);
  ev_feed_signal_event(loop, SIGCHLD);
  trace("count %u", ev_pending_count(loop));
  turns(loop, 2);
  trace("told %d", told_count);
}

CASE(child_reaped_on_request_by_feeding_sigchld) {
  struct ev_loop *loop = ev_default_loop(0);
  signal(SIGCHLD, SIG_DFL);
  pid_t pid = child_that_exits(11);
  watch(&one, "one", pid, 0);
  wait_ended(pid);
  turns(loop, 2);
  trace("fed");
  ev_feed_signal_event(loop, SIGCHLD);
  ev_invoke_pending(loop);
}

CASE(child_events_by_hand) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(&one, "one", getpid(), 0);
  one.watcher.rpid = one.watcher.pid;
  one.watcher.rstatus = 0x300;
  ev_feed_event(loop, &one.watcher, EV_CHILD);
  trace("%s", yes(ev_is_pending(&one.watcher)));
  ev_invoke_pending(loop);
  ev_invoke(loop, &one.watcher, EV_CHILD | EV_CUSTOM);
  ev_feed_event(loop, &one.watcher, EV_CHILD);
  trace("cleared %s", bits(ev_clear_pending(loop, &one.watcher)));
  turn(loop);
}
