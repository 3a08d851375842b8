/* SPDX-License-Identifier: BSD-3-Clause */
/* The system's calls, standing in front of the C library's: see faults.h. Included by one file of a test program.
 *
 * Left out is what cannot fail with valid arguments (timerfd_settime, EPOLL_CTL_DEL and MOD of what is registered). */
#ifndef TORQUE_TESTS_FAULTS_CALLS_H
#define TORQUE_TESTS_FAULTS_CALLS_H

#include "support/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* The real call, found at the first use; finding it twice does no harm. */
#define FAULTS_REAL(type, name)                                    \
  static _Atomic(void *) known;                                    \
  void *found = known;                                             \
  if (!found) known = found = faults_real(#name);                  \
  type *real;                                                      \
  memcpy(&real, &found, sizeof real)

#define FAULTS_CALL(result, name, may, failure, parameters, arguments)               \
  FAULTS_UNWATCHED result name parameters {                                          \
    typedef result name##_type parameters;                                           \
    FAULTS_REAL(name##_type, name);                                                  \
    int32_t err;                                                                     \
    if (faults_hit(__builtin_return_address(0), #name, may, &err)) {                 \
      errno = err;                                                                   \
      return failure;                                                                \
    }                                                                                \
    return real arguments;                                                           \
  }

FAULTS_CALL(int, epoll_create1, FAULT_EMFILE | FAULT_ENOMEM, -1, (int flags), (flags))
FAULTS_CALL(int, eventfd, FAULT_EMFILE | FAULT_ENOMEM, -1, (unsigned int count, int flags), (count, flags))
FAULTS_CALL(int, inotify_init1, FAULT_EMFILE | FAULT_ENOMEM, -1, (int flags), (flags))
FAULTS_CALL(int, inotify_add_watch, FAULT_ENOMEM | FAULT_ENOSPC, -1, (int fd, const char *path, uint32_t mask),
            (fd, path, mask))
FAULTS_CALL(DIR *, fdopendir, FAULT_ENOMEM, NULL, (int fd), (fd))
FAULTS_CALL(int, timerfd_create, FAULT_EMFILE | FAULT_ENOMEM, -1, (int clock, int flags), (clock, flags))
FAULTS_CALL(int, signalfd, FAULT_EMFILE | FAULT_ENOMEM, -1, (int fd, const sigset_t *mask, int flags),
            (fd, mask, flags))
FAULTS_CALL(int, pipe2, FAULT_EMFILE, -1, (int fds[2], int flags), (fds, flags))
FAULTS_CALL(int, socketpair, FAULT_EMFILE | FAULT_ENOMEM, -1, (int domain, int type, int protocol, int fds[2]),
            (domain, type, protocol, fds))
FAULTS_CALL(int, socket, FAULT_EMFILE | FAULT_ENOMEM, -1, (int domain, int type, int protocol),
            (domain, type, protocol))
FAULTS_CALL(int, setsockopt, FAULT_ENOMEM, -1, (int fd, int level, int name, const void *value, socklen_t size),
            (fd, level, name, value, size))
FAULTS_CALL(int, bind, FAULT_ENOMEM, -1, (int fd, __CONST_SOCKADDR_ARG addr, socklen_t size), (fd, addr, size))
FAULTS_CALL(int, listen, FAULT_ENOMEM, -1, (int fd, int backlog), (fd, backlog))
FAULTS_CALL(int, getsockname, FAULT_ENOMEM, -1, (int fd, __SOCKADDR_ARG addr, socklen_t *restrict size), (fd, addr, size))
FAULTS_CALL(int, accept4, FAULT_EMFILE | FAULT_ENOMEM | FAULT_EINTR, -1,
            (int fd, __SOCKADDR_ARG addr, socklen_t *restrict size, int flags), (fd, addr, size, flags))
FAULTS_CALL(int, getsockopt, FAULT_ENOMEM, -1, (int fd, int level, int name, void *restrict value, socklen_t *restrict size),
            (fd, level, name, value, size))
FAULTS_CALL(int, recvmmsg, FAULT_ENOMEM | FAULT_EINTR, -1,
            (int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout),
            (fd, messages, count, flags, timeout))
FAULTS_CALL(int, sendmmsg, FAULT_ENOMEM | FAULT_EINTR, -1,
            (int fd, struct mmsghdr *messages, unsigned int count, int flags), (fd, messages, count, flags))
FAULTS_CALL(ssize_t, sendmsg, FAULT_ENOMEM | FAULT_EINTR, -1, (int fd, const struct msghdr *message, int flags),
            (fd, message, flags))
FAULTS_CALL(int, epoll_wait, FAULT_EINTR, -1, (int epoll, struct epoll_event *events, int max, int timeout),
            (epoll, events, max, timeout))
FAULTS_CALL(int, epoll_pwait2, FAULT_EINTR, -1,
            (int epoll, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *mask),
            (epoll, events, max, timeout, mask))
FAULTS_CALL(int, poll, FAULT_EINTR, -1, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout))
FAULTS_CALL(ssize_t, read, FAULT_EINTR, -1, (int fd, void *buf, size_t size), (fd, buf, size))
FAULTS_CALL(ssize_t, write, FAULT_EINTR, -1, (int fd, const void *buf, size_t size), (fd, buf, size))
FAULTS_CALL(ssize_t, recv, FAULT_EINTR, -1, (int fd, void *buf, size_t size, int flags), (fd, buf, size, flags))
FAULTS_CALL(ssize_t, recvfrom, FAULT_EINTR, -1,
            (int fd, void *restrict buf, size_t size, int flags, __SOCKADDR_ARG addr, socklen_t *restrict length),
            (fd, buf, size, flags, addr, length))
FAULTS_CALL(ssize_t, recvmsg, FAULT_EINTR, -1, (int fd, struct msghdr *message, int flags), (fd, message, flags))
FAULTS_CALL(ssize_t, send, FAULT_EINTR, -1, (int fd, const void *buf, size_t size, int flags), (fd, buf, size, flags))
FAULTS_CALL(ssize_t, readv, FAULT_EINTR, -1, (int fd, const struct iovec *parts, int count), (fd, parts, count))
FAULTS_CALL(ssize_t, writev, FAULT_EINTR, -1, (int fd, const struct iovec *parts, int count), (fd, parts, count))
FAULTS_CALL(ssize_t, sendfile, FAULT_EINTR, -1, (int to, int from, off_t *at, size_t size), (to, from, at, size))
FAULTS_CALL(ssize_t, pread, FAULT_EINTR, -1, (int fd, void *buf, size_t size, off_t at), (fd, buf, size, at))
FAULTS_CALL(void *, mmap, FAULT_ENOMEM, MAP_FAILED, (void *at, size_t size, int prot, int flags, int fd, off_t offset),
            (at, size, prot, flags, fd, offset))
FAULTS_CALL(int, mprotect, FAULT_ENOMEM, -1, (void *at, size_t size, int prot), (at, size, prot))
FAULTS_CALL(int, madvise, FAULT_ENOMEM, -1, (void *at, size_t size, int advice), (at, size, advice))
FAULTS_CALL(int, sched_setaffinity, FAULT_ENOMEM, -1, (pid_t pid, size_t size, const cpu_set_t *set), (pid, size, set))

/* DEL and MOD need nothing that the system could lack. */
FAULTS_UNWATCHED int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event) {
  typedef int epoll_ctl_type(int, int, int, struct epoll_event *);
  FAULTS_REAL(epoll_ctl_type, epoll_ctl);
  int32_t err;
  const uint32_t may = FAULT_ENOMEM | FAULT_ENOSPC;
  if (op == EPOLL_CTL_ADD && faults_hit(__builtin_return_address(0), "epoll_ctl", may, &err)) {
    errno = err;
    return -1;
  }
  return real(epoll, op, fd, event);
}

/* An interrupted close() has closed: Linux gives the number away whatever it answers. */
FAULTS_UNWATCHED int close(int fd) {
  typedef int close_type(int);
  FAULTS_REAL(close_type, close);
  int32_t err;
  if (faults_hit(__builtin_return_address(0), "close", FAULT_EINTR, &err)) {
    real(fd);
    errno = err;
    return -1;
  }
  return real(fd);
}

/* Threads: EAGAIN whatever ran out. */
FAULTS_UNWATCHED int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
  typedef int pthread_create_type(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  FAULTS_REAL(pthread_create_type, pthread_create);
  int32_t err;
  if (faults_hit(__builtin_return_address(0), "pthread_create", FAULT_EMFILE | FAULT_ENOMEM, &err)) return EAGAIN;
  return real(thread, attr, run, arg);
}

FAULTS_UNWATCHED int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set) {
  typedef int pthread_setaffinity_np_type(pthread_t, size_t, const cpu_set_t *);
  FAULTS_REAL(pthread_setaffinity_np_type, pthread_setaffinity_np);
  int32_t err;
  if (faults_hit(__builtin_return_address(0), "pthread_setaffinity_np", FAULT_ENOMEM, &err)) return err;
  return real(thread, size, set);
}

