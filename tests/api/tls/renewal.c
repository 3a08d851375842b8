/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener's certificate is renewed while it listens: new connections are shown the new one, with a name and without,
 * and those that stand go on. */
#include "support.h"

#include <stdatomic.h>

#include "support/cmocka.h"

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

static struct torque_tls_config *config_of(const struct identity *id) {
  struct torque_tls_config *c = NULL;
  assert_int_equal(torque_tls_config_new(&c), 0);
  assert_int_equal(torque_tls_config_add_certificate_pem(c, id->chain, id->chain_length, id->pem_key, id->key_length),
                   0);
  return c;
}

static void renew(struct torque_layer_type *type, struct torque_tls_config *config) {
  assert_int_equal(torque_tls_server_set_config(type, config), 0);
  torque_tls_config_free(config); /* the type keeps it */
}

static SSL_CTX *ctx_of(const struct identity *id) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_method());
  assert_non_null(ctx);
  assert_true(SSL_CTX_use_certificate(ctx, id->x509));
  assert_true(SSL_CTX_use_PrivateKey(ctx, id->key));
  return ctx;
}

/* A server of that type, and clients that are OpenSSL's. */
struct server {
  struct fixture *f;
  struct torque_layer_type *layer;
  struct party *p;
  torque_source listener;
  struct sockaddr_in where;
  SSL_CTX *clients;
};

static void serve(struct server *s, struct fixture *f, int version) {
  uint32_t length = 0;
  s->f = f;
  s->layer = server_layer(config_of(&certificates()->server));
  s->p = party_new(f, echo, NULL);
  assert_int_equal(torque_stream_type_add_layer(s->p->type, s->layer), 0);
  s->where = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  assert_int_equal(torque_stream_listen(f->ctx, &s->where, sizeof s->where, 0, TORQUE_LISTEN_DEFAULT, s->p->type, s->p,
                                        &s->listener),
                   0);
  assert_int_equal(torque_listen_address(s->listener, &s->where, sizeof s->where, &length), 0);
  s->clients = peer_client_ctx(version);
  SSL_CTX_set_verify(s->clients, SSL_VERIFY_NONE, NULL);
}

static void stop(struct server *s) {
  assert_int_equal(torque_source_remove_wait(s->listener), 0);
  torque_layer_type_free(s->layer);
  party_free(s->p);
  SSL_CTX_free(s->clients);
}

static int dial(const struct server *s) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  fixture_own(s->f, fd);
  assert_int_equal(connect(fd, (const struct sockaddr *)&s->where, sizeof s->where), 0);
  return fd;
}

/* Connects, with a name or without, and with a session or without. */
static void meet(const struct server *s, struct peer *p, const char *name, SSL_SESSION *session) {
  peer_open(p, s->clients, dial(s), 0);
  if (name) assert_true(SSL_set_tlsext_host_name(p->ssl, name));
  if (session) assert_true(SSL_set_session(p->ssl, session));
  assert_true(peer_meet(s->f, p, SIZE_MAX));
}

static int shown(const struct peer *p, const struct identity *id) {
  X509 *x = SSL_get1_peer_certificate(p->ssl);
  const int same = x && X509_cmp(x, id->x509) == 0;
  X509_free(x);
  return same;
}

static void leave(const struct server *s, struct peer *p) {
  peer_close(p);
  fixture_close(s->f, p->fd);
}

static void renewed(void **state) {
  struct fixture *f = *state;
  const struct certificates *c = certificates();
  for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
    struct server s;
    struct peer before, after, named, again;
    serve(&s, f, version);
    meet(&s, &before, NULL, NULL);
    assert_true(shown(&before, &c->server));
    assert_true(peer_echo(f, &before, 1000, 100, SIZE_MAX)); /* its tickets have come, too */
    SSL_SESSION *session = SSL_get1_session(before.ssl);
    renew(s.layer, config_of(&c->other));
    meet(&s, &after, NULL, NULL);
    assert_true(shown(&after, &c->other));
    meet(&s, &named, "server.test", NULL);
    assert_true(shown(&named, &c->other));
    meet(&s, &again, NULL, session); /* a session of before is not resumed */
    assert_false(SSL_session_reused(again.ssl));
    assert_true(shown(&again, &c->other));
    SSL_SESSION_free(session);
    assert_true(peer_echo(f, &after, 2000, 500, SIZE_MAX));
    assert_true(peer_echo(f, &before, 200000, 7000, SIZE_MAX)); /* what it had is still there */
    leave(&s, &before);
    leave(&s, &after);
    leave(&s, &named);
    leave(&s, &again);
    AWAIT(f, s.p->closed == 4);
    assert_int_equal(s.p->strange, 0);
    stop(&s);
  }
}

