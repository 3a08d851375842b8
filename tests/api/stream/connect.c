/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections that succeed, fail, or never come about; and listeners that make streams. */
#include "support/clients.h"
#include "support/streams.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000, CLIENTS = FEWER(500) };

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

static int listening(struct fixture *f, struct sockaddr_in *ret) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  fixture_own(f, fd);
  *ret = loopback_address(0);
  socklen_t length = sizeof *ret;
  assert_int_equal(bind(fd, (void *)ret, sizeof *ret), 0);
  assert_int_equal(listen(fd, 0), 0);
  assert_int_equal(getsockname(fd, (void *)ret, &length), 0);
  return fd;
}

/* Writes before it is connected. */
static void succeeds(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct sockaddr_in where, peer;
  const int door = listening(f, &where);
  torque_source s;
  uint32_t length;
  assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &s), 0);
  unsigned char bytes[1000];
  pattern_fill(bytes, 0, sizeof bytes);
  assert_int_equal(torque_stream_write(s, bytes, sizeof bytes), 0);
  const int fd = accept(door, NULL, NULL);
  fixture_own(f, fd);
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd, &got) && got == sizeof bytes);
  assert_int_equal(p->opened, 1);
  assert_int_equal(torque_stream_peer(s, &peer, sizeof peer, &length), 0);
  assert_int_equal(length, sizeof peer);
  assert_int_equal(peer.sin_port, where.sin_port);
  (void)pattern_put(fd, 0, 500);
  AWAIT(f, p->in == 500);
  fixture_close(f, fd);
  AWAIT(f, p->ended);
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void refused(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct sockaddr_in where;
  fixture_close(f, listening(f, &where));
  torque_source s;
  assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ECONNREFUSED);
  /* A failure of connect(2) itself is told in the same way. */
  struct sockaddr_un nobody = {.sun_family = AF_UNIX, .sun_path = "/tmp/torque-test-nobody-listens"};
  assert_int_equal(torque_stream_connect(f->ctx, &nobody, sizeof nobody, p->type, p, &s), 0);
  AWAIT(f, p->closed == 2);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ENOENT);
  assert_int_equal(p->opened, 0);
  party_free(p);
}

/* A full backlog lets a connection hang. */
static void never_answered(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where;
  (void)listening(f, &where);
  for (int i = 0; i < 3; i++) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    fixture_own(f, fd);
    (void)connect(fd, (void *)&where, sizeof where);
  }
  nap();
  struct party *p = party_new(f, party_take, party_end);
  const uint64_t before = monotonic_ns();
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_CONNECT_TIMEOUT, 20 * MS), 0);
  torque_source s, t;
  assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  assert_true(monotonic_ns() - before >= 20 * MS);
  party_free(p);
  /* And can be given up. */
  p = party_new(f, party_take, party_end);
  assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &s), 0);
  assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &t), 0);
  fixture_settle(f);
  assert_int_equal(torque_stream_abort(s), 0);
  assert_int_equal(torque_source_remove_wait(t), 0);
  AWAIT(f, p->closed == 2);
  assert_int_equal(p->opened, 0);
  party_free(p);
}

static void local_addresses(void **state) {
  struct fixture *f = *state;
  struct party *server = party_new(f, echo, NULL), *client = party_new(f, party_take, NULL);
  struct sockaddr_un where = {.sun_family = AF_UNIX};
  (void)snprintf(where.sun_path + 1, sizeof where.sun_path - 1, "torque-test-%d", (int)getpid());
  const uint32_t length = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(where.sun_path + 1));
  torque_source door, s;
  assert_int_equal(torque_stream_listen(f->ctx, &where, length, 0, 0, server->type, server, &door), 0);
  assert_int_equal(torque_stream_connect(f->ctx, &where, length, client->type, client, &s), 0);
  unsigned char bytes[5000];
  pattern_fill(bytes, 0, sizeof bytes);
  assert_int_equal(torque_stream_write(s, bytes, sizeof bytes), 0);
  AWAIT(f, client->in == sizeof bytes);
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, client->closed && server->closed);
  assert_int_equal(torque_source_remove_wait(door), 0);
  assert_int_equal(server->strange + client->strange, 0);
  party_free(server);
  party_free(client);
}

/* Every connection is a stream, with an arg of its own; the listener's end leaves them. */
struct guest {
  struct party *p;
  uint64_t in;
};

static void guest_open(torque_source stream, void *arg) {
  struct guest *g = calloc(1, sizeof *g);
  g->p = arg;
  g->p->opened++;
  if (torque_stream_set_arg(stream, g)) g->p->strange++;
}

static size_t guest_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct guest *g = arg;
  if (!pattern_is(data, g->in, length)) g->p->strange++;
  g->in += length;
  if (torque_stream_write(stream, data, length)) g->p->strange++;
  return length;
}

static void guest_close(torque_source stream, torque_err err, void *arg) {
  struct guest *g = arg;
  (void)stream;
  if (err) g->p->strange++;
  g->p->closed++;
  free(g);
}

