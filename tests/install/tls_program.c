/* SPDX-License-Identifier: BSD-3-Clause */
/* A program for TLS. It finds the calls, and OpenSSL's, through torque.h, as .pc says. */
#include <libtorque/torque.h>

#include <stdio.h>

int main(void) {
  struct torque_tls_config *config;
  struct torque_layer_type *layer;
  if (torque_init_ssl() || torque_tls_config_new(&config)) return 1;
  if (torque_tls_client(config, "server.test", &layer)) return 1;
  torque_tls_config_free(config);
  torque_layer_type_free(layer);
  SSL_CTX *ctx = torque_ssl_ctx(NULL, NULL, NULL, 0);
  if (!ctx || torque_tls_server_ctx(ctx, &layer)) return 1;
  SSL_CTX_free(ctx);
  torque_layer_type_free(layer);
  if (torque_stop_ssl()) return 1;
  puts(torque_version());
  return 0;
}
