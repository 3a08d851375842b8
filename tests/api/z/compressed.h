/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes that a layer has compressed, and what another makes of them. */
#ifndef TORQUE_TESTS_COMPRESSED_H
#define TORQUE_TESTS_COMPRESSED_H

#include <libtorque/compress.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/streams.h"

#include "support/cmocka.h"

typedef torque_err make_layer_fn(const struct torque_compression *, struct torque_layer_type **);

struct kind {
  const char *name;
  make_layer_fn *make;
  const char *tool;
  uint32_t format;
};

static const struct kind kinds[] = {
    {"gzip", torque_gzip_layer, "gzip", TORQUE_FORMAT_GZIP},    {"zlib", torque_gzip_layer, NULL, TORQUE_FORMAT_ZLIB},
    {"raw", torque_gzip_layer, NULL, TORQUE_FORMAT_RAW},        {"auto", torque_gzip_layer, "gzip", TORQUE_FORMAT_AUTO},
    {"bzip2", torque_bzip2_layer, "bzip2", TORQUE_FORMAT_GZIP}, {"zstd", torque_zstd_layer, "zstd", TORQUE_FORMAT_GZIP},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* Those that this build has. */
#define EACH_KIND(k)                                         \
  for (const struct kind *k = kinds; k < kinds + KINDS; k++) \
    if (kind_is_there(k))

static inline struct torque_compression *settings(const struct kind *k, uint32_t direction) {
  struct torque_compression *c;
  assert_int_equal(torque_compression_new(&c), 0);
  assert_int_equal(torque_compression_set_direction(c, direction), 0);
  assert_int_equal(torque_compression_set_format(c, k->format), 0);
  return c;
}

/* Takes the settings. */
static inline struct torque_layer_type *layer_with(const struct kind *k, struct torque_compression *c) {
  struct torque_layer_type *type;
  assert_int_equal(k->make(c, &type), 0);
  torque_compression_free(c);
  return type;
}

static inline int kind_is_there(const struct kind *k) {
  struct torque_compression *c = settings(k, TORQUE_COMPRESS);
  struct torque_layer_type *type;
  const torque_err err = k->make(c, &type);
  torque_compression_free(c);
  if (!err) torque_layer_type_free(type);
  assert_true(err == 0 || err == TORQUE_ERR_UNAVAIL);
  return !err;
}

static inline void with_layer(struct party *p, struct torque_layer_type *type) {
  assert_int_equal(torque_stream_type_add_layer(p->type, type), 0);
  torque_layer_type_free(type);
}

struct bytes {
  unsigned char *at;
  size_t length, room;
};

static inline void bytes_add(struct bytes *b, const void *data, size_t n) {
  if (b->room - b->length < n) {
    b->room = 2 * (b->length + n);
    unsigned char *more = malloc(b->room);
    assert_non_null(more);
    if (b->length) memcpy(more, b->at, b->length);
    if (n) memcpy(more + b->length, data, n); /* perhaps its own */
    free(b->at);
    b->at = more;
  } else if (n) {
    memcpy(b->at + b->length, data, n);
  }
  b->length += n;
}

static inline void bytes_free(struct bytes *b) {
  free(b->at);
  *b = (struct bytes){0};
}

/* Reads all there is. 1 at the end. */
static inline int bytes_read(struct bytes *b, int fd) {
  unsigned char part[65536];
  ssize_t n;
  while ((n = recv(fd, part, sizeof part, MSG_DONTWAIT)) > 0) bytes_add(b, part, (size_t)n);
  return n == 0;
}

/* Text that is worth compressing, different everywhere. */
static inline void words(unsigned char *to, size_t length, unsigned seed) {
  static const char *const word[] = {"torque ", "stream ", "layer ", "epoll ", "wheel\n", "0123456789", "the ", "of "};
  for (size_t at = 0; at < length;) {
    const char *w = word[rand_r(&seed) % 8];
    for (; *w && at < length; w++) to[at++] = (unsigned char)*w;
    if (rand_r(&seed) % 4 == 0 && at < length) to[at++] = (unsigned char)rand_r(&seed);
  }
}

/* What a layer with these settings sends for length bytes, written in pieces of at most `piece`, each in a turn of its
 * own. Takes the settings. */
static inline struct bytes squeeze(struct fixture *f, const struct kind *k, struct torque_compression *c,
                                   const void *data, size_t length, size_t piece) {
  struct party *p = party_new(f, party_take, NULL);
  struct bytes out = {0};
  int fd[2], end = 0;
  with_layer(p, layer_with(k, c));
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  struct patience patience = patience_start();
  for (size_t at = 0; at < length;) {
    const size_t n = length - at < piece ? length - at : piece;
    assert_int_equal(torque_stream_write(s, (const unsigned char *)data + at, n), 0);
    at += n;
    uint64_t pending = 1;
    while (pending && !torque_stream_pending(s, &pending) && pending) {
      bytes_read(&out, fd[0]);
      assert_true(fixture_step(f, &patience));
    }
  }
  assert_int_equal(torque_stream_close(s), 0);
  while (!end) {
    assert_true(fixture_step(f, &patience));
    end = bytes_read(&out, fd[0]);
  }
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->closed, 1);
  party_free(p);
  return out;
}

static inline size_t collect(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream;
  bytes_add(p->more, data, length);
  p->in += length;
  return length;
}

/* What a layer with these settings tells of length bytes, sent in pieces of at most `piece` (0: in one), and how it
 * ended. Takes the settings. */
static inline torque_err expand(struct fixture *f, const struct kind *k, struct torque_compression *c, const void *data,
                                size_t length, size_t piece, struct bytes *ret_out) {
  struct party *p = party_new(f, collect, NULL);
  int fd[2];
  ret_out->length = 0;
  p->more = ret_out;
  with_layer(p, layer_with(k, c));
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  struct patience patience = patience_start();
  for (size_t at = 0; at < length && !p->closed;) {
    const size_t n = piece && length - at > piece ? piece : length - at;
    const ssize_t sent = send(fd[0], (const unsigned char *)data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) at += (size_t)sent;
    if (sent < 0 && errno != EAGAIN) break;
    if (piece || sent < 0) assert_true(fixture_step(f, &patience));
  }
  (void)shutdown(fd[0], SHUT_WR);
  AWAIT(f, p->closed);
  assert_int_equal(p->closed, 1);
  assert_int_equal(p->strange, 0);
  const torque_err err = p->err;
  fixture_close(f, fd[0]);
  party_free(p);
  return err;
}

#endif
