/* SPDX-License-Identifier: BSD-3-Clause */
/* Connectors of the original's interface: the first call tells that the connection stands, or why it does not. */
#include "support/buffered.h"
#include "support/child.h"
#include "support/clients.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/streams.h"

/* A listening socket, and a socket that is to be connected to it. */
static int make_listener(struct fixture *f, struct sockaddr_in *sa) {
  socklen_t len = sizeof *sa;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  *sa = loopback_address(0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr *)sa, sizeof *sa), 0);
  assert_int_equal(listen(fd, 100), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)sa, &len), 0);
  fixture_own(f, fd);
  return fd;
}

/* Of a port that refuses. */
static struct sockaddr_in nobody(struct fixture *f) {
  struct sockaddr_in sa;
  fixture_close(f, make_listener(f, &sa));
  return sa;
}

static int new_socket(void) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* blocking: the library sees to that */
  assert_true(fd >= 0);
  return fd;
}

static int accept_one(struct fixture *f, int listener) {
  int fd = -1;
  AWAIT(f, (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
  fixture_own(f, fd);
  return fd;
}

static const struct sockaddr *address(const struct sockaddr_in *sa) { return (const struct sockaddr *)sa; }

/* ---- Buffered ---- */

static void tx_then_what_comes(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in sa;
  const int listener = make_listener(f, &sa);
  for (int with_tx = 0; with_tx <= 1; with_tx++) {
    struct reader *r = reader_new(f);
    const int fd = new_socket();
    r->echo = true;
    assert_int_equal(torque_addconnector(f->ctx, fd, address(&sa), sizeof sa, reader_rx, with_tx ? reader_tx : NULL, r),
                     0);
    AWAIT(f, r->tx_calls >= 1 || !with_tx);
    assert_int_equal(r->tx_error, 0);
    const int peer = accept_one(f, listener);
    uint64_t sent = 0, got = 0;
    for (int i = 0; i < 20; i++) {
      assert_int_equal(pattern_put(peer, sent, 300), 300);
      sent += 300;
      AWAIT(f, pattern_check(peer, &got) && got == sent);
    }
    assert_int_equal(r->strange, 0);
    fixture_close(f, peer);
    AWAIT(f, r->closed && sources_of(f) == 0);
    assert_int_equal(r->ends, 1);
  }
}

static void close_it(struct reader *r, int fd) {
  if (close(fd)) r->strange++;
  r->closed = true;
}

static void a_refused_connection_is_told_to_tx(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in sa = nobody(f);
  for (int closes = 0; closes <= 1; closes++) {
    struct reader *r = reader_new(f);
    const int fd = new_socket();
    if (closes) r->then = close_it;
    assert_int_equal(torque_addconnector(f->ctx, fd, address(&sa), sizeof sa, reader_rx, reader_tx, r), 0);
    AWAIT(f, r->tx_calls && sources_of(f) == 0);
    fixture_settle(f);
    assert_int_equal(r->tx_calls, 1);
    assert_int_equal(r->tx_error, ECONNREFUSED);
    assert_int_equal(r->calls, 0);
    assert_int_equal(r->strange, 0);
    assert_false(is_open(fd)); /* by whomever */
  }
}

static void without_tx_a_refused_connection_is_told_to_rx(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in sa = nobody(f);
  for (int keep_open = 0; keep_open <= 1; keep_open++) {
    struct reader *r = reader_new(f);
    const int fd = new_socket();
    r->keep_open = keep_open;
    assert_int_equal(torque_addconnector(f->ctx, fd, address(&sa), sizeof sa, reader_rx, NULL, r), 0);
    AWAIT(f, r->ends && sources_of(f) == 0);
    assert_int_equal(r->calls, 1);
    assert_int_equal(r->strange, 0);
    assert_false(is_open(fd));
  }
}

/* ---- Unbuffered ---- */

struct dialler {
  _Atomic uint32_t tx, rx, strange;
  _Atomic int32_t error;
  _Atomic uint64_t bytes;
  _Atomic bool closed;
  bool keep_open;
};

static void dialler_leaves(struct dialler *d, int fd) {
  if (d->closed || close(fd)) d->strange++;
  d->closed = true;
}

static void dialler_tx(int fd, void *state) {
  struct dialler *d = state;
  int e = 0;
  socklen_t len = sizeof e;
  if (d->closed) d->strange++;
  if (d->tx == 0) {
    if (d->rx || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len)) d->strange++;
    d->error = e;
  }
  d->tx++;
  if (e && !d->keep_open) dialler_leaves(d, fd);
}

static void dialler_rx(int fd, void *state) {
  struct dialler *d = state;
  int end = 0;
  if (d->closed) d->strange++;
  d->rx++;
  d->bytes += drain(fd, &end);
  if (end || (d->error && d->keep_open)) dialler_leaves(d, fd);
}

static void unbuffered_tx_then_what_comes(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in sa;
  const int listener = make_listener(f, &sa);
  for (int with_tx = 0; with_tx <= 1; with_tx++) {
    struct dialler *d = fixture_take(f, sizeof *d);
    const int fd = new_socket();
    assert_int_equal(
        torque_addconnector_unbuffered(f->ctx, fd, address(&sa), sizeof sa, dialler_rx, with_tx ? dialler_tx : NULL, d),
        0);
    AWAIT(f, d->tx >= 1 || !with_tx);
    const int peer = accept_one(f, listener);
    for (uint64_t i = 1; i <= 20; i++) {
      say(peer, 10);
      AWAIT(f, d->bytes == i * 10);
    }
    fixture_close(f, peer);
    AWAIT(f, d->closed);
    fixture_settle(f);
    assert_int_equal(d->error, 0);
    assert_int_equal(d->strange, 0);
  }
}

static void unbuffered_refused(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in sa = nobody(f);
  for (int keep_open = 0; keep_open <= 1; keep_open++) {
    struct dialler *d = fixture_take(f, sizeof *d);
    d->keep_open = keep_open;
    assert_int_equal(
        torque_addconnector_unbuffered(f->ctx, new_socket(), address(&sa), sizeof sa, dialler_rx, dialler_tx, d), 0);
    AWAIT(f, d->closed);
    fixture_settle(f);
    assert_int_equal(d->tx, 1);
    assert_int_equal(d->rx, keep_open); /* who leaves it open learns of it by reading, too */
    assert_int_equal(d->error, ECONNREFUSED);
    assert_int_equal(d->strange, 0);
  }
}

/* A local backlog without room: the kernel says so at once, and nothing later. Both kinds of connector wait for room. */
static void a_full_backlog_is_waited_for(void **state) {
  struct fixture *f = *state;
  struct sockaddr_un where = {.sun_family = AF_UNIX};
  const struct sockaddr *to = (const struct sockaddr *)&where;
  const socklen_t len = sizeof where;
  const int door = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  fixture_own(f, door);
  snprintf(where.sun_path + 1, sizeof where.sun_path - 1, "torque-crowd-%d-%s", (int)getpid(), f->shape->name);
  assert_int_equal(bind(door, to, len), 0);
  assert_int_equal(listen(door, 0), 0);
  for (int full = 0; !full;) {
    const int guest = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fixture_own(f, guest);
    full = connect(guest, to, len) != 0;
  }
  struct dialler *d = fixture_take(f, sizeof *d);
  struct reader *r = reader_new(f);
  const int fd[2] = {socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  assert_int_equal(torque_addconnector_unbuffered(f->ctx, fd[0], to, len, dialler_rx, dialler_tx, d), 0);
  assert_int_equal(torque_addconnector(f->ctx, fd[1], to, len, reader_rx, reader_tx, r), 0);
  fixture_settle(f);
  assert_int_equal(d->tx + d->rx, 0);
  assert_int_equal(r->calls + r->tx_calls, 0);
  int guest[16], guests = 0;
  unsigned char hello[5];
  pattern_fill(hello, 0, sizeof hello);
  for (uint32_t wait = 0; !(d->tx && r->tx_calls); wait++) {
    const int fresh = guests < 8 ? accept4(door, NULL, NULL, SOCK_CLOEXEC) : -1;
    if (fresh >= 0) guest[guests++] = fresh, fixture_own(f, fresh);
    else nap();
    if (f->shape->driven) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_in_range(wait, 0, 100000);
  }
  assert_int_equal(d->error, 0);
  assert_int_equal(r->tx_error, 0);
  for (int fresh; (fresh = accept4(door, NULL, NULL, SOCK_CLOEXEC)) >= 0;) guest[guests++] = fresh, fixture_own(f, fresh);
  for (int i = 0; i < guests; i++) (void)send(guest[i], hello, sizeof hello, MSG_NOSIGNAL);
  AWAIT(f, d->bytes == 5 && r->bytes == 5);
  for (int i = 0; i < guests; i++) fixture_close(f, guest[i]);
  AWAIT(f, d->closed && r->closed);
  assert_int_equal(d->strange, 0);
  assert_int_equal(r->strange, 0);
}

static void a_datagram_socket_is_connected_at_once(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in sa = loopback_address(9);
  struct dialler *d = fixture_take(f, sizeof *d);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(torque_addconnector_unbuffered(f->ctx, fd, address(&sa), sizeof sa, NULL, dialler_tx, d), 0);
  AWAIT(f, d->tx >= 1);
  assert_int_equal(d->error, 0);
}

/* ---- Failures at once: the caller keeps his descriptor ---- */

static void what_fails_at_once(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  struct dialler *d = fixture_take(f, sizeof *d);
  const struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at/all"};
  const struct sockaddr *to = (const struct sockaddr *)&nowhere;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  const torque_err missing = TORQUE_ERR_SYSCALL + ENOENT;
  const socklen_t len = sizeof nowhere;
  assert_int_equal(torque_addconnector(f->ctx, fd, to, len, reader_rx, reader_tx, r), missing);
  assert_int_equal(torque_addconnector_unbuffered(f->ctx, fd, to, len, dialler_rx, dialler_tx, d), missing);
  assert_true(is_open(fd));
  assert_int_equal(torque_addconnector(f->ctx, fd, NULL, len, reader_rx, reader_tx, r), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addconnector(f->ctx, fd, to, len, NULL, NULL, r), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addconnector(f->ctx, -1, to, len, reader_rx, NULL, r), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addconnector(NULL, fd, to, len, reader_rx, NULL, r), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addconnector_unbuffered(f->ctx, fd, NULL, len, dialler_rx, NULL, d), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addconnector_unbuffered(f->ctx, fd, to, len, NULL, NULL, d), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addconnector_unbuffered(f->ctx, -1, to, len, dialler_rx, NULL, d), TORQUE_ERR_INVAL);
  fixture_settle(f);
  assert_int_equal(sources_of(f), 0);
  assert_int_equal(r->calls + r->tx_calls + d->rx + d->tx, 0);
}

/* ---- A program that makes as many connections as it may have descriptors, over and over ---- */

static struct torque_ctx *spin_ctx;
static struct sockaddr_in spin_to;
static _Atomic uint32_t spun;
enum { ENOUGH = 3000, FEW = 64 };

static void spin(int fd, void *state) {
  int next;
  close(fd);
  if (++spun == FEWER(ENOUGH)) kill(getpid(), SIGTERM);
  while ((next = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0) {
    if (torque_addconnector_unbuffered(spin_ctx, next, (struct sockaddr *)&spin_to, sizeof spin_to, NULL, spin,
                                       state)) {
      close(next);
      break;
    }
  }
}

static int spinner(void *arg) {
  const struct rlimit few = {.rlim_cur = FEW, .rlim_max = FEW};
  torque_err err;
  spin_to = *(struct sockaddr_in *)arg;
  CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
  CHECK(torque_sigmask(NULL) == 0);
  CHECK((spin_ctx = torque_init(&err)) != NULL);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  CHECK(torque_addconnector_unbuffered(spin_ctx, fd, (struct sockaddr *)&spin_to, sizeof spin_to, NULL, spin, NULL) ==
        0);
  CHECK(torque_block(spin_ctx) == 0);
  return spun >= FEWER(ENOUGH) ? 0 : 2;
}

/* Whether they are taken or refused. */
static void every_descriptor_may_be_a_connector(void **state) {
  struct fixture *f = *state;
  struct door *d = door_open(f, TORQUE_LISTEN_DEFAULT);
  struct sockaddr_in sa = nobody(f);
  assert_int_equal(child_run(spinner, &sa), 0);
  assert_int_equal(d->length, sizeof sa);
  memcpy(&sa, &d->address, sizeof sa);
  assert_int_equal(child_run(spinner, &sa), 0);
  assert_true(d->accepted > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(single, every_descriptor_may_be_a_connector),  ON_EVERY(tx_then_what_comes),
      ON_EVERY(a_refused_connection_is_told_to_tx),     ON_EVERY(without_tx_a_refused_connection_is_told_to_rx),
      ON_EVERY(unbuffered_tx_then_what_comes),          ON_EVERY(unbuffered_refused),
      ON_EVERY(a_full_backlog_is_waited_for),
      ON_EVERY(a_datagram_socket_is_connected_at_once), ON_EVERY(what_fails_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
