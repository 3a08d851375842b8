// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/watchdog.h"

#include "api/handle.hh"

namespace {
constexpr uint64_t kShortest = 1000000;
}

extern "C" {

torque_err torque_config_set_watchdog(struct torque_config *config, uint64_t limit_ns, torque_watchdog_fn *fn,
                                      void *arg) {
  if (!config || (limit_ns && limit_ns < kShortest)) return TORQUE_ERR_INVAL;
  config->options.watchdog_ns = limit_ns;
  config->options.watchdog_fn = fn;
  config->options.watchdog_arg = arg;
  return TORQUE_ERR_NONE;
}

int32_t torque_blocked_worker(const struct torque_blocked *blocked) { return blocked ? blocked->worker : -1; }
int32_t torque_blocked_thread(const struct torque_blocked *blocked) { return blocked ? blocked->thread : 0; }
torque_source torque_blocked_source(const struct torque_blocked *blocked) { return blocked ? blocked->source : 0; }
uint64_t torque_blocked_ns(const struct torque_blocked *blocked) { return blocked ? blocked->ns : 0; }
const void *torque_blocked_function(const struct torque_blocked *blocked) {
  return blocked ? blocked->function : nullptr;
}
const char *torque_blocked_symbol(const struct torque_blocked *blocked) { return blocked ? blocked->symbol : nullptr; }
const char *torque_blocked_object(const struct torque_blocked *blocked) { return blocked ? blocked->object : nullptr; }
uint64_t torque_blocked_offset(const struct torque_blocked *blocked) { return blocked ? blocked->offset : 0; }

}  // extern "C"
