/* SPDX-License-Identifier: BSD-3-Clause */
/* Who talks to whom: certificates that are good, missing, foreign, expired or another's; names, protocols, versions;
 * and what both sides can know about it afterwards. */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "support/cmocka.h"

/* A server and a client of ours, connected; what they saw when they opened. */
struct seen {
  int32_t version, verified, resumed;
  char cipher[64], name[64], alpn[64];
  size_t der;
  _Atomic int done;
};
struct pair {
  struct party *server, *client;
  struct seen by_server, by_client;
  torque_source s, c;
};
static struct pair *now; /* the test's; callbacks have the party only */

static void look(torque_source stream, struct party *p, struct seen *seen) {
  struct torque_layer *layer = layer_of(stream, p);
  const char *alpn = NULL;
  size_t length = 0;
  seen->version = torque_tls_version(layer);
  seen->verified = torque_tls_verified(layer);
  seen->resumed = torque_tls_resumed(layer);
  strncpy(seen->cipher, torque_tls_cipher(layer), sizeof seen->cipher - 1);
  strncpy(seen->name, torque_tls_name(layer) ? torque_tls_name(layer) : "-", sizeof seen->name - 1);
  if (torque_tls_alpn(layer, &alpn, &length)) p->strange++;
  memset(seen->alpn, 0, sizeof seen->alpn);
  if (length) memcpy(seen->alpn, alpn, length);
  if (torque_tls_peer_der(layer, NULL, 0, &seen->der)) p->strange++;
  X509 *x = torque_tls_peer_x509(layer);
  if ((x != NULL) != (seen->der > 0) || !torque_tls_ssl(layer)) p->strange++;
  X509_free(x);
  seen->done = 1;
  p->opened++;
}

static void server_opens(torque_source stream, void *arg) { look(stream, arg, &now->by_server); }
static void client_opens(torque_source stream, void *arg) { look(stream, arg, &now->by_client); }

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

static void pair_make(struct fixture *f, struct pair *pair, struct torque_layer_type *server,
                      struct torque_layer_type *client) {
  now = pair;
  pair->server = tls_party(f, server, echo, NULL);
  pair->client = tls_party(f, client, party_take, party_end);
  assert_int_equal(torque_stream_type_set_open(pair->server->type, server_opens), 0);
  assert_int_equal(torque_stream_type_set_open(pair->client->type, client_opens), 0);
}

static void pair_meet(struct fixture *f, struct pair *pair) {
  int fd[2];
  fixture_tcp(f, fd);
  pair->server->closed = pair->client->closed = 0;
  pair->server->in = pair->client->in = 0;
  pair->by_server.done = pair->by_client.done = 0;
  pair->s = party_add(pair->server, fd[1]);
  pair->c = party_add(pair->client, fd[0]);
}

/* Says something, hears it back, parts. */
static void pair_talk(struct fixture *f, struct pair *pair) {
  unsigned char bytes[3000];
  AWAIT(f, pair->by_server.done && pair->by_client.done);
  pattern_fill(bytes, 0, sizeof bytes);
  assert_int_equal(torque_stream_write(pair->c, bytes, sizeof bytes), 0);
  AWAIT(f, pair->client->in == sizeof bytes);
  assert_int_equal(torque_stream_close(pair->c), 0);
  AWAIT(f, pair->server->closed && pair->client->closed);
  assert_int_equal(pair->server->err, 0);
  assert_int_equal(pair->client->err, 0);
  assert_int_equal(pair->server->strange, 0);
  assert_int_equal(pair->client->strange, 0);
}

static void pair_free(struct pair *pair) {
  party_free(pair->server);
  party_free(pair->client);
}

/* One connection that must come about. */
static void agree(struct fixture *f, struct pair *pair, struct torque_tls_config *server,
                  struct torque_tls_config *client, const char *host) {
  pair_make(f, pair, server_layer(server), client_layer(client, host));
  pair_meet(f, pair);
  pair_talk(f, pair);
  pair_free(pair);
}

