// SPDX-License-Identifier: BSD-3-Clause
// Streams whose connection is made by others: see torque_stream_await().
//
// Such a stream stays NEW, and nobody runs it; what it is given goes into its mailbox. The lock of that also decides who
// ends the waiting: one connection, or one failure.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/syscall.hh"
#include "stream/stream.hh"

namespace torque {

namespace {

// False: another was first, or it waits for none.
bool take_waiting(Stream &s) noexcept {
  HandingLock lock(s.lock);
  const bool waits = s.asked & kAskAwait;
  if (waits) s.ask((s.asked & ~uint32_t{kAskAwait}) | kAskStart);
  return waits;
}

}  // namespace

void await_connection(Slot &slot) noexcept {
  Stream &s = stream_of(slot);
  HandingLock lock(s.lock);
  s.ask((s.asked & ~uint32_t{kAskStart}) | kAskAwait);
}

torque_err attach_descriptor(Slot &slot, int fd, uint64_t open_by) noexcept {
  Stream &s = stream_of(slot);
  uint32_t kind;
  if (const torque_err err = look_at_descriptor(fd, &kind)) return err;
  if (!take_waiting(s)) return TORQUE_ERR_STATE;
  slot.fd.set(fd);
  s.flags |= kind | (open_by == kNever ? 0u : uint32_t{kTimed});
  if (open_by != kNever) s.last_out = open_by | kOpenBy;
  const int on = 1;
  if (s.type->nodelay && (kind & kShortIsAll)) (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return TORQUE_ERR_NONE;
}

void detach_descriptor(Slot &slot) noexcept {
  Stream &s = stream_of(slot);
  s.flags &= ~(kSocket | kShortIsAll | kWriteOnly | kReadOnly);
  slot.fd.set(-1);
  await_connection(slot);
}

bool give_up_waiting(Slot &slot, torque_err err, bool quiet) noexcept {
  Stream &s = stream_of(slot);
  if (!take_waiting(s)) return false;
  s.flags |= kOver | (quiet ? uint32_t{kQuiet} : 0u);
  s.error = err;
  return true;
}

}  // namespace torque
