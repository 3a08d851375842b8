/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Load generator: fixed-size request, the same bytes as the reply, several servers driven in turn.
 *
 * The speed of a shared host drifts within seconds, so two servers measured one after the other cannot be
 * compared. Here all of them are connected all the time and driven in alternating slices; what a slice cost a
 * server is read from the CPU clock of its process. A server's cost runs from the start of its slice to the
 * start of its next one, so that what it does while it should be idle is paid by it as well.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TARGETS_MAX = 16, SIZE_MAX_BYTES = 65536, EVENTS = 256, QUIET_MS = 5000 };

struct conn {
	int fd;
	uint32_t id;
	uint32_t sequence;
	uint32_t have;
	uint32_t written;
	bool busy;
	uint64_t sent_ns;
};

struct slice {
	uint64_t requests, cpu_ns, wall_ns, p50_ns, p99_ns;
};

struct target {
	const char *name;
	uint16_t port;
	pid_t pid;
	pid_t holder; /* the process that owns the idle connections */
	int epoll;
	clockid_t clock;
	struct conn *conn;
	struct slice *slices;
	unsigned slice_count;
	uint64_t cpu_start, replies, late;
	struct hist latency, slice_latency;
};

static struct {
	unsigned connections, idle, size, rate, slice_ms;
	unsigned datagram; /* 0: TCP; else the size of those that a request consists of */
	double seconds, warmup;
	bool text;
} opt = {.connections = 400, .size = 64, .slice_ms = 50, .seconds = 5, .warmup = 0.5};

static struct target targets[TARGETS_MAX];
static unsigned target_count;
static unsigned char request[SIZE_MAX_BYTES], reply[SIZE_MAX_BYTES + 1];

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* ---- connections ---- */

static int connect_to(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, (opt.datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket: %s", strerror(errno));
	if (opt.datagram) {
		/* A request of several leaves in one piece: what that costs is not the server's. */
		int size = (int)opt.datagram;
		if (opt.datagram < opt.size && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size) < 0)
			die("UDP_SEGMENT: %s", strerror(errno));
		if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
			die("connect to port %u: %s", port, strerror(errno));
		return fd;
	}
	/* Reset at close: thousands of ports in TIME_WAIT would disturb the next run. */
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		die("connect to port %u: %s", port, strerror(errno));
	return fd;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* One process cannot own the idle connections of several servers (RLIMIT_NOFILE), so each server gets a holder.
 * A byte on the channel asks for a share of them, which keeps idle and active ones mixed in the server. */
__attribute__((noreturn)) static void hold_idle(uint16_t port, int channel)
{
	char byte;
	unsigned opened = 0, asked = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(channel, &byte, 1) == 1) {
		unsigned due = (unsigned)((uint64_t)opt.idle * ++asked / opt.connections);
		for (; opened < due; opened++)
			connect_to(port);
		if (write(channel, &byte, 1) != 1)
			break;
	}
	pause();
	_exit(0);
}

static int start_holder(struct target *t)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair: %s", strerror(errno));
	t->holder = fork();
	if (t->holder < 0)
		die("fork: %s", strerror(errno));
	if (t->holder == 0) {
		close(pair[0]);
		hold_idle(t->port, pair[1]);
	}
	close(pair[1]);
	return pair[0];
}

static void ask_holder(const struct target *t, int channel)
{
	char byte = 'x';
	if (write(channel, &byte, 1) != 1 || read(channel, &byte, 1) != 1)
		die("idle connections to %s failed", t->name);
}

static void open_connections(struct target *t)
{
	int channel = opt.idle ? start_holder(t) : -1;
	t->conn = calloc(opt.connections, sizeof *t->conn);
	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!t->conn || t->epoll < 0)
		die("out of memory or descriptors");
	for (uint32_t i = 0; i < opt.connections; i++) {
		struct conn *c = &t->conn[i];
		c->id = i;
		c->fd = connect_to(t->port);
		fcntl(c->fd, F_SETFL, O_NONBLOCK);
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
		if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
			die("epoll_ctl: %s", strerror(errno));
		if (opt.idle)
			ask_holder(t, channel);
	}
}

/* ---- one request ---- */

static void push_request(struct conn *c)
{
	memcpy(request, &c->id, sizeof c->id);
	memcpy(request + sizeof c->id, &c->sequence, sizeof c->sequence);
	ssize_t n = write(c->fd, request + c->written, opt.size - c->written);
	if (n < 0 && errno != EAGAIN)
		die("write: %s", strerror(errno));
	if (n > 0)
		c->written += (uint32_t)n;
}

