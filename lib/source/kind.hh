// SPDX-License-Identifier: BSD-3-Clause
// Kinds of sources: what the core asks of each. A kind is a constant KindOps beside its code, which stands in api/kinds.def
// at its place in Kind. The core knows the descriptor of none, the object of none, and switches on none.
#pragma once

#include "libtorque/post.h"
#include "source/slot.hh"

namespace torque {

class Context;
struct Snapshot;

// KindOps::traits
namespace trait {
constexpr uint32_t kDescriptor = 0x01;       // Slot::fd is one, that the source's domain may be watching
constexpr uint32_t kTakesCalls = 0x02;       // torque_source_run(): it has a turn, and fires in one place at a time
constexpr uint32_t kParent = 0x04;           // other sources hold it until they have ended
constexpr uint32_t kNoStrand = 0x08;         // it runs nothing itself
constexpr uint32_t kCannotBeCutOff = 0x10;   // it can be removed only until it starts
constexpr uint32_t kCallersDescriptor = 0x20;  // closed with the source only by torque_close()
constexpr uint32_t kPartOfAnother = 0x40;    // the program knows it by the handle of the whole
}  // namespace trait

// Where nothing is said, null means: nothing to do. handle is the source's own.
struct alignas(128) KindOps {  // the table is indexed at each event
  // One callback; the caller holds the source. True: run again after the others. Null: it never runs.
  bool (*run)(Turn &, Slot &, uint64_t handle, uint32_t events) noexcept = nullptr;

  const char *name = "";
  int32_t public_kind = 0;  // TORQUE_KIND_...
  uint32_t traits = 0;

  // NEW -> ARMED, by whoever sets it up. On failure it is NEW again. Null: the word alone.
  torque_err (*start)(Context &, Slot &, uint64_t handle) noexcept = nullptr;
  // It has ended, and is held still: no new event comes from here on.
  void (*dismantle)(const Snapshot &, uint64_t handle) noexcept = nullptr;

  // Nobody holds it any more. In this order, with the functions that wait for its turn and the finalizer in between:
  void (*free_before_final)(Context &, Slot &) noexcept = nullptr;
  void (*end_calls)(Slot &, uint64_t handle, uint32_t reason) noexcept = nullptr;  // null: those of calls.hh
  void (*free_after_final)(Context &, Slot &, uint32_t reason) noexcept = nullptr;

  // Of kPartOfAnother: the handle that its callbacks run under. Null: its own.
  uint64_t (*whole)(Slot &) noexcept = nullptr;
  // The source that cannot end before this one; 0: none.
  uint64_t (*parent)(Slot &) noexcept = nullptr;
  // Of kParent: whether a source holds it.
  bool (*has_children)(Slot &) noexcept = nullptr;

  // In a forked child, before anything runs there. revive: what another thread of the parent may have left halfway.
  // go_on: one of those was in its callback, and it is armed again: what would have come after that.
  // reattach: it has started, and the kernel's objects are new.
  void (*revive)(Slot &) noexcept = nullptr;
  void (*go_on)(Slot &, uint64_t handle) noexcept = nullptr;
  torque_err (*reattach)(Slot &, uint64_t handle) noexcept = nullptr;

  // torque_source_fd(); null: it has none.
  torque_err (*descriptor)(const Snapshot &, uint64_t handle, int32_t *ret) noexcept = nullptr;
  // torque_source_run(), if it is not call_source().
  torque_err (*call)(uint64_t handle, torque_run_fn *fn, void *arg) noexcept = nullptr;
};
static_assert(sizeof(KindOps) == 128);

extern const KindOps kSourceKinds[];  // by Kind
inline const KindOps &ops_of(Kind k) noexcept { return kSourceKinds[static_cast<uint8_t>(k)]; }
inline const KindOps &ops_of(const Slot &s) noexcept { return ops_of(s.kind.get()); }

}  // namespace torque
