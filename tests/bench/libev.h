/* SPDX-License-Identifier: BSD-3-Clause */
/* The cases of libev. */
#ifndef TORQUE_BENCH_LIBEV_H
#define TORQUE_BENCH_LIBEV_H

/* libev's own cast of watchers breaks strict aliasing, as its manual says. */
#pragma GCC diagnostic ignored "-Wstrict-aliasing"
#include "slices.h"

#include <ev.h>

extern const struct slices_case pipe_cases[], timer_cases[];

#endif
