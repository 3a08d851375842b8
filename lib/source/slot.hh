// SPDX-License-Identifier: BSD-3-Clause
// A slot: the place of one source. Its memory is type-stable for the life of its context (a stale handle may always look
// at the word), and split in three: what every event touches, one cache line; what timers touch; the rest.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "libtorque/source.h"
#include "source/word.hh"
#include "timer/deadline.hh"

namespace torque {

class Domain;
class Strand;
struct Guests;
struct Turn;

enum class Kind : uint8_t {
  fd,        // a descriptor of the caller's
  event,     // fires by torque_trigger() only
  timer,     //
  signal,    //
  listener,  // what the caller holds of a listener: never fires; runs while its acceptors exist
  acceptor,  // one domain's part of a listener
  strand,    // runs what queued up for a strand
  hub,       // the process's signal descriptors, as this context watches them
  child,     // a process, by its descriptor
  stream,    // a descriptor that the library reads and writes
  job,       // work that is done elsewhere
  datagram,   // a datagram socket that the library reads and writes
  datagrams,  // what the caller holds of several: never fires; runs while they exist
  ring,      // a domain's io_uring
  path,      // what happens to files
  inodes,    // the inotify instance of this context's path sources
  condition,  // what the caller holds of one: never fires; runs while somebody waits
  waiter,     // waits for a condition
  network,   // the state of links, addresses, routes
  idle,      // runs when there is nothing else to do
};

// Slot::traits
constexpr uint16_t kConcurrent = 0x01;
constexpr uint16_t kOneshot = 0x02;
constexpr uint16_t kLevel = 0x04;
constexpr uint16_t kAlwaysReady = 0x08;  // a regular file: the kernel does not watch those
constexpr uint16_t kWall = 0x10;         // timer on the wall clock
constexpr uint16_t kExclusiveWake = 0x40;
constexpr uint16_t kOwnsFd = 0x80;  // the descriptor is the library's and is closed with the source
constexpr uint16_t kStranded = 0x100;  // it has a strand
constexpr uint16_t kElsewhere = 0x200;     // another domain serves it than the one whose slot it has
constexpr uint16_t kFiltered = 0x20;  // of what comes, the callback is told what its interest says
constexpr uint16_t kBegun = 0x800;  // a stream that Context::any_stream() counts
constexpr uint16_t kGuest = 0x400;  // a listener has made it: it has no finalizer but SlotCold::guests

constexpr uint32_t kTimerEvent = 0x80;  // pending bit beside the public ones: the timer is due
constexpr uint32_t kAlwaysTold = TORQUE_ERROR | TORQUE_CLOSED | TORQUE_TRIGGER | kTimerEvent;
constexpr uint32_t kNoEvent = 0x100;  // for serve(): look who calls, there may be no event
constexpr uint32_t kNoSlot = UINT32_MAX;
constexpr uint32_t kMany = UINT32_MAX;  // expirations beyond 32 bits: the timers have the number

using Callback = void (*)();

// Constant once the source has started, but for what its field says. A thread that does not know whether it still lives
// may look at it, and believes what it saw once the word turns out unchanged: look() pairs with set().
template <class T>
class Steady {
 public:
  T get() const noexcept { return v_.load(std::memory_order_relaxed); }
  T look() const noexcept { return v_.load(std::memory_order_acquire); }
  void set(T v) noexcept { v_.store(v, std::memory_order_release); }

 private:
  std::atomic<T> v_;
};

struct alignas(64) Slot {
  std::atomic<uint64_t> word;  // see word.hh

  Steady<Domain *> domain;  // that serves it
  Callback fn;              // constant from start to finish
  Steady<void *> arg;       // changes at any time, by who holds the source: look() for each call of the callback
  union {
    Steady<int32_t> fd;        // kinds with a descriptor (trait::kDescriptor); -1: none
    Steady<int32_t> moved_by;  // timers, under the timer lock: ns by which slack moved the deadline
  };
  uint32_t index;           // constant for ever
  Steady<Kind> kind;
  std::atomic<uint8_t> calls;  // functions wait for its turn; written under the lock of calls.hh, for the holder to see
  Steady<uint16_t> traits;

