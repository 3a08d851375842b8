/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams under test, what they told, and bytes that say where they belong. */
#ifndef TORQUE_TESTS_STREAMS_H
#define TORQUE_TESTS_STREAMS_H

#include <libtorque/stream.h>

#include "support/context.h"

/* What the streams of one type told. Counted by their callbacks, looked at by the test. */
struct party {
  struct fixture *f;
  struct torque_stream_type *type;
  _Atomic torque_source stream; /* the last that opened */
  _Atomic uint32_t opened, calls, ended, hung_up, drained, closed;
  _Atomic uint64_t in;      /* bytes told */
  _Atomic int32_t err;      /* of the last close */
  _Atomic uint32_t strange; /* what no promise allows */
  _Atomic uint32_t aux;
  void *more;
};

/* The type is frozen by the first party_add(); until then the test may set more. end: null for the default. */
struct party *party_new(struct fixture *f, torque_stream_data_fn *data, torque_stream_end_fn *end);
void party_free(struct party *p);

/* A stream of fd, which it takes from the fixture; arg is the party. */
torque_source party_add(struct party *p, int fd);

/* Counts, checks that bytes are those of the pattern from p->in on, takes all. */
size_t party_take(torque_source stream, const void *data, size_t length, void *arg);
/* Counts. */
void party_end(torque_source stream, void *arg);

/* 1 while the number is a descriptor. */
int fcntl_is_open(int fd);

/* The pattern: byte n of it is known. put: sends up to length bytes of it from `from` on, without waiting; answers how
 * many went. check: reads all that is there; 0 if it is not what follows *at. */
unsigned char pattern_at(uint64_t n);
void pattern_fill(void *data, uint64_t from, size_t length);
int pattern_is(const void *data, uint64_t from, size_t length);
uint32_t pattern_put(int fd, uint64_t from, size_t length);
int pattern_check(int fd, uint64_t *at);

#endif
