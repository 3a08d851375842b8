/* SPDX-License-Identifier: BSD-3-Clause */
/* States of timers, beside a crowd of other timers. */
#include "crowd.h"

#define new_loop crowded_loop
#include "timer_states.c"
