/* SPDX-License-Identifier: BSD-3-Clause */
/* Name servers on loopback: a real one (unbound, with a zone of ours), and one that says whatever a test wants. */
#ifndef TORQUE_TESTS_NAMESERVER_H
#define TORQUE_TESTS_NAMESERVER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/context.h"

/* unbound, authoritative for zone (a zone file's text) under "test." and for 2.0.192.in-addr.arpa and its kind in it;
 * "servfail.example." fails. 77 where there is no unbound. */
struct unbound {
  pid_t pid;
  int port;
  char address[32]; /* for torque_resolver_set_servers() */
  char folder[64];
};
int unbound_start(struct unbound *u, const char *zone, const char *reverse_zone);
void unbound_stop(struct unbound *u);

/* A server of the test's own, on one UDP and one TCP socket of the same port, in a thread of the fixture's. It answers
 * with what reply puts into out; 0: nothing; 1, by TCP: it
 * hangs up. over_tcp: where the query came from. */
typedef size_t fake_reply(const uint8_t *query, size_t size, uint8_t *out, size_t most, int over_tcp, void *arg);
struct fake {
  int udp, tcp, port;
  char address[32];
  _Atomic(fake_reply *) reply; /* may be changed at any time */
  void *arg;
  struct fixture *f;
  _Atomic uint32_t asked_udp, asked_tcp;
};
struct fake *fake_start(struct fixture *f, fake_reply *reply, void *arg);

/* A port of 127.0.0.1 where nobody is, at this moment. */
int free_port(void);

/* For replies: the query's header and question as a response with these counts and this code. */
size_t reply_begin(const uint8_t *query, size_t size, uint8_t *out, int rcode, int answers);
/* One more record, of the name that was asked for. */
size_t reply_add(uint8_t *out, size_t at, uint16_t type, uint32_t ttl, const void *data, uint16_t size);

#endif
