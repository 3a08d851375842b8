/* SPDX-License-Identifier: BSD-3-Clause */
/* A strand may be given up in any order: before what was posted to it has run, while it runs, when its last source has
 * been removed by another thread, after its context has gone. And after a break or a stop nothing else of it starts. */
#include "support/probe.h"

#include "support/cmocka.h"

static void count(void *arg) { atomic_fetch_add((_Atomic uint32_t *)arg, 1); }

static struct torque_strand *strand_of(struct fixture *f) {
  struct torque_strand *s = NULL;
  assert_int_equal(torque_strand_new(f->ctx, &s), 0);
  return s;
}

static struct probe *probe_in(struct fixture *f, struct torque_strand *strand) {
  struct probe *p = probe_new(f);
  assert_int_equal(torque_event_new(f->ctx, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_finalizer(p->source, probe_final), 0);
  assert_int_equal(torque_source_set_strand(p->source, strand), 0);
  assert_int_equal(torque_source_start(p->source), 0);
  return p;
}

/* ---- Given up ---- */

/* Around the number of functions that a strand runs before the others have their turn. */
static void freed_before_its_functions_have_run(void **state) {
  struct fixture *f = *state;
  _Atomic uint32_t *ran = fixture_take(f, sizeof *ran);
  for (uint32_t n = 0; n < 70; n++) {
    atomic_store(ran, 0);
    struct torque_strand *s = strand_of(f);
    for (uint32_t i = 0; i < n; i++) assert_int_equal(torque_strand_post(s, count, (void *)ran), 0);
    torque_strand_free(s);
    AWAIT(f, atomic_load(ran) == n);
  }
}

static void freed_and_stopped_before_its_functions_have_run(void **state) {
  struct fixture *f = *state;
  enum { STRANDS = 70 };
  _Atomic uint32_t *ran = fixture_take(f, sizeof *ran);
  uint32_t posted = 0;
  for (uint32_t n = 0; n < STRANDS; n++) {
    struct torque_strand *s = strand_of(f);
    for (uint32_t i = 0; i < n; i++, posted++) assert_int_equal(torque_strand_post(s, count, (void *)ran), 0);
    torque_strand_free(s);
  }
  fixture_stop(f);
  assert_int_equal(atomic_load(ran), posted);
}

static void freed_after_its_context(void **state) {
  struct fixture *f = *state;
  _Atomic uint32_t *ran = fixture_take(f, sizeof *ran);
  struct torque_strand *s = strand_of(f);
  struct probe *p = probe_in(f, s);
  assert_int_equal(torque_strand_post(s, count, (void *)ran), 0);
  fixture_stop(f);
  assert_int_equal(atomic_load(ran), 1);
  assert_ended(p, TORQUE_END_STOPPED);
  assert_int_equal(torque_strand_post(s, count, (void *)ran), TORQUE_ERR_STOPPED);
  torque_strand_free(s);
  assert_int_equal(atomic_load(ran), 1);
}

static void remove_it(void *arg) {
  struct probe *p = arg;
  atomic_store(&p->result, torque_source_remove(p->source));
  atomic_store(&p->noted, 1);
}

/* Its sources are all that keeps the strand; they go one by one while others of it run, or wait in its queue. */
static void the_last_source_is_removed_while_it_runs(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < FEWER(300) + 20; i++) {
    struct torque_strand *s = strand_of(f);
    struct probe *first = probe_in(f, s), *last = probe_in(f, s);
    torque_strand_free(s);
    if (i % 3) atomic_store(&first->blocked, !f->shape->driven);
    assert_int_equal(torque_trigger(first->source, 0), 0);
    if (i % 3) AWAIT(f, first->calls || first->inside);
    assert_int_equal(torque_trigger(last->source, 0), 0);
    if (i % 2) assert_int_equal(torque_post_source(last->source, remove_it, first), 0);
    else assert_int_equal(torque_source_remove(first->source), 0);
    const torque_err err = torque_source_remove(last->source);
    atomic_store(&first->blocked, 0);
    assert_int_equal(err, 0);
    AWAIT(f, first->finals && last->finals && (i % 2 == 0 || first->noted));
    fixture_release(f);
  }
}

/* ---- Broken off ---- */

struct row {
  struct fixture *f;
  uint32_t next, disorder, after_break;
  int broke;
};

struct seat {
  struct row *row;
  uint32_t number;
};

