/* SPDX-License-Identifier: BSD-3-Clause */
/* --tls: the streams get one layer more. Without a certificate of the user's one is made for this run. */
#include "echo.h"

#include <stdio.h>

#ifdef LIBTORQUE_WITH_TLS

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { valid_days = 30 };

static bool add_extension(X509 *x, int nid, const char *value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
  const bool good = e && X509_add_ext(x, e, -1);
  X509_EXTENSION_free(e);
  return good;
}

static bool fill_in(X509 *x, EVP_PKEY *key) {
  X509_NAME *name = X509_get_subject_name(x);
  return X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
         X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
         X509_gmtime_adj(X509_getm_notAfter(x), valid_days * 86400L) &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"torque-echo", -1, -1, 0) &&
         X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) &&
         add_extension(x, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") && X509_sign(x, key, EVP_sha256());
}

static torque_err use_pem(struct torque_tls_config *config, BIO *chain, BIO *key) {
  char *chain_data, *key_data;
  const long chain_length = BIO_get_mem_data(chain, &chain_data), key_length = BIO_get_mem_data(key, &key_data);
  return torque_tls_config_add_certificate_pem(config, chain_data, (size_t)chain_length, key_data, (size_t)key_length);
}

static torque_err make_certificate(struct torque_tls_config *config) {
  torque_err err = TORQUE_ERR_RESOURCE;
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *x = X509_new();
  BIO *chain_out = BIO_new(BIO_s_mem()), *key_out = BIO_new(BIO_s_mem());
  if (key && x && chain_out && key_out && fill_in(x, key) && PEM_write_bio_X509(chain_out, x) &&
      PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL))
    err = use_pem(config, chain_out, key_out);
  BIO_free(chain_out);
  BIO_free(key_out);
  X509_free(x);
  EVP_PKEY_free(key);
  return err;
}

bool has_tls(void) { return true; }

torque_err add_tls(const struct options *options, struct torque_stream_type *type) {
  struct torque_tls_config *config;
  struct torque_layer_type *layer;
  torque_err err = torque_tls_config_new(&config);
  if (err) return err;
  err =
      options->cert ? torque_tls_config_add_certificate(config, options->cert, options->key) : make_certificate(config);
  if (err == TORQUE_ERR_TLS_CERTIFICATE) fprintf(stderr, "torque-echo: %s\n", torque_tls_detail());
  if (!err) err = torque_tls_server(config, &layer);
  torque_tls_config_free(config);
  if (err) return err;
  err = torque_stream_type_add_layer(type, layer);
  torque_layer_type_free(layer);
  return err;
}

#else

bool has_tls(void) { return false; }

torque_err add_tls(const struct options *options, struct torque_stream_type *type) {
  (void)options, (void)type;
  return TORQUE_ERR_UNAVAIL;
}

#endif
