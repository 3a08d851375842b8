// SPDX-License-Identifier: BSD-3-Clause
// What comes from elsewhere: asyncs from other threads, signals from handlers. Both leave a flag with the loop, and wake
// it where it waits. The flags are read by a watcher of the highest priority, as libev reads its pipe, so that what they
// stand for is called in the pass in which it was noticed.
//
// libev lets one loop watch a signal. Here any number may: the handler tells each.
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "common/fork_lock.hh"
#include "common/stations.hh"
#include "loop.hh"

namespace torque_ev {

namespace {

constinit torque_compat::Stations<struct ev_loop> stations;

// Who comes first installs the handler, who goes last puts SIG_DFL back.
constinit torque_compat::ForkLock dispositions;
constinit int watchers[kSignals] = {};  // of each signal, in all loops; guarded by it

using torque_compat::signal_bit;
bool is_signal(int signum) { return signum > 0 && signum <= kSignals; }

// Async-signal-safe.
template <class Flag, class T>
void leave(struct ev_loop *loop, Flag &flag, T value) {
  if ((flag.fetch_or(value) & value) == value) return;  // it has not been looked at since
  if (!loop->waiting.load()) return;
  const int saved = errno;
  (void)torque_wake(loop->ctx);
  errno = saved;
}

void on_signal(int signum) { ev_feed_signal(signum); }

void install_handler(int signum) {
  struct sigaction act {};
  act.sa_handler = on_signal;
  sigfillset(&act.sa_mask);
  act.sa_flags = SA_RESTART;
  (void)sigaction(signum, &act, nullptr);
}

void watch_signal(int signum) {
  const torque_compat::ForkLocked locked(dispositions);
  if (watchers[signum - 1]++ == 0) install_handler(signum);
}
void unwatch_signal(int signum) {
  const torque_compat::ForkLocked locked(dispositions);
  if (--watchers[signum - 1] == 0) (void)signal(signum, SIG_DFL);
}
// By a loop that goes without stopping its watchers: the handler stays, as in libev.
void forget_signal(int signum) {
  const torque_compat::ForkLocked locked(dispositions);
  --watchers[signum - 1];
}

void take_station(struct ev_loop *loop) {
  if (loop->station) return;
  loop->station = stations.take(loop);
  if (!loop->station) no_memory();
}

void leave_station(struct ev_loop *loop) {
  if (!loop->station) return;
  const uint64_t signals = stations.leave(loop->station);
  loop->station = nullptr;
  for (int s = 1; s <= kSignals && loop->sigfd < 0; ++s) {
    if (signals & signal_bit(s)) forget_signal(s);
  }
}

// libev's pipecb.
void take_notes(struct ev_loop *loop, ev_watcher *, int) {
  if (const uint64_t signals = loop->signals_pending.exchange(0)) {
    for (int s = kSignals; s > 0; --s) {
      if (signals & signal_bit(s)) ev_feed_signal_event(loop, s);
    }
  }
  if (!loop->async_pending.exchange(0)) return;
  for (int i = loop->asyncs.count; i-- > 0;) {
    ev_async *w = loop->asyncs.at[i];
    if (!__atomic_exchange_n(&w->sent, 0, __ATOMIC_ACQ_REL)) continue;
    feed(loop, base(w), EV_ASYNC);
  }
}

// ---- EVFLAG_SIGNALFD: signals are blocked, and read ----

void read_sigfd(struct ev_loop *loop, ev_io *, int) {
  signalfd_siginfo infos[4];
  ssize_t n;
  do {
    n = read(loop->sigfd, infos, sizeof infos);
    for (ssize_t i = 0; i < n / static_cast<ssize_t>(sizeof *infos); ++i) {
      ev_feed_signal_event(loop, static_cast<int>(infos[i].ssi_signo));
    }
  } while (n == sizeof infos);
}

void open_sigfd(struct ev_loop *loop) {
  sigemptyset(&loop->sigfd_set);
  loop->sigfd = signalfd(-1, &loop->sigfd_set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (loop->sigfd < 0) return;
  ev_io_init(&loop->sigfd_w, read_sigfd, loop->sigfd, EV_READ);
  ev_set_priority(&loop->sigfd_w, EV_MAXPRI);
  ev_io_start(loop, &loop->sigfd_w);
  ev_unref(loop);
}

void block_and_read(struct ev_loop *loop, int signum) {
  sigaddset(&loop->sigfd_set, signum);
  sigprocmask(SIG_BLOCK, &loop->sigfd_set, nullptr);
  (void)signalfd(loop->sigfd, &loop->sigfd_set, 0);
}

void read_no_more(struct ev_loop *loop, int signum) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signum);
  sigdelset(&loop->sigfd_set, signum);
  (void)signalfd(loop->sigfd, &loop->sigfd_set, 0);
  sigprocmask(SIG_UNBLOCK, &one, nullptr);
}

// ---- children: of the default loop alone, so that these are the process's ----

constinit WL children[kHash] = {};
constinit ev_signal child_signal = {};

WL &chain_of(int pid) { return children[pid & (kHash - 1)]; }

void reap(struct ev_loop *loop, int chain, int pid, int status) {
  const bool traced = WIFSTOPPED(status) || WIFCONTINUED(status);
  for (WL l = chain_of(chain); l; l = l->next) {
    auto *w = reinterpret_cast<ev_child *>(l);
    if ((w->pid != pid && w->pid) || (traced && !(w->flags & 1))) continue;
    ev_set_priority(w, EV_MAXPRI);  // called before the next one is reaped
    w->rpid = pid;
    w->rstatus = status;
    feed(loop, base(w), EV_CHILD);
  }
}

void on_child(struct ev_loop *loop, ev_signal *w, int) {
  int status;
  const int pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
  if (pid <= 0) return;
  feed(loop, base(w), EV_SIGNAL);  // again, until there are no more
  reap(loop, pid, pid, status);
  reap(loop, 0, pid, status);
}

}  // namespace

