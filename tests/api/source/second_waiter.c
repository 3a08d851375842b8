/* SPDX-License-Identifier: BSD-3-Clause */
/* Whoever waits for the end of a source that another call has ended already waits all the same; its own finalizer cannot. */
#include "support/context.h"

#include <string.h>

#include "support/cmocka.h"

static struct {
  torque_source source;
  _Atomic int inside, leave, waiting, finals, finals_seen;
  _Atomic torque_err answer, answer_in_finalizer;
} s;

static int32_t stay(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  atomic_store(&s.inside, 1);
  STAY_UNTIL(atomic_load(&s.leave));
  return TORQUE_DONE;
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)reason, (void)arg;
  atomic_store(&s.answer_in_finalizer, torque_source_remove_wait(source));
  atomic_fetch_add(&s.finals, 1);
}

static void *wait_too(void *arg) {
  (void)arg;
  atomic_store(&s.waiting, 1);
  const torque_err answer = torque_source_remove_wait(s.source);
  atomic_store(&s.finals_seen, atomic_load(&s.finals));
  atomic_store(&s.answer, answer);
  return NULL;
}

static void the_second_waits_too(void **state) {
  struct fixture *f = *state;
  memset(&s, 0, sizeof s);
  assert_int_equal(torque_event_new(f->ctx, 0, stay, NULL, &s.source), 0);
  assert_int_equal(torque_source_set_finalizer(s.source, on_final), 0);
  assert_int_equal(torque_source_start(s.source), 0);
  assert_int_equal(torque_trigger(s.source, 0), 0);
  AWAIT(f, s.inside);
  assert_int_equal(torque_source_remove(s.source), 0);
  fixture_thread(f, wait_too, NULL);
  AWAIT(f, s.waiting);
  for (int i = 0; i < 20; i++) nap(); /* time to return too early */
  assert_int_equal(s.answer, 0);
  atomic_store(&s.leave, 1);
  AWAIT(f, s.answer != 0);
  assert_int_equal(s.answer, TORQUE_ERR_STALE);
  assert_int_equal(s.finals_seen, 1);
  assert_int_equal(s.answer_in_finalizer, TORQUE_ERR_DEADLOCK);
  fixture_join(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {ON(live, the_second_waits_too), ON(synthetic, the_second_waits_too)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
