/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases: pipes that pass bytes on, changes of interest, what a pass costs, signals, whole bases. */
#include "libevent.h"

#include <fcntl.h>
#include <signal.h>

enum { ACTIVE = 100, WRITES = 1000, FEW = 100, MANY = 1000, MOST = 9900, REGISTERED = 9000 };
enum { TOGGLES = 1000, TOGGLE_PASSES = 12, PASSES = 20000, READY = 100, SIGNALS = 5000, BASES = 200 };

static struct event_base *base;
static struct event *events;
static int (*pipes)[2], count, writes_left;
static uint64_t called;

static void new_base(void)
{
	base = event_base_new();
	if (!base)
		bench_die("event_base_new");
}

static void expect_calls(uint64_t wanted)
{
	if (called != wanted) {
		fprintf(stderr, "%lu callbacks, not %lu\n", called, wanted);
		exit(1);
	}
	called = 0;
}

static void pass(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* ---- pipes that pass bytes on ---- */

static void write_byte(int number)
{
	if (write(pipes[number][1], "x", 1) != 1)
		bench_die("write");
}

static void read_byte(int fd)
{
	char byte;
	if (read(fd, &byte, 1) != 1)
		bench_die("read");
	called++;
}

/* Each byte that is read sends another one to the next pipe, until enough were sent. */
static void on_ring(evutil_socket_t fd, short what, void *argument)
{
	int number = (int)(intptr_t)argument;
	(void)what;
	read_byte(fd);
	if (writes_left) {
		writes_left--;
		write_byte((number + 1) % count);
	}
}

static void on_cascade(evutil_socket_t fd, short what, void *argument)
{
	int number = (int)(intptr_t)argument;
	(void)what;
	read_byte(fd);
	if (number + 1 < count)
		write_byte(number + 1);
}

static void make_pipes(int how_many)
{
	new_base();
	count = how_many;
	events = bench_alloc((size_t)count, sizeof *events);
	pipes = bench_alloc((size_t)count, sizeof *pipes);
	for (int i = 0; i < count; i++)
		if (pipe2(pipes[i], O_NONBLOCK | O_CLOEXEC) < 0)
			bench_die("pipe2");
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
		write_byte(i * (count / ACTIVE));
	while (called < WRITES)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	expect_calls(WRITES);
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
	write_byte(0);
	event_base_dispatch(base);
	expect_calls((uint64_t)count);
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
	bench_end("del and add, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++) {
		event_del(&events[i]);
		watch_pipe(i, EV_READ | EV_PERSIST, on_ring);
		event_add(&events[i], NULL);
	}
	pass();
	bench_end("del, assign and add, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++)
		event_del(&events[i]);
	pass();
	bench_end("del, of 9,000", (uint64_t)count);
	bench_start();
	for (int i = 0; i < count; i++)
		event_add(&events[i], NULL);
	pass();
	bench_end("add, of 9,000", (uint64_t)count);
}

/* ---- changes of interest ---- */

static void on_event(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	called++;
}

static void make_events(int how_many, int (*make_fd)(void))
{
	new_base();
	events = bench_alloc((size_t)how_many, sizeof *events);
	for (int i = 0; i < how_many; i++) {
		event_assign(&events[i], base, make_fd(), EV_READ | EV_PERSIST, on_event, NULL);
		event_add(&events[i], NULL);
	}
	pass();
}

static void toggle_set_up(void)
{
	make_events(TOGGLES, bench_quiet_fd);
}

static inline void toggle(struct event *event)
{
	short other = (short)(event_get_events(event) ^ (EV_READ | EV_WRITE));
	event_del(event);
	event_assign(event, base, event_get_fd(event), other, on_event, NULL);
	event_add(event, NULL);
}

static inline void del_add(struct event *event)
{
	event_del(event);
	event_add(event, NULL);
}

/* All events are changed, times times each, and one pass makes it known. */
static void measure_toggles(const char *measure, void (*change)(struct event *), int times)
{
	bench_start();
	for (int p = 0; p < TOGGLE_PASSES; p++) {
		for (int i = 0; i < TOGGLES; i++)
			for (int t = 0; t < times; t++)
				change(&events[i]);
		pass();
	}
	bench_end(measure, (uint64_t)TOGGLE_PASSES * TOGGLES * (uint64_t)times);
}

static void toggle_slice(void)
{
	measure_toggles("read to write", toggle, 1);
	measure_toggles("there and back", toggle, 2);
	measure_toggles("del and add", del_add, 1);
	bench_start();
	for (int i = 0; i < PASSES; i++) {
		toggle(&events[0]);
		pass();
	}
	bench_end("read to write and a pass", PASSES);
	expect_calls(0);
}

/* What buffers do: another event of the descriptor comes and goes while the first stays. */
static void second_set_up(void)
{
	make_pipes(TOGGLES);
	for (int i = 0; i < TOGGLES; i++) {
		struct event *first = event_new(base, pipes[i][1], EV_READ | EV_PERSIST, on_event, NULL);
		if (!first || event_add(first, NULL) < 0)
			bench_die("event_add");
		event_assign(&events[i], base, pipes[i][1], EV_WRITE | EV_PERSIST, on_event, NULL);
	}
	pass();
}

static void second_slice(void)
{
	bench_start();
	for (int i = 0; i < TOGGLES; i++) {
		event_add(&events[i], NULL);
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		event_del(&events[i]);
	}
	bench_end("a write event comes, is called, goes", TOGGLES);
	pass();
	expect_calls(TOGGLES);
}

/* ---- a pass ---- */

static void measure_passes(const char *measure, int passes, uint64_t ready)
{
	pass();
	called = 0;
	bench_start();
	for (int i = 0; i < passes; i++)
		pass();
	bench_end(measure, (uint64_t)passes);
	expect_calls(ready * (uint64_t)passes);
}

static void nothing_set_up(void)
{
	make_events(1, bench_quiet_fd);
}

static void nothing_slice(void)
{
	measure_passes("a pass, nothing ready", PASSES, 0);
}

static void one_set_up(void)
{
	make_events(1, bench_ready_fd);
}

static void one_slice(void)
{
	measure_passes("a pass, one ready", PASSES, 1);
}

static void ready_set_up(void)
{
	make_events(READY, bench_ready_fd);
}

static void ready_slice(void)
{
	measure_passes("a pass, 100 ready", PASSES / READY, READY);
}

/* ---- signals, activations, bases ---- */

static void signal_set_up(void)
{
	new_base();
	event_add(evsignal_new(base, SIGUSR1, on_event, NULL), NULL);
	pass();
}

static void signal_slice(void)
{
	bench_start();
	for (int i = 0; i < SIGNALS; i++) {
		raise(SIGUSR1);
		event_base_loop(base, EVLOOP_ONCE);
	}
	bench_end("raise a signal and have its callback run", SIGNALS);
	expect_calls(SIGNALS);
}

static void active_set_up(void)
{
	make_events(TOGGLES, bench_quiet_fd);
}

static void active_slice(void)
{
	bench_start();
	for (int p = 0; p < TOGGLE_PASSES; p++) {
		for (int i = 0; i < TOGGLES; i++)
			event_active(&events[i], EV_READ, 1);
		pass();
	}
	bench_end("event_active, 1,000 a pass", TOGGLE_PASSES * TOGGLES);
	expect_calls((uint64_t)TOGGLE_PASSES * TOGGLES);
	bench_start();
	for (int i = 0; i < PASSES; i++)
		event_base_once(base, -1, EV_TIMEOUT, on_event, NULL, NULL);
	pass();
	bench_end("event_base_once, at once", PASSES);
	expect_calls(PASSES);
}

static void nothing_to_set_up(void)
{
}

static void bases_slice(void)
{
	bench_start();
	for (int i = 0; i < BASES; i++)
		event_base_free(event_base_new());
	bench_end("make and free a base", BASES);
	int fd = bench_ready_fd();
	bench_start();
	for (int i = 0; i < BASES; i++) {
		base = event_base_new();
		event_base_once(base, fd, EV_READ, on_event, NULL, NULL);
		event_base_dispatch(base);
		event_base_free(base);
	}
	bench_end("make a base, one event, free", BASES);
	close(fd);
	expect_calls(BASES);
}

static const struct slices_case loop_cases[] = {
	{"ring-100", ring_few_set_up, ring_few_slice},
	{"ring-1000", ring_many_set_up, ring_many_slice},
	{"ring-9900", ring_most_set_up, ring_most_slice},
	{"ring-timeouts", ring_timeouts_set_up, ring_timeouts_slice},
	{"cascade-100", cascade_few_set_up, cascade_few_slice},
	{"cascade-1000", cascade_many_set_up, cascade_many_slice},
	{"cascade-9900", cascade_most_set_up, cascade_most_slice},
	{"register", register_set_up, register_slice},
	{"toggle", toggle_set_up, toggle_slice},
	{"second", second_set_up, second_slice},
	{"nothing", nothing_set_up, nothing_slice},
	{"one", one_set_up, one_slice},
	{"ready", ready_set_up, ready_slice},
	{"signal", signal_set_up, signal_slice},
	{"active", active_set_up, active_slice},
	{"bases", nothing_to_set_up, bases_slice},
	{NULL, NULL, NULL},
};

const struct slices_case *const bench_cases[] = {loop_cases, timer_cases, NULL};
const char bench_function[] = "event_base_loop";
