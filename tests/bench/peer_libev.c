/* SPDX-License-Identifier: BSD-3-Clause */
/* libev server: an ev_io a connection. */
#include "peer.h"

/* libev's own cast of watchers breaks strict aliasing, as its manual says. */
#pragma GCC diagnostic ignored "-Wstrict-aliasing"
#include <ev.h>

static struct peer_options options;
static unsigned char buffer[PEER_READ_BYTES];

struct client {
	ev_io io;
	struct peer_conn conn;
};

static void on_readable(struct ev_loop *loop, ev_io *io, int what)
{
	struct client *c = io->data;
	(void)what;
	if (peer_serve(&c->conn, options.size, buffer) != PEER_CLOSED)
		return;
	ev_io_stop(loop, io);
	close(c->conn.fd);
	free(c->conn.part);
	free(c);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int what)
{
	int fd;
	(void)what;
	while ((fd = peer_accept(io->fd)) >= 0) {
		struct client *c = calloc(1, sizeof *c);
		if (!c)
			peer_die("calloc");
		c->conn.fd = fd;
		ev_io_init(&c->io, on_readable, fd, EV_READ);
		c->io.data = c;
		ev_io_start(loop, &c->io);
	}
}

int main(int argc, char **argv)
{
	options = peer_parse(argc, argv, "io");
	struct ev_loop *loop = ev_default_loop(EVBACKEND_EPOLL);
	static ev_io accepting;
	if (!loop)
		peer_die("ev_default_loop");
	ev_io_init(&accepting, on_accept, peer_listen(&options), EV_READ);
	ev_io_start(loop, &accepting);
	ev_run(loop, 0);
	return 0;
}
