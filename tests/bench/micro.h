/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small measurements that are the same for every library: timers, start-up, posted work.
 *
 * A program defines what is listed below and includes this file; its calls are then inlined as in a real program.
 *   timers_init(n)            room for n timers, indices 0..n-1
 *   timer_insert(i, ns)       start timer i, to call micro_fired() once after ns
 *   timer_reset(i, ns)        move the deadline of a started timer
 *   timer_cancel(i)           stop it
 *   loop_in_callback(phase)   run phase where the library's clock is cached, as callbacks of programs do
 *   loop_run_ready()          run what is due, without waiting
 *   first_event(fd)           from nothing to a callback for fd, which is readable; calls micro_first()
 *   post_start(), post_one(), post_stop()   a loop that is awake on another thread; hand it one call
 */
#ifndef TORQUE_BENCH_MICRO_H
#define TORQUE_BENCH_MICRO_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void timers_init(uint32_t n);
static inline timer_name timer_named(uint32_t i);
static inline void timer_insert(timer_name timer, uint64_t ns);
static inline void timer_reset(timer_name timer, uint64_t ns);
static inline void timer_cancel(timer_name timer);
static void loop_in_callback(void (*phase)(void));
static void loop_run_ready(void);
static void first_event(int fd);
static void post_start(void);
static inline void post_one(void);
static void post_stop(void);

static struct {
	uint32_t n;
	uint64_t fired;
	uint64_t *delay;
	uint32_t *order;
	timer_name *name; /* in that order: a program has a timer's name at hand when it wants it */
	uint64_t seed;
	uint64_t insert_ns, reset_ns, cancel_ns, expire_ns, late_ns;
	uint64_t first_ns;
} micro = {.seed = 88172645463325252u};

