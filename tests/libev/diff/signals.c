/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_signal: when and in which order the watchers of a signal are told. */
#include "helpers.h"

struct named {
  ev_signal watcher;
  const char *name;
};

static void told(struct ev_loop *loop, ev_signal *w, int revents) {
  struct named *n = (struct named *)w;
  trace("%s: %s %s, pass %u", n->name, bits(revents), state(w), ev_iteration(loop));
}

static void watch(struct ev_loop *loop, struct named *n, const char *name, int signum, int priority) {
  n->name = name;
  ev_signal_init(&n->watcher, told, signum);
  ev_set_priority(&n->watcher, priority);
  ev_signal_start(loop, &n->watcher);
}

static struct named one, two, three, four, five;

CASE(signal_raised_before_the_run_is_told_in_the_first_pass) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(loop, &one, "one", SIGUSR1, 0);
  raise(SIGUSR1);
  trace("pending %d count %u", ev_is_pending(&one.watcher), ev_pending_count(loop));
  trace("run %d", ev_run(loop, EVRUN_ONCE));
  trace("run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_verify(loop);
}

CASE(signal_watchers_of_one_signal_run_in_the_order_of_their_start) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(loop, &one, "one", SIGUSR1, 0);
  watch(loop, &two, "two", SIGUSR1, 0);
  watch(loop, &three, "three", SIGUSR1, 0);
  raise(SIGUSR1);
  turn(loop);
  trace("again, the first of them started anew");
  ev_signal_stop(loop, &one.watcher);
  ev_signal_start(loop, &one.watcher);
  raise(SIGUSR1);
  turn(loop);
}

CASE(signals_raised_together_are_told_lowest_number_first) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(loop, &one, "USR2", SIGUSR2, 0);
  watch(loop, &two, "HUP", SIGHUP, 0);
  watch(loop, &three, "RTMIN", SIGRTMIN, 0);
  watch(loop, &four, "USR1", SIGUSR1, 0);
  watch(loop, &five, "WINCH", SIGWINCH, 0);
  raise(SIGRTMIN);
  raise(SIGUSR2);
  raise(SIGUSR1);
  raise(SIGWINCH);
  raise(SIGHUP);
  turn(loop);
  trace("and raised the other way round");
  raise(SIGHUP);
  raise(SIGWINCH);
  raise(SIGUSR1);
  raise(SIGUSR2);
  raise(SIGRTMIN);
  turn(loop);
}

CASE(signal_raised_often_before_a_pass_is_told_once) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(loop, &one, "USR1", SIGUSR1, 0);
  watch(loop, &two, "RTMIN", SIGRTMIN, 0);
  for (int i = 0; i < 5; ++i) {
    raise(SIGUSR1);
    raise(SIGRTMIN);
  }
  for (int i = 0; i < 3; ++i) turn(loop);
  raise(SIGUSR1);
  turn(loop);
}

CASE(signal_watchers_run_by_priority) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(loop, &one, "lowest", SIGUSR1, -2);
  watch(loop, &two, "low", SIGUSR1, -1);
  watch(loop, &three, "middle, other signal", SIGUSR2, 0);
  watch(loop, &four, "highest", SIGUSR1, 2);
  watch(loop, &five, "beyond the highest", SIGUSR2, 17);
  raise(SIGUSR2);
  raise(SIGUSR1);
  turn(loop);
}

static void raises_usr1(struct ev_loop *loop, ev_timer *w, int revents) {
  trace("timer raises, %s", bits(revents));
  raise(SIGUSR1);
  trace("raised: pending %d count %u pass %u", ev_is_pending(&one.watcher), ev_pending_count(loop), ev_iteration(loop));
  (void)w;
}

CASE(signal_raised_in_a_callback_is_told_in_the_next_pass) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_timer timer;
  watch(loop, &one, "one", SIGUSR1, 0);
  ev_timer_init(&timer, raises_usr1, 0., 0.);
  ev_timer_start(loop, &timer);
  turn(loop);
  trace("next");
  ev_run(loop, EVRUN_ONCE);
}

