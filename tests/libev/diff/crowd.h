/* SPDX-License-Identifier: BSD-3-Clause */
/* A loop with thousands of timers that are hours away and hold nothing: whatever else is said of timers stays true. */
#ifndef TORQUE_TESTS_LIBEV_CROWD_H
#define TORQUE_TESTS_LIBEV_CROWD_H

#include "narrate.h"

static inline struct ev_loop *crowded_loop(unsigned int flags) {
  enum { CROWD = 4000 };
  struct ev_loop *loop = new_loop(flags);
  ev_timer *crowd = calloc(CROWD, sizeof *crowd); /* as long as the process, as the loop may be */
  NEED(crowd);
  for (int i = 0; i < CROWD; i++) {
    start_timer(loop, &crowd[i], "one of the crowd", 7200. + (i * 2749 % CROWD) * .5, 0.);
    ev_unref(loop);
  }
  return loop;
}

#endif