static uint64_t micro_clock(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t micro_cpu(void)
{
	return micro_clock(CLOCK_THREAD_CPUTIME_ID);
}

static inline void micro_fired(void)
{
	micro.fired++;
}

static inline void micro_first(void)
{
	micro.first_ns = micro_clock(CLOCK_MONOTONIC);
}

static uint64_t micro_random(void)
{
	micro.seed ^= micro.seed << 13;
	micro.seed ^= micro.seed >> 7;
	return micro.seed ^= micro.seed << 17;
}

/* New deadlines and a new order, drawn before the clock is read. */
static void micro_draw(uint64_t low_ns, uint64_t span_ns)
{
	for (uint32_t i = 0; i < micro.n; i++)
		micro.delay[i] = low_ns + micro_random() % span_ns;
	for (uint32_t i = 0; i < micro.n; i++)
		micro.order[i] = i;
	for (uint32_t i = micro.n - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(micro_random() % (i + 1)), kept = micro.order[i];
		micro.order[i] = micro.order[j];
		micro.order[j] = kept;
	}
	for (uint32_t i = 0; i < micro.n; i++)
		micro.name[i] = timer_named(micro.order[i]);
}

static void micro_insert(void)
{
	uint64_t start = micro_cpu();
	for (uint32_t i = 0; i < micro.n; i++)
		timer_insert(micro.name[i], micro.delay[i]);
	micro.insert_ns += micro_cpu() - start;
}

static void micro_reset(void)
{
	uint64_t start = micro_cpu();
	for (uint32_t i = 0; i < micro.n; i++)
		timer_reset(micro.name[i], micro.delay[i]);
	micro.reset_ns += micro_cpu() - start;
}

static void micro_cancel(void)
{
	uint64_t start = micro_cpu();
	for (uint32_t i = 0; i < micro.n; i++)
		timer_cancel(micro.name[i]);
	micro.cancel_ns += micro_cpu() - start;
}

/* Deadlines spread over span_ns, the loop run every step_ns, for every library alike. Returns what the runs cost. */
static uint64_t micro_expire(uint64_t span_ns, uint64_t step_ns)
{
	struct timespec step = {.tv_sec = (time_t)(step_ns / 1000000000u), .tv_nsec = (long)(step_ns % 1000000000u)};
	uint64_t limit = micro_clock(CLOCK_MONOTONIC) + 30000000000u;
	uint64_t spent = 0, insert_ns = micro.insert_ns;
	micro_draw(1, span_ns);
	loop_in_callback(micro_insert);
	micro.insert_ns = insert_ns;
	micro.fired = 0;
	while (micro.fired < micro.n) {
		nanosleep(&step, NULL);
		uint64_t start = micro_cpu();
		loop_run_ready();
		spent += micro_cpu() - start;
		if (micro_clock(CLOCK_MONOTONIC) > limit) {
			fprintf(stderr, "only %lu of %u timers fired\n", micro.fired, micro.n);
			exit(1);
		}
	}
	return spent;
}

static void micro_round(void)
{
	const uint64_t second = 1000000000u;
	micro_draw(10 * second, 60 * second);
	loop_in_callback(micro_insert);
	micro_draw(10 * second, 60 * second);
	loop_in_callback(micro_reset);
	micro_draw(10 * second, 60 * second);
	loop_in_callback(micro_cancel);
}

static void micro_timers(uint32_t n)
{
	uint32_t rounds = n < 200000 ? 200000 / n : 1;
	micro.n = n;
	micro.delay = calloc(n, sizeof *micro.delay);
	micro.order = calloc(n, sizeof *micro.order);
	micro.name = calloc(n, sizeof *micro.name);
	if (!micro.delay || !micro.order || !micro.name)
		exit(1);
	timers_init(n);
	micro_round(); /* memory is there and touched; not counted */
	micro.insert_ns = micro.reset_ns = micro.cancel_ns = 0;
	for (uint32_t i = 0; i < rounds; i++)
		micro_round();
	for (uint32_t i = 0; i < rounds; i++) {
		micro.late_ns += micro_expire(1000000, 10000000); /* all are due, one run */
		micro.expire_ns += micro_expire(n * 2000ull, 1000000); /* 500 of them a run */
	}
	double calls = (double)n * rounds;
	printf("{\"insert\":%.2f,\"reset\":%.2f,\"cancel\":%.2f,\"expire\":%.2f,\"expire at once\":%.2f}\n",
	       (double)micro.insert_ns / calls, (double)micro.reset_ns / calls, (double)micro.cancel_ns / calls,
	       (double)micro.expire_ns / calls, (double)micro.late_ns / calls);
}

static void micro_run_first(uint64_t start)
{
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	first_event(fd);
	printf("{\"first\":%lu}\n", micro.first_ns - start);
}

/* Bursts with a pause, so that the receiver keeps up and stays awake. */
static void micro_post(uint32_t n)
{
	struct timespec pause = {.tv_nsec = 200000};
	uint64_t spent = 0;
	uint32_t done = 0;
	post_start();
	while (done < n) {
		uint64_t start = micro_cpu();
		for (uint32_t i = 0; i < 1000; i++)
			post_one();
		spent += micro_cpu() - start;
		done += 1000;
		nanosleep(&pause, NULL);
	}
	post_stop();
	printf("{\"post\":%.2f}\n", (double)spent / done);
}

/* A program may be stopped by the alarm, never run on. */
static int micro_main(int argc, char **argv)
{
	uint64_t start = micro_clock(CLOCK_MONOTONIC);
	long count = argc > 2 ? atol(argv[2]) : 0;
	alarm(120);
	if (argc == 2 && strcmp(argv[1], "first") == 0)
		micro_run_first(start);
	else if (argc == 3 && strcmp(argv[1], "timers") == 0 && count >= 1 && count <= 10000000)
		micro_timers((uint32_t)count);
	else if (argc == 3 && strcmp(argv[1], "post") == 0 && count >= 1 && count <= 100000000)
		micro_post((uint32_t)count);
	else {
		fprintf(stderr, "usage: %s timers N | first | post N\n", argv[0]);
		return 2;
	}
	return 0;
}

#endif
