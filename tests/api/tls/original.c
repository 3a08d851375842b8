/* SPDX-License-Identifier: BSD-3-Clause */
/* The original's calls: a listening socket, callbacks with a buffer, all or nothing sent; whatever the peer does. */
#include "support.h"

#include <libtorque/torque.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

struct calls {
  _Atomic uint32_t rx, tx, empty, strange;
  _Atomic uint64_t bytes;
};

static int echo(int fd, struct torque_rxbuf *rxb, void *state) {
  struct calls *c = torque_ssl_state(state);
  size_t length;
  const char *data = rxbuffer_valid(rxb, &length);
  (void)fd;
  c->rx++;
  if (length == 0) {
    c->empty++;
    return -1;
  }
  c->bytes += length;
  if (ssl_tx(fd, state, data, (int)length) < (int)length) {
    c->strange++;
    return -1;
  }
  rxbuffer_advance(rxb, length);
  return 0;
}

/* Takes whole lines of 7 bytes only; what is left at the end it does not want. */
static int sevens(int fd, struct torque_rxbuf *rxb, void *state) {
  struct calls *c = torque_ssl_state(state);
  size_t length;
  const char *data = rxbuffer_valid(rxb, &length);
  const int n = (int)(length / 7 * 7);
  c->rx++;
  if (length == 0) c->empty++;
  if (n && ssl_tx(fd, state, data, n) != n) c->strange++;
  rxbuffer_advance(rxb, (size_t)n);
  c->bytes += (uint64_t)n;
  return 0;
}

static int greets(int fd, struct torque_rxbuf *rxb, void *state) {
  struct calls *c = torque_ssl_state(state);
  size_t length;
  rxbuffer_valid(rxb, &length);
  if (length) c->strange++;
  if (c->tx++ == 0 && ssl_tx(fd, state, "hello", 5) != 5) c->strange++;
  return 0;
}

static int listening(struct fixture *f, struct sockaddr_in *where) {
  socklen_t length = sizeof *where;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  *where = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  assert_int_equal(bind(fd, (struct sockaddr *)where, sizeof *where), 0);
  assert_int_equal(listen(fd, 100), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)where, &length), 0);
  return fd;
}

static SSL_CTX *theirs_of(unsigned verify) {
  const struct certificates *all = certificates();
  SSL_CTX *ctx = torque_ssl_ctx(identity_file(&all->server, 0), identity_file(&all->server, 1),
                                identity_file(&all->root, 0), verify);
  assert_non_null(ctx);
  return ctx;
}

static void come(struct fixture *f, struct peer *p, SSL_CTX *ctx, const struct sockaddr_in *where) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(connect(fd, (const struct sockaddr *)where, sizeof *where), 0);
  peer_open(p, ctx, fd, 0);
}

static void part(struct fixture *f, struct peer *p) {
  char byte;
  SSL_shutdown(p->ssl);
  AWAIT(f, (peer_push(p, 100000), peer_pull(p), peer_read(p, &byte, 1), peer_bye(p)));
  fixture_close(f, p->fd);
  peer_close(p);
}

static void an_echo_server(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where;
  struct calls *c = fixture_take(f, sizeof *c);
  SSL_CTX *server = theirs_of(0), *client = peer_client_ctx(0);
  assert_int_equal(torque_init_ssl(), 0);
  assert_int_equal(torque_addssl(f->ctx, listening(f, &where), server, echo, NULL, c), 0);
  SSL_CTX_free(server); /* the library has its own reference */
  struct peer p[5];
  for (int i = 0; i < 5; i++) come(f, &p[i], client, &where);
  for (int i = 0; i < 5; i++) assert_true(peer_meet(f, &p[i], 100000));
  for (int i = 0; i < 5; i++) assert_true(peer_echo(f, &p[i], FEWER(3000000), 30000, 100000));
  for (int i = 0; i < 5; i++) part(f, &p[i]);
  assert_int_equal(c->bytes, 5 * (uint64_t)FEWER(3000000));
  assert_int_equal(c->empty, 5);
  assert_int_equal(c->strange, 0);
  SSL_CTX_free(client);
  assert_int_equal(torque_stop_ssl(), 0);
}

static void what_is_left_is_shown_again(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where;
  struct calls *c = fixture_take(f, sizeof *c);
  SSL_CTX *server = theirs_of(0), *client = peer_client_ctx(0);
  assert_int_equal(torque_addssl(f->ctx, listening(f, &where), server, sevens, greets, c), 0);
  struct peer p;
  come(f, &p, client, &where);
  assert_true(peer_meet(f, &p, 100000));
  char text[64];
  size_t n = 0;
  AWAIT(f, (peer_pull(&p), n += peer_read(&p, text + n, sizeof text - n), n == 5));
  assert_memory_equal(text, "hello", 5);
  const char *const parts[] = {"abc", "defgh", "ijklmnopq"};
  for (int i = 0; i < 3; i++) {
    SSL_write(p.ssl, parts[i], (int)strlen(parts[i]));
    peer_push(&p, 1000);
    fixture_settle(f);
  }
  n = 0;
  AWAIT(f, (peer_pull(&p), n += peer_read(&p, text + n, sizeof text - n), n == 14));
  assert_memory_equal(text, "abcdefghijklmn", 14);
  part(f, &p);
  assert_int_equal(c->empty, 1);
  assert_int_equal(c->tx, 1);
  assert_int_equal(c->strange, 0);
  SSL_CTX_free(server);
  SSL_CTX_free(client);
}

