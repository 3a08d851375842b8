/* SPDX-License-Identifier: BSD-3-Clause */
/* Finalizers: of events, of bufferevents, in every order, in callbacks and at a base's end. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "diff.h"

static struct event_base *the;
static struct event *all[8];

static void finalized(struct event *e, void *name) {
  trace("%s: finalized, %s", (const char *)name, bits(event_get_events(e)));
}

static void finalized_last(struct event *e, void *name) {
  finalized(e, name);
  free(NULL);
}

CASE(a_finalizer_is_called_in_the_loop) {
  the = new_base();
  all[0] = make(the, -1, EV_TIMEOUT | EV_FINALIZE, told, "e");
  event_add(all[0], ms(100000));
  CALL("finalize", event_finalize(0, all[0], finalized), counts(the));
  trace("pending: %d", event_pending(all[0], EV_TIMEOUT, NULL));
  CALL("turn", turn(the), counts(the));
  event_free(all[0]);
  event_base_free(the);
}

CASE(a_finalizing_event_takes_no_more_orders) {
  the = new_base();
  all[0] = make(the, SIGUSR1, EV_SIGNAL | EV_FINALIZE | EV_PERSIST, told, "e");
  event_add(all[0], NULL);
  event_finalize(0, all[0], finalized);
  trace("%s", disposition(SIGUSR1));
  trace("add: %d", event_add(all[0], ms(1)));
  event_active(all[0], EV_READ, 1);
  trace("del: %d", event_del(all[0]));
  trace("%s", counts(the));
  trace("turn: %d", turn(the));
  trace("flags: %#x", (unsigned)all[0]->ev_evcallback.evcb_flags);
  trace("add afterwards: %d", event_add(all[0], ms(1)));
  event_base_free(the);
}

CASE(free_finalize_frees_behind_the_callback) {
  the = new_base();
  all[0] = make(the, -1, EV_FINALIZE, told, "e");
  event_active(all[0], EV_READ, 1);
  trace("finalize: %d", event_free_finalize(0, all[0], finalized_last));
  CALL("turn", turn(the), counts(the));
  event_base_free(the);
}

static void finalizes_itself(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  event_free_finalize(0, all[0], finalized);
  event_active(all[1], EV_READ, 1);
}

CASE(finalized_in_its_own_callback) {
  the = new_base();
  all[0] = make(the, -1, EV_PERSIST | EV_FINALIZE, finalizes_itself, "self");
  all[1] = make(the, -1, 0, told, "other");
  event_add(all[0], ms(1));
  CALL("loop", event_base_dispatch(the), counts(the));
  event_free(all[1]);
  event_base_free(the);
}

static void finalizes_next(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  event_finalize(0, all[2], finalized);
  event_finalize(0, all[1], finalized);
}

CASE(finalizers_come_in_the_order_they_were_asked_for_among_active_ones) {
  the = new_base();
  all[0] = make(the, -1, EV_FINALIZE, finalizes_next, "first");
  static const char *const names[] = {"", "b", "c", "d"};
  for (int i = 1; i < 4; i++) all[i] = make(the, -1, EV_FINALIZE, told, names[i]);
  for (int i = 0; i < 4; i++) event_active(all[i], EV_READ, 1);
  CALL("turn", turn(the), counts(the));
  for (int i = 0; i < 4; i++) event_free(all[i]);
  event_base_free(the);
}

CASE(at_a_bases_end_finalizers_are_called) {
  the = new_base();
  for (int i = 0; i < 4; i++)
    all[i] = make(the, -1, EV_FINALIZE | EV_TIMEOUT, told, i == 0 ? "a" : i == 1 ? "b" : i == 2 ? "c" : "d");
  event_add(all[0], ms(1000));
  event_active(all[3], EV_READ, 1);
  event_finalize(0, all[0], finalized), event_free_finalize(0, all[2], finalized), event_finalize(0, all[1], finalized);
  trace("%s", counts(the));
  event_base_free(the);
  trace("freed");
}

CASE(at_a_bases_end_finalizers_may_be_left_out) {
  the = new_base();
  for (int i = 0; i < 2; i++) all[i] = make(the, -1, EV_FINALIZE, told, i == 0 ? "a" : "b");
  event_finalize(0, all[0], finalized);
  event_base_free_nofinalize(the);
  trace("freed");
  free(all[0]), free(all[1]);
}

static void priorities_finalized(int first, int second) {
  the = new_base_with(3);
  all[0] = make(the, -1, EV_FINALIZE, told, "a"), event_priority_set(all[0], first);
  all[1] = make(the, -1, EV_FINALIZE, told, "b"), event_priority_set(all[1], second);
  all[2] = make(the, -1, 0, told, "middle");
  event_active(all[2], EV_READ, 1);
  event_finalize(0, all[0], finalized), event_finalize(0, all[1], finalized);
  for (int i = 0; i < 3; i++) CALL("pass", turn(the), counts(the));
  for (int i = 0; i < 3; i++) event_free(all[i]);
  event_base_free(the);
}

CASE(finalizers_keep_to_priorities) {
  priorities_finalized(0, 2);
  priorities_finalized(2, 0);
}

/* --- bufferevents */

