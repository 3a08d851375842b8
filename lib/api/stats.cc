// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/stats.h"

#include <cstring>

#include "api/handle.hh"

using namespace torque;

extern "C" {

uint32_t torque_stats_count(void) { return kCounters; }
const char *torque_stats_name(uint32_t counter) { return counter_name(counter); }
const char *torque_stats_help(uint32_t counter) { return counter_help(counter); }

uint32_t torque_stats_find(const char *name) {
  uint32_t i = 0;
  while (i < kCounters && (!name || std::strcmp(counter_name(i), name) != 0)) ++i;
  return i;
}

torque_err torque_stats_worker(const struct torque_ctx *ctx, uint32_t worker, uint32_t counter, uint64_t *ret_value) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (!ret_value || worker >= ctx->team.size() || counter >= kCounters) return TORQUE_ERR_INVAL;
  *ret_value = ctx->team.worker(worker).counters.get(counter);
  return TORQUE_ERR_NONE;
}

torque_err torque_stats_domain(const struct torque_ctx *ctx, uint32_t domain, uint32_t counter, uint64_t *ret_value) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (!ret_value || domain >= ctx->core.domain_count() || counter >= kCounters) return TORQUE_ERR_INVAL;
  uint64_t sum = ctx->core.domain(domain).outside.get(counter);
  for (uint32_t i = 0; i < ctx->team.size(); ++i) {
    if (ctx->team.worker(i).domain.index == domain) sum += ctx->team.worker(i).counters.get(counter);
  }
  *ret_value = sum;
  return TORQUE_ERR_NONE;
}

torque_err torque_stats_total(const struct torque_ctx *ctx, uint32_t counter, uint64_t *ret_value) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (!ret_value || counter >= kCounters) return TORQUE_ERR_INVAL;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < ctx->core.domain_count(); ++i) sum += ctx->core.domain(i).outside.get(counter);
  for (uint32_t i = 0; i < ctx->team.size(); ++i) sum += ctx->team.worker(i).counters.get(counter);
  *ret_value = sum;
  return TORQUE_ERR_NONE;
}

torque_err torque_stats_gauge(struct torque_ctx *ctx, uint32_t domain, uint32_t gauge, uint64_t *ret_value) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (!ret_value || domain >= ctx->core.domain_count()) return TORQUE_ERR_INVAL;
  Domain &d = ctx->core.domain(domain);
  switch (gauge) {
    case TORQUE_GAUGE_SOURCES: *ret_value = d.slots.live(); break;
    case TORQUE_GAUGE_TIMERS: *ret_value = d.timers.armed(); break;
    case TORQUE_GAUGE_POSTPONED: *ret_value = d.postponed.length(); break;
    case TORQUE_GAUGE_POSTED: *ret_value = d.posted.length(); break;
    case TORQUE_GAUGE_SLEEPERS: *ret_value = d.sleepers(); break;
    case TORQUE_GAUGE_MEMORY: *ret_value = d.slots.bytes() + d.timers.bytes(); break;
    case TORQUE_GAUGE_JOBS: *ret_value = d.jobs.load(std::memory_order_relaxed); break;
    default: return TORQUE_ERR_INVAL;
  }
  return TORQUE_ERR_NONE;
}

torque_err torque_stats_histogram(const struct torque_ctx *ctx, uint32_t worker, uint32_t histogram, uint32_t bucket,
                                  uint64_t *ret_count) {
  const Visit visit;
  if (const torque_err err = check_lives(ctx)) return err;
  if (!ret_count || worker >= ctx->team.size() || bucket >= Histogram::kBuckets ||
      histogram > TORQUE_HISTOGRAM_LAG) {
    return TORQUE_ERR_INVAL;
  }
  const Timing *t = ctx->team.worker(worker).timing();
  *ret_count = !t ? 0 : histogram == TORQUE_HISTOGRAM_LAG ? t->lag.get(bucket) : t->callback.get(bucket);
  return TORQUE_ERR_NONE;
}

}  // extern "C"
