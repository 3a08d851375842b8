// SPDX-License-Identifier: BSD-3-Clause
#include "topology/cpu_set.hh"

namespace torque {
namespace {

// False when there is no number at p, or none that a CPU can have.
bool take_number(const char *&p, uint32_t *ret) noexcept {
  if (*p < '0' || *p > '9') return false;
  uint32_t v = 0;
  for (; *p >= '0' && *p <= '9'; p++) {
    v = v * 10 + static_cast<uint32_t>(*p - '0');
    if (v > CpuSet::cpu_max) return false;
  }
  *ret = v;
  return true;
}

}  // namespace

CpuSet::Parse CpuSet::parse(const char *p) noexcept {
  while (*p && *p != '\n') {
    uint32_t first = 0;
    if (!take_number(p, &first)) return Parse::malformed;
    uint32_t last = first;
    if (*p == '-' && !take_number(++p, &last)) return Parse::malformed;
    if (last < first) return Parse::malformed;
    for (uint32_t cpu = first; cpu <= last; cpu++)
      if (!add(cpu)) return Parse::no_memory;
    if (*p == ',') p++;
    else if (*p && *p != '\n') return Parse::malformed;
  }
  return Parse::ok;
}

}  // namespace torque
