// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/handler.hh"

#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hh"
#include "base/futex.hh"
#include "base/mutex.hh"

// There in a program that was built with ThreadSanitizer, whether or not this library was.
extern "C" [[gnu::weak]] void __tsan_init();

namespace torque::handler {

namespace {

constinit Mutex lock;

// What a disposition was before ours took its place. Written under the lock before ours is installed.
constinit struct sigaction before[kSignals] = {};

// Written under the lock, read by the handler.
constinit std::atomic<pid_t> owner{0};  // the process that installed it. A child has its own signals
// Whoever wants a signal counts itself before the handler is installed.
constinit std::atomic<uint32_t> watchers[kSignals] = {};
constinit std::atomic<uint32_t> blocks[kSignals] = {};  // threads in torque_block()

// The handler, on any thread.
constinit std::atomic<int> pipe_write{-1};
constinit std::atomic<uint32_t> in_handler{0};  // handlers that may use pipe_write; see write_to()
constinit std::atomic<uint64_t> unsent[kSignals] = {};  // wide: a context that is not run reads nothing, for however long
static_assert(std::atomic<uint64_t>::is_always_lock_free);  // in the handler

// Terminations. What changes is counted first, then the word, so that who saw the word before it looked sleeps on no news.
constinit std::atomic<uint64_t> arrived[kSignals] = {};
constinit std::atomic<uint32_t> word{0};

bool used(int signo) noexcept {
  return watchers[signo].load(std::memory_order_seq_cst) != 0 || blocks[signo].load(std::memory_order_seq_cst) != 0;
}

bool write_one(int pipe, const torque_siginfo &arrival) noexcept {
  ssize_t n;
  do n = ::write(pipe, &arrival, sizeof arrival);
  while (n < 0 && errno == EINTR);
  return n == sizeof arrival;
}

// What finds the pipe full is counted. The pipe may have been read dry before that, and the reader gone: it is woken once
// more. If there is no room for that either, who reads has still to come.
void send(const torque_siginfo &arrival) noexcept {
  in_handler.fetch_add(1, std::memory_order_seq_cst);
  const int pipe = pipe_write.load(std::memory_order_seq_cst);
  if (pipe >= 0 && !write_one(pipe, arrival)) {
    unsent[arrival.signo].fetch_add(1, std::memory_order_seq_cst);
    (void)write_one(pipe, torque_siginfo{});
  }
  in_handler.fetch_sub(1, std::memory_order_seq_cst);
}

void on_signal(int signo, siginfo_t *info, void *) noexcept;

bool stands(int signo, struct sigaction *ret) noexcept {
  return ::sigaction(signo, nullptr, ret) == 0 && (ret->sa_flags & SA_SIGINFO) && ret->sa_sigaction == on_signal;
}

// Nobody wants the signal here, and yet our handler stands: the program took it for another's, and put it back when we had
// gone; or this is a child, before its fork handlers have run or without any. The disposition becomes what it was, and the
// signal comes anew.
void hand_on(int signo, siginfo_t *info, pid_t self) noexcept {
  struct sigaction now;
  if (!stands(signo, &now) || (used(signo) && self == owner.load(std::memory_order_relaxed))) return;
  if (::sigaction(signo, &before[signo], nullptr) != 0) return;
  (void)::syscall(SYS_rt_tgsigqueueinfo, self, ::syscall(SYS_gettid), signo, info);
}

void on_signal(int signo, siginfo_t *info, void *) noexcept {
  const int saved = errno;
  const pid_t self = ::getpid();
  if (!used(signo) || self != owner.load(std::memory_order_relaxed)) {
    hand_on(signo, info, self);
  } else {
    if (watched(signo)) {
      send({signo, info->si_code, info->si_pid, info->si_uid,
            signo == SIGCHLD ? info->si_status : reinterpret_cast<intptr_t>(info->si_value.sival_ptr)});
    }
    note_termination(signo);
  }
  errno = saved;
}

bool is_default(const struct sigaction &a) noexcept { return !(a.sa_flags & SA_SIGINFO) && a.sa_handler == SIG_DFL; }

// Puts ours in place of what there is.
torque_err install(int signo) noexcept REQUIRES(lock) {
  struct sigaction now;
  if (stands(signo, &now)) return TORQUE_ERR_NONE;
  before[signo] = now;
  owner.store(::getpid(), std::memory_order_relaxed);
  struct sigaction act {};
  act.sa_sigaction = on_signal;
  // Some runtimes let their threads run on small stacks, and ask for the other one.
  act.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&act.sa_mask);
  return ::sigaction(signo, &act, nullptr) == 0 ? TORQUE_ERR_NONE : last_error();
}

// Where nobody needs ours any more, but for a disposition that the program has chosen meanwhile.
void put_back(int signo) noexcept REQUIRES(lock) {
  if (watchers[signo].load(std::memory_order_relaxed) != 0) return;
  if (blocks[signo].load(std::memory_order_relaxed) != 0 && is_default(before[signo])) return;
  struct sigaction now;
  if (stands(signo, &now)) (void)::sigaction(signo, &before[signo], nullptr);
}

// True: in place of the default action, the handler stands.
bool take(int signo) noexcept REQUIRES(lock) {
  struct sigaction now;
  if (stands(signo, &now)) return is_default(before[signo]);
  return is_default(now) && install(signo) == TORQUE_ERR_NONE;
}

}  // namespace

