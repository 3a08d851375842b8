/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_TLS_H
#define LIBTORQUE_TLS_H

#include <libtorque/layer.h>
#include <stddef.h>

/* TLS 1.2 and 1.3, implemented by OpenSSL 3, as a layer (layer.h) of streams. This is an add-on library,
 * libtorque_tls.so.1 (pkg-config: libtorque-tls), so programs that need no TLS do not need OpenSSL.
 *
 * A layer decrypts directly from the stream's input and encrypts directly into its output. A connection that waits
 * holds none of OpenSSL's buffers. The stream's open callback is called when the handshake is complete; the connect
 * limit includes the handshake. torque_stream_shutdown() and torque_stream_close() send a close_notify alert. The
 * peer's close_notify is the end of the input; an end without it is TORQUE_ERR_TLS_TRUNCATED. */

TORQUE_BEGIN_DECLS

struct ssl_st;         /* OpenSSL's SSL */
struct ssl_ctx_st;     /* SSL_CTX */
struct ssl_session_st; /* SSL_SESSION */
struct x509_st;        /* X509 */

/* ---- Configurations: certificates, trust, versions ---- */

/* A configuration is either for servers or for clients. The first layer type that is created with it decides that, and
 * freezes it: setters then return STATE. torque_tls_config_free() releases the caller's reference; layer types keep
 * theirs.
 * Thread: only one at a time may set up a configuration; any may use it once it is frozen.
 * Errors: of the setters: INVAL; STATE; RESOURCE; SYSCALL + errno (a file cannot be read); TLS_CERTIFICATE (a
 *         certificate or key cannot be used; torque_tls_detail() says why). */
struct torque_tls_config;
TORQUE_API torque_err torque_tls_config_new(struct torque_tls_config **ret_config) TORQUE_CHECKED;
TORQUE_API void torque_tls_config_free(struct torque_tls_config *config);

/* The certificate chain to present to peers (its own certificate, followed by those of its issuers) and the private
 * key, all in PEM. If key_file is null, the key is in the same file. Call it once for each type of key (RSA, ECDSA). */
TORQUE_API torque_err torque_tls_config_add_certificate(struct torque_tls_config *config, const char *chain_file,
                                                        const char *key_file);
TORQUE_API torque_err torque_tls_config_add_certificate_pem(struct torque_tls_config *config, const void *chain,
                                                            size_t chain_length, const void *key, size_t key_length);

/* Servers: the certificate for clients that request this name (SNI). "*.example.org" matches all names with one more
 * label. Clients that request other names, or none, get the certificate of the two calls above; if those were not made,
 * they get an alert. */
TORQUE_API torque_err torque_tls_config_add_name(struct torque_tls_config *config, const char *name,
                                                 const char *chain_file, const char *key_file);
TORQUE_API torque_err torque_tls_config_add_name_pem(struct torque_tls_config *config, const char *name,
                                                     const void *chain, size_t chain_length, const void *key,
                                                     size_t key_length);

/* Servers: a function that is called before that table is searched. name is what the client sent, never null. The
 * function may store a configuration in *ret_config (initially null); the client then gets the certificate of that
 * configuration, and the library releases the reference. If *ret_config stays null, the table is searched. If the
 * function returns an error, the client gets an alert, and the stream ends with that error.
 * Thread: as a function of the layer. */
typedef torque_err torque_tls_name_fn(struct torque_layer *layer, const char *name, void *arg,
                                      struct torque_tls_config **ret_config);
TORQUE_API torque_err torque_tls_config_set_name_fn(struct torque_tls_config *config, torque_tls_name_fn *fn,
                                                    void *arg);
/* Adds a reference, for the function above. Returns config.
 * Thread: any. */
TORQUE_API struct torque_tls_config *torque_tls_config_ref(struct torque_tls_config *config);

/* The trusted certificates: those in a PEM file, in a folder (with OpenSSL's hashed names), in memory, or the system's.
 * A client that verifies trusts the system's certificates if none of these calls was made. */
TORQUE_API torque_err torque_tls_config_add_trust_file(struct torque_tls_config *config, const char *file);
TORQUE_API torque_err torque_tls_config_add_trust_folder(struct torque_tls_config *config, const char *folder);
TORQUE_API torque_err torque_tls_config_add_trust_pem(struct torque_tls_config *config, const void *pem, size_t length);
TORQUE_API torque_err torque_tls_config_add_trust_system(struct torque_tls_config *config);

/* Whether the peer must have a valid certificate. DEFAULT: REQUIRED for clients, NONE for servers. OPTIONAL: a
 * certificate is checked, and torque_tls_verified() returns the result. NONE: a client accepts any peer; a server does
 * not request a certificate. */
enum {
  TORQUE_TLS_VERIFY_DEFAULT = 0,
  TORQUE_TLS_VERIFY_NONE = 1,
  TORQUE_TLS_VERIFY_OPTIONAL = 2,
  TORQUE_TLS_VERIFY_REQUIRED = 3
};
TORQUE_API torque_err torque_tls_config_set_verify(struct torque_tls_config *config, int32_t verify);

