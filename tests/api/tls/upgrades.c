/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS that begins later (STARTTLS), in either role, and TLS among other layers: below one, above one, within itself. */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "support/cmocka.h"

static struct torque_layer_type *server_tls, *client_tls; /* the test's */

static torque_err types_up(void) {
  server_tls = server_layer(server_config());
  client_tls = client_layer(client_config(), "server.test");
  return 0;
}
static void types_down(void) {
  torque_layer_type_free(server_tls);
  torque_layer_type_free(client_tls);
}

/* ---- A protocol that upgrades: the client says START, the server says OK, both go on in TLS ---- */

static size_t server_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  if (p->aux == 0) {
    if (length < 5) return 0;
    if (memcmp(data, "START", 5)) p->strange++;
    p->aux = 1;
    if (torque_stream_write(stream, "OK", 2) || torque_stream_push_layer(stream, server_tls)) p->strange++;
    return 5; /* what is behind it is TLS already */
  }
  if (!pattern_is(data, p->in, length)) p->strange++;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

static void client_opens(torque_source stream, void *arg) {
  struct party *p = arg;
  unsigned char bytes[5000];
  struct torque_layer *layer;
  p->stream = stream;
  if (++p->opened == 1) {
    if (torque_stream_write(stream, "START", 5)) p->strange++;
    return;
  }
  if (torque_stream_layer(stream, client_tls, &layer) || torque_tls_verified(layer)) p->strange++;
  pattern_fill(bytes, 0, sizeof bytes);
  if (torque_stream_write(stream, bytes, sizeof bytes)) p->strange++;
}

static size_t client_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  if (p->aux == 0) {
    if (length < 2) return 0;
    if (memcmp(data, "OK", 2)) p->strange++;
    p->aux = 1;
    if (torque_stream_push_layer(stream, client_tls)) p->strange++;
    return 2;
  }
  if (!pattern_is(data, p->in, length)) p->strange++;
  p->in += length;
  return length;
}

static void upgraded(void **state) {
  struct fixture *f = *state;
  types_up();
  int fd[2];
  fixture_tcp(f, fd);
  struct party *s = party_new(f, server_data, NULL), *c = party_new(f, client_data, NULL);
  assert_int_equal(torque_stream_type_set_open(c->type, client_opens), 0);
  party_add(s, fd[1]);
  party_add(c, fd[0]);
  AWAIT(f, c->in == 5000);
  assert_int_equal(s->opened, 2);
  assert_int_equal(c->opened, 2);
  assert_int_equal(torque_stream_close(c->stream), 0);
  AWAIT(f, s->closed && c->closed);
  assert_int_equal(s->err, 0);
  assert_int_equal(c->err, 0);
  assert_int_equal(s->strange + c->strange, 0);
  party_free(s);
  party_free(c);
  types_down();
}

/* A client that does not wait for the OK: its hello comes in the same piece as START, cut anywhere. */
static void the_hello_comes_with_the_command(void **state) {
  struct fixture *f = *state;
  types_up();
  for (size_t cut = 1; cut < 340; cut += 11) {
    int fd[2];
    fixture_tcp(f, fd);
    struct party *s = party_new(f, server_data, NULL);
    party_add(s, fd[1]);
    SSL_CTX *ctx = peer_client_ctx(0);
    struct peer c;
    peer_open(&c, ctx, fd[0], 0);
    peer_shake(&c);
    char *hello, bytes[1000] = "START";
    const long n = BIO_get_mem_data(c.out, &hello);
    assert_true(n > 0 && n < 900);
    memcpy(bytes + 5, hello, (size_t)n);
    (void)BIO_reset(c.out);
    const size_t all = (size_t)n + 5, first = cut < all ? cut : all;
    assert_int_equal(send(fd[0], bytes, first, MSG_NOSIGNAL), first);
    fixture_settle(f);
    assert_int_equal(send(fd[0], bytes + first, all - first, MSG_NOSIGNAL), all - first);
    size_t ok = 0;
    char answer[2];
    AWAIT(f, (ok += recv(fd[0], answer + ok, 2 - ok, MSG_DONTWAIT) > 0, ok > 0)); /* in one piece, as it was written */
    assert_memory_equal(answer, "OK", 2);
    assert_true(peer_meet(f, &c, 100000));
    assert_true(peer_echo(f, &c, 3000, 1000, 100000));
    fixture_close(f, fd[0]);
    AWAIT(f, s->closed);
    assert_int_equal(s->err, TORQUE_ERR_TLS_TRUNCATED);
    assert_int_equal(s->strange, 0);
    peer_close(&c);
    SSL_CTX_free(ctx);
    party_free(s);
  }
  types_down();
}