  union {
    // Descriptors: the events asked for; written under the entry lock, relaxed readers may see the old value for one event.
    std::atomic<uint32_t> interest;
    std::atomic<uint32_t> slack;  // timers: ns, under the timer lock
  };

  // Guarded by the list that it is on (postponed, strand, free): it is on one at most.
  uint32_t next;
  uint32_t prev;

  uint32_t strand_events;   // under its strand's lock: what it waits in the strand's queue with; 0: it is not there
  // Timers: periods that ended and were not told yet, or kMany. Grows under the timer lock; its holder takes all without.
  std::atomic<uint32_t> expirations;
};
static_assert(sizeof(Slot) == 64);

// What setting and cancelling an ordinary timer touches, and nothing else: among a million, each line counts.
// Guarded by the timer lock of the domain that owns the chunk.
struct alignas(32) SlotDeadline {
  Deadline due;
  uint32_t generation;  // of the source with a deadline that has the slot; 0: there is none
  // kUnusual...: what the short path cannot do. Relaxed: its holder asks without the lock whether it removes itself.
  std::atomic<uint32_t> unusual;
  bool is(uint32_t what) const noexcept { return unusual.load(std::memory_order_relaxed) & what; }
  void become(uint32_t what) noexcept { unusual.store(what, std::memory_order_relaxed); }
  void change(uint32_t off, uint32_t on) noexcept { become((unusual.load(std::memory_order_relaxed) & ~off) | on); }
};
static_assert(sizeof(SlotDeadline) == 32);

constexpr uint32_t kUnusualNew = 0x1;       // not started
constexpr uint32_t kUnusualWall = 0x2;
constexpr uint32_t kUnusualSlack = 0x4;
constexpr uint32_t kUnusualPeriod = 0x8;
constexpr uint32_t kUnusualFired = 0x10;    // may have expirations that were not told yet
constexpr uint32_t kRemovesItself = 0x20;   // TORQUE_TIMER_REMOVE
constexpr uint32_t kUnusualKind = 0x40;     // not a timer: a source of another kind has a deadline

struct SlotCold {
  // Constant from start to finish.
  union {
    torque_final_fn *final;
    Guests *guests;  // kGuest: where it counts
  };
  Steady<Strand *> strand;  // not null: the traits say kStranded
  union {
    void *object;      // the kind's own object, where it has one; constant
    uint64_t period;   // timers: under the timer lock
    uint64_t process;  // children: see child.hh; constant
    uint64_t number;   // inodes: which of the instances; constant
  };
};

// A chunk of slots is one piece of memory: what every event touches, then what timers touch, then the rest. (Apart, so
// that none of them straddles cache lines.)
constexpr uint32_t kChunkSlots = 512;
constexpr uint32_t kChunkShift = 9;
constexpr size_t kDeadlineOffset = kChunkSlots * sizeof(Slot);
constexpr size_t kColdOffset = kDeadlineOffset + kChunkSlots * sizeof(SlotDeadline);
constexpr size_t kChunkBytes = kColdOffset + kChunkSlots * sizeof(SlotCold);
static_assert(kChunkBytes == 15 * 4096);  // whole pages, so that a chunk's can be given back alone; 120 bytes a source

inline SlotDeadline *deadlines_of(Slot *first) noexcept {
  return reinterpret_cast<SlotDeadline *>(reinterpret_cast<char *>(first) + kDeadlineOffset);
}
inline SlotCold *colds_of(Slot *first) noexcept {
  return reinterpret_cast<SlotCold *>(reinterpret_cast<char *>(first) + kColdOffset);
}

inline uint64_t handle_of(uint32_t generation, uint32_t index) noexcept {
  return uint64_t{generation} << 32 | index;
}
inline uint32_t index_of(uint64_t handle) noexcept { return static_cast<uint32_t>(handle); }
inline uint32_t generation_of(uint64_t handle) noexcept { return static_cast<uint32_t>(handle >> 32); }

inline SlotDeadline &deadline_of(Slot &s) noexcept {
  const uint32_t i = s.index & (kChunkSlots - 1);
  return deadlines_of(&s - i)[i];
}
inline SlotCold &cold_of(Slot &s) noexcept {
  const uint32_t i = s.index & (kChunkSlots - 1);
  return colds_of(&s - i)[i];
}

}  // namespace torque
