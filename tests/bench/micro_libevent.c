/* SPDX-License-Identifier: BSD-3-Clause */
/* libevent: timers in its binary heap, start-up, event_active from another thread. */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <pthread.h>

typedef struct event *timer_name;
#include "micro.h"

static struct event_base *base;
static struct event *timers, async, first;
static pthread_t thread;
static volatile int stop;

static struct timeval interval(uint64_t ns)
{
	struct timeval tv = {.tv_sec = (time_t)(ns / 1000000000u), .tv_usec = (suseconds_t)(ns % 1000000000u / 1000)};
	return tv;
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	micro_fired();
}

static void timers_init(uint32_t n)
{
	base = event_base_new();
	timers = calloc(n, sizeof *timers);
	for (uint32_t i = 0; i < n; i++)
		evtimer_assign(&timers[i], base, on_timer, NULL);
}

static inline timer_name timer_named(uint32_t i)
{
	return &timers[i];
}

static inline void timer_insert(timer_name timer, uint64_t ns)
{
	struct timeval tv = interval(ns);
	event_add(timer, &tv);
}

static inline void timer_reset(timer_name timer, uint64_t ns)
{
	timer_insert(timer, ns);
}

static inline void timer_cancel(timer_name timer)
{
	event_del(timer);
}

static void on_phase(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	(*(void (**)(void))argument)();
}

static void loop_in_callback(void (*phase)(void))
{
	struct timeval now = {0};
	event_base_once(base, -1, EV_TIMEOUT, on_phase, &phase, &now);
	event_base_loop(base, EVLOOP_ONCE);
}

static void loop_run_ready(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void on_first(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	micro_first();
}

static void first_event(int fd)
{
	base = event_base_new();
	event_assign(&first, base, fd, EV_READ, on_first, NULL);
	event_add(&first, NULL);
	event_base_loop(base, EVLOOP_ONCE);
}

static void *run(void *argument)
{
	while (!stop)
		event_base_loop(argument, EVLOOP_NONBLOCK);
	return NULL;
}

static void post_start(void)
{
	evthread_use_pthreads();
	base = event_base_new();
	event_assign(&async, base, -1, EV_PERSIST, on_timer, NULL);
	event_add(&async, NULL);
	pthread_create(&thread, NULL, run, base);
}

static inline void post_one(void)
{
	event_active(&async, EV_READ, 1);
}

static void post_stop(void)
{
	stop = 1;
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	return micro_main(argc, argv);
}
