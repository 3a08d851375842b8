// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>

#include "base/socket.hh"
#include "kinds/shards.hh"
#include "libtorque/listen.h"
#include "source/context.hh"
#include "source/source.hh"

namespace torque {

// What one domain has of a listener.
struct Part {
  // The acceptor's holder: it may be taking a connection. seq_cst: it is said before paused is looked at, see
  // pause_listener().
  std::atomic<bool> taking{false};
  // The acceptor has found no place, and is called when there may be one: see enter() and wake_starved(). seq_cst.
  std::atomic<bool> starved{false};
};

// How many streams of a listener are alive, and how many may be. It outlives the listener as long as one of them does.
// Thread: any.
struct Guests {
  static constexpr uint64_t kNumber = (uint64_t{1} << 31) - 1;
  static constexpr uint64_t kListens = uint64_t{1} << 31;  // the listener is there
  static constexpr int kMostShift = 32;                    // above: how many may be; 0: any number
  static uint32_t number(uint64_t w) noexcept { return static_cast<uint32_t>(w & kNumber); }
  static uint32_t most(uint64_t w) noexcept { return static_cast<uint32_t>(w >> kMostShift); }
  static bool full(uint64_t w) noexcept { return most(w) && number(w) >= most(w); }

  explicit Guests(uint64_t of) noexcept : listener(of) {}

  const uint64_t listener;  // its handle
  // seq_cst: who gives a place back looks for starved acceptors afterwards; who finds none says so and looks again.
  std::atomic<uint64_t> word{kListens};
};

// What a listener's source and its acceptors share. Freed with the listener's source, which outlives the acceptors.
struct Listener {
  Listener(Slot &s, Part *p, uint32_t n) noexcept : slot(s), part(p), domains(n) {}

  // Constant once started.
  uint32_t policy = TORQUE_LISTEN_DEFAULT;
  torque_accept_fn *fn = nullptr;
  void *own = nullptr;  // what fn is called with instead of the source's arg; null: nothing
  void (*free_own)(Context &, void *own) noexcept = nullptr;  // last, after the finalizer
  void (*revive_own)(void *own) noexcept = nullptr;           // in a forked child: its lock may be held by nobody
  int fd = -1;  // the caller's socket, -1: the library makes its own
  int backlog = SOMAXCONN;
  sockets::Address address;
  bool both_families = false;  // an IPv6 socket takes IPv4 connections as well
  uint64_t parent = 0;
  // One acceptor in each domain, or one in all. Their handles are seq_cst: who wakes an acceptor has changed before what it
  // looks at. hold_acceptor() pairs with the store: its descriptor, and how many there will be.
  Shards acceptors;
  uint32_t parts = 0;

  // Listeners of streams; else null. Each connection has a place here before it is taken; fn has that of what it is given.
  Guests *guests = nullptr;

  Slot &slot;  // whose arg fn is called with
  // Constant. One for each domain; the first `parts` are used.
  Part *const part;
  const uint32_t domains;

  // Any acceptor: how long to rest next time (ns).
  std::atomic<uint64_t> rest{0};

  // Any thread; seq_cst, pairs with Part::taking.
  std::atomic<bool> paused{false};

  // Its start has succeeded: no connection is taken before, so that a start that fails has called nobody. seq_cst: the
  // acceptors are woken afterwards.
  std::atomic<bool> open{false};
};

inline Listener &listener_of(Slot &s) noexcept { return *static_cast<Listener *>(cold_of(s).object); }
// For a new source of that kind; null: no memory.
Listener *make_listener(Context &context, Slot &s) noexcept;
// The first of its parts, held until let_go(). Errors: STALE it has none yet, or none any more.
torque_err hold_acceptor(const Listener &l, Snapshot *ret) noexcept;

// For who holds the listener's source. When pause returns no acceptor takes a connection before resume.
void pause_listener(Listener &l) noexcept;
void resume_listener(Listener &l) noexcept;

// ---- Listeners of streams ----
// For a new listener. Null: no memory.
Guests *make_guests(Context &context, uint64_t listener) noexcept;
// Gives a place back, when what had it is gone.
void leave(Context &context, Guests &g) noexcept;
void set_most_guests(Listener &l, uint32_t most) noexcept;

// Calls f with a listener, started or not, that cannot be finished meanwhile.
template <class F>
torque_err with_listener(torque_source source, F f) noexcept {
  const Visit visit;
  Snapshot v;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::listener) return TORQUE_ERR_KIND;
  if (const torque_err err = v.domain->context.usable()) return err;
  if (!hold(source, &v)) return TORQUE_ERR_STALE;
  const torque_err err = f(*v.slot, listener_of(*v.slot));
  let_go(*v.slot);
  return err;
}

torque_err start_listener(Context &, Slot &, uint64_t) noexcept;
void end_listener(const Snapshot &, uint64_t) noexcept;
void free_listener(Context &, Slot &, uint32_t reason) noexcept;
void revive_listener(Slot &) noexcept;
torque_err descriptor_of_listener(const Snapshot &, uint64_t, int32_t *ret) noexcept;

bool run_acceptor(Turn &, Slot &, uint64_t, uint32_t) noexcept;
uint64_t listener_of_part(Slot &) noexcept;
void free_acceptor(Context &, Slot &) noexcept;  // and its hold of the listener

// What the program has: it never runs, and lives as long as its acceptors.
inline constexpr KindOps kListenerKind = {
    .name = "listener",
    .public_kind = TORQUE_KIND_LISTENER,
    .traits = trait::kParent | trait::kNoStrand,
    .start = start_listener,
    .dismantle = end_listener,
    .free_after_final = free_listener,
    .revive = revive_listener,
    .descriptor = descriptor_of_listener,
};

// One domain's part of it.
inline constexpr KindOps kAcceptorKind = {
    .run = run_acceptor,
    .name = "acceptor",
    .public_kind = TORQUE_KIND_LISTENER,
    .traits = trait::kDescriptor | trait::kPartOfAnother,
    .dismantle = detach_fd_and_deadline,
    .free_before_final = free_acceptor,
    .whole = listener_of_part,
    .reattach = reattach_fd,
    .descriptor = descriptor_of,
};

}  // namespace torque
