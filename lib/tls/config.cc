// SPDX-License-Identifier: BSD-3-Clause
// Configurations: an SSL_CTX, and what it has no place for.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <strings.h>
#include <sys/stat.h>

#include <cctype>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <new>

#include "pem.hh"
#include "tls.hh"

namespace torque_tls {

namespace {

constexpr unsigned char kSessionContext[] = "libtorque";
constexpr uint64_t kSecond = 1000000000;

SSL_CTX *make_ctx() noexcept {
  SSL_CTX *ctx = SSL_CTX_new(TLS_method());
  if (!ctx) return nullptr;
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_alpn_select_cb(ctx, torque_tls_on_protocol, nullptr);
  SSL_CTX_set_dh_auto(ctx, 1);
  SSL_CTX_set_timeout(ctx, 7200);
  if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
      SSL_CTX_set_session_id_context(ctx, kSessionContext, sizeof kSessionContext - 1)) {
    return ctx;
  }
  SSL_CTX_free(ctx);
  return nullptr;
}

torque_err settable(const Config *c) noexcept {
  if (!c) return TORQUE_ERR_INVAL;
  return c->use.load(std::memory_order_relaxed) == Use::unknown ? TORQUE_ERR_NONE : TORQUE_ERR_STATE;
}

// Two files, or one that has both, as PEM for what.
template <class F>
torque_err with_files(const char *chain_file, const char *key_file, F what) noexcept {
  if (!chain_file) return TORQUE_ERR_INVAL;
  Text chain, key;
  if (const torque_err err = chain.read(chain_file)) return err;
  if (!key_file) return what(chain, chain);
  if (const torque_err err = key.read(key_file)) return err;
  return what(chain, key);
}

// ---- Names ----

// In lower case; null: no memory.
char *lower(const char *name) noexcept {
  char *copy = ::strdup(name);
  for (char *p = copy; p && *p; ++p) *p = static_cast<char>(std::tolower(static_cast<unsigned char>(*p)));
  return copy;
}

bool name_is_good(const char *name) noexcept {
  if (!name) return false;
  if (name[0] == '*') {
    if (name[1] != '.') return false;
    name += 2;
  }
  return *name && *name != '.' && !std::strchr(name, '*') && std::strlen(name) <= TLSEXT_MAXLEN_host_name;
}

void free_name(Name *n) noexcept {
  SSL_CTX_free(n->ctx);
  std::free(n->name);
  delete n;
}

torque_err add_name(Config &c, const char *name, const Text &chain, const Text &key) noexcept {
  auto *n = new (std::nothrow) Name{nullptr, make_ctx(), nullptr, name[0] == '*'};
  if (!n) return TORQUE_ERR_RESOURCE;
  n->name = lower(n->wildcard ? name + 1 : name);
  torque_err err = n->ctx && n->name ? TORQUE_ERR_NONE : explain(TORQUE_ERR_RESOURCE);
  if (!err) err = use_certificate(n->ctx, chain, key);
  if (err) {
    free_name(n);
    return err;
  }
  n->next = c.names;
  c.names = n;
  return TORQUE_ERR_NONE;
}

const Name *find_name(const Config &c, const char *name) noexcept {
  // The part that a wildcard must have, and a label before it.
  const char *dot = std::strchr(name, '.');
  const Name *found = nullptr;
  for (const Name *n = c.names; n; n = n->next) {
    if (!n->wildcard && ::strcasecmp(n->name, name) == 0) return n;
    if (n->wildcard && dot && dot != name && ::strcasecmp(n->name, dot) == 0) found = n;
  }
  return found;
}

// What the program says about a name. False: the handshake ends.
bool ask_program(Conn &c, const char *name) noexcept {
  const Config &config = *c.config;
  Config *chosen = nullptr;
  c.named = config.name_fn(c.layer, name, config.name_arg, &chosen);
  if (c.named || !chosen) {
    if (chosen) unref(chosen);
    return !c.named;
  }
  Use unknown = Use::unknown;  // from here on it stays as it is
  (void)chosen->use.compare_exchange_strong(unknown, Use::server, std::memory_order_relaxed);
  if (c.shown) unref(c.shown);
  c.shown = chosen;
  return SSL_set_SSL_CTX(c.ssl, chosen->ctx) != nullptr;
}

}  // namespace

