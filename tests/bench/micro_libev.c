/* SPDX-License-Identifier: BSD-3-Clause */
/* libev: timers in its 4-heap, start-up, ev_async. */

#include <pthread.h>
#pragma GCC diagnostic ignored "-Wstrict-aliasing"
#include <ev.h>

typedef ev_timer *timer_name;
#include "micro.h"

static struct ev_loop *loop;
static ev_timer *timers;
static ev_async async;
static ev_idle busy;
static pthread_t thread;
static volatile int stop;

static double seconds(uint64_t ns)
{
	return (double)ns * 1e-9;
}

static void on_timer(struct ev_loop *l, ev_timer *w, int what)
{
	(void)l, (void)w, (void)what;
	micro_fired();
}

static void timers_init(uint32_t n)
{
	loop = ev_default_loop(EVBACKEND_EPOLL);
	timers = calloc(n, sizeof *timers);
	for (uint32_t i = 0; i < n; i++)
		ev_init(&timers[i], on_timer);
}

static inline timer_name timer_named(uint32_t i)
{
	return &timers[i];
}

static inline void timer_insert(timer_name timer, uint64_t ns)
{
	ev_timer_set(timer, seconds(ns), 0.);
	ev_timer_start(loop, timer);
}

/* The quickest way libev has: the heap is adjusted in place. */
static inline void timer_reset(timer_name timer, uint64_t ns)
{
	timer->repeat = seconds(ns);
	ev_timer_again(loop, timer);
}

static inline void timer_cancel(timer_name timer)
{
	ev_timer_stop(loop, timer);
}

static void loop_in_callback(void (*phase)(void))
{
	ev_now_update(loop);
	phase();
}

static void loop_run_ready(void)
{
	ev_run(loop, EVRUN_NOWAIT);
}

static void on_first(struct ev_loop *l, ev_io *w, int what)
{
	(void)what;
	micro_first();
	ev_io_stop(l, w);
}

static void first_event(int fd)
{
	static ev_io io;
	loop = ev_default_loop(EVBACKEND_EPOLL);
	ev_io_init(&io, on_first, fd, EV_READ);
	ev_io_start(loop, &io);
	ev_run(loop, EVRUN_ONCE);
}

static void on_async(struct ev_loop *l, ev_async *w, int what)
{
	(void)w, (void)what;
	micro_fired();
	if (stop)
		ev_break(l, EVBREAK_ALL);
}

static void on_idle(struct ev_loop *l, ev_idle *w, int what)
{
	(void)l, (void)w, (void)what;
}

static void *run(void *argument)
{
	ev_run(argument, 0);
	return NULL;
}

static void post_start(void)
{
	loop = ev_loop_new(EVBACKEND_EPOLL);
	ev_async_init(&async, on_async);
	ev_async_start(loop, &async);
	ev_idle_init(&busy, on_idle);
	ev_idle_start(loop, &busy);
	pthread_create(&thread, NULL, run, loop);
}

static inline void post_one(void)
{
	ev_async_send(loop, &async);
}

static void post_stop(void)
{
	stop = 1;
	ev_async_send(loop, &async);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	return micro_main(argc, argv);
}
