// SPDX-License-Identifier: BSD-3-Clause
// What the files of this library share: configurations, what connections of a layer type have in common (a Side), and
// one connection.
//
// Configurations and sides are constant once a layer type was made with them, but for what their locks guard. Each
// connection keeps the configuration that it was made with. A connection belongs to whoever runs its stream.
#pragma once

#include <openssl/ssl.h>
#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "libtorque/tls.h"

#if defined(__clang__)
#define TORQUE_TLS_TSA(x) __attribute__((x))
#else
#define TORQUE_TLS_TSA(x)
#endif

namespace torque_tls {

class TORQUE_TLS_TSA(capability("mutex")) Mutex {
 public:
  constexpr Mutex() noexcept = default;
  Mutex(const Mutex &) = delete;
  Mutex &operator=(const Mutex &) = delete;
  ~Mutex() { pthread_mutex_destroy(&mutex_); }
  void lock() noexcept TORQUE_TLS_TSA(acquire_capability()) { pthread_mutex_lock(&mutex_); }
  void unlock() noexcept TORQUE_TLS_TSA(release_capability()) { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

class TORQUE_TLS_TSA(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex &m) noexcept TORQUE_TLS_TSA(acquire_capability(m)) : m_(m) { m_.lock(); }
  ~Lock() TORQUE_TLS_TSA(release_capability()) { m_.unlock(); }
  Lock(const Lock &) = delete;
  Lock &operator=(const Lock &) = delete;

 private:
  Mutex &m_;
};

// What clients are shown that ask for that name. Its context has nothing but that.
struct Name {
  Name *next;
  SSL_CTX *ctx;
  char *name;  // in lower case; a wildcard without its "*"
  bool wildcard;
};

enum class Use : uint8_t { unknown, server, client };

}  // namespace torque_tls

struct torque_tls_config {
  SSL_CTX *ctx = nullptr;
  torque_tls::Name *names = nullptr;
  torque_tls_name_fn *name_fn = nullptr;
  void *name_arg = nullptr;
  unsigned char *alpn = nullptr;  // as it is sent: lengths and names
  uint32_t alpn_length = 0;
  int32_t verify = TORQUE_TLS_VERIFY_DEFAULT;
  std::atomic<torque_tls::Use> use{torque_tls::Use::unknown};  // known: it is frozen
  bool certificate = false;                                    // it has one for everybody
  bool trust = false;                                          // it was told whom to trust
  bool tickets = true;
  bool cache = true;
  bool abrupt = false;
  std::atomic<uint32_t> refs{1};
};

namespace torque_tls {

using Config = torque_tls_config;
void unref(Config *config) noexcept;

// An SSL_SESSION in its stored form: at most size bytes go to data.
torque_err store_session(SSL_SESSION *session, void *data, size_t size, size_t *ret_length) noexcept;

struct Side {
  char *host = nullptr;
  bool server = false;
  bool host_is_address = false;

  Mutex lock;
  // What new connections are made with; a server's may be replaced. References.
  SSL_CTX *ctx TORQUE_TLS_TSA(guarded_by(lock)) = nullptr;
  Config *config TORQUE_TLS_TSA(guarded_by(lock)) = nullptr;  // null: the program's own SSL_CTX
  // A client's last session.
  SSL_SESSION *session TORQUE_TLS_TSA(guarded_by(lock)) = nullptr;
};

// What layer types have as their arg; release is free_side().
torque_err make_layer_type(Side *side, torque_layer_type **ret_type) noexcept;
void free_side(void *side);
// Of a type of this library; else null.
Side *side_of(const torque_layer_type *type) noexcept;

struct Conn {
  torque_layer *layer;
  Side *side;
  SSL *ssl;
  Config *config;  // the side's when it was made; null: the program's own SSL_CTX. A reference
  Config *shown;  // whose certificates, if a name function chose one; a reference
  // What receive() was given and OpenSSL has not read.
  const char *in;
  size_t in_left;
  torque_err down;   // what passing down answered
  torque_err named;  // what a name function answered
  torque_err wrong;  // a failure that is told when what came before it is
  bool ready;
  bool held;  // a handshake goes on within: nothing can be sent
  bool cut;   // the wire has ended, and OpenSSL is to know
};

Conn *conn_of(const SSL *ssl) noexcept;
inline const Conn &conn_of(const torque_layer *layer) noexcept {
  return *static_cast<const Conn *>(torque_layer_state(layer));
}

// OpenSSL's tables of this library: once in a process. False: no memory.
bool set_up() noexcept;
// A BIO whose bytes are the connection's: null, no memory.
BIO *make_bio(Conn &c) noexcept;
extern "C" int torque_tls_on_server_name(SSL *ssl, int *alert, void *arg);
extern "C" int torque_tls_on_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                                      const unsigned char *in, unsigned in_length, void *arg);
extern "C" int torque_tls_on_session(SSL *ssl, SSL_SESSION *session);
extern "C" int torque_tls_take_any(int ok, X509_STORE_CTX *store);

// The thread's queue of errors into its detail, and away. Answer err, which it explains.
torque_err explain(torque_err err, const char *more = nullptr) noexcept;
torque_err explain_text(torque_err err, const char *text) noexcept;
// Of what failed in a connection.
torque_err explain_failure(const Conn &c) noexcept;

}  // namespace torque_tls
