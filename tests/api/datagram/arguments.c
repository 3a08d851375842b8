/* SPDX-License-Identifier: BSD-3-Clause */
/* What is asked for wrongly is refused, and nothing is left of it. */
#include "support/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

static int datagram_socket(struct fixture *f) {
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
  return fd;
}

static void making(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  torque_source s = 77;
  int stream[2], unix_fd[2];
  const int fd = datagram_socket(f);
  fixture_pair(f, stream);
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, unix_fd), 0);
  fixture_own(f, unix_fd[0]);
  fixture_own(f, unix_fd[1]);
  assert_int_equal(torque_datagram_add(NULL, fd, 0, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_add(f->ctx, -1, 0, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_add(f->ctx, fd, 0x100, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_add(f->ctx, fd, TORQUE_DATAGRAM_REUSEPORT, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_add(f->ctx, fd, 0, NULL, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_add(f->ctx, fd, 0, desk_call, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_add(f->ctx, stream[0], 0, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_add(f->ctx, 12345, 0, desk_call, NULL, &s), TORQUE_ERR_SYSCALL + EBADF);
  int pipes[2];
  fixture_pipe(f, pipes);
  assert_int_equal(torque_datagram_add(f->ctx, pipes[0], 0, desk_call, NULL, &s), TORQUE_ERR_SYSCALL + ENOTSOCK);
  assert_int_equal(torque_datagram_add(f->ctx, unix_fd[0], TORQUE_DATAGRAM_LOCAL, desk_call, NULL, &s),
                   TORQUE_ERR_SYSCALL + EOPNOTSUPP);
  assert_int_equal(torque_datagram_bind_add(NULL, &a, sizeof a, 0, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_bind_add(f->ctx, NULL, sizeof a, 0, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_bind_add(f->ctx, &a, 1, 0, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_bind_add(f->ctx, &a, 1000, 0, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_bind_add(f->ctx, &a, sizeof a, 0x20, desk_call, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_datagram_bind_add(f->ctx, &a, sizeof a, 0, NULL, NULL, &s), TORQUE_ERR_INVAL);
  const struct sockaddr_in stranger = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201)};
  for (uint32_t flags = 0; flags <= TORQUE_DATAGRAM_REUSEPORT; flags += TORQUE_DATAGRAM_REUSEPORT)
    assert_int_equal(torque_datagram_bind_add(f->ctx, &stranger, sizeof stranger, flags, desk_call, NULL, &s),
                     TORQUE_ERR_SYSCALL + EADDRNOTAVAIL);
  assert_int_equal(s, 77); /* untouched */
}

/* The address is taken: by somebody who does not share it. */
static void taken(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in a;
  socklen_t length = sizeof a;
  torque_source s = 77;
  const int fd = datagram_socket(f);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
  for (uint32_t flags = 0; flags <= TORQUE_DATAGRAM_REUSEPORT; flags += TORQUE_DATAGRAM_REUSEPORT) {
    assert_int_equal(torque_datagram_bind_add(f->ctx, &a, sizeof a, flags, desk_call, NULL, &s),
                     TORQUE_ERR_SYSCALL + EADDRINUSE);
    struct desk *d = desk_new(f); /* and when it is free the same source starts */
    assert_int_equal(torque_datagram_bind_new(f->ctx, &a, sizeof a, flags, desk_call, d, &d->source), 0);
    assert_int_equal(torque_source_start(d->source), TORQUE_ERR_SYSCALL + EADDRINUSE);
    assert_int_equal(torque_source_start(d->source), TORQUE_ERR_SYSCALL + EADDRINUSE);
    assert_int_equal(torque_source_remove_wait(d->source), 0);
  }
  struct desk *d = desk_new(f);
  assert_int_equal(torque_datagram_bind_new(f->ctx, &a, sizeof a, TORQUE_DATAGRAM_REUSEPORT, desk_call, d, &d->source),
                   0);
  assert_int_equal(torque_source_start(d->source), TORQUE_ERR_SYSCALL + EADDRINUSE);
  fixture_close(f, fd);
  desk_start(d);
  const int visitor = desk_visitor(d);
  assert_int_equal(send(visitor, "x", 1, 0), 1);
  AWAIT(f, d->received == 1);
}

static int32_t nothing(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  return TORQUE_DONE;
}

static void in_the_wrong_state(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_storage address;
  torque_source event;
  uint32_t length;
  uint64_t bytes;
  assert_int_equal(torque_event_add(f->ctx, 0, nothing, NULL, &event), 0);
  assert_int_equal(torque_datagram_set_size(event, 100), TORQUE_ERR_KIND);
  assert_int_equal(torque_datagram_set_queue(event, 100), TORQUE_ERR_KIND);
  assert_int_equal(torque_datagram_send(event, NULL, 0, "x", 1), TORQUE_ERR_KIND);
  assert_int_equal(torque_datagram_address(event, &address, sizeof address, &length), TORQUE_ERR_KIND);
  assert_int_equal(torque_datagram_queued(event, &bytes), TORQUE_ERR_KIND);
  for (uint32_t flags = 0; flags <= TORQUE_DATAGRAM_REUSEPORT; flags += TORQUE_DATAGRAM_REUSEPORT) {
    struct desk *d = desk_new(f);
    assert_int_equal(torque_datagram_bind_new(f->ctx, &a, sizeof a, flags, desk_call, d, &d->source), 0);
    const torque_source s = d->source;
    assert_int_equal(torque_datagram_set_size(s, 0), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_set_size(s, (1 << 20) + 1), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_set_size(s, 1 << 20), 0);
    assert_int_equal(torque_datagram_set_queue(s, 0), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_set_queue(s, 1), 0);
    assert_int_equal(torque_datagram_send(s, &a, sizeof a, "x", 1), TORQUE_ERR_STATE);
    assert_int_equal(torque_datagram_address(s, &address, sizeof address, &length), TORQUE_ERR_STATE);
    assert_int_equal(torque_datagram_queued(s, &bytes), TORQUE_ERR_STATE);
    desk_start(d);
    assert_int_equal(torque_source_start(s), TORQUE_ERR_STATE);
    assert_int_equal(torque_datagram_set_size(s, 100), TORQUE_ERR_STATE);
    assert_int_equal(torque_datagram_set_queue(s, 100), TORQUE_ERR_STATE);
    assert_int_equal(torque_datagram_send(s, NULL, 4, "x", 1), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_send(s, &a, 1000, "x", 1), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_send(s, &d->address, d->length, NULL, 1), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_address(s, NULL, 4, &length), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_address(s, &address, 4, NULL), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_address(s, NULL, 0, &length), 0);
    assert_int_equal(length, sizeof a);
    assert_int_equal(torque_datagram_queued(s, NULL), TORQUE_ERR_INVAL);
    assert_int_equal(torque_datagram_queued(s, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(torque_fd_modify(s, TORQUE_READ), TORQUE_ERR_KIND);
    assert_int_equal(torque_trigger(s, TORQUE_READ), TORQUE_ERR_KIND);
    assert_int_equal(torque_datagram_send(s, &d->address, d->length, NULL, 0), 0);
    AWAIT(f, d->received == 1);
    assert_int_equal(torque_source_remove_wait(s), 0);
    assert_int_equal(torque_datagram_set_size(s, 100), TORQUE_ERR_STALE);
    assert_int_equal(torque_datagram_queued(s, &bytes), TORQUE_ERR_STALE);
    assert_int_equal(torque_datagram_address(s, &address, sizeof address, &length), TORQUE_ERR_STALE);
  }
}

static void look_beyond(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  (void)source;
  const uint32_t n = torque_datagrams_count(batch);
  for (uint32_t i = n; i < n + 3000; i += 700) {
    uint32_t length = 1;
    d->wrong +=
        torque_datagrams_data(batch, i) || torque_datagrams_size(batch, i) || torque_datagrams_full_size(batch, i);
    d->wrong += torque_datagrams_peer(batch, i, &length) || length;
    d->wrong += torque_datagrams_local(batch, i, NULL) || torque_datagrams_class(batch, i) != -1;
    d->wrong += torque_datagrams_failure(batch, i) || torque_datagrams_failure_size(batch, i);
    d->wrong += torque_datagrams_failure_peer(batch, i, &length) || length;
    d->wrong += torque_datagrams_reply(batch, i, "x", 1) != TORQUE_ERR_INVAL;
  }
  d->wrong += torque_datagrams_reply(batch, 0, NULL, 1) != TORQUE_ERR_INVAL;
}

static void beyond_the_last(void **state) {
  struct fixture *f = *state;
  struct desk *d = desk_new(f);
  d->then = look_beyond;
  desk_bind(d, AF_INET, TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_CLASS, 0);
  const int fd = desk_visitor(d);
  for (uint32_t i = 1; i <= 20; i++) {
    assert_int_equal(send(fd, "x", 1, 0), 1);
    AWAIT(f, d->received == i);
  }
  assert_int_equal(torque_source_remove_wait(d->source), 0);
  assert_int_equal(d->wrong, 0);
  assert_int_equal(torque_datagrams_count(NULL), 0);
  assert_int_equal(torque_datagrams_error(NULL), 0);
  assert_int_equal(torque_datagrams_failed(NULL), 0);
  assert_int_equal(torque_datagrams_has_room(NULL), 0);
  assert_null(torque_datagrams_data(NULL, 0));
  assert_int_equal(torque_datagrams_reply(NULL, 0, "x", 1), TORQUE_ERR_INVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(making),
      ON_EVERY(taken),
      ON_EVERY(in_the_wrong_state),
      ON_EVERY(beyond_the_last),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
