/* SPDX-License-Identifier: BSD-3-Clause */
/* The address a listener has; and what cannot be listened on is said. */
#include "support/clients.h"
#include "support/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

static void port_0_takes_a_free_one(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = door_open(f, policy), *other = door_open(f, policy);
    const struct sockaddr_in *a = (void *)&d->address, *b = (void *)&other->address;
    assert_int_equal(d->length, sizeof *a);
    assert_int_equal(a->sin_family, AF_INET);
    assert_int_equal(ntohl(a->sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_not_equal(a->sin_port, 0);
    assert_int_not_equal(a->sin_port, b->sin_port);
    const int fd = visit(d);
    fixture_own(f, fd);
    AWAIT(f, d->accepted == 1);
    assert_int_equal(other->accepted, 0);
  }
}

static void it_has_none_before_it_starts(void **state) {
  struct fixture *f = *state;
  struct door *d = fixture_take(f, sizeof *d);
  const struct sockaddr_in a = loopback_address(0);
  uint32_t length = 77;
  const unsigned open = descriptors_open();
  assert_int_equal(torque_listen_new(f->ctx, &a, sizeof a, 0, 0, door_accept, d, &d->listener), 0);
  assert_int_equal(torque_listen_address(d->listener, &d->address, sizeof d->address, &length), TORQUE_ERR_STATE);
  assert_int_equal(length, 77);
  assert_int_equal(descriptors_open(), open);
  assert_int_equal(torque_source_start(d->listener), 0);
  door_read_address(d);
  fixture_own(f, visit(d));
  AWAIT(f, d->accepted == 1);
}

static void a_short_buffer_gets_what_fits(void **state) {
  struct fixture *f = *state;
  struct door *d = door_open(f, TORQUE_LISTEN_DEFAULT);
  unsigned char part[8];
  uint32_t length = 0;
  memset(part, 0xee, sizeof part);
  assert_int_equal(torque_listen_address(d->listener, part, 4, &length), 0);
  assert_int_equal(length, sizeof(struct sockaddr_in));
  assert_memory_equal(part, &d->address, 4);
  for (int i = 4; i < 8; i++) assert_int_equal(part[i], 0xee);
}

static void given_free_it_can_be_taken_again(void **state) {
  struct fixture *f = *state;
  struct door *d = door_open(f, TORQUE_LISTEN_DEFAULT), *next = fixture_take(f, sizeof *next);
  struct sockaddr_in a;
  memcpy(&a, &d->address, sizeof a);
  fixture_own(f, visit(d));
  AWAIT(f, d->accepted == 1);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  /* A connection of the old one may be in TIME_WAIT: SO_REUSEADDR. */
  assert_int_equal(torque_listen_add(f->ctx, &a, sizeof a, 0, 0, door_accept, next, &next->listener), 0);
  door_read_address(next);
  fixture_own(f, visit(next));
  AWAIT(f, next->accepted == 1);
}

static void an_address_in_use(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in a = loopback_address(0);
  socklen_t length = sizeof a;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, 1), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
  const unsigned open = descriptors_open();
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    torque_source source = 77;
    assert_int_equal(torque_listen_add(f->ctx, &a, sizeof a, 0, policy, door_accept, NULL, &source),
                     TORQUE_ERR_SYSCALL + EADDRINUSE);
    assert_true(source == 77);
  }
  assert_int_equal(descriptors_open(), open);
}

static void wrong_arguments(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = loopback_address(0);
  const struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/folder/socket"};
  torque_source source = 77;
  const unsigned open = descriptors_open();
  assert_int_equal(torque_listen_add(NULL, &a, sizeof a, 0, 0, door_accept, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_add(f->ctx, NULL, sizeof a, 0, 0, door_accept, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_add(f->ctx, &a, sizeof a, 0, 0, NULL, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_add(f->ctx, &a, sizeof a, 0, 4, door_accept, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_add(f->ctx, &a, 1, 0, 0, door_accept, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_not_equal(torque_listen_add(f->ctx, &a, 100000, 0, 0, door_accept, NULL, &source), 0);
  assert_int_equal(torque_listen_add(f->ctx, &nowhere, sizeof nowhere, 0, 0, door_accept, NULL, &source),
                   TORQUE_ERR_SYSCALL + ENOENT);
  assert_int_equal(torque_listen_fd_add(f->ctx, -1, 0, door_accept, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_fd_add(f->ctx, 0, TORQUE_LISTEN_REUSEPORT, door_accept, NULL, &source),
                   TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_fd_add(f->ctx, 19000, 0, door_accept, NULL, &source), TORQUE_ERR_SYSCALL + EBADF);
  int pair[2];
  fixture_pair(f, pair);
  assert_int_equal(torque_listen_fd_add(f->ctx, pair[0], 0, door_accept, NULL, &source), TORQUE_ERR_SYSCALL + EINVAL);
  fixture_pipe(f, pair);
  assert_int_equal(torque_listen_fd_add(f->ctx, pair[0], 0, door_accept, NULL, &source), TORQUE_ERR_SYSCALL + ENOTSOCK);
  assert_true(source == 77);
  assert_int_equal(descriptors_open(), open + 4);
}

static void only_listeners_have_one(void **state) {
  struct fixture *f = *state;
  unsigned char text[128];
  uint32_t length = 77;
  struct probe *p = probe_event(f, 0);
  struct door *d = door_open(f, TORQUE_LISTEN_DEFAULT);
  assert_int_equal(torque_listen_address(p->source, text, sizeof text, &length), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  assert_int_equal(torque_listen_address(d->listener, text, sizeof text, &length), TORQUE_ERR_STALE);
  assert_int_equal(length, 77);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(port_0_takes_a_free_one),
      ON_EVERY(it_has_none_before_it_starts),
      ON_EVERY(a_short_buffer_gets_what_fits),
      ON_EVERY(given_free_it_can_be_taken_again),
      ON_EVERY(an_address_in_use),
      ON_EVERY(wrong_arguments),
      ON_EVERY(only_listeners_have_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
