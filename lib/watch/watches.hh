// SPDX-License-Identifier: BSD-3-Clause
// Descriptors of a driven context that the program dispatches itself: the interest in each number, what
// the kernel has been told, and the numbers where the two may differ.
//
// A number that is closed and given away again keeps its place here; its generation tells an event of the file that had
// it from one of the file that has it.
// Thread: the one that runs the context, or whoever holds the lock that the hooks around the wait give up.
#pragma once

#include <poll.h>

#include "base/vec.hh"
#include "libtorque/watch.h"
#include "queue/queue.hh"
#include "source/context.hh"
#include "stats/stats.hh"

namespace torque {

class Watches {
 public:
  static constexpr Local kLocal = Local::watches;

  struct Owner {
    torque_watch_fn *fn = nullptr;
    void *arg = nullptr;
    torque_wait_fn *before = nullptr;
    torque_wait_fn *after = nullptr;
    void *hook_arg = nullptr;
    torque_wait_fn *woken = nullptr;
    void *woken_arg = nullptr;
  };

  // In a handle that is a watch and not a source: the generation, this bit, and the number. (No source's number is as
  // high: there are 2^31.)
  static constexpr uint64_t kMark = uint64_t{1} << 31;
  static_assert(Descriptors::kEnd <= int64_t{kMark});

  Watches(const Alloc &alloc, Descriptors &table) noexcept
      : descriptors_(table), entries_(alloc), changed_(alloc), always_(alloc), peeks_(alloc) {}
  Watches(const Watches &) = delete;
  Watches &operator=(const Watches &) = delete;

  Owner owner;  // changed only while nobody runs the context
  bool in_use() const noexcept { return owner.fn != nullptr; }

  torque_err set_interest(int fd, uint32_t events, uint32_t flags) noexcept;

  // The same, and brings it before the kernel at once where that knows nothing of the number, or perhaps another file's
  // (kNew). Errors: what the kernel says, and then there is no interest.
  torque_err set_interest_now(int fd, uint32_t events, uint32_t flags, Queue &queue, Counters &counters) noexcept;

  // Applies all changes of interest to the kernel queue. Returns how many errors were reported.
  uint32_t flush(Queue &queue, Counters &counters) noexcept {
    return changed_.empty() ? 0 : flush_changes(queue, counters);
  }
  // Whether there are regular files, which are ready without the kernel's saying so.
  bool any_always() const noexcept { return !always_.empty(); }
  // Whether a pass has something to do that the queue does not tell.
  bool pending() const noexcept { return !changed_.empty() || any_always() || start_over_; }

  // An event with a handle of ours. Answers how many were told.
  uint32_t arrived(uint64_t handle, uint32_t events, Queue &queue, Counters &counters) noexcept {
    const int fd = number_of(handle);
    if (static_cast<size_t>(fd) < entries_.size()) [[likely]] {
      const Entry e = entries_[static_cast<size_t>(fd)];
      const bool as_wanted = e.wanted != 0 && !(e.flags & kNew) && !(events & ~(e.wanted | kUnasked));
      if (handle == handle_of(fd, e) && as_wanted) [[likely]] {
        owner.fn(fd, events, 0, owner.arg);
        return 1;
      }
    }
    return arrived_otherwise(handle, events, queue, counters);
  }
  // An event with another handle.
  void arrived_elsewhere(uint64_t handle) const noexcept {
    if (handle == Queue::kWakeHandle && owner.woken) owner.woken(owner.woken_arg);
  }
  uint32_t tell_always() noexcept;
  // Whether the flush has found some that are ready without the kernel's having been told of them.
  bool any_peeked() const noexcept { return !peeks_.empty(); }
  // Tells them, and takes over what the wait has brought for the same descriptors: one call tells both. They come first, as
  // they would from the kernel, whose list of what is ready begins with what it told last. Answers how many events are left.
  uint32_t tell_peeked(Ready *events, uint32_t n, uint64_t *told) noexcept;

  // An event came from a registration that has lost its number: only a new queue gets rid of it.
  bool must_start_over() const noexcept { return start_over_; }
  // Room for starting over, which then cannot fail. Errors: RESOURCE.
  torque_err prepare_to_start_over() noexcept;
  // The queue is empty: every interest is new.
  void start_over() noexcept;

 private:
  struct Entry {
    uint32_t generation;
    uint8_t wanted;  // public event bits, and kEdge
    uint8_t told;    // the same, as the kernel has it; 0: it has no registration, or has lost it with a close()
    uint8_t flags;
    uint8_t ready;   // in peeks_ and not told yet: for what
  };
  static_assert(sizeof(Entry) == 8);

  static constexpr uint8_t kEdge = 0x80;
  static constexpr uint32_t kUnasked = TORQUE_ERROR | TORQUE_CLOSED;
  // Entry::flags
  static constexpr uint8_t kChanged = 0x1;  // it is in changed_
  static constexpr uint8_t kNew = 0x2;      // the number may be another file's
  static constexpr uint8_t kAlways = 0x4;   // a regular file; it is in always_
  static constexpr uint8_t kListed = 0x8;   // it is in always_, perhaps no longer rightly
  static constexpr uint8_t kSuspect = 0x10;  // it fired, and could not be taken out
  static constexpr uint8_t kPeek = 0x20;     // TORQUE_WATCH_PEEK
  static constexpr uint8_t kPeeked = 0x40;   // told so in the last pass: if the interest is still there, it is registered

  static uint64_t handle_of(int fd, const Entry &e) noexcept {
    return uint64_t{e.generation} << 32 | kMark | static_cast<uint32_t>(fd);
  }
  static int number_of(uint64_t handle) noexcept {
    return static_cast<int>(static_cast<uint32_t>(handle) & ~static_cast<uint32_t>(kMark));
  }
  bool make_room(size_t i) noexcept;
  uint32_t flush_changes(Queue &, Counters &) noexcept;
  uint32_t flush_one(Queue &, Counters &, int fd) noexcept;
  static bool may_peek(const Entry &) noexcept;
  uint32_t peek(Queue &, Counters &) noexcept;
  int bring(Queue &, Counters &, int fd, Entry &) noexcept;
  int ask(Queue &, Counters &, int fd, Entry &) noexcept;
  int add_here(Queue &, Counters &, int fd, Entry &) noexcept;
  int add(Queue &, Counters &, int fd, Entry &) noexcept;
  static int control(Queue &, int fd, const Entry &, bool add) noexcept;
  int add_number(Queue &, int fd, const Entry &) noexcept;
  int modify_number(Queue &, int fd, const Entry &) noexcept;
  int make_always(int fd, Entry &) noexcept;
  void retire_replaced() noexcept;
  uint32_t arrived_otherwise(uint64_t handle, uint32_t events, Queue &, Counters &) noexcept;
  void take_out(int fd, Entry &, Queue &, Counters &) noexcept;

  Descriptors &descriptors_;
  Vec<Entry> entries_;  // by number
  Vec<int> changed_;
  Vec<int> always_;
  Vec<pollfd> peeks_;      // from the flush to the telling
  uint64_t replaced_ = 0;  // a source whose number turned out to be another file's, which is watched
  bool start_over_ = false;
};

}  // namespace torque
