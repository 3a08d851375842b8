/* SPDX-License-Identifier: BSD-3-Clause */
/* Compression among other layers, of many streams at once, and put on top of a stream that runs. */
#include "compressed.h"

#include <sys/mman.h>

#include "support/layers.h"

/* bzip2 with small blocks: every flush begins anew. */
static struct torque_layer_type *quick(const struct kind *k) {
  struct torque_compression *c = settings(k, TORQUE_COMPRESS | TORQUE_EXPAND);
  assert_int_equal(torque_compression_set_level(c, 1), 0);
  return layer_with(k, c);
}

static void add_stack(struct party *p) {
  with_layer(p, layer_xor(0x5a));
  with_layer(p, layer_handshake());
  EACH_KIND(k) {
    if (k->format == TORQUE_FORMAT_GZIP) with_layer(p, quick(k));
  }
  with_layer(p, layer_frames());
}

static void one_upon_another(void **state) {
  struct fixture *f = *state;
  struct party *a = party_new(f, party_take, NULL), *b = party_new(f, party_take, NULL);
  add_stack(a);
  add_stack(b);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(a, fd[0]);
  party_add(b, fd[1]);
  const uint64_t all = FEWER(600000);
  struct patience patience = patience_start();
  static unsigned char bytes[30000];
  for (uint64_t sent = 0; b->in < all;) {
    if (sent < all && sent - b->in < 200000) {
      size_t n = sent % 7 ? sizeof bytes : 1234;
      if (n > all - sent) n = all - sent;
      pattern_fill(bytes, sent, n);
      assert_int_equal(torque_stream_write(s, bytes, n), 0);
      sent += n;
    }
    assert_true(fixture_step(f, &patience));
  }
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, a->closed && b->closed);
  assert_int_equal(a->err, 0);
  assert_int_equal(b->err, 0);
  assert_int_equal(b->strange, 0);
  party_free(a);
  party_free(b);
}

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)p;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

struct client {
  struct party party;
  uint64_t got;
};

static size_t check_own(torque_source stream, const void *data, size_t length, void *arg) {
  struct client *c = arg;
  (void)stream;
  if (!pattern_is(data, c->got, length)) c->party.strange++;
  c->got += length;
  c->party.in = c->got;
  return length;
}

/* One type, many streams, all workers. */
static void many_streams(void **state) {
  struct fixture *f = *state;
  enum { MANY = 24, MESSAGES = 20, LENGTH = 700 };
  EACH_KIND(k) {
    struct party *server = party_new(f, echo, NULL), *own = party_new(f, check_own, NULL);
    with_layer(server, quick(k));
    with_layer(own, quick(k));
    struct client *clients = fixture_take(f, MANY * sizeof *clients);
    torque_source s[MANY];
    unsigned char bytes[LENGTH];
    for (int i = 0; i < MANY; i++) {
      int fd[2];
      fixture_pair(f, fd);
      party_add(server, fd[1]);
      fixture_disown(f, fd[0]);
      assert_int_equal(torque_stream_add(f->ctx, fd[0], own->type, &clients[i], &s[i]), 0);
    }
    for (uint64_t m = 0; m < MESSAGES; m++) {
      pattern_fill(bytes, m * LENGTH, LENGTH);
      for (int i = 0; i < MANY; i++) assert_int_equal(torque_stream_write(s[i], bytes, LENGTH), 0);
    }
    for (int i = 0; i < MANY; i++) AWAIT(f, clients[i].party.in == MESSAGES * LENGTH);
    for (int i = 0; i < MANY; i++) assert_int_equal(torque_stream_close(s[i]), 0);
    AWAIT(f, server->closed == MANY);
    for (int i = 0; i < MANY; i++) {
      AWAIT(f, clients[i].party.closed);
      assert_int_equal(clients[i].party.err, 0);
      assert_int_equal(clients[i].party.strange, 0);
    }
    assert_int_equal(server->strange, 0);
    party_free(server);
    party_free(own);
  }
}

static void files(void **state) {
  struct fixture *f = *state;
  const uint64_t length = 300000;
  unsigned char *bytes = fixture_take(f, length);
  pattern_fill(bytes, 0, length);
  const int file = memfd_create("stacks", MFD_CLOEXEC);
  assert_true(file >= 0);
  fixture_own(f, file);
  assert_int_equal(write(file, bytes, length), length);
  EACH_KIND(k) {
    struct party *a = party_new(f, party_take, NULL), *b = party_new(f, party_take, NULL);
    with_layer(a, layer_with(k, settings(k, TORQUE_COMPRESS)));
    with_layer(b, layer_with(k, settings(k, TORQUE_EXPAND)));
    int fd[2];
    fixture_pair(f, fd);
    const torque_source s = party_add(a, fd[0]), t = party_add(b, fd[1]);
    assert_int_equal(torque_stream_sendfile(s, file, 0, length), 0);
    assert_int_equal(torque_stream_shutdown(s), 0);
    AWAIT(f, b->closed);
    assert_false(torque_source_alive(t));
    assert_int_equal(b->in, length);
    assert_int_equal(b->strange, 0);
    AWAIT(f, a->closed);
    party_free(a);
    party_free(b);
  }
}

/* A line, and from then on compressed: both sides put the layer on top, with data behind the line in the same packet.
 */
static size_t begin_after_a_line(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  const char *line = data, *end = memchr(data, '\n', length);
  if (p->aux) return party_take(stream, data, length, p);
  if (!end) return 0;
  p->aux = 1;
  if (torque_stream_push_layer(stream, p->more)) p->strange++;
  return (size_t)(end - line) + 1;
}

static void on_demand(void **state) {
  struct fixture *f = *state;
  unsigned char bytes[3000];
  pattern_fill(bytes, 0, sizeof bytes);
  EACH_KIND(k) {
    struct bytes all = {0}, small = squeeze(f, k, settings(k, TORQUE_COMPRESS), bytes, sizeof bytes, 1000);
    bytes_add(&all, "compress\n", 9);
    bytes_add(&all, small.at, small.length);
    for (size_t piece = 0; piece < 40; piece += 13) {
      struct party *p = party_new(f, begin_after_a_line, NULL);
      p->more = layer_with(k, settings(k, TORQUE_EXPAND));
      int fd[2];
      fixture_pair(f, fd);
      party_add(p, fd[1]);
      struct patience patience = patience_start();
      for (size_t at = 0; at < all.length;) {
        const size_t n = piece && all.length - at > piece ? piece : all.length - at;
        assert_int_equal(send(fd[0], all.at + at, n, 0), n);
        at += n;
        if (piece) assert_true(fixture_step(f, &patience));
      }
      assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
      AWAIT(f, p->closed);
      assert_int_equal(p->in, sizeof bytes);
      assert_int_equal(p->err, 0);
      assert_int_equal(p->strange, 0);
      fixture_close(f, fd[0]);
      torque_layer_type_free(p->more);
      party_free(p);
    }
    bytes_free(&all);
    bytes_free(&small);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(one_upon_another), ON_EVERY(many_streams), ON_EVERY(files), ON(driven, on_demand), ON(live, on_demand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
