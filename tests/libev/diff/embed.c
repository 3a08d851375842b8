/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_embed: a loop within another one. How many watchers of the outer loop it takes is not what is compared. */
#include "diff.h"

static void told(struct ev_loop *loop, ev_io *w, int revents) {
  trace("%s: %s at depth %u", (const char *)w->data, bits(revents), ev_depth(loop));
}

static void told_and_read(struct ev_loop *loop, ev_io *w, int revents) {
  told(loop, w, revents);
  drain(w->fd);
}

static void watch(struct ev_loop *loop, ev_io *w, const char *name, int fd) {
  ev_io_init(w, told_and_read, fd, EV_READ);
  w->data = (void *)(uintptr_t)name;
  ev_io_start(loop, w);
}

static void sweep(struct ev_loop *loop, ev_embed *w, int revents) {
  trace("embed: %s, outer depth %u", bits(revents), ev_depth(loop));
  ev_embed_sweep(loop, w);
  trace("swept");
}

static int sweeps;

static void do_not_sweep(struct ev_loop *loop, ev_embed *w, int revents) {
  (void)loop;
  (void)w;
  sweeps++;
  trace("embed: %s, not swept", bits(revents));
}

CASE(events_of_an_embedded_loop_come_through_the_outer_one) {
  struct ev_loop *outer = new_loop(0), *inner = new_loop(EVBACKEND_EPOLL);
  int a[2], b[2];
  ev_embed embed;
  ev_io in, out;
  make_pipe(a);
  make_pipe(b);
  ev_embed_init(&embed, NULL, inner);
  trace("other: %d, %s", embed.other == inner, state(&embed));
  ev_embed_start(outer, &embed);
  trace("started: %s", state(&embed));
  watch(inner, &in, "inner", a[0]);
  watch(outer, &out, "outer", b[0]);
  turns(outer, 2);
  trace("data for the inner");
  put(a[1], 1);
  turns(outer, 2);
  trace("data for the outer");
  put(b[1], 1);
  turns(outer, 2);
  ev_io_stop(inner, &in);
  ev_io_stop(outer, &out);
  ev_embed_stop(outer, &embed);
  trace("stopped: %s, run %d", state(&embed), ev_run(outer, EVRUN_NOWAIT));
  close_both(a);
  close_both(b);
  ev_loop_destroy(inner);
  ev_loop_destroy(outer);
}

CASE(an_embedded_loop_is_swept_by_hand) {
  struct ev_loop *outer = new_loop(0), *inner = new_loop(EVBACKEND_EPOLL);
  int ends[2];
  ev_embed embed;
  ev_io in;
  make_pipe(ends);
  watch(inner, &in, "inner", ends[0]);
  turn(inner); /* what it watches is known, so nothing is left to prepare */
  ev_embed_init(&embed, sweep, inner);
  ev_embed_start(outer, &embed);
  turns(outer, 2);
  for (int i = 0; i < 3; i++) {
    put(ends[1], 1);
    trace("data");
    turns(outer, 2);
  }
  ev_embed_stop(outer, &embed);
  put(ends[1], 1);
  trace("stopped");
  turns(outer, 2);
  trace("the inner itself");
  turn(inner);
  ev_io_stop(inner, &in);
  close_both(ends);
  ev_loop_destroy(inner);
  ev_loop_destroy(outer);
}

CASE(an_embedded_loop_with_events_is_told_until_it_is_swept) {
  struct ev_loop *outer = new_loop(0), *inner = new_loop(EVBACKEND_EPOLL);
  int ends[2];
  ev_embed embed;
  ev_io in;
  make_pipe(ends);
  watch(inner, &in, "inner", ends[0]);
  turn(inner);
  ev_embed_init(&embed, do_not_sweep, inner);
  ev_embed_start(outer, &embed);
  put(ends[1], 1);
  turns(outer, 3);
  trace("%d sweeps asked for", sweeps);
  ev_embed_sweep(outer, &embed);
  turns(outer, 2);
  ev_embed_stop(outer, &embed);
  ev_io_stop(inner, &in);
  close_both(ends);
  ev_loop_destroy(inner);
  ev_loop_destroy(outer);
}

static void inner_breaks(struct ev_loop *loop, ev_io *w, int revents) {
  struct ev_loop *outer = ev_userdata(loop);
  told_and_read(loop, w, revents);
  ev_break(outer, EVBREAK_ALL);
}

CASE(a_waiting_outer_run_is_woken_by_the_embedded_loop) {
  struct ev_loop *outer = new_loop(0), *inner = new_loop(EVBACKEND_EPOLL);
  int ends[2];
  ev_embed embed;
  ev_io in;
  make_pair(ends);
  watch(inner, &in, "inner", ends[0]);
  ev_set_cb(&in, inner_breaks);
  ev_set_userdata(inner, outer);
  ev_embed_init(&embed, sweep, inner);
  ev_embed_start(outer, &embed);
  pid_t child = fork();
  NEED(child >= 0);
  if (!child) {
    ev_sleep(0.03);
    put(ends[1], 1);
    _exit(0);
  }
  trace("run: %d", run_guarded(outer, 0) > 0);
  wait_traced("writer", child);
  ev_embed_stop(outer, &embed);
  ev_io_stop(inner, &in);
  close_both(ends);
  ev_loop_destroy(inner);
  ev_loop_destroy(outer);
}

