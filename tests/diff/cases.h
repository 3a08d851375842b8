/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that say what an event library does. One binary runs on any library of that name, the genuine one or ours;
   `run` compares what it writes. A trace holds no times, addresses, process or descriptor numbers.

     #include "diff.h"
     CASE(a_readable_pipe_is_reported_once_a_turn) { ... trace("turn: %d", turn(loop)); ... }

   `program --list` names the cases, `program CASE` runs one. */
#ifndef TORQUE_TESTS_DIFF_CASES_H
#define TORQUE_TESTS_DIFF_CASES_H

#include <errno.h>
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

/* Room for a text that the caller uses at once; a few live at a time, so that one line can have several. */
enum { SCRATCH = 160 };
char *diff_scratch(void);

/* Bits by name, "READ|WRITE", "0", as diff_scratch(). The last name is NULL. */
struct diff_bit {
  int bit;
  const char *name;
};
const char *diff_bits(int value, const struct diff_bit *names);

/* A function of the library, by which a program says which one it is that answers. Each library's diff.c has it. */
extern const char *const diff_symbol;

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
