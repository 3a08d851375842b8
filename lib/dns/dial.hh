// SPDX-License-Identifier: BSD-3-Clause
// A name to a connection (RFC 8305): two lookups, and attempts that race. The resolver's strand only.
#pragma once

#include <atomic>

#include "addresses.hh"
#include "libtorque/source.h"
#include "query.hh"

namespace torque_dns {

class Resolver;

// What torque_dial() is told.
struct DialTo {
  const char *host, *service;
  int32_t family;
  uint32_t flags;
  uint64_t deadline_ns;  // UINT64_MAX: none
  uint64_t delay_ns;
};
uint64_t deadline_in(uint64_t timeout_ns) noexcept;
// Any thread. *ret is written before fn can be called; it may be null.
torque_err begin_dial(torque_resolver *resolver, const DialTo &to, torque_dial_fn *fn, void *arg,
                      torque_query *ret) noexcept;

class Dial {
 public:
  // Begins with q, a dial that was just taken from the inbox.
  static void begin(Resolver &r, Query *q) noexcept;
  // A part of it has found these, or nothing.
  void found(Query *part, torque_err err, const Addresses *addresses) noexcept;
  // No attempt goes on, nothing more is told; but for fd, which is the winner's or -1, all are closed.
  void end(int fd) noexcept;

 private:
  struct Attempt {
    Dial *dial;  // null: not wanted any more
    Attempt *next;
    torque_source source;
    int fd;
    bool taken;
    std::atomic<uint32_t> refs;  // the dial's and the source's: as Socket's
  };

  Dial(Resolver &r, Query *q) noexcept : r_(r), q_(q) {}
  ~Dial() = default;
  static int32_t on_ready(torque_source source, int32_t fd, uint32_t events, void *attempt) noexcept;
  static void on_end(torque_source source, int32_t reason, void *attempt) noexcept;
  static void on_timer(torque_source source, uint64_t expirations, void *dial) noexcept;
  static void on_timer_end(torque_source source, int32_t reason, void *dial) noexcept;
  static void drop(Attempt *a) noexcept;

  bool add_part(int family) noexcept;
  void step() noexcept;
  // True: it is on its way, or there; false: it failed at once.
  bool attempt(const Address &to) noexcept;
  size_t choose() const noexcept;
  void failed(Attempt *a, int err) noexcept;
  void forget(Attempt *a) noexcept;
  void arm() noexcept;
  void unref() noexcept;

  Resolver &r_;
  Query *q_;                       // null: over
  std::atomic<uint32_t> refs_{1};  // q_'s and the timer's
  torque_source timer_ = 0;
  Query *parts_[2] = {nullptr, nullptr};
  Addresses waiting_;
  Attempt *attempts_ = nullptr;
  uint32_t running_ = 0;
  int last_family_ = 0;
  torque_err lookup_err_ = 0;
  torque_err connect_err_ = 0;
  uint64_t next_attempt_ns_ = 0;
};

}  // namespace torque_dns
