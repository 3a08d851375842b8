/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Measurements of a library's interface, of whichever library stands behind it.
 *
 * A program runs one case. It sets up once, then measures a slice for each line it reads, so that the runner can let
 * two libraries take turns every few milliseconds. Where bench-calls.so is preloaded, system calls are counted too.
 */
#ifndef TORQUE_BENCH_SLICES_H
#define TORQUE_BENCH_SLICES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What bench-calls.so counts. */
struct call_counts {
	uint64_t ctl;   /* epoll_ctl */
	uint64_t total; /* that, waiting, reading and writing, and making and closing descriptors */
};
typedef struct call_counts call_counts_fn(void);

struct slices_case {
	const char *name;
	void (*set_up)(void);
	void (*slice)(void);
};

/* A program's own: what it measures, ended by NULL, and a function of the library that it measures. */
extern const struct slices_case *const bench_cases[]; /* each ended by a case without a name */
extern const char bench_function[];

__attribute__((noreturn)) void bench_die(const char *what);
void *bench_alloc(size_t n, size_t size);
uint64_t bench_random(void);

/* A descriptor on which nothing ever happens, and one that is always readable. */
int bench_quiet_fd(void);
int bench_ready_fd(void);
/* count pipes, which do not block; a byte into one of them, and out of the reading end fd. */
int (*bench_make_pipes(int count))[2];
void bench_write_byte(const int pipe[2]);
void bench_read_byte(int fd);
/* Private memory of the process, bytes. */
uint64_t bench_memory(void);

/* For callbacks to count themselves. Ends the program where that is not as many as wanted, and begins anew. */
extern uint64_t bench_called;
void bench_expect_calls(uint64_t wanted);

/* Between them lies what is measured: CPU time of the process. end() adds a value to the slice's reply. */
void bench_start(void);
void bench_end(const char *measure, uint64_t operations);
/* A figure that was read once. */
void bench_value(const char *measure, double value);

#endif
