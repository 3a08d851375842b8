/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffered events: sockets, pairs, filters, watermarks, timeouts and rate limits. They are libevent's own, on either
   event core. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_struct.h>

#include "diff.h"

static struct event_base *the;
static int pair[2];

static const char *what_of(short what) {
  static const struct diff_bit names[] = {{BEV_EVENT_READING, "READING"},
                                          {BEV_EVENT_WRITING, "WRITING"},
                                          {BEV_EVENT_EOF, "EOF"},
                                          {BEV_EVENT_ERROR, "ERROR"},
                                          {BEV_EVENT_TIMEOUT, "TIMEOUT"},
                                          {BEV_EVENT_CONNECTED, "CONNECTED"},
                                          {0, NULL}};
  return diff_bits(what, names);
}

static void read_told(struct bufferevent *bev, void *name) {
  char text[64];
  size_t had = evbuffer_get_length(bufferevent_get_input(bev)), n = bufferevent_read(bev, text, sizeof text - 1);
  text[n] = 0;
  trace("%s: read %zu of %zu: %s", (const char *)name, n, had, text);
}

static void count_told(struct bufferevent *bev, void *name) {
  trace("%s: has %zu", (const char *)name, evbuffer_get_length(bufferevent_get_input(bev)));
}

static void write_told(struct bufferevent *bev, void *name) {
  trace("%s: written, %zu left", (const char *)name, evbuffer_get_length(bufferevent_get_output(bev)));
}

static void event_told(struct bufferevent *bev, short what, void *name) {
  trace("%s: %s, enabled %s", (const char *)name, what_of(what), bits(bufferevent_get_enabled(bev)));
  if (what & BEV_EVENT_TIMEOUT) event_base_loopbreak(the);
}

static struct bufferevent *of_socket(int fd, int options, const char *name) {
  struct bufferevent *bev = bufferevent_socket_new(the, fd, options);
  NEED(bev);
  bufferevent_setcb(bev, read_told, write_told, event_told, NAME(name));
  return bev;
}

static void settle(void) { event_base_loop(the, EVLOOP_NONBLOCK); }

CASE(a_socket_reads_and_writes) {
  the = new_base(), make_pair(pair);
  struct bufferevent *bev = of_socket(pair[0], BEV_OPT_CLOSE_ON_FREE, "bev");
  trace("%s", counts(the));
  bufferevent_enable(bev, EV_READ);
  trace("enabled: %s, %s", bits(bufferevent_get_enabled(bev)), counts(the));
  settle();
  NEED(write(pair[1], "hello", 5) == 5);
  settle();
  trace("write: %d", bufferevent_write(bev, "answer", 6));
  settle();
  char text[16] = "";
  NEED(read(pair[1], text, sizeof text - 1) == 6);
  trace("got: %s, %s", text, counts(the));
  bufferevent_disable(bev, EV_READ | EV_WRITE);
  NEED(write(pair[1], "more", 4) == 4);
  bufferevent_write(bev, "unsent", 6);
  settle();
  trace("disabled: %d", (int)read(pair[1], text, sizeof text));
  bufferevent_enable(bev, EV_READ | EV_WRITE);
  settle();
  shutdown(pair[1], SHUT_WR);
  settle();
  bufferevent_free(bev), settle();
  close(pair[1]);
  event_base_free(the);
}

CASE(deferred_callbacks_come_together) {
  the = new_base(), make_pair(pair);
  struct bufferevent *bev = of_socket(pair[0], BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS, "bev");
  bufferevent_enable(bev, EV_READ | EV_WRITE);
  bufferevent_write(bev, "x", 1);
  NEED(write(pair[1], "abc", 3) == 3);
  struct event *other = make(the, -1, 0, told, "other");
  event_active(other, EV_READ, 1);
  for (int i = 0; i < 4; i++) CALL("pass", turn(the), counts(the));
  close(pair[1]);
  for (int i = 0; i < 4; i++) CALL("pass", turn(the), counts(the));
  bufferevent_free(bev), settle();
  event_free(other);
  event_base_free(the);
}

CASE(watermarks) {
  the = new_base(), make_pair(pair);
  struct bufferevent *bev = of_socket(pair[0], BEV_OPT_CLOSE_ON_FREE, "bev");
  bufferevent_setcb(bev, count_told, write_told, event_told, NAME("bev"));
  bufferevent_setwatermark(bev, EV_READ, 4, 0);
  bufferevent_setwatermark(bev, EV_WRITE, 2, 0);
  bufferevent_enable(bev, EV_READ | EV_WRITE);
  put(pair[1], 3), trace("three"), turns(the, 3);
  put(pair[1], 3), trace("six"), turns(the, 3);
  put(pair[1], 10), trace("sixteen"), turns(the, 3);
  trace("draining"), evbuffer_drain(bufferevent_get_input(bev), 7), turns(the, 3);
  trace("draining all"), evbuffer_drain(bufferevent_get_input(bev), 100), turns(the, 3);
  bufferevent_write(bev, "0123456789", 10), turns(the, 3);
  bufferevent_free(bev), turns(the, 3);
  close(pair[1]);
  event_base_free(the);
}