static void send_request(struct conn *c, uint64_t now)
{
	c->sequence++;
	c->have = c->written = 0;
	c->busy = true;
	c->sent_ns = now;
	push_request(c);
}

/* The first eight bytes name the connection and the request; the rest is the same in all. */
static void check_reply(const struct conn *c, unsigned from, unsigned n)
{
	unsigned char head[8];
	memcpy(head, &c->id, 4);
	memcpy(head + 4, &c->sequence, 4);
	if (c->have + n > opt.size)
		die("a reply of %u bytes to a request of %u", c->have + n, opt.size);
	unsigned in_head = from < sizeof head ? (unsigned)sizeof head - from : 0;
	if (in_head > n)
		in_head = n;
	if (memcmp(reply, head + from, in_head) != 0 ||
	    memcmp(reply + in_head, request + from + in_head, n - in_head) != 0)
		die("wrong bytes in reply %u on connection %u", c->sequence, c->id);
}

/* True when the reply is complete. */
static bool take_reply(struct conn *c)
{
	if (!c->busy)
		return false;
	if (c->written < opt.size)
		push_request(c);
	do {
		ssize_t n = read(c->fd, reply, opt.size + 1);
		if (n == 0)
			die("the server closed connection %u", c->id);
		if (n < 0) {
			if (errno != EAGAIN)
				die("read: %s", strerror(errno));
			return false;
		}
		check_reply(c, c->have, (unsigned)n);
		c->have += (uint32_t)n;
		if (c->have < opt.size && !opt.datagram) /* less than there was room for */
			return false;
	} while (c->have < opt.size);
	c->busy = false;
	return true;
}

/* ---- slices ---- */

static int wait_replies(const struct target *t, struct epoll_event *events, int timeout_ms)
{
	int n = epoll_wait(t->epoll, events, EVENTS, timeout_ms);
	if (n < 0 && errno != EINTR)
		die("epoll_wait: %s", strerror(errno));
	return n;
}

__attribute__((noreturn)) static void report_quiet(const struct target *t, unsigned outstanding)
{
	die("%s owes %u replies and has been quiet for %d ms", t->name, outstanding, QUIET_MS);
}

/* Every connection sends its next request as soon as it has its reply. */
static void drive_closed(struct target *t, uint64_t end)
{
	struct epoll_event events[EVENTS];
	unsigned outstanding = opt.connections;
	bool stopping = false;
	for (unsigned i = 0; i < opt.connections; i++)
		send_request(&t->conn[i], now_ns());
	while (outstanding > 0) {
		int n = wait_replies(t, events, QUIET_MS);
		if (n == 0)
			report_quiet(t, outstanding);
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			if (!take_reply(c))
				continue;
			uint64_t now = now_ns();
			hist_add(&t->slice_latency, now - c->sent_ns);
			stopping |= now >= end;
			if (stopping)
				outstanding--;
			else
				send_request(c, now);
		}
	}
}

/* Takes the replies that are there; returns how many were completed. */
static unsigned take_replies(struct target *t, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	unsigned done = 0;
	int n = wait_replies(t, events, timeout_ms);
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		if (take_reply(c)) {
			hist_add(&t->slice_latency, now_ns() - c->sent_ns);
			done++;
		}
	}
	return done;
}

/* Requests leave at a fixed rate, whatever the server does. A connection that is still busy is passed over and
 * counted as late. The generator polls: it must not add its own wake-up to what it measures. */
static void drive_paced(struct target *t, uint64_t start, uint64_t end)
{
	double gap = 1e9 / opt.rate;
	uint64_t sent = 0, quiet_since = start;
	unsigned outstanding = 0, next = 0;
	for (;;) {
		uint64_t now = now_ns();
		uint64_t due = start + (uint64_t)((double)sent * gap);
		if (due < end && now >= due) {
			struct conn *c = &t->conn[next++ % opt.connections];
			sent++;
			t->late += c->busy;
			if (!c->busy) {
				outstanding++;
				send_request(c, now_ns());
			}
		}
		unsigned done = take_replies(t, 0);
		outstanding -= done;
		if (done || !outstanding)
			quiet_since = now;
		if (now - quiet_since > QUIET_MS * 1000000ull)
			report_quiet(t, outstanding);
		if (due >= end && !outstanding && now >= end)
			return;
	}
}

