// SPDX-License-Identifier: BSD-3-Clause
// Bases: how they begin and end, what survives a fork, and what can be asked of them.
#include "base.hh"

#include <cerrno>
#include <climits>

#include "common/context.hh"
#include "config.hh"
#include "memory.hh"

extern "C" {
int event_debug_mode_on_ = 0;
int event_debug_created_threadable_ctx_ = 0;
struct event_base *event_global_current_base_ = nullptr;
}

namespace torque_event {

namespace {

void before_wait(void *b) { unlock(static_cast<event_base *>(b)); }
void after_wait(void *b) { lock(static_cast<event_base *>(b)); }

torque_ctx *open_context(event_base *b) {
  torque_ctx *ctx;
  const torque_err err = torque_compat::open_context(take_memory, give_memory, told, collect_signals, b, &ctx);
  if (!err) return ctx;
  errno = err > TORQUE_ERR_SYSCALL ? err - TORQUE_ERR_SYSCALL : ENOMEM;
  log_warn("epoll_create");
  return nullptr;
}

void take_limits(event_base *b, const event_config *c) {
  b->max_dispatch_time.tv_sec = -1;
  if (c) b->max_dispatch_time = c->max_dispatch_interval;
  b->limit_after_priority = c ? c->limit_after_priority : 1;
  b->max_dispatch_callbacks = c && c->max_dispatch_callbacks >= 0 ? c->max_dispatch_callbacks : INT_MAX;
  if (b->max_dispatch_callbacks == INT_MAX && b->max_dispatch_time.tv_sec == -1) b->limit_after_priority = INT_MAX;
}

bool begin(event_base *b, const event_config *c) {
  const bool environment = !(c && c->flags & EVENT_BASE_FLAG_IGNORE_ENV);
  if (c) b->flags = c->flags;
  if (environment && get_env("EVENT_PRECISE_TIMER")) b->flags |= EVENT_BASE_FLAG_PRECISE_TIMER;
  timeval now;
  get_time(b, &now);
  b->running_priority = -1;
  b->later.init();
  init_signals(b);
  take_limits(b, c);
  b->method = choose_method(c, environment);
  b->ctx = b->method ? open_context(b) : nullptr;
  if (b->ctx) b->publisher.open(b->ctx, TORQUE_BOARD_LIBEVENT);
  if (!b->ctx) {
    log_warnx("%s: no event mechanism available", "event_base_new_with_config");
    return false;
  }
  if (get_env("EVENT_SHOW_METHOD")) log_msgx("libevent using: %s", b->method->name);
  return event_base_priority_init(b, 1) == 0;
}

void begin_threads(event_base *b, const event_config *c) {
  if (!&evthread_lock_fns_ || !evthread_lock_fns_.lock || (c && c->flags & EVENT_BASE_FLAG_NOLOCK)) return;
  b->lock = evthread_lock_fns_.alloc ? evthread_lock_fns_.alloc(0) : nullptr;
  b->done = evthread_cond_fns_.alloc_condition ? evthread_cond_fns_.alloc_condition(0) : nullptr;
  if (b->lock) torque_watch_set_hooks(b->ctx, before_wait, after_wait, b);
  evthread_make_base_notifiable(b);
}

// -- the end

void run_finalizer(event_callback *c) {
  switch (c->evcb_closure) {
    case kFinalizeEvent:
    case kFinalizeEventAndFree: {
      const bool to_be_freed = c->evcb_closure == kFinalizeEventAndFree;
      c->evcb_cb_union.evcb_evfinalize(event_of(c), c->evcb_arg);
      if (to_be_freed) mm_free(c);
      break;
    }
    case kFinalizeCallback: c->evcb_cb_union.evcb_cbfinalize(c, c->evcb_arg); break;
    default: break;
  }
}

bool cancel_at_end(event_base *b, event_callback *c, bool finalizers) {
  const bool internal = c->evcb_flags & EVLIST_INTERNAL && c->evcb_flags & EVLIST_INIT;
  if (!internal) {
    const Locked locked(b);
    cancel(b, c, true);
  }
  if (finalizers && c->evcb_flags & EVLIST_FINALIZING) run_finalizer(c);
  return !internal;
}

bool empty_queues(event_base *b, bool finalizers) {
  bool any = false;
  for (int i = 0; i < b->nqueues; ++i) {
    for (event_callback *c = b->queues[i].first, *next; c; c = next) {
      next = Queue::next(c);
      any |= cancel_at_end(b, c, finalizers);
    }
  }
  while (event_callback *c = b->later.first) any |= cancel_at_end(b, c, finalizers);
  return any;
}

void delete_list(EventList &list) {
  for (event *e = list.first, *next; e; e = next) {
    next = EventList::next(e);
    event_del(e);
  }
}

int collect_one(event *e, void *arg) {
  *static_cast<event **>(arg) = e;
  return 1;
}

void delete_events(event_base *b) {
  for (EventList &list : b->signals) delete_list(list);
  for (int fd = 0; fd < b->fds_room; ++fd) delete_list(b->fds[fd].events);
  for (event *e; b->timeouts.each(collect_one, &e);) event_del(e);
  for (int i = 0; i < b->ncommon; ++i) {
    CommonTimeout *c = b->common[i];
    event_del(&c->timer);
    event_debug_unassign(&c->timer);
    for (event *e = c->events.first, *next; e; e = next) {
      next = TimeoutList::next(e);
      if (!has(e, EVLIST_INTERNAL)) event_del(e);
    }
    mm_free(c);
  }
  if (b->common) mm_free(b->common);
  b->ncommon = 0;
}

void end(event_base *b, bool finalizers) {
  if (!b) b = event_global_current_base_;
  if (!b) {
    log_warnx("%s: no base to free", "event_base_free_");
    return;
  }
  delete_events(b);
  while (empty_queues(b, finalizers)) {
  }
  while (Once *o = b->onces) {
    b->onces = o->next;
    mm_free(o);
  }
  leave_signals(b);
  b->publisher.close(b->ctx);
  if (b->ctx) torque_stop(b->ctx);
  for (int i = 0; i < b->nqueues; ++i) TORQUE_EVENT_REQUIRE(!b->queues[i].first);
  if (b->queues) mm_free(b->queues);
  free_map(b);
  b->timeouts.release();
  if (b->lock && evthread_lock_fns_.free) evthread_lock_fns_.free(b->lock, 0);
  if (b->done) evthread_cond_fns_.free_condition(b->done);
  if (b == event_global_current_base_) event_global_current_base_ = nullptr;
  mm_free(b);
}

int raise(int *max, int clear) {
  const int n = *max;
  if (clear) *max = 0;
  return n;
}

}  // namespace

void broken(const char *what, const char *where, int line) {
  die(kAbort, "%s:%d: Assertion %s failed", where, line, what);
}

}  // namespace torque_event

