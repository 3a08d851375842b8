// SPDX-License-Identifier: BSD-3-Clause
// A base's clock, and what is due by it: timeouts one by one, and common ones in lists.
#include <ctime>

#include "base.hh"

namespace torque_event {

namespace {

constexpr time_t kReadWallClock = 5;  // seconds, how often
constexpr int kCommonMax = 256;
constexpr int kNumberMask = 0x0ff00000;
constexpr int kNumberShift = 20;
constexpr unsigned kMark = 0x50000000;
constexpr unsigned kMarkMask = 0xf0000000;

int number_of(const timeval *tv) { return static_cast<int>((tv->tv_usec & kNumberMask) >> kNumberShift); }

bool not_after(const timeval &tv, const timeval &now) {
  const auto usec = tv.tv_usec & kMicroseconds;
  return tv.tv_sec != now.tv_sec ? tv.tv_sec < now.tv_sec : usec <= now.tv_usec;
}

// Mostly the newest is the latest; a base that several threads add to may see it otherwise.
void insert_in_order(CommonTimeout *c, event *e) {
  event *at = c->events.newest();
  while (at && evutil_timercmp(&e->ev_timeout, &at->ev_timeout, <)) at = c->events.before(at);
  c->events.insert(at, e);
}

void common_is_due(evutil_socket_t, short, void *arg) {
  auto *c = static_cast<CommonTimeout *>(arg);
  event_base *b = c->base;
  const Locked locked(b);
  timeval now;
  get_time(b, &now);
  event *e;
  while ((e = c->events.first) && not_after(e->ev_timeout, now)) {
    del(e, Blocking::no);
    activate(e, EV_TIMEOUT, 1);
  }
  if (e) schedule_common(c, e);
}

CommonTimeout *find_common(event_base *b, const timeval &duration) {
  for (int i = 0; i < b->ncommon; ++i) {
    const timeval &d = b->common[i]->duration;
    if (d.tv_sec == duration.tv_sec && (d.tv_usec & kMicroseconds) == duration.tv_usec) return b->common[i];
  }
  return nullptr;
}

bool make_common_room(event_base *b) {
  if (b->ncommon < b->common_room) return true;
  const int room = b->common_room ? 2 * b->common_room : 16;
  void *p = mm_realloc(b->common, static_cast<size_t>(room) * sizeof *b->common);
  if (!p) {
    log_warn("%s: realloc", "event_base_init_common_timeout");
    return false;
  }
  b->common = static_cast<CommonTimeout **>(p);
  b->common_room = room;
  return true;
}

CommonTimeout *make_common(event_base *b, const timeval &duration) {
  if (b->ncommon == kCommonMax) {
    log_warnx("%s: Too many common timeouts already in use; we only support %d per event_base",
                "event_base_init_common_timeout", kCommonMax);
    return nullptr;
  }
  if (!make_common_room(b)) return nullptr;
  auto *c = static_cast<CommonTimeout *>(mm_calloc(1, sizeof(CommonTimeout)));
  if (!c) {
    log_warn("%s: calloc", "event_base_init_common_timeout");
    return nullptr;
  }
  c->events.init();
  c->duration.tv_sec = duration.tv_sec;
  c->duration.tv_usec = static_cast<suseconds_t>(static_cast<unsigned>(duration.tv_usec) | kMark |
                                                 static_cast<unsigned>(b->ncommon) << kNumberShift);
  event_assign(&c->timer, b, -1, 0, common_is_due, c);
  flags_of(&c->timer) |= EVLIST_INTERNAL;
  event_priority_set(&c->timer, 0);
  c->base = b;
  b->common[b->ncommon++] = c;
  return c;
}

}  // namespace

void read_time(event_base *b, timeval *ret) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  *ret = {now.tv_sec, now.tv_nsec / 1000};
  if (b->clock_diff_read + kReadWallClock >= ret->tv_sec) return;
  timeval wall;
  evutil_gettimeofday(&wall, nullptr);
  evutil_timersub(&wall, ret, &b->clock_diff);
  b->clock_diff_read = ret->tv_sec;
}

void update_cache(event_base *b) {
  b->cache.tv_sec = 0;
  if (!(b->flags & EVENT_BASE_FLAG_NO_CACHE_TIME)) read_time(b, &b->cache);
}

bool is_common(const timeval *tv, const event_base *b) {
  return (static_cast<unsigned>(tv->tv_usec) & kMarkMask) == kMark && number_of(tv) < b->ncommon;
}
CommonTimeout *common_of(event_base *b, const timeval *tv) { return b->common[number_of(tv)]; }

void schedule_common(CommonTimeout *c, event *first) {
  timeval at = first->ev_timeout;
  at.tv_usec &= kMicroseconds;
  add(&c->timer, &at, true);
}

void insert_timeout(event_base *b, event *e) {
  if (is_common(&e->ev_timeout, b)) insert_in_order(common_of(b, &e->ev_timeout), e);
  else b->timeouts.insert(e);
}

void remove_timeout(event_base *b, event *e) {
  if (is_common(&e->ev_timeout, b)) common_of(b, &e->ev_timeout)->events.remove(e);
  else b->timeouts.remove(e);
}

void process_timeouts(event_base *b) {
  timeval now;
  get_time(b, &now);
  while (event *e = b->timeouts.due(now)) {
    del(e, Blocking::no);
    activate(e, EV_TIMEOUT, 1);
  }
}

uint64_t ns_until_timeout(event_base *b) {
  const uint64_t next = b->timeouts.next();
  if (next == UINT64_MAX) return next;
  timeval now;
  get_time(b, &now);
  const uint64_t present = Timeouts::ns(now);
  return next > present ? next - present : 0;
}

}  // namespace torque_event

using namespace torque_event;

extern "C" {

const struct timeval *event_base_init_common_timeout(struct event_base *b, const struct timeval *duration) {
  const Locked locked(b);
  timeval d = *duration;
  if (d.tv_usec > 1000000) {
    if (is_common(&d, b)) d.tv_usec &= kMicroseconds;
    d.tv_sec += d.tv_usec / 1000000;
    d.tv_usec %= 1000000;
  }
  CommonTimeout *c = find_common(b, d);
  if (!c) c = make_common(b, d);
  return c ? &c->duration : nullptr;
}

int event_base_gettimeofday_cached(struct event_base *b, struct timeval *tv) {
  if (!b) b = event_global_current_base_;
  if (!b) return evutil_gettimeofday(tv, nullptr);
  const Locked locked(b);
  if (b->cache.tv_sec == 0) return evutil_gettimeofday(tv, nullptr);
  evutil_timeradd(&b->cache, &b->clock_diff, tv);
  return 0;
}

int event_base_update_cache_time(struct event_base *b) {
  if (!b) b = event_global_current_base_;
  if (!b) return -1;
  const Locked locked(b);
  if (b->running_loop) update_cache(b);
  return 0;
}

int event_gettime_monotonic(struct event_base *b, struct timeval *tv) {
  if (!b || !tv) return -1;
  const Locked locked(b);
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  *tv = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

}  // extern "C"
