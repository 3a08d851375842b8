/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases: timers among a million that stay. */
#include "libev.h"

#include <time.h>

enum { RESIDENT = 1000000, BATCH = 20000 };

static struct ev_loop *loop;
static ev_timer *timers, **batch;
static double *delay;
static uint64_t fired;
static double timer_bytes;

static void on_timer(struct ev_loop *l, ev_timer *w, int what)
{
	(void)l, (void)w, (void)what;
	fired++;
}

static double draw(double low, double span)
{
	return low + span * (double)(bench_random() % 1000000007) / 1000000007.;
}

static void draw_delays(double low, double span)
{
	for (int i = 0; i < BATCH; i++)
		delay[i] = draw(low, span);
}

/* Other timers for each slice, all different: the order is a partial shuffle. */
static void draw_batch(void)
{
	static ev_timer **order;
	if (!order) {
		order = bench_alloc(RESIDENT, sizeof(ev_timer *));
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

/* Deadlines from low to low + span seconds from now. */
static void make_timers(double low, double span)
{
	loop = ev_default_loop(EVBACKEND_EPOLL);
	if (!loop)
		bench_die("ev_default_loop");
	timers = bench_alloc(RESIDENT, sizeof *timers);
	batch = bench_alloc(BATCH, sizeof(ev_timer *));
	delay = bench_alloc(BATCH, sizeof *delay);
	for (int i = 0; i < RESIDENT; i++)
		ev_timer_init(&timers[i], on_timer, draw(low, span), low);
	uint64_t before = bench_memory();
	for (int i = 0; i < RESIDENT; i++)
		ev_timer_start(loop, &timers[i]);
	timer_bytes = (double)(bench_memory() - before) / RESIDENT;
}

static void random_set_up(void)
{
	make_timers(600., 3000.);
	for (int i = 0; i < RESIDENT; i++)
		timers[i].repeat = 0.;
}

static void timeouts_set_up(void)
{
	make_timers(60., 0.);
}

static void start_batch(void)
{
	for (int i = 0; i < BATCH; i++) {
		ev_timer_set(batch[i], delay[i], 0.);
		ev_timer_start(loop, batch[i]);
	}
}

static void stop_batch(void)
{
	for (int i = 0; i < BATCH; i++)
		ev_timer_stop(loop, batch[i]);
}

static void random_slice(void)
{
	draw_batch();
	ev_run(loop, EVRUN_NOWAIT);
	draw_delays(600., 3000.);
	bench_start();
	for (int i = 0; i < BATCH; i++) {
		batch[i]->repeat = delay[i];
		ev_timer_again(loop, batch[i]);
	}
	bench_end("again", BATCH);
	bench_start();
	stop_batch();
	bench_end("stop", BATCH);
	draw_delays(600., 3000.);
	bench_start();
	start_batch();
	bench_end("start", BATCH);
}

/* Deadlines within two milliseconds; the passes after that find all of them due. */
static void expire_slice(void)
{
	struct timespec until = {.tv_nsec = 5000000};
	draw_batch();
	stop_batch();
	ev_run(loop, EVRUN_NOWAIT);
	draw_delays(1e-6, 2e-3);
	start_batch();
	nanosleep(&until, NULL);
	fired = 0;
	bench_start();
	while (fired < BATCH)
		ev_run(loop, EVRUN_NOWAIT);
	bench_end("expire", BATCH);
	draw_delays(600., 3000.);
	start_batch();
}

static void timers_slice(void)
{
	random_slice();
	expire_slice();
	bench_value("memory of a timer", timer_bytes);
}

/* Timeouts of connections: each request puts its own off by the same time, and none is reached. */
static void timeouts_slice(void)
{
	draw_batch();
	ev_run(loop, EVRUN_NOWAIT);
	bench_start();
	for (int i = 0; i < BATCH; i++)
		ev_timer_again(loop, batch[i]);
	bench_end("again, 60 s for all", BATCH);
}

const struct slices_case timer_cases[] = {
	{"timers", random_set_up, timers_slice},
	{"timeouts", timeouts_set_up, timeouts_slice},
	{NULL, NULL, NULL},
};
