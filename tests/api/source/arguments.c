/* SPDX-License-Identifier: BSD-3-Clause */
/* Wrong arguments are answered by the error that the headers name, and leave no trace. */
#include "support/probe.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "support/cmocka.h"

static const torque_source kUntouched = 77;

static torque_err add(struct fixture *f, int fd, uint32_t events, uint32_t flags, torque_fd_fn *fn) {
  torque_source source = kUntouched;
  const torque_err err = torque_fd_add(f->ctx, fd, events, flags, fn, NULL, &source);
  if (err) assert_true(source == kUntouched);
  return err;
}

static void descriptors_that_are_none(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  assert_int_equal(add(f, -1, TORQUE_READ, 0, probe_call), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, -100, TORQUE_READ, 0, probe_call), TORQUE_ERR_INVAL);
  fixture_close(f, fd[0]);
  assert_int_equal(add(f, fd[0], TORQUE_READ, 0, probe_call), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(add(f, 19000, TORQUE_READ, 0, probe_call), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(add(f, INT32_MAX, TORQUE_READ, 0, probe_call), TORQUE_ERR_SYSCALL + EBADF);
  uint64_t sources = 0, n = 0;
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++, sources += n)
    assert_int_equal(torque_stats_gauge(f->ctx, d, TORQUE_GAUGE_SOURCES, &n), 0);
  assert_int_equal(sources, 0);
}

static void a_descriptor_twice(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  for (int i = 0; i < 4; i++) assert_int_equal(add(f, fd[0], TORQUE_WRITE, 0, probe_call), TORQUE_ERR_EXIST);
  say(fd[1], 1); /* the first is as it was */
  AWAIT(f, p->bytes == 1);
  assert_int_equal(p->told, TORQUE_READ);
  assert_int_equal(p->finals, 0);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  p = probe_fd(f, fd[0], TORQUE_READ, 0); /* and now it may have another */
  say(fd[1], 1);
  AWAIT(f, p->bytes == 1);
}

static void a_descriptor_twice_in_two_steps(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *first = probe_fd(f, fd[0], TORQUE_READ, 0), *second = probe_new(f);
  const torque_err made =
      torque_fd_new(f->ctx, fd[0], TORQUE_READ, 0, probe_call, second, &second->source);
  if (made == 0) { /* told when it starts */
    assert_int_equal(torque_source_start(second->source), TORQUE_ERR_EXIST);
    assert_int_equal(torque_source_alive(second->source), 1);
    assert_int_equal(torque_source_remove(second->source), 0);
  } else {
    assert_int_equal(made, TORQUE_ERR_EXIST);
  }
  say(fd[1], 1);
  AWAIT(f, first->bytes == 1);
}

/* One descriptor in several contexts: each has its own registration. */
static void a_descriptor_in_two_contexts(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct torque_ctx *other = NULL;
  struct torque_config *c = shape_config(&shape_driven);
  assert_int_equal(torque_ctx_new(c, &other), 0);
  torque_config_free(c);
  fixture_pair(f, fd);
  struct probe *here = probe_new(f), *there = probe_new(f);
  here->keep = there->keep = 1;
  probe_start_fd(f, here, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_fd_add(other, fd[0], TORQUE_READ, 0, probe_call, there, &there->source), 0);
  say(fd[1], 1);
  AWAIT(f, here->calls);
  for (int i = 0; i < 100 && !there->calls; i++) assert_int_equal(torque_run_once(other, 10000000, NULL), 0);
  assert_true(there->calls);
  assert_int_equal(torque_stop(other), 0);
  assert_int_equal(torque_source_alive(there->source), 0);
}

static void unknown_bits(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  assert_int_equal(add(f, fd[0], 0x80, 0, probe_call), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, fd[0], 0x80000000u, 0, probe_call), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, fd[0], TORQUE_READ | EPOLLET, 0, probe_call), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, fd[0], TORQUE_READ, 0x8, probe_call), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, fd[0], TORQUE_READ, 0x80000000u, probe_call), TORQUE_ERR_INVAL);
  torque_source source = kUntouched;
  assert_int_equal(torque_event_add(f->ctx, 0x8, probe_call, NULL, &source), TORQUE_ERR_INVAL);
  assert_true(source == kUntouched);
}

