/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "support/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/cmocka.h"

enum { MARK_MAGIC = 0x746f7271, AT_A_TIME = 8, BIGGEST = 65536 };

static uint32_t mix(uint32_t a, uint32_t b) {
  uint32_t x = a * 2654435761u ^ b * 2246822519u;
  x ^= x >> 15;
  x *= 2654435761u;
  return x ^ x >> 13;
}

void datagram_write(unsigned char *to, uint32_t size, uint32_t sender, uint32_t number) {
  const uint32_t mark[3] = {MARK_MAGIC ^ size, sender, number};
  const uint32_t seed = mix(sender, number);
  for (uint32_t i = MARK; i < size; i++) to[i] = (unsigned char)(seed + i * 7 + (i >> 8));
  memcpy(to, mark, sizeof mark);
}

int datagram_check(const unsigned char *bytes, uint32_t size, uint32_t *ret_sender, uint32_t *ret_number) {
  uint32_t mark[3];
  if (size < MARK) return 0;
  memcpy(mark, bytes, sizeof mark);
  const uint32_t seed = mix(mark[1], mark[2]);
  if (mark[0] != (MARK_MAGIC ^ size)) return 0;
  for (uint32_t i = MARK; i < size; i++)
    if (bytes[i] != (unsigned char)(seed + i * 7 + (i >> 8))) return 0;
  *ret_sender = mark[1];
  *ret_number = mark[2];
  return 1;
}

static void enter(struct desk *d) {
  const uint32_t n = atomic_fetch_add(&d->inside, 1) + 1;
  uint32_t most = atomic_load(&d->most_inside);
  while (n > most && !atomic_compare_exchange_weak(&d->most_inside, &most, n)) {
  }
  if (atomic_load(&d->finals)) atomic_fetch_add(&d->calls_after_final, 1);
}

void desk_call(torque_source source, struct torque_datagrams *batch, void *arg) {
  struct desk *d = arg;
  enter(d);
  if (source != d->source) atomic_fetch_add(&d->wrong, 1);
  const uint32_t n = torque_datagrams_count(batch);
  const torque_err error = torque_datagrams_error(batch);
  const uint64_t failed = torque_datagrams_failed(batch);
  if (!n && !error && !failed && !torque_datagrams_has_room(batch)) atomic_fetch_add(&d->wrong, 1);
  if (torque_datagrams_data(batch, n) || torque_datagrams_size(batch, n)) atomic_fetch_add(&d->wrong, 1);
  for (uint32_t i = 0; i < n; i++) {
    if (!torque_datagrams_data(batch, i)) atomic_fetch_add(&d->wrong, 1);
    if (torque_datagrams_full_size(batch, i) > torque_datagrams_size(batch, i)) atomic_fetch_add(&d->cut, 1);
    if (d->each) d->each(d, batch, i);
    atomic_fetch_add(&d->bytes, torque_datagrams_size(batch, i));
    atomic_fetch_add(&d->received, 1);
  }
  if (error) atomic_store(&d->error, error), atomic_fetch_add(&d->errors, 1);
  if (failed) {
    atomic_store(&d->failure, torque_datagrams_failure(batch, 0));
    atomic_store(&d->failure_size, torque_datagrams_failure_size(batch, 0));
    atomic_fetch_add(&d->failed, failed);
  }
  if (torque_datagrams_has_room(batch)) atomic_fetch_add(&d->rooms, 1);
  if (d->then) d->then(d, source, batch);
  STAY_UNTIL(!atomic_load(&d->blocked));
  atomic_fetch_sub(&d->inside, 1);
  atomic_fetch_add(&d->calls, 1);
}

void desk_final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct desk *d = arg;
  atomic_store(&d->reason, reason);
  atomic_fetch_add(&d->finals, 1);
}

void desk_echo(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  const torque_err err =
      torque_datagrams_reply(batch, i, torque_datagrams_data(batch, i), torque_datagrams_size(batch, i));
  if (err) atomic_store(&d->result, err);
}

