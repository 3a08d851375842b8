// SPDX-License-Identifier: BSD-3-Clause
// A strand: sources and posted functions that never run at the same time.
//
// Who finds it idle runs it; what comes meanwhile queues up, and is run by that thread when it is done, a few at a time;
// the rest by the strand's own source (the runner), which is activated like any other. A queued source stays HELD.
//
// The object has references: the caller's, one of each source and each posted function, and the runner's. When only the
// runner's is left the runner ends; with the end of the runner, or after it, the last reference frees the object. So it
// may be given up in any order: also after its context has gone, of which it knows nothing any more by then.
#pragma once

#include "base/mutex.hh"
#include "source/context.hh"
#include "source/kind.hh"
#include "source/slot_list.hh"
#include "source/turn.hh"

namespace torque {

class Strand {
 public:
  // One reference, the caller's. Null and *err on failure.
  static Strand *make(Context &context, torque_err *err) noexcept;

  void ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept;

  torque_err post(torque_post_fn *fn, void *arg) noexcept;

  // Requires: the caller holds s. True: the strand is the caller's, who must call serve_first() next.
  bool enter(Slot &s, uint32_t events) noexcept;
  // For who ended s: takes it out of the queue. False: it was not in it.
  bool withdraw(Slot &s) noexcept;
  void serve_first(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept;

  // Runs what is queued, up to a limit. Requires: the strand is the caller's (or its runner's), who keeps a reference.
  // True: more is left.
  bool serve_queue(Turn &t, uint32_t limit) noexcept;
  // The context stops: posted functions run now, and no others come. Queued sources stay where they are, to be ended.
  // Requires: the caller holds the runner.
  void close(Turn &t) noexcept;
  // In a forked child: if a thread of the parent ran it, its runner goes on.
  void revive() noexcept;
  // Null once its context has ended. In a visit: what is found stays until that is over.
  Context *context() noexcept { return context_.load(std::memory_order_acquire); }
  Mutex &lock_for_fork() noexcept { return lock_; }
  Strand *next_locked = nullptr;  // by a thread that forks

 private:
  friend struct Alloc;
  friend void free_strand(Context &, Slot &s, uint32_t) noexcept;
  struct Posted {
    torque_post_fn *fn;
    void *arg;
    Posted *next;
  };
  explicit Strand(Context &context) noexcept
      : alloc_(context.alloc), limit_(context.options.post_limit), context_(&context) {}
  ~Strand() = default;
  // The next thing to run; neither: the strand is idle from now on.
  void take(Slot **ret_slot, uint32_t *ret_events, Posted **ret_posted) noexcept;
  Posted *take_posted() noexcept REQUIRES(lock_);
  void run(Turn &t, Posted *p) noexcept;
  void destroy() noexcept;

  // Constant after make().
  const Alloc alloc_;
  const uint64_t limit_;  // posted functions that may wait
  uint64_t runner_ = 0;

  // store_release with the end of the runner, before its context may be freed: pairs with context().
  std::atomic<Context *> context_;
  std::atomic<uint64_t> refs_{2};  // the caller's and the runner's. The last to go (acq_rel) frees

  Mutex lock_;
  bool busy_ GUARDED_BY(lock_) = false;
  bool closed_ GUARDED_BY(lock_) = false;
  bool posted_turn_ GUARDED_BY(lock_) = false;  // sources and functions take turns
  SlotList queue_ GUARDED_BY(lock_);
  uint64_t waiting_ GUARDED_BY(lock_) = 0;  // posted functions
  Posted *first_posted_ GUARDED_BY(lock_) = nullptr;
  Posted *last_posted_ GUARDED_BY(lock_) = nullptr;
};

void revive_strand(Slot &) noexcept;
bool run_strand(Turn &, Slot &, uint64_t, uint32_t) noexcept;
void free_strand(Context &, Slot &, uint32_t reason) noexcept;

// What runs the strand's queue.
inline constexpr KindOps kStrandKind = {
    .run = run_strand,
    .name = "strand",
    .public_kind = TORQUE_KIND_INTERNAL,
    .free_after_final = free_strand,
    .revive = revive_strand,
};

}  // namespace torque
