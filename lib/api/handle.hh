// SPDX-License-Identifier: BSD-3-Clause
// The opaque types of the public headers are the objects themselves.
#pragma once

#include <cstddef>

#include "base/visit.hh"
#include "kinds/datagram/batch_pool.hh"
#include "kinds/files.hh"
#include "kinds/path/inodes.hh"
#include "libtorque/context.h"
#include "source/source.hh"
#include "source/strand.hh"
#include "topology/request.hh"
#include "watch/watches.hh"
#include "worker/helpers.hh"
#include "worker/team.hh"
#include "worker/watchdog.hh"

struct torque_config {
  torque::Alloc alloc;
  torque::Log log;
  torque::Options options;
  torque::TopologyRequest topology;  // its texts and CPU list point into the two below
  char *topology_text = nullptr;     // malloc
  uint32_t *cpus = nullptr;          // malloc
  sigset_t term = {};
  bool ignore_sigpipe = true;

  torque_config() noexcept {
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigaddset(&term, SIGINT);
  }
  torque_config(const torque_config &) = delete;
  torque_config &operator=(const torque_config &) = delete;
  ~torque_config() {
    std::free(topology_text);
    std::free(cpus);
  }
};

namespace torque {

// A drain of one context: see api/drain.cc.
struct Draining {
  Mutex lock;
  uint64_t until GUARDED_BY(lock) = kNever;  // monotonic ns
  uint64_t timer GUARDED_BY(lock) = 0;       // rings at that time
  uint64_t source GUARDED_BY(lock) = 0;      // runs when it is over; 0: it has not begun
  torque_drained_fn *fn GUARDED_BY(lock) = nullptr;  // not yet called
  void *arg GUARDED_BY(lock) = nullptr;
};

// In a forked child, when its context works: a drain that was under way goes on.
void resume_drain(torque_ctx &ctx) noexcept;

}  // namespace torque

struct torque_ctx {
  torque_ctx(const torque_config &config) noexcept
      : core(config.alloc, config.options, config.log), watches(core.alloc, core.descriptors), inodes(core.alloc),
        batches(core), team(core), helpers(core), files(core), watchdog(core, team), term(config.term) {
    core.handle = this;
    core.locals.put(watches);
    core.locals.put(inodes);
    core.locals.put(batches);
  }

  torque::Context core;
  // The parts that rooms above the core keep in it.
  torque::Watches watches;  // driven contexts
  torque::Inodes inodes;
  torque::BatchPools batches;
  torque::Team team;
  torque::Helpers helpers;
  torque::FileRings files;
  torque::Watchdog watchdog;
  const sigset_t term;
  torque::Draining draining;

  // Driven contexts. The thread that runs it; 0: none.
  std::atomic<pid_t> runner{0};
  std::atomic<bool> wake_asked{false};   // by torque_wake(): the wait in progress or the next returns
  std::atomic<uint64_t> breaks{0};       // torque_break() calls not yet taken by a torque_run()
  uint32_t run_depth = 0;                // runner only

  // Guarded by the registry's lock.
  torque_ctx *next = nullptr;
  uint64_t serial = 0;     // never used again, unlike the address
  uint32_t blocked = 0;    // threads in torque_block()
  bool ending = false;     // somebody is about to free it
  bool locked_for_fork = false;
  torque::Strand *locked_strands = nullptr;  // while a thread forks
};

// A strand is the object behind its handle.
struct torque_strand : torque::Strand {};

// What a source shall be that is made and started in one call. One thread at a time while it changes.
struct torque_attr {
  torque_attr() noexcept = default;
  torque_attr(const torque_attr &) = delete;
  torque_attr &operator=(const torque_attr &) = delete;
  ~torque_attr() {
    if (strand) strand->unref();
  }
  torque_final_fn *final = nullptr;
  torque_strand *strand = nullptr;  // with a reference
  int32_t place = TORQUE_PLACE_DEFAULT;
  bool placed = false;
};

namespace torque {

// The memory of a context. What says that it lives stands before it and can be read for ever, so that a call with a
// pointer to a context that has gone is told so. The memory is used again when kBuried more contexts have gone.
struct Room {
  std::atomic<bool> lives{false};  // store_release before the context is freed: pairs with lives(), in a visit
  Room *next = nullptr;            // of those that have gone, the earlier first. Under the registry's lock
  alignas(64) unsigned char body[sizeof(torque_ctx)];

