/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases: changes of interest, what a pass costs, signals, whole bases. */
#include "libevent.h"

#include <signal.h>

enum { TOGGLES = 1000, TOGGLE_PASSES = 12, PASSES = 20000, READY = 100, SIGNALS = 5000, BASES = 200 };

static struct event_base *base;
static struct event *events;

static void new_base(void)
{
	base = event_base_new();
	if (!base)
		bench_die("event_base_new");
}

static void pass(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* ---- changes of interest ---- */

static void on_event(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	bench_called++;
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
	bench_expect_calls(0);
}

/* What buffers do: another event of the descriptor comes and goes while the first stays. */
static void second_set_up(void)
{
	int (*pipes)[2] = bench_make_pipes(TOGGLES);
	new_base();
	events = bench_alloc(TOGGLES, sizeof *events);
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
	bench_expect_calls(TOGGLES);
}

/* ---- a pass ---- */

static void measure_passes(const char *measure, int passes, uint64_t ready)
{
	pass();
	bench_called = 0;
	bench_start();
	for (int i = 0; i < passes; i++)
		pass();
	bench_end(measure, (uint64_t)passes);
	bench_expect_calls(ready * (uint64_t)passes);
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
	bench_expect_calls(SIGNALS);
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
	bench_expect_calls((uint64_t)TOGGLE_PASSES * TOGGLES);
	bench_start();
	for (int i = 0; i < PASSES; i++)
		event_base_once(base, -1, EV_TIMEOUT, on_event, NULL, NULL);
	pass();
	bench_end("event_base_once, at once", PASSES);
	bench_expect_calls(PASSES);
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
	bench_expect_calls(BASES);
}

static const struct slices_case loop_cases[] = {
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

const struct slices_case *const bench_cases[] = {loop_cases, pipe_cases, timer_cases, NULL};
const char bench_function[] = "event_base_loop";
