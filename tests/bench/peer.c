/* SPDX-License-Identifier: BSD-3-Clause */
/* Set-up of a benchmark server, and the paths of a request that came or went in parts. */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

void peer_die(const char *what)
{
	perror(what);
	exit(1);
}

static void usage(const char *modes, int status)
{
	fprintf(status ? stderr : stdout,
		"usage: server [-p PORT] [-n REQUEST_BYTES] [-t THREADS] [-m MODE]\n"
		"modes: %s\n"
		"Prints its port, then serves until SIGTERM.\n",
		modes);
	exit(status);
}

static unsigned number(const char *text, unsigned low, unsigned high)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	if (*end || end == text || value < low || value > high) {
		fprintf(stderr, "'%s' is not a number from %u to %u\n", text, low, high);
		exit(2);
	}
	return (unsigned)value;
}

/* The name inside modes, so that it outlives the arguments; NULL when it is not there. */
static const char *find_mode(const char *modes, const char *name)
{
	static char found[32];
	size_t length = strlen(name);
	for (const char *at = modes; (at = strstr(at, name)) != NULL; at += length) {
		int starts = at == modes || at[-1] == ' ';
		if (starts && (at[length] == ' ' || at[length] == '\0') && length < sizeof found)
			return memcpy(found, name, length + 1);
	}
	return NULL;
}

struct peer_options peer_parse(int argc, char **argv, const char *modes)
{
	struct peer_options o = {.size = 64, .threads = 1};
	char first[32];
	size_t length = strcspn(modes, " ");
	if (length >= sizeof first)
		length = sizeof first - 1;
	memcpy(first, modes, length);
	first[length] = '\0';
	o.mode = find_mode(modes, first);
	int option;
	while ((option = getopt(argc, argv, "p:n:t:m:h")) != -1) {
		switch (option) {
		case 'p': o.port = (uint16_t)number(optarg, 0, 65535); break;
		case 'n': o.size = number(optarg, 1, PEER_READ_BYTES); break;
		case 't': o.threads = number(optarg, 1, 256); break;
		case 'm': o.mode = find_mode(modes, optarg); break;
		case 'h': usage(modes, 0); break;
		default: usage(modes, 2);
		}
	}
	if (!o.mode || optind != argc)
		usage(modes, 2);
	return o;
}

void peer_process_setup(void)
{
	struct rlimit limit;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_bound(const struct peer_options *options, int type)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(options->port)};
	int on = 1;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer_process_setup();
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		peer_die("socket");
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
		peer_die("bind");
	return fd;
}

static void say_port(int fd)
{
	struct sockaddr_in at;
	socklen_t length = sizeof at;
	if (getsockname(fd, (struct sockaddr *)&at, &length) < 0)
		peer_die("getsockname");
	printf("%u\n", ntohs(at.sin_port));
	fflush(stdout);
}

int peer_listen(const struct peer_options *options)
{
	int fd = open_bound(options, SOCK_STREAM);
	if (listen(fd, 4096) < 0)
		peer_die("listen");
	say_port(fd);
	return fd;
}

int peer_bind(const struct peer_options *options)
{
	int fd = open_bound(options, SOCK_DGRAM), room = 4 << 20;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	say_port(fd);
	return fd;
}

void peer_set_options(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int peer_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		peer_set_options(fd);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		peer_die("accept4");
	return fd;
}

int peer_write_rest(int fd, const unsigned char *data, size_t size)
{
	while (size > 0) {
		ssize_t put = write(fd, data, size);
		if (put > 0) {
			data += put;
			size -= (size_t)put;
			continue;
		}
		struct pollfd wait = {.fd = fd, .events = POLLOUT};
		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		poll(&wait, 1, 1000);
	}
	return 0;
}

/* Completes the request that waits, answers the whole ones behind it, keeps what is left over. */
enum peer_result peer_serve_part(struct peer_conn *c, unsigned size, unsigned char *buffer, size_t got)
{
	size_t at = 0;
	if (!c->part && !(c->part = malloc(size)))
		peer_die("malloc");
	while (at < got) {
		size_t take = size - c->have;
		if (take > got - at)
			take = got - at;
		memcpy(c->part + c->have, buffer + at, take);
		c->have += (uint32_t)take;
		at += take;
		if (c->have < size)
			break;
		if (peer_write_rest(c->fd, c->part, size) < 0)
			return PEER_CLOSED;
		c->have = 0;
	}
	return got == PEER_READ_BYTES ? PEER_MORE : PEER_DRAINED;
}
