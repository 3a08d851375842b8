/* SPDX-License-Identifier: BSD-3-Clause */
/* torque-echo: echo.c is the server, tls.c the TLS that it may speak, report.c what it says about itself, main.c the command line. */
#ifndef TORQUE_ECHO_H
#define TORQUE_ECHO_H

#include <libtorque/torque.h>
#include <stdatomic.h>
#include <stdbool.h>

struct addrinfo;

struct options {
  uint32_t threads; /* 0: as many as the library thinks right */
  uint32_t sharing; /* TORQUE_SHARE_* */
  uint32_t listen;  /* TORQUE_LISTEN_* */
  const char *cert, *key; /* --tls: null: one is made; null: in the same file */
  bool udp, tls, buffered, stats, oneshot, recheck, driven, no_pin;
};

/* What one worker has done: written by it alone, so that no cache line travels, and read by anybody. */
struct tally {
  _Alignas(64) _Atomic uint64_t bytes; /* sent */
  _Atomic uint64_t ended;              /* connections */
};

struct server {
  const struct options *options;
  struct torque_ctx *ctx;
  struct torque_stream_type *streams; /* --buffered */
  struct tally *tallies;              /* by worker */
  uint32_t workers;
  bool serving; /* the start succeeded */
};

/* Serves until SIGINT, SIGTERM or a failure. Returns the exit status. */
int serve(const struct options *options, const struct addrinfo *where);

/* Whether it was built with TLS, and a layer for streams of that type. */
bool has_tls(void);
torque_err add_tls(const struct options *options, struct torque_stream_type *type);

/* A line each second, and one for each domain where there are several. arg: the server. */
torque_timer_fn report_second;
/* What there was in all, at the end of the listener. arg: the server. */
torque_final_fn report_all;

#endif
