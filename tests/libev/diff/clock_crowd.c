/* SPDX-License-Identifier: BSD-3-Clause */
/* The clock, beside a crowd of other timers. */
#include "crowd.h"

#define new_loop crowded_loop
#include "clock.c"
