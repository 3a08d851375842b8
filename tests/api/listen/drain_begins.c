/* SPDX-License-Identifier: BSD-3-Clause */
/* Nobody is let in once a drain has begun, not even by a listener that the drain has not come to yet. accept4(2) is ours
 * here: the first listener is caught in it, and the drain waits for that one while the second has a visitor. */
#define _GNU_SOURCE
#include "support/clients.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "support/cmocka.h"

static _Atomic int gate_closed, caught;

int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *restrict len, int flags) {
  const int waits = gate_closed && !atomic_exchange(&caught, 1);
  STAY_UNTIL(!waits || !gate_closed);
  return (int)syscall(SYS_accept4, fd, addr.__sockaddr__, len, flags);
}

static _Atomic uint32_t drained, strange;

static void on_drained(struct torque_ctx *ctx, torque_err err, uint64_t aborted, void *arg) {
  (void)ctx, (void)arg;
  if (err || aborted) strange++;
  drained++;
}

static void *begin(void *arg) {
  struct fixture *f = arg;
  if (torque_ctx_drain(f->ctx, UINT64_MAX, on_drained, NULL)) strange++;
  return NULL;
}

static void the_second_listener_lets_nobody_in(void **state) {
  struct fixture *f = *state;
  struct door *first = door_open(f, TORQUE_LISTEN_SHARED), *second = door_open(f, TORQUE_LISTEN_SHARED);
  fixture_settle(f);
  gate_closed = 1;
  const int guest = visit(first);
  assert_true(guest >= 0);
  fixture_own(f, guest);
  AWAIT(f, caught);
  fixture_thread(f, begin, f);
  AWAIT(f, torque_ctx_draining(f->ctx));
  const int late = visit(second); /* its socket still listens */
  assert_true(late >= 0);
  fixture_own(f, late);
  fixture_settle(f);
  assert_int_equal(drained, 0);
  assert_int_equal(second->accepted, 0);
  gate_closed = 0;
  AWAIT(f, drained == 1);
  fixture_join(f);
  assert_int_equal(second->accepted, 0);
  assert_int_equal(strange, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(shared, the_second_listener_lets_nobody_in),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
