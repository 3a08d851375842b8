/* SPDX-License-Identifier: BSD-3-Clause */
/* libev server: an ev_io a connection; with a timeout for each that every request puts off (timeout); or with an answer
 * that waits until it can be written (turns), as programs do that watch for one thing at a time. */
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

struct timed {
	struct client client;
	ev_timer idle;
};

static void close_client(struct ev_loop *loop, struct client *c)
{
	ev_io_stop(loop, &c->io);
	close(c->conn.fd);
	free(c->conn.part);
	free(c);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int what)
{
	struct client *c = io->data;
	(void)what;
	if (peer_serve(&c->conn, options.size, buffer) == PEER_CLOSED)
		close_client(loop, c);
}

static void on_timed(struct ev_loop *loop, ev_io *io, int what)
{
	struct timed *t = io->data;
	(void)what;
	if (peer_serve(&t->client.conn, options.size, buffer) != PEER_CLOSED) {
		ev_timer_again(loop, &t->idle);
		return;
	}
	ev_timer_stop(loop, &t->idle);
	close_client(loop, &t->client);
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int what)
{
	(void)what;
	ev_timer_stop(loop, timer);
	close_client(loop, timer->data);
}

static void watch_for(struct ev_loop *loop, ev_io *io, int events)
{
	ev_io_stop(loop, io);
	ev_io_set(io, io->fd, events);
	ev_io_start(loop, io);
}

/* Reads when it can be written: the load sends the next request only after the answer. */
static void on_turn(struct ev_loop *loop, ev_io *io, int what)
{
	struct client *c = io->data;
	if (what & EV_READ)
		watch_for(loop, io, EV_WRITE);
	else if (peer_serve(&c->conn, options.size, buffer) == PEER_CLOSED)
		close_client(loop, c);
	else
		watch_for(loop, io, EV_READ);
}

static struct client *new_client(struct ev_loop *loop)
{
	if (strcmp(options.mode, "timeout") != 0)
		return calloc(1, sizeof(struct client));
	struct timed *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	ev_timer_init(&t->idle, on_idle, 0., 60.);
	t->idle.data = t;
	ev_timer_again(loop, &t->idle);
	return &t->client;
}

static void (*serve)(struct ev_loop *loop, ev_io *io, int what);

static void on_accept(struct ev_loop *loop, ev_io *io, int what)
{
	int fd;
	(void)what;
	while ((fd = peer_accept(io->fd)) >= 0) {
		struct client *c = new_client(loop);
		if (!c)
			peer_die("calloc");
		c->conn.fd = fd;
		ev_io_init(&c->io, serve, fd, EV_READ);
		c->io.data = c;
		ev_io_start(loop, &c->io);
	}
}

int main(int argc, char **argv)
{
	options = peer_parse(argc, argv, "io timeout turns");
	serve = strcmp(options.mode, "io") == 0 ? on_readable : strcmp(options.mode, "turns") == 0 ? on_turn : on_timed;
	struct ev_loop *loop = ev_default_loop(EVBACKEND_EPOLL);
	static ev_io accepting;
	if (!loop)
		peer_die("ev_default_loop");
	ev_io_init(&accepting, on_accept, peer_listen(&options), EV_READ);
	ev_io_start(loop, &accepting);
	ev_run(loop, 0);
	return 0;
}
