// SPDX-License-Identifier: BSD-3-Clause
// The context behind a loop of another library: driven, with watches, and nothing of the process touched.
#pragma once

#include <libtorque/torque.h>

#include <cstddef>
#include <cstdint>

namespace torque_compat {

// The program's own memory functions, which know no alignment, in the form that libtorque asks for: aligned within a larger
// piece, whose start lies before it.
template <void *(*Take)(size_t), void (*Give)(void *)>
struct AlignedMemory {
  static void *take(size_t size, size_t align, void *) noexcept {
    auto *raw = static_cast<char *>(Take(size + align + sizeof(void *)));
    if (!raw) return nullptr;
    auto at = reinterpret_cast<uintptr_t>(raw) + sizeof(void *);
    at = (at + align - 1) / align * align;
    reinterpret_cast<void **>(at)[-1] = raw;
    return reinterpret_cast<void *>(at);
  }
  static void give(void *p, size_t, void *) noexcept { Give(static_cast<void **>(p)[-1]); }
};

// take, give: null for malloc.
inline torque_err open_context(torque_alloc_take_fn *take, torque_alloc_give_fn *give, torque_watch_fn *told,
                               torque_wait_fn *woken, void *loop, torque_ctx **ret_ctx) noexcept {
  torque_config *config;
  if (const torque_err err = torque_config_new(&config)) return err;
  torque_config_set_driven(config, 1);
  torque_config_set_sigpipe(config, 0);
  torque_config_set_allocator(config, take, give, nullptr);
  torque_ctx *ctx;
  torque_err err = torque_ctx_new(config, &ctx);
  torque_config_free(config);
  if (err) return err;
  err = torque_watch_init(ctx, told, loop);
  if (!err) err = torque_watch_set_woken(ctx, woken, loop);
  if (err) torque_stop(ctx);
  else *ret_ctx = ctx;
  return err;
}

// What is waited for a timeout so far away. From a second on in whole milliseconds, up, as libev and libevent always wait:
// the kernel allows itself a thousandth of any wait, and to say the rest of it takes 80 ns.
inline uint64_t wait_for(uint64_t ns) noexcept {
  constexpr uint64_t kSecond = 1000000000, kMillisecond = 1000000;
  if (ns < kSecond || ns > UINT64_MAX - kMillisecond) return ns;
  return (ns + kMillisecond - 1) / kMillisecond * kMillisecond;
}

}  // namespace torque_compat
