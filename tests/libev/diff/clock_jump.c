/* SPDX-License-Identifier: BSD-3-Clause */
/* The wall clock jumps: periodics follow it, timers do not. The clock that jumps is this program's own, before the
   loop's eyes alone. A loop looks for jumps twice a second. */
#include <sys/syscall.h>
#include <sys/time.h>

#include "narrate.h"

static double jumped;

static int really(clockid_t id, struct timespec *t) { return (int)syscall(SYS_clock_gettime, id, t); }

int clock_gettime(clockid_t id, struct timespec *t) {
  int result = really(id, t);
  if (id == CLOCK_REALTIME) t->tv_sec += (time_t)jumped;
  return result;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
  (void)zone;
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  *tv = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
  return 0;
}

static int asked;

static ev_tstamp in_an_hour(ev_periodic *p, ev_tstamp now) {
  (void)p;
  asked++;
  return now + 3600.;
}

static struct ev_loop *loop;
static ev_periodic absolute, grid, callback;
static ev_timer soon, late;
static double began;

static void begin(void) {
  loop = new_loop(0);
  began = ev_time();
  ev_periodic_init(&absolute, narrate_periodic, began + 500., 0., NULL);
  ev_periodic_init(&grid, narrate_periodic, began + 50., 100., NULL);
  ev_periodic_init(&callback, narrate_periodic, 0., 0., in_an_hour);
  absolute.data = "absolute";
  grid.data = "grid";
  callback.data = "callback";
  ev_periodic_start(loop, &absolute);
  ev_periodic_start(loop, &grid);
  ev_periodic_start(loop, &callback);
  ev_now_update(loop);
  start_timer(loop, &soon, "soon", 40., 0.);
  start_timer(loop, &late, "late", 2000., 0.);
  trace("turn %d", turn(loop));
  trace("asked %d", asked);
}

static void jump(double seconds) {
  jumped += seconds;
  let_pass(.6);
}

static void end(void) {
  double now = ev_now(loop);
  trace("the loop's time is the clock's: %s", yes(now > ev_time() - 5. && now <= ev_time() + .1));
  trace("absolute: %s, kept %s", state(&absolute), yes(absolute.offset == began + 500.));
  trace("grid: %s, after now %s, within one interval %s", state(&grid), yes(ev_periodic_at(&grid) > now),
        yes(ev_periodic_at(&grid) <= now + 100.1));
  trace("callback: %s, an hour from now %s", state(&callback),
        yes(ev_periodic_at(&callback) > now + 3590. && ev_periodic_at(&callback) <= now + 3600.1));
  trace("soon: %s, as it was %s", state(&soon), yes(ev_timer_remaining(loop, &soon) > 10.));
  trace("late: %s, as it was %s", state(&late), yes(ev_timer_remaining(loop, &late) > 1900.));
  ev_verify(loop);
  ev_periodic_stop(loop, &absolute);
  ev_periodic_stop(loop, &grid);
  ev_periodic_stop(loop, &callback);
  ev_timer_stop(loop, &soon);
  ev_timer_stop(loop, &late);
  ev_loop_destroy(loop);
}

CASE(clock_jump_forward_makes_what_was_passed_due) {
  begin();
  jump(1000.);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  trace("asked %d", asked);
  end();
}

CASE(clock_jump_backward_moves_the_grid_back) {
  begin();
  jump(-1000.);
  trace("turn %d", turn(loop));
  trace("turn %d", turn(loop));
  trace("asked %d", asked);
  end();
}

CASE(clock_jump_is_seen_by_ev_now_update) {
  begin();
  jump(10000.);
  ev_now_update(loop);
  trace("asked %d, pending %u", asked, ev_pending_count(loop));
  trace("turn %d", turn(loop));
  end();
}

CASE(clock_jump_there_and_back_leaves_all_as_it_was) {
  begin();
  jump(-86400.);
  trace("turn %d", turn(loop));
  jump(86400.);
  trace("turn %d", turn(loop));
  trace("asked %d", asked);
  end();
}

CASE(clock_jump_forward_reaches_the_reschedule_callback_once) {
  begin();
  jump(5000.);
  trace("turn %d", turn(loop));
  trace("asked %d", asked);
  let_pass(.6);
  trace("turn %d", turn(loop));
  trace("asked %d", asked);
  end();
}
