// SPDX-License-Identifier: BSD-3-Clause
// The parts of a source that the program has as a whole, one in each of several domains: a listener's acceptors, the
// sockets of a datagram group. The whole never runs. Each part holds it, so that it lives as long as they do.
//
// Always true: a part is in the list from before it starts until somebody ends the parts. Whoever ends the whole does that;
// so does its start, when another thread has ended the whole before it had all its parts.
#pragma once

#include "source/source.hh"

namespace torque {

class Shards {
 public:
  Shards() noexcept = default;
  Shards(const Shards &) = delete;
  Shards &operator=(const Shards &) = delete;

  // Room for so many. False: no memory.
  bool open(const Alloc &alloc, uint32_t most) noexcept {
    handle_ = static_cast<std::atomic<uint64_t> *>(alloc.get(most * sizeof *handle_, alignof(std::atomic<uint64_t>)));
    if (!handle_) return false;
    for (uint32_t i = 0; i < most; ++i) new (&handle_[i]) std::atomic<uint64_t>(0);
    most_ = most;
    return true;
  }
  void free(const Alloc &alloc) noexcept { alloc.put(handle_, most_ * sizeof *handle_); }

  uint32_t most() const noexcept { return most_; }

  // A part's handle; 0 before it is made, and once the parts have ended. seq_cst: pairs with what its holder waits for.
  uint64_t handle(uint32_t i) const noexcept { return handle_[i].load(std::memory_order_seq_cst); }
  void put(uint32_t i, uint64_t handle) noexcept { handle_[i].store(handle, std::memory_order_seq_cst); }

  // A part takes its hold of the whole, which the caller holds; and gives it up, when it has ended.
  static void adopt(Slot &whole) noexcept { hold_too(whole); }
  static void release(uint64_t whole) noexcept {
    if (Slot *s = whole ? find_slot(index_of(whole)) : nullptr) let_go(*s);
  }

  // Starts the first n. Another thread, or a callback of the first, may end the whole before the last has started; that is
  // no error.
  torque_err start(Context &context, uint32_t n) noexcept {
    for (uint32_t i = 0; i < n; ++i) {
      Snapshot v;
      const uint64_t part = handle(i);
      if (!look(part, &v)) continue;
      const torque_err err = start_fd(context, *v.slot, part);
      if (err && err != TORQUE_ERR_STATE) return err;
    }
    return TORQUE_ERR_NONE;
  }
  void end() noexcept {
    for (uint32_t i = 0; i < most_; ++i) {
      const uint64_t part = handle_[i].exchange(0, std::memory_order_relaxed);
      if (part) retire(part, TORQUE_END_REMOVED);
    }
  }

 private:
  std::atomic<uint64_t> *handle_ = nullptr;
  uint32_t most_ = 0;
};

}  // namespace torque
