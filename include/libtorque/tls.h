/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_TLS_H
#define LIBTORQUE_TLS_H

#include <libtorque/layer.h>
#include <stddef.h>

/* TLS 1.2 and 1.3 by OpenSSL 3, as a layer (layer.h) of streams. This is an add-on library, libtorque_tls.so.1 (pkg-config:
 * libtorque-tls), so that whoever needs no TLS need not have OpenSSL.
 *
 * A layer reads straight from what the stream received and encrypts straight into what it sends; a connection that waits
 * holds none of OpenSSL's buffers. The stream's open is called when the handshake is over, its connect limit is the
 * handshake's too. torque_stream_shutdown() and _close() say goodbye (close_notify); the peer's goodbye is its end, and an
 * end without it is TORQUE_ERR_TLS_TRUNCATED. */

TORQUE_BEGIN_DECLS

struct ssl_st;         /* OpenSSL's SSL, */
struct ssl_ctx_st;     /* SSL_CTX, */
struct ssl_session_st; /* SSL_SESSION */
struct x509_st;        /* and X509 */

/* ---- Configurations: certificates, trust, versions ---- */

/* For servers or for clients: the first layer type that is made with it decides, and freezes it (setters answer STATE).
 * free gives up the caller's reference; layer types keep theirs.
 * Thread: one at a time until frozen.
 * Errors of the setters: INVAL; STATE; RESOURCE; SYSCALL + errno a file cannot be read; TLS_CERTIFICATE it is not what it
 * should be, of which torque_tls_detail() says more. */
struct torque_tls_config;
TORQUE_API torque_err torque_tls_config_new(struct torque_tls_config **ret_config) TORQUE_CHECKED;
TORQUE_API void torque_tls_config_free(struct torque_tls_config *config);

/* What it shows to peers: the certificate, those of its issuers behind it, and its key, all in PEM; key_file null: in the
 * same file. May be called once for each kind of key (RSA, ECDSA). */
TORQUE_API torque_err torque_tls_config_add_certificate(struct torque_tls_config *config, const char *chain_file,
                                                        const char *key_file);
TORQUE_API torque_err torque_tls_config_add_certificate_pem(struct torque_tls_config *config, const void *chain,
                                                            size_t chain_length, const void *key, size_t key_length);

/* Servers: what clients are shown that ask for that name (SNI). "*.example.org" is for all names that have one label more.
 * Names without an entry get what the two calls above have set; where those were not made, an alert. */
TORQUE_API torque_err torque_tls_config_add_name(struct torque_tls_config *config, const char *name,
                                                 const char *chain_file, const char *key_file);
TORQUE_API torque_err torque_tls_config_add_name_pem(struct torque_tls_config *config, const char *name,
                                                     const void *chain, size_t chain_length, const void *key,
                                                     size_t key_length);

/* Servers: asked before the table of names. name: as the client sent it, never null. *ret_config: whose certificates the
 * client is shown, with a reference that the library gives up (null, as it is at first: as if not asked). An error: an
 * alert, and the stream ends with it.
 * Thread: as a function of the layer. */
typedef torque_err torque_tls_name_fn(struct torque_layer *layer, const char *name, void *arg,
                                      struct torque_tls_config **ret_config);
TORQUE_API torque_err torque_tls_config_set_name_fn(struct torque_tls_config *config, torque_tls_name_fn *fn, void *arg);
/* One more reference, for the above. Thread: any. */
TORQUE_API struct torque_tls_config *torque_tls_config_ref(struct torque_tls_config *config);

/* Whom it trusts: the certificates in a PEM file, in a folder (with OpenSSL's hashed names), in memory, or the system's.
 * Clients that verify and were told nothing trust the system's. */
TORQUE_API torque_err torque_tls_config_add_trust_file(struct torque_tls_config *config, const char *file);
TORQUE_API torque_err torque_tls_config_add_trust_folder(struct torque_tls_config *config, const char *folder);
TORQUE_API torque_err torque_tls_config_add_trust_pem(struct torque_tls_config *config, const void *pem, size_t length);
TORQUE_API torque_err torque_tls_config_add_trust_system(struct torque_tls_config *config);

/* Whether the peer's certificate must be good. DEFAULT: clients REQUIRED, servers NONE. OPTIONAL: looked at, and
 * torque_tls_verified() says how it was. NONE: a client takes anybody, a server does not ask. */