static void read_told(struct bufferevent *bev, void *name) {
  struct evbuffer *in = bufferevent_get_input(bev);
  trace("%s: read %zu", (const char *)name, evbuffer_get_length(in));
}

static void write_told(struct bufferevent *bev, void *name) {
  trace("%s: written, %zu left", (const char *)name, evbuffer_get_length(bufferevent_get_output(bev)));
}

static void event_told(struct bufferevent *bev, short what, void *name) {
  (void)bev;
  trace("%s: event %#x", (const char *)name, (unsigned)what);
}

static void freed(const void *data, size_t size, void *name) {
  (void)data, (void)size;
  trace("%s: freed with its buffer", (const char *)name);
}

static void with_reference(struct bufferevent *bev, const char *name) {
  evbuffer_add_reference(bufferevent_get_output(bev), "data", 4, freed, NAME(name));
}

static void free_now(struct bufferevent *bev, void *name) {
  read_told(bev, name);
  bufferevent_free(bev);
}

CASE(a_bufferevent_freed_with_callbacks_pending) {
  for (int options = 0; options < 4; options++) {
    int kinds[] = {0, BEV_OPT_DEFER_CALLBACKS, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS, BEV_OPT_CLOSE_ON_FREE};
    trace("-- options %#x", (unsigned)kinds[options]);
    the = new_base();
    int pair[2];
    make_pair(pair);
    struct bufferevent *bev = bufferevent_socket_new(the, pair[0], kinds[options]);
    bufferevent_setcb(bev, read_told, write_told, event_told, NAME("bev"));
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    fill(pair[0]);
    with_reference(bev, "output");
    put(pair[1], 3);
    turn(the);
    drain(pair[1]);
    bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
    bufferevent_free(bev);
    trace("open: %d, %s", is_open(pair[0]), counts(the));
    turn(the);
    trace("open: %d, %s", is_open(pair[0]), counts(the));
    event_base_free(the);
  }
}

CASE(a_bufferevent_freed_in_its_own_callback) {
  for (int defer = 0; defer < 2; defer++) {
    the = new_base();
    int pair[2];
    make_pair(pair);
    struct bufferevent *bev =
        bufferevent_socket_new(the, pair[0], BEV_OPT_CLOSE_ON_FREE | (defer ? BEV_OPT_DEFER_CALLBACKS : 0));
    bufferevent_setcb(bev, free_now, write_told, event_told, NAME("bev"));
    bufferevent_enable(bev, EV_READ);
    put(pair[1], 3);
    CALL("loop", event_base_dispatch(the), counts(the));
    trace("open: %d", is_open(pair[0]));
    event_base_free(the);
  }
}

CASE(a_bufferevent_freed_and_the_base_at_once) {
  for (int nofinalize = 0; nofinalize < 2; nofinalize++) {
    the = new_base();
    int pair[2];
    make_pair(pair);
    struct bufferevent *bev = bufferevent_socket_new(the, pair[0], BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(bev, read_told, write_told, event_told, NAME("bev"));
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    if (!nofinalize) with_reference(bev, "output");
    bufferevent_free(bev);
    if (nofinalize)
      turn(the), event_base_free_nofinalize(the);
    else
      event_base_free(the);
    trace("open: %d", is_open(pair[0]));
  }
}

CASE(pairs_and_filters_freed_in_either_order) {
  for (int order = 0; order < 4; order++) {
    trace("-- order %d", order);
    the = new_base();
    struct bufferevent *pair[2], *filter;
    NEED(!bufferevent_pair_new(the, BEV_OPT_DEFER_CALLBACKS, pair));
    filter = bufferevent_filter_new(pair[0], NULL, NULL, order & 1 ? BEV_OPT_CLOSE_ON_FREE : 0, NULL, NULL);
    bufferevent_setcb(filter, read_told, write_told, event_told, NAME("filter"));
    bufferevent_setcb(pair[1], read_told, write_told, event_told, NAME("other"));
    bufferevent_enable(filter, EV_READ | EV_WRITE), bufferevent_enable(pair[1], EV_READ | EV_WRITE);
    with_reference(filter, "output");
    bufferevent_write(pair[1], "abc", 3);
    turn(the);
    bufferevent_write(pair[1], "def", 3);
    if (order < 2)
      bufferevent_free(pair[1]), turn(the), bufferevent_free(filter);
    else
      bufferevent_free(filter), bufferevent_free(pair[1]);
    if (!(order & 1)) bufferevent_free(pair[0]);
    event_base_loop(the, EVLOOP_NONBLOCK);
    trace("%s", counts(the));
    event_base_free(the);
  }
}
