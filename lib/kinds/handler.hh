// SPDX-License-Identifier: BSD-3-Clause
// The one signal handler that the library installs, and the dispositions that it stands in for. It serves signal sources
// (see signal.cc), whatever disposition a signal had, and threads in torque_block(), only in place of the default action:
// a handler of the program's, or that it ignores a signal, is the program's.
//
// Thread: any, but for what takes the hub's lock.
#pragma once

#include <signal.h>

#include <atomic>

#include "libtorque/error.h"

// One arrival, as the handler writes it to the pipe of the hub. signo 0: none, a mere wake-up.
struct torque_siginfo {
  int32_t signo, code, pid;
  uint32_t uid;
  int64_t value;
};

namespace torque {

constexpr int kSignals = 65;  // 1 .. 64

namespace handler {

// ---- For the hub, under its lock ----

// One more source of that signal; one less. Errors: SYSCALL + errno.
torque_err watch(int signo) noexcept;
void unwatch(int signo) noexcept;
bool watched(int signo) noexcept;
// Where arrivals go; -1: nowhere, and no handler uses the one before any more.
void write_to(int pipe) noexcept;
// Arrivals that the pipe had no room for, which are forgotten by that. Whoever counts one wakes the reader afterwards: so
// who reads the pipe dry first and then asks for these misses none.
uint64_t take_unsent(int signo) noexcept;

// ---- Waiting for termination signals ----

// A signal has come by another way than the handler.
void note_termination(int signo) noexcept;
// Those who wait look at what they wait for. Async-signal-safe.
void wake_blocked() noexcept;

// While it lives the signals of the set that have the default action end the wait, in whatever thread they arrive: this
// thread has them unblocked. So do those that signal sources watch.
class Termination {
 public:
  explicit Termination(const sigset_t &set) noexcept;
  ~Termination();
  Termination(const Termination &) = delete;
  Termination &operator=(const Termination &) = delete;

  // Until one has come since the beginning, or done() says so after a wake_blocked().
  template <class F>
  void wait(F done) noexcept {
    for (;;) {
      const uint32_t seen = look();
      if (done() || arrivals() != before_) return;
      sleep(seen);
    }
  }

 private:
  static uint32_t look() noexcept;
  static void sleep(uint32_t seen) noexcept;
  uint64_t arrivals() const noexcept;

  const sigset_t set_;
  sigset_t unblocked_;  // by this
  uint64_t before_ = 0;
};

// ---- Fork handlers ----

void before_fork() noexcept;
void after_fork_in_parent() noexcept;
void after_fork_in_child() noexcept;  // nobody is left here who takes a signal: each disposition is what it was

}  // namespace handler
}  // namespace torque
