/* SPDX-License-Identifier: BSD-3-Clause */
/* From none to all the bytes that a datagram can have; what is larger than asked for is cut, and said to be. */
#include "support/datagrams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/udp.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

static unsigned char out[1 << 20], back[1 << 20];

/* The sizes of what came, in order; the last of them. */
struct sizes {
  _Atomic uint32_t size, full_size, intact;
};

static void note(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  struct sizes *s = d->aux;
  const uint32_t size = torque_datagrams_size(batch, i), full = torque_datagrams_full_size(batch, i);
  uint32_t sender, number;
  s->intact = size < MARK || (size == full && datagram_check(torque_datagrams_data(batch, i), size, &sender, &number));
  s->size = size;
  s->full_size = full;
}

static void note_and_echo(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  note(d, batch, i);
  desk_echo(d, batch, i);
}

static void there_and_back(struct desk *d, int fd, uint32_t size) {
  struct sizes *s = d->aux;
  const uint64_t before = d->received;
  if (size >= MARK) datagram_write(out, size, 1, size);
  assert_int_equal(send(fd, out, size, 0), size);
  AWAIT(d->f, d->received == before + 1);
  assert_int_equal(s->size, size);
  assert_int_equal(s->full_size, size);
  assert_true(s->intact);
  memset(back, 0xaa, size + 1);
  assert_int_equal(recv(fd, back, sizeof back, 0), size);
  assert_memory_equal(back, out, size);
}

static const uint32_t sizes[] = {0,    1,    2,    11,   12,    63,    64,    65,    512,  1400,
                                 1472, 1500, 4096, 9000, 16384, 32768, 65000, 65506, 65507};

static void every_size(struct fixture *f, int family, uint32_t flags) {
  struct sizes s = {0};
  struct desk *d = desk_new(f);
  d->each = note_and_echo;
  d->aux = &s;
  desk_bind(d, family, flags, 0);
  const int fd = desk_visitor(d);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) there_and_back(d, fd, sizes[i]);
  if (family == AF_INET6) there_and_back(d, fd, 65527);
  assert_int_equal(d->cut, 0);
  assert_int_equal(d->wrong, 0);
  assert_int_equal(d->result, 0);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
}

static void ipv4(void **state) { every_size(*state, AF_INET, 0); }
static void ipv6(void **state) { every_size(*state, AF_INET6, 0); }
static void with_gro(void **state) { every_size(*state, AF_INET, TORQUE_DATAGRAM_GRO | TORQUE_DATAGRAM_LOCAL); }

/* Larger ones than UDP has. */
static void unix_ones(void **state) {
  struct fixture *f = *state;
  struct sizes s = {0};
  struct desk *d = desk_new(f);
  int fd[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
  d->each = note_and_echo;
  d->aux = &s;
  assert_int_equal(torque_datagram_new(f->ctx, fd[0], 0, desk_call, d, &d->source), 0);
  assert_int_equal(torque_datagram_set_size(d->source, 1 << 20), 0);
  desk_start(d);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) there_and_back(d, fd[1], sizes[i]);
  there_and_back(d, fd[1], 100000);
  there_and_back(d, fd[1], 160000);
  assert_int_equal(d->cut, 0);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
}

static void cut(struct fixture *f, int fd, struct desk *d, uint32_t room) {
  struct sizes *s = d->aux;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const uint64_t before = d->received;
    if (sizes[i] >= MARK) datagram_write(out, sizes[i], 2, (uint32_t)i);
    assert_int_equal(send(fd, out, sizes[i], 0), sizes[i]);
    AWAIT(f, d->received == before + 1);
    assert_int_equal(s->full_size, sizes[i]);
    assert_int_equal(s->size, sizes[i] < room ? sizes[i] : room);
    const ssize_t got = recv(fd, back, sizeof back, 0);
    assert_int_equal(got, s->size);
    assert_memory_equal(back, out, (size_t)got);
  }
}

