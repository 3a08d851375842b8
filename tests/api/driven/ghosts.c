/* SPDX-License-Identifier: BSD-3-Clause */
/* A level-triggered descriptor that is closed while a duplicate lives, and whose source is then removed, cannot be taken
 * out of the kernel's queue any more. It does not keep the loop awake for ever, and nobody else suffers. */
#include "support/context.h"
#include "support/probe.h"

#include <poll.h>
#include <unistd.h>

#include "support/cmocka.h"

static uint64_t stale(struct fixture *f) {
  uint64_t n = 0;
  assert_int_equal(torque_stats_total(f->ctx, torque_stats_find("stale"), &n), 0);
  return n;
}

static void a_level_without_an_owner_falls_silent(void **state) {
  struct fixture *f = *state;
  int ghost[2], other[2];
  fixture_pair(f, ghost);
  fixture_pair(f, other);
  struct probe *gone = probe_fd(f, ghost[0], TORQUE_READ, TORQUE_LEVEL);
  struct probe *here = probe_fd(f, other[0], TORQUE_READ, TORQUE_LEVEL);
  const int number = torque_poll_fd(f->ctx);

  const int twin = dup(ghost[0]);
  assert_true(twin >= 0);
  say(ghost[1], 1);
  fixture_disown(f, ghost[0]);
  close(ghost[0]);
  assert_int_equal(torque_source_remove(gone->source), 0);

  for (int i = 0; i < 1000; i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  const uint64_t before = stale(f);
  assert_true(before > 0); /* or there was no ghost, and nothing is shown */
  for (int i = 0; i < 1000; i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  assert_int_equal(stale(f), before);

  /* The queue is the same to who embeds it, and serves the others. */
  assert_int_equal(torque_poll_fd(f->ctx), number);
  struct pollfd p = {.fd = number, .events = POLLIN};
  assert_int_equal(poll(&p, 1, 0), 0);
  say(other[1], 3);
  assert_int_equal(poll(&p, 1, 30000), 1);
  AWAIT(f, here->bytes == 3);
  struct probe *later = probe_event(f, 0);
  assert_int_equal(torque_trigger(later->source, 0), 0);
  AWAIT(f, later->calls == 1);
  close(twin);
}

int main(void) {
  const struct CMUnitTest tests[] = {ON(driven, a_level_without_an_owner_falls_silent)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
