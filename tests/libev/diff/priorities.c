/* SPDX-License-Identifier: BSD-3-Clause */
/* Priorities: how they order what is pending, how they are put into range, who is overtaken by whom. */
#include "narrate.h"

static ev_watcher w[12];

static void feed(struct ev_loop *loop, int index, char *name, int priority) {
  bare(&w[index], name, priority);
  ev_feed_event(loop, &w[index], EV_CUSTOM);
}

CASE(priorities_order_what_is_pending) {
  struct ev_loop *loop = new_loop(0);
  feed(loop, 0, "0", 0);
  feed(loop, 1, "-2", -2);
  feed(loop, 2, "2", 2);
  feed(loop, 3, "-1", -1);
  feed(loop, 4, "1", 1);
  trace("pending %u", ev_pending_count(loop));
  ev_invoke_pending(loop);
  trace("pending %u", ev_pending_count(loop));
  ev_loop_destroy(loop);
}

CASE(priorities_equal_are_called_last_fed_first) {
  struct ev_loop *loop = new_loop(0);
  static char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
  for (int i = 0; i < 10; i++) feed(loop, i, names[i], i % 2 ? 1 : -1);
  ev_invoke_pending(loop);
  for (int i = 0; i < 10; i++) feed(loop, i, names[i], 0);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

CASE(priorities_out_of_range_are_clamped_by_start) {
  struct ev_loop *loop = new_loop(0);
  static const int asked[] = {-100, -3, -2, -1, 0, 1, 2, 3, 100};
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
    ev_timer t;
    ev_prepare p;
    ev_check c;
    ev_idle d;
    ev_periodic e;
    ev_io r;
    ev_async a;
    timer(&t, "t", 100., 0.);
    ev_prepare_init(&p, narrate_prepare);
    ev_check_init(&c, narrate_check);
    ev_idle_init(&d, narrate_idle);
    ev_periodic_init(&e, narrate_periodic, 0., 1000., NULL);
    ev_io_init(&r, narrate_io, STDOUT_FILENO, EV_READ);
    ev_async_init(&a, narrate_async);
    ev_watcher *all[] = {(ev_watcher *)&t, (ev_watcher *)&p, (ev_watcher *)&c, (ev_watcher *)&d,
                         (ev_watcher *)&e, (ev_watcher *)&r, (ev_watcher *)&a};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) ev_set_priority(all[n], asked[i]);
    ev_timer_start(loop, &t);
    ev_prepare_start(loop, &p);
    ev_check_start(loop, &c);
    ev_idle_start(loop, &d);
    ev_periodic_start(loop, &e);
    ev_io_start(loop, &r);
    ev_async_start(loop, &a);
    trace("%d: timer %d, prepare %d, check %d, idle %d, periodic %d, io %d, async %d", asked[i], ev_priority(&t),
          ev_priority(&p), ev_priority(&c), ev_priority(&d), ev_priority(&e), ev_priority(&r), ev_priority(&a));
    ev_timer_stop(loop, &t);
    ev_prepare_stop(loop, &p);
    ev_check_stop(loop, &c);
    ev_idle_stop(loop, &d);
    ev_periodic_stop(loop, &e);
    ev_io_stop(loop, &r);
    ev_async_stop(loop, &a);
    trace("stopped, kept: timer %d, idle %d", ev_priority(&t), ev_priority(&d));
  }
  ev_loop_destroy(loop);
}

CASE(priorities_are_zeroed_by_init_and_kept_by_set) {
  ev_timer t;
  timer(&t, "t", 1., 0.);
  ev_set_priority(&t, 2);
  ev_timer_set(&t, 2., 0.);
  trace("%d", ev_priority(&t));
  ev_init(&t, narrate_timer);
  trace("%d", ev_priority(&t));
}

CASE(priorities_may_change_between_stop_and_start) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[2];
  timer(&t[0], "first", -1., 0.);
  timer(&t[1], "second", -2., 0.);
  for (int i = 0; i < 2; i++) ev_timer_start(loop, &t[i]);
  ev_timer_stop(loop, &t[0]);
  ev_set_priority(&t[0], 1);
  ev_timer_set(&t[0], -1., 0.);
  ev_timer_start(loop, &t[0]);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static int next;

