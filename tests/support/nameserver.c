/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "support/nameserver.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cmocka.h"

static int bound_socket(int type, int port) {
  const struct sockaddr_in a = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const int on = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static int port_of(int fd) {
  struct sockaddr_in a = {.sin_port = 0};
  socklen_t len = sizeof a;
  return getsockname(fd, (struct sockaddr *)&a, &len) ? -1 : ntohs(a.sin_port);
}

/* The same free port for both. */
static int both_sockets(int *ret_udp, int *ret_tcp) {
  for (int tries = 0; tries < 100; tries++) {
    *ret_udp = bound_socket(SOCK_DGRAM, 0);
    const int port = port_of(*ret_udp);
    *ret_tcp = bound_socket(SOCK_STREAM, port);
    if (*ret_tcp >= 0) return port;
    close(*ret_udp);
  }
  return -1;
}

int free_port(void) {
  int udp, tcp;
  const int port = both_sockets(&udp, &tcp);
  close(udp);
  close(tcp);
  return port;
}

/* ---- unbound ---- */

static int write_file(const struct unbound *u, const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", u->folder, name);
  FILE *f = fopen(path, "w");
  if (!f) return -1;
  fputs(text, f);
  return fclose(f);
}

static void write_config(const struct unbound *u) {
  char text[2048];
  snprintf(text, sizeof text,
           "server:\n interface: 127.0.0.1@%d\n port: %d\n do-daemonize: no\n use-syslog: no\n logfile: \"\"\n"
           " verbosity: 0\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n directory: \"%s\"\n"
           " access-control: 127.0.0.0/8 allow\n do-not-query-localhost: no\n module-config: \"iterator\"\n"
           " num-threads: 1\n outgoing-range: 64\n num-queries-per-thread: 512\n incoming-num-tcp: 50\n"
           " local-zone: \".\" refuse\n local-zone: \"test.\" transparent\n local-zone: \"2.0.192.in-addr.arpa.\" "
           "transparent\n"
           " local-zone: \"servfail.example.\" transparent\n minimal-responses: yes\n rrset-roundrobin: no\n"
           "remote-control:\n control-enable: no\n"
           "auth-zone:\n name: \"test.\"\n zonefile: \"test.zone\"\n for-upstream: no\n"
           "auth-zone:\n name: \"2.0.192.in-addr.arpa.\"\n zonefile: \"reverse.zone\"\n for-upstream: no\n"
           "auth-zone:\n name: \"servfail.example.\"\n primary: 127.0.0.1@1\n for-upstream: no\n",
           u->port, u->port, u->folder);
  assert_int_equal(write_file(u, "unbound.conf", text), 0);
}

static int accepts(int port) {
  const struct sockaddr_in a = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int ok = connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
  close(fd);
  return ok;
}

int unbound_start(struct unbound *u, const char *zone, const char *reverse_zone) {
  static const char *const program = "/usr/sbin/unbound";
  if (access(program, X_OK)) return 77;
  snprintf(u->folder, sizeof u->folder, "/tmp/torque-unbound-XXXXXX");
  if (!mkdtemp(u->folder)) return -1;
  u->port = free_port();
  snprintf(u->address, sizeof u->address, "127.0.0.1:%d", u->port);
  write_config(u);
  if (write_file(u, "test.zone", zone) || write_file(u, "reverse.zone", reverse_zone)) return -1;
  char config[128];
  snprintf(config, sizeof config, "%s/unbound.conf", u->folder);
  u->pid = fork();
  if (u->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    unsetenv("LD_PRELOAD");
    execl(program, program, "-d", "-c", config, (char *)NULL);
    _exit(127);
  }
  if (u->pid < 0) return -1;
  for (struct patience p = patience_start(); patience_left(&p); nap()) {
    if (accepts(u->port)) return 0;
    if (waitpid(u->pid, NULL, WNOHANG) == u->pid) break;
  }
  return -1;
}

void unbound_stop(struct unbound *u) {
  static const char *const files[] = {"unbound.conf", "test.zone", "reverse.zone"};
  if (u->pid > 0) {
    kill(u->pid, SIGKILL);
    while (waitpid(u->pid, NULL, 0) < 0 && errno == EINTR) {
    }
  }
  u->pid = 0;
  char path[128];
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    snprintf(path, sizeof path, "%s/%s", u->folder, files[i]);
    unlink(path);
  }
  rmdir(u->folder);
}

/* ---- The one that says what it is told ---- */

