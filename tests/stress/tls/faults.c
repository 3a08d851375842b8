/* SPDX-License-Identifier: BSD-3-Clause */
/* Every allocation of OpenSSL's and of ours, and every system call of ours, fails in turn while configurations are made,
 * hands are shaken and data goes both ways: the n-th one, for ever larger n, until a run meets none. A call that fails
 * can be made again; each stream ends once; and the next connection is as if nothing had been. */
#include "api/tls/support.h"
#include "support/faults_calls.h"
#include "support/faults_memory.h"

#include <openssl/crypto.h>
#include <stdatomic.h>

#include "support/cmocka.h"

enum { MOST = 20000, CLIENTS = 2 };

static struct fixture own; /* of one run */

/* OpenSSL's allocations, counted while armed; 0: none fails. */
static _Atomic uint32_t openssl_left, openssl_met;

static int openssl_fails(void) {
  uint32_t left = atomic_load(&openssl_left);
  while (left && !atomic_compare_exchange_weak(&openssl_left, &left, left - 1)) {
  }
  if (left != 1) return 0;
  atomic_fetch_add(&openssl_met, 1);
  return 1;
}
static void *take(size_t size, const char *file, int line) {
  (void)file, (void)line;
  return size == 0 || openssl_fails() ? NULL : malloc(size);
}
static void *take_more(void *old, size_t size, const char *file, int line) {
  (void)file, (void)line;
  if (size == 0) return free(old), NULL;
  return openssl_fails() ? NULL : realloc(old, size);
}
static void give(void *p, const char *file, int line) {
  (void)file, (void)line;
  free(p);
}

static void arm(int32_t err, uint32_t nth) {
  atomic_store(&openssl_met, 0);
  if (err)
    faults_arm(err, nth);
  else
    atomic_store(&openssl_left, nth);
}

static uint32_t disarm(int32_t err) {
  atomic_store(&openssl_left, 0);
  return err ? faults_disarm() : atomic_load(&openssl_met);
}

/* One call fails at most: so the second time it does not. (What a setter has not done can be done by another.) */
#define TRY(call)                                        \
  do {                                                   \
    const torque_err err_ = (call);                      \
    if (err_) assert_int_equal((call), TORQUE_ERR_NONE); \
  } while (0)

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  (void)arg;
  return torque_stream_write(stream, data, length) ? 0 : length;
}

static void says_hello(torque_source stream, void *arg) {
  struct party *p = arg;
  p->opened++;
  if (torque_stream_write(stream, "hello", 5)) (void)torque_stream_abort(stream);
}

static size_t hears_it(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  if (length < 5) return 0;
  if (memcmp(data, "hello", 5)) p->strange++;
  p->in += length;
  if (torque_stream_close(stream)) (void)torque_stream_abort(stream);
  return length;
}

/* Both sides give up by themselves: nobody waits for a peer that failed without a word. */
static struct party *party(torque_stream_data_fn *data, torque_stream_open_fn *open, struct torque_layer_type *layer) {
  struct party *p = party_new(&own, data, NULL);
  if (open) assert_int_equal(torque_stream_type_set_open(p->type, open), 0);
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_CONNECT_TIMEOUT, 2000 * (uint64_t)1000000), 0);
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_IDLE_TIMEOUT, 2000 * (uint64_t)1000000), 0);
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
  return p;
}

static struct torque_layer_type *make_server(void) {
  const struct identity *id = &certificates()->server;
  struct torque_tls_config *c = NULL;
  struct torque_layer_type *type = NULL;
  TRY(torque_tls_config_new(&c));
  TRY(torque_tls_config_add_certificate_pem(c, id->chain, id->chain_length, id->pem_key, id->key_length));
  TRY(torque_tls_server(c, &type));
  torque_tls_config_free(c);
  return type;
}

static struct torque_layer_type *make_client(void) {
  const struct identity *id = &certificates()->root;
  struct torque_tls_config *c = NULL;
  struct torque_layer_type *type = NULL;
  TRY(torque_tls_config_new(&c));
  TRY(torque_tls_config_add_trust_pem(c, id->chain, id->chain_length));
  TRY(torque_tls_client(c, "server.test", &type));
  torque_tls_config_free(c);
  return type;
}

static void dial(const struct sockaddr_in *where, struct party *c) {
  torque_source s;
  TRY(torque_stream_connect(own.ctx, where, sizeof *where, c->type, c, &s));
}

/* Answers whether a fault was met. */
static uint32_t run(const struct shape *shape, int32_t err, uint32_t nth) {
  memset(&own, 0, sizeof own);
  own.shape = shape;
  const unsigned descriptors = descriptors_open(), threads = threads_alive();
  struct torque_config *config = shape_config(shape);
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  torque_source listener = 0;
  uint32_t length = 0;
  faults_watch();
  arm(err, nth);
  struct torque_layer_type *for_server = make_server(), *for_client = make_client();
  uint32_t met = disarm(err);
  struct party *s = party(echo, NULL, for_server), *c = party(hears_it, says_hello, for_client);
  if (!met) arm(err, nth); /* the set-up had less than that: now the connections */
  TRY(torque_ctx_new(config, &own.ctx));
  TRY(torque_stream_listen(own.ctx, &where, sizeof where, 0, TORQUE_LISTEN_DEFAULT, s->type, s, &listener));
  TRY(torque_listen_address(listener, &where, sizeof where, &length));
  for (int i = 0; i < CLIENTS; i++) dial(&where, c);
  AWAIT(&own, c->closed == CLIENTS);
  if (!met) met = disarm(err);
  const uint64_t before = c->in;
  dial(&where, c);
  AWAIT(&own, c->closed == CLIENTS + 1);
  if (c->in != before + 5 || c->err)
    fail_msg("%s, number %u (%s): %s", strerror(err), nth, faults_failed(), torque_errstr(c->err));
  assert_int_equal(torque_stop(own.ctx), 0);
  own.ctx = NULL;
  assert_int_equal(c->closed, CLIENTS + 1);
  /* A connection that was not to be had is none; one whose call failed after the kernel had made it is one more. */
  assert_true(s->closed <= CLIENTS + 2);
  assert_int_equal(c->strange, 0);
  torque_config_free(config);
  party_free(s);
  party_free(c);
  fixture_release(&own);
  for (int i = 0; i < 5000 && threads_alive() != threads; i++) nap();
  if (descriptors_open() != descriptors || (nth && faults_blocks))
    fail_msg("%s, number %u (%s): %u descriptors, were %u; %u blocks left", strerror(err), nth, faults_failed(),
             descriptors_open(), descriptors, faults_blocks);
  return met;
}

static void one_after_the_other(void **state) {
  struct fixture *f = *state;
  static const int32_t lacks[] = {0, ENOMEM, EMFILE, EINTR}; /* 0: OpenSSL's memory */
  const struct shape *shape = f->shape;
  (void)run(shape, EINTR, 0); /* what is made once for the process is there from now on */
  for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++) {
    uint32_t n = 1;
    for (int quiet = 0; quiet < 2; n++) {
      assert_true(n < MOST);
      quiet = run(shape, lacks[i], n) ? 0 : quiet + 1;
      if (n > 24) n += shape->driven && !SANITIZED ? n / 8 : n / 2;
    }
    assert_true(n > 3); /* something was met at all */
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {ON(driven, one_after_the_other), ON(single, one_after_the_other)};
  if (!CRYPTO_set_mem_functions(take, take_more, give)) return 1;
  faults_of("torque_tls_config_new");
  (void)certificates();
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