/* One that must not; each side's error. 0 for the client: it may have opened before the server refused it. */
static void refuse(struct fixture *f, struct torque_tls_config *server, struct torque_tls_config *client,
                   const char *host, torque_err server_err, torque_err client_err) {
  struct pair pair = {0};
  pair_make(f, &pair, server_layer(server), client_layer(client, host));
  pair_meet(f, &pair);
  AWAIT(f, pair.server->closed && pair.client->closed);
  assert_int_equal(pair.server->err, server_err);
  assert_int_equal(pair.client->err, client_err);
  assert_int_equal(pair.server->opened, 0);
  pair_free(&pair);
}

static struct torque_tls_config *shows(const struct identity *id) {
  struct torque_tls_config *c = NULL;
  assert_int_equal(torque_tls_config_new(&c), 0);
  assert_int_equal(torque_tls_config_add_certificate_pem(c, id->chain, id->chain_length, id->pem_key, id->key_length),
                   0);
  return c;
}

static struct torque_tls_config *with(struct torque_tls_config *c, torque_err err) {
  assert_int_equal(err, 0);
  return c;
}

static void versions_and_what_is_known(void **state) {
  struct fixture *f = *state;
  const int32_t version[] = {TORQUE_TLS_1_2, TORQUE_TLS_1_3};
  for (int i = 0; i < 2; i++) {
    struct pair pair = {0};
    struct torque_tls_config *s = server_config(), *c = client_config();
    assert_int_equal(torque_tls_config_set_versions(i ? s : c, version[i], version[i]), 0);
    agree(f, &pair, s, c, "server.test");
    assert_int_equal(pair.by_server.version, version[i]);
    assert_int_equal(pair.by_client.version, version[i]);
    assert_string_equal(pair.by_server.cipher, pair.by_client.cipher);
    assert_string_equal(pair.by_server.name, "server.test");
    assert_int_equal(pair.by_client.verified, 0);
    assert_int_equal(pair.by_server.verified, TORQUE_TLS_NO_CERTIFICATE);
    assert_true(pair.by_client.der > 200);
    assert_int_equal(pair.by_server.der, 0);
    assert_int_equal(pair.by_client.resumed, 0);
  }
  struct torque_tls_config *s = server_config(), *c = client_config();
  assert_int_equal(torque_tls_config_set_versions(s, TORQUE_TLS_1_3, 0), 0);
  assert_int_equal(torque_tls_config_set_versions(c, TORQUE_TLS_1_2, TORQUE_TLS_1_2), 0);
  refuse(f, s, c, "server.test", TORQUE_ERR_TLS_HANDSHAKE, TORQUE_ERR_TLS_REFUSED);
}

static void hosts(void **state) {
  struct fixture *f = *state;
  struct pair pair = {0};
  agree(f, &pair, server_config(), client_config(), "localhost");
  agree(f, &pair, server_config(), client_config(), "127.0.0.1"); /* an address is no name to be asked for */
  assert_string_equal(pair.by_server.name, "-");
  agree(f, &pair, server_config(), client_config(), "::1");
  agree(f, &pair, server_config(), client_config(), NULL); /* any name, but a good certificate */
  refuse(f, server_config(), client_config(), "other.test", TORQUE_ERR_TLS_REFUSED, TORQUE_ERR_TLS_VERIFY);
  refuse(f, server_config(), client_config(), "127.0.0.2", TORQUE_ERR_TLS_REFUSED, TORQUE_ERR_TLS_VERIFY);
  refuse(f, server_config(), client_config(), "test", TORQUE_ERR_TLS_REFUSED, TORQUE_ERR_TLS_VERIFY);
}

static void bad_servers(void **state) {
  struct fixture *f = *state;
  const struct certificates *all = certificates();
  refuse(f, shows(&all->expired), client_config(), "server.test", TORQUE_ERR_TLS_REFUSED, TORQUE_ERR_TLS_VERIFY);
  refuse(f, shows(&all->foreign), client_config(), "server.test", TORQUE_ERR_TLS_REFUSED, TORQUE_ERR_TLS_VERIFY);
  struct pair pair = {0};
  struct torque_tls_config *c = client_config();
  agree(f, &pair, shows(&all->expired), with(c, torque_tls_config_set_verify(c, TORQUE_TLS_VERIFY_OPTIONAL)),
        "server.test");
  assert_int_equal(pair.by_client.verified, X509_V_ERR_CERT_HAS_EXPIRED);
  c = client_config();
  agree(f, &pair, shows(&all->foreign), with(c, torque_tls_config_set_verify(c, TORQUE_TLS_VERIFY_NONE)), "other.test");
  assert_true(pair.by_client.verified > 0);
  /* Nobody is trusted by who was told nothing but the system's. */
  c = NULL;
  assert_int_equal(torque_tls_config_new(&c), 0);
  refuse(f, server_config(), c, "server.test", TORQUE_ERR_TLS_REFUSED, TORQUE_ERR_TLS_VERIFY);
}

