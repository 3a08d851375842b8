// SPDX-License-Identifier: BSD-3-Clause
// What a worker has in hand while it serves a datagram socket: what came with one system call, and what shall leave with
// the next.
//
// Thread: the worker that took it from its pool, but for Outbox's use of pointers: what they point to stays until it has
// been sent.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/alloc.hh"
#include "libtorque/datagram.h"

namespace torque {

class Port;
struct Slot;
struct Turn;

constexpr uint32_t kReceiveMax = 64;        // datagrams (or trains of them) a system call
constexpr uint32_t kWholeDatagram = 65536;  // no UDP datagram, and no train, is larger
// An odd number of cache lines apart, so that the beginnings of all do not fall into the same few sets of the cache.
constexpr size_t stride_for(uint32_t size) { return ((size + size_t{63}) & ~size_t{63}) | 64; }
constexpr size_t kArena = 16 * stride_for(kWholeDatagram);
constexpr uint32_t kSizeMax = 1 << 20;
static_assert(stride_for(kSizeMax) <= kArena);

// An address to send from, as control message for the socket it came in by. len 0: none.
struct From {
  int32_t level;
  int32_t type;
  uint32_t len;
  unsigned char data[sizeof(in6_pktinfo)];
};

// What the system said of one message: a datagram, or a train of equal ones and a last that may be shorter.
struct Message {
  uint32_t segment;  // 0: one datagram
  int32_t traffic_class;
  uint32_t local_len;  // 0: not known
  union {
    sockaddr_in v4;
    sockaddr_in6 v6;
  } local;
  From from;
};

struct Datagram {
  const char *data;
  uint32_t size;
  uint32_t message;
};

struct Failures {
  static constexpr uint32_t kListed = 16;
  struct Failure {
    torque_err err;
    uint32_t size;
    socklen_t peer_len;
    sockaddr_storage peer;
  };
  uint64_t count = 0;
  uint32_t listed = 0;
  Failure list[kListed];

  void add(torque_err err, const msghdr &m, size_t size) noexcept;
  void clear() noexcept { count = listed = 0; }
};

// Messages to be sent, in order. Neighbours of one size to one peer become one message where the socket can (GSO).
class Outbox {
 public:
  static constexpr uint32_t kMessages = 256;
  static constexpr uint32_t kParts = 1024;
  static constexpr size_t kRoom = 128 << 10;
  static constexpr uint32_t kSegments = 64;     // UDP_MAX_SEGMENTS of old kernels
  static constexpr size_t kTrainBytes = 65000;  // with headers, under 64 KiB

  bool empty() const noexcept { return messages_ == 0; }
  void clear() noexcept {
    messages_ = parts_ = prepared_ = 0;
    room_used_ = 0;
  }
  // Room for a copy until clear(); null: none is left.
  char *copy(const void *data, size_t size) noexcept;
  // False: full. What is pointed to stays where it is until it has been sent. train_max: the largest size that is joined.
  bool add(const void *peer, socklen_t peer_len, const From *from, const void *data, size_t size,
           uint32_t train_max) noexcept;

  uint32_t messages() const noexcept { return messages_; }
  mmsghdr &message(uint32_t i) noexcept { return header_[i]; }
  const From *from(uint32_t i) const noexcept { return joined_[i].from; }
  uint32_t segment(uint32_t i) const noexcept { return joined_[i].segment; }
  // Those from `at` on as the system wants them.
  mmsghdr *ready(uint32_t at) noexcept {
    while (prepared_ < messages_) prepare(prepared_++);
    return &header_[at];
  }
  // One part of message i by itself. Requires: it was ready.
  msghdr alone(uint32_t i, size_t part) noexcept;

 private:
  struct Joined {
    const From *from;
    size_t bytes;
    uint32_t segment;  // size of all but the last
    bool closed;       // its last is shorter
  };
  bool join(Joined &j, msghdr &m, const void *peer, socklen_t peer_len, const From *from, size_t size,
            uint32_t train_max) noexcept;
  void prepare(uint32_t i) noexcept;

  static constexpr size_t kControl = 64;
  uint32_t messages_ = 0, parts_ = 0, prepared_ = 0;
  size_t room_used_ = 0;
  mmsghdr header_[kMessages];
  Joined joined_[kMessages];
  iovec part_[kParts];
  alignas(8) char control_[kMessages][kControl];
  char room_[kRoom];
};

}  // namespace torque

struct torque_datagrams {
  static constexpr uint32_t kIndex = 1024;  // datagrams a call of the program's
  static constexpr size_t kControl = 256;   // what the program itself asked the socket for comes before what we need

  torque_datagrams() noexcept {}  // what need not be set is not touched: its pages are taken when they are used

  // Constant while a socket is served.
  torque::Turn *turn = nullptr;
  torque::Port *port = nullptr;
  torque::Slot *slot = nullptr;
  uint64_t handle = 0;  // of the port's own source

  // What the call in progress is told.
  uint32_t count = 0;
  torque_err error = 0;
  bool room = false;
  torque::Failures *failures = &failure_sets[0];

  // For the next call.
  torque_err next_error = 0;
  torque::Failures *next_failures = &failure_sets[1];

  torque::Failures failure_sets[2];
  torque::Datagram datagram[kIndex];

  // What came with the last system call. The headers are set up for parts of `part_size` bytes and so much control.
  uint32_t received = 0;
  uint32_t part_size = 0;
  size_t control_size = 0;
  uint32_t used = torque::kReceiveMax;  // headers that the system has written to
  mmsghdr header[torque::kReceiveMax];
  iovec part[torque::kReceiveMax];
  torque::Message message[torque::kReceiveMax];
  sockaddr_storage name[torque::kReceiveMax];
  alignas(8) char control[torque::kReceiveMax][kControl];

  torque::Outbox out;
  alignas(64) char arena[torque::kArena];

  bool has(uint32_t i) const noexcept { return i < count; }
  // What it had when it came: of a train, its part of that.
  uint32_t full_size(uint32_t i) const noexcept {
    const uint32_t m = datagram[i].message, whole = header[m].msg_len, segment = message[m].segment;
    if (segment == 0) return whole;
    const auto at = static_cast<uint32_t>(datagram[i].data - static_cast<const char *>(part[m].iov_base));
    return segment < whole - at ? segment : whole - at;
  }
  // Bytes that stay where they are until the outbox is empty.
  bool owns(const void *data, size_t size) const noexcept {
    const auto *p = static_cast<const char *>(data);
    return p >= arena && size <= torque::kArena && p <= arena + (torque::kArena - size);
  }
};
