// SPDX-License-Identifier: BSD-3-Clause
// What a program may know about a connection.
#include <openssl/err.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "tls.hh"

namespace torque_tls {

torque_err store_session(SSL_SESSION *session, void *data, size_t size, size_t *ret_length) noexcept {
  if (!session) {
    *ret_length = 0;
    return TORQUE_ERR_NONE;
  }
  ERR_clear_error();
  unsigned char *bytes = nullptr;
  const int length = i2d_SSL_SESSION(session, &bytes);
  if (length < 0) return explain(TORQUE_ERR_RESOURCE);
  if (size) std::memcpy(data, bytes, std::min(size, static_cast<size_t>(length)));
  *ret_length = static_cast<size_t>(length);
  OPENSSL_clear_free(bytes, static_cast<size_t>(length));
  return TORQUE_ERR_NONE;
}

}  // namespace torque_tls

using namespace torque_tls;

extern "C" {

int32_t torque_tls_version(const struct torque_layer *layer) { return SSL_version(conn_of(layer).ssl); }

const char *torque_tls_cipher(const struct torque_layer *layer) { return SSL_get_cipher_name(conn_of(layer).ssl); }

const char *torque_tls_name(const struct torque_layer *layer) {
  return SSL_get_servername(conn_of(layer).ssl, TLSEXT_NAMETYPE_host_name);
}

int32_t torque_tls_resumed(const struct torque_layer *layer) { return SSL_session_reused(conn_of(layer).ssl); }

torque_err torque_tls_alpn(const struct torque_layer *layer, const char **ret_name, size_t *ret_length) {
  if (!ret_name || !ret_length) return TORQUE_ERR_INVAL;
  const unsigned char *name;
  unsigned length;
  SSL_get0_alpn_selected(conn_of(layer).ssl, &name, &length);
  *ret_name = reinterpret_cast<const char *>(name);
  *ret_length = length;
  return TORQUE_ERR_NONE;
}

int32_t torque_tls_verified(const struct torque_layer *layer) {
  const SSL *ssl = conn_of(layer).ssl;
  if (!SSL_get0_peer_certificate(ssl)) return TORQUE_TLS_NO_CERTIFICATE;
  return static_cast<int32_t>(SSL_get_verify_result(ssl));
}

torque_err torque_tls_peer_der(const struct torque_layer *layer, void *data, size_t size, size_t *ret_length) {
  if (!ret_length || (size && !data)) return TORQUE_ERR_INVAL;
  X509 *x = SSL_get0_peer_certificate(conn_of(layer).ssl);
  if (!x) {
    *ret_length = 0;
    return TORQUE_ERR_NONE;
  }
  ERR_clear_error();
  unsigned char *bytes = nullptr;
  const int length = i2d_X509(x, &bytes);
  if (length < 0) return explain(TORQUE_ERR_RESOURCE);
  if (size) std::memcpy(data, bytes, std::min(size, static_cast<size_t>(length)));
  *ret_length = static_cast<size_t>(length);
  OPENSSL_free(bytes);
  return TORQUE_ERR_NONE;
}

struct x509_st *torque_tls_peer_x509(const struct torque_layer *layer) {
  return SSL_get1_peer_certificate(conn_of(layer).ssl);
}

torque_err torque_tls_session(const struct torque_layer *layer, void *data, size_t size, size_t *ret_length) {
  if (!ret_length || (size && !data)) return TORQUE_ERR_INVAL;
  return store_session(SSL_get0_session(conn_of(layer).ssl), data, size, ret_length);
}

struct ssl_st *torque_tls_ssl(const struct torque_layer *layer) {
  return conn_of(layer).ssl;
}

}  // extern "C"
