/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases: what libevent_pipes.c measures, under the same names. */
#include "libev.h"

enum { ACTIVE = 100, WRITES = 1000, FEW = 100, MANY = 1000, MOST = 9900, REGISTERED = 9000 };

static struct ev_loop *loop;
static struct watched {
	ev_io io; /* first */
	ev_timer limit;
} *watched;
static int (*pipes)[2], count, writes_left;

static void pass(void)
{
	ev_run(loop, EVRUN_NOWAIT);
}

static void take_byte(int fd)
{
	bench_read_byte(fd);
	bench_called++;
}

static int number_of(const ev_io *w)
{
	return (int)((const struct watched *)w - watched);
}

static void on_limit(struct ev_loop *l, ev_timer *w, int what)
{
	(void)l, (void)w, (void)what;
}

/* Each byte that is read sends another one to the next pipe, until enough were sent. */
static void on_ring(struct ev_loop *l, ev_io *w, int what)
{
	int number = number_of(w);
	(void)what;
	if (watched[number].limit.repeat > 0.)
		ev_timer_again(l, &watched[number].limit);
	take_byte(w->fd);
	if (writes_left) {
		writes_left--;
		bench_write_byte(pipes[(number + 1) % count]);
	}
}

static void on_cascade(struct ev_loop *l, ev_io *w, int what)
{
	int number = number_of(w);
	(void)what;
	ev_io_stop(l, w);
	ev_timer_stop(l, &watched[number].limit);
	take_byte(w->fd);
	if (number + 1 < count)
		bench_write_byte(pipes[number + 1]);
}

static void make_pipes(int how_many)
{
	loop = ev_default_loop(EVBACKEND_EPOLL);
	if (!loop)
		bench_die("ev_default_loop");
	count = how_many;
	watched = bench_alloc((size_t)count, sizeof *watched);
	pipes = bench_make_pipes(count);
}

/* Each watcher gets a timeout of its own, which every byte puts off; span 0: none. */
static void make_ring(int how_many, double span)
{
	make_pipes(how_many);
	for (int i = 0; i < count; i++) {
		ev_io_init(&watched[i].io, on_ring, pipes[i][0], EV_READ);
		ev_io_start(loop, &watched[i].io);
		ev_timer_init(&watched[i].limit, on_limit, 0., span > 0. ? 10. + span * (double)(bench_random() % 1000000) : 0.);
		if (span > 0.)
			ev_timer_again(loop, &watched[i].limit);
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
	make_ring(FEW, 0.);
}

static void ring_few_slice(void)
{
	measure_ring("1,000 bytes, 100 at once, 100 pipes");
}

static void ring_many_set_up(void)
{
	make_ring(MANY, 0.);
}

static void ring_many_slice(void)
{
	measure_ring("1,000 bytes, 100 at once, 1,000 pipes");
}

static void ring_most_set_up(void)
{
	make_ring(MOST, 0.);
}

static void ring_most_slice(void)
{
	measure_ring("1,000 bytes, 100 at once, 9,900 pipes");
}

static void ring_timeouts_set_up(void)
{
	make_ring(MOST, 1e-6);
}

static void ring_timeouts_slice(void)
{
	measure_ring("the same, each pipe with a timeout");
}

/* One byte goes through all; each pipe is watched until its byte or a timeout comes. */
static void cascade(void)
{
	for (int i = 0; i < count; i++) {
		ev_io_init(&watched[i].io, on_cascade, pipes[i][0], EV_READ);
		ev_io_start(loop, &watched[i].io);
		ev_timer_init(&watched[i].limit, on_limit, 10., 0.);
		ev_timer_start(loop, &watched[i].limit);
	}
	bench_write_byte(pipes[0]);
	ev_run(loop, 0);
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
	make_ring(REGISTERED, 0.);
}

static void register_slice(void)
{
	bench_start();
	for (int i = 0; i < count; i++) {
		ev_io_stop(loop, &watched[i].io);
		ev_io_start(loop, &watched[i].io);
	}
	pass();
	bench_end("watched anew, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++) {
		ev_io_stop(loop, &watched[i].io);
		ev_io_set(&watched[i].io, pipes[i][0], EV_READ);
		ev_io_start(loop, &watched[i].io);
	}
	pass();
	bench_end("set and watched anew, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++)
		ev_io_stop(loop, &watched[i].io);
	pass();
	bench_end("watched no more, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++)
		ev_io_start(loop, &watched[i].io);
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
