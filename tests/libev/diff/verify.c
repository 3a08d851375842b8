/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_verify finds nothing wrong, whatever a correct program does before. */
#include "narrate.h"

static void verified(struct ev_loop *loop, void *w, int revents) {
  ev_verify(loop);
  narrate(loop, w, revents);
}

static void in_timer(struct ev_loop *loop, ev_timer *w, int revents) { verified(loop, w, revents); }
static void in_prepare(struct ev_loop *loop, ev_prepare *w, int revents) { verified(loop, w, revents); }
static void in_check(struct ev_loop *loop, ev_check *w, int revents) { verified(loop, w, revents); }
static void in_io(struct ev_loop *loop, ev_io *w, int revents) { verified(loop, w, revents); }
static void in_idle(struct ev_loop *loop, ev_idle *w, int revents) { verified(loop, w, revents); }

CASE(verify_of_a_new_loop) {
  struct ev_loop *loop = new_loop(0);
  ev_verify(loop);
  turn(loop);
  ev_verify(loop);
  ev_loop_destroy(loop);
  loop = ev_default_loop(EVFLAG_NOENV);
  ev_verify(loop);
  turn(loop);
  ev_verify(loop);
  trace("well");
}

CASE(verify_in_callbacks) {
  struct ev_loop *loop = new_loop(0);
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  ev_timer t;
  ev_prepare p;
  ev_check c;
  ev_io r;
  ev_idle i;
  timer(&t, "timer", -1., 100.);
  ev_set_cb(&t, in_timer);
  ev_prepare_init(&p, in_prepare);
  ev_check_init(&c, in_check);
  io(&r, "io", ends[0], EV_READ);
  ev_set_cb(&r, in_io);
  ev_idle_init(&i, in_idle);
  p.data = "prepare";
  c.data = "check";
  i.data = "idle";
  ev_set_priority(&i, 1);
  ev_timer_start(loop, &t);
  ev_prepare_start(loop, &p);
  ev_check_start(loop, &c);
  ev_io_start(loop, &r);
  ev_idle_start(loop, &i);
  ev_verify(loop);
  trace("turn %d", turn(loop));
  ev_verify(loop);
  ev_timer_stop(loop, &t);
  ev_prepare_stop(loop, &p);
  ev_check_stop(loop, &c);
  ev_verify(loop);
  ev_io_stop(loop, &r);
  ev_idle_stop(loop, &i);
  ev_verify(loop);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(verify_while_things_are_pending_and_cleared) {
  struct ev_loop *loop = new_loop(0);
  ev_watcher w[5];
  for (int i = 0; i < 5; i++) {
    bare(&w[i], "w", i - 2);
    ev_feed_event(loop, &w[i], EV_CUSTOM);
    ev_verify(loop);
  }
  ev_clear_pending(loop, &w[2]);
  ev_verify(loop);
  ev_invoke_pending(loop);
  ev_verify(loop);
  ev_loop_destroy(loop);
}

CASE(verify_with_references_taken_away) {
  struct ev_loop *loop = new_loop(0);
  ev_timer t;
  start_timer(loop, &t, "t", 100., 0.);
  ev_unref(loop);
  ev_verify(loop);
  trace("turn %d", turn(loop));
  ev_ref(loop);
  ev_timer_stop(loop, &t);
  ev_verify(loop);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}

enum { MANY = 300 };

static uint32_t next_random(void) {
  static uint64_t seed = 1234567890123456789u;
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33);
}

/* Anything to any timer or periodic, verified all along; what is active afterwards is a matter of the seed alone. */
CASE(verify_through_three_thousand_random_steps) {
  struct ev_loop *loop = new_loop(0);
  static ev_timer t[MANY];
  static ev_periodic p[MANY];
  static char names[MANY][8];
  double now = ev_now(loop);
  for (int i = 0; i < MANY; i++) {
    snprintf(names[i], sizeof names[i], "%d", i);
    timer(&t[i], names[i], 100. + i, i % 2 ? 200. : 0.);
    ev_periodic_init(&p[i], narrate_periodic, now + (i % 2 ? 1000. : 500.) + i, i % 2 ? 0. : 1000. + i, NULL);
    p[i].data = "periodic";
  }
  for (int step = 0; step < 3000; step++) {
    ev_timer *one = &t[next_random() % MANY];
    ev_periodic *two = &p[next_random() % MANY];
    switch (next_random() % 8) {
      case 0:
        ev_timer_start(loop, one);
        break;
      case 1:
        ev_timer_stop(loop, one);
        break;
      case 2:
        ev_timer_again(loop, one);
        break;
      case 3:
        ev_periodic_start(loop, two);
        break;
      case 4:
        ev_periodic_stop(loop, two);
        break;
      case 5:
        ev_periodic_again(loop, two);
        break;
      case 6:
        ev_feed_event(loop, one, EV_CUSTOM);
        break;
      case 7:
        ev_clear_pending(loop, one);
        break;
    }
    if (step % 10 == 0) ev_verify(loop);
    if (step % 500 == 499) trace("turn %d", turn(loop));
  }
  int active = 0;
  for (int i = 0; i < MANY; i++) active += (ev_is_active(&t[i]) != 0) + (ev_is_active(&p[i]) != 0);
  trace("active %d", active);
  for (int i = 0; i < MANY; i++) {
    ev_timer_stop(loop, &t[i]);
    ev_periodic_stop(loop, &p[i]);
  }
  ev_verify(loop);
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
}
