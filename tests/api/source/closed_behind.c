/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors closed behind the library's back, and numbers used again: no callback of the old source for the new. */
#include "support/probe.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

/* The number, given to another end of another pair. Answers the peer. */
static int use_number_again(struct fixture *f, int number) {
  int fd[2];
  fixture_pair(f, fd);
  if (fd[0] != number) {
    assert_int_equal(dup2(fd[0], number), number);
    fixture_own(f, number);
    fixture_close(f, fd[0]);
  }
  return fd[1];
}

static void closed_and_never_used_again(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  fixture_close(f, fd[0]);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  assert_int_equal(torque_source_alive(p->source), 1);
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void a_thousand_heirs(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  const int number = fd[0];
  int peer = fd[1];
  struct probe *p = probe_fd(f, number, TORQUE_READ, 0);
  for (int i = 0; i < 1000; i++) {
    fixture_close(f, number);
    fixture_close(f, peer);
    peer = use_number_again(f, number);
    struct probe *heir = probe_fd(f, number, TORQUE_READ, i % 3 == 0 ? TORQUE_RECHECK : 0);
    AWAIT(f, p->finals);
    assert_ended(p, TORQUE_END_REPLACED);
    const uint32_t calls = p->calls;
    say(peer, 3);
    AWAIT(f, heir->bytes == 3);
    assert_int_equal(p->calls, calls);
    AWAIT(f, !heir->inside);
    p = heir;
  }
}

/* A duplicate keeps the old registration alive in the kernel: its events name a source that is gone. */
static void a_duplicate_keeps_old_events_coming(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *old = probe_fd(f, fd[0], TORQUE_READ, 0);
  fixture_settle(f);
  const int duplicate = dup(fd[0]);
  fixture_own(f, duplicate);
  fixture_close(f, fd[0]);
  const int peer = use_number_again(f, fd[0]);
  struct probe *heir = probe_fd(f, fd[0], TORQUE_READ, 0);
  AWAIT(f, old->finals);
  assert_ended(old, TORQUE_END_REPLACED);
  const uint64_t stale = stat_total(f->ctx, "stale");
  say(fd[1], 1);
  AWAIT(f, stat_total(f->ctx, "stale") > stale);
  assert_int_equal(old->calls, 0);
  assert_int_equal(heir->calls, 0);
  say(peer, 1);
  AWAIT(f, heir->bytes == 1);
  assert_int_equal(old->calls, 0);
}

/* Duplicates are descriptors in their own right. */
static void a_duplicate_is_its_own_descriptor(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  const int duplicate = dup(fd[0]);
  fixture_own(f, duplicate);
  struct probe *p = probe_new(f), *q = probe_new(f);
  p->keep = q->keep = 1;
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  probe_start_fd(f, q, duplicate, TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, p->calls && q->calls);
  fixture_close(f, fd[0]);
  const uint32_t calls = q->calls;
  say(fd[1], 1);
  AWAIT(f, q->calls > calls);
}

static void removed_before_the_close_leaves_no_events(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *old = probe_fd(f, fd[0], TORQUE_READ, 0);
  const int duplicate = dup(fd[0]);
  fixture_own(f, duplicate);
  assert_int_equal(torque_source_remove(old->source), 0);
  fixture_close(f, fd[0]);
  const int peer = use_number_again(f, fd[0]);
  struct probe *heir = probe_fd(f, fd[0], TORQUE_READ, 0);
  const uint64_t events = stat_total(f->ctx, "stale");
  say(fd[1], 1);
  fixture_settle(f);
  assert_true(stat_total(f->ctx, "stale") == events);
  assert_int_equal(heir->calls, 0);
  say(peer, 1);
  AWAIT(f, heir->bytes == 1);
  assert_int_equal(old->calls, 0);
}

/* Removing the old source after the number went to a new one must not touch the new one's registration. */
static void a_late_removal_does_not_touch_the_heir(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *old = probe_fd(f, fd[0], TORQUE_READ, 0);
  fixture_close(f, fd[0]);
  const int peer = use_number_again(f, fd[0]);
  struct probe *heir = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_source_remove(old->source), TORQUE_ERR_STALE);
  assert_int_equal(torque_close(old->source), TORQUE_ERR_STALE);
  assert_int_equal(torque_fd_modify(old->source, 0), TORQUE_ERR_STALE);
  say(peer, 1);
  AWAIT(f, heir->bytes == 1);
  assert_int_equal(heir->finals, 0);
}