static uint64_t cpu_ns(const struct target *t)
{
	struct timespec ts;
	if (t->pid == 0)
		return 0;
	if (clock_gettime(t->clock, &ts) < 0)
		die("%s is gone: no CPU clock", t->name);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The cost of the slice before ends where this one starts. */
static void close_cpu_account(struct target *t)
{
	uint64_t cpu = cpu_ns(t);
	if (t->slice_count > 0)
		t->slices[t->slice_count - 1].cpu_ns = cpu - t->cpu_start;
	t->cpu_start = cpu;
}

static void run_slice(struct target *t, unsigned capacity)
{
	close_cpu_account(t);
	uint64_t start = now_ns(), end = start + opt.slice_ms * 1000000ull;
	hist_clear(&t->slice_latency);
	if (opt.rate)
		drive_paced(t, start, end);
	else
		drive_closed(t, end);
	if (t->slice_count >= capacity)
		return;
	struct slice *s = &t->slices[t->slice_count++];
	s->wall_ns = now_ns() - start;
	s->requests = t->slice_latency.total;
	s->p50_ns = hist_quantile(&t->slice_latency, 0.5);
	s->p99_ns = hist_quantile(&t->slice_latency, 0.99);
	hist_merge(&t->latency, &t->slice_latency);
	t->replies += s->requests;
}

static void run_cycles(double seconds)
{
	unsigned capacity = (unsigned)(seconds * 1e3 / opt.slice_ms / target_count) + 1;
	for (unsigned i = 0; i < target_count; i++) {
		struct target *t = &targets[i];
		free(t->slices);
		t->slices = calloc(capacity, sizeof *t->slices);
		if (!t->slices)
			die("out of memory");
		t->slice_count = 0;
		t->replies = t->late = 0;
		hist_clear(&t->latency);
	}
	for (unsigned cycle = 0; cycle < capacity; cycle++)
		for (unsigned i = 0; i < target_count; i++)
			run_slice(&targets[i], capacity);
	for (unsigned i = 0; i < target_count; i++)
		close_cpu_account(&targets[i]);
}

/* ---- results ---- */

static double per_request(const struct slice *s)
{
	return s->requests ? (double)s->cpu_ns / (double)s->requests : 0;
}

/* Median over the cycles of this server's cost beside the first server's in the same cycle. */
static double median_ratio(const struct target *t)
{
	const struct target *base = &targets[0];
	double *ratio = calloc(t->slice_count + 1, sizeof *ratio);
	unsigned n = 0;
	for (unsigned i = 0; ratio && i < t->slice_count; i++)
		if (per_request(&base->slices[i]) > 0)
			ratio[n++] = per_request(&t->slices[i]) / per_request(&base->slices[i]);
	double median = quantile(ratio, n, 0.5);
	free(ratio);
	return median;
}

static void sums(const struct target *t, double *ret_cpu, double *ret_wall)
{
	*ret_cpu = *ret_wall = 0;
	for (unsigned i = 0; i < t->slice_count; i++) {
		*ret_cpu += (double)t->slices[i].cpu_ns;
		*ret_wall += (double)t->slices[i].wall_ns;
	}
}

static void print_text(void)
{
	printf("%-16s %10s %9s %9s %9s %9s %9s\n", "server", "requests/s", "p50 us", "p99 us", "p99.9 us",
	       "CPU us/rq", "ratio");
	for (unsigned i = 0; i < target_count; i++) {
		const struct target *t = &targets[i];
		double cpu, wall;
		sums(t, &cpu, &wall);
		printf("%-16s %10.0f %9.1f %9.1f %9.1f %9.3f %9.3f\n", t->name, (double)t->replies / wall * 1e9,
		       (double)hist_quantile(&t->latency, 0.5) / 1e3, (double)hist_quantile(&t->latency, 0.99) / 1e3,
		       (double)hist_quantile(&t->latency, 0.999) / 1e3, cpu / (double)t->replies / 1e3, median_ratio(t));
	}
}

static void print_slices(const struct target *t)
{
	for (unsigned i = 0; i < t->slice_count; i++) {
		const struct slice *s = &t->slices[i];
		printf("%s[%lu,%lu,%lu,%lu,%lu]", i ? "," : "", s->requests, s->cpu_ns, s->wall_ns, s->p50_ns, s->p99_ns);
	}
}

static void print_json(void)
{
	printf("{\"connections\":%u,\"idle\":%u,\"size\":%u,\"rate\":%u,\"slice_ms\":%u,\n \"targets\":[", opt.connections,
	       opt.idle, opt.size, opt.rate, opt.slice_ms);
	for (unsigned i = 0; i < target_count; i++) {
		const struct target *t = &targets[i];
		double cpu, wall;
		sums(t, &cpu, &wall);
		printf("%s\n  {\"name\":\"%s\",\"requests\":%lu,\"late\":%lu,\"cpu_ns\":%.0f,\"wall_ns\":%.0f,"
		       "\"p50_ns\":%lu,\"p99_ns\":%lu,\"p999_ns\":%lu,\n   \"slices\":[",
		       i ? "," : "", t->name, t->replies, t->late, cpu, wall, hist_quantile(&t->latency, 0.5),
		       hist_quantile(&t->latency, 0.99), hist_quantile(&t->latency, 0.999));
		print_slices(t);
		printf("]}");
	}
	printf("\n]}\n");
}

/* ---- start ---- */

__attribute__((noreturn)) static void usage(int status)
{
	fputs("usage: load [options] NAME=PORT[,PID] ...\n"
	      "Drives servers that answer each request with the same bytes, in alternating slices.\n"
	      "  -c N     active connections to each server (400)\n"
	      "  -i N     idle connections to each server in addition (0)\n"
	      "  -n BYTES size of a request, 8..65536 (64)\n"
	      "  -u BYTES over UDP, in datagrams of this size: as many as make a request\n"
	      "  -r RATE  requests per second in all; 0: as fast as the replies come (0)\n"
	      "  -s SEC   measured seconds in all (5)\n"
	      "  -w SEC   warm-up before (0.5)\n"
	      "  -S MS    length of a slice (50)\n"
	      "  -t       a table instead of JSON; ratios are against the first server\n",
	      status ? stderr : stdout);
	exit(status);
}

static unsigned number(const char *text, unsigned low, unsigned high)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	if (*end || end == text || value < low || value > high)
		die("'%s' is not a number from %u to %u", text, low, high);
	return (unsigned)value;
}

