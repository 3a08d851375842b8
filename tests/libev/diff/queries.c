/* SPDX-License-Identifier: BSD-3-Clause */
/* What a program may ask of the library and of a loop, and how loops are made and ended. */
#include "helpers.h"

#include <setjmp.h>
#include <sys/time.h>

static const char *names_of(unsigned backends) {
  static char text[4][80];
  static unsigned next;
  static const char *const names[] = {"select", "poll", "epoll", "kqueue", "devpoll", "port", "linuxaio", "iouring"};
  char *t = text[next++ % 4];
  size_t used = 0;
  *t = 0;
  for (unsigned i = 0; i < 8; ++i)
    if (backends >> i & 1) used += (size_t)snprintf(t + used, sizeof text[0] - used, "%s%s", used ? "|" : "", names[i]);
  if (backends >> 8) snprintf(t + used, sizeof text[0] - used, "|%x", backends >> 8 << 8);
  return t;
}

CASE(backends_that_every_program_asks_for) {
  unsigned common = EVBACKEND_SELECT | EVBACKEND_POLL | EVBACKEND_EPOLL;
  trace("supported: %s", names_of(ev_supported_backends() & common));
  trace("recommended: %s", names_of(ev_recommended_backends()));
  trace("all recommended ones are supported: %s", yes(!(ev_recommended_backends() & ~ev_supported_backends())));
  trace("embeddable: epoll %s, select %s, poll %s", yes(ev_embeddable_backends() & EVBACKEND_EPOLL),
        yes(ev_embeddable_backends() & EVBACKEND_SELECT), yes(ev_embeddable_backends() & EVBACKEND_POLL));
  trace("embeddable and supported: %s", names_of(ev_embeddable_backends() & ev_supported_backends() & common));
}

CASE(backends_of_other_systems_are_not_supported) {
  unsigned other = EVBACKEND_KQUEUE | EVBACKEND_DEVPOLL | EVBACKEND_PORT;
  trace("supported %x, recommended %x", ev_supported_backends() & other, ev_recommended_backends() & other);
}

CASE(backends_that_are_supported_come_out_of_ev_supported_backends) {
  trace("supported: %s", names_of(ev_supported_backends()));
  trace("embeddable: %s", names_of(ev_embeddable_backends()));
}

static void made_with(const char *what, unsigned flags) {
  struct ev_loop *loop = ev_loop_new(flags);
  trace("%s: %s", what, loop ? names_of(ev_backend(loop)) : "no loop");
  if (loop) {
    turn(loop);
    ev_loop_destroy(loop);
  }
}

CASE(backend_of_a_loop_is_the_one_asked_for) {
  made_with("auto", EVFLAG_AUTO);
  made_with("epoll", EVBACKEND_EPOLL);
  made_with("poll", EVBACKEND_POLL);
  made_with("select", EVBACKEND_SELECT);
  made_with("select or poll", EVBACKEND_SELECT | EVBACKEND_POLL);
  made_with("poll or epoll", EVBACKEND_POLL | EVBACKEND_EPOLL);
  made_with("recommended", ev_recommended_backends());
  made_with("recommended, embeddable", ev_recommended_backends() & ev_embeddable_backends());
  made_with("recommended without fork check", ev_recommended_backends() | EVFLAG_FORKCHECK | EVFLAG_NOINOTIFY);
}

CASE(backend_of_another_system_makes_no_loop) {
  made_with("kqueue", EVBACKEND_KQUEUE);
  made_with("port", EVBACKEND_PORT | EVFLAG_FORKCHECK);
  made_with("devpoll", EVBACKEND_DEVPOLL);
  made_with("kqueue or poll", EVBACKEND_KQUEUE | EVBACKEND_POLL);
  trace("default loop: %s", ev_default_loop(EVBACKEND_KQUEUE) ? "made" : "none");
  trace("its pointer: %s", EV_DEFAULT_UC ? "set" : "not set");
  trace("default loop: %s", ev_default_loop(EVBACKEND_POLL) ? names_of(ev_backend(EV_DEFAULT_UC)) : "none");
}

CASE(environment_chooses_the_backend_where_it_may) {
  setenv("LIBEV_FLAGS", "2", 1);
  made_with("auto, the environment says poll", 0);
  made_with("select, the environment says poll", EVBACKEND_SELECT);
  made_with("auto without the environment", EVFLAG_NOENV);
  made_with("select without the environment", EVFLAG_NOENV | EVBACKEND_SELECT);
  setenv("LIBEV_FLAGS", "8", 1);
  made_with("auto, the environment says kqueue", 0);
  setenv("LIBEV_FLAGS", "", 1);
  made_with("poll, the environment is empty", EVBACKEND_POLL);
  setenv("LIBEV_FLAGS", "1", 1);
  trace("default loop: %s", names_of(ev_backend(ev_default_loop(0))));
}

CASE(default_loop_is_made_once) {
  trace("before: %s", EV_DEFAULT_UC ? "there" : "none");
  struct ev_loop *other = ev_loop_new(0);
  trace("a dynamic loop is not it: %s", yes(EV_DEFAULT_UC == NULL && ev_is_default_loop(NULL)));
  struct ev_loop *loop = ev_default_loop(EVBACKEND_POLL);
  trace("made: %s %s %s", yes(loop != NULL), yes(loop == EV_DEFAULT_UC), yes(ev_is_default_loop(loop)));
  trace("another call: %s, %s", yes(ev_default_loop(EVBACKEND_SELECT) == loop), names_of(ev_backend(loop)));
  trace("dynamic: %d", ev_is_default_loop(other));
  ev_loop_destroy(other);
  ev_loop_destroy(loop);
  trace("destroyed: %s", EV_DEFAULT_UC ? "there" : "none");
  loop = ev_default_loop(EVBACKEND_SELECT);
  trace("made again: %s, iteration %u", names_of(ev_backend(loop)), ev_iteration(loop));
}

