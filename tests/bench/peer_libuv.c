/* SPDX-License-Identifier: BSD-3-Clause */
/* libuv servers: mode stream (uv_tcp_t, read callback and uv_try_write) and mode poll (uv_poll_t on the descriptor). */
#include "peer.h"

#include <uv.h>

static struct peer_options options;
static unsigned char buffer[PEER_READ_BYTES];

struct client {
	union {
		uv_tcp_t tcp;
		uv_poll_t poll;
		uv_handle_t handle;
	} u;
	struct peer_conn conn;
};

static void on_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;
	if (handle->type == UV_POLL)
		close(c->conn.fd);
	free(c->conn.part);
	free(c);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret)
{
	(void)handle, (void)hint;
	*ret = uv_buf_init((char *)buffer, PEER_READ_BYTES);
}

/* A request in parts: the shared helper writes to the descriptor, which is allowed while no uv_write is queued. */
static void on_data(uv_stream_t *stream, ssize_t got, const uv_buf_t *unused)
{
	struct client *c = stream->data;
	(void)unused;
	if (got == 0)
		return;
	if (got < 0) {
		uv_close(&c->u.handle, on_closed);
		return;
	}
	enum peer_result result = PEER_DRAINED;
	if (c->conn.have || (size_t)got % options.size) {
		result = peer_serve_part(&c->conn, options.size, buffer, (size_t)got);
	} else {
		uv_buf_t out = uv_buf_init((char *)buffer, (unsigned)got);
		int put = uv_try_write(stream, &out, 1);
		size_t written = put > 0 ? (size_t)put : 0;
		if (written < (size_t)got && peer_write_rest(c->conn.fd, buffer + written, (size_t)got - written) < 0)
			result = PEER_CLOSED;
	}
	if (result == PEER_CLOSED)
		uv_close(&c->u.handle, on_closed);
}

static void on_readable(uv_poll_t *poll, int status, int what)
{
	struct client *c = poll->data;
	(void)what;
	if (status == 0 && peer_serve(&c->conn, options.size, buffer) != PEER_CLOSED)
		return;
	uv_poll_stop(poll);
	uv_close(&c->u.handle, on_closed);
}

static int start(uv_loop_t *loop, struct client *c)
{
	if (strcmp(options.mode, "poll") == 0)
		return uv_poll_init(loop, &c->u.poll, c->conn.fd) || uv_poll_start(&c->u.poll, UV_READABLE, on_readable);
	return uv_tcp_init(loop, &c->u.tcp) || uv_tcp_open(&c->u.tcp, c->conn.fd) ||
	       uv_read_start((uv_stream_t *)&c->u.tcp, on_alloc, on_data);
}

static void on_accept(uv_poll_t *poll, int status, int what)
{
	int fd, listener = *(int *)poll->data;
	(void)status, (void)what;
	while ((fd = peer_accept(listener)) >= 0) {
		struct client *c = calloc(1, sizeof *c);
		if (!c)
			peer_die("calloc");
		c->conn.fd = fd;
		if (start(poll->loop, c) != 0)
			peer_die("libuv");
		c->u.handle.data = c;
	}
}

int main(int argc, char **argv)
{
	options = peer_parse(argc, argv, "stream poll");
	static uv_loop_t loop;
	static uv_poll_t accepting;
	static int listener;
	listener = peer_listen(&options);
	accepting.data = &listener;
	if (uv_loop_init(&loop) || uv_poll_init(&loop, &accepting, listener) ||
	    uv_poll_start(&accepting, UV_READABLE, on_accept))
		peer_die("libuv");
	return uv_run(&loop, UV_RUN_DEFAULT);
}
