/* SPDX-License-Identifier: BSD-3-Clause */
/* Latency histogram, quantiles of small samples, and the clock of the load generator. */
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned bucket_of(uint64_t ns)
{
	if (ns < HIST_STEPS)
		return (unsigned)ns;
	unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HIST_STEP_BITS;
	unsigned bucket = (shift + 1) * HIST_STEPS + (unsigned)(ns >> shift) - HIST_STEPS;
	return bucket < HIST_SIZE ? bucket : HIST_SIZE - 1;
}

static uint64_t bucket_floor(unsigned bucket)
{
	if (bucket < HIST_STEPS)
		return bucket;
	unsigned shift = bucket / HIST_STEPS - 1;
	return (uint64_t)(bucket % HIST_STEPS + HIST_STEPS) << shift;
}

void hist_add(struct hist *h, uint64_t ns)
{
	h->count[bucket_of(ns)]++;
	h->total++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
	for (unsigned i = 0; i < HIST_SIZE; i++)
		into->count[i] += from->count[i];
	into->total += from->total;
}

void hist_clear(struct hist *h)
{
	memset(h, 0, sizeof *h);
}

uint64_t hist_quantile(const struct hist *h, double share)
{
	double rank = share * (double)h->total;
	uint64_t below = 0;
	for (unsigned i = 0; i < HIST_SIZE && h->total; i++) {
		uint64_t here = h->count[i];
		if (!here || (double)(below + here) < rank) {
			below += here;
			continue;
		}
		uint64_t floor = bucket_floor(i), width = bucket_floor(i + 1) - floor;
		double inside = (rank - (double)below) / (double)here;
		return floor + (uint64_t)(inside * (double)width);
	}
	return 0;
}

uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double quantile(double *values, unsigned n, double share)
{
	if (n == 0)
		return 0;
	qsort(values, n, sizeof *values, compare);
	double place = share * (double)(n - 1);
	unsigned low = (unsigned)place;
	if (low + 1 >= n)
		return values[n - 1];
	return values[low] + (place - (double)low) * (values[low + 1] - values[low]);
}
