/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the load generator share: the clock and the latency histogram. */
#ifndef TORQUE_BENCH_LOAD_H
#define TORQUE_BENCH_LOAD_H

#include <stdint.h>

/* Log-linear: 256 steps per power of two, so a percentile is right to 0.4 %. */
#define HIST_STEP_BITS 8
#define HIST_STEPS (1u << HIST_STEP_BITS)
#define HIST_SIZE ((40 - HIST_STEP_BITS) * HIST_STEPS)

struct hist {
	uint64_t total;
	uint32_t count[HIST_SIZE];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *into, const struct hist *from);
void hist_clear(struct hist *h);
/* share in (0, 1]; 0 when the histogram is empty. */
uint64_t hist_quantile(const struct hist *h, double share);

uint64_t now_ns(void);
/* Reorders the values; 0 when there are none. */
double quantile(double *values, unsigned n, double share);

#endif
