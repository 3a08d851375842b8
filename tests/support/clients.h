/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections to a listener under test: who came, who was taken, exactly once each. */
#ifndef TORQUE_TESTS_CLIENTS_H
#define TORQUE_TESTS_CLIENTS_H

#include "support/context.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* What an accept callback writes down. */
struct door {
  struct fixture *f;
  _Atomic uint32_t accepted;
  _Atomic uint32_t wrong; /* descriptors or addresses that are not as promised */
  _Atomic uint32_t finals;
  _Atomic int32_t reason;
  _Atomic uint32_t calls_after_final;
  _Atomic uint32_t by_port[65536]; /* taken, by the peer's port */
  torque_source listener;
  struct sockaddr_storage address; /* of the listener */
  socklen_t length;
};

/* Counts, looks at what it got, closes it. */
void door_accept(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg);
void door_final(torque_source source, int32_t reason, void *arg);

struct sockaddr_in loopback_address(uint16_t port);

/* A listener on a free port of the loopback, or on a socket of the caller's. */
struct door *door_open(struct fixture *f, uint32_t policy);
struct door *door_on_socket(struct fixture *f, int fd, uint32_t policy);
void door_read_address(struct door *d);

/* A connected, blocking socket; -1 and errno if it was refused. */
int visit(const struct door *d);

/* Threads that connect, wait to be closed, and go; each counts itself by its port. */
struct visitors {
  struct door *door;
  uint32_t each;
  _Atomic uint32_t served;
  _Atomic uint32_t refused;
  _Atomic uint32_t by_port[65536];
};
struct visitors *visitors_come(struct fixture *f, struct door *d, int threads, uint32_t each);

#endif
