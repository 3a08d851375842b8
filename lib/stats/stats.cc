// SPDX-License-Identifier: BSD-3-Clause
#include "stats/stats.hh"

namespace torque {

namespace {
constexpr const char *kNames[] = {
#define TORQUE_COUNTER(name, help) #name,
#include "stats/counters.def"
#undef TORQUE_COUNTER
};
constexpr const char *kHelp[] = {
#define TORQUE_COUNTER(name, help) help,
#include "stats/counters.def"
#undef TORQUE_COUNTER
};
}  // namespace

const char *counter_name(uint32_t i) noexcept { return i < kCounters ? kNames[i] : nullptr; }
const char *counter_help(uint32_t i) noexcept { return i < kCounters ? kHelp[i] : nullptr; }

}  // namespace torque
