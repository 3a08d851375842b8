// SPDX-License-Identifier: BSD-3-Clause
// The program's memory functions (event_set_mem_functions()) in the form that libtorque asks for.
#pragma once

#include <cstddef>

namespace torque_event {

void *take_memory(size_t size, size_t align, void *);
void give_memory(void *p, size_t size, void *);

}  // namespace torque_event
