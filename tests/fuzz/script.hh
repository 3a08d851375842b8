// SPDX-License-Identifier: BSD-3-Clause
// A fuzzer's input as a script, and a driven context that all runs of one process share.
#pragma once

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "libtorque/torque.h"

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (0)

struct Script {
  const uint8_t *at;
  size_t left;
  uint8_t next() noexcept {
    if (!left) return 0;
    --left;
    return *at++;
  }
};

inline torque_ctx *shared_context() noexcept {
  static torque_ctx *const ctx = [] {
    torque_config *config;
    torque_ctx *made;
    CHECK(torque_config_new(&config) == 0);
    CHECK(torque_config_set_driven(config, 1) == 0);
    CHECK(torque_ctx_new(config, &made) == 0);
    torque_config_free(config);
    std::atexit([] { CHECK(torque_stop(shared_context()) == 0); });
    return made;
  }();
  return ctx;
}

inline void make_pair(int fd[2]) noexcept {
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
  const int small = 4096;
  for (int i = 0; i < 2; ++i) CHECK(setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
}

// Runs until done() holds. What takes ten seconds has been lost.
template <class Done>
void run_until(Done done) noexcept {
  timespec began, now;
  clock_gettime(CLOCK_MONOTONIC, &began);
  while (!done()) {
    CHECK(torque_run_once(shared_context(), 1000000, nullptr) == 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(now.tv_sec - began.tv_sec < 10);
  }
}