static void fired(struct ev_loop *loop, ev_timer *w, int revents) {
  trace("%s: %s at depth %u", (const char *)w->data, bits(revents), ev_depth(loop));
}

CASE(timers_of_an_embedded_loop_fire_when_it_is_swept) {
  struct ev_loop *outer = new_loop(0), *inner = new_loop(EVBACKEND_EPOLL);
  ev_embed embed;
  ev_timer t;
  ev_timer_init(&t, fired, 0.002, 0.);
  t.data = (void *)(uintptr_t) "inner timer";
  ev_timer_start(inner, &t);
  ev_embed_init(&embed, NULL, inner);
  ev_embed_start(outer, &embed);
  turn(outer);
  ev_sleep(0.01);
  trace("due, not swept");
  turn(outer);
  trace("swept");
  ev_embed_sweep(outer, &embed);
  ev_embed_sweep(outer, &embed);
  ev_embed_stop(outer, &embed);
  ev_loop_destroy(inner);
  ev_loop_destroy(outer);
}

CASE(what_the_embedded_loop_starts_to_watch_is_seen_in_the_same_pass) {
  struct ev_loop *outer = new_loop(0), *inner = new_loop(EVBACKEND_EPOLL);
  int a[2], b[2];
  ev_embed embed;
  ev_io first, second;
  make_pipe(a);
  make_pipe(b);
  put(a[1], 1);
  put(b[1], 1);
  ev_embed_init(&embed, NULL, inner);
  ev_embed_start(outer, &embed);
  watch(inner, &first, "first", a[0]);
  turn(outer);
  trace("and another");
  watch(inner, &second, "second", b[0]);
  turn(outer);
  turn(outer);
  ev_embed_stop(outer, &embed);
  ev_io_stop(inner, &first);
  ev_io_stop(inner, &second);
  close_both(a);
  close_both(b);
  ev_loop_destroy(inner);
  ev_loop_destroy(outer);
}

static void embed_unfit(void *arg) {
  struct ev_loop *outer = new_loop(0), *inner = new_loop(*(unsigned *)arg);
  ev_embed embed;
  ev_embed_init(&embed, NULL, inner);
  ev_embed_start(outer, &embed);
  trace("started");
}

CASE(only_loops_that_can_be_embedded_are_embedded) {
  unsigned select = EVBACKEND_SELECT, poll = EVBACKEND_POLL, epoll = EVBACKEND_EPOLL;
  in_child("select", embed_unfit, &select);
  in_child("poll", embed_unfit, &poll);
  in_child("epoll", embed_unfit, &epoll);
}

CASE(a_loop_embedded_in_a_loop_that_is_not_made_of_epoll) {
  struct ev_loop *outer = new_loop(EVBACKEND_SELECT), *inner = new_loop(EVBACKEND_EPOLL);
  int ends[2];
  ev_embed embed;
  ev_io in;
  make_pipe(ends);
  ev_embed_init(&embed, NULL, inner);
  ev_embed_start(outer, &embed);
  watch(inner, &in, "inner", ends[0]);
  turn(outer);
  put(ends[1], 1);
  turns(outer, 2);
  ev_embed_stop(outer, &embed);
  ev_io_stop(inner, &in);
  close_both(ends);
  ev_loop_destroy(inner);
  ev_loop_destroy(outer);
}

CASE(three_loops_one_in_another) {
  struct ev_loop *loops[3];
  int ends[2];
  ev_embed embeds[2];
  ev_io w;
  for (int i = 0; i < 3; i++) loops[i] = new_loop(EVBACKEND_EPOLL);
  make_pipe(ends);
  watch(loops[2], &w, "innermost", ends[0]);
  for (int i = 1; i >= 0; i--) {
    turn(loops[i + 1]);
    ev_embed_init(&embeds[i], sweep, loops[i + 1]);
    ev_embed_start(loops[i], &embeds[i]);
  }
  turns(loops[0], 2);
  put(ends[1], 1);
  trace("data");
  turns(loops[0], 2);
  ev_embed_stop(loops[0], &embeds[0]);
  ev_embed_stop(loops[1], &embeds[1]);
  ev_io_stop(loops[2], &w);
  close_both(ends);
  for (int i = 2; i >= 0; i--) ev_loop_destroy(loops[i]);
}

struct both {
  struct ev_loop *outer, *inner;
  int *ends;
};

static void go_on(void *arg) {
  struct both *both = arg;
  ev_loop_fork(both->outer);
  turn(both->outer);
  trace("data in the child");
  put(both->ends[1], 1);
  turns(both->outer, 3);
}

CASE(an_embedded_loop_in_a_forked_child) {
  struct ev_loop *outer = new_loop(0), *inner = new_loop(EVBACKEND_EPOLL);
  int ends[2];
  ev_embed embed;
  ev_io in;
  make_pipe(ends);
  ev_embed_init(&embed, NULL, inner);
  ev_embed_start(outer, &embed);
  watch(inner, &in, "inner", ends[0]);
  turn(outer);
  struct both both = {outer, inner, ends};
  in_child("child", go_on, &both);
  trace("the parent: quiet");
  turn(outer);
  put(ends[1], 1);
  turn(outer);
  ev_embed_stop(outer, &embed);
  ev_io_stop(inner, &in);
  close_both(ends);
  ev_loop_destroy(inner);
  ev_loop_destroy(outer);
}