static void feeds_next(struct ev_loop *loop, ev_watcher *watcher, int revents) {
  trace("%s begins", name_of(watcher));
  narrate(loop, watcher, revents);
  if (next < 6) ev_feed_event(loop, &w[next++], EV_CUSTOM);
  trace("%s ends, pending %u", name_of(watcher), ev_pending_count(loop));
}

static void chain(int index, char *name, int priority) {
  bare(&w[index], name, priority);
  ev_set_cb(&w[index], feeds_next);
}

CASE(priorities_a_higher_one_fed_in_a_callback_is_called_before_the_rest) {
  struct ev_loop *loop = new_loop(0);
  feed(loop, 8, "waiting at 0", 0);
  feed(loop, 9, "waiting at -2", -2);
  feed(loop, 10, "waiting at 1", 1);
  chain(0, "at 0", 0);
  chain(1, "at 2", 2);
  chain(2, "another at 0", 0);
  chain(3, "at -1", -1);
  chain(4, "another at 2", 2);
  chain(5, "at 1", 1);
  next = 1;
  ev_feed_event(loop, &w[0], EV_CUSTOM);
  ev_invoke_pending(loop);
  trace("pending %u", ev_pending_count(loop));
  ev_loop_destroy(loop);
}

CASE(priorities_overtake_in_a_turn_too) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t[2];
  timer(&t[0], "timer", -2., 0.);
  timer(&t[1], "later timer", -1., 0.);
  ev_set_cb((ev_watcher *)&t[0], feeds_next);
  chain(1, "at 0", 0);
  chain(2, "at 1", 1);
  chain(3, "at 0 again", 0);
  chain(4, "at -2", -2);
  chain(5, "at 2", 2);
  next = 1;
  ev_timer_start(loop, &t[0]);
  ev_timer_start(loop, &t[1]);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

static void feeds_itself(struct ev_loop *loop, ev_watcher *watcher, int revents) {
  static int calls;
  narrate(loop, watcher, revents);
  if (++calls < 4) ev_feed_event(loop, watcher, calls % 2 ? EV_READ : EV_WRITE);
}

CASE(priorities_one_fed_by_itself_is_called_again_at_once) {
  struct ev_loop *loop = new_loop(0);
  feed(loop, 1, "waiting", 0);
  feed(loop, 2, "waiting low", -1);
  bare(&w[0], "feeds itself", 0);
  ev_set_cb(&w[0], feeds_itself);
  ev_feed_event(loop, &w[0], EV_CUSTOM);
  ev_invoke_pending(loop);
  ev_loop_destroy(loop);
}

static void stops_all(struct ev_loop *loop, ev_watcher *watcher, int revents) {
  narrate(loop, watcher, revents);
  for (int i = 0; i < 4; i++) trace("cleared %s: %s", name_of(&w[i]), bits(ev_clear_pending(loop, &w[i])));
  trace("pending %u", ev_pending_count(loop));
}

CASE(priorities_the_highest_can_clear_all_the_others) {
  struct ev_loop *loop = new_loop(0);
  feed(loop, 0, "a", 0);
  feed(loop, 1, "b", 0);
  feed(loop, 2, "c", -2);
  feed(loop, 3, "d", 1);
  feed(loop, 4, "high", 2);
  ev_set_cb(&w[4], stops_all);
  ev_invoke_pending(loop);
  trace("pending %u", ev_pending_count(loop));
  ev_loop_destroy(loop);
}

CASE(priorities_many_pending_of_all) {
  struct ev_loop *loop = new_loop(0);
  enum { MANY = 200 };
  static ev_watcher many[MANY];
  static char names[MANY][8];
  for (int i = 0; i < MANY; i++) {
    snprintf(names[i], sizeof names[i], "%d", i);
    bare(&many[i], names[i], i * 7 % 5 - 2);
    ev_feed_event(loop, &many[i], EV_CUSTOM);
  }
  ev_verify(loop);
  trace("pending %u", ev_pending_count(loop));
  for (int i = 0; i < MANY; i += 9) ev_clear_pending(loop, &many[i]);
  trace("pending %u", ev_pending_count(loop));
  ev_invoke_pending(loop);
  ev_loop_destroy(loop);
}
