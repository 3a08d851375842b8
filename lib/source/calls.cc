// SPDX-License-Identifier: BSD-3-Clause
#include "source/calls.hh"

#include "base/tsan.hh"
#include "source/source.hh"

namespace torque {

namespace {

constexpr uint32_t kBatch = 64;  // before what the source has to tell, and before other sources

Calls &calls_of(const Slot &s) noexcept { return chunk_of(s)->pool->owner.calls; }

// Who fires in one place at a time, and there.
bool has_turn(const Snapshot &v) noexcept {
  return !(v.traits & kConcurrent) && (ops_of(v.kind).traits & trait::kTakesCalls);
}

bool is_over(const Slot &s) noexcept { return word::state(s.word.load(std::memory_order_acquire)) == word::RETIRED; }

}  // namespace

CallQueue *Calls::queue_of(Slot &s, bool make) noexcept {
  Chunk *c = chunk_of(s);
  if (!c->calls && make) {
    c->calls = static_cast<CallQueue *>(alloc_.get(kChunkSlots * sizeof(CallQueue), alignof(CallQueue)));
    if (c->calls) __builtin_memset(c->calls, 0, kChunkSlots * sizeof(CallQueue));
  }
  return c->calls ? &c->calls[s.index - c->base] : nullptr;
}

bool Calls::put(Slot &s, torque_run_fn *fn, void *arg) noexcept {
  Call *call = alloc_.make<Call>(Call{fn, arg, nullptr});
  if (!call) return false;
  tsan::gives(&s);  // the holder may take it before the activation
  {
    Lock lock(lock_);
    if (CallQueue *q = queue_of(s, true)) {
      (q->first ? q->last->next : q->first) = call;
      q->last = call;
      s.calls.store(1, std::memory_order_relaxed);  // the activation that follows publishes it
      return true;
    }
  }
  alloc_.destroy(call);
  return false;
}

bool Calls::take(Slot &s, Call *ret) noexcept {
  Call *call;
  {
    Lock lock(lock_);
    CallQueue *q = queue_of(s, false);
    call = q ? q->first : nullptr;
    if (!call) return false;
    q->first = call->next;
    if (!q->first) s.calls.store(0, std::memory_order_relaxed);
  }
  tsan::takes(&s);
  *ret = *call;
  alloc_.destroy(call);
  return true;
}

torque_err call_source(uint64_t handle, torque_run_fn *fn, void *arg) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;  // so that its end finds what is put here
  torque_err err = v.domain->context.usable();
  if (!err && !has_turn(v)) err = TORQUE_ERR_KIND;
  if (!err && word::state(v.word) == word::NEW) err = TORQUE_ERR_STATE;
  if (!err && !calls_of(*v.slot).put(*v.slot, fn, arg)) err = TORQUE_ERR_RESOURCE;
  if (!err) (void)activate(handle, 0);  // ended meanwhile: its end tells it
  let_go(*v.slot);
  return err;
}

bool run_call(Turn &t, uint64_t handle, const Call &call) noexcept {
  const uint64_t outer_source = std::exchange(t.current, handle);
  const bool outer_postpone = std::exchange(t.postpone, false);
  const uint64_t begin = t.timing ? monotonic_ns() : 0;
  {
    const Watched watched(t.beat, handle, reinterpret_cast<Callback>(call.fn));
    call.fn(handle, TORQUE_ERR_NONE, call.arg);
  }
  if (t.timing) t.timing->callback.add(monotonic_ns() - begin);
  t.counters.add(Counter::callbacks);
  t.current = outer_source;
  return std::exchange(t.postpone, outer_postpone);
}

bool run_calls(Turn &t, Slot &s, uint64_t handle) noexcept {
  Calls &calls = calls_of(s);
  bool postponed = false;
  Call call;
  for (uint32_t left = kBatch; left > 0 && !halted(t) && !is_over(s); --left) {
    if (!calls.take(s, &call)) break;
    postponed |= run_call(t, handle, call);
  }
  if (has_calls(s) && !is_over(s)) (void)activate(handle, 0);
  return postponed;
}

void end_calls(Slot &s, uint64_t handle, uint32_t reason) noexcept {
  const torque_err err = reason == TORQUE_END_STOPPED ? TORQUE_ERR_STOPPED : TORQUE_ERR_STALE;
  Calls &calls = calls_of(s);
  for (Call call; calls.take(s, &call);) call.fn(handle, err, call.arg);
}

}  // namespace torque
