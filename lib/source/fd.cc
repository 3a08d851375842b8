// SPDX-License-Identifier: BSD-3-Clause
// Descriptors in the queue of a domain: their registration, which only the owner of the number may change.
#include "source/source.hh"

namespace torque {

namespace {

// What the table says of a number that is to be registered: a source that is there already. It may have ended, but
// cannot be finished while it stands here.
struct Previous {
  uint64_t handle = 0;
  Domain *domain = nullptr;  // null: none
  bool living = false;
};

Previous previous_owner(const Descriptors::Entry &entry, uint64_t self) noexcept {
  if (entry.owner() == 0 || entry.owner() == self) return {};
  Slot &s = *find_slot(index_of(entry.owner()));
  const uint64_t w = s.word.load(std::memory_order_acquire);
  return {entry.owner(), s.domain.get(), word::live(w)};
}

// A registration that the kernel still has under this number, of a source that has ended (its descriptor lives on in a
// duplicate): taken over by MOD, never deleted and added again (Mio, section 3.4).
torque_err arm_or_take_over(Queue &q, int fd, uint64_t handle, uint32_t interest, Trigger t, bool living) noexcept {
  const torque_err err = q.arm(fd, handle, interest, t);
  if (err != TORQUE_ERR_SYSCALL + EEXIST) return err;
  if (living) return TORQUE_ERR_EXIST;
  return q.rearm(fd, handle, interest, t);
}

}  // namespace

Trigger trigger_of(uint16_t traits) noexcept {
  if (traits & kExclusiveWake) return Trigger::exclusive;
  if (traits & kOneshot) return Trigger::oneshot;
  return traits & kLevel ? Trigger::level : Trigger::edge;
}

torque_err start_fd(Context &context, Slot &s, uint64_t handle) noexcept {
  const int fd = s.fd.get();
  if (!context.descriptors.reserve(fd)) return TORQUE_ERR_RESOURCE;
  Previous before;
  torque_err err;
  bool always_ready = false;
  {
    Descriptors::Entry entry(context.descriptors, fd);
    before = previous_owner(entry, handle);
    // Where the number is registered, or was: there the kernel can tell which.
    if (before.domain && !(ops_of(s).traits & trait::kPartOfAnother)) move_to(s, *before.domain);
    if (!arm_word(s, generation_of(handle))) return TORQUE_ERR_STATE;
    Domain &d = *s.domain.get();
    const uint32_t interest = s.interest.load(std::memory_order_relaxed);
    err = arm_or_take_over(d.queue(), fd, handle, interest, trigger_of(s.traits.get()), before.living);
    d.count(Counter::controls);
    if (err == TORQUE_ERR_SYSCALL + EPERM) {  // a regular file
      s.traits.set(s.traits.get() | kAlwaysReady);
      always_ready = true;
      err = TORQUE_ERR_NONE;
    }
    if (err) {
      disarm_word(s, generation_of(handle));
      return err;
    }
    entry.set_owner(handle);
    if (always_ready && interest) (void)activate(handle, interest);
  }
  // Its descriptor was closed behind our back.
  if (before.living) retire_for_others(before.handle, TORQUE_END_REPLACED);
  return TORQUE_ERR_NONE;
}

torque_err modify_fd(const Snapshot &v, uint64_t handle, uint32_t interest) noexcept {
  tsan::gives(v.slot);
  if (word::state(v.word) == word::NEW) {
    v.slot->interest.store(interest, std::memory_order_relaxed);
    return TORQUE_ERR_NONE;
  }
  Descriptors::Entry entry(v.domain->context.descriptors, v.fd);
  if (entry.owner() != handle) return TORQUE_ERR_STALE;
  Slot &s = *v.slot;  // not finished while it owns the entry
  Domain &d = *s.domain.get();
  const uint32_t before = s.interest.load(std::memory_order_relaxed);
  s.interest.store(interest, std::memory_order_relaxed);
  if (s.traits.get() & kAlwaysReady) return interest ? activate(handle, interest) : TORQUE_ERR_NONE;
  // Who is told by edges asks for the same once more to be told of what is ready; the others are told anyway.
  if (before == interest && (s.traits.get() & (kLevel | kOneshot))) return TORQUE_ERR_NONE;
  d.count(Counter::controls);
  const torque_err err = d.queue().rearm(v.fd, handle, interest, trigger_of(s.traits.get()));
  if (err) s.interest.store(before, std::memory_order_relaxed);
  return err;
}

void detach_fd(const Snapshot &v, uint64_t handle) noexcept {
  if (v.fd < 0) return;
  Descriptors::Entry entry(v.domain->context.descriptors, v.fd);
  if (entry.owner() != handle) return;
  entry.set_owner(0);
  if (v.slot->traits.get() & kAlwaysReady) return;
  // ENOENT and EBADF say that it was closed, which is as good.
  (void)v.domain->queue().disarm(v.fd);
  v.domain->count(Counter::controls);
}

void detach_fd_and_deadline(const Snapshot &v, uint64_t handle) noexcept {
  detach_fd(v, handle);
  timers_of(*v.slot).forget(*v.slot);
}

void rearm_fd(Domain &d, int fd, uint64_t handle) noexcept {
  torque_err err;
  uint32_t interest;
  {
    Descriptors::Entry entry(d.context.descriptors, fd);
    if (entry.owner() != handle) return;
    Snapshot v;
    if (!look(handle, &v)) return;
    interest = v.slot->interest.load(std::memory_order_relaxed);
    err = d.queue().rearm(fd, handle, interest, Trigger::oneshot);
  }
  d.count(Counter::controls);
  d.count(Counter::rearms);
  // Closed behind our back: nothing to wait for. Anything else must not lose the source: it runs, and re-arms, again.
  if (err && err != TORQUE_ERR_SYSCALL + ENOENT && err != TORQUE_ERR_SYSCALL + EBADF) (void)activate(handle, interest);
}

torque_err register_again(Slot &s, uint64_t handle) noexcept {
  const uint16_t traits = s.traits.get();
  if (traits & kAlwaysReady) return TORQUE_ERR_NONE;
  const uint32_t interest = s.interest.load(std::memory_order_relaxed);
  const torque_err err = s.domain.get()->queue().arm(s.fd.get(), handle, interest, trigger_of(traits));
  return err == TORQUE_ERR_SYSCALL + EBADF ? TORQUE_ERR_NONE : err;
}

torque_err reattach_fd(Slot &s, uint64_t handle) noexcept {
  Descriptors::Entry entry(s.domain.get()->context.descriptors, s.fd.get());
  return entry.owner() == handle ? register_again(s, handle) : TORQUE_ERR_NONE;
}

torque_err descriptor_of(const Snapshot &v, uint64_t, int32_t *ret) noexcept {
  if (v.fd < 0) return TORQUE_ERR_STATE;
  *ret = v.fd;
  return TORQUE_ERR_NONE;
}

}  // namespace torque
