/* SPDX-License-Identifier: BSD-3-Clause */
/* Which callbacks come first: priorities, timeouts, descriptors, signals, and what callbacks themselves make active. */
#include "diff.h"

static struct event *all[16];

CASE(what_is_made_active_is_called_in_that_order) {
  struct event_base *base = new_base();
  static const char *const names[] = {"a", "b", "c", "d"};
  for (int i = 0; i < 4; i++) all[i] = make(base, -1, 0, told, names[i]);
  static const int order[] = {2, 0, 3, 1, 2};
  for (int i = 0; i < 5; i++) event_active(all[order[i]], EV_READ, 1);
  trace("turn: %d", turn(base));
  for (int i = 0; i < 4; i++) event_free(all[i]);
  event_base_free(base);
}

CASE(the_first_priority_with_callbacks_is_all_of_a_pass) {
  struct event_base *base = new_base_with(4);
  static const char *const names[] = {"p0", "p1", "p2", "p3"};
  for (int i = 0; i < 4; i++) {
    all[i] = make(base, -1, 0, told, names[i]);
    trace("set: %d", event_priority_set(all[i], i));
  }
  for (int i = 3; i >= 0; i--) event_active(all[i], EV_TIMEOUT, 1);
  for (int i = 0; i < 5; i++) CALL("pass", turn(base), counts(base));
  for (int i = 0; i < 4; i++) event_free(all[i]);
  event_base_free(base);
}

static void urgent_again(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  static int left = 3;
  if (left-- > 0) event_active(all[0], EV_READ, 1);
}

CASE(an_urgent_one_made_active_by_a_less_urgent_one_overtakes_its_fellows) {
  struct event_base *base = new_base_with(3);
  all[0] = make(base, -1, 0, told, "urgent");
  event_priority_set(all[0], 0);
  for (int i = 1; i < 5; i++)
    all[i] = make(base, -1, 0, urgent_again, i == 1 ? "b" : i == 2 ? "c" : i == 3 ? "d" : "e");
  for (int i = 1; i < 5; i++) event_active(all[i], EV_WRITE, 1);
  while (event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE)) {
    trace("pass");
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
  }
  for (int i = 0; i < 5; i++) event_free(all[i]);
  event_base_free(base);
}

static void make_both_active(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  static int times;
  if (times++ < 2) {
    event_active(all[1], EV_READ, 1);
    event_active(all[0], EV_READ, 1);
  }
}

