/* SPDX-License-Identifier: BSD-3-Clause */
/* Scenarios that need a process of their own: they end by a signal, change dispositions, or fork. */
#ifndef TORQUE_TESTS_CHILD_H
#define TORQUE_TESTS_CHILD_H

#include <stdint.h>
#include <sys/types.h>

/* Runs body(arg) in a forked child, whose exit status is what it answers; a child that hangs is killed by SIGALRM after
 * a minute. CMocka's assertions do not work in it: see CHECK. */
pid_t child_start(int (*body)(void *arg), void *arg);
/* The same, as fork(): the child goes on where it is, and leaves by _exit(). */
pid_t child_fork(void);
/* Waits for its end: the exit status, or 1000 + the signal that ended it. */
int child_end(pid_t child);
int child_run(int (*body)(void *arg), void *arg);

/* In a child: says where, and leaves with status 1, unless the condition holds. */
#define CHECK(condition)                                        \
  do {                                                          \
    if (!(condition)) child_fail(#condition, __FILE__, __LINE__); \
  } while (0)
_Noreturn void child_fail(const char *condition, const char *file, int line);

/* In a child: waits until the condition holds, or fails. */
#define CHECK_SOON(condition)                                                \
  for (int tries_ = 0; !(condition);)                                        \
    if (child_nap(), ++tries_ > 100000) child_fail(#condition, __FILE__, __LINE__)
void child_nap(void);

/* The same numbers in every run. seed is not 0. */
uint64_t next_random(uint64_t *seed);

#endif
