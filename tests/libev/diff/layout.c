/* SPDX-License-Identifier: BSD-3-Clause */
/* What programs read and write in watchers, through the macros of ev.h or past them, and the bytes around them. */
#include "helpers.h"

#include <sys/stat.h>

#define LAYOUT(type, size) _Static_assert(sizeof(type) == (size), #type " has the size of Debian's")
LAYOUT(ev_watcher, 32);
LAYOUT(ev_io, 48);
LAYOUT(ev_timer, 48);
LAYOUT(ev_periodic, 64);
LAYOUT(ev_signal, 48);
LAYOUT(ev_child, 56);
LAYOUT(ev_stat, 400);
LAYOUT(ev_embed, 360);
LAYOUT(ev_async, 40);
LAYOUT(ev_idle, 32);
LAYOUT(ev_prepare, 32);
LAYOUT(ev_check, 32);
LAYOUT(ev_fork, 32);
LAYOUT(ev_cleanup, 32);

/* Every kind of watcher between guards, each with its callback's count. */
union any {
  ev_watcher head;
  ev_io io;
  ev_timer timer;
  ev_periodic periodic;
  ev_signal signal;
  ev_child child;
  ev_stat stat;
  ev_embed embed;
  ev_async async;
  ev_idle idle;
  ev_prepare prepare;
  ev_check check;
  ev_fork fork;
  ev_cleanup cleanup;
};

enum kind { IO, TIMER, PERIODIC, SIGNAL, CHILD, STAT, EMBED, ASYNC, IDLE, PREPARE, CHECK, FORK, CLEANUP, KINDS };

static const struct {
  const char *name;
  size_t size;
} kinds[KINDS] = {{"io", sizeof(ev_io)},           {"timer", sizeof(ev_timer)}, {"periodic", sizeof(ev_periodic)},
                  {"signal", sizeof(ev_signal)},   {"child", sizeof(ev_child)}, {"stat", sizeof(ev_stat)},
                  {"embed", sizeof(ev_embed)},     {"async", sizeof(ev_async)}, {"idle", sizeof(ev_idle)},
                  {"prepare", sizeof(ev_prepare)}, {"check", sizeof(ev_check)}, {"fork", sizeof(ev_fork)},
                  {"cleanup", sizeof(ev_cleanup)}};

static int calls[KINDS];
static int events[KINDS];
static void *data_seen[KINDS];
static unsigned char blocks[KINDS][sizeof(union any) + 128];

/* The watcher of the kind, in the middle of its block, as far as it needs to be aligned. */
static union any *at(enum kind kind) { return (union any *)(void *)(blocks[kind] + 64); }

static void told(struct ev_loop *loop, void *w, int revents) {
  for (int i = 0; i < KINDS; ++i)
    if (w == at((enum kind)i)) {
      calls[i]++;
      events[i] |= revents;
      data_seen[i] = ((ev_watcher *)w)->data;
    }
  (void)loop;
}

#define TELLS(kind) \
  static void on_##kind(struct ev_loop *loop, ev_##kind *w, int revents) { told(loop, w, revents); }
TELLS(io)
TELLS(timer)
TELLS(periodic)
TELLS(signal)
TELLS(child)
TELLS(stat)
TELLS(embed)
TELLS(async)
TELLS(idle)
TELLS(prepare)
TELLS(check)
TELLS(fork)
TELLS(cleanup)

static int pipe_ends[2];
static struct ev_loop *inner;
static char stat_path[] = "/tmp/diff-layout-XXXXXX";

static void remove_file(void) { unlink(stat_path); }

static void init_all(struct ev_loop *loop) {
  memset(blocks, 0xa5, sizeof blocks);
  make_pipe(pipe_ends);
  put(pipe_ends[1], 1);
  int fd = mkstemp(stat_path);
  NEED(fd >= 0 && !atexit(remove_file));
  close(fd);
  inner = ev_loop_new(EVBACKEND_EPOLL);
  NEED(inner);
  ev_io_init(&at(IO)->io, on_io, pipe_ends[0], EV_READ);
  ev_timer_init(&at(TIMER)->timer, on_timer, 0., 1000.);
  ev_periodic_init(&at(PERIODIC)->periodic, on_periodic, ev_now(loop) - 10., 0., NULL);
  ev_signal_init(&at(SIGNAL)->signal, on_signal, SIGUSR1);
  ev_child_init(&at(CHILD)->child, on_child, 0, 0);
  ev_stat_init(&at(STAT)->stat, on_stat, stat_path, 0.);
  ev_embed_init(&at(EMBED)->embed, on_embed, inner);
  ev_async_init(&at(ASYNC)->async, on_async);
  ev_idle_init(&at(IDLE)->idle, on_idle);
  ev_prepare_init(&at(PREPARE)->prepare, on_prepare);
  ev_check_init(&at(CHECK)->check, on_check);
  ev_fork_init(&at(FORK)->fork, on_fork);
  ev_cleanup_init(&at(CLEANUP)->cleanup, on_cleanup);
}

