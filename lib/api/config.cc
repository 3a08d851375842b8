// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/config.h"

#include <cstring>

#include "api/handle.hh"
#include "kinds/signal.hh"

namespace {
constexpr uint32_t kDomainMax = 1024;
constexpr size_t kStackMin = size_t{64} << 10;
constexpr size_t kStackMax = size_t{1} << 40;
}  // namespace

extern "C" {

torque_err torque_config_new(struct torque_config **ret_config) {
  if (!ret_config) return TORQUE_ERR_INVAL;
  auto *c = new (std::nothrow) torque_config;
  if (!c) return TORQUE_ERR_RESOURCE;
  *ret_config = c;
  return TORQUE_ERR_NONE;
}

void torque_config_free(struct torque_config *config) { delete config; }

torque_err torque_config_set_driven(struct torque_config *config, int32_t driven) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.driven = driven != 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_poll_deadline(struct torque_config *config, int32_t on) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.poll_deadline = on != 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_workers(struct torque_config *config, uint32_t workers) {
  if (!config || workers > torque::Topology::workers_max) return TORQUE_ERR_INVAL;
  config->topology.workers = workers;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_cpus(struct torque_config *config, const uint32_t *cpus, uint32_t count) {
  if (!config || (count && !cpus)) return TORQUE_ERR_INVAL;
  uint32_t *copy = nullptr;
  if (count) {
    copy = static_cast<uint32_t *>(std::malloc(count * sizeof *copy));
    if (!copy) return TORQUE_ERR_RESOURCE;
    std::memcpy(copy, cpus, count * sizeof *copy);
  }
  std::free(config->cpus);
  config->cpus = copy;
  config->topology.cpus = copy;
  config->topology.ncpus = count;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_post_limit(struct torque_config *config, uint64_t limit) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.post_limit = limit ? limit : UINT64_MAX;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_sharing(struct torque_config *config, uint32_t sharing) {
  if (!config || sharing > TORQUE_SHARE_MACHINE) return TORQUE_ERR_INVAL;
  config->topology.sharing = sharing;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_domain_max(struct torque_config *config, uint32_t cpus) {
  if (!config || cpus == 0 || cpus > kDomainMax) return TORQUE_ERR_INVAL;
  config->topology.domain_cpus_max = cpus;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_pinning(struct torque_config *config, int32_t pin) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.pin = pin != 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_name(struct torque_config *config, const char *name) {
  if (!config || !name || std::strlen(name) >= sizeof config->options.name) return TORQUE_ERR_INVAL;
  std::strcpy(config->options.name, name);
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_stack_size(struct torque_config *config, size_t bytes) {
  if (!config || bytes < kStackMin || bytes > kStackMax) return TORQUE_ERR_INVAL;
  config->options.stack_size = bytes;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_term_signals(struct torque_config *config, const int32_t *signos, uint32_t count) {
  if (!config || (count && !signos)) return TORQUE_ERR_INVAL;
  sigset_t set;
  sigemptyset(&set);
  for (uint32_t i = 0; i < count; ++i) {
    if (!torque::may_watch(signos[i])) return TORQUE_ERR_INVAL;
    sigaddset(&set, signos[i]);
  }
  config->term = set;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_sigpipe(struct torque_config *config, int32_t ignore) {
  if (!config) return TORQUE_ERR_INVAL;
  config->ignore_sigpipe = ignore != 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_window(struct torque_config *config, uint32_t min, uint32_t max) {
  if (!config || min > torque::Window::kMax || max > torque::Window::kMax || (max && min > max)) return TORQUE_ERR_INVAL;
  config->options.window_min = min;
  config->options.window_max = max;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_oneshot(struct torque_config *config, int32_t oneshot) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.oneshot = oneshot != 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_timing(struct torque_config *config, int32_t timing) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.timing = timing != 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_offload_threads(struct torque_config *config, uint32_t threads) {
  if (!config || threads > torque::Helpers::kMax) return TORQUE_ERR_INVAL;
  config->options.helpers_max = threads;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_offload_idle(struct torque_config *config, uint64_t ns) {
  if (!config) return TORQUE_ERR_INVAL;
  config->options.helper_idle_ns = ns;
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_allocator(struct torque_config *config, torque_alloc_take_fn *take,
                                       torque_alloc_give_fn *give, void *arg) {
  if (!config || !take != !give) return TORQUE_ERR_INVAL;
  config->alloc = {take, give, arg};
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_log(struct torque_config *config, torque_log_fn *fn, void *arg) {
  if (!config) return TORQUE_ERR_INVAL;
  config->log = {fn, arg};
  return TORQUE_ERR_NONE;
}

torque_err torque_config_set_topology(struct torque_config *config, uint32_t source, const char *text) {
  if (!config || source > TORQUE_TOPOLOGY_XML || (source != TORQUE_TOPOLOGY_LIVE && !text)) return TORQUE_ERR_INVAL;
  char *copy = nullptr;
  if (source != TORQUE_TOPOLOGY_LIVE) {
    copy = ::strdup(text);
    if (!copy) return TORQUE_ERR_RESOURCE;
  }
  std::free(config->topology_text);
  config->topology_text = copy;
  config->topology.source = source;
  config->topology.source_text = copy;
  return TORQUE_ERR_NONE;
}

}  // extern "C"
