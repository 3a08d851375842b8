/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_STATS_H
#define LIBTORQUE_STATS_H

#include <libtorque/error.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

struct torque_ctx;

/* Counters of what the engine does: one set per worker, always on, read at any time from any thread while the context
 * exists. They only grow (from 0 when the context was made). Numbered from 0; numbers and names stay; new ones are
 * added at the end. */
TORQUE_API uint32_t torque_stats_count(void);
TORQUE_API const char *torque_stats_name(uint32_t counter); /* "events", ...; null beyond the last */
TORQUE_API const char *torque_stats_help(uint32_t counter); /* one line, with the unit; null beyond the last */

/* The number of a counter, by name; torque_stats_count() if there is none of that name. */
TORQUE_API uint32_t torque_stats_find(const char *name);

/* Errors: INVAL no such worker, domain or counter. */
TORQUE_API torque_err torque_stats_worker(const struct torque_ctx *ctx, uint32_t worker, uint32_t counter,
                                          uint64_t *ret_value);
TORQUE_API torque_err torque_stats_domain(const struct torque_ctx *ctx, uint32_t domain, uint32_t counter,
                                          uint64_t *ret_value);
TORQUE_API torque_err torque_stats_total(const struct torque_ctx *ctx, uint32_t counter, uint64_t *ret_value);

/* What a domain holds at this moment. */
enum {
  TORQUE_GAUGE_SOURCES = 0,   /* sources, of all kinds */
  TORQUE_GAUGE_TIMERS = 1,    /* timers that are set */
  TORQUE_GAUGE_POSTPONED = 2, /* sources that wait for their next turn */
  TORQUE_GAUGE_POSTED = 3,    /* functions that wait to be run */
  TORQUE_GAUGE_SLEEPERS = 4,  /* workers that wait for events */
  TORQUE_GAUGE_MEMORY = 5,    /* bytes of memory for sources and timers */
  TORQUE_GAUGE_JOBS = 6       /* offloaded jobs that were started and have not ended */
};
TORQUE_API torque_err torque_stats_gauge(struct torque_ctx *ctx, uint32_t domain, uint32_t gauge, uint64_t *ret_value);

/* Histograms, filled when torque_config_set_timing() is on. Bucket b counts times of 2^b up to 2^(b+1) - 1 ns;
 * there are 40 buckets, the last takes all that is longer. */
enum {
  TORQUE_HISTOGRAM_CALLBACK = 0, /* duration of callbacks */
  TORQUE_HISTOGRAM_LAG = 1       /* from the wake-up of a round to the start of each callback in it */
};
TORQUE_API torque_err torque_stats_histogram(const struct torque_ctx *ctx, uint32_t worker, uint32_t histogram,
                                             uint32_t bucket, uint64_t *ret_count);

TORQUE_END_DECLS

#endif