void unref(Config *c) noexcept {
  if (c->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  while (Name *n = c->names) {
    c->names = n->next;
    free_name(n);
  }
  SSL_CTX_free(c->ctx);
  std::free(c->alpn);
  delete c;
}

int torque_tls_on_server_name(SSL *ssl, int *alert, void *) {
  Conn *c = conn_of(ssl);
  if (!c || !c->config || !c->side->server) return SSL_TLSEXT_ERR_NOACK;
  const Config &config = *c->config;
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  if (name && config.name_fn) {
    if (!ask_program(*c, name)) return SSL_TLSEXT_ERR_ALERT_FATAL;
    if (c->shown) return SSL_TLSEXT_ERR_OK;
  }
  if (const Name *found = name ? find_name(config, name) : nullptr) {
    return SSL_set_SSL_CTX(ssl, found->ctx) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  return config.certificate ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int torque_tls_on_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
                    unsigned in_length, void *) {
  const Conn *c = conn_of(ssl);
  const Config *config = c ? c->config : nullptr;
  if (!config || !config->alpn) return SSL_TLSEXT_ERR_NOACK;
  unsigned char *chosen;
  if (SSL_select_next_proto(&chosen, out_length, config->alpn, config->alpn_length, in, in_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace torque_tls

using namespace torque_tls;

extern "C" {

torque_err torque_tls_config_new(struct torque_tls_config **ret_config) {
  if (!ret_config) return TORQUE_ERR_INVAL;
  ERR_clear_error();
  auto *c = set_up() ? new (std::nothrow) torque_tls_config : nullptr;
  if (c) c->ctx = make_ctx();
  if (!c || !c->ctx) {
    delete c;
    return explain(TORQUE_ERR_RESOURCE);
  }
  SSL_CTX_set_tlsext_servername_callback(c->ctx, torque_tls_on_server_name);
  *ret_config = c;
  return TORQUE_ERR_NONE;
}

void torque_tls_config_free(struct torque_tls_config *config) {
  if (config) unref(config);
}

struct torque_tls_config *torque_tls_config_ref(struct torque_tls_config *config) {
  if (config) config->refs.fetch_add(1, std::memory_order_relaxed);
  return config;
}

torque_err torque_tls_config_add_certificate(struct torque_tls_config *config, const char *chain_file,
                                             const char *key_file) {
  if (const torque_err err = settable(config)) return err;
  return with_files(chain_file, key_file, [&](const Text &chain, const Text &key) {
    const torque_err err = use_certificate(config->ctx, chain, key);
    config->certificate |= !err;
    return err;
  });
}

torque_err torque_tls_config_add_certificate_pem(struct torque_tls_config *config, const void *chain,
                                                 size_t chain_length, const void *key, size_t key_length) {
  if (const torque_err err = settable(config)) return err;
  if (!chain || !key) return TORQUE_ERR_INVAL;
  const torque_err err = use_certificate(config->ctx, Text(chain, chain_length), Text(key, key_length));
  config->certificate |= !err;
  return err;
}

torque_err torque_tls_config_add_name(struct torque_tls_config *config, const char *name, const char *chain_file,
                                      const char *key_file) {
  if (const torque_err err = settable(config)) return err;
  if (!name_is_good(name)) return TORQUE_ERR_INVAL;
  return with_files(chain_file, key_file,
                    [&](const Text &chain, const Text &key) { return add_name(*config, name, chain, key); });
}

torque_err torque_tls_config_add_name_pem(struct torque_tls_config *config, const char *name, const void *chain,
                                          size_t chain_length, const void *key, size_t key_length) {
  if (const torque_err err = settable(config)) return err;
  if (!name_is_good(name) || !chain || !key) return TORQUE_ERR_INVAL;
  return add_name(*config, name, Text(chain, chain_length), Text(key, key_length));
}

torque_err torque_tls_config_set_name_fn(struct torque_tls_config *config, torque_tls_name_fn *fn, void *arg) {
  if (const torque_err err = settable(config)) return err;
  config->name_fn = fn;
  config->name_arg = arg;
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_config_add_trust_file(struct torque_tls_config *config, const char *file) {
  if (const torque_err err = settable(config)) return err;
  if (!file) return TORQUE_ERR_INVAL;
  Text pem;
  torque_err err = pem.read(file);
  if (!err) err = trust_certificates(config->ctx, pem);
  config->trust |= !err;
  return err;
}

torque_err torque_tls_config_add_trust_pem(struct torque_tls_config *config, const void *pem, size_t length) {
  if (const torque_err err = settable(config)) return err;
  if (!pem) return TORQUE_ERR_INVAL;
  const torque_err err = trust_certificates(config->ctx, Text(pem, length));
  config->trust |= !err;
  return err;
}

torque_err torque_tls_config_add_trust_folder(struct torque_tls_config *config, const char *folder) {
  if (const torque_err err = settable(config)) return err;
  if (!folder) return TORQUE_ERR_INVAL;
  struct stat s;
  if (::stat(folder, &s) != 0) return TORQUE_ERR_SYSCALL + errno;
  if (!S_ISDIR(s.st_mode)) return TORQUE_ERR_SYSCALL + ENOTDIR;
  ERR_clear_error();
  if (!X509_STORE_load_path(SSL_CTX_get_cert_store(config->ctx), folder)) return explain(TORQUE_ERR_TLS_CERTIFICATE);
  config->trust = true;
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_config_add_trust_system(struct torque_tls_config *config) {
  if (const torque_err err = settable(config)) return err;
  ERR_clear_error();
  if (!SSL_CTX_set_default_verify_paths(config->ctx)) return explain(TORQUE_ERR_TLS_CERTIFICATE);
  config->trust = true;
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_config_set_verify(struct torque_tls_config *config, int32_t verify) {
  if (const torque_err err = settable(config)) return err;
  if (verify < TORQUE_TLS_VERIFY_DEFAULT || verify > TORQUE_TLS_VERIFY_REQUIRED) return TORQUE_ERR_INVAL;
  config->verify = verify;
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_config_set_alpn(struct torque_tls_config *config, const char *const *names, uint32_t count) {
  if (const torque_err err = settable(config)) return err;
  if (count && !names) return TORQUE_ERR_INVAL;
  size_t length = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const size_t n = names[i] ? std::strlen(names[i]) : 0;
    if (n == 0 || n > 255) return TORQUE_ERR_INVAL;
    length += 1 + n;
  }
  if (length > UINT16_MAX) return TORQUE_ERR_INVAL;
  unsigned char *list = length ? static_cast<unsigned char *>(std::malloc(length)) : nullptr;
  if (length && !list) return TORQUE_ERR_RESOURCE;
  unsigned char *at = list;
  for (uint32_t i = 0; i < count; ++i) {
    const size_t n = std::strlen(names[i]);
    *at++ = static_cast<unsigned char>(n);
    std::memcpy(at, names[i], n);
    at += n;
  }
  std::free(config->alpn);
  config->alpn = list;
  config->alpn_length = static_cast<uint32_t>(length);
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_config_set_versions(struct torque_tls_config *config, int32_t min, int32_t max) {
  if (const torque_err err = settable(config)) return err;
  const auto known = [](int32_t v) { return v == TORQUE_TLS_1_2 || v == TORQUE_TLS_1_3; };
  if (!known(min) || (max && (!known(max) || max < min))) return TORQUE_ERR_INVAL;
  ERR_clear_error();
  if (!SSL_CTX_set_min_proto_version(config->ctx, min) || !SSL_CTX_set_max_proto_version(config->ctx, max)) {
    return explain(TORQUE_ERR_INVAL);
  }
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_config_set_ciphers(struct torque_tls_config *config, const char *list, const char *suites,
                                         const char *groups) {
  if (const torque_err err = settable(config)) return err;
  ERR_clear_error();
  const bool good = (!list || SSL_CTX_set_cipher_list(config->ctx, list)) &&
                    (!suites || SSL_CTX_set_ciphersuites(config->ctx, suites)) &&
                    (!groups || SSL_CTX_set1_groups_list(config->ctx, groups));
  return good ? TORQUE_ERR_NONE : explain(TORQUE_ERR_INVAL);
}

torque_err torque_tls_config_set_tickets(struct torque_tls_config *config, int32_t tickets) {
  if (const torque_err err = settable(config)) return err;
  config->tickets = tickets != 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_config_set_cache(struct torque_tls_config *config, uint32_t sessions, uint64_t lifetime_ns) {
  if (const torque_err err = settable(config)) return err;
  const uint64_t seconds = lifetime_ns / kSecond + (lifetime_ns % kSecond != 0);
  if (seconds == 0 || seconds > INT_MAX) return TORQUE_ERR_INVAL;
  config->cache = sessions != 0;
  SSL_CTX_sess_set_cache_size(config->ctx, sessions);
  SSL_CTX_set_timeout(config->ctx, static_cast<long>(seconds));
  return TORQUE_ERR_NONE;
}

torque_err torque_tls_config_set_abrupt_end(struct torque_tls_config *config, int32_t allowed) {
  if (const torque_err err = settable(config)) return err;
  config->abrupt = allowed != 0;
  return TORQUE_ERR_NONE;
}

struct ssl_ctx_st *torque_tls_config_ctx(struct torque_tls_config *config) {
  return settable(config) ? nullptr : config->ctx;
}

}  // extern "C"
