// SPDX-License-Identifier: BSD-3-Clause
#include "memory.hh"

#include <cstdint>

#include "genuine.hh"

// Aligned within a larger piece, whose start lies before it.
void *torque_event::take_memory(size_t size, size_t align, void *) {
  auto *raw = static_cast<char *>(mm_malloc(size + align + sizeof(void *)));
  if (!raw) return nullptr;
  auto at = reinterpret_cast<uintptr_t>(raw) + sizeof(void *);
  at = (at + align - 1) / align * align;
  reinterpret_cast<void **>(at)[-1] = raw;
  return reinterpret_cast<void *>(at);
}

void torque_event::give_memory(void *p, size_t, void *) { mm_free(static_cast<void **>(p)[-1]); }
