// SPDX-License-Identifier: BSD-3-Clause
// What several kinds do with sockets in the same way.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.hh"
#include "base/fd.hh"

namespace torque::sockets {

inline torque_err set(int fd, int level, int name, int value = 1) noexcept {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0 ? TORQUE_ERR_NONE : last_error();
}

// False: errno.
inline bool get(int fd, int level, int name, int *ret) noexcept {
  socklen_t len = sizeof *ret;
  return ::getsockopt(fd, level, name, ret, &len) == 0;
}

// The same socket under another number, that no program takes for one of the first three.
inline torque_err duplicate(int fd, Fd *ret) noexcept {
  *ret = Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  return *ret ? TORQUE_ERR_NONE : last_error();
}

struct Address {
  sockaddr_storage bytes = {};
  socklen_t length = 0;  // 0: none

  const sockaddr *get() const noexcept { return reinterpret_cast<const sockaddr *>(&bytes); }
  sa_family_t family() const noexcept { return bytes.ss_family; }
  bool is_inet() const noexcept { return family() == AF_INET || family() == AF_INET6; }

  void set(const void *from, size_t n) noexcept {
    std::memcpy(&bytes, from, n);
    length = static_cast<socklen_t>(n);
  }

  // What the socket is bound to: the system chooses a port where none was asked for.
  torque_err learn(int fd) noexcept {
    socklen_t len = sizeof bytes;
    if (::getsockname(fd, reinterpret_cast<sockaddr *>(&bytes), &len) != 0) return last_error();
    length = std::min<socklen_t>(len, sizeof bytes);
    return TORQUE_ERR_NONE;
  }
};

// Non-blocking, closed on exec. type: SOCK_STREAM, SOCK_DGRAM. Errors: SYSCALL + errno.
inline torque_err open(const Address &address, int type, Fd *ret) noexcept {
  *ret = Fd(::socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return *ret ? TORQUE_ERR_NONE : last_error();
}

inline torque_err bind(int fd, const Address &address) noexcept {
  return ::bind(fd, address.get(), address.length) == 0 ? TORQUE_ERR_NONE : last_error();
}

}  // namespace torque::sockets