/* The old source's callback is still running when its number becomes another's. */
static void replaced_while_it_runs(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *old = probe_new(f);
  atomic_store(&old->blocked, 1);
  old->answer = TORQUE_AGAIN;
  probe_start_fd(f, old, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, old->calls == 1); /* it has read, and stays: or it would read what comes for the heir */
  fixture_close(f, fd[0]);
  const int peer = use_number_again(f, fd[0]);
  struct probe *heir = probe_fd(f, fd[0], TORQUE_READ, 0);
  say(peer, 2);
  AWAIT(f, heir->bytes == 2); /* which does not wait for the old one */
  assert_int_equal(old->finals, 0);
  atomic_store(&old->blocked, 0);
  AWAIT(f, old->finals);
  assert_ended(old, TORQUE_END_REPLACED);
  assert_int_equal(old->calls, 1);
  say(peer, 2); /* the old one's end did not unregister it */
  AWAIT(f, heir->bytes == 4);
}

/* The callback itself closes its descriptor with close(2), as programs do. */
static void close_behind(struct probe *p, torque_source source, int fd) {
  (void)source;
  close(fd);
  atomic_store(&p->noted, 1);
}

static void closed_by_its_own_callback(void **state) {
  struct fixture *f = *state;
  for (uint32_t flags = 0; flags <= TORQUE_RECHECK; flags += TORQUE_RECHECK) {
    int fd[2];
    fixture_pair(f, fd);
    struct probe *p = probe_new(f);
    p->then = close_behind;
    fixture_disown(f, fd[0]);
    probe_start_fd(f, p, fd[0], TORQUE_READ, flags);
    say(fd[1], 1);
    AWAIT(f, p->noted && !p->inside);
    fixture_settle(f);
    assert_int_equal(p->calls, 1);
    assert_int_equal(p->finals, 0); /* nobody has told the library */
    const int peer = use_number_again(f, fd[0]);
    struct probe *heir = probe_fd(f, fd[0], TORQUE_READ, flags);
    AWAIT(f, p->finals);
    assert_ended(p, TORQUE_END_REPLACED);
    say(peer, 1);
    AWAIT(f, heir->bytes == 1);
  }
}

/* The heir is watched for other things, in another way, in another domain if it likes. */
static void an_heir_of_another_kind(void **state) {
  struct fixture *f = *state;
  int fd[2], pipe_end[2];
  fixture_pair(f, fd);
  struct probe *old = probe_fd(f, fd[0], TORQUE_READ | TORQUE_WRITE, TORQUE_RECHECK);
  AWAIT(f, old->calls);
  fixture_pipe(f, pipe_end);
  fixture_close(f, fd[0]);
  assert_int_equal(dup2(pipe_end[0], fd[0]), fd[0]);
  fixture_own(f, fd[0]);
  struct probe *heir = probe_new(f);
  atomic_store(&heir->fd, fd[0]);
  assert_int_equal(torque_fd_new(f->ctx, fd[0], TORQUE_READ, TORQUE_CONCURRENT, probe_call, heir, &heir->source), 0);
  assert_int_equal(torque_source_set_placement(heir->source, (int32_t)torque_ctx_domains(f->ctx) - 1), 0);
  assert_int_equal(torque_source_start(heir->source), 0);
  AWAIT(f, old->finals);
  assert_ended(old, TORQUE_END_REPLACED);
  assert_int_equal(write(pipe_end[1], "x", 1), 1);
  AWAIT(f, heir->bytes == 1);
  assert_int_equal(heir->told, TORQUE_READ);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(closed_and_never_used_again),
      ON_EVERY(a_thousand_heirs),
      ON_EVERY(a_duplicate_keeps_old_events_coming),
      ON_EVERY(a_duplicate_is_its_own_descriptor),
      ON_EVERY(removed_before_the_close_leaves_no_events),
      ON_EVERY(a_late_removal_does_not_touch_the_heir),
      ON_THREADED(replaced_while_it_runs),
      ON_EVERY(closed_by_its_own_callback),
      ON_EVERY(an_heir_of_another_kind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
