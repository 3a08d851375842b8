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
  int orphan[2], other[2];
  fixture_pair(f, orphan);
  fixture_pair(f, other);
  struct probe *gone = probe_fd(f, orphan[0], TORQUE_READ, TORQUE_LEVEL);
  struct probe *here = probe_fd(f, other[0], TORQUE_READ, TORQUE_LEVEL);
  const int number = torque_poll_fd(f->ctx);

  const int twin = dup(orphan[0]);
  assert_true(twin >= 0);
  say(orphan[1], 1);
  fixture_disown(f, orphan[0]);
  close(orphan[0]);
  assert_int_equal(torque_source_remove(gone->source), 0);

  for (int i = 0; i < 1000; i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  const uint64_t before = stale(f);
  assert_true(before > 0); /* or there was no orphan, and nothing is shown */
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

/* The source lives on, and is told of what it cannot read: its number means nothing, or another file. */
static void note_only(struct probe *p, torque_source source, int fd) {
  (void)p, (void)source, (void)fd;
}

static void a_level_that_lost_its_descriptor_falls_silent(void **state) {
  struct fixture *f = *state;
  for (int reused = 0; reused <= 1; reused++) {
    int orphan[2], other[2], fresh[2];
    fixture_pair(f, orphan);
    fixture_pair(f, other);
    struct probe *gone = probe_new(f);
    gone->keep = 1;
    gone->then = note_only;
    probe_start_fd(f, gone, orphan[0], TORQUE_READ, TORQUE_LEVEL);
    struct probe *here = probe_fd(f, other[0], TORQUE_READ, TORQUE_LEVEL);
    const int twin = dup(orphan[0]);
    assert_true(twin >= 0);
    fixture_own(f, twin);
    say(orphan[1], 1);
    fixture_close(f, orphan[0]);
    if (reused) {
      fixture_pair(f, fresh);
      if (fresh[0] != orphan[0]) {
        assert_int_equal(dup2(fresh[0], orphan[0]), orphan[0]);
        fixture_own(f, orphan[0]);
        fixture_close(f, fresh[0]);
      }
      say(fresh[1], 1); /* nobody has asked to be told of that one */
    }
    for (int i = 0; i < 3000; i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    const uint32_t calls = gone->calls;
    assert_in_range(calls, 1, 1000);
    for (int i = 0; i < 3000; i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_int_equal(gone->calls, calls);
    assert_int_equal(gone->finals, 0);
    assert_int_equal(torque_fd_modify(gone->source, TORQUE_READ), TORQUE_ERR_STALE);
    say(other[1], 3);
    AWAIT(f, here->bytes == 3);
    assert_int_equal(torque_source_remove(gone->source), 0);
    assert_int_equal(gone->finals, 1);
    assert_int_equal(torque_source_remove(here->source), 0);
  }
}

/* One that is told as often, and is what it was, goes on. */
static void a_busy_level_stays(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  p->keep = 1;
  probe_start_fd(f, p, fd[0], TORQUE_READ, TORQUE_LEVEL);
  say(fd[1], 1);
  for (uint32_t i = 1; i <= 3000; i++) {
    assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_int_equal(p->calls, i);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, a_level_without_an_owner_falls_silent),
      ON(driven, a_level_that_lost_its_descriptor_falls_silent),
      ON(driven, a_busy_level_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
