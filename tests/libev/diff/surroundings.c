/* SPDX-License-Identifier: BSD-3-Clause */
/* What a loop leaves as it was around it: threads, signals, descriptors, errno. */
#include "diff.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void io_told(struct ev_loop *loop, ev_io *w, int revents) {
  (void)loop;
  trace("io: %s, %d bytes", bits(revents), drain(w->fd));
}

static void async_told(struct ev_loop *loop, ev_async *w, int revents) {
  (void)loop;
  (void)w;
  trace("async: %s", bits(revents));
}

static void signal_told(struct ev_loop *loop, ev_signal *w, int revents) {
  (void)loop;
  (void)w;
  trace("signal: %s", bits(revents));
}

static void timer_told(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)loop;
  (void)w;
  trace("timer: %s", bits(revents));
}

static void stat_told(struct ev_loop *loop, ev_stat *w, int revents) {
  (void)loop;
  (void)w;
  (void)revents;
}

/* A loop that has everything started that takes something of the system. */
struct busy {
  struct ev_loop *loop;
  int ends[2];
  ev_io io;
  ev_async async;
  ev_signal signal;
  ev_timer timer;
  ev_stat stat;
};

static void busy_start(struct busy *b, struct ev_loop *loop) {
  b->loop = loop;
  make_pipe(b->ends);
  ev_io_init(&b->io, io_told, b->ends[0], EV_READ);
  ev_async_init(&b->async, async_told);
  ev_signal_init(&b->signal, signal_told, SIGUSR2);
  ev_timer_init(&b->timer, timer_told, 3600., 0.);
  ev_stat_init(&b->stat, stat_told, "/tmp", 0.);
  ev_io_start(loop, &b->io);
  ev_async_start(loop, &b->async);
  ev_signal_start(loop, &b->signal);
  ev_timer_start(loop, &b->timer);
  ev_stat_start(loop, &b->stat);
  turn(loop);
}

static void busy_stop(struct busy *b) {
  ev_stat_stop(b->loop, &b->stat);
  ev_timer_stop(b->loop, &b->timer);
  ev_signal_stop(b->loop, &b->signal);
  ev_async_stop(b->loop, &b->async);
  ev_io_stop(b->loop, &b->io);
  close_both(b->ends);
  ev_loop_destroy(b->loop);
}

