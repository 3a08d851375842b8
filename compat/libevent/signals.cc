// SPDX-License-Identifier: BSD-3-Clause
// Signal events. libevent tells one base of a process, the one that added a signal or began to loop last; here every
// base that watches the signal is told, once it has looped. (One that has not may be another's leftover, whose events
// would be deleted before their time.)
#include <cerrno>
#include <csignal>

#include "common/fork_lock.hh"
#include "base.hh"

namespace torque_event {

namespace {

using torque_compat::signal_bit;

constinit torque_compat::Stations<event_base> stations;

// Guards the dispositions: who comes first installs the handler, who goes last restores what was there.
constinit torque_compat::ForkLock dispositions;
constinit int watchers[kSignals] = {};
constinit struct sigaction before[kSignals] = {};

constinit std::atomic<const event_base *> newest{nullptr};  // compared only

void tell(event_base *b, int signum) {
  b->arrivals[signum].fetch_add(1);
  if (!b->caught.exchange(true)) (void)torque_wake(b->ctx);
}

void on_signal(int signum) {
  const int saved = errno;
  bool told = false;
  stations.each_watching(signum, [&](event_base *b) {
    if (!b->has_looped.load() && b != newest.load()) return;
    told = true;
    tell(b, signum);
  });
  if (!told) stations.each_watching(signum, [&](event_base *b) { tell(b, signum); });
  errno = saved;
}

bool install(int signum) {
  const torque_compat::ForkLocked locked(dispositions);
  if (watchers[signum] == 0) {
    struct sigaction act {};
    act.sa_handler = on_signal;
    act.sa_flags = SA_RESTART;
    sigfillset(&act.sa_mask);
    if (sigaction(signum, &act, &before[signum]) != 0) return false;
  }
  ++watchers[signum];
  return true;
}

bool restore(int signum) {
  const torque_compat::ForkLocked locked(dispositions);
  return --watchers[signum] != 0 || sigaction(signum, &before[signum], nullptr) == 0;
}

bool begin_to_watch(event_base *b, int signum) {
  if (signum == 0) {
    errno = EINVAL;
    return false;
  }
  if (!b->station) b->station = stations.take(b);
  if (!b->station) {
    errno = ENOMEM;
    return false;
  }
  b->station->signals.fetch_or(signal_bit(signum));
  if (install(signum)) return true;
  b->station->signals.fetch_and(~signal_bit(signum));
  return false;
}

// libevent's place for it: an internal callback of the highest priority.
void hand_out(event_callback *, void *base) {
  auto *b = static_cast<event_base *>(base);
  const Locked locked(b);
  for (int s = 1; s < kSignals; ++s) {
    if (b->arrivals[s].load(std::memory_order_relaxed) == 0) continue;
    if (const int n = b->arrivals[s].exchange(0)) active_signal(b, s, n);
  }
}

}  // namespace

void init_signals(event_base *b) {
  event_callback &c = b->signal_teller;
  c.evcb_closure = kSelf;
  c.evcb_flags = EVLIST_INTERNAL;
  c.evcb_cb_union.evcb_selfcb = hand_out;
  c.evcb_arg = b;
}

void begin_to_loop(event_base *b) {
  if (!b->has_looped.load(std::memory_order_relaxed)) b->has_looped.store(true);  // once: each loop would pay for it
  if (b->station && b->station->signals.load()) newest.store(b);
}

void collect_signals(void *base) {
  auto *b = static_cast<event_base *>(base);
  if (b->caught.exchange(false)) activate(b, &b->signal_teller);
}

void forget_signals(event_base *b) {
  b->caught.store(false);
  for (auto &n : b->arrivals) n.store(0);
  cancel(b, &b->signal_teller, false);
}

int add_signal(event_base *b, event *e) {
  const int signum = e->ev_fd;
  if (signum < 0 || signum >= kSignals) return -1;
  EventList &list = b->signals[signum];
  if (!list.first) {
    if (!begin_to_watch(b, signum)) {
      log_warn("sigaction");
      return -1;
    }
  }
  newest.store(b);
  list.push(e);
  return 1;
}

int del_signal(event_base *b, event *e) {
  const int signum = e->ev_fd;
  if (signum < 0 || signum >= kSignals) return -1;
  EventList::remove(e);
  if (b->signals[signum].first) return 1;
  const bool ok = restore(signum);
  if (!ok) log_warn("sigaction");
  b->station->signals.fetch_and(~signal_bit(signum));
  return ok ? 1 : -1;
}

void active_signal(event_base *b, int signum, int ncalls) {
  if (signum < 0 || signum >= kSignals) return;
  for (event *e = b->signals[signum].first; e; e = EventList::next(e)) activate(e, EV_SIGNAL, static_cast<short>(ncalls));
}

void leave_signals(event_base *b) {
  if (!b->station) return;
  const uint64_t left = stations.leave(b->station);
  b->station = nullptr;
  for (int s = 1; s < kSignals; ++s) {
    if (left & signal_bit(s)) (void)restore(s);
  }
}

}  // namespace torque_event
