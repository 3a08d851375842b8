// SPDX-License-Identifier: BSD-3-Clause
// The workers of a threaded context: made with the context, started with its first source, joined when it stops.
//
// Threads start as a tree: each starts two more before it begins to work, so that n of them stand after O(log n) steps
// (paper, section 2: exponential bloom).
#pragma once

#include <pthread.h>

#include "topology/topology.hh"
#include "worker/stack.hh"
#include "worker/worker.hh"

namespace torque {

class Team {
 public:
  explicit Team(Context &context) noexcept : context_(context) {}
  ~Team();
  Team(const Team &) = delete;
  Team &operator=(const Team &) = delete;

  // Makes the workers, not their threads: one for each of the map's, or one for a driven context.
  torque_err open(const Topology &topology) noexcept;
  torque_err open_driven() noexcept;

  // Starts the threads, once. Errors: SYSCALL + EAGAIN, ENOMEM: then none runs.
  // Thread: any.
  torque_err start() noexcept;
  // Requires: context.stopping is set. Returns when all threads have ended.
  void join() noexcept;

  uint32_t size() const noexcept { return size_; }
  Worker &worker(uint32_t i) noexcept { return *members_[i].worker; }
  const Worker &worker(uint32_t i) const noexcept { return *members_[i].worker; }
  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  struct Member {
    Team *team;
    Worker *worker;
    uint32_t number;
    int32_t cpu;       // to pin to; -1: none
    Stack stack;
    pthread_t thread;
    bool running;      // under lock_
  };
  static void *entry(void *member) noexcept;
  void run(Member &m) noexcept;
  void start_children(uint32_t parent) noexcept;
  torque_err start_member(Member &m) noexcept;
  void name_thread(const Member &m) const noexcept;
  void pin(const Member &m) const noexcept;
  torque_err make_member(uint32_t i, Domain &domain, int32_t cpu, uint32_t window, uint64_t cache_share) noexcept;

  Context &context_;
  Member *members_ = nullptr;
  uint32_t size_ = 0;
  uint32_t room_ = 0;

  Mutex lock_;
  Condition settled_;
  uint32_t pending_ GUARDED_BY(lock_) = 0;  // members whose start is neither done nor failed
  torque_err failed_ GUARDED_BY(lock_) = TORQUE_ERR_NONE;
  bool starting_ GUARDED_BY(lock_) = false;
  bool released_ GUARDED_BY(lock_) = false;  // all stand: they may work
};

// Signals that faults raise: they must reach the thread that made the fault.
void remove_fault_signals(sigset_t *set) noexcept;
// All but those, as every thread of ours has them.
void block_signals(sigset_t *before) noexcept;

// The signal mask of the process before the first worker: what children should get.
void remember_spawn_mask() noexcept;
void get_spawn_mask(sigset_t *mask) noexcept;
Mutex &spawn_mask_lock_for_fork() noexcept;
void forget_spawn_mask() noexcept;  // in a child: it has no workers yet

}  // namespace torque