static void in_order(void *arg) {
  struct seat *s = arg;
  struct row *r = s->row;
  r->disorder += r->next++ != s->number;
  r->after_break += (uint32_t)r->broke;
  if (s->number % 5 == 3) {
    r->broke = 1;
    (void)torque_break(r->f->ctx);
  }
}

static void a_break_holds_for_a_strand(void **state) {
  struct fixture *f = *state;
  enum { SEATS = 40 };
  struct row *r = fixture_take(f, sizeof *r);
  struct seat *seat = fixture_take(f, SEATS * sizeof *seat);
  r->f = f;
  struct torque_strand *s = strand_of(f);
  for (uint32_t i = 0; i < SEATS; i++) {
    seat[i] = (struct seat){r, i};
    assert_int_equal(torque_strand_post(s, in_order, &seat[i]), 0);
  }
  for (uint32_t i = 3; i < SEATS; i += 5) {
    r->broke = 0;
    assert_int_equal(torque_run(f->ctx), 0);
    assert_int_equal(r->next, i + 1); /* the one that broke off was the last, and nothing is lost */
  }
  r->broke = 0;
  AWAIT(f, r->next == SEATS);
  assert_int_equal(r->disorder, 0);
  assert_int_equal(r->after_break, 0);
  torque_strand_free(s);
}

static void break_off(struct probe *p, torque_source source, int fd) {
  (void)source, (void)fd;
  (void)torque_break(p->aux);
}

static void a_break_holds_for_sources_of_a_strand(void **state) {
  struct fixture *f = *state;
  struct torque_strand *s = strand_of(f);
  struct probe *a = probe_new(f), *b = probe_in(f, s), *c = probe_in(f, s);
  a->then = break_off;
  a->aux = f->ctx;
  assert_int_equal(torque_event_new(f->ctx, 0, probe_call, a, &a->source), 0);
  assert_int_equal(torque_source_set_strand(a->source, s), 0);
  assert_int_equal(torque_source_start(a->source), 0);
  for (uint32_t i = 1; i < 20; i++) {
    assert_int_equal(torque_trigger(a->source, 0), 0);
    assert_int_equal(torque_trigger(b->source, 0), 0);
    assert_int_equal(torque_trigger(c->source, 0), 0);
    assert_int_equal(torque_run(f->ctx), 0);
    assert_int_equal(a->calls, i);
    assert_int_equal(b->calls, i - 1);
    assert_int_equal(c->calls, i - 1);
    AWAIT(f, b->calls == i && c->calls == i);
  }
  torque_strand_free(s);
}

struct stopping {
  struct fixture *f;
  _Atomic int done;
};

static void *stop_it(void *arg) {
  struct stopping *s = arg;
  (void)torque_stop(s->f->ctx);
  atomic_store(&s->done, 1);
  return NULL;
}

/* One callback is under way when the context stops; what queues up behind it does not start. */
static void a_stop_holds_for_a_strand(void **state) {
  struct fixture *f = *state;
  struct torque_strand *s = strand_of(f);
  struct probe *first = probe_in(f, s), *queued[8];
  atomic_store(&first->blocked, 1);
  assert_int_equal(torque_trigger(first->source, 0), 0);
  AWAIT(f, first->inside);
  for (int i = 0; i < 8; i++) {
    queued[i] = probe_in(f, s);
    assert_int_equal(torque_trigger(queued[i]->source, 0), 0);
  }
  struct stopping *stopping = fixture_take(f, sizeof *stopping);
  stopping->f = f;
  fixture_thread(f, stop_it, stopping);
  torque_source probe;
  AWAIT(f, torque_event_new(f->ctx, 0, probe_call, NULL, &probe) == TORQUE_ERR_STOPPED || torque_source_remove(probe));
  atomic_store(&first->blocked, 0);
  AWAIT(f, stopping->done);
  fixture_join(f);
  f->ctx = NULL;
  assert_int_equal(first->calls, 1);
  for (int i = 0; i < 8; i++) {
    assert_int_equal(queued[i]->calls, 0);
    assert_ended(queued[i], TORQUE_END_STOPPED);
  }
  torque_strand_free(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(freed_before_its_functions_have_run),
      ON_EVERY(freed_and_stopped_before_its_functions_have_run),
      ON_EVERY(freed_after_its_context),
      ON_EVERY(the_last_source_is_removed_while_it_runs),
      ON(driven, a_break_holds_for_a_strand),
      ON(driven, a_break_holds_for_sources_of_a_strand),
      ON_THREADED(a_stop_holds_for_a_strand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
