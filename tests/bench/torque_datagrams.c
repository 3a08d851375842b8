/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Echo of datagrams by libtorque. Modes:
 *   worker       threaded, one worker
 *   driven       a driven context; both receive up to 2 KiB
 *   driven-any   the same with the default, any size
 *   driven-gro   the same with GRO
 */
#include "peer.h"

#include <libtorque/torque.h>
#include <stdbool.h>
#include <stdio.h>

static void check(torque_err err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, torque_errstr(err));
	exit(1);
}

static void on_datagrams(torque_source source, struct torque_datagrams *batch, void *argument)
{
	(void)source, (void)argument;
	const uint32_t n = torque_datagrams_count(batch);
	for (uint32_t i = 0; i < n; i++)
		(void)torque_datagrams_reply(batch, i, torque_datagrams_data(batch, i), torque_datagrams_size(batch, i));
}

int main(int argc, char **argv)
{
	struct peer_options options = peer_parse(argc, argv, "worker driven driven-any driven-gro");
	const bool driven = strcmp(options.mode, "worker") != 0, gro = strcmp(options.mode, "driven-gro") == 0,
		   any = strcmp(options.mode, "driven-any") == 0;
	struct torque_config *config;
	struct torque_ctx *context;
	torque_source source;
	check(torque_config_new(&config), "torque_config_new");
	check(torque_config_set_driven(config, driven), "driven");
	if (!driven)
		check(torque_config_set_workers(config, 1), "workers");
	check(torque_ctx_new(config, &context), "torque_ctx_new");
	torque_config_free(config);
	check(torque_datagram_new(context, peer_bind(&options), gro ? TORQUE_DATAGRAM_GRO : 0, on_datagrams, NULL, &source),
	      "torque_datagram_new");
	if (!gro && !any)
		check(torque_datagram_set_size(source, 2048), "torque_datagram_set_size");
	check(torque_source_start(source), "torque_source_start");
	check(driven ? torque_run(context) : torque_block(context), "serving");
	return 0;
}