/* Everything is sent to who reads late, and what waits is bounded. */
static void a_reader_that_starts_late(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where;
  struct calls *c = fixture_take(f, sizeof *c);
  SSL_CTX *server = theirs_of(0), *client = peer_client_ctx(0);
  assert_int_equal(torque_addssl(f->ctx, listening(f, &where), server, echo, NULL, c), 0);
  struct peer p;
  come(f, &p, client, &where);
  assert_true(peer_meet(f, &p, 100000));
  static unsigned char bytes[16384];
  uint64_t sent = 0, got = 0;
  for (int idle = 0; idle < 50;) {
    if (BIO_pending(p.out) < 100000) {
      pattern_fill(bytes, sent, sizeof bytes);
      assert_int_equal(SSL_write(p.ssl, bytes, sizeof bytes), sizeof bytes);
      sent += sizeof bytes;
    }
    idle = peer_push(&p, 100000) ? 0 : idle + 1;
    struct patience patience = patience_start();
    assert_true(fixture_step(f, &patience));
    assert_true(sent < (64u << 20));
  }
  struct patience patience = patience_start();
  while (got < sent) {
    peer_push(&p, 100000);
    peer_pull(&p);
    for (size_t n; (n = peer_read(&p, bytes, sizeof bytes)); got += n) assert_true(pattern_is(bytes, got, n));
    assert_true(fixture_step(f, &patience));
  }
  part(f, &p);
  assert_int_equal(c->strange, 0);
  SSL_CTX_free(server);
  SSL_CTX_free(client);
}

static void contexts_and_arguments(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where;
  const struct certificates *all = certificates();
  const int fd = listening(f, &where);
  struct calls c = {0};
  const char *chain = identity_file(&all->server, 0), *key = identity_file(&all->server, 1);
  const char *other = identity_file(&all->other, 1);
  SSL_CTX *ctx = torque_ssl_ctx(NULL, NULL, NULL, 0);
  assert_non_null(ctx);
  assert_int_equal(torque_addssl(NULL, fd, ctx, echo, NULL, &c), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addssl(f->ctx, fd, NULL, echo, NULL, &c), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addssl(f->ctx, fd, ctx, NULL, NULL, &c), TORQUE_ERR_INVAL);
  assert_int_not_equal(torque_addssl(f->ctx, -1, ctx, echo, NULL, &c), 0);
  SSL_CTX_free(ctx);
  assert_null(torque_ssl_ctx(chain, other, NULL, 0)); /* not its key */
  assert_string_equal(torque_tls_detail(), "key values mismatch");
  assert_null(torque_ssl_ctx(chain, NULL, NULL, 0));
  assert_null(torque_ssl_ctx(NULL, key, NULL, 0));
  assert_null(torque_ssl_ctx(chain, "/nowhere", NULL, 0));
  assert_null(torque_ssl_ctx(chain, key, "/nowhere", 0));
  assert_int_equal(ssl_tx(0, NULL, "", 0), -1);
  assert_null(torque_ssl_state(NULL));
}

/* Clients must have a certificate. */
static void a_client_without_certificate(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where;
  struct calls *c = fixture_take(f, sizeof *c);
  SSL_CTX *server = theirs_of(1), *client = peer_client_ctx(TLS1_2_VERSION);
  assert_int_equal(torque_addssl(f->ctx, listening(f, &where), server, echo, NULL, c), 0);
  struct peer p;
  come(f, &p, client, &where);
  assert_false(peer_meet(f, &p, 100000));
  fixture_close(f, p.fd);
  peer_close(&p);
  SSL_CTX_use_certificate(client, certificates()->client.x509);
  SSL_CTX_add1_chain_cert(client, certificates()->between.x509);
  SSL_CTX_use_PrivateKey(client, certificates()->client.key);
  come(f, &p, client, &where);
  assert_true(peer_meet(f, &p, 100000));
  assert_true(peer_echo(f, &p, 1000, 1000, 100000));
  part(f, &p);
  SSL_CTX_free(server);
  SSL_CTX_free(client);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, an_echo_server),
      ON(synthetic, an_echo_server),
      ON(driven, an_echo_server),
      ON(synthetic, what_is_left_is_shown_again),
      ON(driven, what_is_left_is_shown_again),
      ON(live, a_reader_that_starts_late),
      ON(driven, a_reader_that_starts_late),
      ON(driven, contexts_and_arguments),
      ON(live, a_client_without_certificate),
      ON(driven, a_client_without_certificate),
  };
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
