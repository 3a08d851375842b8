/* SPDX-License-Identifier: BSD-3-Clause */
/* A context with watches, and what it tells. */
#ifndef TORQUE_TESTS_WATCHED_H
#define TORQUE_TESTS_WATCHED_H

#include <libtorque/watch.h>

#include "support/context.h"

struct told {
  uint32_t calls;  /* with events */
  uint32_t last;   /* events of the last of them */
  uint32_t errors; /* calls with an error */
  int32_t error;   /* the last */
};

/* Everything is told on the thread that runs the context: the test's. */
struct watched {
  struct fixture *f;
  void (*then)(struct watched *w, int32_t fd); /* in each call */
  void *aux;
  uint32_t calls, errors, strange; /* strange: calls that no promise allows */
  struct told fd[MOST_DESCRIPTORS];
};

struct watched *watched_new(struct fixture *f);

void wish(struct watched *w, int fd, uint32_t events, uint32_t flags);

/* One pass that does not wait. Answers how many were told. */
uint64_t pass(struct watched *w);

/* System calls that changed a registration since the last time. */
uint64_t controls_since(struct watched *w, uint64_t *before);

/* A pass that may wait for long: 0 when it did so for 30 s, and was not woken. */
int pass_woken(struct watched *w);

#endif
