/* SPDX-License-Identifier: BSD-3-Clause */
/* The cases of libevent. */
#ifndef TORQUE_BENCH_LIBEVENT_H
#define TORQUE_BENCH_LIBEVENT_H

#include "slices.h"

#include <event2/event.h>
#include <event2/event_struct.h>

extern const struct slices_case pipe_cases[], timer_cases[];

#endif
