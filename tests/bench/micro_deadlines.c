/* SPDX-License-Identifier: BSD-3-Clause */
/* libtorque's deadlines by themselves, with timers and calls as a loop around them would have them. */

#include <libtorque/deadlines.h>

/* As large as an ev_timer. */
struct timer {
	uint32_t id;
	void (*fn)(struct timer *);
	void *data;
	uint64_t when, period;
	void *unused;
};

typedef struct timer *timer_name;
#include "micro.h"

static struct torque_deadlines *deadlines;
static struct timer *timers;
static uint64_t now_ns;

static void on_timer(struct timer *timer)
{
	(void)timer;
	micro_fired();
}

static void timers_init(uint32_t n)
{
	if (torque_deadlines_new(NULL, NULL, NULL, &deadlines))
		exit(1);
	timers = calloc(n, sizeof *timers);
	for (uint32_t i = 0; i < n; i++)
		timers[i].fn = on_timer;
}

static inline timer_name timer_named(uint32_t i)
{
	return &timers[i];
}

static inline void timer_insert(timer_name timer, uint64_t ns)
{
	timer->when = now_ns + ns;
	if (torque_deadlines_add(deadlines, timer->when, timer, &timer->id))
		exit(1);
}

static inline void timer_reset(timer_name timer, uint64_t ns)
{
	timer->when = now_ns + ns;
	torque_deadlines_set(deadlines, timer->id, timer->when);
}

static inline void timer_cancel(timer_name timer)
{
	torque_deadlines_remove(deadlines, timer->id);
	timer->id = 0;
}

static void loop_in_callback(void (*phase)(void))
{
	now_ns = micro_clock(CLOCK_MONOTONIC);
	phase();
}

static void loop_run_ready(void)
{
	void *due;
	now_ns = micro_clock(CLOCK_MONOTONIC);
	while (torque_deadlines_pop(deadlines, now_ns, NULL, &due, NULL)) {
		struct timer *timer = due;
		timer_cancel(timer);
		timer->fn(timer);
	}
}

/* There is no loop to start or to hand a call to. */
static void first_event(int fd)
{
	(void)fd;
	exit(2);
}

static void post_start(void)
{
	exit(2);
}

static inline void post_one(void)
{
}

static void post_stop(void)
{
}

int main(int argc, char **argv)
{
	return micro_main(argc, argv);
}
