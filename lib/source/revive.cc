// SPDX-License-Identifier: BSD-3-Clause
// A driven context is made to work in a forked child. Threads of the parent are not there to end what they were at: the
// callbacks that they were in, and their calls on sources.
//
// Thread: the first that does something with the context in the child.
#include "source/kind.hh"
#include "source/source.hh"

namespace torque {

using namespace word;

uint32_t callbacks_here(Slot &s, uint64_t handle) noexcept {
  const auto whole = ops_of(s).whole;
  const uint64_t known = whole ? whole(s) : handle;
  uint32_t n = 0;
  for (const Turn *t = current_turn(); t; t = t->outer) n += t->current == handle || (t->current && t->current == known);
  return n;
}

namespace {

// Whoever held it, or was in a call on it, is not here; but this thread may be in its callback, or it may be on a list.
void release(Slot &s, uint64_t handle) noexcept {
  const uint64_t w = s.word.load(std::memory_order_relaxed);
  if ((ops_of(s).traits & trait::kParent) || running(w) == 0) return;
  const bool ended = state(w) == RETIRED;
  if (ended) (void)dismantle({&s, s.domain.get(), w, s.kind.get(), s.traits.get(), s.fd.get()}, handle);
  const bool queued = s.strand_events != 0;
  const uint64_t held = callbacks_here(s, handle) + queued + (w & LEFT ? 1 : 0);
  const bool cut_off = state(w) == HELD && held == 0;
  uint64_t now = (w & ~kRunningMask) | held << kRunningShift;
  if (cut_off) now = with_state(no_pending(now) & ~AGAIN, ARMED);
  if (ended && held == 0) now |= kRunningOne;
  s.word.store(now, std::memory_order_relaxed);
  if (ended && held == 0) return let_go(s);
  if (!cut_off) return;
  (void)activate(handle, pending(w));  // also for those who wait to be called in its turn
  if (const auto go_on = ops_of(s).go_on) go_on(s, handle);
}

// Its timer is due, and nobody comes to say so.
void look_for_expirations(Slot &s, uint64_t handle) noexcept {
  const bool has_timer = deadline_of(s).generation == generation_of(handle);
  if (has_timer && s.expirations.load(std::memory_order_relaxed)) (void)activate(handle, kTimerEvent);
}

}  // namespace

void revive_sources(Context &context) noexcept {
  context.each_source([](uint64_t handle) {
    Slot &s = *find_slot(index_of(handle));
    if (const auto revive = ops_of(s).revive) revive(s);
  });
  each_unfinished(context, [](Domain &, Slot &s, uint64_t handle) {
    release(s, handle);
    look_for_expirations(s, handle);
  });
}

}  // namespace torque
