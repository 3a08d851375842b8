/* SPDX-License-Identifier: BSD-3-Clause */
/* What tests of TLS share: certificates made on the spot, and a peer that is OpenSSL alone, whose bytes the test sends
 * and gets as it likes. */
#ifndef TORQUE_TESTS_TLS_SUPPORT_H
#define TORQUE_TESTS_TLS_SUPPORT_H

#include <libtorque/tls.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/streams.h"

#include "support/cmocka.h"

/* ---- Certificates ---- */

struct identity {
  EVP_PKEY *key;
  X509 *x509;
  char *chain; /* PEM: its certificate, and that of an issuer that is no root */
  char *pem_key;
  size_t chain_length, key_length;
};

/* Made once in a program, the same for all its tests. */
struct certificates {
  struct identity root, between; /* issuers; the second's is the first */
  struct identity server;        /* "server.test", "localhost", 127.0.0.1, ::1; issued by the second */
  struct identity other;         /* "other.test", "*.wild.test" */
  struct identity expired;       /* "server.test" */
  struct identity client;
  struct identity foreign_root, foreign; /* "server.test" too, of an issuer that nobody knows */
};
static inline const struct certificates *certificates(void);
static inline void certificates_free(void);
static inline int certificates_down(void **state); /* the same, as a group's teardown */

/* In a folder that is removed by certificates_free(): the file of an identity's chain (key 0) or key (1). */
static inline const char *identity_file(const struct identity *id, int key);

/* ---- Layer types of ours ---- */

/* A configuration with the server's certificate, and one that trusts the root. */
static inline struct torque_tls_config *server_config(void);
static inline struct torque_tls_config *client_config(void);
/* The type that a configuration makes, which is then given up. */
static inline struct torque_layer_type *server_layer(struct torque_tls_config *config);
static inline struct torque_layer_type *client_layer(struct torque_tls_config *config, const char *host);

/* A party (streams.h) with that layer, whose reference it takes. */
static inline struct party *tls_party(struct fixture *f, struct torque_layer_type *layer, torque_stream_data_fn *data,
                                      torque_stream_end_fn *end);

/* In a callback of a party whose `more` is the layer's type. */
static inline struct torque_layer *layer_of(torque_source stream, struct party *p);

/* ---- A peer ---- */

struct peer {
  SSL *ssl;
  BIO *in, *out; /* what it has got, and what it wants to send */
  int fd;
  int ended;  /* the other side's end was read */
  int failed; /* OpenSSL met an error, which is in `why` */
  unsigned long why;
};

/* Contexts of OpenSSL's own: version 0: whatever there is. verify: the client has the root, the server asks for a
 * certificate. */
static inline SSL_CTX *peer_server_ctx(int version);
static inline SSL_CTX *peer_client_ctx(int version);

static inline void peer_open(struct peer *p, SSL_CTX *ctx, int fd, int server);
static inline void peer_close(struct peer *p); /* the descriptor is left */

/* Reads what has come; answers whether there was something. */
static inline int peer_pull(struct peer *p);
/* Sends what OpenSSL wants to, at most `most` bytes; answers how many. */
static inline size_t peer_push(struct peer *p, size_t most);
/* One step of the handshake, or of anything that is read: 1 it is done. */
static inline int peer_shake(struct peer *p);
/* The whole handshake, in pieces of at most `most` bytes; 0 if it failed. */
static inline int peer_meet(struct fixture *f, struct peer *p, size_t most);
/* Reads data, up to `length`; answers how many, 0 if there are none. */
static inline size_t peer_read(struct peer *p, void *data, size_t length);
/* The other side's goodbye was read. */
static inline int peer_bye(const struct peer *p);

/* Sends and gets back the pattern's bytes, while both sides step. 0: something else came. */
static inline int peer_echo(struct fixture *f, struct peer *p, uint64_t all, size_t piece, size_t most);

/* ---- Certificates ---- */

