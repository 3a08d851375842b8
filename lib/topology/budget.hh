// SPDX-License-Identifier: BSD-3-Clause
// What the system lets this thread use: affinity mask, cgroup cpuset and cgroup CPU quota.
// Every file is looked for under a root, "" for the real one. Files that are absent, unreadable or malformed limit
// nothing; only want of memory is an error.
#pragma once

#include <cstdint>

#include "base/alloc.hh"
#include "libtorque/error.h"
#include "topology/cpu_set.hh"

namespace torque {

// CPUs that the calling thread may run on. The kernel has already narrowed the mask to the thread's cpuset.
torque_err read_affinity(const Alloc &alloc, CpuSet *ret_cpus) noexcept;

struct CgroupLimits {
  bool has_cpuset = false;
  uint32_t quota_milli = 0;  // thousandths of a CPU, the tightest on the way from the process's cgroup up; 0: none
};

// The cgroups of this process, of version 1, version 2 or both (a hybrid hierarchy).
torque_err read_cgroups(const char *root, const Alloc &alloc, CpuSet *ret_cpuset, CgroupLimits *ret_limits) noexcept;

}  // namespace torque