static void raises_itself(struct ev_loop *loop, ev_signal *w, int revents) {
  static int times;
  trace("told %d, %s, pass %u", ++times, bits(revents), ev_iteration(loop));
  if (times < 4)
    raise(w->signum);
  else
    ev_break(loop, EVBREAK_ONE);
}

CASE(signal_raised_in_its_own_callback_is_told_again) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_signal w;
  ev_signal_init(&w, raises_itself, SIGUSR1);
  ev_signal_start(loop, &w);
  raise(SIGUSR1);
  trace("run %d", ev_run(loop, 0));
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents) {
  trace("io %s", bits(revents));
  (void)loop, (void)w;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents) {
  trace("timer %s", bits(revents));
  (void)loop, (void)w;
}

static void on_periodic(struct ev_loop *loop, ev_periodic *w, int revents) {
  trace("periodic %s", bits(revents));
  (void)loop, (void)w;
}

static void on_check(struct ev_loop *loop, ev_check *w, int revents) {
  trace("check %s", bits(revents));
  (void)loop, (void)w;
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int revents) {
  trace("prepare %s", bits(revents));
  (void)loop, (void)w;
}

static void on_idle(struct ev_loop *loop, ev_idle *w, int revents) {
  trace("idle %s", bits(revents));
  (void)loop, (void)w;
}

static void on_async(struct ev_loop *loop, ev_async *w, int revents) {
  trace("async %s", bits(revents));
  (void)loop, (void)w;
}

/* One pass in which everything is due. Priorities: of the signal, and of all else. */
static void everything_is_due(int of_signal, int of_others) {
  struct ev_loop *loop = ev_default_loop(0);
  int ends[2];
  ev_io io;
  ev_timer timer;
  ev_periodic periodic;
  ev_check check;
  ev_prepare prepare;
  ev_async async;

  NEED(!pipe(ends));
  NEED(write(ends[1], "x", 1) == 1);
  ev_io_init(&io, on_io, ends[0], EV_READ);
  ev_timer_init(&timer, on_timer, 0., 0.);
  ev_periodic_init(&periodic, on_periodic, ev_now(loop) - 1., 0., NULL);
  ev_check_init(&check, on_check);
  ev_prepare_init(&prepare, on_prepare);
  ev_async_init(&async, on_async);
  ev_set_priority(&io, of_others);
  ev_set_priority(&timer, of_others);
  ev_set_priority(&periodic, of_others);
  ev_set_priority(&check, of_others);
  ev_set_priority(&prepare, of_others);
  ev_set_priority(&async, of_others);
  ev_io_start(loop, &io);
  ev_timer_start(loop, &timer);
  ev_periodic_start(loop, &periodic);
  ev_check_start(loop, &check);
  ev_prepare_start(loop, &prepare);
  ev_async_start(loop, &async);
  watch(loop, &one, "signal", SIGUSR1, of_signal);

  ev_async_send(loop, &async);
  raise(SIGUSR1);
  trace("run %d", ev_run(loop, EVRUN_NOWAIT));
}

CASE(signal_is_told_before_io_timers_and_check_of_its_priority) { everything_is_due(0, 0); }

CASE(signal_of_a_lower_priority_comes_after_all_else) { everything_is_due(-1, 0); }

CASE(signal_beside_others_of_the_highest_priority) { everything_is_due(2, 2); }

CASE(signal_keeps_an_idle_watcher_back_for_a_pass) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_idle idle;
  ev_idle_init(&idle, on_idle);
  ev_idle_start(loop, &idle);
  watch(loop, &one, "one", SIGUSR1, 0);
  trace("pass without a signal");
  turn(loop);
  raise(SIGUSR1);
  trace("pass with it");
  turn(loop);
  trace("pass after it");
  turn(loop);
}

static void breaks(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("signal %d %s", w->signum, bits(revents));
  ev_break(loop, EVBREAK_ONE);
}

