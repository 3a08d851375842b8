// SPDX-License-Identifier: BSD-3-Clause
// The calls of the original libtorque: a listening socket whose connections are streams with a TLS layer, and callbacks
// that have a buffer and a struct ssl_cbstate.
#include <openssl/err.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "libtorque/buffers.h"
#include "libtorque/listen.h"
#include "libtorque/stream.h"
#include "tls.hh"

namespace {

typedef int BufferFn(int fd, struct torque_rxbuf *rxb, void *state);

// What the connections of one listener share. Its references: the listener's and one of each connection.
struct Door {
  torque_ctx *ctx;
  torque_stream_type *type;
  BufferFn *rx;
  BufferFn *tx;
  void *state;
  std::atomic<uint64_t> refs{1};
};

}  // namespace

struct ssl_cbstate {
  Door *door;
  torque_source stream;
  int fd;
};

namespace {

void unref(Door *d) noexcept {
  if (d->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  torque_stream_type_free(d->type);
  delete d;
}

// One call of the program. -1: it wants no more of this connection. (Unlike other descriptors, this one is not closed
// by the callback.)
bool call(ssl_cbstate &c, BufferFn *fn, const void *data, size_t length, size_t *ret_taken) noexcept {
  if (torque_rxbuf_call(c.fd, fn, &c, data, length, ret_taken) == 0) return true;
  (void)torque_stream_close(c.stream);
  return false;
}

bool call_with_kept(ssl_cbstate &c, BufferFn *fn) noexcept {
  const void *data = nullptr;
  size_t length = 0, taken;
  (void)torque_stream_peek(c.stream, &data, &length);
  if (!call(c, fn, data ? data : "", length, &taken)) return false;
  (void)torque_stream_consume(c.stream, taken);
  return true;
}

extern "C" {

static void on_open(torque_source stream, void *arg) {
  auto &c = *static_cast<ssl_cbstate *>(arg);
  c.stream = stream;
  if (c.door->tx) (void)call_with_kept(c, c.door->tx);
}

static size_t on_data(torque_source, const void *data, size_t length, void *arg) {
  auto &c = *static_cast<ssl_cbstate *>(arg);
  size_t taken = length;
  if (c.door->rx) (void)call(c, c.door->rx, data, length, &taken);
  return taken;
}

static void on_drain(torque_source, void *arg) {
  auto &c = *static_cast<ssl_cbstate *>(arg);
  if (c.door->tx) (void)call_with_kept(c, c.door->tx);
}

// What is left is told as long as the program takes of it, then that there is no more.
static void on_end(torque_source stream, void *arg) {
  auto &c = *static_cast<ssl_cbstate *>(arg);
  const void *data;
  size_t left = 0, before, taken;
  (void)torque_stream_peek(stream, &data, &left);
  for (before = 0; c.door->rx && left && left != before;) {
    before = left;
    if (!call_with_kept(c, c.door->rx)) return;
    (void)torque_stream_peek(stream, &data, &left);
  }
  if (!c.door->rx || call(c, c.door->rx, "", 0, &taken)) (void)torque_stream_close(stream);
}

static void on_close(torque_source, torque_err, void *arg) {
  auto *c = static_cast<ssl_cbstate *>(arg);
  unref(c->door);
  delete c;
}

static void on_accept(torque_source, int32_t fd, const void *, uint32_t, void *arg) {
  auto &d = *static_cast<Door *>(arg);
  auto *c = new (std::nothrow) ssl_cbstate{&d, 0, fd};
  torque_source stream;
  if (c) d.refs.fetch_add(1, std::memory_order_relaxed);
  if (c && !torque_stream_add(d.ctx, fd, d.type, c, &stream)) return;
  if (c) on_close(0, 0, c);
  ::close(fd);
}

static void on_final(torque_source, int32_t, void *arg) { unref(static_cast<Door *>(arg)); }

}  // extern "C"

torque_err make_type(Door &d, SSL_CTX *ctx) noexcept {
  torque_layer_type *layer;
  torque_err err = torque_tls_server_ctx(ctx, &layer);
  if (err) return err;
  err = torque_stream_type_new(&d.type);
  if (!err) {
    (void)torque_stream_type_set_open(d.type, on_open);
    (void)torque_stream_type_set_data(d.type, on_data);
    (void)torque_stream_type_set_drain(d.type, on_drain);
    (void)torque_stream_type_set_end(d.type, on_end);
    (void)torque_stream_type_set_close(d.type, on_close);
    err = torque_stream_type_add_layer(d.type, layer);
  }
  torque_layer_type_free(layer);
  return err;
}

bool use_files(SSL_CTX *ctx, const char *certfile, const char *keyfile) noexcept {
  return SSL_CTX_use_certificate_chain_file(ctx, certfile) == 1 &&
         (SSL_CTX_use_PrivateKey_file(ctx, keyfile, SSL_FILETYPE_PEM) == 1 ||
          SSL_CTX_use_PrivateKey_file(ctx, keyfile, SSL_FILETYPE_ASN1) == 1) &&
         SSL_CTX_check_private_key(ctx) == 1;
}

bool set_up_ctx(SSL_CTX *ctx, const char *certfile, const char *keyfile, const char *cafile, bool verify) noexcept {
  unsigned char id[SSL_MAX_SID_CTX_LENGTH];
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, nullptr);
  if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || RAND_bytes(id, sizeof id) != 1 ||
      SSL_CTX_set_session_id_context(ctx, id, sizeof id) != 1 ||
      (cafile && SSL_CTX_load_verify_locations(ctx, cafile, nullptr) != 1)) {
    return false;
  }
  if (!certfile && !keyfile) return true;
  return certfile && keyfile && use_files(ctx, certfile, keyfile);
}

}  // namespace

