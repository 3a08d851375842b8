/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections by sockets that the program has prepared; and a strand and a place for all streams of a type. */
#include "support/clients.h"
#include "support/streams.h"

#include <libtorque/pipe.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

static int listening(struct fixture *f, struct sockaddr_in *ret) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  assert_true(fd >= 0);
  fixture_own(f, fd);
  *ret = loopback_address(0);
  socklen_t length = sizeof *ret;
  assert_int_equal(bind(fd, (void *)ret, sizeof *ret), 0);
  assert_int_equal(listen(fd, 100), 0);
  assert_int_equal(getsockname(fd, (void *)ret, &length), 0);
  return fd;
}

static int prepared(struct fixture *f) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  fixture_own(f, fd);
  return fd;
}

static int accepted(struct fixture *f, int door, struct sockaddr_in *ret_peer) {
  int fd = -1;
  socklen_t length = sizeof *ret_peer;
  AWAIT(f, (fd = accept4(door, (void *)ret_peer, &length, SOCK_NONBLOCK)) >= 0);
  fixture_own(f, fd);
  return fd;
}

/* Bytes both ways, and the end. */
static void assert_works(struct party *p, int fd, torque_source s) {
  struct fixture *f = p->f;
  unsigned char bytes[1000];
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd, &got) && got == sizeof bytes);
  assert_int_equal(p->opened, 1);
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

static torque_source connect_with(struct party *p, int fd, const struct sockaddr_in *where) {
  torque_source s;
  unsigned char bytes[1000];
  pattern_fill(bytes, 0, sizeof bytes);
  assert_int_equal(torque_stream_connect_fd(p->f->ctx, fd, where, sizeof *where, p->type, p, &s), 0);
  fixture_disown(p->f, fd);
  const torque_err err = torque_stream_write(s, bytes, sizeof bytes);
  assert_true(err == 0 || err == TORQUE_ERR_STALE); /* it may have been refused by now */
  return s;
}

static void bound(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct sockaddr_in where, mine = loopback_address(0), peer;
  const int door = listening(f, &where), fd = prepared(f), tos = 0x10;
  mine.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
  socklen_t length = sizeof mine;
  assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos), 0);
  assert_int_equal(bind(fd, (void *)&mine, sizeof mine), 0);
  assert_int_equal(getsockname(fd, (void *)&mine, &length), 0);
  const torque_source s = connect_with(p, fd, &where);
  const int other = accepted(f, door, &peer);
  assert_int_equal(peer.sin_port, mine.sin_port);
  assert_int_equal(peer.sin_addr.s_addr, mine.sin_addr.s_addr);
  assert_works(p, other, s);
}

/* The first write makes the connection. */
static void fast_open(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where, peer;
  const int door = listening(f, &where), on = 1;
  for (int i = 0; i < 2; i++) { /* the second time perhaps with a cookie of the first */
    struct party *p = party_new(f, party_take, party_end);
    const int fd = prepared(f);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on), 0);
    const torque_source s = connect_with(p, fd, &where);
    assert_works(p, accepted(f, door, &peer), s);
  }
  /* nobody there */
  struct party *p = party_new(f, party_take, party_end);
  const int fd = prepared(f);
  assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on), 0);
  fixture_close(f, door);
  (void)connect_with(p, fd, &where);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ECONNREFUSED);
  party_free(p);
}

/* Somebody has called connect() already. */
static void under_way(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where, peer;
  const int door = listening(f, &where);
  for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
    struct party *p = party_new(f, party_take, party_end);
    const int fd = socket(AF_INET, SOCK_STREAM | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    fixture_own(f, fd);
    assert_true(connect(fd, (void *)&where, sizeof where) == 0 || errno == EINPROGRESS);
    const torque_source s = connect_with(p, fd, &where);
    assert_works(p, accepted(f, door, &peer), s);
  }
}

