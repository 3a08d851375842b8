/* SPDX-License-Identifier: BSD-3-Clause */
/* What cases with signals, threads and child processes share. Each case is a process of its own: nothing is undone. */
#ifndef TORQUE_TESTS_DIFF_PROCESSES_H
#define TORQUE_TESTS_DIFF_PROCESSES_H

#include "cases.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

static inline const char *yes(int condition) { return condition ? "yes" : "no"; }

static inline void pause_ms(int ms) {
  struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) && errno == EINTR) {
  }
}

/* A child that exits at once with the code. */
static inline pid_t child_that_exits(int code) {
  pid_t pid = fork();
  NEED(pid >= 0);
  if (!pid) _exit(code);
  return pid;
}

/* Waits until the child has ended, and leaves it to be reaped. */
static inline void wait_ended(pid_t pid) {
  siginfo_t info;
  while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT)) NEED(errno == EINTR);
}

static inline const char *disposition(int signum) {
  struct sigaction now;
  NEED(!sigaction(signum, NULL, &now));
  if (now.sa_handler == SIG_DFL) return "default";
  return now.sa_handler == SIG_IGN ? "ignored" : "handled";
}

/* Of the calling thread. */
static inline int is_blocked(int signum) {
  sigset_t now;
  NEED(!pthread_sigmask(SIG_BLOCK, NULL, &now));
  return sigismember(&now, signum);
}

static inline void change_mask(int how, int signum) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signum);
  NEED(!pthread_sigmask(how, &one, NULL));
}

#endif