static void what_is_too_large_is_cut(void **state) {
  struct fixture *f = *state;
  static const uint32_t rooms[] = {1, 64, 100, 1400, 65000};
  struct sizes s = {0};
  for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
    struct desk *d = desk_new(f);
    uint64_t larger = 0;
    d->each = note_and_echo;
    d->aux = &s;
    desk_bind(d, AF_INET, 0, rooms[i]);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) larger += sizes[k] > rooms[i];
    cut(f, desk_visitor(d), d, rooms[i]);
    assert_int_equal(d->cut, larger);
    assert_int_equal(torque_source_remove_wait(d->source), 0);
  }
}

/* The bound holds whatever way they came: the system may have joined them. */
struct bounds {
  uint32_t room, full;
  _Atomic uint32_t too_large, otherwise, seen, last_full;
};

static void note_bounds(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  struct bounds *b = d->aux;
  const uint32_t size = torque_datagrams_size(batch, i), full = torque_datagrams_full_size(batch, i);
  if (size > b->room) b->too_large++;
  if (size != (full < b->room ? full : b->room)) b->otherwise++;
  if (full == b->full) b->seen++;
  b->last_full = full;
}

static void joined_ones_are_cut_as_well(void **state) {
  struct fixture *f = *state;
  static const uint32_t rooms[] = {1, 100, 999, 1000, 1001, 40000};
  enum { SEGMENT = 1000, WHOLE = 20, REST = 321 };
  for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
    struct bounds b = {.room = rooms[i], .full = SEGMENT};
    const int segment = SEGMENT;
    struct desk *d = desk_new(f);
    d->each = note_bounds;
    d->aux = &b;
    desk_bind(d, AF_INET, TORQUE_DATAGRAM_GRO, rooms[i]);
    const int fd = desk_visitor(d), train = desk_visitor(d);
    assert_int_equal(send(fd, out, 30000, 0), 30000); /* one that is not joined with others */
    AWAIT(f, d->received == 1);
    assert_int_equal(b.last_full, 30000);
    assert_int_equal(setsockopt(train, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    assert_int_equal(send(train, out, WHOLE * SEGMENT + REST, 0), WHOLE * SEGMENT + REST);
    AWAIT(f, d->received == 1 + WHOLE + 1);
    assert_int_equal(b.seen, WHOLE);
    assert_int_equal(b.last_full, REST);
    assert_int_equal(b.too_large, 0);
    assert_int_equal(b.otherwise, 0);
    assert_int_equal(torque_source_remove_wait(d->source), 0);
  }
}

/* Sockets of different sizes take turns in the same worker's place. */
static void sizes_take_turns(void **state) {
  struct fixture *f = *state;
  enum { DESKS = 6 };
  static const uint32_t rooms[DESKS] = {65536, 64, 1400, 65536, 100, 200000};
  static const uint32_t flags[DESKS] = {TORQUE_DATAGRAM_GRO, 0, TORQUE_DATAGRAM_LOCAL, 0, TORQUE_DATAGRAM_CLASS, 0};
  struct sizes s[DESKS];
  struct desk *d[DESKS];
  int fd[DESKS];
  memset(s, 0, sizeof s);
  for (int i = 0; i < DESKS; i++) {
    d[i] = desk_new(f);
    d[i]->each = note_and_echo;
    d[i]->aux = &s[i];
    desk_bind(d[i], AF_INET, flags[i], rooms[i]);
    fd[i] = desk_visitor(d[i]);
  }
  for (int round = 0; round < 50; round++)
    for (int i = 0; i < DESKS; i++) {
      const uint32_t most = rooms[i] < 65507 ? rooms[i] : 65507;
      there_and_back(d[i], fd[i], (uint32_t)(round * 7919) % (most + 1));
    }
  for (int i = 0; i < DESKS; i++) assert_int_equal(torque_source_remove_wait(d[i]->source), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(ipv4),
      ON_EVERY(ipv6),
      ON_EVERY(with_gro),
      ON_EVERY(unix_ones),
      ON_EVERY(what_is_too_large_is_cut),
      ON_EVERY(joined_ones_are_cut_as_well),
      ON_EVERY(sizes_take_turns),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
