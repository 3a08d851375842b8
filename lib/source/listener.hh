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
  Listener(std::atomic<uint64_t> *a, uint32_t n) noexcept : acceptors(a), domains(n) {}

  // Constant once started.
  uint32_t policy = TORQUE_LISTEN_DEFAULT;
  torque_accept_fn *fn = nullptr;
  void *arg = nullptr;
  int fd = -1;  // the caller's socket, -1: the library makes its own
  int backlog = SOMAXCONN;
  sockaddr_storage address = {};
  socklen_t address_len = 0;
  uint64_t parent = 0;
  uint32_t parts = 0;

  // Their handles, one for each domain; 0 before they are made and once they have ended. Relaxed: a handle carries nothing
  // else. Constant.
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
