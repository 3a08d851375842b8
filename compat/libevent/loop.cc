// SPDX-License-Identifier: BSD-3-Clause
// One pass after another, and the order of callbacks in each.
#include <climits>

#include "base.hh"
#include "common/context.hh"

namespace torque_event {

namespace {

// The three below give up the lock before they call.

void call_signal(event_base *b, event *e) {
  short left = e->ev_.ev_signal.ev_ncalls;
  if (left) e->ev_.ev_signal.ev_pncalls = &left;  // so that deleting it ends the calls
  unlock(b);
  while (left) {
    e->ev_.ev_signal.ev_ncalls = --left;
    if (left == 0) e->ev_.ev_signal.ev_pncalls = nullptr;
    e->ev_evcallback.evcb_cb_union.evcb_callback(e->ev_fd, e->ev_res, e->ev_evcallback.evcb_arg);
    lock(b);
    const bool broken = b->broken;
    unlock(b);
    if (!broken) continue;
    if (left) e->ev_.ev_signal.ev_pncalls = nullptr;
    return;
  }
}

// Its timeout runs from when it was due, where it was due; otherwise, or where that is past, from now.
void renew_timeout(event_base *b, event *e) {
  const timeval &interval = e->ev_.ev_io.ev_timeout;
  if (!interval.tv_sec && !interval.tv_usec) return;
  timeval now, from, at;
  get_time(b, &now);
  timeval delay = interval;
  suseconds_t mark = 0;
  const bool common = is_common(&e->ev_timeout, b);
  if (common) {
    mark = delay.tv_usec & ~kMicroseconds;
    delay.tv_usec &= kMicroseconds;
  }
  from = e->ev_res & EV_TIMEOUT ? e->ev_timeout : now;
  if (common) from.tv_usec &= kMicroseconds;
  evutil_timeradd(&from, &delay, &at);
  if (evutil_timercmp(&at, &now, <)) evutil_timeradd(&now, &delay, &at);
  at.tv_usec |= mark;
  add(e, &at, true);
}

void call_event(event_base *b, event *e) {
  const event_callback_fn fn = e->ev_evcallback.evcb_cb_union.evcb_callback;
  const int fd = e->ev_fd;
  const short what = e->ev_res;
  void *arg = e->ev_evcallback.evcb_arg;
  unlock(b);
  fn(fd, what, arg);
}

void call_finalizer(event_base *b, event_callback *c) {
  event *e = event_of(c);
  const bool to_be_freed = c->evcb_closure == kFinalizeEventAndFree;
  const auto fn = c->evcb_cb_union.evcb_evfinalize;
  b->current = nullptr;
  unlock(b);
  note_teardown(e);
  fn(e, c->evcb_arg);
  if (to_be_freed) mm_free(e);
}

void call(event_base *b, event_callback *c) {
  switch (c->evcb_closure) {
    case kSignal: return call_signal(b, event_of(c));
    case kPersist: renew_timeout(b, event_of(c)); return call_event(b, event_of(c));
    case kEvent: return call_event(b, event_of(c));
    case kFinalizeEvent:
    case kFinalizeEventAndFree: return call_finalizer(b, c);
    case kFinalizeCallback: b->current = nullptr; break;
    default: break;
  }
  const auto fn = c->evcb_cb_union.evcb_selfcb;
  void *arg = c->evcb_arg;
  unlock(b);
  fn(c, arg);
}

void take(event_base *b, event_callback *c) {
  event *e = c->evcb_flags & EVLIST_INIT ? event_of(c) : nullptr;
  if (e && !(e->ev_events & EV_PERSIST) && !has(e, EVLIST_FINALIZING)) del(e, Blocking::no);
  else remove_active(b, c);
}

void callback_ended(event_base *b) {
  b->current = nullptr;
  if (!b->waiters) return;
  b->waiters = 0;
  if (b->done) evthread_cond_fns_.signal_condition(b->done, 1);
}

bool is_over(event_base *b, const timeval *end) {
  timeval now;
  update_cache(b);
  get_time(b, &now);
  return evutil_timercmp(&now, end, >=);
}

// Answers how many callbacks ran, internal ones not counted; -1 when the loop is to be left.
int process_queue(event_base *b, Queue &queue, int max, const timeval *end) {
  int n = 0;
  while (event_callback *c = queue.first) {
    take(b, c);
    if (!(c->evcb_flags & EVLIST_INTERNAL)) ++n;
    b->current = c;
    b->waiters = 0;
    call(b, c);
    lock(b);
    callback_ended(b);
    if (b->broken) return -1;
    if (n >= max) return n;
    if (n && end && is_over(b, end)) return n;
    if (b->go_on) break;
  }
  return n;
}

// The first queue in which a callback of the program's ran is the last of this pass.
int process_active(event_base *b) {
  timeval limit;
  const timeval *end = nullptr;
  if (b->max_dispatch_time.tv_sec >= 0) {
    update_cache(b);
    get_time(b, &limit);
    evutil_timeradd(&b->max_dispatch_time, &limit, &limit);
    end = &limit;
  }
  int n = 0;
  for (int p = 0; p < b->nqueues && n == 0; ++p) {
    if (!b->queues[p].first) continue;
    b->running_priority = p;
    const bool limited = p >= b->limit_after_priority;
    n = process_queue(b, b->queues[p], limited ? b->max_dispatch_callbacks : INT_MAX, limited ? end : nullptr);
  }
  b->running_priority = -1;
  return n;
}

// A signal is told by the pass that finds its wake-up. Its handler often runs as the wait returns; libevent tells it in the
// next pass then, after what the wait has brought. (left: a forked child's, whose wake-up could not be sent.)
int wait(event_base *b, uint64_t ns) {
  const bool left = has_caught(b);
  torque_err err = torque_run_once(b->ctx, ns, nullptr);
  if (err == TORQUE_ERR_FORKED) {  // a child that was not told of its birth
    err = torque_reinit(b->ctx);
    b->publisher.open(b->ctx, TORQUE_BOARD_LIBEVENT);
    if (!err) err = torque_run_once(b->ctx, ns, nullptr);
  }
  b->wake_pending = false;
  b->publisher.pass(b->ctx);
  if (err) {
    log_warnx("event_base_loop: %s", torque_errstr(err));
    return -1;
  }
  if (left) collect_signals(b);
  return 0;
}

uint64_t time_to_wait(event_base *b) {
  const uint64_t ns = ns_until_timeout(b);
  return b->flags & EVENT_BASE_FLAG_PRECISE_TIMER ? ns : torque_compat::wait_for(ns);
}

// 0, or what event_base_loop() answers: 1 for nothing to wait for, -1 for an error.
int run(event_base *b, int flags) {
  for (bool done = false; !done;) {
    b->go_on = 0;
    b->deferreds = 0;
    if (b->gotterm || b->broken) break;
    const uint64_t ns = !b->active_count && !(flags & EVLOOP_NONBLOCK) ? time_to_wait(b) : 0;
    if (!(flags & EVLOOP_NO_EXIT_ON_EMPTY) && !have_events(b) && !b->active_count) return 1;
    if (b->later.first) make_later_active(b);
    clear_cache(b);
    if (wait(b, ns)) return -1;
    const bool timed = !b->timeouts.empty();
    if (timed || b->active_count) update_cache(b);  // or nobody would ask for the time before the next wait
    if (timed) process_timeouts(b);
    if (b->active_count) {
      const int n = process_active(b);
      if (flags & EVLOOP_ONCE && !b->active_count && n != 0) done = true;
    } else if (flags & EVLOOP_NONBLOCK) {
      done = true;
    }
  }
  return 0;
}

// What is asked of a loop by a flag that it looks at.
int ask(event_base *b, int event_base::*flag) {
  if (!b) return -1;
  const Locked locked(b);
  b->*flag = 1;
  return must_wake(b) ? wake(b) : 0;
}

void leave_loop(evutil_socket_t, short, void *base) { static_cast<event_base *>(base)->gotterm = 1; }

void once_is_due(evutil_socket_t fd, short events, void *arg) {
  auto *o = static_cast<Once *>(arg);
  o->fn(fd, events, o->arg);
  {
    const Locked locked(o->ev.ev_base);
    *o->at = o->next;
    if (o->next) o->next->at = o->at;
  }
  event_debug_unassign(&o->ev);
  mm_free(o);
}

// 1: to be activated at once, 0: to be added, -1: no such event.
int assign_once(Once *o, event_base *b, evutil_socket_t fd, short events, const timeval *tv) {
  if (events & kIo) {
    event_assign(&o->ev, b, fd, events & kIo, once_is_due, o);
    return 0;
  }
  if (!(events & EV_TIMEOUT)) return -1;
  event_assign(&o->ev, b, -1, 0, once_is_due, o);
  return !tv || !evutil_timerisset(tv);
}

}  // namespace

int wake(event_base *b) {
  if (!b->notifiable) return -1;
  if (b->wake_pending) return 0;
  b->wake_pending = true;
  return torque_wake(b->ctx) ? -1 : 0;
}

void wait_for_callback(event_base *b) {
  ++b->waiters;
  if (b->done) evthread_cond_fns_.wait_condition(b->done, b->lock, nullptr);
}

}  // namespace torque_event