CASE(what_a_callback_makes_active_joins_the_end_of_the_same_pass) {
  struct event_base *base = new_base();
  all[0] = make(base, -1, 0, make_both_active, "self");
  all[1] = make(base, -1, 0, told, "other");
  all[2] = make(base, -1, 0, told, "third");
  event_active(all[0], EV_TIMEOUT, 1);
  event_active(all[2], EV_TIMEOUT, 1);
  trace("one pass: %d", event_base_loop(base, EVLOOP_ONCE));
  trace("left: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE));
  for (int i = 0; i < 3; i++) event_free(all[i]);
  event_base_free(base);
}

CASE(timers_come_by_their_times_whatever_the_order_they_were_added_in) {
  struct event_base *base = new_base();
  static char names[24][8];
  struct event *timers[24];
  for (int i = 0; i < 24; i++) {
    snprintf(names[i], sizeof names[i], "t%d", i);
    timers[i] = make(base, -1, EV_TIMEOUT, told, names[i]);
    event_add(timers[i], ms((i * 7) % 24 * 10 + 20));
  }
  for (int i = 0; i < 24; i += 3) event_del(timers[i]);
  trace("done: %d", event_base_dispatch(base));
  for (int i = 0; i < 24; i++) event_free(timers[i]);
  event_base_free(base);
}

enum { CROWD = 40 };
static struct event crowd[CROWD];
static char crowd_names[CROWD][8];

static void add_the_crowd(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  for (int i = 0; i < CROWD; i++) {
    snprintf(crowd_names[i], sizeof crowd_names[i], "t%d", i);
    set(&crowd[i], event_get_base(all[0]), -1, EV_TIMEOUT, told, crowd_names[i]);
    event_add(&crowd[i], ms(10));
  }
  event_del(&crowd[17]);
  event_del(&crowd[3]);
  event_add(&crowd[5], ms(10));
  event_add(&crowd[3], ms(10));
}

CASE(timers_added_with_one_cached_time_are_equal) {
  struct event_base *base = new_base();
  all[0] = make(base, -1, 0, add_the_crowd, "begin");
  event_active(all[0], EV_TIMEOUT, 1);
  event_base_dispatch(base);
  event_free(all[0]);
  event_base_free(base);
}

static const struct timeval *common;

static void add_mixed(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  for (int i = 0; i < 12; i++) {
    snprintf(crowd_names[i], sizeof crowd_names[i], "%s%d", i % 2 ? "c" : "t", i);
    set(&crowd[i], event_get_base(all[0]), -1, EV_TIMEOUT, told, crowd_names[i]);
    event_add(&crowd[i], i % 2 ? common : ms(30));
  }
}

CASE(common_and_plain_timeouts_of_the_same_length) {
  struct event_base *base = new_base();
  common = event_base_init_common_timeout(base, ms(30));
  NEED(common);
  all[0] = make(base, -1, 0, add_mixed, "begin");
  event_active(all[0], EV_TIMEOUT, 1);
  trace("done: %d", event_base_dispatch(base));
  event_free(all[0]);
  event_base_free(base);
}

CASE(descriptors_that_became_ready_one_after_another) {
  struct event_base *base = new_base();
  int pipes[8][2];
  static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
  for (int i = 0; i < 8; i++) {
    make_pipe(pipes[i]);
    all[i] = make(base, pipes[i][0], EV_READ | EV_PERSIST, told_and_drain, names[i]);
    event_add(all[i], NULL);
  }
  trace("quiet: %d", turn(base));
  static const int order[] = {5, 2, 7, 0, 1};
  for (int i = 0; i < 5; i++) put(pipes[order[i]][1], 1);
  trace("turn: %d", turn(base));
  for (int i = 4; i >= 0; i--) put(pipes[order[i]][1], 1);
  trace("turn: %d", turn(base));
  for (int i = 0; i < 8; i++) event_free(all[i]), close_both(pipes[i]);
  event_base_free(base);
}

CASE(descriptors_ready_before_they_are_added) {
  struct event_base *base = new_base();
  int pipes[6][2];
  static const char *const names[] = {"0", "1", "2", "3", "4", "5"};
  for (int i = 0; i < 6; i++) make_pipe(pipes[i]), put(pipes[i][1], 1);
  static const int order[] = {3, 1, 5, 0, 4, 2};
  for (int i = 0; i < 6; i++) {
    int k = order[i];
    all[k] = make(base, pipes[k][0], EV_READ | EV_PERSIST, told, names[k]);
    event_add(all[k], NULL);
  }
  for (int i = 0; i < 3; i++) trace("pass %d: %d", i, turn(base));
  for (int i = 0; i < 6; i++) drain(pipes[i][0]);
  trace("quiet: %d", turn(base));
  for (int i = 0; i < 6; i++) event_free(all[i]), close_both(pipes[i]);
  event_base_free(base);
}

CASE(events_of_one_descriptor_are_called_the_newest_first) {
  struct event_base *base = new_base();
  int pair[2];
  make_pair(pair);
  static const char *const names[] = {"r1", "w1", "r2", "rw", "w2"};
  static const short what[] = {EV_READ, EV_WRITE, EV_READ, EV_READ | EV_WRITE, EV_WRITE};
  for (int i = 0; i < 5; i++) {
    all[i] = make(base, pair[0], what[i] | EV_PERSIST, told, names[i]);
    event_add(all[i], NULL);
  }
  trace("turn: %d", turn(base));
  put(pair[1], 1);
  trace("turn: %d", turn(base));
  event_del(all[2]);
  event_add(all[2], NULL);
  event_add(all[0], NULL);
  trace("one was added anew: %d", turn(base));
  for (int i = 0; i < 5; i++) event_free(all[i]);
  close_both(pair);
  event_base_free(base);
}

CASE(ready_descriptors_come_before_due_timers) {
  struct event_base *base = new_base();
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  all[0] = make(base, -1, EV_TIMEOUT, told, "timer");
  all[1] = make(base, ends[0], EV_READ, told, "read");
  all[2] = make(base, -1, 0, told, "active");
  event_add(all[0], ms(0));
  event_add(all[1], NULL);
  event_active(all[2], EV_WRITE, 1);
  trace("turn: %d", turn(base));
  for (int i = 0; i < 3; i++) event_free(all[i]);
  close_both(ends);
  event_base_free(base);
}

CASE(an_event_whose_descriptor_and_timeout_are_both_due_is_called_once) {
  struct event_base *base = new_base();
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  all[0] = make(base, ends[0], EV_READ, told, "once");
  event_add(all[0], ms(1));
  pause_ms(15);
  CALL("turn", turn(base), state(all[0]));
  all[1] = make(base, ends[0], EV_READ | EV_PERSIST, told, "persistent");
  event_add(all[1], ms(1));
  pause_ms(15);
  CALL("turn", turn(base), state(all[1]));
  for (int i = 0; i < 2; i++) event_free(all[i]);
  close_both(ends);
  event_base_free(base);
}

CASE(a_signal_beside_a_descriptor_a_timer_and_an_active_event) {
  struct event_base *base = new_base_with(2);
  int ends[2];
  make_pipe(ends);
  all[0] = make(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, told, "signal");
  all[1] = make(base, ends[0], EV_READ, told, "read");
  all[2] = make(base, -1, EV_TIMEOUT, told, "timer");
  all[3] = make(base, -1, 0, told, "active");
  all[4] = make(base, SIGUSR2, EV_SIGNAL | EV_PERSIST, told, "urgent signal");
  event_priority_set(all[4], 0);
  for (int i = 0; i < 5; i++)
    if (i != 3) event_add(all[i], i == 2 ? ms(0) : NULL);
  turn(base);
  event_add(all[2], ms(0));
  put(ends[1], 1);
  raise(SIGUSR2);
  raise(SIGUSR1);
  event_active(all[3], EV_WRITE, 1);
  for (int i = 0; i < 4; i++) trace("pass: %d", event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK));
  for (int i = 0; i < 5; i++) event_free(all[i]);
  close_both(ends);
  event_base_free(base);
}