void notify_init(struct ev_loop *loop) { loop->notified = true; }

void notify_close(struct ev_loop *loop) {
  leave_station(loop);
  loop->notified = false;
  if (ev_is_active(&loop->sigfd_w)) close(loop->sigfd);
}

void take_notes_if_any(void *loop) {
  auto *l = static_cast<struct ev_loop *>(loop);
  if (notify_pending(l)) feed(l, &l->pipe_w, EV_CUSTOM);
}

bool notify_pending(struct ev_loop *loop) { return loop->async_pending.load() | (loop->signals_pending.load() != 0); }

void start_children(struct ev_loop *loop) {
  ev_signal_init(&child_signal, on_child, SIGCHLD);
  ev_set_priority(&child_signal, EV_MAXPRI);
  ev_signal_start(loop, &child_signal);
  ev_unref(loop);
}

void stop_children(struct ev_loop *loop) {
  if (loop != ev_default_loop_ptr || !ev_is_active(&child_signal)) return;
  ev_ref(loop);
  ev_signal_stop(loop, &child_signal);
}

void init_pipe_watcher(struct ev_loop *loop) {
  ev_init(&loop->pipe_w, take_notes);
  ev_set_priority(&loop->pipe_w, EV_MAXPRI);
}

}  // namespace torque_ev

using namespace torque_ev;

extern "C" {

void ev_feed_signal(int signum) EV_NOEXCEPT {
  if (!is_signal(signum)) return;
  stations.each_watching(signum, [signum](struct ev_loop *loop) { leave(loop, loop->signals_pending, signal_bit(signum)); });
}

void ev_feed_signal_event(struct ev_loop *loop, int signum) EV_NOEXCEPT {
  if (!is_signal(signum)) return;
  loop->signals_pending.fetch_and(~signal_bit(signum));
  for (WL w = loop->signal_heads[signum - 1]; w; w = w->next) feed(loop, base(w), EV_SIGNAL);
}

void ev_signal_start(struct ev_loop *loop, ev_signal *w) EV_NOEXCEPT {
  if (w->active) return;
  require(is_signal(w->signum), "ev_signal_start called with illegal signal number");
  const int signum = w->signum;
  if (loop->sigfd == -2) open_sigfd(loop);
  if (loop->sigfd >= 0) block_and_read(loop, signum);
  take_station(loop);
  start(loop, base(w), 1);
  WL *head = &loop->signal_heads[signum - 1];
  const bool first = !*head;
  list_add(head, in_list(w));
  loop->station->signals.fetch_or(signal_bit(signum));
  if (!first || loop->sigfd >= 0) return;
  notify_init(loop);
  watch_signal(signum);
  if (!(loop->origflags & EVFLAG_NOSIGMASK)) return;
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signum);
  sigprocmask(SIG_UNBLOCK, &one, nullptr);
}

void ev_signal_stop(struct ev_loop *loop, ev_signal *w) EV_NOEXCEPT {
  clear_pending(loop, base(w));
  if (!w->active) return;
  const int signum = w->signum;
  WL *head = &loop->signal_heads[signum - 1];
  list_remove(head, in_list(w));
  stop(loop, base(w));
  if (*head) return;
  loop->station->signals.fetch_and(~signal_bit(signum));
  if (loop->sigfd >= 0) read_no_more(loop, signum);
  else unwatch_signal(signum);
}

void ev_child_start(struct ev_loop *loop, ev_child *w) EV_NOEXCEPT {
  require(loop == ev_default_loop_ptr, "child watchers are only supported in the default loop");
  if (w->active) return;
  start(loop, base(w), 1);
  list_add(&chain_of(w->pid), in_list(w));
}

void ev_child_stop(struct ev_loop *loop, ev_child *w) EV_NOEXCEPT {
  clear_pending(loop, base(w));
  if (!w->active) return;
  list_remove(&chain_of(w->pid), in_list(w));
  stop(loop, base(w));
}

void ev_async_start(struct ev_loop *loop, ev_async *w) EV_NOEXCEPT {
  if (w->active) return;
  w->sent = 0;
  notify_init(loop);
  enlist(loop, loop->asyncs, w);
}

void ev_async_stop(struct ev_loop *loop, ev_async *w) EV_NOEXCEPT { delist(loop, loop->asyncs, w); }

void ev_async_send(struct ev_loop *loop, ev_async *w) EV_NOEXCEPT {
  __atomic_store_n(&w->sent, 1, __ATOMIC_SEQ_CST);
  leave(loop, loop->async_pending, 1);
}

}  // extern "C"
