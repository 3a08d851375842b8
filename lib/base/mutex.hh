// SPDX-License-Identifier: BSD-3-Clause
// A lock that clang checks, and the order in which locks may be taken. No destructor: destroying a futex does nothing,
// and without one a lock may stand in static storage.
//
// Order (a thread that holds one may take only a later one; nothing here is held while a callback runs):
//   registry (all contexts) -> team -> signal hub -> descriptor entry -> strand -> domain's slots -> directory -> timers
//   -> postponed list -> posted work -> waiters
#pragma once

#include <pthread.h>

#include "base/annotate.hh"

namespace torque {

class CAPABILITY("mutex") Mutex {
 public:
  constexpr Mutex() noexcept = default;
  Mutex(const Mutex &) = delete;
  Mutex &operator=(const Mutex &) = delete;

  void lock() noexcept ACQUIRE() { pthread_mutex_lock(&m_); }
  void unlock() noexcept RELEASE() { pthread_mutex_unlock(&m_); }
  bool try_lock() noexcept TRY_ACQUIRE(true) { return pthread_mutex_trylock(&m_) == 0; }
  pthread_mutex_t *native() noexcept { return &m_; }

 private:
  pthread_mutex_t m_ = PTHREAD_MUTEX_INITIALIZER;
};

class SCOPED_CAPABILITY Lock {
 public:
  explicit Lock(Mutex &m) noexcept ACQUIRE(m) : m_(m) { m_.lock(); }
  ~Lock() RELEASE() { m_.unlock(); }
  Lock(const Lock &) = delete;
  Lock &operator=(const Lock &) = delete;

 private:
  Mutex &m_;
};

// Waits on CLOCK_MONOTONIC-free conditions only (no timeouts are needed inside the library).
class Condition {
 public:
  constexpr Condition() noexcept = default;
  Condition(const Condition &) = delete;
  Condition &operator=(const Condition &) = delete;

  void wait(Mutex &m) noexcept REQUIRES(m) { pthread_cond_wait(&c_, m.native()); }
  void notify_all() noexcept { pthread_cond_broadcast(&c_); }

 private:
  pthread_cond_t c_ = PTHREAD_COND_INITIALIZER;
};

}  // namespace torque
