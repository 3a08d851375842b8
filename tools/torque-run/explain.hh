// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "plan.hh"

namespace torque_tools {

// What was found and what will be done, on standard output. libraries: null if the program could not be looked at.
void explain(const Program &program, const Libraries *libraries, const Plan &plan, char **argv);

}  // namespace torque_tools
