/* SPDX-License-Identifier: BSD-3-Clause */
/* Every call on a context, a strand or a handle may be made after the end of the context, and says that it has ended.
 * From within the end, a finalizer, waiting for it would never end, and is refused. */
#include "support/calls.h"
#include "support/probe.h"

#include <errno.h>

#include "support/cmocka.h"

static void assert_ended_for(struct targets *t) {
  for (uint32_t i = 0; i < calls_count(); i++) {
    const torque_err err = call_make(t, i);
    if (err != TORQUE_ERR_STALE && err != TORQUE_ERR_STOPPED) fail_msg("%s: %x", call_name(i), (unsigned)err);
  }
  assert_int_equal(torque_source_remove(t->event), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_remove_wait(t->event), TORQUE_ERR_STALE);
  assert_int_equal(torque_close(t->fd), TORQUE_ERR_STALE);
  assert_int_equal(torque_stream_close(t->stream), TORQUE_ERR_STALE);
  assert_int_equal(torque_stream_abort(t->stream), TORQUE_ERR_STALE);
  assert_int_equal(torque_start(t->ctx), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_stop_async(t->ctx), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_block(t->ctx), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_stop(t->ctx), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_run(t->ctx), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_run_once(t->ctx, 0, NULL), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_reinit(t->ctx), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_poll_fd(t->ctx), -1);
  assert_int_equal(torque_watch(t->ctx, 0, TORQUE_READ, 0), TORQUE_ERR_STOPPED);
}

static void calls_after_the_end(void **state) {
  struct fixture *f = *state;
  struct targets *t = fixture_take(f, sizeof *t);
  assert_int_equal(targets_open(t, f->ctx), 0);
  fixture_stop(f);
  assert_ended_for(t);
  targets_close(t);
}

/* Others come and go, and do not answer for those that have gone. */
static void calls_long_after_the_end(void **state) {
  struct fixture *f = *state;
  struct targets *t = fixture_take(f, sizeof *t), *later = fixture_take(f, sizeof *later);
  assert_int_equal(targets_open(t, f->ctx), 0);
  fixture_stop(f);
  for (int i = 0; i < 20; i++) {
    struct torque_config *config = shape_config(f->shape);
    struct torque_ctx *ctx;
    assert_int_equal(torque_ctx_new(config, &ctx), 0);
    torque_config_free(config);
    assert_int_equal(targets_open(later, ctx), 0);
    assert_ended_for(t);
    assert_int_equal(torque_source_alive(later->event), 1);
    assert_int_equal(torque_stop(ctx), 0);
    assert_ended_for(later);
    targets_close(later);
  }
  targets_close(t);
}

/* While it ends, all sources are there until their finalizers have run. */
static void calls_from_the_last_finalizers(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason;
  struct probe *p = arg;
  struct targets *t = p->aux;
  uint64_t wrong = 0; /* the last one's number and answer */
  for (uint32_t i = 0; i < calls_count(); i++) {
    const torque_err err = call_make(t, i);
    /* Some calls only look: they work as long as there is something to see. */
    if (err != 0 && err != TORQUE_ERR_STALE && err != TORQUE_ERR_STOPPED && err != TORQUE_ERR_STATE && err != TORQUE_ERR_KIND &&
        err != TORQUE_ERR_SYSCALL + ETIMEDOUT && err != TORQUE_ERR_SYSCALL + EBADF) {
      wrong = (uint64_t)i << 32 | (uint32_t)err;
    }
  }
  if (torque_stop(t->ctx) != TORQUE_ERR_DEADLOCK) wrong = UINT64_MAX;
  atomic_store(&p->noted, wrong);
  atomic_fetch_add(&p->finals, 1);
}

static void calls_within_the_end(void **state) {
  struct fixture *f = *state;
  struct targets *t = fixture_take(f, sizeof *t);
  struct probe *p[10];
  for (int i = 0; i < 10; i++) {
    p[i] = probe_new(f);
    p[i]->aux = t;
    assert_int_equal(torque_event_new(f->ctx, 0, probe_call, p[i], &p[i]->source), 0);
    assert_int_equal(torque_source_set_finalizer(p[i]->source, calls_from_the_last_finalizers), 0);
    if (i == 4) assert_int_equal(targets_open(t, f->ctx), 0);
  }
  fixture_stop(f);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(p[i]->finals, 1);
    if (p[i]->noted) fail_msg("%s: %x", call_name((uint32_t)(p[i]->noted >> 32)), (unsigned)p[i]->noted);
  }
  targets_close(t);
}