static struct certificates everybody;
static int certificates_made;
static char certificate_folder[] = "/tmp/torque-tls-XXXXXX";
static char certificate_files[64][64];
static int certificate_file_count;

static inline void add_extension(X509 *x, const X509 *issuer, int nid, const char *value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, (X509 *)(uintptr_t)issuer, x, NULL, NULL, 0);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
  assert_non_null(e);
  assert_true(X509_add_ext(x, e, -1));
  X509_EXTENSION_free(e);
}

static inline char *taken(BIO *bio, size_t *ret_length) {
  char *data;
  const long n = BIO_get_mem_data(bio, &data);
  char *copy = malloc((size_t)n + 1);
  assert_non_null(copy);
  memcpy(copy, data, (size_t)n);
  copy[n] = 0;
  *ret_length = (size_t)n;
  BIO_free(bio);
  return copy;
}

/* issuer null: itself. names null: it issues others. */
static inline void make(struct identity *id, const struct identity *issuer, const char *common, const char *names,
                        long from, long to) {
  static long serial = 1;
  id->key = EVP_EC_gen("P-256");
  X509 *x = id->x509 = X509_new();
  assert_non_null(id->key);
  assert_non_null(x);
  const X509 *by = issuer ? issuer->x509 : x;
  assert_true(X509_set_version(x, X509_VERSION_3));
  ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
  X509_gmtime_adj(X509_getm_notBefore(x), from * 86400);
  X509_gmtime_adj(X509_getm_notAfter(x), to * 86400);
  X509_set_pubkey(x, id->key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)common, -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(by));
  add_extension(x, by, NID_basic_constraints, names ? "critical,CA:FALSE" : "critical,CA:TRUE");
  add_extension(x, by, NID_subject_key_identifier, "hash");
  if (names && *names) add_extension(x, by, NID_subject_alt_name, names);
  assert_true(X509_sign(x, issuer ? issuer->key : id->key, EVP_sha256()) > 0);

  BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
  assert_true(PEM_write_bio_X509(chain, x));
  if (issuer == &everybody.between) assert_true(PEM_write_bio_X509(chain, issuer->x509));
  assert_true(PEM_write_bio_PrivateKey(key, id->key, NULL, NULL, 0, NULL, NULL));
  id->chain = taken(chain, &id->chain_length);
  id->pem_key = taken(key, &id->key_length);
}

static inline const struct certificates *certificates(void) {
  if (certificates_made) return &everybody;
  certificates_made = 1;
  make(&everybody.root, NULL, "The root", NULL, -1, 100);
  make(&everybody.between, &everybody.root, "In between", NULL, -1, 100);
  make(&everybody.server, &everybody.between, "server", "DNS:server.test,DNS:localhost,IP:127.0.0.1,IP:::1", -1, 100);
  make(&everybody.other, &everybody.between, "other", "DNS:other.test,DNS:*.wild.test", -1, 100);
  make(&everybody.expired, &everybody.between, "expired", "DNS:server.test", -10, -1);
  make(&everybody.client, &everybody.between, "client", "email:client@client.test", -1, 100);
  make(&everybody.foreign_root, NULL, "Unknown", NULL, -1, 100);
  make(&everybody.foreign, &everybody.foreign_root, "foreign", "DNS:server.test", -1, 100);
  assert_non_null(mkdtemp(certificate_folder));
  return &everybody;
}

static inline void forget(struct identity *id) {
  EVP_PKEY_free(id->key);
  X509_free(id->x509);
  free(id->chain);
  free(id->pem_key);
}

static inline void certificates_free(void) {
  if (!certificates_made) return;
  struct identity *const every[] = {&everybody.root,         &everybody.between, &everybody.server,
                                    &everybody.other,        &everybody.expired, &everybody.client,
                                    &everybody.foreign_root, &everybody.foreign};
  for (size_t i = 0; i < sizeof every / sizeof *every; i++) forget(every[i]);
  while (certificate_file_count) unlink(certificate_files[--certificate_file_count]);
  rmdir(certificate_folder);
  certificates_made = 0;
}

