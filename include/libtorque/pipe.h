/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_PIPE_H
#define LIBTORQUE_PIPE_H

#include <libtorque/stream.h>

TORQUE_BEGIN_DECLS

/* A pipe joins two streams: the input of each is sent as output of the other, without passing through the program. A
 * stream is read only as fast as the other accepts the bytes. The two directions do not wait for each other. If neither
 * stream has a layer, the bytes are moved by splice(2) and never enter the memory of the process. */

enum {
  TORQUE_PIPE_ONE_WAY = 0x1,   /* forward only from a to b; the input of b is reported as usual */
  TORQUE_PIPE_KEEP_OPEN = 0x2, /* do not forward ends */
  TORQUE_PIPE_COPY = 0x4       /* always forward through memory */
};

/* Called once when the pipe has ended: both streams have ended, torque_stream_unpipe() has ended it, or with KEEP_OPEN
 * both directions have ended. Gets the number of bytes that were forwarded in each direction, and the error of the
 * first stream that ended because of an error, or 0.
 * Thread: in the turn of one of the streams, or like a finalizer. */
typedef void torque_pipe_end_fn(torque_source a, torque_source b, uint64_t a_to_b, uint64_t b_to_a, torque_err err,
                                void *arg);

/* Joins two streams of one context. Buffered input is forwarded first. The callbacks data and end are not called for
 * forwarded input; open, drain, timeout and close are called. Time limits, watermarks and budgets remain in effect. The
 * program may also write to both streams; its output is sent between forwarded bytes. fn may be null. A stream can be
 * the a of one pipe and the b of another at the same time.
 *
 * When the peer of one stream has shut down its sending side, the other stream's sending side is shut down after
 * everything was forwarded and sent. If one stream ends because of an error, the other ends with the same error and a
 * reset, when the bytes that were forwarded to it have been sent, or when none of them could be sent for its linger
 * time. A stream that is still connecting ends at once. If the program closes or removes one stream, the other is
 * closed. So both streams end.
 *
 * With ONE_WAY, b only gets the end of a's input, and what a does in order after that does not affect b. With
 * KEEP_OPEN, ends are not forwarded: when a peer ends its side, end is called after everything was forwarded, and when
 * one of the streams has ended, the input of the other is reported as usual.
 *
 * Input that arrives after the call has returned is forwarded, and in a callback also the bytes that the callback
 * leaves; this holds even if a stream ends meanwhile.
 * Thread: any.
 * Errors: INVAL (one stream; two contexts; unknown flags); STALE; KIND; STATE (a stream is already in a pipe in that
 *         direction, or was not started); RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_stream_pipe(torque_source a, torque_source b, uint32_t flags, torque_pipe_end_fn *fn,
                                         void *arg);

/* Ends the pipe of either of the two streams. Bytes that were read before are forwarded, before what is written from
 * then on; later input is reported as usual.
 * Errors: STALE; KIND; STATE (not in a pipe); RESOURCE. */
TORQUE_API torque_err torque_stream_unpipe(torque_source stream);

TORQUE_END_DECLS

#endif
