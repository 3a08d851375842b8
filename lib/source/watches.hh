// SPDX-License-Identifier: BSD-3-Clause
// Descriptors of a driven context that the program dispatches itself: what it wishes to be told of each number, what
// the kernel has been told, and the numbers where the two may differ.
//
// A number that is closed and given away again keeps its place here; its generation tells an event of the file that had
// it from one of the file that has it.
// Thread: the one that runs the context, or whoever holds the lock that the hooks around the wait give up.
#pragma once

#include "base/vec.hh"
#include "libtorque/watch.h"
#include "queue/queue.hh"
#include "stats/stats.hh"

namespace torque {

class Watches {
 public:
  struct Owner {
    torque_watch_fn *fn = nullptr;
    void *arg = nullptr;
    torque_wait_fn *before = nullptr;
    torque_wait_fn *after = nullptr;
    void *hook_arg = nullptr;
  };

  // The top bit of a handle that is a watch and not a source: the rest is the generation and the number.
  static constexpr uint64_t kMark = uint64_t{1} << 63;

  explicit Watches(const Alloc &alloc) noexcept : entries_(alloc), changed_(alloc), always_(alloc) {}
  Watches(const Watches &) = delete;
  Watches &operator=(const Watches &) = delete;

  Owner owner;  // changed only while nobody runs the context
  bool in_use() const noexcept { return owner.fn != nullptr; }

  torque_err wish(int fd, uint32_t events, uint32_t flags) noexcept;

  // Brings all wishes before the kernel.
  void flush(Queue &queue, Counters &counters) noexcept {
    if (!changed_.empty()) flush_changes(queue, counters);
  }
  // Whether there are regular files, which are ready without the kernel's saying so.
  bool any_always() const noexcept { return !always_.empty(); }

  // An event with a handle of ours. Answers how many were told.
  uint32_t arrived(uint64_t handle, uint32_t events, Queue &queue, Counters &counters) noexcept {
    const auto fd = static_cast<int>(static_cast<uint32_t>(handle));
    if (static_cast<size_t>(fd) >= entries_.size()) [[unlikely]]
      return lost_track(counters);
    const Entry e = entries_[static_cast<size_t>(fd)];
    if (handle != handle_of(fd, e)) [[unlikely]]
      return lost_track(counters);
    if (e.wanted == 0) [[unlikely]]
      return unwanted(fd, queue, counters);
    owner.fn(fd, events, 0, owner.arg);
    return 1;
  }
  uint32_t tell_always() noexcept;

  // An event came from a registration that has lost its number: only a new queue gets rid of it.
  bool must_start_over() const noexcept { return start_over_; }
  // The queue is empty: all wishes are new. Errors: RESOURCE; nothing has changed then.
  torque_err start_over() noexcept;

 private:
  struct Entry {
    uint32_t generation;
    uint8_t wanted;  // public event bits, and kEdge
    uint8_t told;    // the same, as the kernel has it; 0: it has no registration, or has lost it with a close()
    uint8_t flags;
  };
  static_assert(sizeof(Entry) == 8);

  static constexpr uint8_t kEdge = 0x80;
  // Entry::flags
  static constexpr uint8_t kChanged = 0x1;  // it is in changed_
  static constexpr uint8_t kNew = 0x2;      // the number may be another file's
  static constexpr uint8_t kAlways = 0x4;   // a regular file; it is in always_
  static constexpr uint8_t kListed = 0x8;   // it is in always_, perhaps no longer rightly

  static uint64_t handle_of(int fd, const Entry &e) noexcept {
    return kMark | uint64_t{e.generation} << 32 | static_cast<uint32_t>(fd);
  }
  void flush_changes(Queue &, Counters &) noexcept;
  int bring(Queue &, Counters &, int fd, Entry &) noexcept;
  int add(Queue &, Counters &, int fd, Entry &) noexcept;
  int control(Queue &, Counters &, int fd, const Entry &, bool add) noexcept;
  int make_always(int fd, Entry &) noexcept;
  uint32_t unwanted(int fd, Queue &, Counters &) noexcept;
  uint32_t lost_track(Counters &) noexcept;

  Vec<Entry> entries_;  // by number
  Vec<int> changed_;
  Vec<int> always_;
  bool start_over_ = false;
};

}  // namespace torque
