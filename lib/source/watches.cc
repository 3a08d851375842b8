// SPDX-License-Identifier: BSD-3-Clause
#include "source/watches.hh"

#include <cerrno>

namespace torque {

namespace {

constexpr uint32_t kGenerations = 0x7fffffff;

Trigger trigger_of(uint8_t wanted, uint8_t edge) noexcept { return wanted & edge ? Trigger::edge : Trigger::level; }

int errno_of(torque_err err) noexcept {
  if (err == TORQUE_ERR_NONE) return 0;
  return err > TORQUE_ERR_SYSCALL ? err - TORQUE_ERR_SYSCALL : ENOMEM;
}

}  // namespace

torque_err Watches::wish(int fd, uint32_t events, uint32_t flags) noexcept {
  const auto i = static_cast<size_t>(fd);
  while (i >= entries_.size()) {
    if (!entries_.push({})) return TORQUE_ERR_RESOURCE;
  }
  Entry &e = entries_[i];
  if (!(e.flags & kChanged)) {
    if (!changed_.push(fd)) return TORQUE_ERR_RESOURCE;
    e.flags |= kChanged;
  }
  e.wanted = static_cast<uint8_t>(events | (flags & TORQUE_WATCH_EDGE && events ? kEdge : 0u));
  if (flags & TORQUE_WATCH_NEW) e.flags |= kNew;
  return TORQUE_ERR_NONE;
}

// The program may make new wishes when it is told of an error; those wait for the next flush, as do those that it makes
// while others wait in the kernel.
void Watches::flush_changes(Queue &queue, Counters &counters) noexcept {
  const size_t n = changed_.size();
  for (size_t i = 0; i < n; ++i) {
    const int fd = changed_[i];
    Entry &e = entries_[static_cast<size_t>(fd)];
    e.flags &= static_cast<uint8_t>(~kChanged);
    // What is not wanted stays registered until it fires: mostly it is closed, or wanted again, before that.
    if (e.wanted == 0 || (e.wanted == e.told && !(e.flags & kNew))) continue;
    const int error = bring(queue, counters, fd, e);
    if (!error) continue;
    e.wanted = e.told = 0;
    owner.fn(fd, 0, error, owner.arg);
  }
  for (size_t i = n; i < changed_.size(); ++i) changed_[i - n] = changed_[i];
  changed_.truncate(changed_.size() - n);
}

// Answers 0 or an errno.
int Watches::bring(Queue &queue, Counters &counters, int fd, Entry &e) noexcept {
  const bool fresh = e.flags & kNew;
  e.flags &= static_cast<uint8_t>(~kNew);
  if (e.flags & kAlways) {
    if (!fresh) return 0;
    e.flags &= static_cast<uint8_t>(~kAlways);
  }
  if (fresh || e.told == 0) return add(queue, counters, fd, e);
  const int error = control(queue, counters, fd, e, false);
  if (error == ENOENT) return add(queue, counters, fd, e);  // it was closed
  if (!error) e.told = e.wanted;
  return error;
}

int Watches::add(Queue &queue, Counters &counters, int fd, Entry &e) noexcept {
  const uint32_t before = e.generation;
  e.generation = (before + 1) & kGenerations;
  int error = control(queue, counters, fd, e, true);
  if (error == EPERM) return make_always(fd, e);
  if (error == EEXIST && e.told) {
    // The same file still, registered as before or with another mask.
    e.generation = before;
    if (e.told == e.wanted && !(e.wanted & kEdge)) return 0;
    error = control(queue, counters, fd, e, false);
  }
  if (!error) e.told = e.wanted;
  return error;
}

int Watches::control(Queue &queue, Counters &counters, int fd, const Entry &e, bool add) noexcept {
  const uint32_t interest = e.wanted & static_cast<uint8_t>(~kEdge);
  const Trigger t = trigger_of(e.wanted, kEdge);
  counters.add(Counter::controls);
  return errno_of(add ? queue.arm(fd, handle_of(fd, e), interest, t) : queue.rearm(fd, handle_of(fd, e), interest, t));
}

int Watches::make_always(int fd, Entry &e) noexcept {
  if (!(e.flags & kListed) && !always_.push(fd)) return ENOMEM;
  e.flags |= kAlways | kListed;
  e.told = 0;
  return 0;
}

uint32_t Watches::tell_always() noexcept {
  uint32_t told = 0;
  for (size_t i = always_.size(); i-- > 0;) {
    const int fd = always_[i];
    Entry &e = entries_[static_cast<size_t>(fd)];
    if (e.flags & kAlways && e.wanted) {
      owner.fn(fd, e.wanted & (TORQUE_READ | TORQUE_WRITE), 0, owner.arg);
      ++told;
      continue;
    }
    e.flags &= static_cast<uint8_t>(~(kAlways | kListed));
    always_[i] = always_.back();
    always_.pop();
  }
  return told;
}

// It fired though nobody wishes it any more: now it is taken out.
uint32_t Watches::unwanted(int fd, Queue &queue, Counters &counters) noexcept {
  counters.add(Counter::stale);
  counters.add(Counter::controls);
  // A file that has lost its number but lives on in a duplicate cannot be named to the kernel.
  if (queue.disarm(fd)) start_over_ = true;
  entries_[static_cast<size_t>(fd)].told = 0;
  return 0;
}

uint32_t Watches::lost_track(Counters &counters) noexcept {
  counters.add(Counter::stale);
  start_over_ = true;
  return 0;
}

torque_err Watches::start_over() noexcept {
  if (!changed_.reserve(entries_.size())) return TORQUE_ERR_RESOURCE;
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry &e = entries_[i];
    e.told = 0;
    if (e.wanted == 0 || e.flags & (kChanged | kAlways)) continue;
    e.flags |= kChanged;
    (void)changed_.push(static_cast<int>(i));  // there is room
  }
  start_over_ = false;
  return TORQUE_ERR_NONE;
}

}  // namespace torque