/* From a configuration to an SSL_CTX of the program's own, and back. */
static void of_the_programs_own(void **state) {
  struct fixture *f = *state;
  const struct certificates *c = certificates();
  struct server s;
  struct peer one, two, three;
  serve(&s, f, 0);
  meet(&s, &one, NULL, NULL);
  SSL_CTX *own = ctx_of(&c->other);
  assert_int_equal(torque_tls_server_set_ctx(s.layer, own), 0);
  SSL_CTX_free(own);
  meet(&s, &two, NULL, NULL);
  assert_true(shown(&two, &c->other));
  renew(s.layer, config_of(&c->expired));
  meet(&s, &three, "server.test", NULL);
  assert_true(shown(&three, &c->expired));
  assert_true(peer_echo(f, &two, 3000, 1000, SIZE_MAX));
  assert_true(peer_echo(f, &one, 3000, 1000, SIZE_MAX));
  leave(&s, &one);
  leave(&s, &two);
  leave(&s, &three);
  AWAIT(f, s.p->closed == 3);
  stop(&s);
}

/* What is refused changes nothing. */
static void refused(void **state) {
  struct fixture *f = *state;
  struct server s;
  struct peer p;
  struct torque_tls_config *empty = NULL, *for_clients = client_config(), *good = config_of(&certificates()->other);
  struct torque_layer_type *client = NULL;
  serve(&s, f, 0);
  assert_int_equal(torque_tls_config_new(&empty), 0);
  assert_int_equal(torque_tls_client(for_clients, NULL, &client), 0);
  assert_int_equal(torque_tls_server_set_config(NULL, good), TORQUE_ERR_INVAL);
  assert_int_equal(torque_tls_server_set_config(s.layer, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_tls_server_set_config(s.layer, empty), TORQUE_ERR_INVAL);
  assert_int_equal(torque_tls_server_set_config(s.layer, for_clients), TORQUE_ERR_STATE);
  assert_int_equal(torque_tls_server_set_config(client, good), TORQUE_ERR_INVAL);
  assert_int_equal(torque_tls_server_set_ctx(s.layer, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_tls_server_set_ctx(client, s.clients), TORQUE_ERR_INVAL);
  meet(&s, &p, NULL, NULL);
  assert_true(shown(&p, &certificates()->server));
  leave(&s, &p);
  AWAIT(f, s.p->closed == 1);
  torque_layer_type_free(client);
  torque_tls_config_free(empty);
  torque_tls_config_free(for_clients);
  torque_tls_config_free(good);
  stop(&s);
}

/* Renewed over and over while clients come: each is shown one of the two, whole. */
struct renewals {
  struct server *s;
  _Atomic uint32_t done;
};

static void *renew_all_the_time(void *arg) {
  struct renewals *r = arg;
  const struct certificates *c = certificates();
  while (!atomic_load(&r->s->f->quit)) {
    const uint32_t n = atomic_fetch_add(&r->done, 1);
    if (n % 4 == 3) {
      SSL_CTX *own = ctx_of(&c->server);
      (void)torque_tls_server_set_ctx(r->s->layer, own);
      SSL_CTX_free(own);
    } else {
      renew(r->s->layer, config_of(n % 2 ? &c->server : &c->other));
    }
  }
  return NULL;
}

static void renewed_all_the_time(void **state) {
  struct fixture *f = *state;
  const struct certificates *c = certificates();
  const uint32_t clients = FEWER(60);
  struct server *s = fixture_take(f, sizeof *s);
  struct renewals *r = fixture_take(f, sizeof *r);
  r->s = s;
  serve(s, f, 0);
  fixture_thread(f, renew_all_the_time, r);
  fixture_thread(f, renew_all_the_time, r);
  for (uint32_t i = 0; i < clients; i++) {
    struct peer p;
    meet(s, &p, i % 2 ? "server.test" : NULL, NULL);
    assert_true(shown(&p, &c->server) || shown(&p, &c->other));
    assert_true(peer_echo(f, &p, 100, 100, SIZE_MAX));
    leave(s, &p);
  }
  AWAIT(f, s->p->closed == clients && r->done >= 10);
  assert_int_equal(s->p->opened, clients);
  atomic_store(&f->quit, 1);
  fixture_join(f);
  stop(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(renewed),
      ON_EVERY(of_the_programs_own),
      ON(driven, refused),
      ON_EVERY(renewed_all_the_time),
  };
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