static void start_all(struct ev_loop *loop) {
  ev_io_start(loop, &at(IO)->io);
  ev_timer_start(loop, &at(TIMER)->timer);
  ev_periodic_start(loop, &at(PERIODIC)->periodic);
  ev_signal_start(loop, &at(SIGNAL)->signal);
  ev_child_start(loop, &at(CHILD)->child);
  ev_stat_start(loop, &at(STAT)->stat);
  ev_embed_start(loop, &at(EMBED)->embed);
  ev_async_start(loop, &at(ASYNC)->async);
  ev_idle_start(loop, &at(IDLE)->idle);
  ev_prepare_start(loop, &at(PREPARE)->prepare);
  ev_check_start(loop, &at(CHECK)->check);
  ev_fork_start(loop, &at(FORK)->fork);
  ev_cleanup_start(loop, &at(CLEANUP)->cleanup);
}

static void stop_all(struct ev_loop *loop) {
  ev_io_stop(loop, &at(IO)->io);
  ev_timer_stop(loop, &at(TIMER)->timer);
  ev_periodic_stop(loop, &at(PERIODIC)->periodic);
  ev_signal_stop(loop, &at(SIGNAL)->signal);
  ev_child_stop(loop, &at(CHILD)->child);
  ev_stat_stop(loop, &at(STAT)->stat);
  ev_embed_stop(loop, &at(EMBED)->embed);
  ev_async_stop(loop, &at(ASYNC)->async);
  ev_idle_stop(loop, &at(IDLE)->idle);
  ev_prepare_stop(loop, &at(PREPARE)->prepare);
  ev_check_stop(loop, &at(CHECK)->check);
  ev_fork_stop(loop, &at(FORK)->fork);
  ev_cleanup_stop(loop, &at(CLEANUP)->cleanup);
}

static int touched_outside(enum kind kind) {
  int touched = 0;
  for (size_t i = 0; i < sizeof blocks[kind]; ++i)
    if (i < 64 || i >= 64 + kinds[kind].size) touched += blocks[kind][i] != 0xa5;
  return touched;
}

static void put_data(void) {
  for (int i = 0; i < KINDS; ++i) at((enum kind)i)->head.data = &calls[i];
}

/* All but what ends a loop or needs something in the inner one. */
static void make_all_happen(struct ev_loop *loop) {
  put(pipe_ends[1], 1);
  raise(SIGUSR1);
  wait_ended(child_that_exits(0));
  pause_ms(1);
  ev_async_send(loop, &at(ASYNC)->async);
  ev_loop_fork(loop);
  turn(loop);
  drain(pipe_ends[0]);
  NEED(!chmod(stat_path, 0400));
  turns(loop, 4);
}

CASE(watchers_keep_to_their_size_and_leave_data_alone) {
  struct ev_loop *loop = ev_default_loop(0);
  init_all(loop);
  put_data();
  start_all(loop);
  make_all_happen(loop);
  for (int i = 0; i < KINDS; ++i)
    trace("%s: %s, %s, bytes touched outside %d, data %s, in the callback %s", kinds[i].name,
          calls[i] ? "told" : "not told", bits(events[i]), touched_outside((enum kind)i),
          yes(at((enum kind)i)->head.data == &calls[i]), yes(!calls[i] || data_seen[i] == &calls[i]));
  stop_all(loop);
  for (int i = 0; i < KINDS; ++i)
    trace("%s: %s, bytes touched outside %d", kinds[i].name, state(&at((enum kind)i)->head),
          touched_outside((enum kind)i));
  trace("run %d", ev_run(loop, 0));
}

CASE(watchers_are_active_while_they_are_started) {
  struct ev_loop *loop = ev_default_loop(0);
  init_all(loop);
  for (int i = 0; i < KINDS; ++i) trace("%s: %s", kinds[i].name, state(&at((enum kind)i)->head));
  start_all(loop);
  for (int i = 0; i < KINDS; ++i) trace("%s: %s", kinds[i].name, state(&at((enum kind)i)->head));
  start_all(loop);
  ev_verify(loop);
  trace("run %d", ev_run(loop, EVRUN_NOWAIT));
  stop_all(loop);
  for (int i = 0; i < KINDS; ++i) trace("%s: %s", kinds[i].name, state(&at((enum kind)i)->head));
  stop_all(loop);
  ev_verify(loop);
  trace("run %d", ev_run(loop, 0));
}

CASE(watchers_started_have_a_priority_in_range) {
  struct ev_loop *loop = ev_default_loop(0);
  init_all(loop);
  for (int i = 0; i < KINDS; ++i) ev_set_priority(&at((enum kind)i)->head, i % 2 ? 100 : -100);
  start_all(loop);
  for (int i = 0; i < KINDS; ++i) trace("%s: %d", kinds[i].name, ev_priority(&at((enum kind)i)->head));
  stop_all(loop);
}