  torque_ctx *context() noexcept { return reinterpret_cast<torque_ctx *>(body); }
};
inline Room &room_of(const torque_ctx *ctx) noexcept {
  return *reinterpret_cast<Room *>(reinterpret_cast<uintptr_t>(ctx) - offsetof(Room, body));
}
// Stays true until the visit is over.
inline bool lives(const torque_ctx *ctx) noexcept { return room_of(ctx).lives.load(std::memory_order_acquire); }

// All contexts of the process.
class Registry {
 public:
  static constexpr uint32_t kBuried = 256;
  static Room *take_room() noexcept;           // null: no memory
  static void give_room(Room &room) noexcept;  // its context was never seen
  static void bury(Room &room) noexcept;       // its context has gone
  static bool has_had(const torque_ctx *ctx) noexcept;  // and it has gone, not long ago. Under lock
  static void add(torque_ctx &ctx) noexcept;
  static Mutex &lock() noexcept;
  static bool has(const torque_ctx *ctx) noexcept;  // under lock
  static void remove(torque_ctx &ctx) noexcept;     // under lock
  static Condition &changed() noexcept;
  static torque_ctx *first() noexcept;  // under lock; the others by next
};

// Every strand of a context, while its runner cannot be finished.
template <class F>
void each_strand(torque_ctx &ctx, F f) noexcept {
  ctx.core.each_source([&](uint64_t handle) {
    Snapshot v;
    if (!look(handle, &v) || v.kind != Kind::strand || !hold(handle, &v)) return;
    if (word::state(v.word) != word::NEW) f(*static_cast<Strand *>(cold_of(*v.slot).object));
    drop(*v.slot);
  });
}

// A number for this thread that no other of this process has at the same time.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local pid_t thread_id;  // 0: not asked for yet
pid_t ask_thread_id() noexcept;
inline pid_t this_thread() noexcept { return thread_id ? thread_id : ask_thread_id(); }

// Installs the fork handlers, once in a process. See fork.cc.
torque_err watch_forks() noexcept;

// Common checks of the calls that take a context. Within a visit: what is found lives until that is over.
inline torque_err check_lives(const torque_ctx *ctx) noexcept {
  if (!ctx) return TORQUE_ERR_INVAL;
  return lives(ctx) ? TORQUE_ERR_NONE : TORQUE_ERR_STOPPED;
}
inline torque_err check(torque_ctx *ctx) noexcept {
  const torque_err err = check_lives(ctx);
  return err ? err : ctx->core.usable();
}

// Starts a source of any kind that needs it.
torque_err start_source(uint64_t handle) noexcept;
// For settings that are made between new and start, and the start: the source is held, and this thread's to set up, if err
// is 0.
// Errors: STALE; STATE it has started; FORKED.
class Setup {
 public:
  explicit Setup(uint64_t handle) noexcept {
    if (!hold(handle, &seen)) return;
    Context &context = seen.domain->context;
    err = context.foreign() ? context.usable() : TORQUE_ERR_NONE;  // in a forked child a thread that is not there may be at it
    if (!err) err = begin_setup(*seen.slot, generation_of(handle));
    if (err) let_go(*seen.slot);
  }
  ~Setup() {
    if (err) return;
    end_setup(*seen.slot, generation_of(handle_of(*seen.slot)));  // a slot that is held keeps its generation
    let_go(*seen.slot);
  }
  Setup(const Setup &) = delete;
  Setup &operator=(const Setup &) = delete;

  Slot &slot() noexcept { return *seen.slot; }

  Snapshot seen;
  torque_err err = TORQUE_ERR_STALE;
};

// Does the last step of making a source. The caller's variable is set first: the first callback may run before this
// returns. On failure nothing is left of the source, and no finalizer runs.
template <class Step>
torque_err run_or_undo(torque_source source, torque_source *ret, Step step) noexcept {
  const Visit visit;
  const torque_source before = *ret;
  *ret = source;
  const torque_err err = step();
  if (!err) return TORQUE_ERR_NONE;
  *ret = before;
  retire(source, TORQUE_END_REMOVED);
  return err;
}
torque_err start_or_undo(torque_source source, torque_source *ret) noexcept;

// What torque_timer_set() would be told.
struct TimerStart {
  uint64_t when, period;
  uint32_t flags;
};
// Gives it what attr has, and starts it; a timer only with timer. On failure it is gone, and no finalizer has run or will;
// but for STALE and STATE, when it was not to be started.
torque_err start_with(torque_source source, const torque_attr &attr, const TimerStart *timer = nullptr) noexcept;
// The same, with the caller's variable set first, as in run_or_undo(). attr null: as start_or_undo().
torque_err start_with_or_undo(torque_source source, const torque_attr *attr, torque_source *ret,
                              const TimerStart *timer = nullptr) noexcept;

// A source as make(&source) makes it, started so.
template <class Make>
torque_err make_and_start(torque_source *ret, Make make, const torque_attr *attr = nullptr,
                          const TimerStart *timer = nullptr) noexcept {
  const Visit visit;
  if (!ret) return TORQUE_ERR_INVAL;
  torque_source source;
  const torque_err err = make(&source);
  return err ? err : start_with_or_undo(source, attr, ret, timer);
}

}  // namespace torque
