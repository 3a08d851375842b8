/* SPDX-License-Identifier: BSD-3-Clause */
/* An idle registered descriptor costs at most 128 bytes, and a context gives back what its sources took. */
#include "support/probe.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { IDLE = 10000, BYTES_EACH = 128, CHUNK = 64 * 1024 };

static int32_t drained(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)events;
  atomic_fetch_add((_Atomic uint64_t *)arg, drain(fd, NULL));
  return TORQUE_DONE;
}

static void count_final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  if (reason == TORQUE_END_STOPPED) atomic_fetch_add((_Atomic uint64_t *)arg + 1, 1);
}

static int32_t add_idle(struct fixture *f, _Atomic uint64_t *counts, torque_source *ret) {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  fixture_own(f, fd);
  assert_int_equal(torque_fd_new(f->ctx, fd, TORQUE_READ, 0, drained, (void *)(uintptr_t)counts, ret), 0);
  assert_int_equal(torque_source_set_finalizer(*ret, count_final), 0);
  assert_int_equal(torque_source_start(*ret), 0);
  return fd;
}

static void ten_thousand_idle_descriptors(void **state) {
  struct fixture *f = *state;
  const struct rlimit most = {.rlim_cur = MOST_DESCRIPTORS, .rlim_max = MOST_DESCRIPTORS};
  if (setrlimit(RLIMIT_NOFILE, &most)) skip();
  _Atomic uint64_t *counts = fixture_take(f, 2 * sizeof *counts);
  int *fd = fixture_take(f, IDLE * sizeof *fd);
  torque_source *source = fixture_take(f, IDLE * sizeof *source);
  assert_int_equal(torque_start(f->ctx), f->shape->driven ? TORQUE_ERR_KIND : 0);
  const uint64_t before = f->bytes;
  for (int i = 0; i < IDLE; i++) fd[i] = add_idle(f, counts, &source[i]);
  const uint64_t each = (f->bytes - before) / IDLE;
  print_message("%s: %d idle descriptors, %zu bytes each\n", f->shape->name, IDLE, (size_t)each);
  /* Slots come in chunks; each domain may have one that is nearly empty. */
  assert_true(f->bytes - before <= (uint64_t)IDLE * BYTES_EACH + torque_ctx_domains(f->ctx) * CHUNK);
  assert_true(f->bytes > before); /* the hooks are what is used */
  for (int i = 0; i < IDLE; i += 100) assert_int_equal(eventfd_write(fd[i], 1), 0);
  AWAIT(f, counts[0] == IDLE / 100 * 8);
  /* Places are used again: a second population takes no more. */
  const uint64_t full = f->bytes;
  for (int i = 0; i < IDLE; i++) assert_int_equal(torque_source_remove_wait(source[i]), 0);
  for (int i = 0; i < IDLE; i++) fixture_close(f, fd[i]);
  for (int i = 0; i < IDLE; i++) fd[i] = add_idle(f, counts, &source[i]);
  assert_true(f->bytes <= full + torque_ctx_domains(f->ctx) * CHUNK);
  fixture_stop(f);
  assert_int_equal(counts[1], IDLE);
  assert_int_equal(f->bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(synthetic, ten_thousand_idle_descriptors),
      ON(shared, ten_thousand_idle_descriptors),
      ON(driven, ten_thousand_idle_descriptors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
