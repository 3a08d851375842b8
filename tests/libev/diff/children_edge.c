/* SPDX-License-Identifier: BSD-3-Clause */
/* Children of processes that treat SIGCHLD in their own way, of threads, and those that libraries start. */
#include "helpers.h"

static int told_count;

static void told(struct ev_loop *loop, ev_child *w, int revents) {
  told_count++;
  trace("child: %s, its pid %s, code %d", bits(revents), yes(w->rpid == w->pid),
        WIFEXITED(w->rstatus) ? WEXITSTATUS(w->rstatus) : -1);
  (void)loop;
}

static ev_child child;

static pid_t start_and_end(struct ev_loop *loop, int code) {
  pid_t pid = child_that_exits(code);
  ev_child_init(&child, told, pid, 0);
  ev_child_start(loop, &child);
  wait_ended(pid);
  pause_ms(1);
  return pid;
}

CASE(child_of_a_process_that_ignored_sigchld) {
  signal(SIGCHLD, SIG_IGN);
  struct ev_loop *loop = ev_default_loop(0);
  trace("CHLD is %s", disposition(SIGCHLD));
  start_and_end(loop, 1);
  turn(loop);
}

CASE(child_of_a_process_that_blocks_sigchld) {
  change_mask(SIG_BLOCK, SIGCHLD);
  struct ev_loop *loop = ev_default_loop(0);
  trace("blocked %d", is_blocked(SIGCHLD));
  start_and_end(loop, 2);
  turns(loop, 2);
  trace("unblocked");
  change_mask(SIG_UNBLOCK, SIGCHLD);
  turn(loop);
}

CASE(child_of_a_process_whose_loop_unblocks_sigchld) {
  change_mask(SIG_BLOCK, SIGCHLD);
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOSIGMASK);
  trace("blocked %d", is_blocked(SIGCHLD));
  start_and_end(loop, 3);
  turn(loop);
}

CASE(child_told_by_signalfd) {
  struct ev_loop *loop = ev_default_loop(EVFLAG_SIGNALFD);
  trace("blocked %d, %s", is_blocked(SIGCHLD), disposition(SIGCHLD));
  start_and_end(loop, 4);
  turns(loop, 3);
  ev_child_stop(loop, &child);
  ev_loop_destroy(loop);
  trace("blocked %d, %s", is_blocked(SIGCHLD), disposition(SIGCHLD));
}

CASE(child_of_a_process_with_its_own_handler) {
  struct ev_loop *loop = ev_default_loop(0);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = ev_feed_signal;
  NEED(!sigaction(SIGCHLD, &action, NULL));
  start_and_end(loop, 5);
  turn(loop);
}

static void *runs_the_default_loop(void *arg) {
  run_until(arg, &told_count);
  return NULL;
}

CASE(child_told_to_a_loop_in_another_thread) {
  struct ev_loop *loop = ev_default_loop(0);
  pthread_t thread;
  pid_t pid = fork();
  NEED(pid >= 0);
  if (!pid) {
    pause_ms(40);
    _exit(6);
  }
  ev_child_init(&child, told, pid, 0);
  ev_child_start(loop, &child);
  NEED(!pthread_create(&thread, NULL, runs_the_default_loop, loop));
  pthread_join(thread, NULL);
}

static void uses_the_system(struct ev_loop *loop, ev_timer *w, int revents) {
  trace("system %d", system("exit 3") >> 8);
  FILE *stream = popen("echo said", "r");
  char line[20] = "";
  NEED(stream);
  NEED(fgets(line, sizeof line, stream));
  int status = pclose(stream);
  trace("popen %.4s %d", line, status);
  (void)loop, (void)w, (void)revents;
}

CASE(children_that_the_c_library_starts_and_waits_for) {
  struct ev_loop *loop = ev_default_loop(0);
  static ev_timer timer;
  ev_timer_init(&timer, uses_the_system, 0., 0.);
  ev_timer_start(loop, &timer);
  trace("run %d", ev_run(loop, 0));
  turns(loop, 2);
}

struct owned {
  ev_child watcher;
  int number;
};

static void frees_itself(struct ev_loop *loop, ev_child *w, int revents) {
  struct owned *o = (struct owned *)w;
  trace("%d: %s, code %d", o->number, bits(revents), WEXITSTATUS(w->rstatus));
  ev_child_stop(loop, w);
  memset(o, 0xa5, sizeof *o);
  free(o);
}

CASE(child_watchers_may_free_themselves) {
  struct ev_loop *loop = ev_default_loop(0);
  pid_t pid = child_that_exits(7);
  for (int i = 0; i < 4; ++i) {
    struct owned *o = malloc(sizeof *o);
    NEED(o);
    o->number = i;
    ev_child_init(&o->watcher, frees_itself, pid, i & 1);
    ev_child_start(loop, &o->watcher);
  }
  wait_ended(pid);
  pause_ms(1);
  trace("run %d", run_guarded(loop, 0));
}

static int generation;

static void starts_the_next(struct ev_loop *loop, ev_child *w, int revents) {
  trace("generation %d: %s, code %d", generation, bits(revents), WEXITSTATUS(w->rstatus));
  ev_child_stop(loop, w);
  if (++generation == 5) return;
  ev_child_set(w, child_that_exits(generation), 0);
  ev_child_start(loop, w);
}

CASE(child_watcher_used_again_for_the_next_child) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_child_init(&child, starts_the_next, child_that_exits(0), 0);
  ev_child_start(loop, &child);
  trace("run %d", run_guarded(loop, 0));
}

CASE(child_fields_are_read_write) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_child_init(&child, told, 0, 0);
  child.rpid = 5;
  child.rstatus = 6;
  ev_child_start(loop, &child);
  turn(loop);
  trace("pid %d rpid %d rstatus %d flags %d", child.pid, child.rpid, child.rstatus, child.flags);
  ev_child_stop(loop, &child);
  trace("pid %d rpid %d rstatus %d flags %d", child.pid, child.rpid, child.rstatus, child.flags);
}