static struct torque_tls_config *asks(int32_t how) {
  const struct identity *root = &certificates()->root;
  struct torque_tls_config *c = server_config();
  assert_int_equal(torque_tls_config_add_trust_pem(c, root->chain, root->chain_length), 0);
  return with(c, torque_tls_config_set_verify(c, how));
}

static struct torque_tls_config *client_who_shows(const struct identity *id, int32_t version) {
  struct torque_tls_config *c = client_config();
  if (id)
    (void)with(c, torque_tls_config_add_certificate_pem(c, id->chain, id->chain_length, id->pem_key, id->key_length));
  return with(c, torque_tls_config_set_versions(c, version, version));
}

static void client_certificates(void **state) {
  struct fixture *f = *state;
  const struct certificates *all = certificates();
  for (int32_t v = TORQUE_TLS_1_2; v <= TORQUE_TLS_1_3; v++) {
    struct pair pair = {0};
    agree(f, &pair, asks(TORQUE_TLS_VERIFY_REQUIRED), client_who_shows(&all->client, v), "server.test");
    assert_int_equal(pair.by_server.verified, 0);
    assert_true(pair.by_server.der > 200);
    agree(f, &pair, asks(TORQUE_TLS_VERIFY_OPTIONAL), client_who_shows(NULL, v), "server.test");
    assert_int_equal(pair.by_server.verified, TORQUE_TLS_NO_CERTIFICATE);
    agree(f, &pair, asks(TORQUE_TLS_VERIFY_OPTIONAL), client_who_shows(&all->foreign, v), "server.test");
    assert_true(pair.by_server.verified > 0);
    agree(f, &pair, asks(TORQUE_TLS_VERIFY_NONE), client_who_shows(&all->client, v), "server.test");
    assert_int_equal(pair.by_server.verified, TORQUE_TLS_NO_CERTIFICATE);
    refuse(f, asks(TORQUE_TLS_VERIFY_REQUIRED), client_who_shows(NULL, v), "server.test", TORQUE_ERR_TLS_VERIFY,
           TORQUE_ERR_TLS_REFUSED);
    refuse(f, asks(TORQUE_TLS_VERIFY_REQUIRED), client_who_shows(&all->foreign, v), "server.test",
           TORQUE_ERR_TLS_VERIFY, TORQUE_ERR_TLS_REFUSED);
  }
}

static void protocols(void **state) {
  struct fixture *f = *state;
  const char *const h2_first[] = {"h2", "http/1.1"}, *const h1_only[] = {"http/1.1"}, *const other[] = {"other"};
  struct pair pair = {0};
  struct torque_tls_config *s = server_config(), *c = client_config();
  agree(f, &pair, with(s, torque_tls_config_set_alpn(s, h2_first, 2)),
        with(c, torque_tls_config_set_alpn(c, h1_only, 1)), NULL);
  assert_string_equal(pair.by_server.alpn, "http/1.1");
  assert_string_equal(pair.by_client.alpn, "http/1.1");
  s = server_config(), c = client_config();
  agree(f, &pair, with(s, torque_tls_config_set_alpn(s, h2_first, 2)),
        with(c, torque_tls_config_set_alpn(c, h2_first, 2)), NULL);
  assert_string_equal(pair.by_client.alpn, "h2");
  s = server_config(), c = client_config();
  agree(f, &pair, with(s, torque_tls_config_set_alpn(s, h2_first, 2)), c, NULL);
  assert_string_equal(pair.by_client.alpn, "");
  c = client_config();
  agree(f, &pair, server_config(), with(c, torque_tls_config_set_alpn(c, h2_first, 2)), NULL);
  assert_string_equal(pair.by_client.alpn, "");
  s = server_config(), c = client_config();
  refuse(f, with(s, torque_tls_config_set_alpn(s, h2_first, 2)), with(c, torque_tls_config_set_alpn(c, other, 1)), NULL,
         TORQUE_ERR_TLS_HANDSHAKE, TORQUE_ERR_TLS_REFUSED);
}