enum {
  TORQUE_TLS_VERIFY_DEFAULT = 0,
  TORQUE_TLS_VERIFY_NONE = 1,
  TORQUE_TLS_VERIFY_OPTIONAL = 2,
  TORQUE_TLS_VERIFY_REQUIRED = 3
};
TORQUE_API torque_err torque_tls_config_set_verify(struct torque_tls_config *config, int32_t verify);

/* Protocols above TLS, the preferred one first ("h2", "http/1.1"). A server that has none in common with the client
 * refuses it; clients that do not ask are taken. Errors: INVAL a name is empty or longer than 255 bytes. */
TORQUE_API torque_err torque_tls_config_set_alpn(struct torque_tls_config *config, const char *const *names,
                                                 uint32_t count);

/* Versions, from TORQUE_TLS_1_2, the default, up; max 0: the highest there is. Errors: INVAL. */
enum { TORQUE_TLS_1_2 = 0x0303, TORQUE_TLS_1_3 = 0x0304 };
TORQUE_API torque_err torque_tls_config_set_versions(struct torque_tls_config *config, int32_t min, int32_t max);

/* In OpenSSL's notation: a list for 1.2, suites for 1.3, groups for the key exchange. Null: as they are. Errors: INVAL. */
TORQUE_API torque_err torque_tls_config_set_ciphers(struct torque_tls_config *config, const char *list,
                                                    const char *suites, const char *groups);

/* Resumption. Servers: tickets, which need no memory here (default 1), and a cache of so many sessions for clients that
 * take no tickets (default 20480; 0: none); both last for lifetime_ns (default 2 h). Clients: 1, each layer type keeps the
 * last session and offers it (the default); 0: see torque_tls_client_set_session(). */
TORQUE_API torque_err torque_tls_config_set_tickets(struct torque_tls_config *config, int32_t tickets);
TORQUE_API torque_err torque_tls_config_set_cache(struct torque_tls_config *config, uint32_t sessions,
                                                  uint64_t lifetime_ns);

/* 1: a peer's end without goodbye is an end in order. For protocols that know by themselves whether all has come. */
TORQUE_API torque_err torque_tls_config_set_abrupt_end(struct torque_tls_config *config, int32_t allowed);

/* The SSL_CTX in it, for what is not here (it stays the configuration's). Not after it was frozen: null. */
TORQUE_API struct ssl_ctx_st *torque_tls_config_ctx(struct torque_tls_config *config);

/* ---- Layer types ---- */

/* For torque_stream_type_add_layer() or torque_stream_push_layer() (STARTTLS); freed by torque_layer_type_free().
 * host: whom clients ask for (SNI) and whose name or address the certificate must have; null: neither is done.
 * Errors: INVAL (server: it has no certificate, name or name function); STATE it is for the other side; RESOURCE;
 * TLS_CERTIFICATE the system's trust cannot be had. */
