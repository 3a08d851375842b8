/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffered callbacks of the original's interface that write down what they are shown. */
#ifndef TORQUE_TESTS_BUFFERED_H
#define TORQUE_TESTS_BUFFERED_H

#include <libtorque/buffers.h>
#include <stdbool.h>

#include "support/context.h"

enum { MOST_CALLS = 64 };

struct reader {
  struct fixture *f;

  /* What it shall do; set before it is added. */
  size_t take;         /* at most so much of each call */
  size_t take_from;    /* nothing of fewer bytes */
  bool echo;           /* takes what write(2) takes */
  bool keep_open;      /* answers 0 to a call with no bytes, and leaves the closing to the library */
  _Atomic int replace; /* > 0: instead of a plain close, another file gets the number, and this one's is closed */
  void (*then)(struct reader *r, int fd);

  /* What happened. A number stands for each call: the bytes that it was shown. */
  _Atomic uint32_t calls;
  size_t shown[MOST_CALLS];
  _Atomic uint64_t bytes; /* taken */
  _Atomic uint32_t ends;  /* calls with no bytes */
  _Atomic uint64_t most;  /* shown at once */
  _Atomic uint32_t tx_calls;
  _Atomic int32_t tx_error; /* SO_ERROR in the first of them */
  _Atomic uint32_t strange; /* what no promise allows */
  _Atomic bool closed;      /* by its callback */
  _Atomic uint32_t inside;
  void *more;
};

struct reader *reader_new(struct fixture *f);
/* libtorquebrcb; the state is a struct reader. tx: answers 0, or with close() -1 if close_in_tx is in more. */
int reader_rx(int fd, struct torque_rxbuf *rxb, void *state);
int reader_tx(int fd, struct torque_rxbuf *rxb, void *state);
/* Adds fd, which the fixture gives up, with these; tx may be null. */
void reader_add(struct reader *r, int fd, int (*tx)(int, struct torque_rxbuf *, void *));

/* Sources that the context has. */
uint64_t sources_of(struct fixture *f);
bool is_open(int fd);
/* Whether two numbers stand for the same file. */
bool same_file(int fd, int other);

#endif
