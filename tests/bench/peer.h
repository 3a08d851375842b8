/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all servers of the benchmark share: options, listening socket, accepting, and the work done per request.
 * Only the loop around it differs.
 */
#ifndef TORQUE_BENCH_PEER_H
#define TORQUE_BENCH_PEER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEER_READ_BYTES = 65536, PEER_EVENTS = 256 };

struct peer_options {
	const char *mode; /* which loop; the first of the modes a server knows is its default */
	uint16_t port;
	unsigned size; /* of a request, bytes */
	unsigned threads;
};

/* An idle connection costs this and nothing else: a request that came in parts gets memory while it waits. */
struct peer_conn {
	int fd;
	uint32_t have;
	unsigned char *part;
};

enum peer_result { PEER_CLOSED = -1, PEER_DRAINED = 0, PEER_MORE = 1 };

/* modes: names separated by spaces. Ends the process when the options are wrong. */
struct peer_options peer_parse(int argc, char **argv, const char *modes);
/* Non-blocking, close-on-exec, bound to loopback; writes the port as the first line of standard output. */
int peer_listen(const struct peer_options *options);
/* The same for datagrams, with a buffer that holds what a load sends at once. */
int peer_bind(const struct peer_options *options);
/* The next connection, with the options all servers use; -1 when there is none. */
int peer_accept(int listener);
void peer_set_options(int fd);
/* Descriptor limit to its maximum, SIGPIPE ignored. */
void peer_process_setup(void);
__attribute__((noreturn)) void peer_die(const char *what);

/* The parts of peer_serve that a load of whole requests never reaches. */
int peer_write_rest(int fd, const unsigned char *data, size_t size);
enum peer_result peer_serve_part(struct peer_conn *c, unsigned size, unsigned char *buffer, size_t got);

static inline struct peer_conn *peer_conn_new(int fd)
{
	struct peer_conn *c = calloc(1, sizeof *c);
	if (!c)
		peer_die("calloc");
	c->fd = fd;
	return c;
}

static inline void peer_conn_free(struct peer_conn *c)
{
	free(c->part);
	free(c);
}

/* One read, and one write when a whole request is there. A short read means drained: the next byte is a new edge. */
static inline enum peer_result peer_serve(struct peer_conn *c, unsigned size, unsigned char *buffer)
{
	ssize_t got = read(c->fd, buffer, PEER_READ_BYTES);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? PEER_DRAINED : PEER_CLOSED;
	if (c->have || (size_t)got % size)
		return peer_serve_part(c, size, buffer, (size_t)got);
	ssize_t put = write(c->fd, buffer, (size_t)got);
	if (put != got && peer_write_rest(c->fd, buffer + (put > 0 ? put : 0), (size_t)(got - (put > 0 ? put : 0))) < 0)
		return PEER_CLOSED;
	return got == PEER_READ_BYTES ? PEER_MORE : PEER_DRAINED;
}

/* The same until nothing is left: for an edge. */
static inline enum peer_result peer_serve_all(struct peer_conn *c, unsigned size, unsigned char *buffer)
{
	enum peer_result result;
	do
		result = peer_serve(c, size, buffer);
	while (result == PEER_MORE);
	return result;
}

#endif