CASE(timeouts_of_reading_and_writing) {
  the = new_base(), make_pair(pair);
  struct bufferevent *bev = of_socket(pair[0], BEV_OPT_CLOSE_ON_FREE, "bev");
  bufferevent_set_timeouts(bev, ms(20), ms(5000));
  bufferevent_enable(bev, EV_READ | EV_WRITE);
  trace("loop: %d", event_base_dispatch(the));
  bufferevent_set_timeouts(bev, NULL, ms(20));
  fill(pair[0]);
  bufferevent_write(bev, "x", 1);
  trace("loop: %d", event_base_dispatch(the));
  bufferevent_free(bev), settle();
  close(pair[1]);
  event_base_free(the);
}

CASE(a_pair) {
  for (int options = 0; options < 2; options++) {
    struct bufferevent *two[2];
    the = new_base();
    NEED(!bufferevent_pair_new(the, options ? BEV_OPT_DEFER_CALLBACKS : 0, two));
    bufferevent_setcb(two[0], read_told, write_told, event_told, NAME("left"));
    bufferevent_setcb(two[1], read_told, write_told, event_told, NAME("right"));
    bufferevent_enable(two[0], EV_READ | EV_WRITE), bufferevent_enable(two[1], EV_READ | EV_WRITE);
    trace("%s", counts(the));
    bufferevent_write(two[0], "to the right", 12), settle();
    bufferevent_write(two[1], "to the left", 11), settle();
    bufferevent_disable(two[1], EV_READ);
    bufferevent_write(two[0], "held", 4), settle();
    bufferevent_enable(two[1], EV_READ), settle();
    trace("flush: %d", bufferevent_flush(two[0], EV_WRITE, BEV_FINISHED)), settle();
    bufferevent_free(two[0]), bufferevent_free(two[1]), settle();
    trace("%s", counts(the));
    event_base_free(the);
  }
}

static enum bufferevent_filter_result upper(struct evbuffer *from, struct evbuffer *to, ev_ssize_t limit,
                                            enum bufferevent_flush_mode mode, void *arg) {
  unsigned char c;
  (void)limit, (void)mode, (void)arg;
  while (evbuffer_remove(from, &c, 1) > 0) {
    c = (unsigned char)(c >= 'a' && c <= 'z' ? c - 32 : c);
    evbuffer_add(to, &c, 1);
  }
  return BEV_OK;
}

