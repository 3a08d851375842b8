/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads that go on making every call there is on a context and its sources while that is stopped: each call answers,
 * and from some moment on all say that it has ended. Nothing that was freed is touched (the sanitizers look). */
#include "support/calls.h"
#include "support/child.h"
#include "support/context.h"

#include <stdlib.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { CALLERS = 3, STOPS = 400 };

struct caller {
  struct fixture *f;
  struct targets *t;
  uint64_t seed;
  _Atomic uint64_t calls;
  _Atomic int stopped;
};

/* Until a whole row of calls has found it gone. */
static void *call_on_and_on(void *arg) {
  struct caller *c = arg;
  for (uint32_t gone = 0; gone < 100 && !atomic_load(&c->f->quit);) {
    const uint32_t call = (uint32_t)(next_random(&c->seed) % calls_count());
    const torque_err err = call_make(c->t, call);
    atomic_fetch_add(&c->calls, 1);
    gone = err == TORQUE_ERR_STALE || err == TORQUE_ERR_STOPPED ? gone + 1 : 0;
  }
  return NULL;
}

static void *remove_on_and_on(void *arg) {
  struct caller *c = arg;
  const torque_source all[] = {c->t->event, c->t->timer, c->t->condition, c->t->listener, c->t->stream, c->t->group, c->t->path};
  while (!atomic_load(&c->stopped) && !atomic_load(&c->f->quit)) {
    const uint64_t r = next_random(&c->seed);
    const torque_source s = all[r / 8 % (sizeof all / sizeof *all)];
    if (r % 256 == 0) (void)torque_source_remove_wait(s);
    else if (r % 256 == 1) (void)torque_source_remove(s);
    else (void)torque_source_alive(s);
  }
  return NULL;
}

static void *block_and_stop(void *arg) {
  struct caller *c = arg;
  while (!atomic_load(&c->stopped)) (void)torque_stop_async(c->t->ctx);
  return NULL;
}

static void stop_while_called(struct fixture *f, int round) {
  struct targets *t = fixture_take(f, sizeof *t);
  struct caller *c = fixture_take(f, (CALLERS + 2) * sizeof *c);
  struct torque_config *config = shape_config(f->shape);
  struct torque_ctx *ctx;
  assert_int_equal(torque_ctx_new(config, &ctx), 0);
  torque_config_free(config);
  assert_int_equal(targets_open(t, ctx), 0);
  for (uint32_t i = 0; i < CALLERS + 2; i++) {
    c[i].f = f, c[i].t = t;
    c[i].seed = (uint64_t)round * 10 + i + 1;
    if (i < CALLERS) fixture_thread(f, call_on_and_on, &c[i]);
  }
  fixture_thread(f, remove_on_and_on, &c[CALLERS]);
  AWAIT(f, c[0].calls > (uint64_t)round % 50);
  if (round % 3 == 0 && !f->shape->driven) {
    fixture_thread(f, block_and_stop, &c[CALLERS + 1]);
    assert_int_equal(torque_block(ctx), 0);
  } else {
    torque_err err;
    AWAIT(f, (err = torque_stop(ctx)) != TORQUE_ERR_BUSY);
    assert_int_equal(err, 0);
  }
  for (uint32_t i = 0; i < CALLERS + 2; i++) atomic_store(&c[i].stopped, 1);
  fixture_join(f);
  targets_close(t);
  fixture_release(f);
}

static void stops_while_called(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < FEWER(STOPS); i++) stop_while_called(f, i);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, stops_while_called),
      ON(synthetic, stops_while_called),
      ON(driven, stops_while_called),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