torque_err watch(int signo) noexcept {
  Lock locked(lock);
  if (watchers[signo].fetch_add(1, std::memory_order_seq_cst) != 0) return TORQUE_ERR_NONE;
  const torque_err err = install(signo);
  if (err) watchers[signo].fetch_sub(1, std::memory_order_seq_cst);
  return err;
}

void unwatch(int signo) noexcept {
  Lock locked(lock);
  if (watchers[signo].fetch_sub(1, std::memory_order_seq_cst) != 1) return;
  put_back(signo);
  unsent[signo].store(0, std::memory_order_relaxed);
}

bool watched(int signo) noexcept { return watchers[signo].load(std::memory_order_relaxed) != 0; }

// A handler that began before may still be about to write: it is waited for, or its bytes would go to whatever gets the
// number next.
void write_to(int pipe) noexcept {
  pipe_write.store(pipe, std::memory_order_seq_cst);
  if (pipe >= 0) return;
  while (in_handler.load(std::memory_order_seq_cst) != 0) sched_yield();
  for (auto &n : unsent) n.store(0, std::memory_order_relaxed);
}

uint64_t take_unsent(int signo) noexcept {
  if (unsent[signo].load(std::memory_order_seq_cst) == 0) return 0;
  return unsent[signo].exchange(0, std::memory_order_seq_cst);
}

void note_termination(int signo) noexcept {
  if (blocks[signo].load(std::memory_order_seq_cst) == 0) return;
  arrived[signo].fetch_add(1, std::memory_order_seq_cst);
  wake_blocked();
}

void wake_blocked() noexcept {
  word.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(word);
}

Termination::Termination(const sigset_t &set) noexcept : set_(set) {
  sigset_t mask;
  sigemptyset(&unblocked_);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  {
    Lock locked(lock);
    before_ = arrivals();
    for (int s = 1; s < kSignals; ++s) {
      if (sigismember(&set_, s) != 1) continue;
      blocks[s].fetch_add(1, std::memory_order_seq_cst);
      if (take(s) && sigismember(&mask, s) == 1) sigaddset(&unblocked_, s);
    }
  }
  pthread_sigmask(SIG_UNBLOCK, &unblocked_, nullptr);  // those that are pending come now
}

// The mask first: what comes later is for whoever comes next, and does not meet the default action here.
Termination::~Termination() {
  pthread_sigmask(SIG_BLOCK, &unblocked_, nullptr);
  Lock locked(lock);
  for (int s = 1; s < kSignals; ++s) {
    if (sigismember(&set_, s) != 1) continue;
    blocks[s].fetch_sub(1, std::memory_order_seq_cst);
    put_back(s);
  }
}

uint64_t Termination::arrivals() const noexcept {
  uint64_t sum = 0;
  for (int s = 1; s < kSignals; ++s) {
    if (sigismember(&set_, s) == 1) sum += arrived[s].load(std::memory_order_seq_cst);
  }
  return sum;
}

uint32_t Termination::look() noexcept { return word.load(std::memory_order_seq_cst); }

// ThreadSanitizer puts a handler off until its thread is in a call of libc's that it knows to block, and futex(2) is none.
void Termination::sleep(uint32_t seen) noexcept {
  constexpr int kGlance = 20;  // ms
  if (&__tsan_init) (void)::poll(nullptr, 0, kGlance);
  else (void)futex_wait(word, seen, kNever);
}

void before_fork() noexcept NO_THREAD_SAFETY_ANALYSIS { lock.lock(); }
void after_fork_in_parent() noexcept NO_THREAD_SAFETY_ANALYSIS { lock.unlock(); }

void after_fork_in_child() noexcept NO_THREAD_SAFETY_ANALYSIS {
  in_handler.store(0, std::memory_order_relaxed);
  pipe_write.store(-1, std::memory_order_relaxed);
  for (int s = 1; s < kSignals; ++s) {
    if (!used(s)) continue;
    watchers[s].store(0, std::memory_order_relaxed);
    blocks[s].store(0, std::memory_order_relaxed);
    unsent[s].store(0, std::memory_order_relaxed);
    put_back(s);
  }
  lock.unlock();
}

}  // namespace torque::handler
