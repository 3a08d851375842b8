/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_set_allocator and ev_set_syserr_cb. */
#include <sys/resource.h>

#include "narrate.h"

enum { MOST = 4096 };

static void *live[MOST];
static int count, calls, strangers, none_left;

static int place_of(const void *p) {
  for (int i = 0; i < count; i++)
    if (live[i] == p) return i;
  return -1;
}

/* As realloc, where a size of nothing frees. */
static void *counting(void *p, long size) EV_NOEXCEPT {
  calls++;
  int place = p ? place_of(p) : -1;
  strangers += p && place < 0;
  if (!size) {
    if (place >= 0) live[place] = live[--count];
    free(p);
    return NULL;
  }
  if (none_left) return NULL;
  void *fresh = realloc(p, (size_t)size);
  NEED(fresh && count < MOST);
  if (place < 0) place = count++;
  live[place] = fresh;
  return fresh;
}

static void report(const char *when) { trace("%s: live %s, strangers %d", when, count ? "some" : "none", strangers); }

CASE(memory_of_a_loop_comes_from_the_allocator_and_goes_back) {
  ev_set_allocator(counting);
  struct ev_loop *loop = new_loop(0);
  trace("called: %s", yes(calls > 0));
  report("made");
  turn(loop);
  ev_loop_destroy(loop);
  report("destroyed");
}

static void told(int revents, void *arg) { trace("%s: %s", (const char *)arg, bits(revents)); }

static void use(struct ev_loop *loop) {
  static ev_timer t[500];
  static ev_periodic p[50];
  static ev_prepare prepare[20];
  static ev_check check[20];
  static ev_idle idle[20];
  static ev_async async[20];
  static ev_watcher fed[500];
  ev_io r[4];
  int ends[2];
  make_pair(ends);
  for (int i = 0; i < 500; i++) start_timer(loop, &t[i], "timer", 100. + i, 0.);
  for (int i = 0; i < 50; i++) {
    ev_periodic_init(&p[i], narrate_periodic, ev_time() + 500., 1000. + i, NULL);
    ev_periodic_start(loop, &p[i]);
  }
  for (int i = 0; i < 20; i++) {
    ev_prepare_init(&prepare[i], narrate_prepare);
    ev_check_init(&check[i], narrate_check);
    ev_idle_init(&idle[i], narrate_idle);
    ev_async_init(&async[i], narrate_async);
    prepare[i].data = check[i].data = idle[i].data = async[i].data = "hook";
    ev_prepare_start(loop, &prepare[i]);
    ev_check_start(loop, &check[i]);
    ev_idle_start(loop, &idle[i]);
    ev_async_start(loop, &async[i]);
  }
  for (int i = 0; i < 4; i++) {
    io(&r[i], "io", ends[i % 2], EV_READ);
    ev_io_start(loop, &r[i]);
  }
  for (int i = 0; i < 500; i++) {
    bare(&fed[i], "fed", 0);
    ev_feed_event(loop, &fed[i], EV_CUSTOM);
  }
  for (int i = 0; i < 500; i++) ev_clear_pending(loop, &fed[i]);
  ev_once(loop, ends[0], EV_WRITE, 100., told, "once");
  trace("turn %d", turn(loop));
  for (int i = 0; i < 4; i++) ev_io_stop(loop, &r[i]);
  close_both(ends);
}

CASE(memory_of_a_loop_in_use_goes_back_too) {
  ev_set_allocator(counting);
  struct ev_loop *loop = new_loop(0);
  use(loop);
  report("used");
  ev_loop_destroy(loop);
  report("destroyed");
}

CASE(memory_of_the_default_loop_goes_back_too) {
  ev_set_allocator(counting);
  struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
  NEED(loop);
  use(loop);
  report("used");
  ev_loop_destroy(loop);
  report("destroyed");
}

CASE(memory_of_several_loops_one_after_the_other) {
  ev_set_allocator(counting);
  for (int i = 0; i < 5; i++) {
    struct ev_loop *loop = new_loop(0);
    ev_once(loop, -1, 0, 0., told, "once");
    turn(loop);
    ev_loop_destroy(loop);
    report("destroyed");
  }
}

static void none_for_a_loop(void *nothing) {
  (void)nothing;
  none_left = 1;
  ev_set_allocator(counting);
  ev_loop_new(EVFLAG_NOENV);
  trace("made");
}

static void none_for_timers(void *nothing) {
  (void)nothing;
  static ev_timer t[3000];
  ev_set_allocator(counting);
  struct ev_loop *loop = new_loop(0);
  none_left = 1;
  for (int i = 0; i < 3000; i++) start_timer(loop, &t[i], "t", 100., 0.);
  trace("started");
}

static void none_for_once(void *nothing) {
  (void)nothing;
  ev_set_allocator(counting);
  struct ev_loop *loop = new_loop(0);
  none_left = 1;
  for (int i = 0; i < 1000; i++) ev_once(loop, -1, 0, 100., told, "once");
  trace("asked");
}

static void none_for_feeding(void *nothing) {
  (void)nothing;
  static ev_watcher w[10000];
  ev_set_allocator(counting);
  struct ev_loop *loop = new_loop(0);
  none_left = 1;
  for (int i = 0; i < 10000; i++) {
    bare(&w[i], "w", 0);
    ev_feed_event(loop, &w[i], EV_CUSTOM);
  }
  trace("fed");
}

CASE(memory_that_is_not_there_ends_the_process) {
  in_child("loop", none_for_a_loop, NULL);
  in_child("timers", none_for_timers, NULL);
  in_child("once", none_for_once, NULL);
  in_child("feeding", none_for_feeding, NULL);
}

static void limit_descriptors(rlim_t most) {
  struct rlimit limit;
  NEED(!getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
  NEED(!setrlimit(RLIMIT_NOFILE, &limit));
}

CASE(descriptors_that_are_not_there_are_no_epoll_loop) {
  struct ev_loop *first = new_loop(EVBACKEND_EPOLL);
  trace("backend %u", ev_backend(first));
  limit_descriptors(3);
  struct ev_loop *second = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  trace("second: %s", second ? "made" : "not made");
  limit_descriptors(1024);
  second = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  trace("second: %s", second ? "made" : "not made");
  ev_loop_destroy(second);
  ev_loop_destroy(first);
}

static void more_descriptors(const char *message) EV_NOEXCEPT {
  NEED(message);
  limit_descriptors(1024);
}

static int got;

static void got_async(struct ev_loop *loop, ev_async *w, int revents) {
  narrate(loop, w, revents);
  got = 1;
}

/* Whether the callback is needed is the library's business; that the watcher works is not. */
CASE(descriptors_can_be_found_by_the_syserr_callback) {
  struct ev_loop *loop = new_loop(0);
  ev_set_syserr_cb(more_descriptors);
  limit_descriptors(3);
  ev_async a;
  ev_async_init(&a, got_async);
  a.data = "async";
  ev_async_start(loop, &a);
  ev_async_send(loop, &a);
  run_until(loop, &got);
  ev_async_stop(loop, &a);
  ev_set_syserr_cb(NULL);
  ev_loop_destroy(loop);
  limit_descriptors(1024); /* whoever looks at the process when it ends needs some, too */
}
