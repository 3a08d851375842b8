// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/version.h"

const char *torque_version(void) { return "1.0.0"; }
uint32_t torque_version_number(void) { return TORQUE_VERSION; }