/* What comes behind START without being TLS is refused; nothing of it is told. */
static void what_follows_is_no_hello(void **state) {
  struct fixture *f = *state;
  types_up();
  int fd[2];
  fixture_tcp(f, fd);
  struct party *s = party_new(f, server_data, NULL);
  party_add(s, fd[1]);
  assert_int_equal(send(fd[0], "STARTMAIL FROM: somebody\r\n", 26, MSG_NOSIGNAL), 26);
  AWAIT(f, s->closed);
  assert_int_equal(s->err, TORQUE_ERR_TLS_HANDSHAKE);
  assert_int_equal(s->in, 0);
  party_free(s);
  types_down();
}

/* ---- Among other layers ---- */

/* Turns bytes over, one way or both; keeps the last byte of every piece that it sends until it is flushed. */
struct turner {
  int held;
  unsigned char byte;
};

static torque_err turner_open(struct torque_layer *layer, void *arg, void **ret_state) {
  static struct turner pool[64];
  static _Atomic unsigned next;
  (void)layer, (void)arg;
  struct turner *t = &pool[next++ % 64];
  *t = (struct turner){0, 0};
  *ret_state = t;
  return 0;
}

static torque_err turner_receive(struct torque_layer *layer, void *state, const void *data, size_t length,
                                 size_t *ret_taken) {
  const unsigned char *from = data;
  unsigned char *to = torque_layer_scratch(layer);
  (void)state;
  size_t done = 0;
  while (done < length) {
    size_t n = length - done < 1000 ? length - done : 1000;
    for (size_t i = 0; i < n; i++) to[i] = (unsigned char)~from[done + i];
    done += n;
    if (!torque_layer_up(layer, to, n)) break;
  }
  *ret_taken = done;
  return 0;
}

static torque_err turner_flush(struct torque_layer *layer, void *state) {
  struct turner *t = state;
  if (!t->held) return 0;
  t->held = 0;
  return torque_layer_down(layer, &t->byte, 1);
}

static torque_err turner_send(struct torque_layer *layer, void *state, const void *data, size_t length) {
  struct turner *t = state;
  const unsigned char *from = data;
  unsigned char bytes[512];
  torque_err err = turner_flush(layer, state);
  for (size_t at = 0; !err && at + 1 < length;) {
    size_t n = length - 1 - at < sizeof bytes ? length - 1 - at : sizeof bytes;
    for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)~from[at + i];
    err = torque_layer_down(layer, bytes, n);
    at += n;
  }
  t->byte = (unsigned char)~from[length - 1];
  t->held = 1;
  return err;
}

static struct torque_layer_type *turner(void) {
  struct torque_layer_type *type = NULL;
  assert_int_equal(torque_layer_type_new(&type), 0);
  assert_int_equal(torque_layer_type_set_open(type, turner_open), 0);
  assert_int_equal(torque_layer_type_set_receive(type, turner_receive), 0);
  assert_int_equal(torque_layer_type_set_send(type, turner_send), 0);
  assert_int_equal(torque_layer_type_set_flush(type, turner_flush), 0);
  assert_int_equal(torque_layer_type_set_end(type, turner_flush), 0);
  return type;
}

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

/* Layers from the wire up: t a turner, s TLS. */
static void stacked(struct fixture *f, const char *layers) {
  struct party *s = party_new(f, echo, NULL), *c = party_new(f, party_take, NULL);
  int fd[2];
  fixture_tcp(f, fd);
  for (const char *l = layers; *l; l++) {
    struct torque_layer_type *one = *l == 't' ? turner() : server_layer(server_config());
    struct torque_layer_type *other = *l == 't' ? turner() : client_layer(client_config(), "server.test");
    assert_int_equal(torque_stream_type_add_layer(s->type, one), 0);
    assert_int_equal(torque_stream_type_add_layer(c->type, other), 0);
    torque_layer_type_free(one);
    torque_layer_type_free(other);
  }
  party_add(s, fd[1]);
  c->stream = party_add(c, fd[0]);
  AWAIT(f, s->opened && c->opened);
  const uint64_t all = FEWER(2000000);
  unsigned char *bytes = fixture_take(f, all);
  pattern_fill(bytes, 0, all);
  for (uint64_t at = 0; at < all; at += 100000) {
    const uint64_t n = all - at < 100000 ? all - at : 100000;
    assert_int_equal(torque_stream_write(c->stream, bytes + at, n), 0);
    AWAIT(f, c->in == at + n);
  }
  assert_int_equal(torque_stream_shutdown(c->stream), 0);
  AWAIT(f, s->closed && c->closed);
  assert_int_equal(s->err, 0);
  assert_int_equal(c->err, 0);
  assert_int_equal(s->strange + c->strange, 0);
  assert_int_equal(s->in, all);
  party_free(s);
  party_free(c);
}

static void among_other_layers(void **state) {
  static const char *const orders[] = {"s", "ts", "st", "tst", "ss", "tsts"};
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) stacked(*state, orders[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(upgraded),
      ON(live, the_hello_comes_with_the_command),
      ON(driven, the_hello_comes_with_the_command),
      ON_EVERY(what_follows_is_no_hello),
      ON(synthetic, among_other_layers),
      ON(driven, among_other_layers),
  };
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