extern "C" {

int torque_init_ssl(void) { return OPENSSL_init_ssl(0, nullptr) == 1 ? 0 : -1; }

int torque_stop_ssl(void) { return 0; }

struct ssl_ctx_st *torque_ssl_ctx(const char *certfile, const char *keyfile, const char *cafile, unsigned cliver) {
  ERR_clear_error();
  SSL_CTX *ctx = SSL_CTX_new(TLS_method());
  if (ctx && set_up_ctx(ctx, certfile, keyfile, cafile, cliver != 0)) {
    ERR_clear_error();  // a key that was not in the first of two forms
    return ctx;
  }
  (void)torque_tls::explain(TORQUE_ERR_TLS_CERTIFICATE);
  SSL_CTX_free(ctx);
  return nullptr;
}

torque_err torque_addssl(struct torque_ctx *ctx, int fd, struct ssl_ctx_st *sslctx, BufferFn *rx, BufferFn *tx,
                         void *state) {
  if (!ctx || !sslctx || (!rx && !tx)) return TORQUE_ERR_INVAL;
  auto *d = new (std::nothrow) Door{ctx, nullptr, rx, tx, state};
  if (!d) return TORQUE_ERR_RESOURCE;
  torque_err err = make_type(*d, sslctx);
  torque_source listener;
  if (!err) err = torque_listen_fd_new(ctx, fd, TORQUE_LISTEN_DEFAULT, on_accept, d, &listener);
  if (err) {
    unref(d);
    return err;
  }
  (void)torque_source_set_finalizer(listener, on_final);
  err = torque_source_start(listener);
  if (err) (void)torque_source_remove(listener);
  return err;
}

int ssl_tx(int, struct ssl_cbstate *ssl, const void *data, int length) {
  if (!ssl || length < 0) return -1;
  return torque_stream_write(ssl->stream, data, static_cast<size_t>(length)) ? -1 : length;
}

void *torque_ssl_state(struct ssl_cbstate *ssl) { return ssl ? ssl->door->state : nullptr; }

}  // extern "C"
