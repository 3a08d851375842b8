/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_RATE_H
#define LIBTORQUE_RATE_H

#include <libtorque/error.h>
#include <libtorque/export.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* A rate limits how many bytes per second streams read and send, with a token bucket for each direction. All streams
 * that use a rate share it: with one stream the rate limits that stream, with many it limits all of them together. A
 * stream may have two rates, its own (torque_stream_set_rate()) and its type's (torque_stream_type_set_rate()); then
 * both apply.
 *
 * At any time after a rate was set, the bytes that have passed are at most the burst plus the bytes per second times
 * the elapsed time. Streams that wait for a rate take turns, and each gets a portion, so no stream starves. A stream
 * that has nothing to read or send takes no bytes, and returns those that it had. A waiting stream uses no CPU time;
 * its timer is set for its turn. The streams of a rate may be in any domains, and in several contexts.
 * Thread: any; only one may call torque_rate_free(). */
struct torque_rate;

enum {
  TORQUE_RATE_INPUT = 0, /* bytes that are read from descriptors */
  TORQUE_RATE_OUTPUT = 1 /* bytes that are sent to descriptors */
};

/* torque_rate_new() creates a rate without limits. torque_rate_free() releases the caller's reference; types and
 * streams keep theirs.
 * Errors: INVAL; RESOURCE. */
TORQUE_API torque_err torque_rate_new(struct torque_rate **ret_rate) TORQUE_CHECKED;
TORQUE_API void torque_rate_free(struct torque_rate *rate);

/* Sets the bytes per second of one direction, from now on; 0, the initial value, means no limit. burst is the number of
 * bytes that may pass at once after a time without traffic; 0 means the bytes of one second. If the direction had no
 * limit before, it starts with a full burst. Otherwise the saved bytes remain, up to the new burst. Waiting streams are
 * scheduled again.
 * Errors: INVAL (no rate; no such direction; a burst without bytes per second). */
TORQUE_API torque_err torque_rate_set(struct torque_rate *rate, int32_t which, uint64_t bytes_per_s, uint64_t burst);

TORQUE_END_DECLS

#endif
