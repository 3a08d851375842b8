// SPDX-License-Identifier: BSD-3-Clause
// A libev loop: a driven context with watches, and around it libev's own order of things. What a loop does in one pass,
// which callbacks come first, when a watcher counts as pending: all that is libev's, from its manual and its behaviour.
//
// Thread: a loop belongs to one thread at a time, as in libev; what other threads and signal handlers touch is atomic.
#pragma once

#include <libtorque/torque.h>

#include <atomic>

#include "common/publish.hh"
#include "common/stations.hh"
#include "error.hh"
#include "ev.hh"
#include "heap.hh"
#include "memory.hh"
#include "timers.hh"

namespace torque_ev {

constexpr int kPriorities = EV_MAXPRI - EV_MINPRI + 1;
constexpr int kSignals = 64;
constexpr int kHash = 16;
constexpr int kRecursion = 0x80;  // beside EVBREAK_*: the loop waits

using W = ev_watcher *;
using WL = ev_watcher_list *;

inline W base(void *w) { return static_cast<W>(w); }
inline WL in_list(void *w) { return static_cast<WL>(w); }
inline int level(W w) { return w->priority - EV_MINPRI; }

// What is known of one descriptor.
struct Descriptor {
  WL head;               // its ev_io
  unsigned char events;  // what they ask for together, as of the last reify()
  unsigned char reify;   // kReify, EV__IOFDSET: it is in changes
};
constexpr unsigned char kReify = 1;

struct Pending {
  W w;
  int events;
};

}  // namespace torque_ev

// All zero before loop_init(). The default loop is static and keeps what libev keeps from one life to the next.
struct ev_loop {
  ev_tstamp rt_now;
  ev_tstamp mn_now;
  ev_tstamp now_floor;  // mn_now when the wall clock was last read
  ev_tstamp rtmn_diff;
  ev_tstamp io_blocktime;
  ev_tstamp timeout_blocktime;

  torque_ctx *ctx;
  torque_compat::Publisher publisher;
  unsigned backend;
  unsigned origflags;
  int activecnt;
  int loop_done;
  unsigned loop_count;
  unsigned loop_depth;
  int postfork;
  pid_t curpid;  // EVFLAG_FORKCHECK
  void *userdata;
  ev_loop_callback invoke_cb;
  ev_loop_callback release_cb;
  ev_loop_callback acquire_cb;

  torque_ev::Array<torque_ev::Descriptor> fds;
  torque_ev::Array<int> changes;
  torque_ev::Array<torque_ev::Pending> pendings[torque_ev::kPriorities];
  int pendingpri;
  torque_ev::Array<torque_ev::W> feeds;

  torque_ev::Timers timers;
  torque_ev::Heap periodics;
  torque_ev::Array<ev_idle *> idles[torque_ev::kPriorities];
  int idleall;
  torque_ev::Array<ev_prepare *> prepares;
  torque_ev::Array<ev_check *> checks;
  torque_ev::Array<ev_fork *> forks;
  torque_ev::Array<ev_cleanup *> cleanups;
  torque_ev::Array<ev_async *> asyncs;

  // What other threads and signal handlers leave for the loop. A flag is set before `waiting` is looked at, and looked at
  // after `waiting` is set: seq_cst on both sides, so that one of the two sees the other.
  std::atomic<int> async_pending;
  std::atomic<uint64_t> signals_pending;  // bit signum - 1
  std::atomic<int> waiting;
  bool notified;          // asyncs or signals have been used: pipe_w exists
  ev_watcher pipe_w;      // stands for libev's wake-up pipe: what came from elsewhere is fed when it runs
  ev_watcher pending_w;   // stands in the pending lists for what was taken out
  torque_ev::WL signal_heads[torque_ev::kSignals];
  torque_compat::Station<struct ev_loop> *station;
  int sigfd;  // EVFLAG_SIGNALFD. -2: not opened, -1: not to be had
  ev_io sigfd_w;
  sigset_t sigfd_set;

  int timerfd;  // -2: not opened, -1: not to be had
  ev_io timerfd_w;
  int fs_fd;
  ev_io fs_w;
  torque_ev::WL fs_hash[torque_ev::kHash];
};

namespace torque_ev {

// ---- lists ----
inline void list_add(WL *head, WL w) {
  w->next = *head;
  *head = w;
}
inline void list_remove(WL *head, WL w) {
  while (*head && *head != w) head = &(*head)->next;
  if (*head) *head = w->next;
}

// ---- starting and stopping, whatever the kind ----
inline void clamp_priority(W w) {
  w->priority = w->priority < EV_MINPRI ? EV_MINPRI : w->priority > EV_MAXPRI ? EV_MAXPRI : w->priority;
}
inline void start(struct ev_loop *loop, W w, int active) {
  clamp_priority(w);
  w->active = active;
  ++loop->activecnt;
}
inline void stop(struct ev_loop *loop, W w) {
  --loop->activecnt;
  w->active = 0;
}
inline void clear_pending(struct ev_loop *loop, W w) {
  if (!w->pending) return;
  loop->pendings[level(w)].at[w->pending - 1].w = &loop->pending_w;
  w->pending = 0;
}

// Watchers that are called all together keep their place in an array, from 1 on, in `active`.
template <class T>
void enlist(struct ev_loop *loop, Array<T *> &list, T *w) {
  if (w->active) return;
  start(loop, base(w), list.count + 1);
  list.push(w);
}
// False: it was not active.
template <class T>
bool delist(struct ev_loop *loop, Array<T *> &list, T *w) {
  clear_pending(loop, base(w));
  if (!w->active) return false;
  const int k = w->active;
  T *last = list.pop();
  list.at[k - 1] = last;
  last->active = k;
  stop(loop, base(w));
  return true;
}

inline void feed(struct ev_loop *loop, W w, int revents) {
  Array<Pending> &list = loop->pendings[level(w)];
  if (w->pending) [[unlikely]] {
    list.at[w->pending - 1].events |= revents;
  } else {
    list.push({w, revents});
    w->pending = list.count;
  }
  loop->pendingpri = kPriorities - 1;
}
template <class T>
void feed_all(struct ev_loop *loop, Array<T *> &list, int revents) {
  for (T *w : list) feed(loop, base(w), revents);
}
inline void invoke(struct ev_loop *loop, W w, int revents) { w->cb(loop, w, revents); }
inline void invoke_pending(struct ev_loop *loop) {
  if (loop->invoke_cb == ev_invoke_pending) [[likely]]
    ev_invoke_pending(loop);
  else
    loop->invoke_cb(loop);
}

// ---- io.cc ----
void reify(struct ev_loop *loop);
void on_watch(int32_t fd, uint32_t events, int32_t error, void *loop);

// ---- clock.cc ----
ev_tstamp monotonic();
void update_time(struct ev_loop *loop);
void timers_reify(struct ev_loop *loop);
void periodics_reify(struct ev_loop *loop);
void timerfd_fork(struct ev_loop *loop);

// ---- notify.cc: signals, asyncs, children ----
void notify_init(struct ev_loop *loop);
void notify_close(struct ev_loop *loop);
bool notify_pending(struct ev_loop *loop);
void take_notes_if_any(void *loop);  // when a pass has found a wake-up
void init_pipe_watcher(struct ev_loop *loop);
void start_children(struct ev_loop *loop);
void stop_children(struct ev_loop *loop);

// ---- stat.cc ----
void stat_fork(struct ev_loop *loop);

// ---- loop.cc ----
void revive(struct ev_loop *loop);  // in a forked child: the context works again

}  // namespace torque_ev
