/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases: pipes that pass bytes on, and many of them watched anew. libev_pipes.c measures the same under the same names. */
#include "libevent.h"

enum { ACTIVE = 100, WRITES = 1000, FEW = 100, MANY = 1000, MOST = 9900, REGISTERED = 9000 };

static struct event_base *base;
static struct event *events;
static int (*pipes)[2], count, writes_left;

static void pass(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void take_byte(int fd)
{
	bench_read_byte(fd);
	bench_called++;
}

/* Each byte that is read sends another one to the next pipe, until enough were sent. */
static void on_ring(evutil_socket_t fd, short what, void *argument)
{
	int number = (int)(intptr_t)argument;
	(void)what;
	take_byte(fd);
	if (writes_left) {
		writes_left--;
		bench_write_byte(pipes[(number + 1) % count]);
	}
}

static void on_cascade(evutil_socket_t fd, short what, void *argument)
{
	int number = (int)(intptr_t)argument;
	(void)what;
	take_byte(fd);
	if (number + 1 < count)
		bench_write_byte(pipes[number + 1]);
}

static void make_pipes(int how_many)
{
	base = event_base_new();
	if (!base)
		bench_die("event_base_new");
	count = how_many;
	events = bench_alloc((size_t)count, sizeof *events);
	pipes = bench_make_pipes(count);
}

static void watch_pipe(int i, short what, event_callback_fn callback)
{
	event_assign(&events[i], base, pipes[i][0], what, callback, (void *)(intptr_t)i);
}

/* Each event gets a timeout of its own, which every byte puts off; span 0: none. */
static void make_ring(int how_many, unsigned span_us)
{
	make_pipes(how_many);
	for (int i = 0; i < count; i++) {
		struct timeval limit = {10, span_us ? (suseconds_t)(bench_random() % span_us) : 0};
		watch_pipe(i, EV_READ | EV_PERSIST, on_ring);
		event_add(&events[i], span_us ? &limit : NULL);
	}
	pass();
}

/* ACTIVE bytes at once, at equal distances, WRITES of them in all. */
static void ring(void)
{
	writes_left = WRITES - ACTIVE;
	for (int i = 0; i < ACTIVE; i++)
		bench_write_byte(pipes[i * (count / ACTIVE)]);
	while (bench_called < WRITES)
		pass();
	bench_expect_calls(WRITES);
}

static void measure_ring(const char *measure)
{
	ring();
	bench_start();
	for (int i = 0; i < 10; i++)
		ring();
	bench_end(measure, 10);
}

static void ring_few_set_up(void)
{
	make_ring(FEW, 0);
}

static void ring_few_slice(void)
{
	measure_ring("1,000 bytes, 100 at once, 100 pipes");
}

static void ring_many_set_up(void)
{
	make_ring(MANY, 0);
}

static void ring_many_slice(void)
{
	measure_ring("1,000 bytes, 100 at once, 1,000 pipes");
}

static void ring_most_set_up(void)
{
	make_ring(MOST, 0);
}

static void ring_most_slice(void)
{
	measure_ring("1,000 bytes, 100 at once, 9,900 pipes");
}

static void ring_timeouts_set_up(void)
{
	make_ring(MOST, 999999);
}

static void ring_timeouts_slice(void)
{
	measure_ring("the same, each pipe with a timeout");
}

/* One byte goes through all; each pipe is watched until its byte or a timeout comes. */
static void cascade(void)
{
	struct timeval limit = {10, 0};
	for (int i = 0; i < count; i++) {
		watch_pipe(i, EV_READ, on_cascade);
		event_add(&events[i], &limit);
	}
	bench_write_byte(pipes[0]);
	event_base_dispatch(base);
	bench_expect_calls((uint64_t)count);
}

static void measure_cascade(const char *measure)
{
	int times = 10000 / count;
	bench_start();
	for (int i = 0; i < times; i++)
		cascade();
	bench_end(measure, (uint64_t)times * (uint64_t)count);
}

static void cascade_few_set_up(void)
{
	make_pipes(FEW);
}

static void cascade_few_slice(void)
{
	measure_cascade("a pipe of a cascade of 100");
}

static void cascade_many_set_up(void)
{
	make_pipes(MANY);
}

static void cascade_many_slice(void)
{
	measure_cascade("a pipe of a cascade of 1,000");
}

static void cascade_most_set_up(void)
{
	make_pipes(MOST);
}

static void cascade_most_slice(void)
{
	measure_cascade("a pipe of a cascade of 9,900");
}

static void register_set_up(void)
{
	make_ring(REGISTERED, 0);
}

static void register_slice(void)
{
	bench_start();
	for (int i = 0; i < count; i++) {
		event_del(&events[i]);
		event_add(&events[i], NULL);
	}
	pass();
	bench_end("watched anew, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++) {
		event_del(&events[i]);
		watch_pipe(i, EV_READ | EV_PERSIST, on_ring);
		event_add(&events[i], NULL);
	}
	pass();
	bench_end("set and watched anew, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++)
		event_del(&events[i]);
	pass();
	bench_end("watched no more, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++)
		event_add(&events[i], NULL);
	pass();
	bench_end("watched again, of 9,000", (uint64_t)count);
}

const struct slices_case pipe_cases[] = {
	{"ring-100", ring_few_set_up, ring_few_slice},
	{"ring-1000", ring_many_set_up, ring_many_slice},
	{"ring-9900", ring_most_set_up, ring_most_slice},
	{"ring-timeouts", ring_timeouts_set_up, ring_timeouts_slice},
	{"cascade-100", cascade_few_set_up, cascade_few_slice},
	{"cascade-1000", cascade_many_set_up, cascade_many_slice},
	{"cascade-9900", cascade_most_set_up, cascade_most_slice},
	{"register", register_set_up, register_slice},
	{NULL, NULL, NULL},
};
