/* SPDX-License-Identifier: BSD-3-Clause */
/* A callback that writes down what happens to its source. The test's thread reads and asserts. */
#ifndef TORQUE_TESTS_PROBE_H
#define TORQUE_TESTS_PROBE_H

#include "support/context.h"

struct probe {
  /* What it shall do; set before the source starts. */
  int32_t answer;
  int keep;                                                       /* 1: leaves the descriptor's bytes alone */
  void (*then)(struct probe *probe, torque_source source, int fd); /* in each call */
  void *aux;
  _Atomic int blocked; /* callbacks stay inside while this is set */

  /* What happened. */
  _Atomic uint32_t calls;
  _Atomic uint32_t inside;
  _Atomic uint32_t most_inside;
  _Atomic uint32_t told; /* events of all calls */
  _Atomic uint32_t last; /* events of the last call */
  _Atomic uint32_t ends; /* calls that met the end of the stream */
  _Atomic uint64_t bytes;
  _Atomic uint32_t finals;
  _Atomic int32_t reason;
  _Atomic uint32_t inside_at_final;
  _Atomic uint32_t calls_after_final;
  _Atomic int fd_open_at_final;
  _Atomic torque_err result; /* for then() */
  _Atomic uint64_t noted;    /* for then() */
  _Atomic int fd;            /* as the callback saw it */
  torque_source source;      /* for the test */
};

int32_t probe_call(torque_source source, int32_t fd, uint32_t events, void *arg);
void probe_final(torque_source source, int32_t reason, void *arg);

/* Sources with probe_call and probe_final, started. */
struct probe *probe_fd(struct fixture *f, int fd, uint32_t events, uint32_t flags);
struct probe *probe_event(struct fixture *f, uint32_t flags);
struct probe *probe_new(struct fixture *f);
/* For a probe that was set up: makes and starts its source. placement: TORQUE_PLACE_*, or a domain's number. */
void probe_start_fd(struct fixture *f, struct probe *p, int fd, uint32_t events, uint32_t flags);
void probe_start_event(struct fixture *f, struct probe *p, uint32_t flags);

/* Ended once, last, for this reason. */
void assert_ended(const struct probe *p, int32_t reason);

#endif
