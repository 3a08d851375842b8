// SPDX-License-Identifier: BSD-3-Clause
// A connection as a layer.
//
// Always true: when a function of the layer has returned, OpenSSL has read all of its input but what receive() answers
// that it has not taken, and holds at most a part of one record; the thread's queue of errors is empty.
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "tls.hh"

namespace torque_tls {

namespace {

constexpr size_t kRecordMax = SSL3_RT_MAX_PLAIN_LENGTH;

// ---- Making one ----

bool set_host(SSL *ssl, const Side &side) noexcept {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  if (side.host_is_address) return X509_VERIFY_PARAM_set1_ip_asc(param, side.host);
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set_tlsext_host_name(ssl, side.host) && SSL_set1_host(ssl, side.host);
}

void set_verify(SSL *ssl, const Config &config, bool server) noexcept {
  const int32_t how = config.verify;
  if (!server) {
    // A client that does not insist still looks, and the result can be asked for.
    const bool insist = how == TORQUE_TLS_VERIFY_DEFAULT || how == TORQUE_TLS_VERIFY_REQUIRED;
    SSL_set_verify(ssl, insist ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  } else if (how == TORQUE_TLS_VERIFY_REQUIRED) {
    SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  } else if (how == TORQUE_TLS_VERIFY_OPTIONAL) {
    SSL_set_verify(ssl, SSL_VERIFY_PEER, torque_tls_take_any);
  } else {
    SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
  }
}

// One that does not fit is not offered.
void offer_session(SSL *ssl, Side &side) noexcept {
  SSL_SESSION *session;
  {
    Lock lock(side.lock);
    session = side.session;
    if (session) SSL_SESSION_up_ref(session);
  }
  if (!session) return;
  if (!SSL_set_session(ssl, session)) ERR_clear_error();
  SSL_SESSION_free(session);
}

// Of what the side has at this moment. False: no memory.
bool make_ssl(Conn &c) noexcept {
  SSL_CTX *ctx;
  {
    Lock lock(c.side->lock);
    ctx = c.side->ctx;
    SSL_CTX_up_ref(ctx);
    c.config = c.side->config ? torque_tls_config_ref(c.side->config) : nullptr;
  }
  c.ssl = SSL_new(ctx);
  SSL_CTX_free(ctx);
  return c.ssl != nullptr;
}

void free_conn(Conn *c) noexcept {
  SSL_free(c->ssl);
  if (c->config) unref(c->config);
  if (c->shown) unref(c->shown);
  delete c;
}

bool prepare(Conn &c) noexcept {
  Side &side = *c.side;
  BIO *bio = make_bio(c);
  if (!bio) return false;
  SSL_set_bio(c.ssl, bio, bio);
  SSL_set_read_ahead(c.ssl, 0);
  SSL_set_mode(c.ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_AUTO_RETRY);
  side.server ? SSL_set_accept_state(c.ssl) : SSL_set_connect_state(c.ssl);
  if (c.config) set_verify(c.ssl, *c.config, side.server);
  if (side.server) return true;
  offer_session(c.ssl, side);
  return !side.host || set_host(c.ssl, side);
}

// ---- Handshake and data ----

// What OpenSSL answers: more is needed, it is over, or it failed, which is explained.
enum class Met { more, end, failure };

Met met(Conn &c, int answer, torque_err *ret_err) noexcept {
  switch (SSL_get_error(c.ssl, answer)) {
    case SSL_ERROR_WANT_READ:
      return Met::more;
    case SSL_ERROR_ZERO_RETURN:
      return Met::end;
    case SSL_ERROR_WANT_X509_LOOKUP:
    case SSL_ERROR_WANT_CLIENT_HELLO_CB:
    case SSL_ERROR_WANT_ASYNC:
    case SSL_ERROR_WANT_ASYNC_JOB:
    case SSL_ERROR_WANT_RETRY_VERIFY:
      *ret_err = explain_text(TORQUE_ERR_TLS_HANDSHAKE, "a callback of the SSL_CTX wants to be called later");
      return Met::failure;
    default:
      *ret_err = explain_failure(c);
      return Met::failure;
  }
}

torque_err shake_hands(Conn &c) noexcept {
  const int answer = SSL_do_handshake(c.ssl);
  if (answer == 1) {
    c.ready = true;
    torque_layer_ready(c.layer);
    return TORQUE_ERR_NONE;
  }
  torque_err err = TORQUE_ERR_NONE;
  if (met(c, answer, &err) == Met::end) {
    err = explain_text(TORQUE_ERR_TLS_HANDSHAKE, "the peer closed the connection within the handshake");
  }
  return err;
}

// While OpenSSL is in the midst of a message that is part of a handshake (a ticket, a renegotiation) it cannot send.
void hold_or_go_on(Conn &c) noexcept {
  const bool hold = SSL_in_init(c.ssl);
  if (hold == c.held) return;
  c.held = hold;
  hold ? torque_layer_hold(c.layer) : torque_layer_ready(c.layer);
}

// Reads records as long as there is input and room for one more. Answers the bytes; *ret_more: there may be others.
size_t read_records(Conn &c, char *to, bool *ret_more, bool *ret_end) noexcept {
  size_t n = 0;
  *ret_more = *ret_end = false;
  while (TORQUE_LAYER_SCRATCH - n >= kRecordMax) {
    const int answer = SSL_read(c.ssl, to + n, static_cast<int>(TORQUE_LAYER_SCRATCH - n));
    if (answer > 0) {
      n += static_cast<size_t>(answer);
      // Nothing is left in OpenSSL either; a call to hear it say so costs an allocation.
      if (c.in_left == 0 && SSL_pending(c.ssl) == 0) return n;
      continue;
    }
    *ret_end = met(c, answer, &c.wrong) == Met::end;
    return n;
  }
  *ret_more = true;
  return n;
}

torque_err pass_up(Conn &c) noexcept {
  auto *scratch = static_cast<char *>(torque_layer_scratch(c.layer));
  if (!scratch) return TORQUE_ERR_RESOURCE;
  for (bool more = true, end = false; more;) {
    const size_t n = c.wrong ? 0 : read_records(c, scratch, &more, &end);
    hold_or_go_on(c);
    // What is not read now, the end and a failure too, is found in the next call.
    if (n && !torque_layer_up(c.layer, scratch, n)) return TORQUE_ERR_NONE;
    if (c.wrong) return c.wrong;
    if (end) torque_layer_up_end(c.layer);
  }
  return TORQUE_ERR_NONE;
}

// OpenSSL sends the peer of a connection that was cut off an alert (decode_error), unless we have said goodbye.
void answer_cut(Conn &c) noexcept {
  if (SSL_get_shutdown(c.ssl) & SSL_SENT_SHUTDOWN) return;
  ERR_clear_error();
  c.cut = true;
  char byte;
  (void)(c.ready ? SSL_read(c.ssl, &byte, 1) : SSL_do_handshake(c.ssl));
  ERR_clear_error();
}

extern "C" {

static torque_err tls_open(torque_layer *layer, void *arg, void **ret_state) {
  auto *side = static_cast<Side *>(arg);
  auto *c = new (std::nothrow) Conn{layer, side, nullptr, nullptr, nullptr, nullptr, 0, 0, 0, 0, false, false, false};
  if (!c) return TORQUE_ERR_RESOURCE;
  ERR_clear_error();
  if (!make_ssl(*c) || !prepare(*c)) {
    free_conn(c);
    return explain(TORQUE_ERR_RESOURCE);
  }
  *ret_state = c;
  return TORQUE_ERR_NONE;
}

static void tls_close(void *state) { free_conn(static_cast<Conn *>(state)); }

static torque_err tls_start(torque_layer *, void *state) {
  auto &c = *static_cast<Conn *>(state);
  ERR_clear_error();
  return c.side->server ? TORQUE_ERR_NONE : shake_hands(c);
}

static torque_err tls_receive(torque_layer *, void *state, const void *data, size_t length, size_t *ret_taken) {
  auto &c = *static_cast<Conn *>(state);
  ERR_clear_error();
  c.in = static_cast<const char *>(data);
  c.in_left = length;
  torque_err err = c.ready ? TORQUE_ERR_NONE : shake_hands(c);
  if (!err && c.ready) err = pass_up(c);
  *ret_taken = length - std::exchange(c.in_left, 0);
  return err;
}

static torque_err tls_send(torque_layer *, void *state, const void *data, size_t length) {
  auto &c = *static_cast<Conn *>(state);
  auto *at = static_cast<const char *>(data);
  ERR_clear_error();
  while (length) {
    const int n = SSL_write(c.ssl, at, static_cast<int>(std::min<size_t>(length, INT_MAX)));
    if (n <= 0) return explain_failure(c);
    at += n;
    length -= static_cast<size_t>(n);
  }
  return TORQUE_ERR_NONE;
}

static torque_err tls_end(torque_layer *, void *state) {
  auto &c = *static_cast<Conn *>(state);
  if (!c.ready || SSL_in_init(c.ssl)) return TORQUE_ERR_NONE;
  ERR_clear_error();
  return SSL_shutdown(c.ssl) < 0 ? explain_failure(c) : TORQUE_ERR_NONE;
}

static torque_err tls_ended(torque_layer *, void *state) {
  auto &c = *static_cast<Conn *>(state);
  const bool allowed =
      c.config ? c.config->abrupt : (SSL_get_options(c.ssl) & SSL_OP_IGNORE_UNEXPECTED_EOF) != 0;
  if (c.ready && allowed) return TORQUE_ERR_NONE;
  answer_cut(c);
  return explain_text(TORQUE_ERR_TLS_TRUNCATED, c.ready ? "the peer's end came without close_notify"
                                                         : "the peer's end came within the handshake");
}

}  // extern "C"

}  // namespace

int torque_tls_take_any(int, X509_STORE_CTX *) { return 1; }

int torque_tls_on_session(SSL *ssl, SSL_SESSION *session) {
  Conn *c = conn_of(ssl);
  if (!c || c->side->server) return 0;
  SSL_SESSION *before;
  {
    Lock lock(c->side->lock);
    before = std::exchange(c->side->session, session);
  }
  SSL_SESSION_free(before);
  return 1;
}

void free_side(void *arg) {
  auto *side = static_cast<Side *>(arg);
  {
    Lock lock(side->lock);
    SSL_SESSION_free(side->session);
    SSL_CTX_free(side->ctx);
    if (side->config) unref(side->config);
  }
  std::free(side->host);
  delete side;
}

Side *side_of(const torque_layer_type *type) noexcept {
  return static_cast<Side *>(torque_layer_type_arg(type, free_side));
}

torque_err make_layer_type(Side *side, torque_layer_type **ret_type) noexcept {
  torque_layer_type *type;
  const torque_err err = torque_layer_type_new(&type);
  if (err) {
    free_side(side);
    return err;
  }
  (void)torque_layer_type_set_arg(type, side, free_side);
  (void)torque_layer_type_set_name(type, "tls");
  (void)torque_layer_type_set_open(type, tls_open);
  (void)torque_layer_type_set_close(type, tls_close);
  (void)torque_layer_type_set_start(type, tls_start);
  (void)torque_layer_type_set_receive(type, tls_receive);
  (void)torque_layer_type_set_send(type, tls_send);
  (void)torque_layer_type_set_end(type, tls_end);
  (void)torque_layer_type_set_ended(type, tls_ended);
  *ret_type = type;
  return TORQUE_ERR_NONE;
}

}  // namespace torque_tls

using namespace torque_tls;

namespace {

// For the connections to come.
void set_ctx(Side &side, SSL_CTX *ctx, Config *config) noexcept {
  SSL_CTX_up_ref(ctx);
  if (config) torque_tls_config_ref(config);
  {
    Lock lock(side.lock);
    std::swap(side.ctx, ctx);
    std::swap(side.config, config);
  }
  SSL_CTX_free(ctx);
  if (config) unref(config);
}

torque_err make_side(SSL_CTX *ctx, Config *config, const char *host, bool server,
                     torque_layer_type **ret_type) noexcept {
  auto *side = new (std::nothrow) Side;
  if (!side) return TORQUE_ERR_RESOURCE;
  side->server = server;
  if (host) {
    side->host = ::strdup(host);
    unsigned char address[16];
    side->host_is_address = ::inet_pton(AF_INET, host, address) == 1 || ::inet_pton(AF_INET6, host, address) == 1;
  }
  set_ctx(*side, ctx, config);
  if (host && !side->host) {
    free_side(side);
    return TORQUE_ERR_RESOURCE;
  }
  return make_layer_type(side, ret_type);
}

// The first use decides; what depends on it is set then.
torque_err begin_use(Config &c, Use use) noexcept {
  const Use before = c.use.load(std::memory_order_relaxed);
  if (before != Use::unknown) return before == use ? TORQUE_ERR_NONE : TORQUE_ERR_STATE;
  ERR_clear_error();
  if (use == Use::server) {
    if (!c.certificate && !c.names && !c.name_fn) return TORQUE_ERR_INVAL;
    SSL_CTX_set_session_cache_mode(c.ctx, c.cache ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
    if (!c.tickets) SSL_CTX_set_options(c.ctx, SSL_OP_NO_TICKET);
  } else {
    if (!c.trust && c.verify != TORQUE_TLS_VERIFY_NONE && !SSL_CTX_set_default_verify_paths(c.ctx)) {
      return explain(TORQUE_ERR_TLS_CERTIFICATE);
    }
    SSL_CTX_set_session_cache_mode(c.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (c.tickets) SSL_CTX_sess_set_new_cb(c.ctx, torque_tls_on_session);
    if (c.alpn && SSL_CTX_set_alpn_protos(c.ctx, c.alpn, c.alpn_length) != 0) return TORQUE_ERR_RESOURCE;
  }
  c.use.store(use, std::memory_order_relaxed);
  return TORQUE_ERR_NONE;
}

bool host_is_good(const char *host) noexcept {
  return !host || (*host && std::strlen(host) <= TLSEXT_MAXLEN_host_name);
}

}  // namespace

extern "C" {

torque_err torque_tls_server(struct torque_tls_config *config, struct torque_layer_type **ret_type) {
  if (!config || !ret_type) return TORQUE_ERR_INVAL;
  const torque_err err = begin_use(*config, Use::server);
  return err ? err : make_side(config->ctx, config, nullptr, true, ret_type);
}

torque_err torque_tls_client(struct torque_tls_config *config, const char *host, struct torque_layer_type **ret_type) {
  if (!config || !ret_type || !host_is_good(host)) return TORQUE_ERR_INVAL;
  const torque_err err = begin_use(*config, Use::client);
  return err ? err : make_side(config->ctx, config, host, false, ret_type);
}

torque_err torque_tls_server_ctx(struct ssl_ctx_st *ctx, struct torque_layer_type **ret_type) {
  if (!ctx || !ret_type) return TORQUE_ERR_INVAL;
  return set_up() ? make_side(ctx, nullptr, nullptr, true, ret_type) : TORQUE_ERR_RESOURCE;
}

torque_err torque_tls_client_ctx(struct ssl_ctx_st *ctx, const char *host, struct torque_layer_type **ret_type) {
  if (!ctx || !ret_type || !host_is_good(host)) return TORQUE_ERR_INVAL;
  return set_up() ? make_side(ctx, nullptr, host, false, ret_type) : TORQUE_ERR_RESOURCE;
}

torque_err torque_tls_server_set_config(struct torque_layer_type *type, struct torque_tls_config *config) {
  Side *side = type ? side_of(type) : nullptr;
  if (!side || !side->server || !config) return TORQUE_ERR_INVAL;
  if (const torque_err err = begin_use(*config, Use::server)) return err;
  set_ctx(*side, config->ctx, config);
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_server_set_ctx(struct torque_layer_type *type, struct ssl_ctx_st *ctx) {
  Side *side = type ? side_of(type) : nullptr;
  if (!side || !side->server || !ctx) return TORQUE_ERR_INVAL;
  set_ctx(*side, ctx, nullptr);
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_client_session(struct torque_layer_type *type, void *data, size_t size, size_t *ret_length) {
  Side *side = type ? side_of(type) : nullptr;
  if (!side || side->server || !ret_length || (size && !data)) return TORQUE_ERR_INVAL;
  Lock lock(side->lock);
  return store_session(side->session, data, size, ret_length);
}

torque_err torque_tls_client_set_session(struct torque_layer_type *type, const void *data, size_t length) {
  Side *side = type ? side_of(type) : nullptr;
  if (!side || side->server || (length && !data) || length > LONG_MAX) return TORQUE_ERR_INVAL;
  SSL_SESSION *session = nullptr;
  if (length) {
    ERR_clear_error();
    auto *at = static_cast<const unsigned char *>(data);
    session = d2i_SSL_SESSION(nullptr, &at, static_cast<long>(length));
    if (!session) return explain(TORQUE_ERR_INVAL);
  }
  SSL_SESSION *before;
  {
    Lock lock(side->lock);
    before = std::exchange(side->session, session);
  }
  SSL_SESSION_free(before);
  return TORQUE_ERR_NONE;
}

}  // extern "C"