/* The application protocols, the preferred one first ("h2", "http/1.1"). A server refuses a client that requests
 * protocols and has none in common with it. A client that requests none is accepted.
 * Errors: INVAL (a name is empty or longer than 255 bytes). */
TORQUE_API torque_err torque_tls_config_set_alpn(struct torque_tls_config *config, const char *const *names,
                                                 uint32_t count);

/* The range of versions, by default from TORQUE_TLS_1_2; max 0 means the highest version that is available.
 * Errors: INVAL. */
enum { TORQUE_TLS_1_2 = 0x0303, TORQUE_TLS_1_3 = 0x0304 };
TORQUE_API torque_err torque_tls_config_set_versions(struct torque_tls_config *config, int32_t min, int32_t max);

/* In OpenSSL's notation: a cipher list for TLS 1.2, cipher suites for TLS 1.3, groups for the key exchange. Null leaves
 * a setting unchanged.
 * Errors: INVAL. */
TORQUE_API torque_err torque_tls_config_set_ciphers(struct torque_tls_config *config, const char *list,
                                                    const char *suites, const char *groups);

/* Session resumption. Servers: session tickets, which need no memory (1, the default, turns them on), and the size of a
 * cache of sessions for clients that do not support tickets (default 20480; 0: no cache). Both last for lifetime_ns
 * (default 2 hours). Clients: 1, the default, stores the last session of each layer type and offers it to the server;
 * 0: see torque_tls_client_set_session(). */
TORQUE_API torque_err torque_tls_config_set_tickets(struct torque_tls_config *config, int32_t tickets);
TORQUE_API torque_err torque_tls_config_set_cache(struct torque_tls_config *config, uint32_t sessions,
                                                  uint64_t lifetime_ns);

/* 1: an end of the connection without close_notify is not an error. For protocols that detect truncation themselves. */
TORQUE_API torque_err torque_tls_config_set_abrupt_end(struct torque_tls_config *config, int32_t allowed);

/* Returns the configuration's SSL_CTX, for settings that are not here; it belongs to the configuration. Null after the
 * configuration was frozen. */
TORQUE_API struct ssl_ctx_st *torque_tls_config_ctx(struct torque_tls_config *config);

/* ---- Layer types ---- */

/* Create a layer type for torque_stream_type_add_layer(), or for torque_stream_push_layer() (STARTTLS). The caller
 * frees it with torque_layer_type_free(). host is the name that a client requests (SNI), and the name or address that
 * the server's certificate must contain. If host is null, the client requests no name, and the name is not checked.
 * Errors: INVAL (also a server without certificate, name or name function); STATE (the configuration is for the other
 *         side); RESOURCE; TLS_CERTIFICATE (the system's trusted certificates cannot be loaded). */
