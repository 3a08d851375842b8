/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_RATE_H
#define LIBTORQUE_RATE_H

#include <libtorque/error.h>
#include <libtorque/export.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* Rates: how many bytes a second streams may read and send, by a token bucket for each direction. Every stream that is
 * under one rate shares it: a rate with one stream limits that stream, one with many limits all of them together. A stream
 * can be under two, its own (torque_stream_set_rate()) and its type's (torque_stream_type_set_rate()); both hold then.
 *
 * Always true: since a rate was made no more bytes have passed than its burst and its rate times the time that went by.
 * Streams that wait for a rate have their turns one after the other, each with a portion, so that none starves; one that
 * has nothing to read or send takes nothing, and gives back what it has not used. A stream that is held back uses no CPU
 * time: its timer is set for the moment of its turn. The streams may be in any domains and contexts.
 *
 * Thread: any; one at a time for free. */
struct torque_rate;

enum {
  TORQUE_RATE_INPUT = 0, /* bytes that are read from descriptors */
  TORQUE_RATE_OUTPUT = 1 /* bytes that are sent to them */
};

/* A rate that limits nothing yet. free gives up the caller's reference; types and streams keep theirs.
 * Errors: INVAL; RESOURCE. */
TORQUE_API torque_err torque_rate_new(struct torque_rate **ret_rate) TORQUE_CHECKED;
TORQUE_API void torque_rate_free(struct torque_rate *rate);

/* Bytes a second in one direction, from now on, and the burst: how many bytes may pass at once after a time without any
 * (0: as many as in one second). bytes_per_s 0, as at first: no limit. Whoever waits is looked at anew. A direction that
 * had no limit begins with a full burst; else what was saved stays, up to the new burst.
 * Errors: INVAL no rate, no such direction, a burst without a rate. */
TORQUE_API torque_err torque_rate_set(struct torque_rate *rate, int32_t which, uint64_t bytes_per_s, uint64_t burst);

TORQUE_END_DECLS

#endif
