/* SPDX-License-Identifier: BSD-3-Clause */
/* The smallest useful user in C: a driven context, a descriptor, a timer. Prints the version when all of it worked. */
#include <libtorque/torque.h>
#include <stdio.h>
#include <unistd.h>

struct seen {
  int reads;
  int timeouts;
};

static int32_t on_readable(torque_source source, int32_t fd, uint32_t events, void *arg) {
  char byte;
  struct seen *seen = arg;
  (void)source;
  seen->reads += (events & TORQUE_READ) != 0 && read(fd, &byte, 1) == 1;
  return TORQUE_DONE;
}

static void on_timeout(torque_source source, uint64_t expirations, void *arg) {
  struct seen *seen = arg;
  (void)source;
  seen->timeouts += (int)expirations;
}

/* The first call that went wrong, by its number. */
static int use(struct torque_ctx *ctx, const int ends[2]) {
  struct seen seen = {0, 0};
  torque_source readable, timer;
  if (torque_fd_add(ctx, ends[0], TORQUE_READ, 0, on_readable, &seen, &readable)) return 3;
  if (torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, on_timeout, &seen, &timer)) return 4;
  if (torque_timer_set(timer, 1000000, 0, 0)) return 5;
  if (write(ends[1], "x", 1) != 1) return 6;
  for (int rounds = 0; rounds < 1000 && !(seen.reads && seen.timeouts); ++rounds)
    if (torque_run_once(ctx, 10000000, NULL)) return 7;
  return seen.reads == 1 && seen.timeouts == 1 ? 0 : 8;
}

int main(void) {
  struct torque_config *config;
  struct torque_ctx *ctx;
  int ends[2];
  if (torque_version_number() != TORQUE_VERSION || pipe(ends)) return 1;
  if (torque_config_new(&config) || torque_config_set_driven(config, 1) || torque_ctx_new(config, &ctx)) return 2;
  torque_config_free(config);
  const int failed = use(ctx, ends);
  if (torque_stop(ctx)) return 9;
  if (!failed) printf("%s\n", torque_version());
  return failed;
}