static inline int certificates_down(void **state) {
  (void)state;
  certificates_free();
  return 0;
}

static inline const char *identity_file(const struct identity *id, int key) {
  assert_true(certificate_file_count < 64);
  char *name = certificate_files[certificate_file_count];
  snprintf(name, sizeof certificate_files[0], "%s/%d.pem", certificate_folder, certificate_file_count);
  certificate_file_count++;
  FILE *out = fopen(name, "w");
  assert_non_null(out);
  const size_t length = key ? id->key_length : id->chain_length;
  assert_int_equal(fwrite(key ? id->pem_key : id->chain, 1, length, out), length);
  assert_int_equal(fclose(out), 0);
  return name;
}

/* ---- Layer types ---- */

static inline struct torque_tls_config *server_config(void) {
  const struct identity *id = &certificates()->server;
  struct torque_tls_config *c = NULL;
  assert_int_equal(torque_tls_config_new(&c), 0);
  assert_int_equal(torque_tls_config_add_certificate_pem(c, id->chain, id->chain_length, id->pem_key, id->key_length),
                   0);
  return c;
}

static inline struct torque_tls_config *client_config(void) {
  const struct identity *id = &certificates()->root;
  struct torque_tls_config *c = NULL;
  assert_int_equal(torque_tls_config_new(&c), 0);
  assert_int_equal(torque_tls_config_add_trust_pem(c, id->chain, id->chain_length), 0);
  return c;
}

static inline struct torque_layer_type *server_layer(struct torque_tls_config *config) {
  struct torque_layer_type *type = NULL;
  assert_int_equal(torque_tls_server(config, &type), 0);
  torque_tls_config_free(config);
  return type;
}

static inline struct torque_layer_type *client_layer(struct torque_tls_config *config, const char *host) {
  struct torque_layer_type *type = NULL;
  assert_int_equal(torque_tls_client(config, host, &type), 0);
  torque_tls_config_free(config);
  return type;
}

static inline struct party *tls_party(struct fixture *f, struct torque_layer_type *layer, torque_stream_data_fn *data,
                                      torque_stream_end_fn *end) {
  struct party *p = party_new(f, data, end);
  p->more = layer;
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
  return p;
}

static inline struct torque_layer *layer_of(torque_source stream, struct party *p) {
  struct torque_layer *layer = NULL;
  if (torque_stream_layer(stream, p->more, &layer)) p->strange++;
  return layer;
}

/* ---- A peer ---- */

static inline SSL_CTX *new_ctx(int version) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_method());
  assert_non_null(ctx);
  assert_true(SSL_CTX_set_min_proto_version(ctx, version ? version : TLS1_2_VERSION));
  assert_true(SSL_CTX_set_max_proto_version(ctx, version));
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return ctx;
}

static inline SSL_CTX *peer_server_ctx(int version) {
  SSL_CTX *ctx = new_ctx(version);
  const struct certificates *c = certificates();
  assert_true(SSL_CTX_use_certificate(ctx, c->server.x509));
  assert_true(SSL_CTX_add1_chain_cert(ctx, c->between.x509));
  assert_true(SSL_CTX_use_PrivateKey(ctx, c->server.key));
  return ctx;
}

static inline SSL_CTX *peer_client_ctx(int version) {
  SSL_CTX *ctx = new_ctx(version);
  assert_true(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certificates()->root.x509));
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
  return ctx;
}

static inline void peer_open(struct peer *p, SSL_CTX *ctx, int fd, int server) {
  *p = (struct peer){.ssl = SSL_new(ctx), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem()), .fd = fd};
  assert_non_null(p->ssl);
  BIO_set_mem_eof_return(p->in, -1);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* each cut is where the test made it */
  SSL_set_bio(p->ssl, p->in, p->out);
  server ? SSL_set_accept_state(p->ssl) : SSL_set_connect_state(p->ssl);
}

