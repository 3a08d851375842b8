// SPDX-License-Identifier: BSD-3-Clause
// The two clocks of a loop, and what is due by them.
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "loop.hh"

namespace torque_ev {

namespace {

constexpr ev_tstamp kJump = 1.0;               // the smallest step of the wall clock that is noticed
constexpr ev_tstamp kIntervalMin = 1.0 / 8192;
constexpr time_t kFar = 1500001;               // when the timer descriptor fires at the latest

ev_tstamp read_clock(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return static_cast<ev_tstamp>(t.tv_sec) + static_cast<ev_tstamp>(t.tv_nsec) * 1e-9;
}

ev_watcher_time *time_base(void *w) { return static_cast<ev_watcher_time *>(w); }

// (libm's would be one library more in every process.)
ev_tstamp floor_of(ev_tstamp v) {
  if (!(v > -9e15 && v < 9e15)) return v;  // has no fraction
  const auto whole = static_cast<ev_tstamp>(static_cast<int64_t>(v));
  return whole > v ? whole - 1 : whole;
}

// The first point of the raster after now.
void recalculate(struct ev_loop *loop, ev_periodic *w) {
  const ev_tstamp interval = w->interval > kIntervalMin ? w->interval : kIntervalMin;
  ev_tstamp at = w->offset + interval * floor_of((loop->rt_now - w->offset) / interval);
  while (at <= loop->rt_now) {
    const ev_tstamp next = at + w->interval;
    if (next == at) {  // the raster is finer than the clock
      at = loop->rt_now;
      break;
    }
    at = next;
  }
  w->at = at;
}

void reschedule_periodics(struct ev_loop *loop) {
  for (Heap::Entry &e : loop->periodics) {
    auto *w = reinterpret_cast<ev_periodic *>(e.w);
    if (w->reschedule_cb) w->at = w->reschedule_cb(w, loop->rt_now);
    else if (w->interval != 0) recalculate(loop, w);
  }
  loop->periodics.rebuild();
}

// Those that are due, the first of them to be called first: what is fed last is called first.
void feed_reversed(struct ev_loop *loop, int revents) {
  while (loop->feeds.count) feed(loop, loop->feeds.pop(), revents);
}

// The wall clock was set, or nothing has happened for weeks.
void clock_was_set(struct ev_loop *loop, ev_io *, int) {
  itimerspec far{};
  far.it_value.tv_sec = static_cast<time_t>(loop->rt_now) + kFar;
  (void)timerfd_settime(loop->timerfd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, nullptr);
  loop->rt_now = ev_time();
  reschedule_periodics(loop);
}

void open_timerfd(struct ev_loop *loop) {
  loop->timerfd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (loop->timerfd < 0) return;
  ev_io_init(&loop->timerfd_w, clock_was_set, loop->timerfd, EV_READ);
  ev_set_priority(&loop->timerfd_w, EV_MINPRI);
  ev_io_start(loop, &loop->timerfd_w);
  ev_unref(loop);
  clock_was_set(loop, nullptr, 0);
}

}  // namespace

ev_tstamp monotonic() { return read_clock(CLOCK_MONOTONIC); }

// The wall clock is read every half second, and computed in between.
void update_time(struct ev_loop *loop) {
  const ev_tstamp before = loop->rtmn_diff;
  loop->mn_now = monotonic();
  if (loop->mn_now - loop->now_floor < kJump / 2) [[likely]] {
    loop->rt_now = loop->rtmn_diff + loop->mn_now;
    return;
  }
  loop->now_floor = loop->mn_now;
  loop->rt_now = ev_time();
  // Being preempted between the two readings looks like a step, but not three times running.
  for (int tries = 0; tries < 3; ++tries) {
    loop->rtmn_diff = loop->rt_now - loop->mn_now;
    if (__builtin_fabs(before - loop->rtmn_diff) < kJump) [[likely]]
      return;
    loop->rt_now = ev_time();
    loop->mn_now = monotonic();
    loop->now_floor = loop->mn_now;
  }
  reschedule_periodics(loop);
}

void timers_reify(struct ev_loop *loop) {
  while (ev_timer *w = loop->timers.due(loop->mn_now)) {
    if (w->repeat != 0) {
      w->at += w->repeat;
      if (w->at < loop->mn_now) w->at = loop->mn_now;
      require(w->repeat > 0, "negative ev_timer repeat value found while processing timers");
      loop->timers.renew(w);
    } else {
      ev_timer_stop(loop, w);
    }
    loop->feeds.push(base(w));
  }
  feed_reversed(loop, EV_TIMER);
}

void periodics_reify(struct ev_loop *loop) {
  while (loop->periodics.count() && loop->periodics.top_at() < loop->rt_now) {
    auto *w = reinterpret_cast<ev_periodic *>(loop->periodics.top());
    if (w->reschedule_cb) {
      w->at = w->reschedule_cb(w, loop->rt_now);
      require(w->at >= loop->rt_now, "ev_periodic reschedule callback returned time in the past");
      loop->periodics.top_is_later();
    } else if (w->interval != 0) {
      recalculate(loop, w);
      loop->periodics.top_is_later();
    } else {
      ev_periodic_stop(loop, w);
    }
    loop->feeds.push(base(w));
  }
  feed_reversed(loop, EV_PERIODIC);
}

void timerfd_fork(struct ev_loop *loop) {
  if (!ev_is_active(&loop->timerfd_w)) return;
  ev_ref(loop);
  ev_io_stop(loop, &loop->timerfd_w);
  close(loop->timerfd);
  open_timerfd(loop);
  feed(loop, base(&loop->timerfd_w), EV_CUSTOM);
}

}  // namespace torque_ev