/* ---- A finalizer on a thread of the program's ---- */

static void try_to_end(torque_source source, int32_t reason, void *arg) {
  struct probe *p = arg;
  struct torque_ctx *ctx = p->aux;
  atomic_store(&p->result, torque_stop(ctx));
  atomic_store(&p->noted, (uint64_t)torque_block(ctx));
  probe_final(source, reason, arg);
}

static void a_finalizer_outside_cannot_end_its_context(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  p->aux = f->ctx;
  assert_int_equal(torque_event_new(f->ctx, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_finalizer(p->source, try_to_end), 0);
  assert_int_equal(torque_source_start(p->source), 0);
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
  assert_int_equal(p->result, TORQUE_ERR_DEADLOCK);
  assert_int_equal(p->noted, TORQUE_ERR_DEADLOCK);
}

/* Of another context it may: each is apart. */
static void a_finalizer_may_end_another_context(void **state) {
  struct fixture *f = *state;
  struct torque_config *config = shape_config(f->shape);
  struct torque_ctx *other;
  assert_int_equal(torque_ctx_new(config, &other), 0);
  torque_config_free(config);
  struct probe *p = probe_new(f), *q = probe_new(f);
  p->aux = other;
  assert_int_equal(torque_event_add(other, 0, probe_call, q, &q->source), 0);
  assert_int_equal(torque_event_new(f->ctx, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_finalizer(p->source, try_to_end), 0);
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_int_equal(p->result, 0);
  assert_int_equal(p->noted, TORQUE_ERR_STOPPED);
  assert_int_equal(torque_source_alive(q->source), 0);
}

/* ---- Whose finalizer ---- */

struct door {
  struct fixture *f;
  _Atomic torque_source source;
  _Atomic uint64_t inside_of_a_call, finals;
};
static _Thread_local int in_call;

static void note_where(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason;
  struct door *d = arg;
  if (in_call) atomic_fetch_add(&d->inside_of_a_call, 1);
  atomic_fetch_add(&d->finals, 1);
}
static void nothing(void *arg) { (void)arg; }

static void *call_on_and_on(void *arg) {
  struct door *d = arg;
  while (!atomic_load(&d->f->quit)) {
    const torque_source s = atomic_load(&d->source);
    in_call = 1;
    (void)torque_post_source(s, nothing, NULL);
    (void)torque_trigger(s, 0);
    (void)torque_offload_source(s, NULL, NULL, NULL, NULL);
    in_call = 0;
  }
  return NULL;
}

static int32_t do_nothing(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  return TORQUE_DONE;
}

/* It may hold a lock that the finalizer takes. */
static void no_finalizer_within_a_call_of_others(void **state) {
  struct fixture *f = *state;
  enum { SOURCES = FEWER(30000) };
  struct door *d = fixture_take(f, sizeof *d);
  d->f = f;
  for (uint64_t i = 1; i <= SOURCES; i++) {
    torque_source s;
    assert_int_equal(torque_event_new(f->ctx, 0, do_nothing, d, &s), 0);
    assert_int_equal(torque_source_set_finalizer(s, note_where), 0);
    assert_int_equal(torque_source_start(s), 0);
    atomic_store(&d->source, s);
    if (i == 1) fixture_thread(f, call_on_and_on, d), fixture_thread(f, call_on_and_on, d);
    if (i % 2) assert_int_equal(torque_source_remove(s), 0);
    else assert_int_equal(torque_source_remove_wait(s), 0);
    if (i % 2 == 0) assert_int_equal(torque_source_alive(s), 0);
    if (f->shape->driven && i % 16 == 0) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  }
  AWAIT(f, d->finals == SOURCES);
  atomic_store(&f->quit, 1);
  fixture_join(f);
  assert_int_equal(d->inside_of_a_call, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(calls_after_the_end),
      ON(live, calls_long_after_the_end),
      ON(driven, calls_long_after_the_end),
      ON_EVERY(calls_within_the_end),
      ON_EVERY(a_finalizer_outside_cannot_end_its_context),
      ON(live, a_finalizer_may_end_another_context),
      ON_EVERY(no_finalizer_within_a_call_of_others),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
