/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libtorque servers. Modes:
 *   worker          threaded, T workers; one queue for all of them
 *   domains         threaded, T workers; a queue each
 *   driven          a driven context, edge-triggered; driven-level: level-triggered
 *   recheck         as worker, with sources that need not drain; driven-recheck: in a driven context
 *   oneshot         as worker, ownership through the kernel's one-shot everywhere
 *   stream          as worker, with streams; driven-stream: in a driven context
 */
#include "peer.h"

#include <libtorque/torque.h>
#include <stdbool.h>
#include <stdio.h>

static struct peer_options options;
static struct torque_ctx *context;
static uint32_t flags;
static struct torque_stream_type *stream_type;

static void check(torque_err err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, torque_errstr(err));
	exit(1);
}

static int32_t on_readable(torque_source source, int32_t fd, uint32_t events, void *argument)
{
	static _Thread_local unsigned char buffer[PEER_READ_BYTES];
	(void)fd, (void)events;
	enum peer_result result = peer_serve(argument, options.size, buffer);
	if (result == PEER_CLOSED)
		check(torque_close(source), "torque_close");
	return result == PEER_MORE ? TORQUE_AGAIN : TORQUE_DONE;
}

static void on_end(torque_source source, int32_t reason, void *argument)
{
	(void)source, (void)reason;
	peer_conn_free(argument);
}

static void on_accept(torque_source listener, int32_t fd, const void *addr, uint32_t length, void *argument)
{
	torque_source source;
	(void)listener, (void)addr, (void)length, (void)argument;
	peer_set_options(fd);
	check(torque_fd_new(context, fd, TORQUE_READ, flags, on_readable, peer_conn_new(fd), &source), "torque_fd_new");
	check(torque_source_set_finalizer(source, on_end), "torque_source_set_finalizer");
	check(torque_source_start(source), "torque_source_start");
}

/* Whole requests go back, as the other servers do it. */
static size_t on_data(torque_source stream, const void *data, size_t length, void *argument)
{
	size_t whole = length / options.size * options.size;
	(void)argument;
	if (whole)
		check(torque_stream_write(stream, data, whole), "torque_stream_write");
	return whole;
}

static bool mode_is(const char *name)
{
	return strcmp(options.mode, name) == 0;
}

static bool driven(void)
{
	return strncmp(options.mode, "driven", 6) == 0;
}

static void on_accept_stream(torque_source listener, int32_t fd, const void *addr, uint32_t length, void *argument)
{
	torque_source stream;
	(void)listener, (void)addr, (void)length, (void)argument;
	check(torque_stream_add(context, fd, stream_type, NULL, &stream), "torque_stream_add");
}

static void make_stream_type(void)
{
	check(torque_stream_type_new(&stream_type), "torque_stream_type_new");
	check(torque_stream_type_set_data(stream_type, on_data), "torque_stream_type_set_data");
}

static void make_context(void)
{
	struct torque_config *config;
	check(torque_config_new(&config), "torque_config_new");
	check(torque_config_set_driven(config, driven()), "driven");
	if (!driven())
		check(torque_config_set_workers(config, options.threads), "workers");
	check(torque_config_set_sharing(config, mode_is("domains") || mode_is("domains-free") ? TORQUE_SHARE_THREAD : TORQUE_SHARE_MACHINE), "sharing");
	check(torque_config_set_oneshot(config, mode_is("oneshot")), "oneshot");
	/* The load runs on the same CPUs, and the peers' threads may move away from it: so may ours, for comparison. */
	check(torque_config_set_pinning(config, !mode_is("worker-free") && !mode_is("domains-free")), "pinning");
	check(torque_ctx_new(config, &context), "torque_ctx_new");
	torque_config_free(config);
}

int main(int argc, char **argv)
{
	torque_source listener;
	torque_accept_fn *accept_fn = on_accept;
	options = peer_parse(argc, argv, "worker worker-free domains domains-free driven driven-level recheck driven-recheck oneshot stream driven-stream");
	if (mode_is("recheck") || mode_is("driven-recheck"))
		flags = TORQUE_RECHECK;
	if (mode_is("driven-level"))
		flags = TORQUE_LEVEL;
	make_context();
	if (mode_is("stream") || mode_is("driven-stream"))
		accept_fn = on_accept_stream, make_stream_type();
	check(torque_listen_fd_add(context, peer_listen(&options), TORQUE_LISTEN_DEFAULT, accept_fn, NULL, &listener),
	      "torque_listen_fd_add");
	check(driven() ? torque_run(context) : torque_block(context), "serving");
	return 0;
}
