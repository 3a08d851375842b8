/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/clients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "support/cmocka.h"

static int as_promised(int fd, const void *addr, uint32_t addrlen) {
  const int flags = fcntl(fd, F_GETFL), close_flags = fcntl(fd, F_GETFD);
  if (flags < 0 || !(flags & O_NONBLOCK) || !(close_flags & FD_CLOEXEC)) return 0;
  return addr && addrlen >= sizeof(sa_family_t);
}

void door_accept(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  struct door *d = arg;
  const struct sockaddr_in *in = addr;
  if (atomic_load(&d->finals)) atomic_fetch_add(&d->calls_after_final, 1);
  if (!as_promised(fd, addr, addrlen) || listener != d->listener) atomic_fetch_add(&d->wrong, 1);
  if (in && in->sin_family == AF_INET) atomic_fetch_add(&d->by_port[ntohs(in->sin_port)], 1);
  close(fd);
  atomic_fetch_add(&d->accepted, 1);
}

void door_final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct door *d = arg;
  atomic_store(&d->reason, reason);
  atomic_fetch_add(&d->finals, 1);
}

struct sockaddr_in loopback_address(uint16_t port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

void door_read_address(struct door *d) {
  uint32_t length = 0;
  assert_int_equal(torque_listen_address(d->listener, &d->address, sizeof d->address, &length), 0);
  assert_in_range(length, 1, sizeof d->address);
  d->length = length;
}

static struct door *door_new(struct fixture *f) {
  struct door *d = fixture_take(f, sizeof *d);
  d->f = f;
  return d;
}

struct door *door_open(struct fixture *f, uint32_t policy) {
  struct door *d = door_new(f);
  const struct sockaddr_in a = loopback_address(0);
  assert_int_equal(torque_listen_new(f->ctx, &a, sizeof a, 0, policy, door_accept, d, &d->listener), 0);
  assert_int_equal(torque_source_set_finalizer(d->listener, door_final), 0);
  assert_int_equal(torque_source_start(d->listener), 0);
  door_read_address(d);
  return d;
}

struct door *door_on_socket(struct fixture *f, int fd, uint32_t policy) {
  struct door *d = door_new(f);
  assert_int_equal(torque_listen_fd_new(f->ctx, fd, policy, door_accept, d, &d->listener), 0);
  assert_int_equal(torque_source_set_finalizer(d->listener, door_final), 0);
  assert_int_equal(torque_source_start(d->listener), 0);
  door_read_address(d);
  return d;
}

int visit(const struct door *d) {
  const int fd = socket(d->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (const struct sockaddr *)&d->address, d->length) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static void count_visit(struct visitors *v, int fd) {
  struct sockaddr_storage own;
  socklen_t length = sizeof own;
  if (getsockname(fd, (struct sockaddr *)&own, &length) || own.ss_family != AF_INET) return;
  atomic_fetch_add(&v->by_port[ntohs(((struct sockaddr_in *)(void *)&own)->sin_port)], 1);
}

static void *visitor(void *arg) {
  struct visitors *v = arg;
  const struct timeval limit = {.tv_sec = 30};
  for (uint32_t i = 0; i < v->each && !atomic_load(&v->door->f->quit); i++) {
    const int fd = visit(v->door);
    if (fd < 0) {
      atomic_fetch_add(&v->refused, 1);
      continue;
    }
    char c;
    count_visit(v, fd);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    atomic_fetch_add(recv(fd, &c, 1, 0) == 0 ? &v->served : &v->refused, 1);
    close(fd);
  }
  return NULL;
}

struct visitors *visitors_come(struct fixture *f, struct door *d, int threads, uint32_t each) {
  struct visitors *v = fixture_take(f, sizeof *v);
  v->door = d;
  v->each = each;
  for (int i = 0; i < threads; i++) fixture_thread(f, visitor, v);
  return v;
}
