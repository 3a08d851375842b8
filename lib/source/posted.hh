// SPDX-License-Identifier: BSD-3-Clause
// Posted work of one domain. Any thread puts; one worker at a time runs a batch, so that the order is that of posting
// and each function begins after the one before has returned (or has run its driven context itself).
#pragma once

#include <atomic>

#include "base/mutex.hh"
#include "base/tsan.hh"
#include "base/vec.hh"
#include "libtorque/post.h"

namespace torque {

class Posted {
 public:
  struct Item {
    torque_post_fn *fn;
    void *arg;
  };

  // limit: how many may wait.
  Posted(const Alloc &alloc, uint64_t limit) noexcept : batch_(alloc), waiting_(alloc), limit_(limit) {}

  // *ret_poke: a sleeper is needed; while a batch runs, who runs it looks again.
  torque_err put(torque_post_fn *fn, void *arg, bool *ret_poke) noexcept {
    Lock lock(lock_);
    if (length_.load(std::memory_order_relaxed) >= limit_) return closed_ ? TORQUE_ERR_STOPPED : TORQUE_ERR_FULL;
    tsan::gives(this);
    if (!waiting_.push({fn, arg})) return TORQUE_ERR_RESOURCE;
    length_.fetch_add(1, std::memory_order_seq_cst);  // before the poster looks for sleepers: see Domain::poke()
    *ret_poke = !busy_.load(std::memory_order_relaxed);
    return TORQUE_ERR_NONE;
  }

  // Runs what waits now; run() answers whether to go on. nested: the caller's thread may already be inside of one.
  // Answers how many ran; 0 when another worker is at it.
  template <class Run>
  uint64_t run_batch(bool nested, Run run) noexcept {
    if (length() == 0) return 0;
    uint64_t serial;
    {
      Lock lock(lock_);
      const bool busy = busy_.load(std::memory_order_relaxed);
      if (busy && !nested) return 0;
      if (!busy) {
        busy_.store(true, std::memory_order_relaxed);
        ++serial_;
        if (at_ == batch_.size()) {  // else: what a batch that was broken off has left
          batch_.clear();
          at_ = 0;
          batch_.swap(waiting_);
        }
      }
      serial = serial_;
    }
    uint64_t ran = 0;
    // A nested run goes on where the outer one stands; the outer one then finds its batch finished.
    while (serial == serial_ && at_ < batch_.size()) {
      const Item item = batch_[at_++];
      length_.fetch_sub(1, std::memory_order_relaxed);
      ++ran;
      tsan::takes(this);
      const bool more = run(item);
      tsan::gives(this);
      if (!more) break;
    }
    if (serial != serial_) return ran;
    Lock lock(lock_);
    if (at_ == batch_.size() && batch_.capacity() > kKeep) {
      batch_.release();
      at_ = 0;
    }
    ++serial_;
    busy_.store(false, std::memory_order_seq_cst);
    return ran;
  }

  void close() noexcept {
    Lock lock(lock_);
    closed_ = true;
    limit_ = 0;  // one look says both
  }
  // In a forked child: whoever ran a batch is not here. What it had taken is the parent's.
  void abandoned() noexcept REQUIRES(lock_) {
    if (busy_.load(std::memory_order_relaxed)) ++serial_;
    busy_.store(false, std::memory_order_relaxed);
    length_.store(waiting_.size() + batch_.size() - at_, std::memory_order_relaxed);
  }
  uint64_t length() const noexcept { return length_.load(std::memory_order_seq_cst); }
  // Is there something for a worker that has nothing else to do? Not while another runs a batch: that one looks again.
  bool ready() const noexcept { return length() != 0 && !busy_.load(std::memory_order_seq_cst); }
  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  static constexpr size_t kKeep = 4096;  // items; a larger array goes back to the allocator after a peak

  std::atomic<uint64_t> length_{0};
  std::atomic<bool> busy_{false};  // written under lock_

  // The worker that set busy_.
  Vec<Item> batch_;
  size_t at_ = 0;
  uint64_t serial_ = 0;  // of the batch; odd while it runs

  Mutex lock_;
  Vec<Item> waiting_ GUARDED_BY(lock_);
  uint64_t limit_ GUARDED_BY(lock_);
  bool closed_ GUARDED_BY(lock_) = false;
};

}  // namespace torque
