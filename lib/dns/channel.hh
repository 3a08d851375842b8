// SPDX-License-Identifier: BSD-3-Clause
// One c-ares channel and the sockets that it has open. A resolver has a few: one that is current, and those that still
// wait for answers after the settings changed or their ports were used enough.
//
// Always true: only the resolver's strand is here, since c-ares has no locks. Sockets are sources of that strand, with
// TORQUE_RECHECK: c-ares does not always read until there is nothing left.
#pragma once

#include <ares.h>

#include <atomic>
#include <cstdint>

#include "libtorque/source.h"
#include "settings.hh"

struct torque_strand;

namespace torque_dns {

class Channel;
class Resolver;

// A socket of c-ares's. Two references: the channel's, and the source's until it ends.
struct Socket {
  Channel *channel;  // null: closed
  Socket *next;
  torque_source source;  // 0: nobody watches it, see Channel::poll()
  int fd;
  uint32_t events;
  std::atomic<uint32_t> refs;  // a finalizer may run outside the strand
};

class Channel {
 public:
  // Null and *err on failure.
  static Channel *open(Resolver &owner, const Settings &settings, bool strict, torque_err *err) noexcept;
  // Where the system's files say to look: "fb", "b" and so on.
  static torque_err system_lookups(char (&ret)[4]) noexcept;
  // What it is at ends with ARES_EDESTRUCTION.
  void close() noexcept;

  void time_out() noexcept { ares_process_fd(ares_, ARES_SOCKET_BAD, ARES_SOCKET_BAD); }
  // Until the next timeout; UINT64_MAX: there is none.
  uint64_t timeout_in_ns() const noexcept;
  // Looks after sockets that could not be watched, for want of memory or of watches. True: there still are some.
  bool poll() noexcept;

  Resolver &owner() const noexcept { return owner_; }
  ares_channel ares() const noexcept { return ares_; }
  uint64_t first_timeout_ns() const noexcept { return timeout_ns_; }

  Channel *next = nullptr;
  uint32_t in_flight = 0;
  uint32_t begun = 0;
  uint32_t servers = 0;
  uint64_t serial = 0;  // of the settings that it has
  bool retired = false;

 private:
  explicit Channel(Resolver &owner) noexcept : owner_(owner) {}
  ~Channel() = default;
  torque_err init(const Settings &settings, bool strict) noexcept;
  static void on_state(void *channel, int fd, int readable, int writable) noexcept;
  static int32_t on_ready(torque_source source, int32_t fd, uint32_t events, void *socket) noexcept;
  static void on_end(torque_source source, int32_t reason, void *socket) noexcept;
  Socket *find(int fd) noexcept;
  void forget(int fd) noexcept;
  torque_err watch(Socket &s) noexcept;

  Resolver &owner_;
  ares_channel ares_ = nullptr;
  uint64_t timeout_ns_ = 0;
  Socket *sockets_ = nullptr;
};

torque_err error_of(int ares_status) noexcept;

}  // namespace torque_dns
