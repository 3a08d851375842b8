/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Measurements of libev's interface, of whichever library stands behind it.
 *
 * A program runs one case. It sets up once, then measures a slice for each line it reads, so that the runner can let
 * two libraries take turns every few milliseconds. Where libev-calls.so is preloaded, system calls are counted too.
 */
#ifndef TORQUE_BENCH_LIBEV_H
#define TORQUE_BENCH_LIBEV_H

/* libev's own cast of watchers breaks strict aliasing, as its manual says. */
#pragma GCC diagnostic ignored "-Wstrict-aliasing"
#include <ev.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What libev-calls.so counts. */
struct call_counts {
	uint64_t ctl;   /* epoll_ctl */
	uint64_t total; /* that, waiting, reading and writing, and making and closing descriptors */
};
typedef struct call_counts call_counts_fn(void);

struct libev_case {
	const char *name;
	void (*set_up)(void);
	void (*slice)(void);
};

extern const struct libev_case loop_cases[], timer_cases[]; /* ended by a case without a name */

__attribute__((noreturn)) void bench_die(const char *what);
void *bench_alloc(size_t n, size_t size);
uint64_t bench_random(void);

/* A descriptor on which nothing ever happens, and one that is always readable. */
int bench_quiet_fd(void);
int bench_ready_fd(void);
/* Private memory of the process, bytes. */
uint64_t bench_memory(void);

/* Between them lies what is measured: CPU time of the process. end() adds a value to the slice's reply. */
void bench_start(void);
void bench_end(const char *measure, uint64_t operations);
/* A figure that was read once. */
void bench_value(const char *measure, double value);

#endif
