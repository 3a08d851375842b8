/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS echo, libtorque beside a bare loop of epoll and OpenSSL: CPU time of the server for a request, both driven in
 * alternating slices of one run over connections that stay. Both have the same SSL_CTX, made once before they fork.
 *
 * usage: tls-pair [BYTES [CONNECTIONS [SLICES]]]      "same" instead of libtorque: tls-pair BYTES CONNECTIONS SLICES same
 */
#include <libtorque/torque.h>
#include <libtorque/tls.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { slice_ms = 100, most_bytes = 65536 };

static size_t request = 1024;

__attribute__((noreturn)) static void die(const char *what)
{
	perror(what);
	exit(1);
}

static SSL_CTX *make_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	if (!ctx || !key || !x)
		die("OpenSSL");
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	if (!X509_sign(x, key, EVP_sha256()) || !SSL_CTX_use_certificate(ctx, x) || !SSL_CTX_use_PrivateKey(ctx, key))
		die("certificate");
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
}

/* ---- The bare loop ---- */

struct conn {
	SSL *ssl;
	unsigned char *rest; /* what could not be written */
	int size;
};

static void bare_write(struct conn *c, const unsigned char *data, int size)
{
	int n = SSL_write(c->ssl, data, size);
	if (n < 0)
		n = 0;
	if (n == size)
		return;
	c->rest = malloc((size_t)(size - n));
	memcpy(c->rest, data + n, (size_t)(size - n));
	c->size = size - n;
}

static void bare_serve(struct conn *c)
{
	static unsigned char bytes[most_bytes];
	if (c->rest) {
		unsigned char *rest = c->rest;
		c->rest = NULL;
		bare_write(c, rest, c->size);
		free(rest);
	}
	for (int n; !c->rest && (n = SSL_read(c->ssl, bytes, sizeof bytes)) > 0;)
		bare_write(c, bytes, n);
}

static void bare_server(SSL_CTX *ctx, int listener)
{
	struct epoll_event events[256];
	int queue = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(queue, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN});
	for (;;) {
		int n = epoll_wait(queue, events, 256, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			if (c) {
				bare_serve(c);
				continue;
			}
			int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
			c = calloc(1, sizeof *c);
			c->ssl = SSL_new(ctx);
			SSL_set_fd(c->ssl, fd);
			SSL_set_accept_state(c->ssl);
			epoll_ctl(queue, EPOLL_CTL_ADD, fd,
				  &(struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c});
		}
	}
}

/* ---- Ours ---- */

static size_t on_data(torque_source stream, const void *data, size_t length, void *arg)
{
	(void)arg;
	(void)torque_stream_write(stream, data, length);
	return length;
}

static struct torque_stream_type *type;

static void on_accept(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *ctx)
{
	torque_source stream;
	(void)listener, (void)addr, (void)addrlen;
	if (torque_stream_add(ctx, fd, type, NULL, &stream))
		close(fd);
}

static void torque_server(SSL_CTX *ctx, int listener)
{
	struct torque_config *config;
	struct torque_ctx *context;
	struct torque_layer_type *layer;
	torque_source source;
	if (torque_config_new(&config) || torque_config_set_driven(config, 1) || torque_ctx_new(config, &context) ||
	    torque_tls_server_ctx(ctx, &layer) || torque_stream_type_new(&type) ||
	    torque_stream_type_add_layer(type, layer) || torque_stream_type_set_data(type, on_data) ||
	    torque_listen_fd_add(context, listener, TORQUE_LISTEN_DEFAULT, on_accept, context, &source))
		die("libtorque");
	torque_run(context);
}

/* ---- The load ---- */

struct server {
	pid_t pid;
	clockid_t clock;
	int connections;
	SSL **ssl;
	int *got;
	int queue;
};

