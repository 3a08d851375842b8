/* SPDX-License-Identifier: BSD-3-Clause */
/* libtorque: timers in its wheel, start-up, posted functions. */

#include <libtorque/torque.h>
#include <semaphore.h>

typedef torque_source timer_name;
#include "micro.h"

static struct torque_ctx *context;
static torque_source *timers;
static volatile int stop;
static sem_t first_done;

static void check(torque_err err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, torque_errstr(err));
	exit(1);
}

static void make_context(int32_t driven, uint32_t workers)
{
	struct torque_config *config;
	check(torque_config_new(&config), "torque_config_new");
	check(torque_config_set_driven(config, driven), "driven");
	if (!driven)
		check(torque_config_set_workers(config, workers), "workers");
	check(torque_ctx_new(config, &context), "torque_ctx_new");
	torque_config_free(config);
}

static void on_timer(torque_source source, uint64_t expirations, void *argument)
{
	(void)source, (void)expirations, (void)argument;
	micro_fired();
}

static void timers_init(uint32_t n)
{
	make_context(1, 1);
	timers = calloc(n, sizeof *timers);
	for (uint32_t i = 0; i < n; i++)
		check(torque_timer_new(context, TORQUE_CLOCK_MONOTONIC, on_timer, NULL, &timers[i]), "torque_timer_new");
}

static inline timer_name timer_named(uint32_t i)
{
	return timers[i];
}

static inline void timer_insert(timer_name timer, uint64_t ns)
{
	torque_timer_set(timer, torque_now(context) + ns, 0, TORQUE_TIMER_ABSOLUTE);
}

static inline void timer_reset(timer_name timer, uint64_t ns)
{
	timer_insert(timer, ns);
}

static inline void timer_cancel(timer_name timer)
{
	torque_timer_cancel(timer);
}

static void on_phase(void *argument)
{
	(*(void (**)(void))argument)();
}

static void loop_in_callback(void (*phase)(void))
{
	check(torque_post(context, on_phase, &phase), "torque_post");
	check(torque_run_ready(context, NULL), "torque_run_ready");
}

static void loop_run_ready(void)
{
	torque_run_ready(context, NULL);
}

static int32_t on_first(torque_source source, int32_t fd, uint32_t events, void *argument)
{
	(void)source, (void)fd, (void)events, (void)argument;
	micro_first();
	sem_post(&first_done);
	return TORQUE_DONE;
}

static void first_event(int fd)
{
	torque_source source;
	torque_err err;
	sem_init(&first_done, 0, 0);
	context = torque_init(&err);
	if (!context)
		check(err, "torque_init");
	check(torque_fd_add(context, fd, TORQUE_READ, 0, on_first, NULL, &source), "torque_fd_add");
	sem_wait(&first_done);
	check(torque_stop(context), "torque_stop");
}

static int32_t on_awake(torque_source source, int32_t fd, uint32_t events, void *argument)
{
	(void)source, (void)fd, (void)events, (void)argument;
	return stop ? TORQUE_DONE : TORQUE_AGAIN;
}

static void on_post(void *argument)
{
	(void)argument;
	micro_fired();
}

static void post_start(void)
{
	torque_source awake;
	make_context(0, 1);
	check(torque_event_add(context, 0, on_awake, NULL, &awake), "torque_event_add");
	check(torque_trigger(awake, 0), "torque_trigger");
}

static inline void post_one(void)
{
	torque_post(context, on_post, NULL);
}

static void post_stop(void)
{
	stop = 1;
	check(torque_stop(context), "torque_stop");
}

int main(int argc, char **argv)
{
	return micro_main(argc, argv);
}