/* ---- Names ---- */

static struct torque_tls_config *named(int with_default) {
  const struct identity *id = &certificates()->other;
  struct torque_tls_config *c = NULL;
  if (with_default)
    c = server_config();
  else
    assert_int_equal(torque_tls_config_new(&c), 0);
  assert_int_equal(torque_tls_config_add_name(c, "Other.test", identity_file(id, 0), identity_file(id, 1)), 0);
  assert_int_equal(
      torque_tls_config_add_name_pem(c, "*.wild.test", id->chain, id->chain_length, id->pem_key, id->key_length), 0);
  return c;
}

static void certificates_by_name(void **state) {
  struct fixture *f = *state;
  struct pair pair = {0};
  agree(f, &pair, named(1), client_config(), "other.test");
  agree(f, &pair, named(1), client_config(), "OTHER.test");
  agree(f, &pair, named(1), client_config(), "some.wild.test");
  agree(f, &pair, named(1), client_config(), "server.test");
  agree(f, &pair, named(1), client_config(), NULL);
  agree(f, &pair, named(0), client_config(), "other.test");
  refuse(f, named(0), client_config(), "server.test", TORQUE_ERR_TLS_HANDSHAKE, TORQUE_ERR_TLS_REFUSED);
  refuse(f, named(0), client_config(), NULL, TORQUE_ERR_TLS_HANDSHAKE, TORQUE_ERR_TLS_REFUSED);
  refuse(f, named(1), client_config(), "deep.some.wild.test", TORQUE_ERR_TLS_REFUSED, TORQUE_ERR_TLS_VERIFY);
  refuse(f, named(1), client_config(), "wild.test", TORQUE_ERR_TLS_REFUSED, TORQUE_ERR_TLS_VERIFY);
}

struct naming {
  struct torque_tls_config *other;
  _Atomic int calls;
};

static torque_err by_function(struct torque_layer *layer, const char *name, void *arg,
                              struct torque_tls_config **ret_config) {
  struct naming *n = arg;
  (void)layer;
  n->calls++;
  if (!strcmp(name, "nobody.test")) return TORQUE_ERR_SYSCALL + EACCES;
  if (!strcmp(name, "other.test")) *ret_config = torque_tls_config_ref(n->other);
  return 0;
}

static void certificates_by_function(void **state) {
  struct fixture *f = *state;
  struct naming n = {.other = shows(&certificates()->other)};
  struct pair pair = {0};
  struct torque_tls_config *s = server_config();
  agree(f, &pair, with(s, torque_tls_config_set_name_fn(s, by_function, &n)), client_config(), "other.test");
  s = server_config();
  agree(f, &pair, with(s, torque_tls_config_set_name_fn(s, by_function, &n)), client_config(), "server.test");
  s = server_config();
  agree(f, &pair, with(s, torque_tls_config_set_name_fn(s, by_function, &n)), client_config(), NULL);
  assert_int_equal(n.calls, 2);
  s = server_config();
  refuse(f, with(s, torque_tls_config_set_name_fn(s, by_function, &n)), client_config(), "nobody.test",
         TORQUE_ERR_SYSCALL + EACCES, TORQUE_ERR_TLS_REFUSED);
  torque_tls_config_free(n.other);
}

/* ---- Resumption ---- */