static void start(struct server *s, SSL_CTX *ctx, void (*serve)(SSL_CTX *, int), int connections)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof where;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&where, sizeof where) || listen(listener, 1000) ||
	    getsockname(listener, (struct sockaddr *)&where, &length))
		die("listen");
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(ctx, listener);
		_exit(0);
	}
	close(listener);
	if (s->pid < 0 || clock_getcpuclockid(s->pid, &s->clock))
		die("fork");
	SSL_CTX *client = SSL_CTX_new(TLS_method());
	s->connections = connections;
	s->ssl = calloc((size_t)connections, sizeof *s->ssl);
	s->got = calloc((size_t)connections, sizeof *s->got);
	s->queue = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < connections; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&where, sizeof where))
			die("connect");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		s->ssl[i] = SSL_new(client);
		SSL_set_fd(s->ssl[i], fd);
		if (SSL_connect(s->ssl[i]) != 1)
			die("SSL_connect");
		fcntl(fd, F_SETFL, O_NONBLOCK);
		epoll_ctl(s->queue, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.u32 = (uint32_t)i});
	}
}

static double ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Requests are small enough for the socket's buffer: a write never falls short. */
static void ask(struct server *s, int i)
{
	static unsigned char bytes[most_bytes];
	if (SSL_write(s->ssl[i], bytes, (int)request) != (int)request)
		die("SSL_write");
}

/* One request on each connection at a time, for a slice; server CPU ns for each. */
static double slice(struct server *s)
{
	static unsigned char bytes[most_bytes];
	struct epoll_event events[256];
	uint64_t done = 0;
	int open = s->connections;
	const double until = ns(CLOCK_MONOTONIC) + slice_ms * 1e6, before = ns(s->clock);
	for (int i = 0; i < s->connections; i++)
		ask(s, i);
	while (open) {
		int n = epoll_wait(s->queue, events, 256, 10000);
		if (n <= 0)
			die("epoll_wait");
		const int more = ns(CLOCK_MONOTONIC) < until;
		for (int k = 0; k < n; k++) {
			const int i = (int)events[k].data.u32;
			for (int r; (r = SSL_read(s->ssl[i], bytes, sizeof bytes)) > 0;)
				s->got[i] += r;
			if (s->got[i] < (int)request)
				continue;
			s->got[i] = 0;
			done++;
			if (more)
				ask(s, i);
			else
				open--;
		}
	}
	return (ns(s->clock) - before) / (double)done;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	const int connections = argc > 2 ? atoi(argv[2]) : 16, slices = argc > 3 ? atoi(argv[3]) : 100;
	const int same = argc > 4 && strcmp(argv[4], "same") == 0;
	if (argc > 1)
		request = (size_t)atoi(argv[1]);
	if (request == 0 || request > most_bytes || connections <= 0 || slices <= 0) {
		fprintf(stderr, "usage: tls-pair [BYTES [CONNECTIONS [SLICES [same]]]]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	SSL_CTX *ctx = make_ctx();
	struct server bare, ours;
	start(&bare, ctx, bare_server, connections);
	start(&ours, ctx, same ? bare_server : torque_server, connections);
	double *ratio = calloc((size_t)slices, sizeof *ratio), cost[2] = {0, 0};
	slice(&bare), slice(&ours);
	for (int i = 0; i < slices; i++) {
		/* Who comes first takes turns too. */
		double a = 0, b;
		if (i % 2)
			a = slice(&bare);
		b = slice(&ours);
		if (i % 2 == 0)
			a = slice(&bare);
		ratio[i] = b / a;
		cost[0] += a / slices;
		cost[1] += b / slices;
	}
	qsort(ratio, (size_t)slices, sizeof *ratio, by_value);
	printf("%zu bytes, %d connections: %s %.2f (%.2f..%.2f) of the bare loop's CPU a request (%.0f ns, %.0f ns)\n", request,
	       connections, same ? "a second one" : "libtorque", ratio[slices / 2], ratio[slices / 4],
	       ratio[slices * 3 / 4], cost[1], cost[0]);
	kill(bare.pid, SIGKILL);
	kill(ours.pid, SIGKILL);
	waitpid(bare.pid, NULL, 0);
	waitpid(ours.pid, NULL, 0);
	return 0;
}