static void change_priority(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  for (int i = 0; i < 4; i++)
    trace("priority of %d, %s: %d", i, event_pending(all[i], EV_READ, NULL) ? "active" : "not active",
          event_priority_set(all[i], 2));
}

static int others[2], asked[2];

static void wish_to_write(evutil_socket_t fd, short what, void *name) {
  told_and_drain(fd, what, name);
  put(others[1], 1);
  event_add(all[1], NULL);
}

static void written(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  static int times;
  if (++times % 2) event_del(all[1]);
}

/* The wish to write is often granted at once: the pass that tells so tells also what else has become ready. */
CASE(a_wish_to_write_beside_what_is_ready) {
  struct event_base *base = new_base();
  make_pair(asked), make_pair(others);
  all[0] = make(base, asked[0], EV_READ | EV_PERSIST, wish_to_write, "asked");
  all[1] = make(base, asked[0], EV_WRITE | EV_PERSIST, written, "reply");
  all[2] = make(base, others[0], EV_READ | EV_PERSIST, told_and_drain, "other");
  event_add(all[0], NULL), event_add(all[2], NULL);
  turn(base);
  for (int i = 0; i < 4; i++) {
    put(asked[1], 1);
    for (int k = 0; k < 3; k++) {
      trace("pass");
      turn(base);
    }
  }
  for (int i = 0; i < 4; i++) { /* and the same descriptor has something to read as well */
    put(asked[1], 1);
    turn(base);
    put(asked[1], 1);
    for (int k = 0; k < 3; k++) {
      trace("pass");
      turn(base);
    }
  }
  for (int i = 0; i < 3; i++) event_free(all[i]);
  close_both(asked), close_both(others);
  event_base_free(base);
}

CASE(the_priority_of_an_active_event_cannot_be_changed) {
  struct event_base *base = new_base_with(3);
  for (int i = 0; i < 4; i++)
    all[i] = make(base, -1, 0, i ? told : change_priority, i == 0 ? "a" : i == 1 ? "b" : i == 2 ? "c" : "d");
  for (int i = 0; i < 3; i++) event_active(all[i], EV_READ, 1);
  turns(base, 3);
  for (int i = 0; i < 4; i++) trace("%s", state(all[i])), event_free(all[i]);
  event_base_free(base);
}

static void delete_the_next(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  event_del(all[1]);
  event_del(all[3]);
  event_add(all[3], ms(0));
}

CASE(an_active_event_that_is_deleted_is_not_called) {
  struct event_base *base = new_base();
  for (int i = 0; i < 4; i++)
    all[i] = make(base, -1, 0, i ? told : delete_the_next, i == 0 ? "a" : i == 1 ? "b" : i == 2 ? "c" : "d");
  for (int i = 0; i < 4; i++) event_active(all[i], EV_READ, 1);
  turns(base, 2);
  for (int i = 0; i < 4; i++) trace("%s", state(all[i])), event_free(all[i]);
  event_base_free(base);
}

CASE(what_an_active_event_is_told_adds_up) {
  struct event_base *base = new_base();
  int pair[2];
  make_pair(pair);
  all[0] = make(base, pair[0], EV_READ | EV_WRITE | EV_PERSIST, told, "both");
  event_add(all[0], ms(1000));
  event_active(all[0], EV_TIMEOUT, 1);
  trace("%s", state(all[0]));
  event_active(all[0], EV_READ, 5);
  trace("%s", state(all[0]));
  turn(base);
  event_active(all[0], 0, 0);
  trace("%s", state(all[0]));
  event_del(all[0]);
  turn(base);
  event_free(all[0]);
  close_both(pair);
  event_base_free(base);
}