using namespace torque_ev;

extern "C" {

ev_tstamp ev_time(void) EV_NOEXCEPT { return read_clock(CLOCK_REALTIME); }

void ev_sleep(ev_tstamp delay) EV_NOEXCEPT {
  if (delay <= 0) return;
  timespec t;
  t.tv_sec = static_cast<time_t>(delay);
  t.tv_nsec = static_cast<long>((delay - static_cast<ev_tstamp>(t.tv_sec)) * 1e9);
  nanosleep(&t, nullptr);
}

ev_tstamp ev_now(struct ev_loop *loop) EV_NOEXCEPT { return loop->rt_now; }
void ev_now_update(struct ev_loop *loop) EV_NOEXCEPT { update_time(loop); }
void ev_suspend(struct ev_loop *loop) EV_NOEXCEPT { update_time(loop); }

void ev_resume(struct ev_loop *loop) EV_NOEXCEPT {
  const ev_tstamp before = loop->mn_now;
  update_time(loop);
  loop->timers.shift(loop->mn_now - before);
  reschedule_periodics(loop);
}

void ev_timer_start(struct ev_loop *loop, ev_timer *w) EV_NOEXCEPT {
  if (w->active) return;
  w->at += loop->mn_now;
  require(w->repeat >= 0, "ev_timer_start called with negative timer repeat value");
  start(loop, base(w), 1);
  loop->timers.insert(w);
}

void ev_timer_stop(struct ev_loop *loop, ev_timer *w) EV_NOEXCEPT {
  clear_pending(loop, base(w));
  if (!w->active) return;
  loop->timers.remove(w);
  w->at -= loop->mn_now;
  stop(loop, base(w));
}

void ev_timer_again(struct ev_loop *loop, ev_timer *w) EV_NOEXCEPT {
  clear_pending(loop, base(w));
  if (w->active) {
    if (w->repeat == 0) {
      ev_timer_stop(loop, w);
      return;
    }
    const ev_tstamp before = w->at;
    w->at = loop->mn_now + w->repeat;
    loop->timers.update(w, before);
  } else if (w->repeat != 0) {
    w->at = w->repeat;
    ev_timer_start(loop, w);
  }
}

ev_tstamp ev_timer_remaining(struct ev_loop *loop, ev_timer *w) EV_NOEXCEPT {
  return w->at - (w->active ? loop->mn_now : 0);
}

void ev_periodic_start(struct ev_loop *loop, ev_periodic *w) EV_NOEXCEPT {
  if (w->active) return;
  if (loop->timerfd == -2) open_timerfd(loop);
  if (w->reschedule_cb) {
    w->at = w->reschedule_cb(w, loop->rt_now);
  } else if (w->interval != 0) {
    require(w->interval >= 0, "ev_periodic_start called with negative interval value");
    recalculate(loop, w);
  } else {
    w->at = w->offset;
  }
  start(loop, base(w), 1);
  loop->periodics.insert(time_base(w));
}

void ev_periodic_stop(struct ev_loop *loop, ev_periodic *w) EV_NOEXCEPT {
  clear_pending(loop, base(w));
  if (!w->active) return;
  loop->periodics.remove(w->active);
  stop(loop, base(w));
}

void ev_periodic_again(struct ev_loop *loop, ev_periodic *w) EV_NOEXCEPT {
  ev_periodic_stop(loop, w);
  ev_periodic_start(loop, w);
}

}  // extern "C"