CASE(any_watcher_may_be_fed_invoked_and_cleared) {
  struct ev_loop *loop = ev_default_loop(0);
  init_all(loop);
  put_data();
  for (int i = 0; i < KINDS; ++i) {
    ev_watcher *w = &at((enum kind)i)->head;
    calls[i] = events[i] = 0;
    ev_feed_event(loop, w, EV_CUSTOM);
    ev_feed_event(loop, w, 0x40);
    trace("%s: pending %s, count %u", kinds[i].name, yes(ev_is_pending(w)), ev_pending_count(loop));
    trace("cleared %s", bits(ev_clear_pending(loop, w)));
    trace("again %s", bits(ev_clear_pending(loop, w)));
    ev_feed_event(loop, w, EV_CUSTOM);
    ev_invoke_pending(loop);
    ev_invoke(loop, w, 0x40);
    trace("called %d with %s, %s", calls[i], bits(events[i]), state(w));
  }
}

CASE(io_fields_before_and_after_the_start) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_io w;
  make_pipe(pipe_ends);
  ev_io_init(&w, on_io, pipe_ends[0], EV_READ);
  trace("set: %s, fd %s", bits(w.events), yes(w.fd == pipe_ends[0]));
  ev_io_start(loop, &w);
  trace("started: %s, fd %s", bits(w.events), yes(w.fd == pipe_ends[0]));
  turn(loop);
  trace("after a pass: %s", bits(w.events));
  ev_io_stop(loop, &w);
  ev_io_modify(&w, EV_WRITE);
  trace("modified: %s", bits(w.events));
  ev_io_set(&w, pipe_ends[1], EV_WRITE);
  trace("set anew: %s", bits(w.events));
  ev_io_modify(&w, EV_READ | EV_WRITE);
  trace("modified: %s", bits(w.events));
  ev_io_start(loop, &w);
  trace("started: %s", bits(w.events));
  turn(loop);
  ev_io_stop(loop, &w);
}

CASE(timer_and_periodic_fields_before_and_after_the_start) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_timer timer;
  ev_periodic periodic;
  ev_timer_init(&timer, on_timer, 2., 3.);
  trace("timer set: at %g repeat %g, remaining %g", ((ev_watcher_time *)(void *)&timer)->at, timer.repeat,
        ev_timer_remaining(loop, &timer));
  ev_timer_start(loop, &timer);
  double at_start = ((ev_watcher_time *)(void *)&timer)->at;
  trace("started: at is later than the delay %s, remaining %g, repeat %g", yes(at_start > 2.),
        ev_timer_remaining(loop, &timer), timer.repeat);
  ev_timer_again(loop, &timer);
  trace("again: a second later %s", yes(((ev_watcher_time *)(void *)&timer)->at - at_start > 0.999));
  ev_timer_stop(loop, &timer);
  trace("stopped: what is left is kept %s",
        yes(ev_timer_remaining(loop, &timer) > 2.9 && ev_timer_remaining(loop, &timer) < 3.1));
  double then = ev_now(loop) + 50.;
  ev_periodic_init(&periodic, on_periodic, then, 0., NULL);
  ev_periodic_start(loop, &periodic);
  trace("periodic: at is the offset %s", yes(ev_periodic_at(&periodic) == then));
  ev_periodic_stop(loop, &periodic);
  ev_periodic_set(&periodic, 0., 3600., NULL);
  ev_periodic_start(loop, &periodic);
  double at_hour = ev_periodic_at(&periodic);
  trace("hourly: later than now %s, not by more than an hour %s, a whole hour %s", yes(at_hour > ev_now(loop)),
        yes(at_hour <= ev_now(loop) + 3600.), yes((double)(long)(at_hour / 3600.) == at_hour / 3600.));
  ev_periodic_stop(loop, &periodic);
}

CASE(callbacks_may_be_changed_while_active) {
  struct ev_loop *loop = ev_loop_new(0);
  init_all(loop);
  ev_check *w = &at(CHECK)->check;
  ev_check_init(w, NULL);
  ev_set_cb(w, on_check);
  trace("callback: %s", yes(ev_cb(w) == on_check));
  ev_check_start(loop, w);
  turn(loop);
  trace("called %d", calls[CHECK]);
  w->data = w;
  turn(loop);
  trace("called %d, data %s", calls[CHECK], yes(data_seen[CHECK] == w));
  ev_check_stop(loop, w);
}

CASE(async_sent_is_seen_until_the_loop_takes_it) {
  struct ev_loop *loop = ev_loop_new(0);
  init_all(loop);
  ev_async *w = &at(ASYNC)->async;
  ev_async_start(loop, w);
  trace("sent %s", yes(ev_async_pending(w)));
  ev_async_send(loop, w);
  ev_async_send(loop, w);
  trace("sent %s, pending %d", yes(ev_async_pending(w)), ev_is_pending(w));
  turn(loop);
  trace("sent %s, called %d", yes(ev_async_pending(w)), calls[ASYNC]);
}
