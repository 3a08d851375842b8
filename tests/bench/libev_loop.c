/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases: what a pass of the loop costs, changes of interest, many idle watchers, signals, threads, whole loops. */
#include "libev.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

enum { TOGGLES = 1000, TOGGLE_PASSES = 12, IDLE = 15000, PASSES = 20000, READY = 100 };

static struct ev_loop *loop;
static ev_io *watchers;

static void on_io(struct ev_loop *l, ev_io *w, int what)
{
	(void)l, (void)w, (void)what;
	bench_called++;
}

static void pass(void)
{
	ev_run(loop, EVRUN_NOWAIT);
}

static void make_watchers(int count, int (*make_fd)(void))
{
	watchers = bench_alloc((size_t)count, sizeof *watchers);
	for (int i = 0; i < count; i++)
		ev_io_init(&watchers[i], on_io, make_fd(), EV_READ);
}

static void start_all(int count)
{
	for (int i = 0; i < count; i++)
		ev_io_start(loop, &watchers[i]);
	pass();
}

static void new_loop(void)
{
	loop = ev_default_loop(EVBACKEND_EPOLL);
	if (!loop)
		bench_die("ev_default_loop");
}

/* ---- changes of interest ---- */

static void toggle_set_up(void)
{
	new_loop();
	make_watchers(TOGGLES, bench_quiet_fd);
	start_all(TOGGLES);
}

static inline void toggle_set(ev_io *w)
{
	int events = (w->events & (EV_READ | EV_WRITE)) ^ (EV_READ | EV_WRITE);
	ev_io_stop(loop, w);
	ev_io_set(w, w->fd, events);
	ev_io_start(loop, w);
}

static inline void toggle_modify(ev_io *w)
{
	int events = (w->events & (EV_READ | EV_WRITE)) ^ (EV_READ | EV_WRITE);
	ev_io_stop(loop, w);
	ev_io_modify(w, events);
	ev_io_start(loop, w);
}

static inline void stop_start(ev_io *w)
{
	ev_io_stop(loop, w);
	ev_io_start(loop, w);
}

/* All watchers are changed, times times each, and one pass makes it known. A macro: the changes are inlined. */
#define MEASURE_TOGGLES(measure, change, times)                                      \
	do {                                                                         \
		bench_start();                                                       \
		for (int p = 0; p < TOGGLE_PASSES; p++) {                            \
			for (int i = 0; i < TOGGLES; i++)                            \
				for (int t = 0; t < (times); t++)                    \
					change(&watchers[i]);                        \
			pass();                                                      \
		}                                                                    \
		bench_end(measure, (uint64_t)TOGGLE_PASSES * TOGGLES * (times));     \
	} while (0)

static void toggle_slice(void)
{
	MEASURE_TOGGLES("read to write, ev_io_set", toggle_set, 1);
	MEASURE_TOGGLES("read to write, ev_io_modify", toggle_modify, 1);
	MEASURE_TOGGLES("there and back, ev_io_set", toggle_set, 2);
	MEASURE_TOGGLES("there and back, ev_io_modify", toggle_modify, 2);
	MEASURE_TOGGLES("stop and start", stop_start, 1);
	bench_start();
	for (int i = 0; i < PASSES; i++) {
		toggle_modify(&watchers[0]);
		pass();
	}
	bench_end("read to write and a pass", PASSES);
	bench_expect_calls(0);
}

/* ---- a pass ---- */

static void nothing_set_up(void)
{
	new_loop();
	make_watchers(1, bench_quiet_fd);
	start_all(1);
}

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

static void nothing_slice(void)
{
	measure_passes("a pass, nothing ready", PASSES, 0);
}

static void one_set_up(void)
{
	new_loop();
	make_watchers(1, bench_ready_fd);
	start_all(1);
}

static void one_slice(void)
{
	measure_passes("a pass, one ready", PASSES, 1);
}

static void on_far_timer(struct ev_loop *l, ev_timer *w, int what)
{
	(void)l, (void)w, (void)what;
}

static void on_prepare(struct ev_loop *l, ev_prepare *w, int what)
{
	(void)l, (void)w, (void)what;
}

static void on_check(struct ev_loop *l, ev_check *w, int what)
{
	(void)l, (void)w, (void)what;
}

/* As bindings and embedders run it: something before and after each wait, and a timeout far away. */
static void hooked_set_up(void)
{
	static ev_timer far;
	static ev_prepare before;
	static ev_check after;
	one_set_up();
	ev_timer_init(&far, on_far_timer, 1e6, 0.);
	ev_timer_start(loop, &far);
	ev_prepare_init(&before, on_prepare);
	ev_prepare_start(loop, &before);
	ev_check_init(&after, on_check);
	ev_check_start(loop, &after);
}

static void hooked_slice(void)
{
	measure_passes("a pass, one ready, with prepare, check and a timer", PASSES, 1);
}

static void ready_set_up(void)
{
	new_loop();
	make_watchers(READY, bench_ready_fd);
	start_all(READY);
}

static void ready_slice(void)
{
	measure_passes("a pass, 100 ready", PASSES / READY, READY);
}

/* ---- many idle watchers ---- */

static int make_event(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		bench_die("eventfd");
	return fd;
}

static void idle_set_up(void)
{
	new_loop();
	watchers = bench_alloc(IDLE + 1, sizeof *watchers);
	ev_init(&watchers[0], on_io);
	pass();
}

/* New descriptors in each slice, as connections come and go; the first of them is ready. */
static void open_idle(void)
{
	for (int i = 0; i <= IDLE; i++)
		ev_io_init(&watchers[i], on_io, i ? make_event() : bench_ready_fd(), EV_READ);
}

