// SPDX-License-Identifier: BSD-3-Clause
// The life of a source: made, started, delivered to, run, ended. The protocol is in word.hh; tests/model/ has the model.
//
//                 deliver  settle  activate  retire
//        deliver     -       -        -        -      -: any threads at once, the word decides
//        settle      -       X        -        -      X: cannot happen, a source has one holder
//        activate    -       -        -        -      (settle of a concurrent source only counts)
//        retire      -       -        -        -
//
// Thread: any, except what takes a Turn.
#pragma once

#include "base/visit.hh"
#include "source/context.hh"
#include "source/kind.hh"
#include "source/share.hh"
#include "source/turn.hh"

namespace torque {

// What a thread saw of a live source. True at one moment; what it does next must be a compare-and-swap or a look under
// a lock that the source's end passes through.
struct Snapshot {
  Slot *slot;
  Domain *domain;
  uint64_t word;
  Kind kind;
  uint16_t traits;
  int32_t fd;
};
inline bool is_live(uint64_t w, uint32_t gen) noexcept { return word::generation(w) == gen && word::live(w); }
inline bool look(uint64_t handle, Snapshot *ret) noexcept {
  Slot *s = find_slot(index_of(handle));
  if (!s || generation_of(handle) == 0) return false;
  if (!is_live(s->word.load(std::memory_order_acquire), generation_of(handle))) return false;
  *ret = {s, s->domain.look(), 0, s->kind.look(), s->traits.look(), s->fd.look()};
  ret->word = s->word.load(std::memory_order_acquire);
  return is_live(ret->word, generation_of(handle));
}
// A source in state NEW. place as in Context::pick().
torque_err create(Context &context, Kind kind, int32_t place, Slot **ret) noexcept;
inline uint64_t handle_of(const Slot &s) noexcept {
  return handle_of(word::generation(s.word.load(std::memory_order_relaxed)), s.index);
}
// Moves a source that has not started to another domain.
void move_to(Slot &s, Domain &d) noexcept;
// Whose wheel its deadline lies in: that of the domain that made it, wherever it is served.
inline Timers &timers_of(const Slot &s) noexcept {
  return s.traits.get() & kElsewhere ? chunk_of(s)->pool->owner.timers : s.domain.get()->timers;
}
// A source in state NEW is one thread's while that sets something of it, or starts it: from begin_setup(), which waits for
// another such thread, until end_setup(), which does nothing where it has started or ended. Errors: STALE; STATE it has
// started.
torque_err begin_setup(Slot &s, uint32_t generation) noexcept;
void end_setup(Slot &s, uint32_t generation) noexcept;
// NEW -> ARMED; false: it was not NEW any more. By who sets it up, or made it and has told nobody.
bool arm_word(Slot &s, uint32_t generation) noexcept;
bool disarm_word(Slot &s, uint32_t generation) noexcept;  // ARMED -> NEW, after a failed start; the set-up goes on
// NEW -> ARMED, once nobody sets it up. False: it was not NEW any more.
bool arm_when_set_up(Slot &s, uint32_t generation) noexcept;

// Ends a source: no new callback starts. The last of those who hold it finishes it: perhaps before this returns.
// Returns: false when it had ended already. only_new: or was started.
bool retire(uint64_t handle, uint32_t reason, bool only_new = false) noexcept;
// The same, without finishing it here: its finalizer is not for this thread, which may hold the program's locks.
void retire_for_others(uint64_t handle, uint32_t reason) noexcept;
// As retire(), and waits for the finalizer. Errors: STALE another call has ended it, and that end is waited for; DEADLOCK;
// STATE a job that was started. No visit may be under way.
torque_err retire_and_wait(uint64_t handle, uint32_t reason) noexcept;
// Of a source that has ended and is held: takes it out of the kernel and of all lists, where it is still there. True: its
// strand's queue had it, and a hold of it, which is the caller's to give up.
bool dismantle(const Snapshot &v, uint64_t handle) noexcept;
// For a worker, a remover or a child that gives a source up. The last one finishes it, here.
void drop(Slot &s) noexcept;
// For any other call: if it is the last one, the domain's workers finish the source, or who waits for its end.
void let_go(Slot &s) noexcept;
// Whether this thread is in a finalizer of a source of that context.
bool finishing_in(const Context &context) noexcept;
bool finishing_here(uint64_t handle) noexcept;  // a callback of its end, on this thread
// One more holder of a source, so that what it owns stays until drop() or let_go(). False: it has ended.
bool hold(uint64_t handle, Snapshot *ret) noexcept;
// The same for a source that cannot end meanwhile (a listener's parts).
void hold_too(Slot &s) noexcept;
// For a holder: whether it has ended. If not, its end finds all that this thread has written before.
bool has_ended(Slot &s) noexcept;

// Makes it run in its domain's next round, with these events. Errors: STALE, STATE not started.
torque_err activate(uint64_t handle, uint32_t events) noexcept;

// ---- Workers ----
void deliver(Turn &t, uint64_t handle, uint32_t events) noexcept;
// An exclusive source that is not held, without an event. False: it is, or has ended.
bool deliver_if_armed(Turn &t, uint64_t handle) noexcept;
// Finishes at most limit of those that were left to the domain's workers. Answers how many.
uint32_t finish_left(Domain &d, uint32_t limit) noexcept;

// ---- In a forked child that makes a driven context work: revive.cc ----
// What only threads of the parent have is given up: the callbacks that they were in, their calls. Sources that they were
// serving go on. Once the queue was made anew.
void revive_sources(Context &context) noexcept;
// How many callbacks of it this thread is in.
uint32_t callbacks_here(Slot &s, uint64_t handle) noexcept;
// Calls f(domain, slot, handle) with each that is live, or has ended and is to be finished by somebody.
template <class F>
void each_unfinished(Context &context, F f) noexcept {
  for (uint32_t i = 0; i < context.domain_count(); ++i) {
    Domain &d = context.domain(i);
    const auto with_slot = [&](uint64_t handle) { f(d, *find_slot(index_of(handle)), handle); };
    d.slots.each(with_slot);
    d.slots.each_ended(with_slot);
  }
}
// In a forked child, when no call is under way: finishes the sources that only threads of the parent still hold.
void finish_orphans(Context &context) noexcept;
// At most limit sources of the postponed list. Answers how many.
uint32_t run_postponed(Turn &t, uint32_t limit) noexcept;
struct DueTimers {
  uint64_t by;      // monotonic ns; those due later wait
  uint64_t now;     // what the clock says
  bool told;        // the timer descriptor has fired, and must be set anew even when nothing is due
  bool wall_first;  // before those of the monotonic clock
};
// As far as a round's share goes, where something else waits. True: it is used up.
bool fire_timers(Turn &t, const DueTimers &due) noexcept;
uint64_t run_posted(Turn &t) noexcept;
// Runs the callback of a source that this thread holds, until nothing is left or it is postponed, and gives it up.
void serve_held(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept;

// ---- Descriptors that the domain's queue watches ----
torque_err start_fd(Context &context, Slot &s, uint64_t handle) noexcept;
torque_err modify_fd(const Snapshot &v, uint64_t handle, uint32_t interest) noexcept;
void detach_fd(const Snapshot &v, uint64_t handle) noexcept;          // the kernel and the table forget it, if they know it
void detach_fd_and_deadline(const Snapshot &v, uint64_t handle) noexcept;
void rearm_fd(Domain &d, int fd, uint64_t handle) noexcept;
torque_err reattach_fd(Slot &s, uint64_t handle) noexcept;        // after a fork
// In a queue that was rebuilt. Requires: the number's lock, and that the source owns the number.
torque_err register_again(Slot &s, uint64_t handle) noexcept;
Trigger trigger_of(uint16_t traits) noexcept;
// KindOps::descriptor of a kind that has one. STATE: not yet.
torque_err descriptor_of(const Snapshot &v, uint64_t handle, int32_t *ret) noexcept;

}  // namespace torque
