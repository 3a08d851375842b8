// SPDX-License-Identifier: BSD-3-Clause
// What happens to contexts when the process forks: everything that a child must find whole is locked meanwhile.
//
// Who takes part stands in a list, in the order in which the library takes those locks anywhere. The child has one thread,
// this one: what the others had in their hands there is nobody's.
#include "api/handle.hh"
#include "kinds/condition.hh"
#include "kinds/signal.hh"
#include "source/waiters.hh"

namespace torque {

namespace {

constinit bool watching = false;     // under the registry's lock
constinit pid_t forking_thread = 0;  // the same

template <class F>
void each_context(F f) noexcept {
  for (torque_ctx *c = Registry::first(); c; c = c->next) f(*c);
}

// Contexts that may live on in the child. Of the others only the memory is given back there: for that their data must be
// whole, too, but nobody starts or stops their workers.
bool survives(const torque_ctx &ctx) noexcept {
  return ctx.core.options.driven || !ctx.core.started.load(std::memory_order_relaxed);
}

// ---- The registry: which contexts there are ----

void lock_registry() noexcept NO_THREAD_SAFETY_ANALYSIS {
  Registry::lock().lock();
  forking_thread = this_thread();
}
void unlock_registry() noexcept NO_THREAD_SAFETY_ANALYSIS { Registry::lock().unlock(); }
void inherit_registry() noexcept {
  // Threads that wait for a context, and one that is about to free it, are the parent's.
  each_context([](torque_ctx &c) {
    c.blocked = 0;
    c.ending = false;
  });
  unlock_registry();
}

// ---- Who runs ----

// Whether a context was locked is decided once: another thread may start its workers meanwhile.
void lock_teams() noexcept NO_THREAD_SAFETY_ANALYSIS {
  each_context([](torque_ctx &c) { c.locked_for_fork = survives(c); });
  each_context([](torque_ctx &c) NO_THREAD_SAFETY_ANALYSIS {
    if (c.locked_for_fork) c.team.lock_for_fork().lock();
  });
}
void unlock_teams() noexcept NO_THREAD_SAFETY_ANALYSIS {
  each_context([](torque_ctx &c) NO_THREAD_SAFETY_ANALYSIS {
    if (c.locked_for_fork) c.team.lock_for_fork().unlock();
  });
}

// Whoever ran a driven context in the parent is this thread, in a callback, or does not exist here.
void inherit_run(torque_ctx &ctx) noexcept {
  const pid_t runner = ctx.runner.load(std::memory_order_relaxed);
  if (runner == 0) return;
  const bool here = runner == forking_thread;
  ctx.runner.store(here ? this_thread() : 0, std::memory_order_relaxed);
  if (here) return;
  ctx.run_depth = 0;
  ctx.team.worker(0).abandoned();
}
void inherit_teams() noexcept {
  each_context(inherit_run);
  unlock_teams();
}

// ---- Other threads of the library's, and the kernel's rings ----

// A part that each context has one of, by its place there.
template <auto kPart>
void lock_each() noexcept NO_THREAD_SAFETY_ANALYSIS {
  each_context([](torque_ctx &c) NO_THREAD_SAFETY_ANALYSIS { (c.*kPart).lock_for_fork().lock(); });
}
template <auto kPart>
void unlock_each() noexcept NO_THREAD_SAFETY_ANALYSIS {
  each_context([](torque_ctx &c) NO_THREAD_SAFETY_ANALYSIS { (c.*kPart).lock_for_fork().unlock(); });
}
template <auto kPart>
void inherit_each() noexcept {
  each_context([](torque_ctx &c) NO_THREAD_SAFETY_ANALYSIS { (c.*kPart).forget(); });
  unlock_each<kPart>();
}

void lock_rings() noexcept NO_THREAD_SAFETY_ANALYSIS {
  each_context([](torque_ctx &c) { c.files.each([](Files &f) NO_THREAD_SAFETY_ANALYSIS { f.lock_for_fork().lock(); }); });
}
void unlock_rings() noexcept NO_THREAD_SAFETY_ANALYSIS {
  each_context([](torque_ctx &c) { c.files.each([](Files &f) NO_THREAD_SAFETY_ANALYSIS { f.lock_for_fork().unlock(); }); });
}
void inherit_rings() noexcept {
  each_context([](torque_ctx &c) { c.files.each([](Files &f) NO_THREAD_SAFETY_ANALYSIS { f.forget(); }); });
  unlock_rings();
}

// ---- The inside of contexts ----

void lock_context(torque_ctx &ctx) noexcept NO_THREAD_SAFETY_ANALYSIS {
  ctx.inodes.lock_for_fork().lock();
  ctx.batches.each([](BatchPool &p) NO_THREAD_SAFETY_ANALYSIS { p.lock_for_fork().lock(); });
  ctx.core.descriptors.lock_all();
  each_strand(ctx, [&](Strand &s) NO_THREAD_SAFETY_ANALYSIS {
    s.ref();
    s.lock_for_fork().lock();
    s.next_locked = std::exchange(ctx.locked_strands, &s);
  });
  for (uint32_t i = 0; i < ctx.core.domain_count(); ++i) ctx.core.domain(i).lock_for_fork();
}

void unlock_context(torque_ctx &ctx) noexcept NO_THREAD_SAFETY_ANALYSIS {
  for (uint32_t i = 0; i < ctx.core.domain_count(); ++i) ctx.core.domain(i).unlock_after_fork();
  while (Strand *s = ctx.locked_strands) {
    ctx.locked_strands = s->next_locked;
    s->lock_for_fork().unlock();
    s->unref();
  }
  ctx.core.descriptors.unlock_all();
  ctx.batches.each([](BatchPool &p) NO_THREAD_SAFETY_ANALYSIS { p.lock_for_fork().unlock(); });
  ctx.inodes.lock_for_fork().unlock();
}

void lock_contexts() noexcept { each_context(lock_context); }
void unlock_contexts() noexcept { each_context(unlock_context); }

// One lock of the process.
template <Mutex &(*kLock)() noexcept>
void lock_one() noexcept NO_THREAD_SAFETY_ANALYSIS {
  kLock().lock();
}
template <Mutex &(*kLock)() noexcept>
void unlock_one() noexcept NO_THREAD_SAFETY_ANALYSIS {
  kLock().unlock();
}

struct Participant {
  void (*before)() noexcept;
  void (*parent)() noexcept;
  void (*child)() noexcept;
};

// By rank: each is locked before those below it.
constexpr Participant kParticipants[] = {
    {lock_registry, unlock_registry, inherit_registry},
    {lock_teams, unlock_teams, inherit_teams},
    {lock_each<&torque_ctx::watchdog>, unlock_each<&torque_ctx::watchdog>, inherit_each<&torque_ctx::watchdog>},
    {lock_each<&torque_ctx::helpers>, unlock_each<&torque_ctx::helpers>, inherit_each<&torque_ctx::helpers>},
    {lock_rings, unlock_rings, inherit_rings},
    {lock_conditions_for_fork, []() noexcept { unlock_conditions_after_fork(false); },
     []() noexcept { unlock_conditions_after_fork(true); }},
    {hub_before_fork, hub_after_fork_in_parent, hub_after_fork_in_child},
    {lock_contexts, unlock_contexts, unlock_contexts},
    {lock_one<directory_lock>, unlock_one<directory_lock>, unlock_one<directory_lock>},
    {lock_one<spawn_mask_lock_for_fork>, unlock_one<spawn_mask_lock_for_fork>, unlock_one<spawn_mask_lock_for_fork>},
    {lock_waiters_for_fork, unlock_waiters_after_fork, unlock_waiters_after_fork},
    {lock_visits_for_fork, []() noexcept { unlock_visits_after_fork(false); }, []() noexcept { unlock_visits_after_fork(true); }},
};
constexpr size_t kRanks = sizeof kParticipants / sizeof *kParticipants;

void before_fork() noexcept {
  for (const Participant &p : kParticipants) p.before();
}

void in_parent() noexcept {
  for (size_t i = kRanks; i-- > 0;) kParticipants[i].parent();
}

// A callback or offloaded work that forks has all signals blocked; its child has not.
bool on_own_thread() noexcept {
  return Helpers::inside(nullptr) || (current_turn() && !current_turn()->context.options.driven);
}

void in_child() noexcept {
  note_fork();
  const bool ours = on_own_thread();
  thread_id = 0;  // this thread is the only one, and has a new number
  for (size_t i = kRanks; i-- > 0;) kParticipants[i].child();
  if (ours) {
    sigset_t mask;
    get_spawn_mask(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  }
  forget_spawn_mask();
}

}  // namespace

torque_err watch_forks() noexcept {
  HandingLock lock(Registry::lock());
  if (watching) return TORQUE_ERR_NONE;
  const int e = pthread_atfork(before_fork, in_parent, in_child);
  if (e) return err_of_errno(e);
  watching = true;
  return TORQUE_ERR_NONE;
}

}  // namespace torque
