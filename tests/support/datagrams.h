/* SPDX-License-Identifier: BSD-3-Clause */
/* A datagram source under test and what its callback writes down, and peers that check every byte. */
#ifndef TORQUE_TESTS_DATAGRAMS_H
#define TORQUE_TESTS_DATAGRAMS_H

#include "support/context.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct desk {
  struct fixture *f;
  /* Called with each datagram, before it is counted; set before the source starts. */
  void (*each)(struct desk *d, struct torque_datagrams *batch, uint32_t i);
  /* Called once a call, after that. */
  void (*then)(struct desk *d, torque_source source, struct torque_datagrams *batch);
  void *aux;
  _Atomic int blocked; /* callbacks stay inside while this is set */

  _Atomic uint32_t calls;
  _Atomic uint32_t inside;
  _Atomic uint32_t most_inside;
  _Atomic uint64_t received;
  _Atomic uint64_t bytes;
  _Atomic uint64_t wrong; /* calls and datagrams that are not as promised */
  _Atomic uint64_t cut;
  _Atomic uint64_t failed;
  _Atomic torque_err failure; /* the last that was told */
  _Atomic uint32_t failure_size;
  _Atomic uint32_t errors;
  _Atomic torque_err error; /* the last that was told */
  _Atomic uint32_t rooms;
  _Atomic torque_err result; /* for each() and then() */
  _Atomic uint64_t noted;
  _Atomic uint32_t finals;
  _Atomic int32_t reason;
  _Atomic uint32_t calls_after_final;

  torque_source source;
  struct sockaddr_storage address;
  socklen_t length;
};

/* The datagram number `number` of that sender: the same bytes always. At least MARK bytes say who and which. */
enum { MARK = 12 };
void datagram_write(unsigned char *to, uint32_t size, uint32_t sender, uint32_t number);
/* 1: it is one, and *ret_sender and *ret_number say which. */
int datagram_check(const unsigned char *bytes, uint32_t size, uint32_t *ret_sender, uint32_t *ret_number);

struct desk *desk_new(struct fixture *f);
/* For torque_source_set_finalizer() and the callbacks. */
torque_datagram_fn desk_call;
torque_final_fn desk_final;
/* Made and started, on the loopback or on a socket of the caller's. size 0: as it is. */
void desk_bind(struct desk *d, int family, uint32_t flags, uint32_t size);
void desk_serve(struct desk *d, int fd, uint32_t flags);
/* For what was made by the test itself: finalizer, start, address. */
void desk_start(struct desk *d);

/* each(): sends it back. */
void desk_echo(struct desk *d, struct torque_datagrams *batch, uint32_t i);

/* A socket connected to it, blocking, that gives up after a while. */
int desk_visitor(struct desk *d);

/* Threads that each send `count` datagrams of random sizes up to `most`, some at a time, and wait for their return:
 * byte for byte, and in order. */
struct callers {
  struct desk *desk;
  uint32_t count, most;
  _Atomic uint32_t next;
  _Atomic uint64_t returned, wrong, lost;
};
struct callers *callers_come(struct fixture *f, struct desk *d, int threads, uint32_t count, uint32_t most);

#endif
