/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TORQUE_TESTS_LIBEV_HELPERS_H
#define TORQUE_TESTS_LIBEV_HELPERS_H

#include "diff.h"

#include "../diff/processes.h"

#endif
