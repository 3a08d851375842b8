/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams that travel in one piece (GRO, GSO) are told, and arrive, one by one. */
#define _GNU_SOURCE
#include "support/datagrams.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MOST = 200 };

struct arrivals {
  _Atomic uint32_t size[4096];
  _Atomic uint32_t number[4096];
  _Atomic uint32_t broken;
};

static void note(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  struct arrivals *a = d->aux;
  const uint32_t at = (uint32_t)d->received % 4096;
  uint32_t sender, number = 0;
  if (!datagram_check(torque_datagrams_data(batch, i), torque_datagrams_size(batch, i), &sender, &number)) a->broken++;
  a->size[at] = torque_datagrams_size(batch, i);
  a->number[at] = number;
}

/* One system call of the kernel's: count datagrams of that size, and one of `last` bytes if that is not 0. */
static void send_train(int fd, uint32_t size, uint32_t count, uint32_t last, uint32_t first_number) {
  static unsigned char bytes[65536];
  size_t at = 0;
  for (uint32_t i = 0; i < count; i++, at += size) datagram_write(bytes + at, size, 1, first_number + i);
  if (last) datagram_write(bytes + at, last, 1, first_number + count), at += last;
  struct iovec part = {bytes, at};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  const uint16_t segment = (uint16_t)size;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_UDP;
  c->cmsg_type = UDP_SEGMENT;
  c->cmsg_len = CMSG_LEN(sizeof segment);
  memcpy(CMSG_DATA(c), &segment, sizeof segment);
  assert_int_equal(sendmsg(fd, &m, 0), at);
}

static void trains_arrive(struct fixture *f, int family, uint32_t flags) {
  struct arrivals *a = fixture_take(f, sizeof *a);
  struct desk *d = desk_new(f);
  d->each = note;
  d->aux = a;
  desk_bind(d, family, flags, 0);
  const int fd = desk_visitor(d);
  static const struct {
    uint32_t size, count, last;
  } trains[] = {{100, 64, 0},     {100, 20, 50}, {12, 64, 0},  {1400, 40, 13},
                {1400, 40, 1399}, {1000, 1, 12}, {9000, 7, 0}, {13, 63, 12}};
  uint32_t number = 0;
  for (size_t t = 0; t < sizeof trains / sizeof *trains; t++) {
    const uint32_t first = number;
    send_train(fd, trains[t].size, trains[t].count, trains[t].last, number);
    number += trains[t].count + (trains[t].last != 0);
    AWAIT(f, d->received == number);
    for (uint32_t i = first; i < number; i++) {
      assert_int_equal(a->number[i], i);
      assert_int_equal(a->size[i], i == first + trains[t].count ? trains[t].last : trains[t].size);
    }
  }
  fixture_settle(f);
  assert_int_equal(d->received, number);
  assert_int_equal(a->broken, 0);
  assert_int_equal(d->cut, 0);
  const uint64_t coalesced = stat_total(f->ctx, "datagrams_coalesced");
  if (flags & TORQUE_DATAGRAM_GRO) assert_int_equal(coalesced, number);
  else assert_int_equal(coalesced, 0);
}

static void with_gro(void **state) { trains_arrive(*state, AF_INET, TORQUE_DATAGRAM_GRO); }
static void with_gro_over_ipv6(void **state) { trains_arrive(*state, AF_INET6, TORQUE_DATAGRAM_GRO); }
static void with_gro_and_details(void **state) {
  trains_arrive(*state, AF_INET, TORQUE_DATAGRAM_GRO | TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_CLASS);
}
static void without_gro(void **state) { trains_arrive(*state, AF_INET, 0); }

/* The program's own socket, which it has switched on itself, and that it asked for other things as well. */
static void with_gro_of_the_programs(void **state) {
  struct fixture *f = *state;
  struct arrivals *a = fixture_take(f, sizeof *a);
  struct desk *d = desk_new(f);
  const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof any), 0);
  assert_int_equal(setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on), 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on), 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on), 0);
  assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on), 0);
  d->each = note;
  d->aux = a;
  assert_int_equal(torque_datagram_new(f->ctx, fd, 0, desk_call, d, &d->source), 0);
  assert_int_equal(torque_datagram_set_size(d->source, 100), 0); /* trains need more */
  desk_start(d);
  const int visitor = desk_visitor(d);
  send_train(visitor, 90, 50, 12, 0);
  AWAIT(f, d->received == 51);
  for (uint32_t i = 0; i < 51; i++) assert_int_equal(a->number[i], i);
  assert_int_equal(a->broken, 0);
}

