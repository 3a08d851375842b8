// SPDX-License-Identifier: BSD-3-Clause
// What all domains of a context share. No threads here: those are the worker room's.
#pragma once

#include "base/alloc.hh"
#include "base/clock.hh"
#include "libtorque/config.h"
#include "libtorque/hook.h"
#include "libtorque/watchdog.h"
#include "source/descriptors.hh"
#include "source/domain.hh"
#include "source/fewest.hh"
#include "source/locals.hh"

struct torque_ctx;

namespace torque {

// What the program wants to be told of threads and of waits.
struct ThreadHooks {
  torque_thread_fn *start = nullptr;
  torque_thread_fn *end = nullptr;
  void *arg = nullptr;
  void began(int32_t kind, uint32_t number) const noexcept {
    if (start) start(kind, static_cast<int32_t>(number), arg);
  }
  void ended(int32_t kind, uint32_t number) const noexcept {
    if (end) end(kind, static_cast<int32_t>(number), arg);
  }
};
struct WaitHooks {
  torque_hook_fn *before = nullptr;
  torque_hook_fn *after = nullptr;
  void *arg = nullptr;
  void about_to_wait(uint32_t worker) const noexcept {
    if (before) [[unlikely]]
      before(static_cast<int32_t>(worker), arg);
  }
  void waited(uint32_t worker) const noexcept {
    if (after) [[unlikely]]
      after(static_cast<int32_t>(worker), arg);
  }
};

// What a configuration comes to; constant.
struct Options {
  bool driven = false;
  bool poll_deadline = false;  // of driven contexts: what is to be done makes the queue's descriptor readable
  bool pin = true;
  bool oneshot = false;
  bool timing = false;
  uint32_t window_min = 0;
  uint32_t window_max = 0;
  size_t stack_size = 0;  // 0: by RLIMIT_STACK
  uint64_t watchdog_ns = 0;  // 0: off
  torque_watchdog_fn *watchdog_fn = nullptr;
  void *watchdog_arg = nullptr;
  ThreadHooks threads;
  WaitHooks waits;
  uint64_t post_limit = UINT64_MAX;
  uint8_t aio = 0;           // TORQUE_AIO_...
  uint32_t helpers_max = 0;  // 0: by the CPUs
  uint64_t helper_idle_ns = 10 * kSecond;
  char name[11] = "torque";
};

struct Log {
  torque_log_fn *fn = nullptr;
  void *arg = nullptr;
  [[gnu::format(printf, 3, 4)]] void say(int32_t level, const char *format, ...) const noexcept;
};

// Grows in each forked child, so that a context knows a process that is not its own.
extern std::atomic<uint32_t> forks;
inline uint32_t fork_generation() noexcept { return forks.load(std::memory_order_relaxed); }
void note_fork() noexcept;

class Context {
 public:
  Context(const Alloc &hooks, const Options &o, const Log &l) noexcept
      : alloc(hooks), options(o), log(l), descriptors(alloc), born_in_(fork_generation()) {}
  ~Context();
  Context(const Context &) = delete;
  Context &operator=(const Context &) = delete;

  // Makes count domains; sizes[i] workers each.
  torque_err open(uint32_t count, const uint32_t *sizes) noexcept;

  // Constant after open().
  const Alloc alloc;
  const Options options;
  const Log log;
  torque_ctx *handle = nullptr;
  Locals locals;

  Descriptors descriptors;
  uint32_t domain_count() const noexcept { return domain_count_; }
  Domain &domain(uint32_t i) noexcept { return *domains_[i]; }
  const Domain &domain(uint32_t i) const noexcept { return *domains_[i]; }

  // Every live source, as SlotPool::each().
  template <class F>
  void each_source(F f) noexcept {
    for (uint32_t i = 0; i < domain_count_; ++i) domains_[i]->slots.each(f);
  }

  // 0, or why nothing can be done here: FORKED, STOPPED. Also makes kernel objects anew in a child whose parent had not
  // started its workers.
  torque_err usable() noexcept {
    if (stopping.load(std::memory_order_acquire)) return TORQUE_ERR_STOPPED;
    return foreign() ? usable_after_fork() : TORQUE_ERR_NONE;
  }
  bool foreign() const noexcept { return born_in_.load(std::memory_order_relaxed) != fork_generation(); }
  torque_err reinit() noexcept;  // in the child; the sources come after
  // In a forked child: there may be holders that only the parent has, who never let their sources go.
  bool has_orphans() const noexcept { return revived_; }
  void undo_reinit() noexcept { born_in_.store(fork_generation() - 1, std::memory_order_relaxed); }

  // The domain for something new. place: TORQUE_PLACE_* or a number.
  Domain *pick(int32_t place) noexcept;
  // A source that was served there has ended or moved.
  void one_fewer(Domain &d) noexcept;
  // For posts of the calling thread: always the same.
  Domain &home() noexcept;

  // The worker room's part: starts the threads when the first source starts. Null for driven contexts.
  torque_err (*start)(Context &) noexcept = nullptr;
  std::atomic<bool> started{false};   // store_release by whoever started; load_acquire before a source starts
  std::atomic<bool> stopping{false};  // seq_cst in stop, as work is published; workers look before each callback

  // ---- A drain: api/drain.cc ----
  enum class Drain : uint8_t {
    none,
    lets_end,  // nothing is accepted; streams end by themselves
    aborts,    // the limit is over: no stream starts
  };
  // seq_cst: who changes it looks for streams afterwards; a stream that starts or ends is counted before it looks here.
  std::atomic<Drain> drain{Drain::none};
  std::atomic<uint64_t> drain_source{0};  // to be activated when no stream is left; before drain is changed

  // Streams that were alive at the limit and were aborted. relaxed: added before the stream is over, read when none is left.
  std::atomic<uint64_t> drain_aborted{0};

  void stream_begins(Domain &d) noexcept { d.streams_begun.fetch_add(1, std::memory_order_seq_cst); }
  void stream_is_over(Domain &d, bool aborted = false) noexcept {
    if (aborted && drain.load(std::memory_order_relaxed) == Drain::aborts) drain_aborted.fetch_add(1, std::memory_order_relaxed);
    d.streams_over.fetch_add(1, std::memory_order_seq_cst);
    if (drain.load(std::memory_order_seq_cst) != Drain::none) [[unlikely]]
      look_whether_drained();
  }
  void look_whether_drained() noexcept;
  bool any_stream() const noexcept;

  torque_err ensure_started() noexcept {
    return started.load(std::memory_order_acquire) || !start ? TORQUE_ERR_NONE : start(*this);
  }

 private:
  torque_err usable_after_fork() noexcept;

  Mutex reinit_lock_;  // first of all: several threads of a child may come at once. Nobody holds it while forking
  std::atomic<uint32_t> born_in_;
  bool revived_ = false;  // in reinit(), under its caller's lock or by the only thread
  Domain **domains_ = nullptr;
  uint32_t domain_count_ = 0;
  alignas(kLine) Fewest fewest_;  // written where sources come and go

  friend struct Layout;  // tests/unit/source/layout_test.cc
};

}  // namespace torque
