/* SPDX-License-Identifier: BSD-3-Clause */
/* Order of timers, beside a crowd of other timers. */
#include "crowd.h"

#define new_loop crowded_loop
#include "timer_order.c"
