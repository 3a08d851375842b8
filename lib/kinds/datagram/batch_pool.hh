// SPDX-License-Identifier: BSD-3-Clause
// Where a domain's workers receive datagrams and gather what they send: a batch for each, from the first datagram socket
// of the domain to the last.
//
// Always true: while the domain has a socket, a worker of its own that has taken none is given one without allocating
// (unless a worker of another domain, which has the strand of one of its sockets, has come upon its place).
#pragma once

#include <atomic>

#include "base/alloc.hh"
#include "base/mutex.hh"
#include "libtorque/error.h"
#include "source/context.hh"

struct torque_datagrams;

namespace torque {

class BatchPool {
 public:
  BatchPool(const Alloc &alloc, uint32_t workers) noexcept : alloc_(alloc), workers_(workers) {}
  ~BatchPool() { clear(); }
  BatchPool(const BatchPool &) = delete;
  BatchPool &operator=(const BatchPool &) = delete;

  // A socket comes and goes. Any thread. Errors: RESOURCE.
  torque_err enter() noexcept;
  void leave() noexcept;

  // Null: no memory, and what is in this worker's place is in use: further out on this thread (a driven context that is
  // run from a callback), or by another domain's worker.
  torque_datagrams *take(int32_t worker) noexcept;
  void give(int32_t worker, torque_datagrams *b) noexcept;
  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  // Each is exchanged by one worker, until the last socket has gone.
  struct alignas(64) Place {
    std::atomic<torque_datagrams *> batch{nullptr};
  };
  // The workers of a domain are numbered in a row, so that this tells them apart.
  Place &place_of(int32_t worker) noexcept { return places_[static_cast<uint32_t>(worker) % workers_]; }
  torque_err fill() noexcept;
  void clear() noexcept;

  const Alloc &alloc_;
  const uint32_t workers_;
  Place *places_ = nullptr;  // written under lock_ while there is no socket

  Mutex lock_;
  uint32_t sockets_ GUARDED_BY(lock_) = 0;
};

// Those of a context.
class BatchPools {
 public:
  static constexpr Local kLocal = Local::batches;

  explicit BatchPools(const Context &context) noexcept : context_(context) {}
  ~BatchPools();
  BatchPools(const BatchPools &) = delete;
  BatchPools &operator=(const BatchPools &) = delete;

  // Once the context has its domains. Errors: RESOURCE.
  torque_err open() noexcept;
  BatchPool &of(const Domain &d) noexcept { return pools_[d.index]; }

  template <class F>
  void each(F f) noexcept {
    for (uint32_t i = 0; pools_ && i < context_.domain_count(); ++i) f(pools_[i]);
  }

 private:
  const Context &context_;
  BatchPool *pools_ = nullptr;
};
inline BatchPool &batches_of(const Domain &d) noexcept { return d.context.locals.get<BatchPools>().of(d); }

}  // namespace torque