TORQUE_API torque_err torque_tls_server(struct torque_tls_config *config,
                                        struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API torque_err torque_tls_client(struct torque_tls_config *config, const char *host,
                                        struct torque_layer_type **ret_type) TORQUE_CHECKED;

/* The same of an SSL_CTX of the program's own, which keeps its reference; all is as that says, but for modes that a layer
 * needs. */
TORQUE_API torque_err torque_tls_server_ctx(struct ssl_ctx_st *ctx, struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API torque_err torque_tls_client_ctx(struct ssl_ctx_st *ctx, const char *host,
                                            struct torque_layer_type **ret_type) TORQUE_CHECKED;

/* Another configuration for a server's type, or another SSL_CTX of the program's own, whichever it had: connections that
 * are made from now on have it, whether their clients send a name (SNI) or not, and those that were made before go on with
 * what they had. So certificates are renewed while listeners and streams go on. What is set is kept as by
 * torque_tls_server(). Sessions of before are not resumed. Thread: any.
 * Errors: INVAL not a server's type of this library; otherwise as torque_tls_server(); nothing has changed then. */
TORQUE_API torque_err torque_tls_server_set_config(struct torque_layer_type *type, struct torque_tls_config *config);
TORQUE_API torque_err torque_tls_server_set_ctx(struct torque_layer_type *type, struct ssl_ctx_st *ctx);

/* The session that a client's type has from its last connection, and one that the next connections offer, as bytes that
 * can be stored (they are a secret). At most size bytes go to data, the full length to *ret_length, 0: there is none.
 * Errors: INVAL not a client's type, or not a session; RESOURCE. Thread: any. */
TORQUE_API torque_err torque_tls_client_session(struct torque_layer_type *type, void *data, size_t size,
                                                size_t *ret_length);
TORQUE_API torque_err torque_tls_client_set_session(struct torque_layer_type *type, const void *data, size_t length);

/* ---- About a connection ----
 *
 * layer: from torque_stream_layer(), of a type that this library made. To be called in the stream's callbacks, when open
 * has been; texts stay until the layer goes. */

TORQUE_API int32_t torque_tls_version(const struct torque_layer *layer);      /* TORQUE_TLS_1_3, ... */
TORQUE_API const char *torque_tls_cipher(const struct torque_layer *layer);   /* "TLS_AES_256_GCM_SHA384" */
TORQUE_API const char *torque_tls_name(const struct torque_layer *layer);     /* that was asked for by SNI; may be null */
TORQUE_API int32_t torque_tls_resumed(const struct torque_layer *layer);      /* 1: without a full handshake */
/* The protocol that was agreed on; length 0: none. Not terminated. */
TORQUE_API torque_err torque_tls_alpn(const struct torque_layer *layer, const char **ret_name, size_t *ret_length);

/* How the peer's certificate was: 0 good, TORQUE_TLS_NO_CERTIFICATE, or OpenSSL's X509_V_ERR_... */
enum { TORQUE_TLS_NO_CERTIFICATE = -1 };
TORQUE_API int32_t torque_tls_verified(const struct torque_layer *layer);
/* In DER, at most size bytes of it; the full length, 0: there is none. */
TORQUE_API torque_err torque_tls_peer_der(const struct torque_layer *layer, void *data, size_t size, size_t *ret_length);
/* The caller's, to be freed by X509_free(); may be null. */
TORQUE_API struct x509_st *torque_tls_peer_x509(const struct torque_layer *layer);

/* The session as bytes, as torque_tls_client_session(). With TLS 1.3 it can be resumed only when data has come. */
TORQUE_API torque_err torque_tls_session(const struct torque_layer *layer, void *data, size_t size, size_t *ret_length);

/* OpenSSL's object, for questions; not to read, write, or shut it down. */
TORQUE_API struct ssl_st *torque_tls_ssl(const struct torque_layer *layer);

/* What OpenSSL says of the last failure of a call or a layer of this library on this thread: "" before the first. In a
 * stream's close callback that of the stream, if it ended with a TORQUE_ERR_TLS_... Stays until the next failure. */
TORQUE_API const char *torque_tls_detail(void);

/* ---- The calls of the original libtorque ---- */

struct torque_ctx;
struct torque_rxbuf; /* buffers.h */
struct ssl_cbstate;  /* one connection */

/* OpenSSL 3 sees to its own beginning and end; 0. */
TORQUE_API int torque_init_ssl(void) TORQUE_CHECKED;
TORQUE_API int torque_stop_ssl(void);

/* An SSL_CTX for torque_addssl(), to be freed by SSL_CTX_free(): certificate chain in PEM and key in PEM or DER (both may
 * be null), whom to trust (may be null), cliver not 0: clients must have a certificate. From TLS 1.2 on. Null: it failed,
 * see torque_tls_detail(). */
TORQUE_API struct ssl_ctx_st *torque_ssl_ctx(const char *certfile, const char *keyfile, const char *cafile,
                                             unsigned cliver) TORQUE_CHECKED;

/* Accept connections of fd, a listening socket that stays the caller's, and speak TLS on them. rx is called with what has
 * come and was not taken yet (buffers.h), and with no bytes after the peer's end; tx, if not null, when the handshake is
 * over, and when little is left to be sent of what was much. state: a struct ssl_cbstate *, that connection's. The
 * callbacks answer 0, or -1 to close the connection when all is sent, which they do not do themselves.
 * sslctx: the caller may free its reference. Errors: as torque_listen_fd_add(); INVAL. */
TORQUE_API torque_err torque_addssl(struct torque_ctx *ctx, int fd, struct ssl_ctx_st *sslctx,
                                    int (*rx)(int fd, struct torque_rxbuf *rxb, void *state),
                                    int (*tx)(int fd, struct torque_rxbuf *rxb, void *state),
                                    void *state) TORQUE_CHECKED;

/* Send length bytes: all of them, or -1. What the peer does not take at once is kept. Thread: any, until the connection's
 * last callback has returned. */
TORQUE_API int ssl_tx(int fd, struct ssl_cbstate *ssl, const void *data, int length) TORQUE_CHECKED;

/* The state that torque_addssl() was given. */
TORQUE_API void *torque_ssl_state(struct ssl_cbstate *ssl);

TORQUE_END_DECLS

/* Programs for the original have OpenSSL's own declarations from its header. */
#ifdef LIBTORQUE_WITH_TLS
#include <openssl/ssl.h>
#endif

#endif
