/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases: timers among a million that stay. */
#include "libevent.h"

#include <time.h>

enum { RESIDENT = 1000000, BATCH = 20000, FEW = 400 };

static struct event_base *base;
static struct event *timers, **batch;
static struct timeval *delay;
static const struct timeval *shared;
static uint64_t fired;
static double timer_bytes;

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	fired++;
}

/* From low to low + span microseconds. */
static struct timeval draw(uint64_t low, uint64_t span)
{
	uint64_t us = low + bench_random() % span;
	return (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
}

static void draw_delays(uint64_t low, uint64_t span)
{
	for (int i = 0; i < BATCH; i++)
		delay[i] = draw(low, span);
}

/* Other timers for each slice, all different: the order is a partial shuffle. */
static void draw_batch(void)
{
	static struct event **order;
	if (!order) {
		order = bench_alloc(RESIDENT, sizeof *order);
		for (int i = 0; i < RESIDENT; i++)
			order[i] = &timers[i];
	}
	for (int i = 0; i < BATCH; i++) {
		uint64_t j = (uint64_t)i + bench_random() % (uint64_t)(RESIDENT - i);
		batch[i] = order[j];
		order[j] = order[i];
		order[i] = batch[i];
	}
}

static void new_timers(void)
{
	base = event_base_new();
	if (!base)
		bench_die("event_base_new");
	timers = bench_alloc(RESIDENT, sizeof *timers);
	batch = bench_alloc(BATCH, sizeof *batch);
	delay = bench_alloc(BATCH, sizeof *delay);
	for (int i = 0; i < RESIDENT; i++)
		evtimer_assign(&timers[i], base, on_timer, NULL);
}

static void pass(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void random_set_up(void)
{
	new_timers();
	uint64_t before = bench_memory();
	for (int i = 0; i < RESIDENT; i++) {
		struct timeval far = draw(600000000, 3000000000u);
		evtimer_add(&timers[i], &far);
	}
	timer_bytes = (double)(bench_memory() - before) / RESIDENT;
}

static void add_batch(void)
{
	for (int i = 0; i < BATCH; i++)
		evtimer_add(batch[i], &delay[i]);
}

static void del_batch(void)
{
	for (int i = 0; i < BATCH; i++)
		evtimer_del(batch[i]);
}

static void random_slice(void)
{
	draw_batch();
	pass();
	draw_delays(600000000, 3000000000u);
	bench_start();
	add_batch();
	bench_end("add once more", BATCH);
	bench_start();
	del_batch();
	bench_end("del", BATCH);
	draw_delays(600000000, 3000000000u);
	bench_start();
	add_batch();
	bench_end("add", BATCH);
}

/* Deadlines within two milliseconds; the passes after that find all of them due. */
static void expire_slice(void)
{
	struct timespec until = {.tv_nsec = 5000000};
	draw_batch();
	del_batch();
	pass();
	draw_delays(1, 2000);
	add_batch();
	nanosleep(&until, NULL);
	fired = 0;
	bench_start();
	while (fired < BATCH)
		pass();
	bench_end("expire", BATCH);
	draw_delays(600000000, 3000000000u);
	add_batch();
}

static void timers_slice(void)
{
	random_slice();
	expire_slice();
	bench_value("memory of a timer", timer_bytes);
}

/* Timeouts of connections: each request puts its own off by the same time, and none is reached. */
static void timeouts_set_up(void)
{
	static const struct timeval minute = {60, 0};
	new_timers();
	shared = &minute;
	for (int i = 0; i < RESIDENT; i++)
		evtimer_add(&timers[i], shared);
}

static void common_set_up(void)
{
	static const struct timeval minute = {60, 0};
	new_timers();
	shared = event_base_init_common_timeout(base, &minute);
	for (int i = 0; i < RESIDENT; i++)
		evtimer_add(&timers[i], shared);
}

static void put_off(const char *measure)
{
	draw_batch();
	pass();
	bench_start();
	for (int i = 0; i < BATCH; i++)
		evtimer_add(batch[i], shared);
	bench_end(measure, BATCH);
}

static void timeouts_slice(void)
{
	put_off("put off, 60 s for all");
}

static void common_slice(void)
{
	put_off("put off, a common timeout");
}

/* As many as a server has connections. In a callback, where the time is at hand. */
static void few_set_up(void)
{
	new_timers();
	draw_delays(60000000, 1000000);
	for (int i = 0; i < FEW; i++)
		evtimer_add(&timers[i], &delay[i]);
}

static void put_off_few(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	bench_start();
	for (int i = 0; i < BATCH; i++)
		evtimer_add(&timers[i % FEW], &delay[i]);
	bench_end("put off, one of 400", BATCH);
}

static void few_slice(void)
{
	draw_delays(60000000, 1000000);
	event_base_once(base, -1, EV_TIMEOUT, put_off_few, NULL, NULL);
	pass();
}

const struct slices_case timer_cases[] = {
	{"few-timeouts", few_set_up, few_slice},
	{"timers", random_set_up, timers_slice},
	{"timeouts", timeouts_set_up, timeouts_slice},
	{"common", common_set_up, common_slice},
	{NULL, NULL, NULL},
};