static void accept_all(struct fixture *f, int door, int *last) {
  for (int fd; (fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0; *last = fd) fixture_own(f, fd);
}

/* A unix socket that nobody accepts from has no room for the next: it is waited for. Piped meanwhile, it stays so. */
static void full_backlog(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct sockaddr_un where = {.sun_family = AF_UNIX};
  const socklen_t length = sizeof(sa_family_t); /* a name of the kernel's choice */
  socklen_t known = sizeof where;
  const int door = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  fixture_own(f, door);
  assert_int_equal(bind(door, (void *)&where, length), 0);
  assert_int_equal(getsockname(door, (void *)&where, &known), 0);
  assert_int_equal(listen(door, 0), 0);
  int fd[2], filling = 0;
  while (filling == 0) { /* until it is full */
    const int one = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    fixture_own(f, one);
    if (connect(one, (void *)&where, known) != 0) filling = errno;
  }
  assert_int_equal(filling, EAGAIN);
  const int mine = socket(AF_UNIX, SOCK_STREAM, 0);
  fixture_own(f, mine);
  torque_source s, a;
  assert_int_equal(torque_stream_connect_fd(f->ctx, mine, &where, known, p->type, p, &s), 0);
  fixture_disown(f, mine);
  fixture_pair(f, fd);
  struct party *q = party_new(f, party_take, party_end);
  a = party_add(q, fd[1]);
  assert_int_equal(torque_stream_pipe(a, s, 0, NULL, NULL), 0);
  uint64_t sent = pattern_put(fd[0], 0, 1000), got = 0;
  fixture_settle(f);
  assert_int_equal(p->opened + p->closed, 0);
  int other = -1;
  AWAIT(f, (accept_all(f, door, &other), p->opened));
  AWAIT(f, (accept_all(f, door, &other), pattern_check(other, &got) && got == sent)); /* ours is the last */
  assert_int_equal(torque_source_remove_wait(s), 0);
  fixture_close(f, fd[0]);
  AWAIT(f, q->closed);
  assert_int_equal(p->strange + q->strange, 0);
  party_free(p);
  party_free(q);
}

static void refused(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct sockaddr_in where;
  fixture_close(f, listening(f, &where));
  (void)connect_with(p, prepared(f), &where);
  AWAIT(f, p->closed);
  assert_int_equal(p->opened, 0);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ECONNREFUSED);
  party_free(p);
}

