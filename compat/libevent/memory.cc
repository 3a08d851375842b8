// SPDX-License-Identifier: BSD-3-Clause
#include "memory.hh"

#include "common/context.hh"
#include "genuine.hh"

namespace {
using Memory = torque_compat::AlignedMemory<torque_event::mm_malloc, torque_event::mm_free>;
}

void *torque_event::take_memory(size_t size, size_t align, void *arg) { return Memory::take(size, align, arg); }
void torque_event::give_memory(void *p, size_t size, void *arg) { Memory::give(p, size, arg); }
