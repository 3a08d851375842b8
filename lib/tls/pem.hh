// SPDX-License-Identifier: BSD-3-Clause
// Certificates and keys in PEM, from files or memory.
#pragma once

#include <cstddef>

#include "tls.hh"

namespace torque_tls {

// A text of somebody's, or one that was read; the latter is wiped when it goes, as it may be a key.
class Text {
 public:
  Text() noexcept = default;
  Text(const void *data, size_t length) noexcept : data_(static_cast<const char *>(data)), length_(length) {}
  ~Text();
  Text(const Text &) = delete;
  Text &operator=(const Text &) = delete;
  // Errors: SYSCALL + errno; RESOURCE.
  torque_err read(const char *file) noexcept;

  const char *data() const noexcept { return data_; }
  size_t length() const noexcept { return length_; }

 private:
  const char *data_ = "";
  size_t length_ = 0;
  char *own_ = nullptr;
};

// Errors: TLS_CERTIFICATE, which is explained; RESOURCE.
torque_err use_certificate(SSL_CTX *ctx, const Text &chain, const Text &key) noexcept;
torque_err trust_certificates(SSL_CTX *ctx, const Text &pem) noexcept;

}  // namespace torque_tls