CASE(signal_from_a_child_wakes_a_blocked_loop) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_signal w;
  ev_signal_init(&w, breaks, SIGUSR1);
  ev_signal_start(loop, &w);
  pid_t parent = getpid();
  pid_t pid = fork();
  NEED(pid >= 0);
  if (!pid) {
    pause_ms(30);
    kill(parent, SIGUSR1);
    _exit(0);
  }
  trace("run %d", run_guarded(loop, 0));
  wait_traced("child", pid);
}

static pthread_t main_thread;

static void *kills_the_process(void *arg) {
  pause_ms(30);
  kill(getpid(), SIGUSR1);
  return arg;
}

static void *kills_the_loop_thread(void *arg) {
  pause_ms(30);
  pthread_kill(main_thread, SIGUSR1);
  return arg;
}

static void *raises_in_its_thread(void *arg) {
  pause_ms(30);
  pthread_kill(pthread_self(), SIGUSR1);
  return arg;
}

static void *feeds(void *arg) {
  pause_ms(30);
  ev_feed_signal(SIGUSR1);
  return arg;
}

static void wake_from_thread(const char *how, void *(*body)(void *)) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_signal w;
  pthread_t thread;
  main_thread = pthread_self();
  ev_signal_init(&w, breaks, SIGUSR1);
  ev_signal_start(loop, &w);
  NEED(!pthread_create(&thread, NULL, body, NULL));
  trace("%s: run %d", how, run_guarded(loop, 0));
  pthread_join(thread, NULL);
  turn(loop);
  ev_signal_stop(loop, &w);
}

CASE(signal_from_another_thread_wakes_a_blocked_loop) {
  wake_from_thread("to the process", kills_the_process);
  wake_from_thread("to the loop's thread", kills_the_loop_thread);
  wake_from_thread("taken by the other thread", raises_in_its_thread);
}

CASE(fed_signal_from_another_thread_wakes_a_blocked_loop) { wake_from_thread("fed", feeds); }

CASE(signal_watcher_keeps_the_loop_alive) {
  struct ev_loop *loop = ev_loop_new(0);
  trace("nothing: run %d", ev_run(loop, 0));
  watch(loop, &one, "one", SIGUSR1, 0);
  trace("one: run %d", ev_run(loop, EVRUN_NOWAIT));
  watch(loop, &two, "two", SIGUSR1, 0);
  trace("two: run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_unref(loop);
  trace("one unreferenced: run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_ref(loop);
  ev_signal_stop(loop, &one.watcher);
  ev_signal_stop(loop, &two.watcher);
  trace("stopped: run %d", ev_run(loop, 0));
  ev_loop_destroy(loop);
}

CASE(signal_start_and_stop_set_the_fields) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_signal w;
  ev_signal_init(&w, breaks, SIGUSR1);
  trace("new: active %d pending %d priority %d signum %d", ev_is_active(&w), ev_is_pending(&w), ev_priority(&w),
        w.signum);
  ev_set_priority(&w, -9);
  ev_signal_start(loop, &w);
  trace("started: active %d pending %d priority %d", ev_is_active(&w), ev_is_pending(&w), ev_priority(&w));
  ev_signal_start(loop, &w);
  trace("started again: run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_feed_signal_event(loop, SIGUSR1);
  trace("fed: pending %s count %u", yes(ev_is_pending(&w)), ev_pending_count(loop));
  ev_signal_stop(loop, &w);
  trace("stopped: active %d pending %d", ev_is_active(&w), ev_is_pending(&w));
  ev_signal_stop(loop, &w);
  trace("stopped again: run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_loop_destroy(loop);
}

static void stops_two(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("the first stops the second, which is pending: %s", yes(ev_is_pending(&two.watcher)));
  ev_signal_stop(loop, &two.watcher);
  trace("pending now: %s", yes(ev_is_pending(&two.watcher)));
  (void)w, (void)revents;
}

CASE(signal_watcher_stopped_by_another_one_is_not_told) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_signal first;
  ev_signal_init(&first, stops_two, SIGUSR1);
  ev_signal_start(loop, &first);
  watch(loop, &two, "two", SIGUSR1, 0);
  watch(loop, &three, "three", SIGUSR1, 0);
  raise(SIGUSR1);
  turn(loop);
}

static void starts_two(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("the first starts the second");
  watch(loop, &two, "two", SIGUSR1, 0);
  (void)w, (void)revents;
}

CASE(signal_watcher_started_in_the_callback_is_told_the_next_time) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_signal first;
  ev_signal_init(&first, starts_two, SIGUSR1);
  ev_signal_start(loop, &first);
  raise(SIGUSR1);
  turn(loop);
  turn(loop);
  ev_signal_stop(loop, &first);
  raise(SIGUSR1);
  turn(loop);
}

static void stops_itself(struct ev_loop *loop, ev_signal *w, int revents) {
  trace("told, %s, and stops", bits(revents));
  ev_signal_stop(loop, w);
}

CASE(signal_watcher_that_stops_itself_ends_the_run) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_signal w;
  for (int i = 0; i < 3; ++i) {
    ev_signal_init(&w, stops_itself, SIGUSR1);
    ev_signal_start(loop, &w);
    raise(SIGUSR1);
    trace("run %d", run_guarded(loop, 0));
    trace("now %s", disposition(SIGUSR1));
  }
}

