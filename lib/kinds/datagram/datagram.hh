// SPDX-License-Identifier: BSD-3-Clause
// Datagram sources. One socket is a port: a source of its own, which the program holds, or a part of a source that has a
// port in each domain.
//
// Who holds the port's source (its worker) receives, and sends what its callback has gathered and what has waited for
// room. Any other thread sends at once, or puts what there is no room for at the end of what waits.
#pragma once

#include <atomic>

#include "base/socket.hh"
#include "kinds/datagram/batch_pool.hh"
#include "kinds/datagram/datagram_batch.hh"
#include "kinds/shards.hh"
#include "libtorque/datagram.h"

namespace torque {

// Datagrams that wait for room in a socket, first in first out. Guarded by their port's lock, but that what is in it
// stays where it is until drop(): only the port's worker takes something out.
class Backlog {
 public:
  struct Record {
    uint32_t bytes;  // of the whole record
    uint32_t size;
    socklen_t peer_len;
    bool has_from;
    // The peer (8-aligned), a From, the data.
    char *peer() noexcept { return reinterpret_cast<char *>(this + 1); }
    From *from() noexcept { return reinterpret_cast<From *>(peer() + ((peer_len + 7) & ~7u)); }
    char *data() noexcept { return reinterpret_cast<char *>(from()) + (has_from ? sizeof(From) : 0); }
  };
  static constexpr uint64_t kOverhead = 64;  // that each datagram counts, whatever its size

  explicit Backlog(const Alloc &alloc) noexcept : alloc_(alloc) {}
  ~Backlog() { clear(); }
  Backlog(const Backlog &) = delete;
  Backlog &operator=(const Backlog &) = delete;

  bool empty() const noexcept { return count_ == 0; }
  uint32_t count() const noexcept { return count_; }
  uint64_t bytes() const noexcept { return bytes_; }

  // False: no memory.
  bool push(const void *peer, socklen_t peer_len, const From *from, const void *data, size_t size) noexcept;
  // Calls f with each from the front until it answers false.
  template <class F>
  void each(F f) noexcept {
    for (Block *b = first_; b; b = b->next) {
      for (size_t at = b->begin; at < b->end;) {
        auto *r = reinterpret_cast<Record *>(b->bytes() + at);
        if (!f(*r)) return;
        at += r->bytes;
      }
    }
  }
  void drop(uint32_t n) noexcept;  // the first n. With the last all memory goes
  void clear() noexcept;
  void forget() noexcept {  // its memory is not to be relied on
    first_ = last_ = spare_ = nullptr;
    count_ = 0;
    bytes_ = 0;
  }

 private:
  struct Block {
    Block *next;
    size_t size, begin, end;
    char *bytes() noexcept { return reinterpret_cast<char *>(this + 1); }
  };
  static constexpr size_t kBlock = 32 << 10;
  Block *block_for(size_t bytes) noexcept;
  void release(Block *b) noexcept;

  const Alloc &alloc_;
  Block *first_ = nullptr, *last_ = nullptr;
  Block *spare_ = nullptr;  // of the usual size, kept while something waits
  uint32_t count_ = 0;
  uint64_t bytes_ = 0;
};

// What the program has asked for. Constant once started.
struct DatagramSetup {
  torque_datagram_fn *fn = nullptr;
  void *arg = nullptr;        // of the source when it is made
  uint32_t flags = 0;
  uint32_t size = kWholeDatagram;
  uint64_t limit = 256 << 10;
  int fd = -1;                // a duplicate of the caller's socket, until the source has it
  sockets::Address address;  // none: a socket of the caller's
};

class Port {
 public:
  Port(const Alloc &alloc, const DatagramSetup &s) noexcept : setup(s), backlog(alloc) {}
  Port(const Port &) = delete;
  Port &operator=(const Port &) = delete;

