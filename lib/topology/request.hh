// SPDX-License-Identifier: BSD-3-Clause
// What a caller may ask of the machine's map. Plain values; the texts belong to the configuration that holds them.
#pragma once

#include <cstdint>

#include "libtorque/config.h"

namespace torque {

struct TopologyRequest {
  uint32_t workers = 0;                        // 0: one per usable CPU
  uint32_t sharing = TORQUE_SHARE_DEFAULT;     // TORQUE_SHARE_*: which CPUs share one queue
  uint32_t domain_cpus_max = 16;               // a larger domain is split evenly
  uint32_t source = TORQUE_TOPOLOGY_LIVE;      // TORQUE_TOPOLOGY_*
  const char *source_text = nullptr;           // synthetic description or XML file name
  const uint32_t *cpus = nullptr;              // CPUs to use (operating-system numbers), null: all allowed
  uint32_t ncpus = 0;
  const char *file_root = "";                  // put before /proc and /sys when the CPU budget is read; tests have others
};

}  // namespace torque