static inline void peer_close(struct peer *p) {
  SSL_free(p->ssl);
  p->ssl = NULL;
}

static inline int peer_pull(struct peer *p) {
  char bytes[65536];
  int any = 0;
  for (;;) {
    const ssize_t n = recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) p->ended = 1;
    if (n <= 0) return any;
    any = 1;
    assert_int_equal(BIO_write(p->in, bytes, (int)n), n);
  }
}

static inline size_t peer_push(struct peer *p, size_t most) {
  char *bytes;
  const long there = BIO_get_mem_data(p->out, &bytes);
  if (there <= 0) return 0;
  const size_t n = (size_t)there < most ? (size_t)there : most;
  const ssize_t sent = send(p->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent <= 0) return 0;
  char gone[4096];
  for (size_t left = (size_t)sent; left;)
    left -= (size_t)BIO_read(p->out, gone, left < sizeof gone ? (int)left : (int)sizeof gone);
  return (size_t)sent;
}

static inline void peer_met(struct peer *p, int answer) {
  switch (SSL_get_error(p->ssl, answer)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return;
    case SSL_ERROR_ZERO_RETURN:
      return;
    default:
      p->failed = 1;
      p->why = ERR_peek_error();
      ERR_clear_error();
  }
}

static inline int peer_bye(const struct peer *p) { return (SSL_get_shutdown(p->ssl) & SSL_RECEIVED_SHUTDOWN) != 0; }

static inline int peer_shake(struct peer *p) {
  ERR_clear_error();
  const int answer = SSL_do_handshake(p->ssl);
  if (answer != 1) peer_met(p, answer);
  return answer == 1;
}

/* While there is more to send nobody waits. */
static inline int peer_step(struct fixture *f, struct peer *p, const struct patience *patience) {
  if (!f->shape->driven || BIO_pending(p->out) == 0) return fixture_step(f, patience);
  assert_int_equal(torque_run_once(f->ctx, 0, NULL), 0);
  return patience_left(patience);
}

static inline int peer_meet(struct fixture *f, struct peer *p, size_t most) {
  struct patience patience = patience_start();
  for (int done = 0; !done || BIO_pending(p->out);) {
    peer_pull(p);
    if (!done) done = peer_shake(p);
    peer_push(p, most);
    if (p->failed || (p->ended && !done)) return 0;
    if (!peer_step(f, p, &patience)) return 0;
  }
  return 1;
}

static inline size_t peer_read(struct peer *p, void *data, size_t length) {
  ERR_clear_error();
  const int n = SSL_read(p->ssl, data, (int)length);
  if (n > 0) return (size_t)n;
  peer_met(p, n);
  return 0;
}

static inline int peer_echo(struct fixture *f, struct peer *p, uint64_t all_bytes, size_t piece, size_t most) {
  static unsigned char bytes[65536];
  uint64_t sent = 0, got = 0;
  struct patience patience = patience_start();
  while (got < all_bytes) {
    if (sent < all_bytes && BIO_pending(p->out) < 262144) {
      size_t n = all_bytes - sent < piece ? (size_t)(all_bytes - sent) : piece;
      if (n > sizeof bytes) n = sizeof bytes;
      pattern_fill(bytes, sent, n);
      ERR_clear_error();
      const int w = SSL_write(p->ssl, bytes, (int)n);
      if (w > 0)
        sent += (uint64_t)w;
      else
        peer_met(p, w);
    }
    peer_push(p, most);
    const int any = peer_pull(p);
    for (size_t n; (n = peer_read(p, bytes, sizeof bytes));) {
      if (!pattern_is(bytes, got, n)) return 0;
      got += n;
    }
    if (p->failed || (p->ended && got < all_bytes)) return 0;
    if (any) patience = patience_start();
    if (!peer_step(f, p, &patience)) return 0;
  }
  return got == all_bytes;
}

#endif
