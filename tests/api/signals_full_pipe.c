/* SPDX-License-Identifier: BSD-3-Clause */
/* Signals that find no room on their way to the worker, which takes all the others before that is written down: write(2)
 * is ours here, and returns from a failure of the handler's only when every other arrival has been told. */
#include "support/context.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MOST = 4000000 };
static const int32_t kSignal = 40; /* a real-time signal: none is merged */

static _Atomic uint64_t sent, told, bare;
static _Atomic int full, held;
static __thread int sender;

ssize_t write(int fd, const void *bytes, size_t size) {
  const ssize_t n = syscall(SYS_write, fd, bytes, size);
  if (n >= 0 || errno != EAGAIN || !sender || atomic_exchange(&full, 1)) return n;
  atomic_store(&held, 0);
  STAY_UNTIL(atomic_load(&told) == atomic_load(&sent));
  errno = EAGAIN;
  return n;
}

static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)arg;
  if (torque_siginfo_pid(info) == 0) atomic_fetch_add(&bare, 1);
  atomic_fetch_add(&told, 1);
}

static int32_t keep_busy(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  STAY_UNTIL(!atomic_load(&held));
  return TORQUE_DONE;
}

/* Each signal is counted when its handler has returned: the one that there was no room for is not, yet. */
static void *fill(void *arg) {
  (void)arg;
  sender = 1;
  for (int i = 0; i < MOST && !atomic_load(&full); i++) {
    (void)pthread_kill(pthread_self(), kSignal);
    atomic_fetch_add(&sent, 1);
  }
  return NULL;
}

static void the_one_without_room_is_told_without_another(void **state) {
  struct fixture *f = *state;
  torque_source signals, busy;
  atomic_store(&held, 1);
  assert_int_equal(torque_signal_add(f->ctx, &kSignal, 1, on_signal, NULL, &signals), 0);
  assert_int_equal(torque_event_add(f->ctx, 0, keep_busy, NULL, &busy), 0);
  assert_int_equal(torque_trigger(busy, 0), 0);
  fixture_thread(f, fill, NULL);
  AWAIT(f, atomic_load(&full));
  AWAIT(f, atomic_load(&bare) == 1);
  fixture_join(f);
  AWAIT(f, atomic_load(&told) == atomic_load(&sent));
  fixture_settle(f);
  assert_int_equal(atomic_load(&told), atomic_load(&sent));
  assert_int_equal(atomic_load(&bare), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {ON(single, the_one_without_room_is_told_without_another)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
