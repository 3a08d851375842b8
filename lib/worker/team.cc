// SPDX-License-Identifier: BSD-3-Clause
#include "worker/team.hh"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

namespace torque {

namespace {

constinit Mutex spawn_mask_lock;
constinit bool spawn_mask_known = false;
constinit sigset_t spawn_mask = {};

// One worker's share of the cache that its domain shares, and never more than fits a page (paper, section 3.2).
uint32_t window_for(const Topology::Domain &d) noexcept {
  uint64_t bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  if (d.cache_share) bytes = std::min(bytes, d.cache_share / 64);
  return static_cast<uint32_t>(std::clamp<uint64_t>(bytes / sizeof(Ready), 16, Window::kMax));
}

}  // namespace

void remove_fault_signals(sigset_t *set) noexcept {
  for (const int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) sigdelset(set, s);
}

void block_signals(sigset_t *before) noexcept {
  sigset_t set;
  sigfillset(&set);
  remove_fault_signals(&set);
  pthread_sigmask(SIG_SETMASK, &set, before);
}

void remember_spawn_mask() noexcept {
  Lock lock(spawn_mask_lock);
  if (spawn_mask_known) return;
  pthread_sigmask(SIG_SETMASK, nullptr, &spawn_mask);
  spawn_mask_known = true;
}

Mutex &spawn_mask_lock_for_fork() noexcept { return spawn_mask_lock; }

void forget_spawn_mask() noexcept {
  Lock lock(spawn_mask_lock);
  spawn_mask_known = false;
}

void get_spawn_mask(sigset_t *mask) noexcept {
  Lock lock(spawn_mask_lock);
  if (spawn_mask_known) *mask = spawn_mask;
  else pthread_sigmask(SIG_SETMASK, nullptr, mask);
}

Team::~Team() {
  for (uint32_t i = 0; i < size_; ++i) {
    context_.alloc.destroy(members_[i].worker);
    members_[i].~Member();
  }
  context_.alloc.put(members_, room_ * sizeof(Member));
}

torque_err Team::make_member(uint32_t i, Domain &domain, int32_t cpu, uint32_t window, uint64_t cache_share) noexcept {
  auto *m = new (&members_[i]) Member{this, nullptr, i, cpu, {}, {}, false};
  size_ = i + 1;
  m->worker = context_.alloc.make<Worker>(context_, domain, i, window, cache_share);
  return m->worker ? m->worker->open() : TORQUE_ERR_RESOURCE;
}

torque_err Team::open(const Topology &topology) noexcept {
  const auto workers = topology.workers();
  room_ = static_cast<uint32_t>(workers.size());
  members_ = static_cast<Member *>(context_.alloc.get(room_ * sizeof(Member), alignof(Member)));
  if (!members_) return TORQUE_ERR_RESOURCE;
  for (uint32_t i = 0; i < room_; ++i) {
    const Topology::Domain &d = topology.domains()[workers[i].domain];
    const int32_t cpu = context_.options.pin && topology.pinnable() ? workers[i].cpu : -1;
    const torque_err err = make_member(i, context_.domain(workers[i].domain), cpu, window_for(d), d.cache_share);
    if (err) return err;
  }
  return TORQUE_ERR_NONE;
}

torque_err Team::open_driven() noexcept {
  room_ = 1;
  members_ = static_cast<Member *>(context_.alloc.get(sizeof(Member), alignof(Member)));
  return members_ ? make_member(0, context_.domain(0), -1, 0, 0) : TORQUE_ERR_RESOURCE;
}

void *Team::entry(void *member) noexcept {
  auto *m = static_cast<Member *>(member);
  m->team->run(*m);
  return nullptr;
}

void Team::name_thread(const Member &m) const noexcept {
  char name[16];
  std::snprintf(name, sizeof name, "%.10s/%u", context_.options.name, m.number % 10000);
  pthread_setname_np(pthread_self(), name);
}

void Team::pin(const Member &m) const noexcept {
  if (m.cpu < 0) return;
  // By the thread itself and not by attribute: a CPU that has gone must not keep the worker from running.
  const auto cpu = static_cast<size_t>(m.cpu);
  cpu_set_t *set = CPU_ALLOC(cpu + 1);
  const size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
  bool pinned = false;
  if (set) {
    CPU_ZERO_S(bytes, set);
    CPU_SET_S(cpu, bytes, set);
    pinned = ::sched_setaffinity(0, bytes, set) == 0;
    CPU_FREE(set);
  }
  if (!pinned) context_.log.say(TORQUE_LOG_WARNING, "worker %u could not be bound to CPU %d", m.number, m.cpu);
}

void Team::run(Member &m) noexcept {
  start_children(m.number);  // before pinning: they inherit the CPUs
  name_thread(m);
  pin(m);
  {
    Lock lock(lock_);
    if (--pending_ == 0) settled_.notify_all();
    while (!released_) settled_.wait(lock_);
    if (failed_) return;
  }
  context_.options.threads.began(TORQUE_THREAD_WORKER, m.number);
  m.worker->loop();
  context_.options.threads.ended(TORQUE_THREAD_WORKER, m.number);
}

torque_err Team::start_member(Member &m) noexcept {
  if (const torque_err err = m.stack.map(context_.options.stack_size, m.number)) return err;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  int e = pthread_attr_setstack(&attr, m.stack.base(), m.stack.size());
  if (e == 0) e = pthread_create(&m.thread, &attr, entry, &m);
  pthread_attr_destroy(&attr);
  if (e == 0) return TORQUE_ERR_NONE;
  m.stack.release();
  return err_of_errno(e);
}

// The subtree of a member that cannot be started counts as failed with it.
void Team::start_children(uint32_t parent) noexcept {
  for (const uint32_t i : {2 * parent + 1, 2 * parent + 2}) {
    if (i >= size_) return;
    {
      Lock lock(lock_);
      if (failed_) return;
      ++pending_;
    }
    const torque_err err = start_member(members_[i]);
    Lock lock(lock_);
    if (err) {
      failed_ = err;
      --pending_;
    } else {
      members_[i].running = true;
    }
  }
}

torque_err Team::start() noexcept {
  remember_spawn_mask();
  sigset_t before;
  block_signals(&before);  // inherited by all workers
  torque_err err;
  {
    Lock lock(lock_);
    while (starting_) settled_.wait(lock_);
    if (context_.started.load(std::memory_order_relaxed)) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      return TORQUE_ERR_NONE;
    }
    starting_ = true;
    failed_ = TORQUE_ERR_NONE;
    released_ = false;
    pending_ = 1;
    failed_ = start_member(members_[0]);
    if (failed_) pending_ = 0;
    else members_[0].running = true;
    while (pending_ != 0) settled_.wait(lock_);
    released_ = true;
    err = failed_;
    settled_.notify_all();
  }
  if (err) join();
  {
    Lock lock(lock_);
    starting_ = false;
    if (!err) context_.started.store(true, std::memory_order_release);
    settled_.notify_all();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return err;
}

void Team::join() noexcept {
  for (uint32_t i = 0; i < size_; ++i) {
    Member &m = members_[i];
    {
      Lock lock(lock_);
      if (!m.running) continue;
      m.running = false;
    }
    pthread_join(m.thread, nullptr);
    m.stack.release();
  }
}

}  // namespace torque
