/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_PIPE_H
#define LIBTORQUE_PIPE_H

#include <libtorque/stream.h>

TORQUE_BEGIN_DECLS

/* Two streams joined: what comes in at one goes out at the other, both ways, without passing through the program. A
 * stream is read only as fast as the other takes the bytes; the two ways do not wait for each other. Where neither
 * stream has a layer the bytes do not pass through the process's memory either (splice(2)). */

enum {
  TORQUE_PIPE_ONE_WAY = 0x1,   /* from a to b only; what b receives is told as ever, and what a is sent is the program's */
  TORQUE_PIPE_KEEP_OPEN = 0x2, /* ends are not passed on */
  TORQUE_PIPE_COPY = 0x4       /* through memory in any case */
};

/* Called once when the pipe has ended: both streams have, or torque_stream_unpipe(); with KEEP_OPEN also when both ways are
 * over. Bytes that went from a to b, and from b to a. err: of the first stream that ended by an error, or 0.
 * Thread: in a turn of one of the streams, or as a finalizer. */
typedef void torque_pipe_end_fn(torque_source a, torque_source b, uint64_t a_to_b, uint64_t b_to_a, torque_err err,
                                void *arg);

/* Join two streams of one context. What is kept of their input goes first. Their data and end callbacks are not called for
 * what is passed on; open, drain, timeout and close are, and limits, marks and budgets hold.
 *
 * Ends: when the peer of one has shut its sending side, the other's is shut when all has been passed on and sent. When one
 * ends by an error the other does, with the same error and a reset, as soon as what was passed to it is sent, or its
 * linger time is over; one that waits for its connection is given up; when one is closed or removed by the program, the
 * other is closed. So both end. (ONE_WAY: once a's end was passed on, what a does in order is nothing to b.) With KEEP_OPEN
 * instead: a peer's end is told by end, after all has been passed on; when one of the streams has ended the other's
 * input is told as ever.
 * While they are joined both can be written to as well; what is written goes between what is passed on.
 *
 * fn may be null. A stream can be the a of one pipe and the b of another at a time (ONE_WAY).
 * Thread: any. What comes in after this has returned is passed on, in a callback what that leaves as well; it is so even if
 * a stream ends meanwhile.
 * Errors: INVAL one stream, two contexts, unknown flags; STALE; KIND; STATE one that is joined in that direction already,
 *         or was not started; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_stream_pipe(torque_source a, torque_source b, uint32_t flags, torque_pipe_end_fn *fn,
                                         void *arg);

/* End the pipe that either of two streams is in; what has been read is passed on, before what is written from then on; what
 * comes then is told as ever.
 * Errors: STALE; KIND; STATE it is in none; RESOURCE. */
TORQUE_API torque_err torque_stream_unpipe(torque_source stream);

TORQUE_END_DECLS

#endif