static void serve_udp(struct fake *s) {
  uint8_t query[2048], out[4096];
  struct sockaddr_in from;
  socklen_t len = sizeof from;
  const ssize_t n = recvfrom(s->udp, query, sizeof query, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
  if (n <= 0) return;
  const size_t size = atomic_load(&s->reply)(query, (size_t)n, out, sizeof out, 0, s->arg);
  atomic_fetch_add(&s->asked_udp, 1);
  if (size) sendto(s->udp, out, size, 0, (const struct sockaddr *)&from, len);
}

/* Who asks by TCP and takes his time keeps nobody waiting who asks by UDP. */
static int read_all(struct fake *s, int fd, void *to, size_t size) {
  for (size_t got = 0; got < size;) {
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = s->udp, .events = POLLIN}};
    if (atomic_load(&s->f->quit)) return -1;
    if (poll(p, 2, 20) <= 0) continue;
    if (p[1].revents) serve_udp(s);
    if (!p[0].revents) continue;
    const ssize_t n = recv(fd, (char *)to + got, size - got, 0);
    if (n <= 0) return -1;
    got += (size_t)n;
  }
  return 0;
}

static void serve_tcp(struct fake *s) {
  static _Thread_local uint8_t query[65536 + 2], out[65536 + 2];
  const int fd = accept4(s->tcp, NULL, NULL, SOCK_CLOEXEC);
  uint8_t prefix[2];
  while (fd >= 0 && read_all(s, fd, prefix, 2) == 0) {
    const size_t size = (size_t)(prefix[0] << 8 | prefix[1]);
    if (read_all(s, fd, query, size)) break;
    const size_t n = atomic_load(&s->reply)(query, size, out + 2, 65535, 1, s->arg);
    atomic_fetch_add(&s->asked_tcp, 1);
    if (!n) continue;
    if (n == 1) break;
    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    /* In two pieces, and the second after a while: c-ares must come back for it. */
    (void)!send(fd, out, 7, MSG_NOSIGNAL);
    nap();
    (void)!send(fd, out + 7, n + 2 - 7, MSG_NOSIGNAL);
  }
  if (fd >= 0) close(fd);
}

static void *serve(void *arg) {
  struct fake *s = arg;
  while (!atomic_load(&s->f->quit)) {
    struct pollfd p[2] = {{.fd = s->udp, .events = POLLIN}, {.fd = s->tcp, .events = POLLIN}};
    if (poll(p, 2, 20) <= 0) continue;
    if (p[0].revents) serve_udp(s);
    if (p[1].revents) serve_tcp(s);
  }
  return NULL;
}

struct fake *fake_start(struct fixture *f, fake_reply *reply, void *arg) {
  struct fake *s = fixture_take(f, sizeof *s);
  s->port = both_sockets(&s->udp, &s->tcp);
  assert_true(s->port > 0);
  assert_int_equal(listen(s->tcp, 8), 0);
  fixture_own(f, s->udp);
  fixture_own(f, s->tcp);
  snprintf(s->address, sizeof s->address, "127.0.0.1:%d", s->port);
  s->reply = reply;
  s->arg = arg;
  s->f = f;
  fixture_thread(f, serve, s);
  return s;
}

size_t reply_begin(const uint8_t *query, size_t size, uint8_t *out, int rcode, int answers) {
  size_t end = 12; /* the header; then the question */
  while (end < size && query[end]) end += query[end] + 1u;
  end += 5;
  memcpy(out, query, end);
  out[2] = (uint8_t)(0x80 | (query[2] & 1));
  out[3] = (uint8_t)(0x80 | rcode);
  out[6] = 0;
  out[7] = (uint8_t)answers;
  memset(out + 8, 0, 4);
  return end;
}

size_t reply_add(uint8_t *out, size_t at, uint16_t type, uint32_t ttl, const void *data, uint16_t size) {
  const uint8_t fixed[12] = {0xc0,
                             12,
                             (uint8_t)(type >> 8),
                             (uint8_t)type,
                             0,
                             1,
                             (uint8_t)(ttl >> 24),
                             (uint8_t)(ttl >> 16),
                             (uint8_t)(ttl >> 8),
                             (uint8_t)ttl,
                             (uint8_t)(size >> 8),
                             (uint8_t)size};
  memcpy(out + at, fixed, sizeof fixed);
  memcpy(out + at + sizeof fixed, data, size);
  return at + sizeof fixed + size;
}
