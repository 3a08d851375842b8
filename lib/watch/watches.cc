// SPDX-License-Identifier: BSD-3-Clause
#include "watch/watches.hh"

#include <cerrno>

#include "source/source.hh"

namespace torque {

namespace {

int errno_of(torque_err err) noexcept {
  if (err == TORQUE_ERR_NONE) return 0;
  return err > TORQUE_ERR_SYSCALL ? err - TORQUE_ERR_SYSCALL : ENOMEM;
}

// All but one of the public bits are those of poll().
constexpr short kSame = POLLIN | POLLPRI | POLLOUT | POLLERR | POLLHUP;
static_assert(POLLIN == int{TORQUE_READ} && POLLPRI == int{TORQUE_PRIORITY} && POLLOUT == int{TORQUE_WRITE} &&
              POLLERR == int{TORQUE_ERROR} && POLLHUP == int{TORQUE_CLOSED});
short to_poll(uint8_t wanted) noexcept {
  return static_cast<short>((wanted & kSame) | (wanted & TORQUE_HANGUP ? POLLRDHUP : 0));
}
uint32_t from_poll(short told) noexcept {
  return static_cast<uint32_t>(told & kSame) | (told & POLLRDHUP ? uint32_t{TORQUE_HANGUP} : 0u);
}

}  // namespace

// Requires: the number's lock, unless no source has any number.
inline int Watches::control(Queue &queue, int fd, const Entry &e, bool add) noexcept {
  const uint32_t interest = e.wanted & static_cast<uint8_t>(~kEdge);
  const Trigger t = e.wanted & kEdge ? Trigger::edge : Trigger::level;
  return errno_of(add ? queue.arm(fd, handle_of(fd, e), interest, t) : queue.rearm(fd, handle_of(fd, e), interest, t));
}

// Of what the kernel knows under this number: that must not be a source's.
inline int Watches::modify_number(Queue &queue, int fd, const Entry &e) noexcept {
  if (!descriptors_.any()) [[likely]]
    return control(queue, fd, e, false);
  const Descriptors::Entry number(descriptors_, fd);
  return number.owner() ? EEXIST : control(queue, fd, e, false);
}

// Where a source has the number, and its file, that is EEXIST.
inline int Watches::add_number(Queue &queue, int fd, const Entry &e) noexcept {
  if (!descriptors_.any()) [[likely]]
    return control(queue, fd, e, true);
  Descriptors::Entry number(descriptors_, fd);
  const int error = control(queue, fd, e, true);
  if (!error && number.owner()) {  // that source's file was closed, or its registration would be in the way
    replaced_ = number.owner();
    number.set_owner(0);
  }
  return error;
}

[[gnu::always_inline]] inline int Watches::add_here(Queue &queue, Counters &counters, int fd, Entry &e) noexcept {
  const uint32_t before = e.generation++;
  e.flags &= static_cast<uint8_t>(~kSuspect);
  counters.add(Counter::controls);
  const int error = add_number(queue, fd, e);
  if (error != EEXIST) return error;
  // The same file still, registered as before or with another mask; or a source's.
  const bool sources = descriptors_.any() && Descriptors::Entry(descriptors_, fd).owner();
  if (e.told == e.wanted && !(e.wanted & kEdge) && !sources) {
    e.generation = before;
    return 0;
  }
  counters.add(Counter::controls);
  return modify_number(queue, fd, e);
}
[[gnu::noinline]] int Watches::add(Queue &queue, Counters &counters, int fd, Entry &e) noexcept {
  return add_here(queue, counters, fd, e);
}

// What the kernel says of the interest. Where nothing else has changed only a failing addition tells that the file is still
// the same.
inline int Watches::ask(Queue &queue, Counters &counters, int fd, Entry &e) noexcept {
  if (e.told == 0 || e.told == e.wanted) return add(queue, counters, fd, e);
  counters.add(Counter::controls);
  const int error = modify_number(queue, fd, e);
  return error == ENOENT ? add(queue, counters, fd, e) : error;  // it was closed
}

// What is not wanted any more stays registered until it fires: mostly it is closed, or wanted again, before that.
torque_err Watches::set_interest(int fd, uint32_t events, uint32_t flags) noexcept {
  const auto i = static_cast<size_t>(fd);
  if (i >= entries_.size() && !make_room(i)) [[unlikely]]
    return TORQUE_ERR_RESOURCE;
  Entry &e = entries_[i];
  const uint32_t now = e.flags | (flags & TORQUE_WATCH_NEW) << 1;
  static_assert(kNew == TORQUE_WATCH_NEW << 1 && kPeek == TORQUE_WATCH_PEEK << 2);
  if (events == 0) {
    e.wanted = 0;
    e.flags = static_cast<uint8_t>(now);
    return TORQUE_ERR_NONE;
  }
  if (!(now & kChanged) && !changed_.push(fd)) return TORQUE_ERR_RESOURCE;
  e.wanted = static_cast<uint8_t>(events | (flags & TORQUE_WATCH_EDGE ? kEdge : 0u));
  e.flags = static_cast<uint8_t>(now | kChanged | (flags & TORQUE_WATCH_PEEK) << 2);
  return TORQUE_ERR_NONE;
}

[[gnu::noinline]] bool Watches::make_room(size_t i) noexcept {
  while (i >= entries_.size())
    if (!entries_.push({})) return false;
  return true;
}

torque_err Watches::set_interest_now(int fd, uint32_t events, uint32_t flags, Queue &queue, Counters &counters) noexcept {
  const auto i = static_cast<size_t>(fd);
  if (i >= entries_.size() && !make_room(i)) [[unlikely]]
    return TORQUE_ERR_RESOURCE;
  Entry &e = entries_[i];
  const bool fresh = e.flags & kNew || flags & TORQUE_WATCH_NEW;
  if (events == 0 || (!fresh && (e.told != 0 || e.flags & kAlways))) return set_interest(fd, events, flags);
  e.wanted = static_cast<uint8_t>(events | (flags & TORQUE_WATCH_EDGE ? kEdge : 0u));
  e.flags &= static_cast<uint8_t>(~(kNew | kAlways));
  // (The way that nearly all go is in one piece: after a system call each return is mispredicted.)
  const bool add_first = e.told == 0 || e.told == e.wanted;
  const int error = add_first ? add_here(queue, counters, fd, e) : ask(queue, counters, fd, e);
  if (error) e.wanted = 0;
  e.told = e.wanted;
  if (replaced_) [[unlikely]]
    retire_replaced();
  return error ? TORQUE_ERR_SYSCALL + error : TORQUE_ERR_NONE;
}

// Answers 0 or an errno.
inline int Watches::bring(Queue &queue, Counters &counters, int fd, Entry &e) noexcept {
  const bool fresh = e.flags & kNew;
  e.flags &= static_cast<uint8_t>(~kNew);
  if (e.flags & kAlways) {
    if (!fresh) return 0;
    e.flags &= static_cast<uint8_t>(~kAlways);
  }
  const int error = ask(queue, counters, fd, e);
  if (error == EPERM) return make_always(fd, e);
  if (!error) e.told = e.wanted;
  return error;
}

[[gnu::always_inline]] inline uint32_t Watches::flush_one(Queue &queue, Counters &counters, int fd) noexcept {
  Entry &e = entries_[static_cast<size_t>(fd)];
  const int error = bring(queue, counters, fd, e);
  if (error) [[unlikely]] {
    e.wanted = e.told = 0;
    owner.fn(fd, 0, error, owner.arg);
  }
  if (replaced_) [[unlikely]]
    retire_replaced();
  return error != 0;
}

// The program may change its interest when an error is reported to it; those wait for the next flush, as do those that it makes
// while others wait in the kernel.
uint32_t Watches::flush_changes(Queue &queue, Counters &counters) noexcept {
  const size_t n = changed_.size();
  uint32_t told = 0;
  for (size_t i = 0; i < n; ++i) {
    const int fd = changed_[i];
    Entry &e = entries_[static_cast<size_t>(fd)];
    e.flags &= static_cast<uint8_t>(~kChanged);
    const bool look_first = e.flags & kPeek && may_peek(e);
    e.flags &= static_cast<uint8_t>(~(kPeek | kPeeked));
    if (e.wanted == 0 || (e.wanted == e.told && !(e.flags & kNew))) continue;
    if (look_first && peeks_.push({fd, to_poll(e.wanted), 0})) continue;
    told += flush_one(queue, counters, fd);
  }
  for (size_t i = n; i < changed_.size(); ++i) changed_[i - n] = changed_[i];
  changed_.truncate(changed_.size() - n);
  if (!peeks_.empty()) told += peek(queue, counters);
  return told;
}

// Writing is what is new, and was not told just now.
bool Watches::may_peek(const Entry &e) noexcept {
  return !(e.flags & (kPeeked | kNew | kAlways)) && e.told != 0 && !((e.wanted | e.told) & kEdge) &&
         e.wanted & TORQUE_WRITE && !(e.told & TORQUE_WRITE);
}

// Leaves in peeks_ what is ready; the rest is registered.
uint32_t Watches::peek(Queue &queue, Counters &counters) noexcept {
  const int any = ::poll(peeks_.begin(), static_cast<nfds_t>(peeks_.size()), 0);
  uint32_t told = 0;
  size_t ready = 0;
  for (size_t i = 0; i < peeks_.size(); ++i) {
    const pollfd p = peeks_[i];
    Entry &e = entries_[static_cast<size_t>(p.fd)];
    const bool told_so = any > 0 && p.revents & (POLLOUT | POLLERR | POLLHUP) && !(p.revents & POLLNVAL);
    if (told_so && (e.flags & kChanged || changed_.push(p.fd))) {
      e.flags |= kChanged | kPeeked;
      e.ready = static_cast<uint8_t>(from_poll(p.revents));
      peeks_[ready++] = p;
    } else if (!(e.flags & kChanged)) {  // or an error was reported, and its callback has changed the interest
      told += flush_one(queue, counters, p.fd);
    }
  }
  peeks_.truncate(ready);
  return told;
}

uint32_t Watches::tell_peeked(Ready *events, uint32_t n, uint64_t *told) noexcept {
  uint32_t left = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const uint64_t handle = events[i].handle;
    const auto fd = static_cast<size_t>(number_of(handle));
    Entry *e = handle & kMark && fd < entries_.size() ? &entries_[fd] : nullptr;
    if (e && e->ready && handle == handle_of(static_cast<int>(fd), *e)) e->ready |= static_cast<uint8_t>(events[i].events);
    else events[left++] = events[i];
  }
  for (size_t i = 0; i < peeks_.size(); ++i) {
    const int fd = peeks_[i].fd;
    Entry &e = entries_[static_cast<size_t>(fd)];
    const uint32_t ready = e.ready & (e.wanted | kUnasked);  // the interest may have changed during the wait
    e.ready = 0;
    if (e.wanted == 0 || e.flags & kNew || !ready) continue;
    owner.fn(fd, ready, 0, owner.arg);
    ++*told;
  }
  peeks_.clear();
  return left;
}

