// SPDX-License-Identifier: BSD-3-Clause
#include "worker/watchdog.hh"

#include <dlfcn.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <new>

#include "base/futex.hh"
#include "worker/helpers.hh"

namespace torque {

namespace {

constexpr uint64_t kLooks = 4;  // within the limit
constexpr uint64_t kOftenest = 250000;
constexpr uint64_t kSeldomest = kSecond;

void find_name(torque_blocked &b) noexcept {
  Dl_info info;
  if (!b.function || ::dladdr(b.function, &info) == 0) return;
  b.object = info.dli_fname;
  b.offset = reinterpret_cast<uint64_t>(b.function) - reinterpret_cast<uint64_t>(info.dli_fbase);
  // The nearest exported name before a static function is not its name.
  if (info.dli_saddr == b.function) b.symbol = info.dli_sname;
}

}  // namespace

Watchdog::~Watchdog() { context_.alloc.put(marks_, team_.size() * sizeof(Mark)); }

void Watchdog::start() noexcept {
  if (context_.options.watchdog_ns == 0) return;
  const torque_err err = start_thread();
  if (err) context_.log.say(TORQUE_LOG_WARNING, "the watchdog could not start: %s", torque_errstr(err));
}

torque_err Watchdog::start_thread() noexcept {
  Lock lock(lock_);
  if (runs_ || stopping_.load(std::memory_order_relaxed)) return TORQUE_ERR_NONE;
  if (!marks_) marks_ = static_cast<Mark *>(context_.alloc.get(team_.size() * sizeof(Mark), alignof(Mark)));
  if (!marks_) return TORQUE_ERR_RESOURCE;
  for (uint32_t i = 0; i < team_.size(); ++i) new (&marks_[i]) Mark;
  remember_spawn_mask();
  sigset_t before;
  block_signals(&before);
  const int e = pthread_create(&thread_, nullptr, entry, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (e) return err_of_errno(e);
  runs_ = true;
  return TORQUE_ERR_NONE;
}

void Watchdog::stop() noexcept {
  pthread_t thread;
  {
    Lock lock(lock_);
    stopping_.store(1, std::memory_order_relaxed);
    if (!runs_) return;
    runs_ = false;
    thread = thread_;
  }
  futex_wake(stopping_);
  pthread_join(thread, nullptr);
}

void *Watchdog::entry(void *watchdog) noexcept {
  static_cast<Watchdog *>(watchdog)->run();
  return nullptr;
}

void Watchdog::run() noexcept {
  char name[16];
  std::snprintf(name, sizeof name, "%.10s/dog", context_.options.name);
  pthread_setname_np(pthread_self(), name);
  Helpers::move_in(context_);
  context_.options.threads.began(TORQUE_THREAD_WATCHDOG, 0);
  const uint64_t pause = std::clamp(context_.options.watchdog_ns / kLooks, kOftenest, kSeldomest);
  while (stopping_.load(std::memory_order_relaxed) == 0) {
    const uint64_t now = monotonic_ns();
    look(now);
    futex_wait(stopping_, 0, add_ns(now, pause));
  }
  context_.options.threads.ended(TORQUE_THREAD_WATCHDOG, 0);
}

void Watchdog::look(uint64_t now) noexcept {
  for (uint32_t i = 0; i < team_.size(); ++i) {
    Worker &w = team_.worker(i);
    Mark &m = marks_[i];
    Beat::Sight s;
    if (!w.beat.look(&s)) continue;
    if (s.count != m.count) m = {s.count, now, false};
    if (m.told || now - m.since < context_.options.watchdog_ns) continue;
    m.told = true;
    w.counters.add_shared(Counter::blocked);  // no other thread adds to this one
    tell(w, s, now - m.since);
  }
}

void Watchdog::tell(Worker &w, const Beat::Sight &s, uint64_t ns) const noexcept {
  torque_blocked b;
  b.worker = static_cast<int32_t>(w.number);
  b.thread = w.beat.thread.load(std::memory_order_relaxed);
  b.source = s.source;
  b.function = reinterpret_cast<const void *>(s.fn);
  b.ns = ns;
  find_name(b);
  context_.log.say(TORQUE_LOG_WARNING, "worker %d (thread %d) has been in one callback for %llu ms: %s (%s+0x%llx), source 0x%llx",
                   b.worker, b.thread, static_cast<unsigned long long>(ns / 1000000), b.symbol ? b.symbol : "?",
                   b.object ? b.object : "?", static_cast<unsigned long long>(b.offset),
                   static_cast<unsigned long long>(b.source));
  if (context_.options.watchdog_fn) context_.options.watchdog_fn(&b, context_.options.watchdog_arg);
}

}  // namespace torque
