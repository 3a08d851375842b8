// SPDX-License-Identifier: BSD-3-Clause
// A lock that clang checks. Held for a few dozen instructions, never while a callback runs.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>

#if defined(__clang__)
#define TORQUE_DNS_TSA(x) __attribute__((x))
#else
#define TORQUE_DNS_TSA(x)
#endif
#define DNS_GUARDED_BY(x) TORQUE_DNS_TSA(guarded_by(x))
#define DNS_REQUIRES(x) TORQUE_DNS_TSA(requires_capability(x))

// ThreadSanitizer's, in programs that are compiled for it, which do not see the atomics here (lib/base/tsan.hh says more).
extern "C" {
[[gnu::weak]] void __tsan_acquire(void *address);
[[gnu::weak]] void __tsan_release(void *address);
}

namespace torque_dns {

class TORQUE_DNS_TSA(capability("mutex")) Mutex {
 public:
  constexpr Mutex() noexcept = default;
  Mutex(const Mutex &) = delete;
  Mutex &operator=(const Mutex &) = delete;
  void lock() noexcept TORQUE_DNS_TSA(acquire_capability()) { pthread_mutex_lock(&mutex_); }
  void unlock() noexcept TORQUE_DNS_TSA(release_capability()) { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

// For what all of the process shares: a child that was forked while another thread of the parent held it takes it over.
class TORQUE_DNS_TSA(capability("mutex")) ForkMutex {
 public:
  constexpr ForkMutex() noexcept = default;
  void lock() noexcept TORQUE_DNS_TSA(acquire_capability()) {
    const pid_t self = getpid();
    for (;;) {
      pid_t holder = 0;
      if (holder_.compare_exchange_weak(holder, self, std::memory_order_acquire)) break;
      if (holder != 0 && holder != self && holder_.compare_exchange_strong(holder, self, std::memory_order_acquire)) break;
      sched_yield();
    }
    if (__tsan_acquire) __tsan_acquire(this);
  }
  void unlock() noexcept TORQUE_DNS_TSA(release_capability()) {
    if (__tsan_release) __tsan_release(this);
    holder_.store(0, std::memory_order_release);
  }

 private:
  std::atomic<pid_t> holder_{0};
};

template <class M>
class TORQUE_DNS_TSA(scoped_lockable) Locked {
 public:
  explicit Locked(M &m) noexcept TORQUE_DNS_TSA(acquire_capability(m)) : m_(m) { m_.lock(); }
  ~Locked() TORQUE_DNS_TSA(release_capability()) { m_.unlock(); }
  Locked(const Locked &) = delete;
  Locked &operator=(const Locked &) = delete;

 private:
  M &m_;
};

}  // namespace torque_dns