using namespace torque_event;

extern "C" {

struct event_base *event_base_new_with_config(const struct event_config *c) {
  too_late_for_debug_mode();
  auto *b = static_cast<event_base *>(mm_calloc(1, sizeof(event_base)));
  if (!b) {
    log_warn("%s: calloc", "event_base_new_with_config");
    return nullptr;
  }
  if (!begin(b, c)) {
    end(b, true);
    return nullptr;
  }
  std::atomic_ref(event_debug_created_threadable_ctx_).store(1, std::memory_order_relaxed);  // by any thread
  begin_threads(b, c);
  return b;
}

struct event_base *event_base_new(void) {
  event_config *c = event_config_new();
  if (!c) return nullptr;
  event_base *b = event_base_new_with_config(c);
  event_config_free(c);
  return b;
}

void event_base_free(struct event_base *b) { end(b, true); }
void event_base_free_nofinalize(struct event_base *b) { end(b, false); }

int event_reinit(struct event_base *b) {
  const Locked locked(b);
  b->wake_pending = false;
  if (torque_reinit(b->ctx)) die(1, "%s: could not reinitialize event mechanism", "event_reinit");
  b->publisher.open(b->ctx, TORQUE_BOARD_LIBEVENT);
  forget_signals(b);  // the parent tells them
  return bring_again(b);
}

int evthread_make_base_notifiable(struct event_base *b) {
  if (!b) return -1;
  const Locked locked(b);
  b->notifiable = true;
  return 0;
}

int event_base_priority_init(struct event_base *b, int n) {
  const Locked locked(b);
  if (b->active_count || n < 1 || n >= kPrioritiesMax) return -1;
  if (n == b->nqueues) return 0;
  auto *queues = static_cast<Queue *>(mm_calloc(static_cast<size_t>(n), sizeof(Queue)));
  if (!queues) {
    log_warn("%s: calloc", "event_base_priority_init");
    return -1;
  }
  if (b->queues) mm_free(b->queues);
  for (int i = 0; i < n; ++i) queues[i].init();
  b->queues = queues;
  b->nqueues = n;
  return 0;
}

int event_base_get_npriorities(struct event_base *b) {
  if (!b) b = event_global_current_base_;
  const Locked locked(b);
  return b->nqueues;
}

int event_base_get_features(const struct event_base *b) { return b->method->features; }
const char *event_base_get_method(const struct event_base *b) {
  TORQUE_EVENT_REQUIRE(b);
  return b->method->name;
}

int event_base_get_num_events(struct event_base *b, unsigned int type) {
  const Locked locked(b);
  return (type & EVENT_BASE_COUNT_ACTIVE ? b->active_count : 0) + (type & EVENT_BASE_COUNT_VIRTUAL ? b->virtual_count : 0) +
         (type & EVENT_BASE_COUNT_ADDED ? b->event_count : 0);
}

int event_base_get_max_events(struct event_base *b, unsigned int type, int clear) {
  const Locked locked(b);
  return (type & EVENT_BASE_COUNT_ACTIVE ? raise(&b->active_max, clear) : 0) +
         (type & EVENT_BASE_COUNT_VIRTUAL ? raise(&b->virtual_max, clear) : 0) +
         (type & EVENT_BASE_COUNT_ADDED ? raise(&b->event_max, clear) : 0);
}

void event_base_add_virtual_(struct event_base *b) {
  const Locked locked(b);
  if (++b->virtual_count > b->virtual_max) b->virtual_max = b->virtual_count;
}

int event_base_start_iocp_(struct event_base *, int) { return -1; }

void event_base_active_by_signal(struct event_base *b, int signum) {
  const Locked locked(b);
  active_signal(b, signum, 1);
}

void event_base_active_by_fd(struct event_base *b, evutil_socket_t fd, short events) {
  const Locked locked(b);
  if (!(events & EV_TIMEOUT)) {
    active_io(b, fd, events & kIo);
    return;
  }
  b->timeouts.each(
      [](event *e, void *arg) {
        if (e->ev_fd == *static_cast<int *>(arg)) activate(e, EV_TIMEOUT, 1);
        return 0;
      },
      &fd);
  for (int i = 0; i < b->ncommon; ++i) {
    for (event *e = b->common[i]->events.first; e; e = TimeoutList::next(e)) {
      if (e->ev_fd == fd) activate(e, EV_TIMEOUT, 1);
    }
  }
}

}  // extern "C"