static void start_idle(void)
{
	uint64_t before = bench_memory();
	bench_start();
	start_all(IDLE + 1);
	bench_end("start one of 15,000", IDLE + 1);
	uint64_t after = bench_memory();
	/* Only the first slice finds a loop that never had so many. */
	if (after > before + IDLE)
		bench_value("memory of one of 15,000 watchers", (double)(after - before) / (IDLE + 1));
}

static void idle_slice(void)
{
	open_idle();
	start_idle();
	measure_passes("a pass, one ready, 15,000 idle", PASSES, 1);
	bench_start();
	for (int i = 0; i <= IDLE; i++) {
		ev_io_stop(loop, &watchers[i]);
		close(watchers[i].fd);
	}
	pass();
	bench_end("stop and close one of 15,000", IDLE + 1);
	bench_called = 0;
}

/* ---- signals and threads ---- */

enum { SIGNALS = 5000, SENDS = 5000, TRIPS = 1000, LOOPS = 200 };

static void on_signal(struct ev_loop *l, ev_signal *w, int what)
{
	(void)l, (void)w, (void)what;
	bench_called++;
}

static void signal_set_up(void)
{
	static ev_signal w;
	new_loop();
	ev_signal_init(&w, on_signal, SIGUSR1);
	ev_signal_start(loop, &w);
}

static void signal_slice(void)
{
	bench_start();
	for (int i = 0; i < SIGNALS; i++) {
		raise(SIGUSR1);
		ev_run(loop, EVRUN_ONCE);
	}
	bench_end("raise a signal and have its callback run", SIGNALS);
	bench_expect_calls(SIGNALS);
}

static void on_async(struct ev_loop *l, ev_async *w, int what)
{
	(void)l, (void)w, (void)what;
	bench_called++;
}

static ev_async async;

static void async_set_up(void)
{
	new_loop();
	ev_async_init(&async, on_async);
	ev_async_start(loop, &async);
}

static void async_slice(void)
{
	bench_start();
	for (int i = 0; i < SENDS; i++) {
		ev_async_send(loop, &async);
		ev_run(loop, EVRUN_ONCE);
	}
	bench_end("ev_async_send and a pass", SENDS);
	bench_expect_calls(SENDS);
	ev_async_send(loop, &async);
	bench_start();
	for (int i = 0; i < 100 * SENDS; i++)
		ev_async_send(loop, &async);
	bench_end("ev_async_send once more", 100 * SENDS);
	pass();
	bench_expect_calls(1);
}

/* Two loops on two threads; each call is answered by one of the other. */
static struct ev_loop *other_loop;
static ev_async ping, pong;

static void on_ping(struct ev_loop *l, ev_async *w, int what)
{
	(void)l, (void)w, (void)what;
	ev_async_send(loop, &pong);
}

static void *run_other(void *argument)
{
	ev_run(argument, 0);
	return NULL;
}

static void trip_set_up(void)
{
	pthread_t thread;
	new_loop();
	other_loop = ev_loop_new(EVBACKEND_EPOLL);
	if (!other_loop)
		bench_die("ev_loop_new");
	ev_async_init(&pong, on_async);
	ev_async_start(loop, &pong);
	ev_async_init(&ping, on_ping);
	ev_async_start(other_loop, &ping);
	if (pthread_create(&thread, NULL, run_other, other_loop) != 0)
		bench_die("pthread_create");
}

static void trip_slice(void)
{
	bench_start();
	for (uint64_t i = 0; i < TRIPS; i++) {
		ev_async_send(other_loop, &ping);
		while (bench_called <= i) /* a pass may end for a wake-up that comes late */
			ev_run(loop, EVRUN_ONCE);
	}
	bench_end("ev_async_send to a thread and back, on one CPU", TRIPS);
	bench_expect_calls(TRIPS);
}

/* ---- loops ---- */

static void nothing_to_set_up(void)
{
}

static void loops_slice(void)
{
	bench_start();
	for (int i = 0; i < LOOPS; i++)
		ev_loop_destroy(ev_loop_new(EVBACKEND_EPOLL));
	bench_end("make and destroy a loop", LOOPS);
	ev_io w;
	ev_io_init(&w, on_io, bench_ready_fd(), EV_READ);
	bench_start();
	for (int i = 0; i < LOOPS; i++) {
		struct ev_loop *l = ev_loop_new(EVBACKEND_EPOLL);
		ev_io_start(l, &w);
		ev_run(l, EVRUN_ONCE);
		ev_io_stop(l, &w);
		ev_loop_destroy(l);
	}
	bench_end("make a loop, one event, destroy", LOOPS);
	close(w.fd);
	bench_expect_calls(LOOPS);
}

static const struct slices_case loop_cases[] = {
	{"toggle", toggle_set_up, toggle_slice},
	{"nothing", nothing_set_up, nothing_slice},
	{"one", one_set_up, one_slice},
	{"hooked", hooked_set_up, hooked_slice},
	{"ready", ready_set_up, ready_slice},
	{"idle", idle_set_up, idle_slice},
	{"signal", signal_set_up, signal_slice},
	{"async", async_set_up, async_slice},
	{"trip", trip_set_up, trip_slice},
	{"loops", nothing_to_set_up, loops_slice},
	{NULL, NULL, NULL},
};

const struct slices_case *const bench_cases[] = {loop_cases, pipe_cases, timer_cases, NULL};
const char bench_function[] = "ev_run";