  // Constant once started.
  DatagramSetup setup;
  uint64_t told = 0;    // the source as the program knows it
  Slot *whole = nullptr;  // and its slot, whose arg fn is called with
  uint64_t parent = 0;  // the source that it is a part of; 0: none
  BatchPool *pool = nullptr;
  sa_family_t family = AF_UNSPEC;
  bool connected = false;
  bool inet = false;
  uint32_t batch = 0;      // messages a system call
  uint32_t part_size = 0;  // room for each
  size_t control_size = 0;

  // Who holds the source.
  uint32_t train_max = 0;        // the largest datagrams that the socket was not found unable to send in trains
  uint64_t failures_untold = 0;  // that there was no call left to tell in

  // Any thread.
  std::atomic<bool> starting{false};
  std::atomic<int32_t> error{0};  // an errno that another thread met, to be told; carries nothing else
  // As the backlog says. store_release when something was taken out pairs with load_acquire in send: what waited has been
  // handed to the system before anything else is.
  std::atomic<uint64_t> waiting{0};

  Mutex lock;
  Backlog backlog GUARDED_BY(lock);
  bool asked GUARDED_BY(lock) = false;    // to be told of room by the system
  bool refused GUARDED_BY(lock) = false;  // somebody, who is to be told of room
};

// Several ports, one for each domain. Freed with its source, which outlives them.
struct PortGroup {
  explicit PortGroup(const DatagramSetup &s) noexcept : setup(s) {}
  DatagramSetup setup;
  Shards ports;
  std::atomic<bool> starting{false};
};

// ---- For the API ----

torque_err make_port(Context &context, const DatagramSetup &setup, Slot **ret) noexcept;
// Its setup, of either kind; null: not a datagram source.
DatagramSetup *setup_of(Slot &s, Kind kind) noexcept;

torque_err send_datagram(uint64_t handle, const void *peer, socklen_t peer_len, const void *data, size_t size) noexcept;
torque_err reply_datagram(torque_datagrams &b, uint32_t i, const void *data, size_t size) noexcept;
// A port of that source, the one that is this thread's to send by, held until drop(). Errors: STALE, KIND, STATE, FORKED.
torque_err hold_port(uint64_t handle, Snapshot *ret) noexcept;
// Of all its ports. Errors: the same.
torque_err bytes_waiting(uint64_t handle, uint64_t *ret) noexcept;

// ---- Among the port's own files ----

// Sends what the callback in progress has gathered. What fails goes to the next call's failures.
void send_gathered(torque_datagrams &b) noexcept;
// Sends what waits. True: there is more, and there is room.
bool send_waiting(torque_datagrams &b) noexcept;

bool run_datagram(Turn &, Slot &, uint64_t, uint32_t) noexcept;
torque_err start_port(Context &, Slot &, uint64_t) noexcept;
uint64_t told_as(Slot &) noexcept;
void free_port(Context &, Slot &) noexcept;  // and its hold of the group
torque_err reattach_port(Slot &, uint64_t) noexcept;

torque_err start_group(Context &, Slot &, uint64_t) noexcept;
void end_group(const Snapshot &, uint64_t) noexcept;
void free_group(Context &, Slot &, uint32_t reason) noexcept;

// One socket, of the program's or a part of a group.
inline constexpr KindOps kDatagramKind = {
    .run = run_datagram,
    .name = "datagram",
    .public_kind = TORQUE_KIND_DATAGRAM,
    .traits = trait::kDescriptor | trait::kTakesCalls,
    .start = start_port,
    .dismantle = detach_fd,
    .free_before_final = free_port,
    .whole = told_as,
    .reattach = reattach_port,
    .descriptor = descriptor_of,
};

// What the program has of several: it never runs, and lives as long as they.
inline constexpr KindOps kDatagramGroupKind = {
    .name = "datagram group",
    .public_kind = TORQUE_KIND_DATAGRAM,
    .traits = trait::kParent,
    .start = start_group,
    .dismantle = end_group,
    .free_after_final = free_group,
};

}  // namespace torque
