/* SPDX-License-Identifier: BSD-3-Clause */
/* A finalizer runs exactly once, last, with the reason, on every path that ends a source. */
#include "support/probe.h"

#include <unistd.h>

#include "support/cmocka.h"

static void removed_while_armed(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
  say(fd[1], 1);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void remove_own(struct probe *p, torque_source source, int fd) {
  (void)fd;
  atomic_store(&p->result, torque_source_remove(source));
  atomic_store(&p->noted, atomic_load(&p->finals)); /* not before the callback has returned */
}

static void removed_by_its_own_callback(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  p->then = remove_own;
  p->answer = TORQUE_AGAIN; /* asks for more, but is gone */
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, p->finals);
  say(fd[1], 1);
  fixture_settle(f);
  assert_int_equal(p->calls, 1);
  assert_int_equal(p->result, 0);
  assert_int_equal(p->noted, 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void removed_while_postponed(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  p->answer = TORQUE_AGAIN;
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  AWAIT(f, p->calls > 2);
  assert_int_equal(torque_source_remove(p->source), 0);
  AWAIT(f, p->finals);
  const uint32_t calls = p->calls;
  fixture_settle(f);
  assert_int_equal(p->calls, calls);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void never_started(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *removed = probe_new(f), *stopped = probe_new(f);
  assert_int_equal(torque_fd_new(f->ctx, fd[0], TORQUE_READ, 0, probe_call, removed, &removed->source), 0);
  assert_int_equal(torque_source_set_finalizer(removed->source, probe_final), 0);
  assert_int_equal(torque_fd_new(f->ctx, fd[1], TORQUE_READ, 0, probe_call, stopped, &stopped->source), 0);
  assert_int_equal(torque_source_set_finalizer(stopped->source, probe_final), 0);
  assert_int_equal(torque_source_alive(removed->source), 1);
  assert_int_equal(torque_source_remove(removed->source), 0);
  assert_ended(removed, TORQUE_END_REMOVED);
  assert_int_equal(stopped->finals, 0);
  fixture_stop(f);
  assert_ended(stopped, TORQUE_END_STOPPED);
  assert_ended(removed, TORQUE_END_REMOVED);
}

static void stopped_in_every_state(void **state) {
  struct fixture *f = *state;
  int quiet[2], flood[2];
  fixture_pair(f, quiet);
  fixture_pair(f, flood);
  struct probe *armed = probe_fd(f, quiet[0], TORQUE_READ, 0);
  struct probe *event = probe_event(f, 0);
  struct probe *postponed = probe_new(f);
  postponed->answer = TORQUE_AGAIN;
  probe_start_fd(f, postponed, flood[0], TORQUE_READ, 0);
  say(flood[1], 1);
  AWAIT(f, postponed->calls > 2);
  assert_int_equal(torque_trigger(event->source, TORQUE_READ), 0);
  fixture_stop(f);
  assert_ended(armed, TORQUE_END_STOPPED);
  assert_ended(event, TORQUE_END_STOPPED);
  assert_ended(postponed, TORQUE_END_STOPPED);
}

static void closed_then_removed_says_closed(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_close(p->source), 0);
  fixture_disown(f, fd[0]);
  assert_int_equal(torque_source_remove(p->source), TORQUE_ERR_STALE);
  assert_int_equal(torque_close(p->source), TORQUE_ERR_STALE);
  assert_ended(p, TORQUE_END_CLOSED);
}

static void replaced_when_the_number_is_used_again(void **state) {
  struct fixture *f = *state;
  int a[2], b[2];
  fixture_pair(f, a);
  fixture_pair(f, b);
  struct probe *old = probe_fd(f, a[0], TORQUE_READ, 0);
  fixture_close(f, a[0]); /* behind the library's back */
  assert_int_equal(dup2(b[0], a[0]), a[0]);
  fixture_own(f, a[0]);
  struct probe *heir = probe_fd(f, a[0], TORQUE_READ, 0);
  AWAIT(f, old->finals);
  assert_ended(old, TORQUE_END_REPLACED);
  assert_int_equal(torque_source_alive(old->source), 0);
  assert_int_equal(torque_source_remove(old->source), TORQUE_ERR_STALE);
  say(b[1], 3);
  AWAIT(f, heir->bytes == 3);
  assert_int_equal(old->calls, 0);
  assert_int_equal(heir->finals, 0);
}

static void note_arg(struct probe *p, torque_source source, int fd) {
  (void)fd;
  void *arg = NULL;
  const torque_err err = torque_source_arg(source, &arg);
  atomic_store(&p->noted, err ? 0 : (uint64_t)(uintptr_t)arg);
}

static void the_argument_is_kept(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  p->then = note_arg;
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->noted);
  assert_true(p->noted == (uint64_t)(uintptr_t)p);
  assert_int_equal(torque_source_remove(p->source), 0);
  AWAIT(f, p->finals);
  void *arg = f;
  assert_int_equal(torque_source_arg(p->source, &arg), TORQUE_ERR_STALE);
  assert_ptr_equal(arg, f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(removed_while_armed),
      ON_EVERY(removed_by_its_own_callback),
      ON_EVERY(removed_while_postponed),
      ON_EVERY(never_started),
      ON_EVERY(stopped_in_every_state),
      ON_EVERY(closed_then_removed_says_closed),
      ON_EVERY(replaced_when_the_number_is_used_again),
      ON_EVERY(the_argument_is_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
