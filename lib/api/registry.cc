// SPDX-License-Identifier: BSD-3-Clause
// All contexts of the process, and what happens to them when it forks.
#include "api/handle.hh"
#include "source/condition.hh"
#include "source/hub.hh"
#include "source/waiters.hh"

namespace torque {

namespace {

constinit Mutex registry_lock;
constinit Condition registry_changed;
constinit torque_ctx *contexts = nullptr;   // under registry_lock
constinit uint64_t serials = 0;             // under registry_lock
constinit bool watching = false;            // under registry_lock
constinit pid_t forking_thread = 0;         // under registry_lock

// Rooms whose contexts have gone, in the order in which they went; under registry_lock.
constinit Room *first_buried = nullptr;
constinit Room *last_buried = nullptr;
constinit uint32_t buried = 0;
constinit Room *free_rooms = nullptr;  // of contexts that could not be made

// Contexts that may live on in the child. Of the others only the memory is given back there: for that their data must be
// whole, too, but nobody starts or stops their workers.
bool survives(const torque_ctx &ctx) noexcept {
  return ctx.core.options.driven || !ctx.core.started.load(std::memory_order_relaxed);
}

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

// Whether a context was locked is decided once: another thread may start its workers meanwhile.
void before_fork() noexcept NO_THREAD_SAFETY_ANALYSIS {
  registry_lock.lock();
  forking_thread = this_thread();
  for (torque_ctx *c = contexts; c; c = c->next) c->locked_for_fork = survives(*c);
  for (torque_ctx *c = contexts; c; c = c->next) {
    if (c->locked_for_fork) c->team.lock_for_fork().lock();
  }
  for (torque_ctx *c = contexts; c; c = c->next) {
    c->watchdog.lock_for_fork().lock();
    c->helpers.lock_for_fork().lock();
    c->files.each([](Files &f) NO_THREAD_SAFETY_ANALYSIS { f.lock_for_fork().lock(); });
  }
  lock_conditions_for_fork();
  hub_before_fork();
  for (torque_ctx *c = contexts; c; c = c->next) lock_context(*c);
  directory_lock().lock();
  spawn_mask_lock_for_fork().lock();
  lock_waiters_for_fork();
  lock_visits_for_fork();
}

void release(bool child) noexcept NO_THREAD_SAFETY_ANALYSIS {
  unlock_visits_after_fork(child);
  unlock_waiters_after_fork();
  spawn_mask_lock_for_fork().unlock();
  directory_lock().unlock();
  for (torque_ctx *c = contexts; c; c = c->next) unlock_context(*c);
  if (child) hub_after_fork_in_child();
  else hub_after_fork_in_parent();
  unlock_conditions_after_fork(child);
  for (torque_ctx *c = contexts; c; c = c->next) {
    c->files.each([](Files &f) NO_THREAD_SAFETY_ANALYSIS { f.lock_for_fork().unlock(); });
    c->helpers.lock_for_fork().unlock();
    c->watchdog.lock_for_fork().unlock();
  }
  for (torque_ctx *c = contexts; c; c = c->next) {
    if (c->locked_for_fork) c->team.lock_for_fork().unlock();
  }
  registry_lock.unlock();
}

void in_parent() noexcept { release(false); }

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

// A callback or offloaded work that forks has all signals blocked; its child has not.
bool on_own_thread() noexcept {
  return Helpers::inside(nullptr) || (current_turn() && !current_turn()->context.options.driven);
}

void in_child() noexcept NO_THREAD_SAFETY_ANALYSIS {
  note_fork();
  const bool ours = on_own_thread();
  thread_id = 0;  // this thread is the only one, and has a new number
  for (torque_ctx *c = contexts; c; c = c->next) {
    c->blocked = 0;  // those threads are the parent's
    c->ending = false;
    inherit_run(*c);
    c->watchdog.forget();
    c->helpers.forget();
    c->files.each([](Files &f) NO_THREAD_SAFETY_ANALYSIS { f.forget(); });
  }
  release(true);
  if (ours) {
    sigset_t mask;
    get_spawn_mask(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  }
  forget_spawn_mask();
}

}  // namespace

Mutex &Registry::lock() noexcept { return registry_lock; }
Condition &Registry::changed() noexcept { return registry_changed; }

Room *Registry::take_room() noexcept {
  {
    HandingLock lock(registry_lock);
    Room *r = free_rooms;
    if (r) {
      free_rooms = r->next;
    } else if (buried > kBuried) {
      r = first_buried;
      first_buried = r->next;
      --buried;
    }
    if (r) return r;
  }
  return new (std::nothrow) Room;
}

void Registry::give_room(Room &room) noexcept {
  HandingLock lock(registry_lock);
  room.next = free_rooms;
  free_rooms = &room;
}

void Registry::bury(Room &room) noexcept {
  HandingLock lock(registry_lock);
  room.next = nullptr;
  (buried++ ? last_buried->next : first_buried) = &room;
  last_buried = &room;
}

bool Registry::has_had(const torque_ctx *ctx) noexcept {
  const Room *r = first_buried;
  for (uint32_t i = 0; i < buried; ++i, r = r->next) {
    if (r->body == reinterpret_cast<const unsigned char *>(ctx)) return true;
  }
  return false;
}

void Registry::add(torque_ctx &ctx) noexcept {
  HandingLock lock(registry_lock);
  ctx.serial = ++serials;
  ctx.next = contexts;
  contexts = &ctx;
}

bool Registry::has(const torque_ctx *ctx) noexcept {
  const torque_ctx *c = contexts;
  while (c && c != ctx) c = c->next;
  return c != nullptr;
}

void Registry::remove(torque_ctx &ctx) noexcept {
  torque_ctx **at = &contexts;
  while (*at && *at != &ctx) at = &(*at)->next;
  if (*at) *at = ctx.next;
}

torque_err watch_forks() noexcept {
  HandingLock lock(registry_lock);
  if (watching) return TORQUE_ERR_NONE;
  const int e = pthread_atfork(before_fork, in_parent, in_child);
  if (e) return err_of_errno(e);
  watching = true;
  return TORQUE_ERR_NONE;
}

}  // namespace torque