static void resume(struct fixture *f, int32_t version, int32_t tickets, uint32_t cache, int wanted) {
  struct pair pair = {0};
  struct torque_tls_config *s = server_config(), *c = client_config();
  assert_int_equal(torque_tls_config_set_tickets(s, tickets), 0);
  assert_int_equal(torque_tls_config_set_cache(s, cache, 3600000000000), 0);
  assert_int_equal(torque_tls_config_set_versions(c, version, version), 0);
  pair_make(f, &pair, server_layer(s), client_layer(c, "server.test"));
  for (int i = 0; i < 3; i++) {
    pair_meet(f, &pair);
    pair_talk(f, &pair);
    assert_int_equal(pair.by_client.resumed, i && wanted);
    assert_int_equal(pair.by_server.resumed, i && wanted);
    assert_int_equal(pair.by_client.verified, 0);
  }
  /* Carried over to another client, as bytes. */
  unsigned char bytes[8192];
  size_t length = 0;
  assert_int_equal(torque_tls_client_session(pair.client->more, bytes, sizeof bytes, &length), 0);
  assert_true(length <= sizeof bytes && (length > 0) >= wanted);
  if (wanted) {
    c = client_config();
    assert_int_equal(torque_tls_config_set_versions(c, version, version), 0);
    struct torque_layer_type *type = client_layer(c, "server.test");
    assert_int_equal(torque_tls_client_set_session(type, bytes, length), 0);
    party_free(pair.client);
    pair.client = tls_party(f, type, party_take, party_end);
    assert_int_equal(torque_stream_type_set_open(pair.client->type, client_opens), 0);
    pair_meet(f, &pair);
    pair_talk(f, &pair);
    assert_int_equal(pair.by_client.resumed, 1);
    assert_int_equal(torque_tls_client_set_session(type, NULL, 0), 0);
    pair_meet(f, &pair);
    pair_talk(f, &pair);
    assert_int_equal(pair.by_client.resumed, 0);
    assert_int_equal(torque_tls_client_set_session(type, "nonsense", 8), TORQUE_ERR_INVAL);
  }
  assert_int_equal(torque_tls_client_session(pair.server->more, bytes, sizeof bytes, &length), TORQUE_ERR_INVAL);
  pair_free(&pair);
}

static void sessions_are_resumed(void **state) {
  struct fixture *f = *state;
  for (int32_t v = TORQUE_TLS_1_2; v <= TORQUE_TLS_1_3; v++) {
    resume(f, v, 1, 0, 1);   /* by tickets */
    resume(f, v, 0, 100, 1); /* by the server's cache */
    resume(f, v, 0, 0, 0);   /* not */
  }
}

/* ---- Much, both ways ---- */

static size_t take(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  if (!pattern_is(data, p->in, length)) p->strange++;
  p->in += length;
  (void)stream;
  return length;
}

static void megabytes_both_ways(void **state) {
  struct fixture *f = *state;
  const uint64_t all = FEWER(16 << 20);
  struct pair pair = {0};
  pair_make(f, &pair, server_layer(server_config()), client_layer(client_config(), "server.test"));
  assert_int_equal(torque_stream_type_set_data(pair.server->type, take), 0);
  /* Both have much to say: if neither listened meanwhile, both would wait for ever. */
  assert_int_equal(torque_stream_type_set_output(pair.server->type, 0, all), 0);
  assert_int_equal(torque_stream_type_set_output(pair.client->type, 0, 2 * all), 0);
  pair_meet(f, &pair);
  AWAIT(f, pair.by_server.done && pair.by_client.done);
  unsigned char *bytes = fixture_take(f, all);
  pattern_fill(bytes, 0, all);
  assert_int_equal(torque_stream_write_ref(pair.s, bytes, all, NULL, NULL), 0);
  assert_int_equal(torque_stream_write_ref(pair.c, bytes, all, NULL, NULL), 0);
  uint64_t before = 0;
  while (pair.client->in < all || pair.server->in < all) {
    const uint64_t sum = before;
    AWAIT(f, (before = pair.client->in + pair.server->in) != sum || before == 2 * all);
  }
  assert_int_equal(torque_stream_close(pair.c), 0);
  AWAIT(f, pair.server->closed && pair.client->closed);
  assert_int_equal(pair.server->err, 0);
  assert_int_equal(pair.client->err, 0);
  assert_int_equal(pair.server->strange + pair.client->strange, 0);
  pair_free(&pair);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, versions_and_what_is_known),
      ON(driven, versions_and_what_is_known),
      ON(live, hosts),
      ON(driven, hosts),
      ON(live, bad_servers),
      ON(driven, bad_servers),
      ON(live, client_certificates),
      ON(driven, client_certificates),
      ON(live, protocols),
      ON(driven, protocols),
      ON(live, certificates_by_name),
      ON(driven, certificates_by_name),
      ON(synthetic, certificates_by_function),
      ON(driven, certificates_by_function),
      ON(synthetic, sessions_are_resumed),
      ON(driven, sessions_are_resumed),
      ON(synthetic, megabytes_both_ways),
      ON(driven, megabytes_both_ways),
  };
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
