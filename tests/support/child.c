/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "support/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/cmocka.h"

/* ThreadSanitizer refuses threads in children of processes with threads unless told. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "die_after_fork=0"; }

pid_t child_fork(void) {
  fflush(stdout);
  fflush(stderr);
  const pid_t child = fork();
  if (child) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* it must not outlive a test that failed */
  alarm(60);
  return 0;
}

pid_t child_start(int (*body)(void *), void *arg) {
  const pid_t child = child_fork();
  assert_true(child >= 0);
  if (child) return child;
  _exit(body(arg));
}

int child_end(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) assert_int_equal(errno, EINTR);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int child_run(int (*body)(void *), void *arg) { return child_end(child_start(body, arg)); }

_Noreturn void child_fail(const char *condition, const char *file, int line) {
  fprintf(stderr, "%s:%d: in the child: %s\n", file, line, condition);
  _exit(1);
}

void child_nap(void) {
  const struct timespec t = {.tv_nsec = 300000};
  nanosleep(&t, NULL);
}

uint64_t next_random(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}
