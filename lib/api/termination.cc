// SPDX-License-Identifier: BSD-3-Clause
#include "api/termination.hh"

#include "api/handle.hh"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace torque {

namespace {

constexpr int kSignals = 65;
constexpr int kBlocked = 16;  // threads in torque_block() that a signal may be passed to; more just wait

// Under the registry's lock.
constinit int users[kSignals] = {};
constinit struct sigaction before[kSignals] = {};
constinit bool ours[kSignals] = {};

// The handler reads: the thread that has entered for each signal last, 0: none. A thread that leaves takes itself out
// before it restores its mask, so that what is passed on never meets a thread that has the signal unblocked.
constinit std::atomic<pid_t> blocked[kSignals][kBlocked] = {};

void pass_on(int signo) {
  const int saved = errno;
  for (const auto &thread : blocked[signo]) {
    const pid_t t = thread.load(std::memory_order_acquire);
    if (t != 0 && ::syscall(SYS_tgkill, ::getpid(), t, signo) == 0) break;
  }
  errno = saved;
}

void install(int signo) noexcept {
  if (users[signo]++ != 0) return;
  struct sigaction now;
  if (::sigaction(signo, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL) return;
  before[signo] = now;
  struct sigaction act {};
  act.sa_handler = pass_on;
  act.sa_flags = SA_RESTART;
  sigfillset(&act.sa_mask);
  ours[signo] = ::sigaction(signo, &act, nullptr) == 0;
}

// The program may have put a handler of its own in place meanwhile: that stays.
void restore(int signo) noexcept {
  struct sigaction now;
  if (ours[signo] && ::sigaction(signo, nullptr, &now) == 0 && now.sa_handler == pass_on) {
    (void)::sigaction(signo, &before[signo], nullptr);
  }
  ours[signo] = false;
}

void swap_thread(int signo, pid_t from, pid_t to) noexcept {
  for (auto &thread : blocked[signo]) {
    pid_t expected = from;
    if (thread.compare_exchange_strong(expected, to, std::memory_order_acq_rel)) return;
  }
}

}  // namespace

void enter_termination(const sigset_t &set) noexcept {
  for (int s = 1; s < kSignals; ++s) {
    if (sigismember(&set, s) != 1) continue;
    swap_thread(s, 0, this_thread());
    install(s);
  }
}

void leave_termination(const sigset_t &set) noexcept {
  for (int s = 1; s < kSignals; ++s) {
    if (sigismember(&set, s) != 1) continue;
    if (--users[s] == 0) restore(s);
    swap_thread(s, this_thread(), 0);
  }
}

void forget_termination() noexcept {
  for (int s = 1; s < kSignals; ++s) {
    if (users[s] != 0) restore(s);
    users[s] = 0;
    for (auto &thread : blocked[s]) thread.store(0, std::memory_order_relaxed);
  }
}

}  // namespace torque