static void level_needs_a_driven_context(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  assert_int_equal(add(f, fd[0], TORQUE_READ, TORQUE_LEVEL, probe_call), TORQUE_ERR_INVAL);
}

static void null_pointers(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  torque_source source = kUntouched;
  assert_int_equal(torque_fd_add(NULL, fd[0], TORQUE_READ, 0, probe_call, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_fd_add(f->ctx, fd[0], TORQUE_READ, 0, NULL, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_fd_new(NULL, fd[0], TORQUE_READ, 0, probe_call, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_fd_new(f->ctx, fd[0], TORQUE_READ, 0, NULL, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_event_add(NULL, 0, probe_call, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_event_add(f->ctx, 0, NULL, NULL, &source), TORQUE_ERR_INVAL);
  assert_int_equal(torque_event_new(f->ctx, 0, NULL, NULL, &source), TORQUE_ERR_INVAL);
  assert_true(source == kUntouched);
}

static void no_source(void **state) {
  (void)state;
  const torque_source none[] = {0, kUntouched, UINT64_MAX, (torque_source)1 << 32, ((torque_source)1 << 32) + 123456789};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    void *arg = NULL;
    uint32_t domain = 0;
    assert_int_equal(torque_source_alive(none[i]), 0);
    assert_int_equal(torque_source_remove(none[i]), TORQUE_ERR_STALE);
    assert_int_equal(torque_source_remove_wait(none[i]), TORQUE_ERR_STALE);
    assert_int_equal(torque_source_start(none[i]), TORQUE_ERR_STALE);
    assert_int_equal(torque_close(none[i]), TORQUE_ERR_STALE);
    assert_int_equal(torque_trigger(none[i], 0), TORQUE_ERR_STALE);
    assert_int_equal(torque_source_arg(none[i], &arg), TORQUE_ERR_STALE);
    assert_int_equal(torque_source_domain(none[i], &domain), TORQUE_ERR_STALE);
    assert_int_equal(torque_source_set_finalizer(none[i], probe_final), TORQUE_ERR_STALE);
    assert_int_equal(torque_source_set_placement(none[i], 0), TORQUE_ERR_STALE);
  }
}

static void starting_and_setting_at_the_wrong_time(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(torque_source_start(p->source), TORQUE_ERR_STATE);
  assert_int_not_equal(torque_source_set_finalizer(p->source, probe_final), 0);
  assert_int_not_equal(torque_source_set_placement(p->source, 0), 0);
  struct torque_strand *strand = NULL;
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_not_equal(torque_source_set_strand(p->source, strand), 0);
  torque_strand_free(strand);
  struct probe *fresh = probe_new(f);
  assert_int_equal(torque_event_new(f->ctx, 0, probe_call, fresh, &fresh->source), 0);
  assert_int_equal(torque_trigger(fresh->source, 0), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_set_placement(fresh->source, (int32_t)torque_ctx_domains(f->ctx)), TORQUE_ERR_INVAL);
  assert_int_equal(torque_source_set_placement(fresh->source, -4), TORQUE_ERR_INVAL);
  fixture_settle(f);
  assert_int_equal(fresh->calls, 0);
  say(fd[1], 1); /* nothing of this did harm */
  AWAIT(f, p->bytes == 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(descriptors_that_are_none),
      ON_EVERY(a_descriptor_twice),
      ON_EVERY(a_descriptor_twice_in_two_steps),
      ON_EVERY(a_descriptor_in_two_contexts),
      ON_EVERY(unknown_bits),
      ON_THREADED(level_needs_a_driven_context),
      ON_EVERY(null_pointers),
      ON_EVERY(no_source),
      ON_EVERY(starting_and_setting_at_the_wrong_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