static double duration(const char *text)
{
	char *end;
	double value = strtod(text, &end);
	if (*end || end == text || !(value >= 0 && value <= 3600))
		die("'%s' is not a number of seconds from 0 to 3600", text);
	return value;
}

static void add_target(char *spec)
{
	char *port = strchr(spec, '=');
	if (!port || target_count == TARGETS_MAX)
		usage(2);
	*port++ = '\0';
	struct target *t = &targets[target_count++];
	t->name = spec;
	char *pid = strchr(port, ',');
	if (pid) {
		*pid++ = '\0';
		t->pid = (pid_t)number(pid, 1, 1u << 30);
		if (clock_getcpuclockid(t->pid, &t->clock) != 0)
			die("process %s has no CPU clock", pid);
	}
	t->port = (uint16_t)number(port, 1, 65535);
}

static void parse(int argc, char **argv)
{
	int option;
	while ((option = getopt(argc, argv, "c:i:n:u:r:s:w:S:th")) != -1) {
		switch (option) {
		case 'c': opt.connections = number(optarg, 1, 19000); break;
		case 'i': opt.idle = number(optarg, 0, 19000); break;
		case 'n': opt.size = number(optarg, 8, SIZE_MAX_BYTES); break;
		case 'u': opt.datagram = number(optarg, 8, 65507); break;
		case 'r': opt.rate = number(optarg, 0, 10000000); break;
		case 's': opt.seconds = duration(optarg); break;
		case 'w': opt.warmup = duration(optarg); break;
		case 'S': opt.slice_ms = number(optarg, 1, 10000); break;
		case 't': opt.text = true; break;
		case 'h': usage(0);
		default: usage(2);
		}
	}
	for (int i = optind; i < argc; i++)
		add_target(argv[i]);
	if (target_count == 0 || (opt.datagram && opt.idle))
		usage(2);
}

static void end_holders(void)
{
	for (unsigned i = 0; i < target_count; i++)
		if (targets[i].holder > 0) {
			kill(targets[i].holder, SIGKILL);
			waitpid(targets[i].holder, NULL, 0);
		}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	/* Bounded in time whatever a server does. */
	alarm((unsigned)(opt.seconds + opt.warmup) * 2 + 60);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	for (unsigned i = 0; i < SIZE_MAX_BYTES; i++)
		request[i] = (unsigned char)(i * 131 + 7);
	atexit(end_holders);
	for (unsigned i = 0; i < target_count; i++)
		open_connections(&targets[i]);
	run_cycles(opt.warmup);
	run_cycles(opt.seconds);
	if (opt.text)
		print_text();
	else
		print_json();
	return 0;
}
