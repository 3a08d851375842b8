/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_STATS_H
#define LIBTORQUE_STATS_H

#include <libtorque/error.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

struct torque_ctx;

/* Counters of what the engine does. Each worker has one set, which is always on. Any thread may read the counters at
 * any time while the context exists. They only grow, from 0 when the context was created. Counters are numbered from 0.
 * Numbers and names do not change; new counters are added at the end. */
TORQUE_API uint32_t torque_stats_count(void);
TORQUE_API const char *torque_stats_name(uint32_t counter); /* "events", ...; null beyond the last */
TORQUE_API const char *torque_stats_help(uint32_t counter); /* one line, with the unit; null beyond the last */

/* Returns the number of the counter with that name, or torque_stats_count() if there is none. */
TORQUE_API uint32_t torque_stats_find(const char *name);

/* Read a counter of one worker, of all workers of a domain, and of all workers. Work of threads that are not workers
 * counts for its domain, and for no worker.
 * Errors: INVAL (no such worker, domain or counter); STOPPED (the context was freed). */
TORQUE_API torque_err torque_stats_worker(const struct torque_ctx *ctx, uint32_t worker, uint32_t counter,
                                          uint64_t *ret_value);
TORQUE_API torque_err torque_stats_domain(const struct torque_ctx *ctx, uint32_t domain, uint32_t counter,
                                          uint64_t *ret_value);
TORQUE_API torque_err torque_stats_total(const struct torque_ctx *ctx, uint32_t counter, uint64_t *ret_value);

/* Gauges: the present state of a domain. */
enum {
  TORQUE_GAUGE_SOURCES = 0,   /* sources that were created in the domain, of all kinds */
  TORQUE_GAUGE_TIMERS = 1,    /* timers that are armed */
  TORQUE_GAUGE_POSTPONED = 2, /* postponed sources */
  TORQUE_GAUGE_POSTED = 3,    /* posted functions that wait to run */
  TORQUE_GAUGE_SLEEPERS = 4,  /* workers that wait for events */
  TORQUE_GAUGE_MEMORY = 5,    /* bytes of memory for sources and timers */
  TORQUE_GAUGE_JOBS = 6       /* offloaded jobs that were started and have not ended */
};

/* Stores a gauge of a domain.
 * Errors: INVAL (no such domain or gauge); STOPPED. */
TORQUE_API torque_err torque_stats_gauge(struct torque_ctx *ctx, uint32_t domain, uint32_t gauge, uint64_t *ret_value);

/* Histograms, which are filled if torque_config_set_timing() is on. There are 40 buckets. Bucket b counts times from
 * 2^b to 2^(b+1) - 1 ns; the last bucket also counts all longer times. */
enum {
  TORQUE_HISTOGRAM_CALLBACK = 0, /* duration of callbacks */
  TORQUE_HISTOGRAM_LAG = 1       /* time from the wake-up of a round to the start of each callback in it */
};

/* Stores the count of one bucket of a worker's histogram.
 * Errors: INVAL (no such worker, histogram or bucket); STOPPED. */
TORQUE_API torque_err torque_stats_histogram(const struct torque_ctx *ctx, uint32_t worker, uint32_t histogram,
                                             uint32_t bucket, uint64_t *ret_count);

TORQUE_END_DECLS

#endif