static void runs_nested(struct ev_loop *loop, ev_signal *w, int revents) {
  static int depth;
  trace("depth %u", ev_depth(loop));
  if (++depth < 3) {
    raise(w->signum);
    ev_run(loop, EVRUN_ONCE);
  }
  trace("depth %u again", ev_depth(loop));
  (void)revents;
}

CASE(signal_callback_may_run_the_loop) {
  struct ev_loop *loop = ev_default_loop(0);
  ev_signal w;
  ev_signal_init(&w, runs_nested, SIGUSR1);
  ev_signal_start(loop, &w);
  raise(SIGUSR1);
  turn(loop);
  turn(loop);
}

/* ---- What comes just as the wait returns: a handler that runs then, or another thread, is heard by the next pass ---- */

static ev_async late_async;
static void (*as_the_wait_returns)(struct ev_loop *);

static void give_up(struct ev_loop *loop) EV_NOEXCEPT { (void)loop; }
static void take_back(struct ev_loop *loop) EV_NOEXCEPT {
  if (as_the_wait_returns) as_the_wait_returns(loop);
  as_the_wait_returns = NULL;
}
static void raise_late(struct ev_loop *loop) { (void)loop, raise(SIGUSR1); }
static void send_late(struct ev_loop *loop) { ev_async_send(loop, &late_async); }

static void watch_late(struct ev_loop *loop, int flags, void (*what)(struct ev_loop *)) {
  static ev_io io;
  static int ends[2];
  NEED(!pipe(ends));
  NEED(write(ends[1], "x", 1) == 1);
  ev_io_init(&io, on_io, ends[0], EV_READ);
  ev_io_start(loop, &io);
  ev_async_init(&late_async, on_async);
  ev_async_start(loop, &late_async);
  ev_set_loop_release_cb(loop, give_up, take_back);
  for (int i = 0; i < 3; i++) {
    as_the_wait_returns = i == 0 ? what : NULL;
    ev_run(loop, flags);
    trace("pass %u", ev_iteration(loop));
  }
  ev_io_stop(loop, &io);
  close(ends[0]), close(ends[1]);
}

CASE(signal_that_comes_as_a_wait_returns_is_told_in_the_next_pass) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(loop, &one, "one", SIGUSR1, 0);
  watch_late(loop, EVRUN_ONCE, raise_late);
  watch_late(loop, EVRUN_NOWAIT, raise_late);
}

CASE(signal_of_the_highest_priority_that_comes_as_a_wait_returns) {
  struct ev_loop *loop = ev_default_loop(0);
  watch(loop, &one, "one", SIGUSR1, 2);
  watch_late(loop, EVRUN_ONCE, raise_late);
}

CASE(async_that_is_sent_as_a_wait_returns_is_told_in_the_next_pass) {
  struct ev_loop *loop = ev_default_loop(0);
  watch_late(loop, EVRUN_ONCE, send_late);
  watch_late(loop, EVRUN_NOWAIT, send_late);
}