static int threads(void) {
  DIR *folder = opendir("/proc/self/task");
  int count = 0;
  NEED(folder);
  for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

CASE(a_loop_has_no_threads_of_its_own) {
  int before = threads();
  struct busy b;
  busy_start(&b, new_loop(0));
  ev_async_send(b.loop, &b.async);
  turn(b.loop);
  trace("more threads: %d", threads() - before);
  busy_stop(&b);
  trace("more threads: %d", threads() - before);
}

static void handlers(const char *when) {
  trace("%s:", when);
  for (int signum = 1; signum < 32; signum++) {
    struct sigaction action;
    if (sigaction(signum, NULL, &action)) continue;
    if (action.sa_handler != SIG_DFL) trace("  %s: %s", strsignal(signum), action.sa_handler == SIG_IGN ? "ignored" : "handled");
  }
  sigset_t mask;
  NEED(!sigprocmask(SIG_SETMASK, NULL, &mask));
  for (int signum = 1; signum < 32; signum++)
    if (sigismember(&mask, signum)) trace("  %s: blocked", strsignal(signum));
}

CASE(signals_are_taken_only_when_they_are_watched) {
  struct busy b;
  signal(SIGHUP, SIG_IGN);
  struct ev_loop *loop = new_loop(0);
  handlers("a loop");
  busy_start(&b, loop);
  handlers("everything started");
  busy_stop(&b);
  handlers("everything stopped");
  loop = ev_default_loop(EVFLAG_NOENV);
  handlers("the default loop");
  turn(loop);
  ev_loop_destroy(loop);
  handlers("without it");
}

CASE(descriptors_of_a_loop_are_not_inherited_by_other_programs) {
  struct busy b;
  static const char count[] = "ls /proc/self/fd | wc -l >&2";
  busy_start(&b, ev_default_loop(EVFLAG_NOENV));
  int told[2];
  make_pipe(told);
  fcntl(told[0], F_SETFL, 0);
  pid_t child = fork();
  NEED(child >= 0);
  if (!child) {
    dup2(told[1], STDERR_FILENO);
    execl("/bin/sh", "sh", "-c", count, (char *)NULL);
    _exit(9);
  }
  wait_traced("child", child);
  char answer[32] = "";
  close(told[1]);
  NEED(read(told[0], answer, sizeof answer - 1) > 0);
  trace("descriptors: %d", atoi(answer)); /* three, and the folder that is listed */
  close(told[0]);
  busy_stop(&b);
}

CASE(system_works_beside_a_default_loop) {
  struct busy b;
  busy_start(&b, ev_default_loop(EVFLAG_NOENV));
  for (int i = 0; i < 3; i++) {
    int status = system("exit 3");
    trace("system: %d %d", WIFEXITED(status) ? 1 : 0, WEXITSTATUS(status));
    turn(b.loop);
  }
  busy_stop(&b);
}

CASE(errno_is_as_it_was_after_a_send) {
  struct busy b;
  busy_start(&b, new_loop(0));
  errno = EDOM;
  ev_async_send(b.loop, &b.async);
  trace("errno: %s", strerror(errno));
  turn(b.loop);
  errno = EDOM;
  ev_feed_signal(SIGUSR2);
  trace("errno: %s", strerror(errno));
  turn(b.loop);
  busy_stop(&b);
}

CASE(a_loop_made_while_number_nought_is_free) {
  struct busy b;
  close(STDIN_FILENO);
  busy_start(&b, new_loop(0));
  put(b.ends[1], 2);
  ev_async_send(b.loop, &b.async);
  raise(SIGUSR2);
  turns(b.loop, 2);
  busy_stop(&b);
  trace("free again: %d", !is_open(STDIN_FILENO));
}

CASE(a_descriptor_with_a_high_number) {
  struct rlimit limit;
  NEED(!getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max;
  NEED(!setrlimit(RLIMIT_NOFILE, &limit));
  static const int numbers[] = {100, 1000, 9999, 15000};
  struct ev_loop *loop = new_loop(0);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    int ends[2];
    ev_io w;
    make_pipe(ends);
    int high = fcntl(ends[0], F_DUPFD_CLOEXEC, numbers[i]);
    NEED(high >= numbers[i]);
    ev_io_init(&w, io_told, high, EV_READ);
    ev_io_start(loop, &w);
    turn(loop);
    put(ends[1], i + 1);
    turns(loop, 2);
    ev_feed_fd_event(loop, high, EV_READ);
    turn(loop);
    ev_io_stop(loop, &w);
    close(high);
    close_both(ends);
  }
  ev_loop_destroy(loop);
}

CASE(no_loop_where_there_are_no_descriptors) {
  struct rlimit limit, old;
  NEED(!getrlimit(RLIMIT_NOFILE, &old));
  limit = old;
  limit.rlim_cur = 3;
  NEED(!setrlimit(RLIMIT_NOFILE, &limit));
  struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  trace("loop: %d", loop != NULL);
  trace("default: %d", ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV) != NULL);
  NEED(!setrlimit(RLIMIT_NOFILE, &old));
  loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  trace("with descriptors: %d", loop != NULL);
  trace("default: %d", ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV) != NULL);
  struct busy b;
  busy_start(&b, loop);
  put(b.ends[1], 1);
  turn(b.loop);
  busy_stop(&b);
}

CASE(the_working_folder_and_the_umask_are_the_programs) {
  char before[4096], after[4096];
  NEED(getcwd(before, sizeof before));
  mode_t mask = umask(027);
  struct busy b;
  busy_start(&b, new_loop(0));
  NEED(getcwd(after, sizeof after));
  trace("folder: %d, umask: %o", !strcmp(before, after), (unsigned)umask(mask));
  busy_stop(&b);
}