void Watches::retire_replaced() noexcept {
  const uint64_t source = replaced_;
  replaced_ = 0;
  retire_for_others(source, TORQUE_END_REPLACED);
}

// A regular file. (What it is asked for beside reading and writing never comes.)
int Watches::make_always(int fd, Entry &e) noexcept {
  e.told = 0;
  if (!(e.wanted & (TORQUE_READ | TORQUE_WRITE))) return 0;
  if (!(e.flags & kListed) && !always_.push(fd)) return ENOMEM;
  e.flags |= kAlways | kListed;
  return 0;
}

uint32_t Watches::tell_always() noexcept {
  uint32_t told = 0;
  for (size_t i = always_.size(); i-- > 0;) {
    const int fd = always_[i];
    Entry &e = entries_[static_cast<size_t>(fd)];
    const uint32_t ready = e.wanted & (TORQUE_READ | TORQUE_WRITE);
    if (e.flags & kAlways && ready) {
      if (e.flags & kNew) continue;  // who knows whether it still is one
      owner.fn(fd, ready, 0, owner.arg);
      ++told;
      continue;
    }
    e.flags &= static_cast<uint8_t>(~(kAlways | kListed));
    always_[i] = always_.back();
    always_.pop();
  }
  return told;
}

// An event that nobody, or not everybody, asked for.
uint32_t Watches::arrived_otherwise(uint64_t handle, uint32_t events, Queue &queue, Counters &counters) noexcept {
  const int fd = number_of(handle);
  Entry *e = static_cast<size_t>(fd) < entries_.size() ? &entries_[static_cast<size_t>(fd)] : nullptr;
  if (!e || handle != handle_of(fd, *e)) {  // it lives in a duplicate, and cannot be named to the kernel
    counters.add(Counter::stale);
    start_over_ = true;
    return 0;
  }
  if (e->wanted == 0) {
    counters.add(Counter::stale);
    take_out(fd, *e, queue, counters);
    return 0;
  }
  // The interest has changed since the wait began. What is dropped is asked for again by the next flush: a level comes again
  // by itself, and an edge because the kernel is given the interest again.
  if (e->told & kEdge) e->told = kEdge;
  events &= e->wanted | kUnasked;
  if (e->flags & kNew || !events) return 0;
  owner.fn(fd, events, 0, owner.arg);
  return 1;
}

// It fired though nobody is interested any more. One that cannot be taken out was perhaps closed while its event was already
// in hand; if it comes again, it has lost its number but lives on in a duplicate.
void Watches::take_out(int fd, Entry &e, Queue &queue, Counters &counters) noexcept {
  e.told = 0;
  {
    const Descriptors::Entry number(descriptors_, fd);
    if (!number.owner()) {
      counters.add(Counter::controls);
      if (!queue.disarm(fd)) return;
    }
  }
  if (e.flags & kSuspect) start_over_ = true;
  e.flags |= kSuspect;
}

torque_err Watches::prepare_to_start_over() noexcept {
  return changed_.reserve(entries_.size()) ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

void Watches::start_over() noexcept {
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry &e = entries_[i];
    e.told = e.ready = 0;
    e.flags &= static_cast<uint8_t>(~kSuspect);
    if (e.wanted == 0 || e.flags & (kChanged | kAlways)) continue;
    e.flags |= kChanged;
    (void)changed_.push(static_cast<int>(i));  // there is room
  }
  peeks_.clear();
  start_over_ = false;
}

}  // namespace torque