using namespace torque_event;

extern "C" {

int event_base_loop(struct event_base *b, int flags) {
  lock(b);
  if (b->running_loop) {
    log_warnx("%s: reentrant invocation.  Only one event_base_loop can run on each event_base at once.",
                "event_base_loop");
    unlock(b);
    return -1;
  }
  b->running_loop = 1;
  clear_cache(b);
  b->owner = have_threads() ? evthread_id_fn_() : 1;
  b->gotterm = b->broken = 0;
  begin_to_loop(b);
  const int r = run(b, flags);
  clear_cache(b);
  b->running_loop = 0;
  unlock(b);
  return r;
}

int event_base_dispatch(struct event_base *b) { return event_base_loop(b, 0); }
int event_base_loopbreak(struct event_base *b) { return ask(b, &event_base::broken); }
int event_base_loopcontinue(struct event_base *b) { return ask(b, &event_base::go_on); }

int event_base_loopexit(struct event_base *b, const struct timeval *tv) {
  return event_base_once(b, -1, EV_TIMEOUT, leave_loop, b, tv);
}

int event_base_got_break(struct event_base *b) {
  const Locked locked(b);
  return b->broken;
}
int event_base_got_exit(struct event_base *b) {
  const Locked locked(b);
  return b->gotterm;
}

struct event *event_base_get_running_event(struct event_base *b) {
  const Locked locked(b);
  event_callback *c = in_loop_thread(b) ? b->current : nullptr;
  return c && c->evcb_flags & EVLIST_INIT ? event_of(c) : nullptr;
}

int event_base_once(struct event_base *b, evutil_socket_t fd, short events, event_callback_fn fn, void *arg,
                    const struct timeval *tv) {
  if (!b || events & (EV_SIGNAL | EV_PERSIST)) return -1;
  auto *o = static_cast<Once *>(mm_calloc(1, sizeof(Once)));
  if (!o) return -1;
  o->fn = fn;
  o->arg = arg;
  const int at_once = assign_once(o, b, fd, events, tv);
  if (at_once < 0) {
    mm_free(o);
    return -1;
  }
  const Locked locked(b);
  if (at_once) activate(&o->ev, EV_TIMEOUT, 1);
  else if (add(&o->ev, tv, false)) {
    mm_free(o);
    return -1;
  }
  o->next = b->onces;
  o->at = &b->onces;
  if (o->next) o->next->at = &o->next;
  b->onces = o;
  return 0;
}

}  // extern "C"