static void arguments(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  const struct sockaddr_in where = loopback_address(1);
  int fd[2];
  torque_source s = 1;
  fixture_pipe(f, fd);
  assert_int_equal(torque_stream_connect_fd(f->ctx, fd[0], &where, sizeof where, p->type, p, &s), TORQUE_ERR_SYSCALL + ENOTSOCK);
  assert_int_equal(torque_stream_connect_fd(f->ctx, fd[0], NULL, sizeof where, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_connect_fd(f->ctx, fd[0], &where, 1, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_connect_fd(f->ctx, -1, &where, sizeof where, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_connect_fd(NULL, fd[0], &where, sizeof where, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_connect_fd(f->ctx, 1 << 20, &where, sizeof where, p->type, p, &s), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(s, 1);
  assert_int_equal(fcntl_is_open(fd[0]), 1); /* still ours */
  fixture_settle(f);
  assert_int_equal(p->closed, 0);
  party_free(p);
}

/* All streams of a listener and of connectors in one strand: what they share needs no lock. */
struct shared {
  struct fixture *f;
  _Atomic uint32_t inside, overlaps, strange, echoed, opened, closed;
  _Atomic uint64_t bytes;
};

static void shared_open(torque_source stream, void *arg) {
  struct shared *s = arg;
  (void)stream;
  if (s->inside++) s->overlaps++;
  s->bytes++;
  s->inside--;
  s->opened++;
}

static size_t shared_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct shared *s = arg;
  if (s->inside++) s->overlaps++;
  s->bytes += length;
  if (s->bytes < 200000 && torque_stream_write(stream, data, length)) s->strange++;
  s->inside--;
  return length;
}

static void shared_close(torque_source stream, torque_err err, void *arg) {
  struct shared *s = arg;
  (void)stream, (void)err;
  s->closed++;
}

static void one_strand(void **state) {
  struct fixture *f = *state;
  struct shared *s = fixture_take(f, sizeof *s);
  struct torque_stream_type *type;
  struct torque_strand *strand;
  enum { PAIRS = 10 };
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_stream_type_new(&type), 0);
  assert_int_equal(torque_stream_type_set_open(type, shared_open), 0);
  assert_int_equal(torque_stream_type_set_data(type, shared_data), 0);
  assert_int_equal(torque_stream_type_set_close(type, shared_close), 0);
  assert_int_equal(torque_stream_type_set_strand(type, strand), 0);
  assert_int_equal(torque_stream_type_set_strand(type, NULL), 0);
  assert_int_equal(torque_stream_type_set_strand(type, strand), 0);
  torque_strand_free(strand);
  struct sockaddr_in where = loopback_address(0);
  uint32_t length;
  torque_source listener, stream[PAIRS];
  assert_int_equal(torque_stream_listen(f->ctx, &where, sizeof where, 0, TORQUE_LISTEN_DEFAULT, type, s, &listener), 0);
  assert_int_equal(torque_listen_address(listener, &where, sizeof where, &length), 0);
  for (int i = 0; i < PAIRS; i++)
    assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, type, s, &stream[i]), 0);
  assert_int_equal(torque_stream_type_set_strand(type, NULL), TORQUE_ERR_STATE);
  AWAIT(f, s->opened == 2 * PAIRS);
  for (int i = 0; i < PAIRS; i++) assert_int_equal(torque_stream_write(stream[i], "sixteen bytes it", 16), 0);
  AWAIT(f, s->bytes >= 200000);
  for (int i = 0; i < PAIRS; i++) assert_int_equal(torque_stream_close(stream[i]), 0);
  AWAIT(f, s->closed == 2 * PAIRS);
  assert_int_equal(s->overlaps, 0);
  assert_int_equal(s->strange, 0);
  torque_stream_type_free(type);
}

/* A strand of another context is refused, and no call afterwards minds that it has gone. */
static void strand_of_another(void **state) {
  struct fixture *f = *state;
  struct torque_ctx *other;
  struct torque_config *config = shape_config(&shape_single);
  assert_int_equal(torque_ctx_new(config, &other), 0);
  torque_config_free(config);
  struct torque_strand *strand;
  struct party *p = party_new(f, party_take, party_end);
  assert_int_equal(torque_strand_new(other, &strand), 0);
  assert_int_equal(torque_stream_type_set_strand(p->type, strand), 0);
  torque_strand_free(strand);
  int fd[2];
  torque_source s;
  struct sockaddr_in where = loopback_address(0);
  fixture_pair(f, fd);
  assert_int_equal(torque_stream_add(f->ctx, fd[0], p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_listen(f->ctx, &where, sizeof where, 0, 0, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stop(other), 0);
  assert_int_equal(torque_stream_add(f->ctx, fd[0], p->type, p, &s), TORQUE_ERR_INVAL);
  party_free(p);
}

static void one_place(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where;
  const int door = listening(f, &where);
  for (int32_t place = 0; place < 2; place++) {
    struct party *p = party_new(f, party_take, party_end);
    assert_int_equal(torque_stream_type_set_placement(p->type, -4), TORQUE_ERR_INVAL);
    assert_int_equal(torque_stream_type_set_placement(p->type, place), 0);
    for (int i = 0; i < 6; i++) {
      torque_source s;
      uint32_t domain;
      struct sockaddr_in peer;
      assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &s), 0);
      fixture_close(f, accepted(f, door, &peer));
      if (torque_source_domain(s, &domain) == 0) assert_int_equal(domain, place);
      AWAIT(f, p->ended == (uint32_t)i + 1);
      assert_int_equal(torque_source_remove_wait(s), 0);
    }
    party_free(p);
  }
  struct party *p = party_new(f, party_take, party_end);
  torque_source s;
  assert_int_equal(torque_stream_type_set_placement(p->type, 2), 0);
  assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &s), TORQUE_ERR_INVAL);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(bound),     ON_EVERY(fast_open),  ON_EVERY(under_way),         ON_EVERY(refused), ON_EVERY(full_backlog),
      ON_EVERY(arguments), ON_EVERY(one_strand), ON(live, strand_of_another), ON(synthetic, one_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
