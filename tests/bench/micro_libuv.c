/* SPDX-License-Identifier: BSD-3-Clause */
/* libuv: timers in its binary heap (milliseconds), start-up, uv_async. */

#include <pthread.h>
#include <uv.h>

typedef uv_timer_t *timer_name;
#include "micro.h"

static uv_loop_t loop;
static uv_timer_t *timers;
static uv_async_t async;
static uv_idle_t busy;
static uv_poll_t first;
static pthread_t thread;
static volatile int stop;

static void on_timer(uv_timer_t *timer)
{
	(void)timer;
	micro_fired();
}

static void timers_init(uint32_t n)
{
	uv_loop_init(&loop);
	timers = calloc(n, sizeof *timers);
	for (uint32_t i = 0; i < n; i++)
		uv_timer_init(&loop, &timers[i]);
}

static inline timer_name timer_named(uint32_t i)
{
	return &timers[i];
}

static inline void timer_insert(timer_name timer, uint64_t ns)
{
	uv_timer_start(timer, on_timer, (ns + 999999) / 1000000, 0);
}

static inline void timer_reset(timer_name timer, uint64_t ns)
{
	timer_insert(timer, ns);
}

static inline void timer_cancel(timer_name timer)
{
	uv_timer_stop(timer);
}

static void loop_in_callback(void (*phase)(void))
{
	uv_update_time(&loop);
	phase();
}

static void loop_run_ready(void)
{
	uv_run(&loop, UV_RUN_NOWAIT);
}

static void on_first(uv_poll_t *poll, int status, int what)
{
	(void)status, (void)what;
	micro_first();
	uv_poll_stop(poll);
}

static void first_event(int fd)
{
	uv_loop_init(&loop);
	uv_poll_init(&loop, &first, fd);
	uv_poll_start(&first, UV_READABLE, on_first);
	uv_run(&loop, UV_RUN_ONCE);
}

static void on_async(uv_async_t *handle)
{
	(void)handle;
	micro_fired();
	if (stop)
		uv_stop(&loop);
}

static void on_idle(uv_idle_t *idle)
{
	(void)idle;
}

static void *run(void *argument)
{
	uv_run(argument, UV_RUN_DEFAULT);
	return NULL;
}

static void post_start(void)
{
	uv_loop_init(&loop);
	uv_async_init(&loop, &async, on_async);
	uv_idle_init(&loop, &busy);
	uv_idle_start(&busy, on_idle);
	pthread_create(&thread, NULL, run, &loop);
}

static inline void post_one(void)
{
	uv_async_send(&async);
}

static void post_stop(void)
{
	stop = 1;
	uv_async_send(&async);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	return micro_main(argc, argv);
}
