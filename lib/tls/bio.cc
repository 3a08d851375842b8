// SPDX-License-Identifier: BSD-3-Clause
// The BIO between OpenSSL and a layer. It has no memory: OpenSSL reads from what receive() was given, and what it
// writes is passed down at once.
#include <openssl/bio.h>

#include <algorithm>
#include <cstring>

#include "tls.hh"

namespace torque_tls {

namespace {

struct Tables {
  BIO_METHOD *method;
  int conn_index;
};
constinit Tables tables = {nullptr, -1};
constinit pthread_once_t once = PTHREAD_ONCE_INIT;

Conn &conn_of_bio(BIO *bio) noexcept { return *static_cast<Conn *>(BIO_get_data(bio)); }

extern "C" {

static int bio_read(BIO *bio, char *data, size_t length, size_t *ret_read) {
  Conn &c = conn_of_bio(bio);
  BIO_clear_retry_flags(bio);
  if (c.in_left == 0) {
    if (!c.cut) BIO_set_retry_read(bio);
    return 0;
  }
  const size_t n = std::min(length, c.in_left);
  std::memcpy(data, c.in, n);
  c.in += n;
  c.in_left -= n;
  *ret_read = n;
  return 1;
}

static int bio_write(BIO *bio, const char *data, size_t length, size_t *ret_written) {
  Conn &c = conn_of_bio(bio);
  BIO_clear_retry_flags(bio);
  if (!c.down) c.down = torque_layer_down(c.layer, data, length);
  if (c.down) return 0;
  *ret_written = length;
  return 1;
}

// Flushing and the end are all that OpenSSL needs of it; the rest it asks to find out whether there is something to gain.
static long bio_ctrl(BIO *bio, int command, long, void *) {
  return command == BIO_CTRL_FLUSH || (command == BIO_CTRL_EOF && conn_of_bio(bio).cut);
}

static int bio_create(BIO *bio) {
  BIO_set_init(bio, 1);
  return 1;
}

static void make_tables() {
  const int type = BIO_get_new_index();
  BIO_METHOD *m = type < 0 ? nullptr : BIO_meth_new(type | BIO_TYPE_SOURCE_SINK, "torque layer");
  if (!m || !BIO_meth_set_read_ex(m, bio_read) || !BIO_meth_set_write_ex(m, bio_write) ||
      !BIO_meth_set_ctrl(m, bio_ctrl) || !BIO_meth_set_create(m, bio_create)) {
    BIO_meth_free(m);
    return;
  }
  tables = {m, SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr)};
}

}  // extern "C"

}  // namespace

bool set_up() noexcept {
  pthread_once(&once, make_tables);
  return tables.method && tables.conn_index >= 0;
}

BIO *make_bio(Conn &c) noexcept {
  BIO *bio = BIO_new(tables.method);
  if (bio) BIO_set_data(bio, &c);
  return bio && SSL_set_ex_data(c.ssl, tables.conn_index, &c) ? bio : (BIO_free(bio), nullptr);
}

Conn *conn_of(const SSL *ssl) noexcept { return static_cast<Conn *>(SSL_get_ex_data(ssl, tables.conn_index)); }

}  // namespace torque_tls
