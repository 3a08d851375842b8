// SPDX-License-Identifier: BSD-3-Clause
// event_config, and the methods that it chooses from. They are names: whichever is chosen, the engine does it; but what a
// method can do and what it cannot is kept.
#pragma once

#include "base.hh"

struct event_config {
  struct Avoided {
    Avoided *next;
    char *method;
  };
  Avoided *avoided;
  timeval max_dispatch_interval;
  int max_dispatch_callbacks;
  int limit_after_priority;
  int features;
  int flags;
};

namespace torque_event {

// Null: none fits.
const Method *choose_method(const event_config *config, bool look_at_environment);

}  // namespace torque_event