static void many_guests(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct party *p = party_new(f, guest_data, NULL);
    assert_int_equal(torque_stream_type_set_open(p->type, guest_open), 0);
    assert_int_equal(torque_stream_type_set_close(p->type, guest_close), 0);
    struct sockaddr_in where = loopback_address(0);
    uint32_t length;
    torque_source door;
    assert_int_equal(torque_stream_listen(f->ctx, &where, sizeof where, 0, policy, p->type, p, &door), 0);
    torque_stream_type_free(p->type);
    assert_int_equal(torque_listen_address(door, &where, sizeof where, &length), 0);
    int *fd = malloc(CLIENTS * sizeof *fd);
    for (int i = 0; i < CLIENTS; i++) {
      fd[i] = socket(AF_INET, SOCK_STREAM, 0);
      fixture_own(f, fd[i]);
      assert_int_equal(connect(fd[i], (void *)&where, sizeof where), 0);
    }
    AWAIT(f, p->opened == CLIENTS);
    assert_int_equal(torque_source_remove_wait(door), 0);
    for (uint64_t round = 0; round < 3; round++) {
      for (int i = 0; i < CLIENTS; i++) assert_int_equal(pattern_put(fd[i], round * 700, 700), 700);
      for (int i = 0; i < CLIENTS; i++) {
        uint64_t at = round * 700;
        AWAIT(f, pattern_check(fd[i], &at) && at == (round + 1) * 700);
      }
    }
    for (int i = 0; i < CLIENTS; i++) fixture_close(f, fd[i]);
    free(fd);
    AWAIT(f, p->closed == CLIENTS);
    assert_int_equal(p->strange, 0);
  }
}

/* A local backlog that is full: the kernel says EAGAIN at once, and nothing when there is room. */
enum { CALLERS = 6 };
static int crowded(struct fixture *f, struct sockaddr_un *where, socklen_t *length) {
  static _Atomic int number;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  fixture_own(f, fd);
  memset(where, 0, sizeof *where);
  where->sun_family = AF_UNIX;
  (void)snprintf(where->sun_path + 1, sizeof where->sun_path - 1, "torque-full-%d-%d", (int)getpid(), number++);
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(where->sun_path + 1));
  assert_int_equal(bind(fd, (void *)where, *length), 0);
  assert_int_equal(listen(fd, 1), 0);
  for (;;) {
    const int guest = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fixture_own(f, guest);
    if (connect(guest, (void *)where, *length) != 0) return fd;
  }
}

static void waits_for_room(void **state) {
  struct fixture *f = *state;
  struct sockaddr_un where;
  socklen_t length;
  const int door = crowded(f, &where, &length);
  struct party *p = party_new(f, echo, NULL);
  torque_source s[CALLERS];
  for (int i = 0; i < CALLERS; i++) {
    assert_int_equal(torque_stream_connect(f->ctx, &where, length, p->type, p, &s[i]), 0);
    assert_int_equal(torque_stream_write(s[i], "x", 1), 0);
  }
  fixture_settle(f);
  assert_int_equal(p->opened, 0);
  assert_int_equal(p->closed, 0);
  int taken = 0; /* first those that filled it */
  for (uint32_t wait = 0; p->opened < CALLERS; wait++) {
    const int guest = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    if (guest >= 0) fixture_own(f, guest), taken++;
    else nap();
    if (f->shape->driven) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_in_range(wait, 0, 100000);
  }
  assert_in_range(taken, CALLERS, CALLERS + 3);
  AWAIT(f, p->opened == CALLERS);
  assert_int_equal(p->closed, 0);
  for (int i = 0; i < CALLERS; i++) assert_int_equal(torque_stream_abort(s[i]), 0);
  AWAIT(f, p->closed == CALLERS);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* No room comes: the connect limit holds, the program may give up, and the listener's end is told. */
static void waits_for_room_in_vain(void **state) {
  struct fixture *f = *state;
  struct sockaddr_un where;
  socklen_t length;
  const int door = crowded(f, &where, &length);
  struct party *p = party_new(f, party_take, party_end), *limited = party_new(f, party_take, party_end);
  torque_source s[4];
  assert_int_equal(torque_stream_type_set_limit(limited->type, TORQUE_STREAM_CONNECT_TIMEOUT, 20 * MS), 0);
  assert_int_equal(torque_stream_connect(f->ctx, &where, length, limited->type, limited, &s[0]), 0);
  AWAIT(f, limited->closed);
  assert_int_equal(limited->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  for (int i = 1; i < 4; i++) assert_int_equal(torque_stream_connect(f->ctx, &where, length, p->type, p, &s[i]), 0);
  fixture_settle(f);
  assert_int_equal(torque_stream_abort(s[1]), 0);
  assert_int_equal(torque_source_remove_wait(s[2]), 0);
  AWAIT(f, p->closed == 2);
  fixture_close(f, door);
  AWAIT(f, p->closed == 3);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ECONNREFUSED);
  assert_int_equal(p->opened, 0);
  assert_int_equal(limited->opened, 0);
  party_free(p);
  party_free(limited);
}

/* The context stops while some wait. */
static void stopped_while_it_waits_for_room(void **state) {
  struct fixture *f = *state;
  struct sockaddr_un where;
  socklen_t length;
  (void)crowded(f, &where, &length);
  struct party *p = party_new(f, party_take, party_end);
  torque_source s;
  for (int i = 0; i < CALLERS; i++)
    assert_int_equal(torque_stream_connect(f->ctx, &where, length, p->type, p, &s), 0);
  nap();
  fixture_stop(f);
  assert_int_equal(p->closed, CALLERS);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(succeeds),        ON_EVERY(refused),     ON_EVERY(never_answered),
      ON_EVERY(local_addresses), ON_EVERY(many_guests), ON_EVERY(waits_for_room),
      ON_EVERY(waits_for_room_in_vain), ON_EVERY(stopped_while_it_waits_for_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
