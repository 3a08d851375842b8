/* SPDX-License-Identifier: BSD-3-Clause */
/* One source of each kind, a strand and a context, and every public call that takes one of them. */
#ifndef TORQUE_TESTS_CALLS_H
#define TORQUE_TESTS_CALLS_H

#include <libtorque/torque.h>
#include <stdint.h>

struct targets {
  struct torque_ctx *ctx;
  struct torque_strand *strand;
  struct torque_stream_type *type;
  struct torque_rate *rate;
  int pipe_end;     /* of the descriptor source; stays the caller's */
  int door;         /* listens; stays the caller's */
  torque_source event, fd, timer, wall_timer, signal, listener, stream_listener, group, datagram, condition, waiter, idle, path, network, stream,
      job, file;
};

/* Answers the first error; what was made by then belongs to the context. Descriptors of the library's go with it. */
torque_err targets_open(struct targets *t, struct torque_ctx *ctx);
void targets_close(struct targets *t); /* once the context has gone: the strand, the type and the pipe */

uint32_t calls_count(void);
const char *call_name(uint32_t call);
/* Makes that call. Whatever it has made is removed again. */
torque_err call_make(struct targets *t, uint32_t call);

#endif