struct desk *desk_new(struct fixture *f) {
  struct desk *d = fixture_take(f, sizeof *d);
  d->f = f;
  return d;
}

void desk_start(struct desk *d) {
  uint32_t length = 0;
  assert_int_equal(torque_source_set_finalizer(d->source, desk_final), 0);
  assert_int_equal(torque_source_start(d->source), 0);
  assert_int_equal(torque_datagram_address(d->source, &d->address, sizeof d->address, &length), 0);
  d->length = length;
}

void desk_bind(struct desk *d, int family, uint32_t flags, uint32_t size) {
  const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  const void *address = family == AF_INET ? (const void *)&v4 : &v6;
  const uint32_t length = family == AF_INET ? sizeof v4 : sizeof v6;
  assert_int_equal(torque_datagram_bind_new(d->f->ctx, address, length, flags, desk_call, d, &d->source), 0);
  if (size) assert_int_equal(torque_datagram_set_size(d->source, size), 0);
  desk_start(d);
}

void desk_serve(struct desk *d, int fd, uint32_t flags) {
  assert_int_equal(torque_datagram_new(d->f->ctx, fd, flags, desk_call, d, &d->source), 0);
  desk_start(d);
}

static void patient(int fd) {
  const struct timeval patience = {.tv_sec = 30};
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
}

int desk_visitor(struct desk *d) {
  const int fd = socket(d->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(d->f, fd);
  patient(fd);
  assert_int_equal(connect(fd, (struct sockaddr *)&d->address, d->length), 0);
  return fd;
}

/* ---- Callers ---- */

struct caller {
  struct callers *all;
  int fd;
};

static int one_returns(struct callers *c, int fd, uint32_t who, uint32_t number) {
  unsigned char back[BIGGEST];
  uint32_t sender, n;
  ssize_t got;
  do got = recv(fd, back, sizeof back, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) {
    atomic_fetch_add(&c->lost, 1);
    return 0;
  }
  if (!datagram_check(back, (uint32_t)got, &sender, &n) || sender != who || n != number) atomic_fetch_add(&c->wrong, 1);
  atomic_fetch_add(&c->returned, 1);
  return 1;
}

/* At a time no more than the socket's buffers hold, whatever the sizes: nothing may be lost on the way. */
static void *call(void *arg) {
  struct caller *me = arg;
  struct callers *c = me->all;
  const uint32_t who = atomic_fetch_add(&c->next, 1);
  const uint32_t at_a_time = c->most > 4096 ? 1 : AT_A_TIME;
  uint64_t seed = who + 1;
  unsigned char bytes[BIGGEST];
  for (uint32_t sent = 0; sent < c->count && !atomic_load(&c->desk->f->quit);) {
    const uint32_t first = sent, burst = 1 + (uint32_t)(next_random(&seed) % at_a_time);
    const int equal = next_random(&seed) % 2 == 0;
    uint32_t size = MARK + (uint32_t)(next_random(&seed) % (c->most - MARK + 1));
    for (; sent < first + burst && sent < c->count; sent++) {
      if (!equal) size = MARK + (uint32_t)(next_random(&seed) % (c->most - MARK + 1));
      datagram_write(bytes, size, who, sent);
      if (send(me->fd, bytes, size, 0) != (ssize_t)size) atomic_fetch_add(&c->wrong, 1);
    }
    for (uint32_t n = first; n < sent; n++)
      if (!one_returns(c, me->fd, who, n)) return NULL;
  }
  return NULL;
}

struct callers *callers_come(struct fixture *f, struct desk *d, int threads, uint32_t count, uint32_t most) {
  struct callers *c = fixture_take(f, sizeof *c);
  assert_in_range(most, MARK, BIGGEST);
  c->desk = d;
  c->count = count;
  c->most = most;
  for (int i = 0; i < threads; i++) {
    struct caller *one = fixture_take(f, sizeof *one);
    one->all = c;
    one->fd = desk_visitor(d);
    fixture_thread(f, call, one);
  }
  return c;
}
