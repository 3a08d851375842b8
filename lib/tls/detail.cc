// SPDX-License-Identifier: BSD-3-Clause
// OpenSSL's errors: a queue that each thread has. It is emptied before it is left, and what it said is kept as a text.
#include <openssl/err.h>

#include <cstdio>

#include "tls.hh"

namespace torque_tls {

namespace {

constinit thread_local char detail[256] = "";

bool is_alert(unsigned long e) noexcept {
  return ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) >= SSL_AD_REASON_OFFSET;
}

torque_err classify(const Conn &c, unsigned long e) noexcept {
  const int reason = ERR_GET_REASON(e);
  if (reason == ERR_R_MALLOC_FAILURE) return TORQUE_ERR_RESOURCE;
  if (is_alert(e)) return TORQUE_ERR_TLS_REFUSED;
  if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
      (reason == SSL_R_CERTIFICATE_VERIFY_FAILED || reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)) {
    return TORQUE_ERR_TLS_VERIFY;
  }
  return c.ready ? TORQUE_ERR_TLS_PROTOCOL : TORQUE_ERR_TLS_HANDSHAKE;
}

}  // namespace

torque_err explain(torque_err err, const char *more) noexcept {
  const char *data = nullptr;
  int flags = 0;
  // The first is the cause, those behind it say what it made impossible.
  const unsigned long e = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags);
  const char *reason = e ? ERR_reason_error_string(e) : nullptr;
  if (!more && (flags & ERR_TXT_STRING) && data && *data) more = data;
  if (reason) {
    std::snprintf(detail, sizeof detail, more ? "%s: %s" : "%s", reason, more);
  } else if (e) {
    ERR_error_string_n(e, detail, sizeof detail);
  } else {
    std::snprintf(detail, sizeof detail, "%s", more ? more : torque_errstr(err));
  }
  ERR_clear_error();
  return err;
}

torque_err explain_text(torque_err err, const char *text) noexcept {
  std::snprintf(detail, sizeof detail, "%s", text);
  ERR_clear_error();
  return err;
}

torque_err explain_failure(const Conn &c) noexcept {
  if (c.named) return explain_text(c.named, torque_errstr(c.named));
  if (c.down) return explain_text(c.down, torque_errstr(c.down));
  const torque_err err = classify(c, ERR_peek_error());
  const long result = err == TORQUE_ERR_TLS_VERIFY ? SSL_get_verify_result(c.ssl) : X509_V_OK;
  return explain(err, result != X509_V_OK ? X509_verify_cert_error_string(result) : nullptr);
}

}  // namespace torque_tls

extern "C" const char *torque_tls_detail(void) { return torque_tls::detail; }
