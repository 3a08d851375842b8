// SPDX-License-Identifier: BSD-3-Clause
#include "watch/rebuild.hh"

#include "source/source.hh"
#include "watch/watches.hh"

namespace torque {

namespace {

// An orphaned registration: a descriptor that was closed while a duplicate lives stays registered, and nobody can name it
// to the kernel any more. Edges of it are dropped as stale, one at a time; a level would be reported for ever. So the queue
// is rebuilt, while no number can change hands.
torque_err try_to_rebuild_queue(Context &context) noexcept {
  Domain &d = context.domain(0);
  Descriptors &table = context.descriptors;
  Watches &watches = context.locals.get<Watches>();
  if (const torque_err err = watches.prepare_to_start_over()) return err;
  table.lock_all();
  torque_err err = d.queue().reopen(false);
  d.horizon.lose_mark();
  if (!err) {
    watches.start_over();
    d.slots.each([&](uint64_t handle) {
      Snapshot v;
      if (!look(handle, &v) || !(ops_of(v.kind).traits & trait::kDescriptor) || v.fd < 0 || table.owner_of(v.fd) != handle) return;
      // Memory is short: it runs, and finds out.
      if (register_again(*v.slot, handle)) (void)activate(handle, v.slot->interest.load(std::memory_order_relaxed));
    });
    err = d.timers.watch_again(d.queue());
  }
  table.unlock_all();
  return err;
}

}  // namespace

void rebuild_queue(Context &context) noexcept {
  if (!try_to_rebuild_queue(context)) return;
  context.log.say(TORQUE_LOG_WARNING, "the queue of a driven context could not be rebuilt");
}

}  // namespace torque
