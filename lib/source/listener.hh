// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/socket.h>

#include <atomic>

#include "libtorque/listen.h"
#include "source/context.hh"
#include "source/source.hh"

namespace torque {

// What one domain has of a listener.
struct Part {
  // The acceptor's handle; 0 before it is made and once it has ended. seq_cst: who wakes it has changed before what the
  // acceptor looks at. Pairs also with load_acquire in hold_acceptor(): its descriptor, and how many there will be.
  std::atomic<uint64_t> acceptor{0};
  // The acceptor's holder: it may be taking a connection. seq_cst: it is said before paused is looked at, see
  // pause_listener().
  std::atomic<bool> taking{false};
};

// What a listener's source and its acceptors share. Freed with the listener's source, which outlives the acceptors.
struct Listener {
  Listener(Slot &s, Part *p, uint32_t n) noexcept : slot(s), part(p), domains(n) {}

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
  // Constant. One for each domain; the first `parts` are used.
  Part *const part;
  const uint32_t domains;

  // Any acceptor: how long to rest next time (ns).
  std::atomic<uint64_t> rest{0};

  // Any thread; seq_cst, pairs with Part::taking.
  std::atomic<bool> paused{false};
};

// For a new source of that kind; null: no memory.
Listener *make_listener(Context &context, Slot &s) noexcept;
// The first of its parts, held until let_go(). Errors: STALE it has none yet, or none any more.
torque_err hold_acceptor(const Listener &l, Seen *ret) noexcept;

// For who holds the listener's source. When pause returns no acceptor takes a connection before resume.
void pause_listener(Listener &l) noexcept;
void resume_listener(Listener &l) noexcept;

}  // namespace torque
