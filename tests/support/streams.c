/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

static void on_open(torque_source stream, void *arg) {
  struct party *p = arg;
  if (p->closed) p->strange++;
  p->stream = stream;
  p->opened++;
}

static void on_hangup(torque_source stream, void *arg) {
  struct party *p = arg;
  (void)stream;
  if (p->closed) p->strange++;
  p->hung_up++;
}

static void on_drain(torque_source stream, void *arg) {
  struct party *p = arg;
  (void)stream;
  p->drained++;
}

static void on_close(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  if (torque_source_alive(stream)) p->strange++;
  p->err = err;
  p->closed++;
}

struct party *party_new(struct fixture *f, torque_stream_data_fn *data, torque_stream_end_fn *end) {
  struct party *p = fixture_take(f, sizeof *p);
  p->f = f;
  assert_int_equal(torque_stream_type_new(&p->type), 0);
  assert_int_equal(torque_stream_type_set_open(p->type, on_open), 0);
  assert_int_equal(torque_stream_type_set_data(p->type, data), 0);
  assert_int_equal(torque_stream_type_set_end(p->type, end), 0);
  assert_int_equal(torque_stream_type_set_hangup(p->type, on_hangup), 0);
  assert_int_equal(torque_stream_type_set_drain(p->type, on_drain), 0);
  assert_int_equal(torque_stream_type_set_close(p->type, on_close), 0);
  return p;
}

void party_free(struct party *p) {
  torque_stream_type_free(p->type);
  p->type = NULL;
}

torque_source party_add(struct party *p, int fd) {
  torque_source stream = 0;
  fixture_disown(p->f, fd);
  assert_int_equal(torque_stream_add(p->f->ctx, fd, p->type, p, &stream), 0);
  return stream;
}

size_t party_take(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream;
  p->calls++;
  if (length == 0 || !pattern_is(data, p->in, length)) p->strange++;
  p->in += length;
  return length;
}

void party_end(torque_source stream, void *arg) {
  struct party *p = arg;
  (void)stream;
  p->ended++;
}

int fcntl_is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

unsigned char pattern_at(uint64_t n) { return (unsigned char)((n * 2654435761u) >> 13 ^ n); }

void pattern_fill(void *data, uint64_t from, size_t length) {
  for (size_t i = 0; i < length; i++) ((unsigned char *)data)[i] = pattern_at(from + i);
}

int pattern_is(const void *data, uint64_t from, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (((const unsigned char *)data)[i] != pattern_at(from + i)) return 0;
  return 1;
}

uint32_t pattern_put(int fd, uint64_t from, size_t length) {
  unsigned char *bytes = malloc(length);
  if (!bytes) return 0;
  pattern_fill(bytes, from, length);
  const ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  free(bytes);
  return n > 0 ? (uint32_t)n : 0;
}

int pattern_check(int fd, uint64_t *at) {
  unsigned char bytes[65536];
  for (;;) {
    const ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n <= 0) return n == 0 || errno == EAGAIN;
    if (!pattern_is(bytes, *at, (size_t)n)) return 0;
    *at += (uint64_t)n;
  }
}