CASE(a_filter_over_a_socket) {
  the = new_base(), make_pair(pair);
  struct bufferevent *under = bufferevent_socket_new(the, pair[0], BEV_OPT_CLOSE_ON_FREE);
  struct bufferevent *bev = bufferevent_filter_new(under, upper, upper, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
  bufferevent_setcb(bev, read_told, write_told, event_told, NAME("filter"));
  bufferevent_enable(bev, EV_READ | EV_WRITE);
  NEED(write(pair[1], "hello", 5) == 5), settle();
  bufferevent_write(bev, "bye", 3), settle();
  char text[8] = "";
  NEED(read(pair[1], text, sizeof text - 1) == 3);
  trace("got: %s", text);
  close(pair[1]), settle();
  bufferevent_free(bev), settle();
  trace("%s", counts(the));
  event_base_free(the);
}

CASE(an_urgent_bufferevent_comes_first) {
  the = new_base_with(3);
  int other[2];
  make_pair(pair), make_pair(other);
  struct bufferevent *a = of_socket(pair[0], BEV_OPT_CLOSE_ON_FREE, "lazy"),
                     *b = of_socket(other[0], BEV_OPT_CLOSE_ON_FREE, "urgent");
  trace("priority: %d %d", bufferevent_priority_set(a, 2), bufferevent_priority_set(b, 0));
  trace("of: %d %d", bufferevent_get_priority(a), bufferevent_get_priority(b));
  bufferevent_enable(a, EV_READ), bufferevent_enable(b, EV_READ);
  NEED(write(pair[1], "a", 1) == 1 && write(other[1], "b", 1) == 1);
  settle();
  bufferevent_free(a), bufferevent_free(b), settle();
  close(pair[1]), close(other[1]);
  event_base_free(the);
}

static size_t received;
static void receive(struct bufferevent *bev, void *name) {
  (void)name;
  struct evbuffer *in = bufferevent_get_input(bev);
  received += evbuffer_get_length(in);
  evbuffer_drain(in, evbuffer_get_length(in));
}

CASE(a_rate_limit_holds_back_and_then_lets_through) {
  the = new_base(), make_pair(pair);
  struct bufferevent *bev = of_socket(pair[0], BEV_OPT_CLOSE_ON_FREE, "bev");
  bufferevent_setcb(bev, receive, NULL, event_told, NAME("bev"));
  struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(100, 100, 100, 100, ms(200));
  trace("limit: %d", bufferevent_set_rate_limit(bev, cfg));
  bufferevent_enable(bev, EV_READ);
  put(pair[1], 350);
  settle();
  trace("at once: %s", yes(received >= 100 && received < 350));
  while (received < 350) event_base_loop(the, EVLOOP_ONCE);
  trace("all: %zu", received);
  bufferevent_free(bev), settle();
  ev_token_bucket_cfg_free(cfg);
  close(pair[1]);
  event_base_free(the);
}

CASE(a_group_with_a_rate_limit) {
  the = new_base();
  int ends[3][2];
  struct bufferevent *all[3];
  struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(300, 300, 300, 300, ms(50));
  struct bufferevent_rate_limit_group *group = bufferevent_rate_limit_group_new(the, cfg);
  for (int i = 0; i < 3; i++) {
    make_pair(ends[i]);
    all[i] = of_socket(ends[i][0], BEV_OPT_CLOSE_ON_FREE, "bev");
    bufferevent_setcb(all[i], receive, NULL, event_told, NAME("bev"));
    trace("joined: %d", bufferevent_add_to_rate_limit_group(all[i], group));
    bufferevent_enable(all[i], EV_READ);
    put(ends[i][1], 500);
  }
  while (received < 1500) event_base_loop(the, EVLOOP_ONCE);
  ev_uint64_t total_read, total_written;
  bufferevent_rate_limit_group_get_totals(group, &total_read, &total_written);
  trace("all: %zu, totals %d %d", received, (int)total_read, (int)total_written);
  for (int i = 0; i < 3; i++) bufferevent_free(all[i]), close(ends[i][1]);
  settle();
  bufferevent_rate_limit_group_free(group);
  ev_token_bucket_cfg_free(cfg);
  event_base_free(the);
}

static void changed(struct evbuffer *b, const struct evbuffer_cb_info *info, void *name) {
  trace("%s: had %zu, added %zu, deleted %zu, has %zu", (const char *)name, info->orig_size, info->n_added,
        info->n_deleted, evbuffer_get_length(b));
}

CASE(a_buffers_callbacks_may_be_deferred_to_the_loop) {
  the = new_base();
  struct evbuffer *b = evbuffer_new();
  evbuffer_add_cb(b, changed, NAME("buffer"));
  evbuffer_add(b, "abc", 3);
  trace("defer: %d", evbuffer_defer_callbacks(b, the));
  evbuffer_add(b, "defgh", 5), evbuffer_drain(b, 2);
  trace("deferred, %s", counts(the));
  settle();
  evbuffer_add(b, "i", 1);
  evbuffer_free(b);
  trace("freed, %s", counts(the));
  settle();
  event_base_free(the);
}

static int chained;
static struct bufferevent *chain[2][2];
static void ping_pong(struct bufferevent *bev, void *name) {
  (void)name;
  evbuffer_drain(bufferevent_get_input(bev), 100);
  if (++chained < 200) bufferevent_write(bev, "x", 1);
}

CASE(more_deferred_callbacks_than_one_pass_takes) {
  the = new_base();
  for (int i = 0; i < 2; i++) {
    NEED(!bufferevent_pair_new(the, BEV_OPT_DEFER_CALLBACKS, chain[i]));
    for (int k = 0; k < 2; k++) {
      bufferevent_setcb(chain[i][k], ping_pong, NULL, NULL, NULL);
      bufferevent_enable(chain[i][k], EV_READ | EV_WRITE);
    }
    bufferevent_write(chain[i][0], "x", 1);
  }
  int passes = 0;
  while (event_base_get_num_events(the, EVENT_BASE_COUNT_ACTIVE)) {
    turn(the);
    trace("pass %d: %d", passes++, chained);
  }
  for (int i = 0; i < 2; i++) bufferevent_free(chain[i][0]), bufferevent_free(chain[i][1]);
  settle();
  event_base_free(the);
}

static void *writes_in_a_thread(void *bev) {
  for (int i = 0; i < 100; i++) bufferevent_write(bev, "0123456789", 10);
  return NULL;
}

static void all_received(struct bufferevent *bev, void *name) {
  receive(bev, name);
  if (received == 1000) event_base_loopbreak(the);
}

CASE(written_to_by_another_thread) {
  NEED(!evthread_use_pthreads());
  the = new_base(), make_pair(pair);
  struct bufferevent *bev =
      of_socket(pair[0], BEV_OPT_CLOSE_ON_FREE | BEV_OPT_THREADSAFE | BEV_OPT_DEFER_CALLBACKS, "bev");
  struct bufferevent *other = of_socket(pair[1], BEV_OPT_CLOSE_ON_FREE | BEV_OPT_THREADSAFE, "other");
  bufferevent_setcb(bev, NULL, NULL, NULL, NULL),
      bufferevent_setcb(other, all_received, NULL, event_told, NAME("other"));
  bufferevent_enable(bev, EV_WRITE), bufferevent_enable(other, EV_READ);
  pthread_t thread;
  NEED(!pthread_create(&thread, NULL, writes_in_a_thread, bev));
  trace("loop: %d", event_base_dispatch(the));
  pthread_join(thread, NULL);
  trace("received: %zu", received);
  bufferevent_free(bev), bufferevent_free(other);
  event_base_loop(the, EVLOOP_NONBLOCK);
  event_base_free(the);
}
