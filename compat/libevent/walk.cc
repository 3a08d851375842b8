// SPDX-License-Identifier: BSD-3-Clause
// All events of a base: for programs that ask, for people to read, and to see that it is sound.
#include <cstdio>

#include "base.hh"

namespace torque_event {

namespace {

struct Visit {
  event_base *base;
  event_base_foreach_event_cb fn;
  void *arg;
};

int visit_list(const Visit &v, const EventList &list) {
  for (event *e = list.first; e; e = EventList::next(e)) {
    if (const int r = v.fn(v.base, e, v.arg)) return r;
  }
  return 0;
}

int visit_timeout(event *e, void *visit) {
  const auto *v = static_cast<const Visit *>(visit);
  return has(e, EVLIST_INSERTED) ? 0 : v->fn(v->base, e, v->arg);
}

int visit_active(const Visit &v, const Queue &queue) {
  for (event_callback *c = queue.first; c; c = Queue::next(c)) {
    if ((c->evcb_flags & (EVLIST_INIT | EVLIST_INSERTED | EVLIST_TIMEOUT)) != EVLIST_INIT) continue;
    if (const int r = v.fn(v.base, event_of(c), v.arg)) return r;
  }
  return 0;
}

const char *word(bool said, const char *text) { return said ? text : ""; }

int dump_inserted(const event_base *b, const event *e, void *arg) {
  auto *out = static_cast<FILE *>(arg);
  if (!has(e, EVLIST_INSERTED | EVLIST_TIMEOUT)) return 0;
  const short what = e->ev_events;
  std::fprintf(out, "  %p [%s %d]%s%s%s%s%s%s%s", static_cast<const void *>(e), what & EV_SIGNAL ? "sig" : "fd ", e->ev_fd,
               word(what & EV_READ, " Read"), word(what & EV_WRITE, " Write"), word(what & EV_CLOSED, " EOF"),
               word(what & EV_SIGNAL, " Signal"), word(what & EV_PERSIST, " Persist"), word(what & EV_ET, " ET"),
               word(has(e, EVLIST_INTERNAL), " Internal"));
  if (has(e, EVLIST_TIMEOUT)) {
    timeval at = e->ev_timeout;
    at.tv_usec &= kMicroseconds;
    evutil_timeradd(&at, &b->clock_diff, &at);
    std::fprintf(out, " Timeout=%ld.%06d", static_cast<long>(at.tv_sec), static_cast<int>(at.tv_usec));
  }
  std::fputc('\n', out);
  return 0;
}

int dump_active(const event_base *, const event *e, void *arg) {
  if (!has(e, EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) return 0;
  const short what = e->ev_res;
  std::fprintf(static_cast<FILE *>(arg), "  %p [%s %d, priority=%d]%s%s%s%s%s active%s%s\n", static_cast<const void *>(e),
               e->ev_events & EV_SIGNAL ? "sig" : "fd ", e->ev_fd, e->ev_evcallback.evcb_pri, word(what & EV_READ, " Read"),
               word(what & EV_WRITE, " Write"), word(what & EV_CLOSED, " EOF"), word(what & EV_SIGNAL, " Signal"),
               word(what & EV_TIMEOUT, " Timeout"), word(has(e, EVLIST_INTERNAL), " [Internal]"),
               word(has(e, EVLIST_ACTIVE_LATER), " [NextTime]"));
  return 0;
}

void check_common(event_base *b, int number) {
  const event *before = nullptr;
  for (const event *e = b->common[number]->events.first; e; e = TimeoutList::next(e)) {
    TORQUE_EVENT_REQUIRE(!before || evutil_timercmp(&before->ev_timeout, &e->ev_timeout, <=));
    TORQUE_EVENT_REQUIRE(has(e, EVLIST_TIMEOUT) && is_common(&e->ev_timeout, b));
    TORQUE_EVENT_REQUIRE(common_of(b, &e->ev_timeout) == b->common[number]);
    before = e;
  }
}

int check_queue(const Queue &queue, int flag, int priority) {
  int n = 0;
  for (const event_callback *c = queue.first; c; c = Queue::next(c), ++n) {
    TORQUE_EVENT_REQUIRE((c->evcb_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) == flag);
    TORQUE_EVENT_REQUIRE(priority < 0 || c->evcb_pri == priority);
  }
  return n;
}

void check_descriptor(const Descriptor &d, int fd) {
  int reads = 0, writes = 0, closes = 0;
  for (const event *e = d.events.first; e; e = EventList::next(e)) {
    TORQUE_EVENT_REQUIRE(e->ev_fd == fd && has(e, EVLIST_INSERTED));
    reads += (e->ev_events & EV_READ) != 0;
    writes += (e->ev_events & EV_WRITE) != 0;
    closes += (e->ev_events & EV_CLOSED) != 0;
  }
  TORQUE_EVENT_REQUIRE(reads == d.reads && writes == d.writes && closes == d.closes);
}

}  // namespace

// In libevent's order: descriptors and signals, timeouts, common timeouts, and what is only active.
int foreach_event(event_base *b, event_base_foreach_event_cb fn, void *arg) {
  Visit v{b, fn, arg};
  for (int fd = 0; fd < b->fds_room; ++fd) {
    if (const int r = visit_list(v, b->fds[fd].events)) return r;
  }
  for (const EventList &list : b->signals) {
    if (const int r = visit_list(v, list)) return r;
  }
  if (const int r = b->timeouts.each(visit_timeout, &v)) return r;
  for (int i = 0; i < b->ncommon; ++i) {
    for (event *e = b->common[i]->events.first; e; e = TimeoutList::next(e)) {
      if (const int r = visit_timeout(e, &v)) return r;
    }
  }
  for (int i = 0; i < b->nqueues; ++i) {
    if (const int r = visit_active(v, b->queues[i])) return r;
  }
  return 0;
}

void check(event_base *b) {
  for (int fd = 0; fd < b->fds_room; ++fd) check_descriptor(b->fds[fd], fd);
  TORQUE_EVENT_REQUIRE(b->timeouts.is_sound());
  for (int i = 0; i < b->ncommon; ++i) check_common(b, i);
  int n = check_queue(b->later, EVLIST_ACTIVE_LATER, -1);
  for (int i = 0; i < b->nqueues; ++i) n += check_queue(b->queues[i], EVLIST_ACTIVE, i);
  TORQUE_EVENT_REQUIRE(n == b->active_count);
}

}  // namespace torque_event

using namespace torque_event;

extern "C" {

int event_base_foreach_event(struct event_base *b, event_base_foreach_event_cb fn, void *arg) {
  if (!fn || !b) return -1;
  const Locked locked(b);
  return foreach_event(b, fn, arg);
}

void event_base_dump_events(struct event_base *b, FILE *out) {
  const Locked locked(b);
  std::fprintf(out, "Inserted events:\n");
  foreach_event(b, dump_inserted, out);
  std::fprintf(out, "Active events:\n");
  foreach_event(b, dump_active, out);
}

void event_base_assert_ok_(struct event_base *b) {
  const Locked locked(b);
  check(b);
}

}  // extern "C"
