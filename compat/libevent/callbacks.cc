// SPDX-License-Identifier: BSD-3-Clause
// Callbacks that are not events' (libevent's upper layers defer work with them), and finalizers. None of this is in a
// public header; the genuine upper layers import it.
#include <cstring>

#include "base.hh"

using namespace torque_event;

namespace {

constexpr int kDeferredMax = 32;  // in one pass

using Finalizer = void (*)(event_callback *, void *);

// Afterwards fn is the last that is called for it.
void finalize(event_base *b, event_callback *c, Finalizer fn) {
  if (c->evcb_flags & EVLIST_INIT) del(event_of(c), Blocking::no);
  else cancel(b, c, false);
  c->evcb_closure = kFinalizeCallback;
  c->evcb_cb_union.evcb_cbfinalize = fn;
  activate(b, c);
  c->evcb_flags |= EVLIST_FINALIZING;
}

int finalize(event *e, event_finalize_callback_fn fn, Closure closure) {
  event_base *b = e->ev_base;
  if (!b) {
    log_warnx("%s: event has no event_base set.", "event_finalize_impl_");
    return -1;
  }
  const Locked locked(b);
  del(e, Blocking::no);
  e->ev_evcallback.evcb_closure = closure;
  e->ev_evcallback.evcb_cb_union.evcb_evfinalize = fn;
  activate(e, EV_FINALIZE, 1);
  flags_of(e) |= EVLIST_FINALIZING;
  return 0;
}

event_base *or_current(event_base *b) { return b ? b : event_global_current_base_; }

}  // namespace

extern "C" {

int event_finalize(unsigned, struct event *e, event_finalize_callback_fn fn) { return finalize(e, fn, kFinalizeEvent); }
int event_free_finalize(unsigned, struct event *e, event_finalize_callback_fn fn) {
  return finalize(e, fn, kFinalizeEventAndFree);
}

void event_callback_finalize_(struct event_base *b, unsigned, struct event_callback *c, Finalizer fn) {
  const Locked locked(b);
  finalize(b, c, fn);
}

// Of several that belong together fn is called for one, when all have come to rest.
int event_callback_finalize_many_(struct event_base *base, int n, struct event_callback **all, Finalizer fn) {
  event_base *b = or_current(base);
  const Locked locked(b);
  bool one_runs = false;
  for (int i = 0; i < n; ++i) {
    if (all[i] == b->current) {
      finalize(b, all[i], fn);
      one_runs = true;
    } else {
      cancel(b, all[i], false);
    }
  }
  if (!one_runs) finalize(b, all[0], fn);
  return 0;
}

int event_callback_activate_(struct event_base *b, struct event_callback *c) {
  const Locked locked(b);
  return activate(b, c);
}

void event_deferred_cb_init_(struct event_callback *c, uint8_t priority, deferred_cb_fn fn, void *arg) {
  std::memset(c, 0, sizeof *c);
  c->evcb_cb_union.evcb_selfcb = fn;
  c->evcb_arg = arg;
  c->evcb_pri = priority;
  c->evcb_closure = kSelf;
}

void event_deferred_cb_set_priority_(struct event_callback *c, uint8_t priority) { c->evcb_pri = priority; }

void event_deferred_cb_cancel_(struct event_base *base, struct event_callback *c) {
  event_base *b = or_current(base);
  const Locked locked(b);
  cancel(b, c, false);
}

// Called on any thread, with locks of the upper layers held.
int event_deferred_cb_schedule_(struct event_base *base, struct event_callback *c) {
  event_base *b = or_current(base);
  const Locked locked(b);
  if (b->deferreds > kDeferredMax) return activate_later(b, c);
  const bool fresh = activate(b, c);
  b->deferreds += fresh;
  return fresh;
}

}  // extern "C"
