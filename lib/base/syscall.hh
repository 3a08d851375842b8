// SPDX-License-Identifier: BSD-3-Clause
// System calls as the library wants them: repeated after EINTR, and nothing else hidden. They go through the C library's
// own symbols, so that a test program can stand in front of every one of them and let the n-th fail.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace torque::sys {

template <class F>
inline auto retry(F f) noexcept {
  decltype(f()) r;
  do r = f();
  while (r < 0 && errno == EINTR);
  return r;
}

inline ssize_t read(int fd, void *buf, size_t n) noexcept {
  return retry([&] { return ::read(fd, buf, n); });
}

// Adds one to an eventfd. EAGAIN means that the counter is full: the reader has its wake-up already.
// Async-signal-safe; errno is kept.
inline void eventfd_signal(int fd) noexcept {
  const int saved = errno;
  const uint64_t one = 1;
  while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = saved;
}

}  // namespace torque::sys
