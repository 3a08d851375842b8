// SPDX-License-Identifier: BSD-3-Clause
// A connection to a unix socket whose backlog is full. The kernel makes a blocking connect(2) wait for room; to one that
// does not block it says EAGAIN, and nothing tells when there is room. So it is tried again, from a timer, less and less
// often: until it succeeds, fails otherwise, or its source ends (by its connect limit, or the program).
//
// Thread: the retries run in the stream's own turn; for a descriptor source, which has not started, in the timer's.
#pragma once

#include <sys/socket.h>

#include "source/context.hh"

namespace torque {

// Whether connect(2) that failed with this errno is to be tried again.
inline bool waits_for_room(const sockaddr *addr, int error) noexcept {
  return error == EAGAIN && addr->sa_family == AF_UNIX;
}

// For a source in state NEW. A stream has kConnecting and kWaits; it may start at once. Another one is started when the
// attempts are over. Errors: INVAL, RESOURCE; as timers.
torque_err try_again_later(torque_ctx *ctx, uint64_t source, const sockaddr *addr, socklen_t addrlen) noexcept;

}  // namespace torque
