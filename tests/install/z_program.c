/* SPDX-License-Identifier: BSD-3-Clause */
/* A program for compression: what one stream sends the other receives, through a kind of layer that this build has. */
#include <libtorque/compress.h>
#include <libtorque/torque.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  (void)stream;
  if (length == 5 && memcmp(data, "hello", 5) == 0) *(int *)arg = 1;
  return length;
}

int main(void) {
  int fd[2], found = 0;
  torque_source from, to;
  struct torque_config *config;
  struct torque_ctx *ctx;
  struct torque_stream_type *type;
  struct torque_layer_type *layer;
  if (torque_config_new(&config) || torque_config_set_driven(config, 1) || torque_ctx_new(config, &ctx)) return 1;
  torque_config_free(config);
  if (torque_gzip_layer(NULL, &layer) && torque_zstd_layer(NULL, &layer) && torque_bzip2_layer(NULL, &layer)) return 1;
  if (torque_stream_type_new(&type) || torque_stream_type_set_data(type, on_data)) return 1;
  if (torque_stream_type_add_layer(type, layer)) return 1;
  torque_layer_type_free(layer);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) return 1;
  if (torque_stream_add(ctx, fd[0], type, &found, &from) || torque_stream_add(ctx, fd[1], type, &found, &to)) return 1;
  torque_stream_type_free(type);
  if (torque_stream_write(from, "hello", 5)) return 1;
  while (!found)
    if (torque_run_once(ctx, UINT64_MAX, NULL)) return 1;
  if (torque_stop(ctx)) return 1;
  puts(torque_version());
  return 0;
}
