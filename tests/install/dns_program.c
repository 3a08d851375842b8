/* SPDX-License-Identifier: BSD-3-Clause */
/* A program for the resolver; what it looks up needs no server. It finds the calls through torque.h, as .pc says. */
#include <libtorque/torque.h>

#include <stdio.h>
#include <string.h>

static void on_addresses(torque_query query, torque_err err, const struct torque_addresses *addresses, void *arg) {
  (void)query;
  if (!err && strcmp(torque_addresses_text(addresses, 0), "192.0.2.1") == 0) *(int *)arg = 1;
  torque_stop_async(torque_getcurctx());
}

int main(void) {
  torque_err err;
  int found = 0;
  struct torque_resolver *resolver;
  struct torque_ctx *ctx = torque_init(&err);
  if (!ctx || torque_resolver_new(ctx, &resolver)) return 1;
  if (torque_resolve(resolver, "192.0.2.1", "http", 0, 0, on_addresses, &found, NULL)) return 1;
  err = torque_block(ctx);
  torque_resolver_free(resolver);
  if (err || !found) return 1;
  puts(torque_version());
  return 0;
}