/* The mode travels likewise, wanted or not. */
FAULTS_UNWATCHED int open(const char *path, int flags, ...) {
  typedef int open_type(const char *, int, ...);
  FAULTS_REAL(open_type, open);
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  int32_t err;
  if (faults_hit(__builtin_return_address(0), "open", FAULT_EMFILE | FAULT_ENOMEM | FAULT_EINTR, &err)) {
    errno = err;
    return -1;
  }
  return real(path, flags, mode);
}

/* Calls that the C library has no function for. */
FAULTS_UNWATCHED long syscall(long number, ...) {
  typedef long syscall_type(long, ...);
  FAULTS_REAL(syscall_type, syscall);
  long a[6];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
  va_end(arguments);
  int32_t err;
  const uint32_t may = number == SYS_pidfd_open ? FAULT_EMFILE | FAULT_ENOMEM : number == SYS_waitid ? FAULT_EINTR : 0;
  if (faults_hit(__builtin_return_address(0), number == SYS_waitid ? "waitid" : "pidfd_open", may, &err)) {
    errno = err;
    return -1;
  }
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Commands with an argument and without: the argument travels as a register's worth either way. */
FAULTS_UNWATCHED int fcntl(int fd, int command, ...) {
  typedef int fcntl_type(int, int, ...);
  FAULTS_REAL(fcntl_type, fcntl);
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  int32_t err;
  uint32_t may = command == F_DUPFD_CLOEXEC || command == F_DUPFD ? FAULT_EMFILE : 0;
  if (faults_hit(__builtin_return_address(0), "fcntl", may, &err)) {
    errno = err;
    return -1;
  }
  return real(fd, command, argument);
}

#endif
