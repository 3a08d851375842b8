/* SPDX-License-Identifier: BSD-3-Clause */
/* libevent servers: mode event (struct event on the descriptor) and mode buffer (bufferevent). */
#include "peer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

static struct peer_options options;
static struct event_base *base;
static unsigned char buffer[PEER_READ_BYTES];

struct client {
	struct peer_conn conn;
	struct event *event;
};

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
	struct client *c = argument;
	(void)what;
	if (peer_serve(&c->conn, options.size, buffer) != PEER_CLOSED)
		return;
	event_free(c->event);
	close(fd);
	free(c->conn.part);
	free(c);
}

static void start_event(int fd)
{
	struct client *c = calloc(1, sizeof *c);
	if (!c)
		peer_die("calloc");
	c->conn.fd = fd;
	c->event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	if (!c->event || event_add(c->event, NULL) < 0)
		peer_die("event_add");
}

static void on_buffer(struct bufferevent *bev, void *argument)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t whole = evbuffer_get_length(in) / options.size * options.size;
	(void)argument;
	if (whole)
		evbuffer_remove_buffer(in, bufferevent_get_output(bev), whole);
}

static void on_buffer_end(struct bufferevent *bev, short what, void *argument)
{
	(void)what, (void)argument;
	bufferevent_free(bev);
}

static void start_buffer(int fd)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!bev)
		peer_die("bufferevent_socket_new");
	bufferevent_setcb(bev, on_buffer, NULL, on_buffer_end, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void on_accept(evutil_socket_t listener, short what, void *argument)
{
	int fd, buffered = strcmp(options.mode, "buffer") == 0;
	(void)what, (void)argument;
	while ((fd = peer_accept(listener)) >= 0) {
		if (buffered)
			start_buffer(fd);
		else
			start_event(fd);
	}
}

int main(int argc, char **argv)
{
	options = peer_parse(argc, argv, "event buffer");
	base = event_base_new();
	if (!base)
		peer_die("event_base_new");
	struct event *accepting = event_new(base, peer_listen(&options), EV_READ | EV_PERSIST, on_accept, NULL);
	if (!accepting || event_add(accepting, NULL) < 0)
		peer_die("event_add");
	return event_base_dispatch(base) < 0;
}
