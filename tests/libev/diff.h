/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that say what an event loop does. One binary, linked with the genuine libev, runs on any library of that
   name; `run` compares what it writes. A trace holds no times, addresses, process or descriptor numbers.

     #include "diff.h"
     CASE(a_readable_pipe_is_reported_once_a_turn) { ... trace("turn: %d", turn(loop)); ... }

   `program --list` names the cases, `program CASE` runs one. */
#ifndef TORQUE_TESTS_LIBEV_DIFF_H
#define TORQUE_TESTS_LIBEV_DIFF_H

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

struct diff_case {
  const char *name;
  void (*body)(void);
  int line;
};

/* The linker gathers the cases of a program in a section of its own. */
#define CASE(name)                                                                    \
  static void name(void);                                                             \
  static const struct diff_case diff_case_##name = {#name, name, __LINE__};           \
  __attribute__((section("diff_cases"), used)) static const struct diff_case *const diff_entry_##name = &diff_case_##name; \
  static void name(void)

/* Writes one line of the trace. Not buffered; children's lines come where they were written. Not for signal handlers. */
__attribute__((format(printf, 1, 2))) void trace(const char *format, ...);

/* Ends the case: something that has nothing to do with the library went wrong. */
__attribute__((noreturn)) void diff_broken(const char *what, const char *file, int line);
#define NEED(condition) ((condition) ? (void)0 : diff_broken(#condition, __FILE__, __LINE__))

/* Seconds after which waiting is given up: never a measure, only the end of a case that would hang. */
#define PATIENCE 10.

/* Event bits by name: "READ|WRITE", "0". A few results live at a time. */
const char *bits(int events);

/* "active=1 pending=0 priority=0" of any watcher; a few results live at a time. */
#define state(w) diff_state(ev_is_active(w) ? 1 : 0, ev_is_pending(w) ? 1 : 0, ev_priority(w))
const char *diff_state(int active, int pending, int priority);

/* --- Loops */

/* ev_run (loop, EVRUN_NOWAIT); its result, which is true while something is active. */
int turn(struct ev_loop *loop);
void turns(struct ev_loop *loop, int count);

/* ev_run (loop, flags), ended (and traced) by a guard timer after PATIENCE. The guard is not counted as active. */
int run_guarded(struct ev_loop *loop, int flags);

/* Passes with EVRUN_ONCE until *flag is not zero, or until the guard ends it: then it is traced, and the result is 0. */
int run_until(struct ev_loop *loop, const volatile int *flag);

/* A new loop with the flags given and EVFLAG_NOENV. */
struct ev_loop *new_loop(unsigned int flags);

/* --- Descriptors */

void make_pipe(int ends[2]);   /* not blocking */
void make_pair(int ends[2]);   /* a pair of stream sockets, not blocking */
void put(int fd, size_t count);  /* writes bytes */
int drain(int fd);             /* reads all there is; the number of bytes */
void fill(int fd);             /* writes until nothing more goes in */
void close_both(const int ends[2]);
int is_open(int fd);
int open_descriptors(void);    /* how many this process has */

/* --- Children */

/* Runs the body in a forked child, with stderr shut, and traces how it ended: "what: exit 0", "what: signal Aborted". */
void in_child(const char *what, void (*body)(void *), void *arg);
void wait_traced(const char *what, pid_t child);

#ifdef __cplusplus
}
#endif
#endif
