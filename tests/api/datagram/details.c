/* SPDX-License-Identifier: BSD-3-Clause */
/* Who sent it, to which of our addresses, and in which traffic class; an answer comes from the address that was asked. */
#define _GNU_SOURCE
#include "support/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

struct details {
  struct sockaddr_storage peer, local;
  uint32_t peer_length, local_length;
  int32_t traffic_class;
};

static void note(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  struct details *s = d->aux;
  memset(s, 0, sizeof *s);
  const void *peer = torque_datagrams_peer(batch, i, &s->peer_length);
  const void *local = torque_datagrams_local(batch, i, &s->local_length);
  if (peer) memcpy(&s->peer, peer, s->peer_length);
  if (local) memcpy(&s->local, local, s->local_length);
  s->traffic_class = torque_datagrams_class(batch, i);
  desk_echo(d, batch, i);
}

enum { ALL = TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_CLASS };

static struct desk *open_any(struct fixture *f, int family, uint32_t flags, struct details *s) {
  const struct sockaddr_in v4 = {.sin_family = AF_INET};
  const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
  struct desk *d = desk_new(f);
  d->each = note;
  d->aux = s;
  assert_int_equal(torque_datagram_bind_new(f->ctx, family == AF_INET ? (const void *)&v4 : &v6,
                                            family == AF_INET ? sizeof v4 : sizeof v6, flags, desk_call, d, &d->source),
                   0);
  desk_start(d);
  return d;
}

static uint16_t port_of(const struct desk *d) {
  return d->address.ss_family == AF_INET ? ((const struct sockaddr_in *)&d->address)->sin_port
                                         : ((const struct sockaddr_in6 *)&d->address)->sin6_port;
}

/* Connected to that address of ours, so that an answer from another would not arrive. */
static int visitor_of(struct fixture *f, uint16_t port, const char *address, int tos) {
  const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = inet_addr(address)};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos), 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
  return fd;
}

static void ask(struct desk *d, int fd) {
  const uint64_t before = d->received;
  char back[16];
  ssize_t got = -1;
  assert_int_equal(send(fd, "who?", 4, 0), 4);
  AWAIT(d->f, d->received == before + 1);
  AWAIT(d->f, (got = recv(fd, back, sizeof back, MSG_DONTWAIT)) >= 0);
  assert_int_equal(got, 4);
}

static void assert_peer_is(const struct details *s, int fd) {
  struct sockaddr_in own;
  socklen_t length = sizeof own;
  assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &length), 0);
  assert_int_equal(s->peer_length, length);
  assert_memory_equal(&s->peer, &own, length);
}

static void ipv4(void **state) {
  struct fixture *f = *state;
  static const char *const addresses[] = {"127.0.0.1", "127.0.0.2", "127.1.2.3"};
  static const int classes[] = {0, 1, 2, 0xb8, 0xba};
  struct details s;
  struct desk *d = open_any(f, AF_INET, ALL, &s);
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++) {
      const int fd = visitor_of(f, port_of(d), addresses[i], classes[k]);
      ask(d, fd);
      const struct sockaddr_in *local = (const struct sockaddr_in *)&s.local;
      assert_int_equal(s.local_length, sizeof *local);
      assert_int_equal(local->sin_family, AF_INET);
      assert_int_equal(local->sin_port, 0);
      assert_int_equal(local->sin_addr.s_addr, inet_addr(addresses[i]));
      assert_int_equal(s.traffic_class, classes[k]);
      assert_peer_is(&s, fd);
    }
}

static void not_asked_for(void **state) {
  struct fixture *f = *state;
  struct details s;
  struct desk *d = open_any(f, AF_INET, TORQUE_DATAGRAM_GRO, &s);
  const int fd = visitor_of(f, port_of(d), "127.0.0.1", 0xb8);
  ask(d, fd);
  assert_int_equal(s.local_length, 0);
  assert_int_equal(s.traffic_class, -1);
  assert_peer_is(&s, fd);
}

static void ipv6(void **state) {
  struct fixture *f = *state;
  struct details s;
  struct desk *d = open_any(f, AF_INET6, ALL, &s);
  const struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = port_of(d), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), class = 0xba;
  fixture_own(f, fd);
  assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof class), 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
  ask(d, fd);
  const struct sockaddr_in6 *local = (const struct sockaddr_in6 *)&s.local;
  assert_int_equal(s.local_length, sizeof *local);
  assert_int_equal(local->sin6_family, AF_INET6);
  assert_memory_equal(&local->sin6_addr, &to.sin6_addr, sizeof to.sin6_addr);
  assert_int_equal(s.traffic_class, class);
}

/* An IPv6 socket that takes IPv4 too. */
static void ipv4_within_ipv6(void **state) {
  struct fixture *f = *state;
  struct details s;
  struct desk *d = open_any(f, AF_INET6, ALL, &s);
  const int fd = visitor_of(f, port_of(d), "127.0.0.2", 0xb9);
  ask(d, fd);
  const struct sockaddr_in6 *local = (const struct sockaddr_in6 *)&s.local;
  const in_addr_t address = inet_addr("127.0.0.2");
  assert_true(IN6_IS_ADDR_V4MAPPED(&local->sin6_addr));
  assert_memory_equal(&local->sin6_addr.s6_addr[12], &address, sizeof address);
  assert_int_equal(s.traffic_class, 0xb9);
}

/* To many at once: the address that it was sent to is told, and the answer comes from one of ours. */
static void multicast(void **state) {
  struct fixture *f = *state;
  struct details s;
  struct desk *d = open_any(f, AF_INET, ALL, &s);
  const int own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(f, own);
  (void)d;
  const struct sockaddr_in any = {.sin_family = AF_INET};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("239.1.2.3")};
  socklen_t length = sizeof to;
  assert_int_equal(bind(own, (const struct sockaddr *)&any, sizeof any), 0);
  struct sockaddr_in bound;
  assert_int_equal(getsockname(own, (struct sockaddr *)&bound, &length), 0);
  to.sin_port = bound.sin_port;
  const struct ip_mreqn group = {.imr_multiaddr = to.sin_addr, .imr_address.s_addr = htonl(INADDR_LOOPBACK)};
  assert_int_equal(setsockopt(own, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group), 0);
  struct desk *m = desk_new(f);
  m->each = note;
  m->aux = &s;
  desk_serve(m, own, ALL);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group), 0);
  assert_int_equal(sendto(fd, "all", 3, 0, (struct sockaddr *)&to, sizeof to), 3);
  AWAIT(f, m->received == 1);
  assert_int_equal(((const struct sockaddr_in *)&s.local)->sin_addr.s_addr, to.sin_addr.s_addr);
  struct sockaddr_in from;
  char back[16];
  ssize_t got = -1;
  length = sizeof from;
  AWAIT(f, (got = recvfrom(fd, back, sizeof back, MSG_DONTWAIT, (struct sockaddr *)&from, &length)) >= 0);
  assert_int_equal(got, 3);
  assert_int_equal(from.sin_port, to.sin_port);
  assert_int_not_equal(from.sin_addr.s_addr, to.sin_addr.s_addr);
  assert_int_equal(m->failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(ipv4), ON_EVERY(not_asked_for), ON_EVERY(ipv6), ON_EVERY(ipv4_within_ipv6), ON_EVERY(multicast),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
