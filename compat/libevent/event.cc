// SPDX-License-Identifier: BSD-3-Clause
// Events: what they are, when they are added and deleted, and what can be asked of them.
#include "base.hh"

namespace torque_event {

namespace {

constinit char self_mark = 0;  // event_self_cbarg(): its address

void count_added(event_base *b, int flags) {
  b->event_count += !(flags & EVLIST_INTERNAL);
  if (b->event_count > b->event_max) b->event_max = b->event_count;
}
void count_gone(event_base *b, int flags) { b->event_count -= !(flags & EVLIST_INTERNAL); }

void count_active(event_base *b, event_callback *c, int flag) {
  count_added(b, c->evcb_flags);
  c->evcb_flags = static_cast<short>(c->evcb_flags | flag);
  if (++b->active_count > b->active_max) b->active_max = b->active_count;
  TORQUE_EVENT_REQUIRE(c->evcb_pri < b->nqueues);
}
void count_inactive(event_base *b, event_callback *c, int flag) {
  count_gone(b, c->evcb_flags);
  c->evcb_flags = static_cast<short>(c->evcb_flags & ~flag);
  --b->active_count;
}

void insert_active(event_base *b, event_callback *c) {
  if (c->evcb_flags & EVLIST_ACTIVE) return;
  count_active(b, c, EVLIST_ACTIVE);
  b->queues[c->evcb_pri].push(c);
}
void remove_later(event_base *b, event_callback *c) {
  count_inactive(b, c, EVLIST_ACTIVE_LATER);
  b->later.remove(c);
}

void set_timeout(event_base *b, event *e) {
  count_added(b, flags_of(e));
  flags_of(e) |= EVLIST_TIMEOUT;
  insert_timeout(b, e);
}
void unset_timeout(event_base *b, event *e) {
  count_gone(b, flags_of(e));
  flags_of(e) &= ~EVLIST_TIMEOUT;
  remove_timeout(b, e);
}

// A signal event whose callback is being called several times: those that are left are not.
void stop_repeating(event *e) {
  if (e->ev_events & EV_SIGNAL && e->ev_.ev_signal.ev_ncalls && e->ev_.ev_signal.ev_pncalls) {
    *e->ev_.ev_signal.ev_pncalls = 0;
    e->ev_.ev_signal.ev_pncalls = nullptr;  // it lies on the stack of what is about to end
  }
}

// Its callback runs now, in the loop's thread, and this is another.
bool runs_elsewhere(const event_base *b, event *e) { return b->current == callback_of(e) && !in_loop_thread(b); }

// -1, or 1 where the loop must look again.
int add_to_map(event_base *b, event *e) {
  const int r = e->ev_events & kIo ? add_io(b, e) : add_signal(b, e);
  if (r < 0) return r;
  count_added(b, flags_of(e));
  flags_of(e) |= EVLIST_INSERTED;
  return r;
}

// True: it is due before all others, and the loop, in another thread, must be told.
bool add_timeout(event_base *b, event *e, const timeval *tv, bool absolute) {
  // A persistent event's is remembered, for the next time.
  if (e->ev_evcallback.evcb_closure == kPersist && !absolute) e->ev_.ev_io.ev_timeout = *tv;
  timeval now;
  get_time(b, &now);  // Before its neighbours are touched: reading the clock waits for whatever is being loaded.
  if (has(e, EVLIST_TIMEOUT)) unset_timeout(b, e);
  // Due already, but not called yet: it is called at the new time instead.
  if (has(e, EVLIST_ACTIVE) && e->ev_res & EV_TIMEOUT) {
    stop_repeating(e);
    remove_active(b, callback_of(e));
  }
  const bool common = is_common(tv, b);
  if (absolute) {
    e->ev_timeout = *tv;
  } else {
    timeval plain = *tv;
    if (common) plain.tv_usec &= kMicroseconds;
    evutil_timeradd(&now, &plain, &e->ev_timeout);
    if (common) e->ev_timeout.tv_usec |= tv->tv_usec & ~kMicroseconds;
  }
  set_timeout(b, e);
  if (common) {
    CommonTimeout *c = common_of(b, &e->ev_timeout);
    if (c->events.first == e) schedule_common(c, e);
    return false;
  }
  return must_wake(b) && (b->timeouts.is_first(e) || b->timeouts.next() < Timeouts::ns(now));
}

}  // namespace

int add(event *e, const timeval *tv, bool absolute) {
  event_base *b = e->ev_base;
  assert_setup(e, "event_add");
  if (has(e, EVLIST_FINALIZING)) return -1;
  if (tv && !has(e, EVLIST_TIMEOUT) && !b->timeouts.reserve()) return -1;
  if (e->ev_events & EV_SIGNAL && runs_elsewhere(b, e)) wait_for_callback(b);
  int r = 0;
  const bool waits = e->ev_events & (kIo | EV_SIGNAL);
  if (waits && !has(e, EVLIST_INSERTED | EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) r = add_to_map(b, e);
  bool must_tell = r == 1;
  if (r >= 0 && tv) must_tell |= add_timeout(b, e, tv, absolute);
  if (r >= 0 && must_tell && must_wake(b)) wake(b);
  note_add(e);
  return r < 0 ? -1 : 0;
}

int del(event *e, Blocking how) {
  event_base *b = e->ev_base;
  if (!b) return -1;
  if (how != Blocking::even_if_finalizing && has(e, EVLIST_FINALIZING)) return 0;
  stop_repeating(e);
  if (has(e, EVLIST_TIMEOUT)) unset_timeout(b, e);
  if (has(e, EVLIST_ACTIVE)) remove_active(b, callback_of(e));
  else if (has(e, EVLIST_ACTIVE_LATER)) remove_later(b, callback_of(e));
  int r = 0;
  bool must_tell = false;
  if (has(e, EVLIST_INSERTED)) {
    count_gone(b, flags_of(e));
    flags_of(e) &= ~EVLIST_INSERTED;
    r = e->ev_events & kIo ? del_io(b, e) : del_signal(b, e);
    // A loop that has nothing left to wait for ends.
    must_tell = r == 1 || (!have_events(b) && !b->active_count);
  }
  if (r >= 0 && must_tell && must_wake(b)) wake(b);
  note_del(e);
  const bool waits = how == Blocking::yes || (how != Blocking::no && !(e->ev_events & EV_FINALIZE));
  if (waits && runs_elsewhere(b, e)) wait_for_callback(b);
  return r < 0 ? -1 : 0;
}

void activate(event *e, int what, short ncalls) {
  event_base *b = e->ev_base;
  if (has(e, EVLIST_FINALIZING)) return;
  const auto bits = static_cast<short>(what);
  if (has(e, EVLIST_ACTIVE)) {
    e->ev_res = static_cast<short>(e->ev_res | bits);
    return;
  }
  e->ev_res = static_cast<short>(has(e, EVLIST_ACTIVE_LATER) ? e->ev_res | bits : bits);
  if (e->ev_evcallback.evcb_pri < b->running_priority) b->go_on = 1;
  if (e->ev_events & EV_SIGNAL) {
    if (runs_elsewhere(b, e)) wait_for_callback(b);
    e->ev_.ev_signal.ev_ncalls = ncalls;
    e->ev_.ev_signal.ev_pncalls = nullptr;
  }
  activate(b, callback_of(e));
}

bool activate(event_base *b, event_callback *c) {
  if (c->evcb_flags & (EVLIST_FINALIZING | EVLIST_ACTIVE)) return false;
  const bool later = c->evcb_flags & EVLIST_ACTIVE_LATER;
  if (later) remove_later(b, c);
  insert_active(b, c);
  if (must_wake(b)) wake(b);
  return !later;
}

bool activate_later(event_base *b, event_callback *c) {
  if (c->evcb_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) return false;
  count_active(b, c, EVLIST_ACTIVE_LATER);
  b->later.push(c);
  if (must_wake(b)) wake(b);
  return true;
}

void remove_active(event_base *b, event_callback *c) {
  count_inactive(b, c, EVLIST_ACTIVE);
  b->queues[c->evcb_pri].remove(c);
}

void make_later_active(event_base *b) {
  while (event_callback *c = b->later.first) {
    b->later.remove(c);
    c->evcb_flags = static_cast<short>((c->evcb_flags & ~EVLIST_ACTIVE_LATER) | EVLIST_ACTIVE);
    b->queues[c->evcb_pri].push(c);
    b->deferreds += c->evcb_closure == kSelf;
  }
}

int cancel(event_base *b, event_callback *c, bool even_if_finalizing) {
  if (c->evcb_flags & EVLIST_FINALIZING && !even_if_finalizing) return 0;
  if (c->evcb_flags & EVLIST_INIT) {
    return del(event_of(c), even_if_finalizing ? Blocking::even_if_finalizing : Blocking::unless_finalizing);
  }
  if (c->evcb_flags & EVLIST_ACTIVE) remove_active(b, c);
  else if (c->evcb_flags & EVLIST_ACTIVE_LATER) remove_later(b, c);
  return 0;
}

namespace {

int del_locked(event *e, Blocking how) {
  event_base *b = e->ev_base;
  if (!b) {
    log_warnx("%s: event has no event_base set.", "event_del_");
    return -1;
  }
  const Locked locked(b);
  return del(e, how);
}

}  // namespace
}  // namespace torque_event

using namespace torque_event;

extern "C" {

int event_assign(struct event *e, struct event_base *b, evutil_socket_t fd, short events, event_callback_fn fn, void *arg) {
  if (!b) b = event_global_current_base_;
  if (arg == &self_mark) arg = e;
  if (!(events & EV_SIGNAL)) assert_nonblocking(fd);
  assert_not_added(e, "event_assign");
  e->ev_base = b;
  e->ev_evcallback.evcb_cb_union.evcb_callback = fn;
  e->ev_evcallback.evcb_arg = arg;
  e->ev_fd = fd;
  e->ev_events = events;
  e->ev_res = 0;
  flags_of(e) = EVLIST_INIT;
  e->ev_.ev_signal.ev_ncalls = 0;
  e->ev_.ev_signal.ev_pncalls = nullptr;
  if (events & EV_SIGNAL) {
    if (events & kIo) {
      log_warnx("%s: EV_SIGNAL is not compatible with EV_READ, EV_WRITE or EV_CLOSED", "event_assign");
      return -1;
    }
    e->ev_evcallback.evcb_closure = kSignal;
  } else if (events & EV_PERSIST) {
    evutil_timerclear(&e->ev_.ev_io.ev_timeout);
    e->ev_evcallback.evcb_closure = kPersist;
  } else {
    e->ev_evcallback.evcb_closure = kEvent;
  }
  Timeouts::init(e);
  if (b) e->ev_evcallback.evcb_pri = static_cast<uint8_t>(b->nqueues / 2);
  note_setup(e);
  return 0;
}

struct event *event_new(struct event_base *b, evutil_socket_t fd, short events, event_callback_fn fn, void *arg) {
  auto *e = static_cast<event *>(mm_malloc(sizeof(event)));
  if (!e) return nullptr;
  if (event_assign(e, b, fd, events, fn, arg) == 0) return e;
  mm_free(e);
  return nullptr;
}

void event_free(struct event *e) {
  event_del(e);
  note_teardown(e);
  mm_free(e);
}

void event_debug_unassign(struct event *e) {
  assert_not_added(e, "event_debug_unassign");
  note_teardown(e);
  flags_of(e) &= ~EVLIST_INIT;
}

void *event_self_cbarg(void) { return &self_mark; }

int event_base_set(struct event_base *b, struct event *e) {
  if (flags_of(e) != EVLIST_INIT) return -1;
  assert_setup(e, "event_base_set");
  e->ev_base = b;
  e->ev_evcallback.evcb_pri = static_cast<uint8_t>(b->nqueues / 2);
  return 0;
}

int event_priority_set(struct event *e, int priority) {
  assert_setup(e, "event_priority_set");
  if (has(e, EVLIST_ACTIVE) || priority < 0 || priority >= e->ev_base->nqueues) return -1;
  e->ev_evcallback.evcb_pri = static_cast<uint8_t>(priority);
  return 0;
}

int event_add(struct event *e, const struct timeval *tv) {
  if (!e->ev_base) {
    log_warnx("%s: event has no event_base set.", "event_add");
    return -1;
  }
  const Locked locked(e->ev_base);
  return add(e, tv, false);
}

int event_del(struct event *e) { return del_locked(e, Blocking::unless_finalizing); }
int event_del_block(struct event *e) { return del_locked(e, Blocking::yes); }
int event_del_noblock(struct event *e) { return del_locked(e, Blocking::no); }

int event_remove_timer(struct event *e) {
  event_base *b = e->ev_base;
  if (!b) {
    log_warnx("%s: event has no event_base set.", "event_remove_timer");
    return -1;
  }
  const Locked locked(b);
  assert_setup(e, "event_remove_timer_nolock_");
  if (!has(e, EVLIST_TIMEOUT)) return 0;
  unset_timeout(b, e);
  evutil_timerclear(&e->ev_.ev_io.ev_timeout);
  return 0;
}

void event_active(struct event *e, int what, short ncalls) {
  if (!e->ev_base) {
    log_warnx("%s: event has no event_base set.", "event_active");
    return;
  }
  const Locked locked(e->ev_base);
  assert_setup(e, "event_active");
  activate(e, what, ncalls);
}

void event_active_later_(struct event *e, int what) {
  const Locked locked(e->ev_base);
  const auto bits = static_cast<short>(what);
  if (has(e, EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) {
    e->ev_res = static_cast<short>(e->ev_res | bits);
    return;
  }
  e->ev_res = bits;
  activate_later(e->ev_base, callback_of(e));
}

int event_pending(const struct event *e, short events, struct timeval *tv) {
  event_base *b = e->ev_base;
  if (!b) {
    log_warnx("%s: event has no event_base set.", "event_pending");
    return 0;
  }
  const Locked locked(b);
  assert_setup(e, "event_pending");
  int flags = 0;
  if (has(e, EVLIST_INSERTED)) flags |= e->ev_events & (kIo | EV_SIGNAL);
  if (has(e, EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) flags |= e->ev_res;
  if (has(e, EVLIST_TIMEOUT)) flags |= EV_TIMEOUT;
  flags &= events & (EV_TIMEOUT | kIo | EV_SIGNAL);
  if (tv && flags & EV_TIMEOUT) {
    timeval at = e->ev_timeout;
    at.tv_usec &= kMicroseconds;
    evutil_timeradd(&b->clock_diff, &at, tv);
  }
  return flags;
}

int event_initialized(const struct event *e) { return has(e, EVLIST_INIT); }

void event_get_assignment(const struct event *e, struct event_base **base, evutil_socket_t *fd, short *events,
                          event_callback_fn *fn, void **arg) {
  assert_setup(e, "event_get_assignment");
  if (base) *base = e->ev_base;
  if (fd) *fd = e->ev_fd;
  if (events) *events = e->ev_events;
  if (fn) *fn = e->ev_evcallback.evcb_cb_union.evcb_callback;
  if (arg) *arg = e->ev_evcallback.evcb_arg;
}

evutil_socket_t event_get_fd(const struct event *e) {
  assert_setup(e, "event_get_fd");
  return e->ev_fd;
}
struct event_base *event_get_base(const struct event *e) {
  assert_setup(e, "event_get_base");
  return e->ev_base;
}
short event_get_events(const struct event *e) {
  assert_setup(e, "event_get_events");
  return e->ev_events;
}
event_callback_fn event_get_callback(const struct event *e) {
  assert_setup(e, "event_get_callback");
  return e->ev_evcallback.evcb_cb_union.evcb_callback;
}
void *event_get_callback_arg(const struct event *e) {
  assert_setup(e, "event_get_callback_arg");
  return e->ev_evcallback.evcb_arg;
}
int event_get_priority(const struct event *e) {
  assert_setup(e, "event_get_priority");
  return e->ev_evcallback.evcb_pri;
}

}  // extern "C"
