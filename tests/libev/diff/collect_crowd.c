/* SPDX-License-Identifier: BSD-3-Clause */
/* Collect intervals, beside a crowd of other timers. */
#include "crowd.h"

#define new_loop crowded_loop
#include "collect.c"