CASE(new_loop_has_nothing) {
  struct ev_loop *loop = ev_loop_new(0);
  trace("iteration %u depth %u pending %u data %s", ev_iteration(loop), ev_depth(loop), ev_pending_count(loop),
        ev_userdata(loop) ? "some" : "none");
  ev_verify(loop);
  trace("run %d", ev_run(loop, 0));
  trace("iteration %u depth %u", ev_iteration(loop), ev_depth(loop));
  ev_set_userdata(loop, &loop);
  trace("data is what was set: %s", yes(ev_userdata(loop) == &loop));
  ev_set_userdata(loop, NULL);
  trace("data: %s", ev_userdata(loop) ? "some" : "none");
  ev_loop_destroy(loop);
  ev_loop_destroy(NULL);
}

CASE(loops_come_and_go_and_leave_no_descriptor) {
  int before = open_descriptors();
  for (int i = 0; i < 50; ++i) {
    struct ev_loop *loop = ev_loop_new(i % 2 ? EVBACKEND_EPOLL : EVFLAG_AUTO);
    ev_async async;
    ev_async_init(&async, NULL);
    ev_async_start(loop, &async);
    turn(loop);
    ev_async_stop(loop, &async);
    ev_loop_destroy(loop);
  }
  trace("descriptors left: %d", open_descriptors() - before);
}

CASE(time_is_that_of_the_wall_clock) {
  struct timeval now;
  gettimeofday(&now, NULL);
  double before = (double)now.tv_sec + (double)now.tv_usec * 1e-6;
  double time = ev_time();
  struct ev_loop *loop = ev_loop_new(0);
  double cached = ev_now(loop);
  gettimeofday(&now, NULL);
  double after = (double)now.tv_sec + (double)now.tv_usec * 1e-6 + 1e-5;
  trace("in order: %s %s", yes(before <= time + 1e-5 && time <= after),
        yes(before <= cached + 1e-5 && cached <= after));
  pause_ms(3);
  trace("cached: %s", yes(cached == ev_now(loop)));
  ev_now_update(loop);
  trace("updated: %s", yes(ev_now(loop) > cached));
}

CASE(sleep_is_not_short) {
  double start = ev_time();
  ev_sleep(0.02);
  trace("early: %s", yes(ev_time() - start < 0.0199));
  ev_sleep(0.);
  ev_sleep(-3.);
  trace("back");
}

static jmp_buf out;

static void leaves(struct ev_loop *loop, ev_timer *w, int revents) {
  trace("depth %u, leaves", ev_depth(loop));
  longjmp(out, 1);
  (void)w, (void)revents;
}

static void stays(struct ev_loop *loop, ev_timer *w, int revents) {
  trace("depth %u, stays, %s", ev_depth(loop), state(w));
  (void)revents;
}

/* The manual allows it; the depth is not that of before, which the manual says too. */
CASE(run_may_be_left_by_a_jump) {
  static struct ev_loop *loop;
  static ev_timer first, second;
  loop = ev_loop_new(0);
  ev_timer_init(&first, leaves, 0., 0.);
  ev_timer_init(&second, stays, 0., 0.);
  ev_set_priority(&first, 1);
  ev_timer_start(loop, &first);
  ev_timer_start(loop, &second);
  if (!setjmp(out)) {
    turn(loop);
    trace("never written");
  }
  trace("out, depth %u, pending %u, %s", ev_depth(loop), ev_pending_count(loop), state(&second));
  turn(loop);
  trace("depth %u", ev_depth(loop));
  ev_timer_start(loop, &second);
  trace("run %d", ev_run(loop, 0));
  ev_verify(loop);
}

static void *allocations(void *block, long size) {
  static int said;
  if (!said++) trace("the allocator is asked");
  if (size) return realloc(block, (size_t)size);
  free(block);
  return NULL;
}

CASE(allocator_set_before_any_loop_is_used) {
  ev_set_allocator(allocations);
  struct ev_loop *loop = ev_loop_new(0);
  turn(loop);
  ev_loop_destroy(loop);
}

static void on_cleanup(struct ev_loop *loop, ev_cleanup *w, int revents) {
  trace("cleanup %s, %s, data %s", bits(revents), state(w), ev_userdata(loop) ? "some" : "none");
}

CASE(loop_destroyed_with_watchers_active) {
  static ev_timer timer;
  static ev_io io;
  static ev_cleanup first, second;
  int ends[2];
  struct ev_loop *loop = ev_loop_new(0);
  make_pipe(ends);
  ev_set_userdata(loop, &ends);
  ev_timer_init(&timer, stays, 0., 5.);
  ev_timer_start(loop, &timer);
  ev_io_init(&io, NULL, ends[0], EV_READ);
  ev_io_start(loop, &io);
  ev_cleanup_init(&first, on_cleanup);
  ev_cleanup_start(loop, &first);
  ev_cleanup_init(&second, on_cleanup);
  ev_set_priority(&second, 1);
  ev_cleanup_start(loop, &second);
  ev_loop_destroy(loop);
  trace("the descriptor is the program's: %d", is_open(ends[0]));
}
