// SPDX-License-Identifier: BSD-3-Clause
// One c-ares channel and the sockets that it has open. A resolver has a few: one that is current, and those that still
// wait for answers after the settings changed or their ports were used enough.
//
// Always true: only the resolver's strand is here, since c-ares has no locks. Sockets are sources of that strand, with
// TORQUE_RECHECK: c-ares does not always read until there is nothing left.
#pragma once

#include <ares.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdint>

#include "array.hh"
#include "libtorque/source.h"
#include "parse.hh"
#include "query.hh"
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

// What a channel is for. Each combination has one of its own.
enum : uint32_t {
  kStrict = 1,  // a server's failure is no answer: the next one is asked
  kPlain = 2,   // no OPT record, whatever the settings say
  kByTcp = 4,   // one round, by TCP alone
  kFlavours = 8
};
constexpr int kEdnsBytes = 1232;  // what arrives unfragmented nearly everywhere
constexpr size_t kCandidateMost = 2 * kDomainMost + 2;

class Channel {
 public:
  // Null and *err on failure.
  static Channel *open(Resolver &owner, const Settings &settings, uint32_t flavour, torque_err *err) noexcept;
  // Where the system's files say to look: "fb", "b" and so on.
  static torque_err system_lookups(char (&ret)[4]) noexcept;
  // What it is at ends with ARES_EDESTRUCTION.
  void close() noexcept;

  // What has come is read first, so that nobody's time is over who has been answered.
  void time_out() noexcept;
  // The name to look under as the at-th: the name itself, and those in the search domains. False: there are no more.
  bool candidate(const char *name, bool search, uint32_t at, char (&ret)[kCandidateMost],
                 bool *ret_as_it_is) const noexcept;
  // Requires: the wire has its id.
  void add(Wire &w) noexcept;
  void remove(Wire &w) noexcept;
  Wire *find_wire(uint16_t id) const noexcept;
  // Until the next timeout; UINT64_MAX: there is none.
  uint64_t timeout_in_ns() const noexcept;
  // Looks after sockets that could not be watched, for want of memory or of watches. True: there still are some.
  bool poll() noexcept;

  Resolver &owner() const noexcept { return owner_; }
  ares_channel ares() const noexcept { return ares_; }
  uint64_t first_timeout_ns() const noexcept { return timeout_ns_; }

  const uint32_t flavour;
  Channel *next = nullptr;
  uint32_t in_flight = 0;
  uint32_t begun = 0;
  uint32_t servers = 0;
  uint32_t tries = 0;
  uint64_t serial = 0;  // of the settings that it has
  bool retired = false;
  bool edns = false;          // its messages have OPT records
  bool edns_refused = false;  // a server does not know them

 private:
  static constexpr size_t kHashes = 64;

  Channel(Resolver &owner, uint32_t what) noexcept : flavour(what), owner_(owner) {}
  ~Channel() = default;
  torque_err init(const Settings &settings) noexcept;
  bool keep_domains(const ares_options &now) noexcept;
  static ssize_t receive(int fd, void *data, size_t size, int flags, sockaddr *from, socklen_t *from_size,
                         void *channel) noexcept;
  ssize_t notice(uint8_t *bytes, ssize_t size, size_t room) noexcept;
  ssize_t refusal(Wire &w, uint8_t *bytes, ssize_t size, size_t room) noexcept;
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
  Wire *wires_[kHashes] = {};
  // The search domains, one after another, each with its 0.
  Array<char> domains_;
  uint32_t domain_count_ = 0;
  int ndots_ = 1;
};

torque_err error_of(int ares_status) noexcept;

}  // namespace torque_dns