TORQUE_API torque_err torque_tls_server(struct torque_tls_config *config,
                                        struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API torque_err torque_tls_client(struct torque_tls_config *config, const char *host,
                                        struct torque_layer_type **ret_type) TORQUE_CHECKED;

/* Do the same with an SSL_CTX of the program's own, which keeps its reference. The SSL_CTX determines everything except
 * the modes that a layer needs. */
TORQUE_API torque_err torque_tls_server_ctx(struct ssl_ctx_st *ctx, struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API torque_err torque_tls_client_ctx(struct ssl_ctx_st *ctx, const char *host,
                                            struct torque_layer_type **ret_type) TORQUE_CHECKED;

/* Give a server's type another configuration, or another SSL_CTX of the program's own, whichever it had before, while
 * listeners and streams use it. New connections use it, whether their clients request a name (SNI) or not. Existing
 * connections continue with the old one, and keep it alive. The type keeps a reference, as with torque_tls_server().
 * Sessions from before are not resumed.
 * Thread: any.
 * Errors: INVAL (not a server's type of this library); otherwise as torque_tls_server(). On failure nothing has
 *         changed. */
TORQUE_API torque_err torque_tls_server_set_config(struct torque_layer_type *type, struct torque_tls_config *config);
TORQUE_API torque_err torque_tls_server_set_ctx(struct torque_layer_type *type, struct ssl_ctx_st *ctx);

/* torque_tls_client_session() stores the session of the last connection of a client's type, as bytes that the program
 * can save. The bytes are secret. It stores at most size bytes in data, and the full length in *ret_length; 0 means
 * that there is none. torque_tls_client_set_session() sets the session that the next connections offer; length 0 means
 * none.
 * Thread: any.
 * Errors: INVAL (not a client's type, or not a session); RESOURCE. */
TORQUE_API torque_err torque_tls_client_session(struct torque_layer_type *type, void *data, size_t size,
                                                size_t *ret_length);
TORQUE_API torque_err torque_tls_client_set_session(struct torque_layer_type *type, const void *data, size_t length);

/* ---- Properties of a connection ----
 *
 * layer is the result of torque_stream_layer(), for a type that this library created. These functions may be called in
 * the stream's callbacks, after open was called. Texts are valid as long as the layer exists. */

TORQUE_API int32_t torque_tls_version(const struct torque_layer *layer);      /* TORQUE_TLS_1_3, ... */
TORQUE_API const char *torque_tls_cipher(const struct torque_layer *layer);   /* "TLS_AES_256_GCM_SHA384" */
TORQUE_API const char *torque_tls_name(const struct torque_layer *layer);     /* requested by SNI, or null */
TORQUE_API int32_t torque_tls_resumed(const struct torque_layer *layer);      /* 1: without a full handshake */
/* Stores the negotiated protocol, which is not null-terminated; length 0: none. */
TORQUE_API torque_err torque_tls_alpn(const struct torque_layer *layer, const char **ret_name, size_t *ret_length);

/* Returns 0 if the peer's certificate is valid, TORQUE_TLS_NO_CERTIFICATE, or one of OpenSSL's X509_V_ERR_... */
enum { TORQUE_TLS_NO_CERTIFICATE = -1 };
TORQUE_API int32_t torque_tls_verified(const struct torque_layer *layer);
/* Stores the peer's certificate in DER: at most size bytes in data, and the full length in *ret_length; 0 means that
 * there is none. */
TORQUE_API torque_err torque_tls_peer_der(const struct torque_layer *layer, void *data, size_t size,
                                          size_t *ret_length);
/* Returns the peer's certificate, or null. The caller must free it with X509_free(). */
TORQUE_API struct x509_st *torque_tls_peer_x509(const struct torque_layer *layer);

/* Stores the session as bytes, like torque_tls_client_session(). With TLS 1.3 a session can be resumed only if it was
 * taken after data had arrived. */
TORQUE_API torque_err torque_tls_session(const struct torque_layer *layer, void *data, size_t size, size_t *ret_length);

/* Returns OpenSSL's object. Use it for queries, not to read, write or shut down the connection. */
TORQUE_API struct ssl_st *torque_tls_ssl(const struct torque_layer *layer);

/* Returns OpenSSL's description of the last failure of a call or a layer of this library on the calling thread; ""
 * before the first. In a stream's close callback it is that of the stream, if the stream ended with a
 * TORQUE_ERR_TLS_... error. The text is valid until the next failure. */
TORQUE_API const char *torque_tls_detail(void);

/* ---- The calls of the original libtorque ---- */

struct torque_ctx;
struct torque_rxbuf; /* buffers.h */
struct ssl_cbstate;  /* one connection */

/* Do nothing, because OpenSSL 3 does not need them, and return 0. */
TORQUE_API int torque_init_ssl(void) TORQUE_CHECKED;
TORQUE_API int torque_stop_ssl(void);

/* Creates an SSL_CTX for torque_addssl(); free it with SSL_CTX_free(). The arguments are a certificate chain in PEM and
 * its key in PEM or DER (both may be null), and the trusted certificates (may be null). If cliver is not 0, clients
 * must present a certificate. It supports only TLS 1.2 and later. Returns null on failure, see torque_tls_detail(). */
TORQUE_API struct ssl_ctx_st *torque_ssl_ctx(const char *certfile, const char *keyfile, const char *cafile,
                                             unsigned cliver) TORQUE_CHECKED;

/* Accepts connections on fd, a listening socket that remains the caller's, and speaks TLS on them. rx is called with
 * the input that was not taken yet (buffers.h), and with no bytes after the peer's end. tx, if not null, is called when
 * the handshake is complete, and when a large pending output has become small. The callbacks' state is that
 * connection's struct ssl_cbstate *. They return 0, or -1 to close the connection when all output was sent; they do not
 * close it themselves. The caller may free its reference to sslctx.
 * Errors: as torque_listen_fd_add(); INVAL. */
TORQUE_API torque_err torque_addssl(struct torque_ctx *ctx, int fd, struct ssl_ctx_st *sslctx,
                                    int (*rx)(int fd, struct torque_rxbuf *rxb, void *state),
                                    int (*tx)(int fd, struct torque_rxbuf *rxb, void *state),
                                    void *state) TORQUE_CHECKED;

/* Sends length bytes, all or none: returns length or -1. Bytes that the peer does not accept at once are buffered.
 * Thread: any, until the connection's last callback has returned. */
TORQUE_API int ssl_tx(int fd, struct ssl_cbstate *ssl, const void *data, int length) TORQUE_CHECKED;

/* Returns the state that was passed to torque_addssl(). */
TORQUE_API void *torque_ssl_state(struct ssl_cbstate *ssl);

TORQUE_END_DECLS

/* Programs for the original library expect OpenSSL's own declarations from its header. */
#ifdef LIBTORQUE_WITH_TLS
#include <openssl/ssl.h>
#endif

#endif