/* ---- Sending ---- */

/* Answers the first datagram with many, of these sizes. */
struct answer {
  _Atomic uint32_t sizes[MOST], count;
};

static void answer_with_many(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  static unsigned char bytes[65536];
  struct answer *a = d->aux;
  for (uint32_t k = 0; k < a->count; k++) {
    const uint32_t size = a->sizes[k];
    datagram_write(bytes, size, 3, k);
    const torque_err err = torque_datagrams_reply(batch, i, bytes, size);
    if (err) d->result = err;
  }
}

static struct desk *answering(struct fixture *f) {
  struct desk *d = desk_new(f);
  d->each = answer_with_many;
  d->aux = fixture_take(f, sizeof(struct answer));
  return d;
}

/* Of `every` datagrams the last has b bytes, the others have a. */
static void many_leave(struct desk *d, uint32_t count, uint32_t a, uint32_t b, uint32_t every) {
  struct fixture *f = d->f;
  struct answer *answer = d->aux;
  unsigned char back[65536];
  for (uint32_t k = 0; k < count; k++) answer->sizes[k] = k % every == every - 1 ? b : a;
  answer->count = count;
  const int fd = desk_visitor(d), room = 4 << 20;
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  const uint64_t before = d->received;
  assert_int_equal(send(fd, "?", 1, 0), 1);
  AWAIT(f, d->received == before + 1);
  for (uint32_t k = 0; k < count; k++) {
    uint32_t sender, number;
    const ssize_t got = recv(fd, back, sizeof back, 0);
    assert_int_equal(got, answer->sizes[k]);
    assert_true(datagram_check(back, (uint32_t)got, &sender, &number));
    assert_int_equal(number, k);
  }
  fixture_close(f, fd);
  assert_int_equal(d->result, 0);
  assert_int_equal(d->failed, 0);
}

static void all_shapes_leave(struct desk *d) {
  many_leave(d, MOST, 100, 100, 1);  /* three trains and a part */
  many_leave(d, MOST, 100, 50, 10);  /* each ends with a short one */
  many_leave(d, MOST, 50, 100, 2);   /* never two alike */
  many_leave(d, 10, 9000, 9000, 1);  /* more than one train holds */
  many_leave(d, 2, 40000, 40000, 1); /* too large to be joined */
  many_leave(d, MOST, 12, 13, 3);
}

static void joined_on_the_way_out(void **state) {
  struct fixture *f = *state;
  struct desk *d = answering(f);
  desk_bind(d, AF_INET, 0, 0);
  all_shapes_leave(d);
  AWAIT(f, stat_total(f->ctx, "datagrams_joined") >= MOST); /* counted when they have gone */
  assert_true(stat_total(f->ctx, "datagram_sends") < 30); /* and few calls sent them all */
}

static void joined_over_ipv6_from_its_address(void **state) {
  struct fixture *f = *state;
  struct desk *d = answering(f);
  desk_bind(d, AF_INET6, TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_GRO, 0);
  all_shapes_leave(d);
  AWAIT(f, stat_total(f->ctx, "datagrams_joined") >= MOST); /* counted when they have gone */
}

static void not_joined(void **state) {
  struct fixture *f = *state;
  struct desk *d = answering(f);
  desk_bind(d, AF_INET, TORQUE_DATAGRAM_NO_GSO, 0);
  all_shapes_leave(d);
  assert_int_equal(stat_total(f->ctx, "datagrams_joined"), 0);
}

/* A socket that leaves out checksums cannot send trains: the library finds out, and sends them one by one. */
static void a_socket_that_cannot(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof any), 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
  struct desk *d = answering(f);
  desk_serve(d, fd, 0);
  all_shapes_leave(d);
  assert_int_equal(stat_total(f->ctx, "datagrams_joined"), 0);
  assert_int_equal(d->errors, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(with_gro),
      ON_EVERY(with_gro_over_ipv6),
      ON_EVERY(with_gro_and_details),
      ON_EVERY(without_gro),
      ON_EVERY(with_gro_of_the_programs),
      ON_EVERY(joined_on_the_way_out),
      ON_EVERY(joined_over_ipv6_from_its_address),
      ON_EVERY(not_joined),
      ON_EVERY(a_socket_that_cannot),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
