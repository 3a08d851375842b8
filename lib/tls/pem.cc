// SPDX-License-Identifier: BSD-3-Clause
#include "pem.hh"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace torque_tls {

namespace {

constexpr size_t kFileMax = 64 << 20;

// Keys with a password cannot be used: nobody is there to be asked.
extern "C" {
static int no_password(char *, int, int, void *) { return -1; }
}

BIO *reader(const Text &text) noexcept {
  return text.length() > INT_MAX ? nullptr : BIO_new_mem_buf(text.data(), static_cast<int>(text.length()));
}

// That there is no more is how a list of certificates ends.
bool at_end() noexcept {
  const unsigned long e = ERR_peek_last_error();
  if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE) return false;
  ERR_clear_error();
  return true;
}

bool use_chain(SSL_CTX *ctx, BIO *in) noexcept {
  X509 *x = PEM_read_bio_X509_AUX(in, nullptr, no_password, nullptr);
  if (!x) return false;
  bool good = SSL_CTX_use_certificate(ctx, x) && SSL_CTX_clear_chain_certs(ctx);
  X509_free(x);
  while (good && (x = PEM_read_bio_X509(in, nullptr, no_password, nullptr))) {
    if (SSL_CTX_add0_chain_cert(ctx, x)) continue;
    X509_free(x);
    return false;
  }
  return good && at_end();
}

bool use_key(SSL_CTX *ctx, BIO *in) noexcept {
  EVP_PKEY *key = PEM_read_bio_PrivateKey(in, nullptr, no_password, nullptr);
  if (!key) return false;
  const bool good = SSL_CTX_use_PrivateKey(ctx, key) && SSL_CTX_check_private_key(ctx);
  EVP_PKEY_free(key);
  return good;
}

bool trust_one(SSL_CTX *ctx, X509 *x) noexcept {
  // The second is whom servers name when they ask for a certificate.
  return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) && SSL_CTX_add_client_CA(ctx, x);
}

size_t trust_all(SSL_CTX *ctx, BIO *in) noexcept {
  size_t n = 0;
  while (X509 *x = PEM_read_bio_X509_AUX(in, nullptr, no_password, nullptr)) {
    const bool good = trust_one(ctx, x);
    X509_free(x);
    if (!good) return 0;
    ++n;
  }
  return n;
}

}  // namespace

Text::~Text() {
  if (!own_) return;
  OPENSSL_cleanse(own_, length_);
  std::free(own_);
}

torque_err Text::read(const char *file) noexcept {
  const int fd = ::open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return TORQUE_ERR_SYSCALL + errno;
  torque_err err = TORQUE_ERR_NONE;
  size_t room = 16384;
  own_ = static_cast<char *>(std::malloc(room));
  for (ssize_t n = own_ ? 1 : 0; n != 0 && !err;) {
    if (length_ == room) {
      // Not realloc(): it would leave a copy of a key behind.
      char *more = room < kFileMax ? static_cast<char *>(std::malloc(room * 2)) : nullptr;
      if (!more) {
        err = TORQUE_ERR_RESOURCE;
        break;
      }
      std::memcpy(more, own_, length_);
      OPENSSL_cleanse(own_, length_);
      std::free(own_);
      own_ = more;
      room *= 2;
    }
    n = ::read(fd, own_ + length_, room - length_);
    if (n > 0) length_ += static_cast<size_t>(n);
    if (n < 0 && errno != EINTR) err = TORQUE_ERR_SYSCALL + errno;
  }
  if (!own_) err = TORQUE_ERR_RESOURCE;
  ::close(fd);
  if (own_) data_ = own_;
  return err;
}

torque_err use_certificate(SSL_CTX *ctx, const Text &chain, const Text &key) noexcept {
  ERR_clear_error();
  BIO *chain_in = reader(chain), *key_in = reader(key);
  torque_err err = chain_in && key_in ? TORQUE_ERR_NONE : explain(TORQUE_ERR_RESOURCE);
  if (!err && !(use_chain(ctx, chain_in) && use_key(ctx, key_in))) err = explain(TORQUE_ERR_TLS_CERTIFICATE);
  BIO_free(chain_in);
  BIO_free(key_in);
  return err;
}

torque_err trust_certificates(SSL_CTX *ctx, const Text &pem) noexcept {
  ERR_clear_error();
  BIO *in = reader(pem);
  if (!in) return explain(TORQUE_ERR_RESOURCE);
  const size_t n = trust_all(ctx, in);
  BIO_free(in);
  if (n && at_end()) return TORQUE_ERR_NONE;
  return explain(TORQUE_ERR_TLS_CERTIFICATE);
}

}  // namespace torque_tls
