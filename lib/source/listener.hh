// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/socket.h>

#include <atomic>

#include "libtorque/listen.h"
#include "source/context.hh"
#include "source/source.hh"

namespace torque {

// What a listener's source and its acceptors share. Freed with the listener's source, which outlives the acceptors.
struct Listener {
  Listener(Slot &s, std::atomic<uint64_t> *a, uint32_t n) noexcept : slot(s), acceptors(a), domains(n) {}

  // Constant once started.
  uint32_t policy = TORQUE_LISTEN_DEFAULT;
  torque_accept_fn *fn = nullptr;
  void *own = nullptr;  // what fn is called with instead of the source's arg; null: nothing
  void (*free_own)(Context &, void *own) noexcept = nullptr;  // last, after the finalizer
  int fd = -1;  // the caller's socket, -1: the library makes its own
  int backlog = SOMAXCONN;
  sockaddr_storage address = {};
  socklen_t address_len = 0;
  uint64_t parent = 0;
  uint32_t parts = 0;

  Slot &slot;  // whose arg fn is called with
  // Their handles, one for each domain; 0 before they are made and once they have ended. store_release when one is made
  // pairs with load_acquire in hold_acceptor(): its descriptor, and how many there will be. Constant.
  std::atomic<uint64_t> *const acceptors;
  const uint32_t domains;

  // Any acceptor: how long to rest next time (ns).
  std::atomic<uint64_t> rest{0};
};

// For a new source of that kind; null: no memory.
Listener *make_listener(Context &context, Slot &s) noexcept;
// The first of its parts, held until let_go(). Errors: STALE it has none yet, or none any more.
torque_err hold_acceptor(const Listener &l, Seen *ret) noexcept;

}  // namespace torque
