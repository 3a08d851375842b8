/* SPDX-License-Identifier: BSD-3-Clause */
/* Removal works from everywhere and starts no new call; waiting for oneself is refused. */
#include "support/probe.h"

#include <unistd.h>

#include "support/cmocka.h"

static void remove_other(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct probe *victim = p->aux;
  atomic_store(&p->result, torque_source_remove(victim->source));
}

static void from_another_callback(void **state) {
  struct fixture *f = *state;
  int a[2];
  fixture_pair(f, a);
  struct probe *victim = probe_fd(f, a[0], TORQUE_READ, 0);
  struct probe *killer = probe_new(f);
  killer->then = remove_other;
  killer->aux = victim;
  atomic_store(&killer->result, -1);
  probe_start_event(f, killer, 0);
  assert_int_equal(torque_trigger(killer->source, 0), 0);
  AWAIT(f, victim->finals);
  AWAIT(f, killer->result == 0);
  say(a[1], 1);
  fixture_settle(f);
  assert_int_equal(victim->calls, 0);
  assert_ended(victim, TORQUE_END_REMOVED);
}

static void twice_is_stale(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_int_equal(torque_source_remove(p->source), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_remove_wait(p->source), TORQUE_ERR_STALE);
  assert_int_equal(torque_trigger(p->source, 0), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_alive(p->source), 0);
  /* A later source in the same place is another one. */
  struct probe *q = probe_event(f, 0);
  assert_true(p->source != q->source);
  assert_int_equal(torque_source_remove(p->source), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_alive(q->source), 1);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void while_running(void **state) {
  struct fixture *f = *state;
  int a[2];
  fixture_pair(f, a);
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  probe_start_fd(f, p, a[0], TORQUE_READ, 0);
  say(a[1], 1);
  AWAIT(f, p->inside);
  say(a[1], 1); /* an event that it would be told of next */
  assert_int_equal(torque_source_remove(p->source), 0);
  assert_int_equal(torque_source_remove(p->source), TORQUE_ERR_STALE);
  assert_int_equal(p->finals, 0);
  assert_int_equal(p->inside, 1);
  atomic_store(&p->blocked, 0);
  AWAIT(f, p->finals);
  fixture_settle(f);
  assert_int_equal(p->calls, 1);
  assert_ended(p, TORQUE_END_REMOVED);
}

struct waiting {
  struct probe *victim;
  _Atomic torque_err result;
  _Atomic int returned;
  _Atomic uint32_t finals; /* as remove_wait left them */
};

static void *wait_for_removal(void *arg) {
  struct waiting *w = arg;
  atomic_store(&w->result, torque_source_remove_wait(w->victim->source));
  atomic_store(&w->finals, atomic_load(&w->victim->finals));
  atomic_store(&w->returned, 1);
  return NULL;
}

static void waiting_from_outside_while_running(void **state) {
  struct fixture *f = *state;
  int a[2];
  fixture_pair(f, a);
  struct probe *p = probe_new(f);
  atomic_store(&p->blocked, 1);
  probe_start_fd(f, p, a[0], TORQUE_READ, 0);
  say(a[1], 1);
  AWAIT(f, p->inside);
  struct waiting *w = fixture_take(f, sizeof *w);
  w->victim = p;
  fixture_thread(f, wait_for_removal, w);
  AWAIT(f, !torque_source_alive(p->source));
  for (int i = 0; i < 20; i++) nap();
  assert_int_equal(w->returned, 0); /* the callback is still in */
  atomic_store(&p->blocked, 0);
  AWAIT(f, w->returned);
  assert_int_equal(w->result, 0);
  assert_int_equal(w->finals, 1);
  assert_int_equal(p->calls, 1);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void waiting_when_nothing_runs(void **state) {
  struct fixture *f = *state;
  int a[2];
  fixture_pair(f, a);
  struct probe *p = probe_fd(f, a[0], TORQUE_READ, 0);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void wait_for_own(struct probe *p, torque_source source, int fd) {
  (void)fd;
  const torque_err err = torque_source_remove_wait(source);
  atomic_store(&p->noted, (uint64_t)torque_source_alive(source));
  atomic_store(&p->result, err);
}

static void waiting_for_oneself_is_refused(void **state) {
  struct fixture *f = *state;
  int a[2];
  fixture_pair(f, a);
  struct probe *p = probe_new(f);
  p->then = wait_for_own;
  probe_start_fd(f, p, a[0], TORQUE_READ, 0);
  say(a[1], 1);
  AWAIT(f, p->result);
  assert_int_equal(p->result, TORQUE_ERR_DEADLOCK);
  assert_int_equal(p->noted, 1);
  say(a[1], 1); /* nothing was done: it still works */
  AWAIT(f, p->bytes == 2);
  assert_int_equal(p->finals, 0);
}

static void wait_for_other(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct probe *other = p->aux;
  const torque_err err = torque_source_remove_wait(other->source);
  atomic_store(&p->noted, (uint64_t)torque_source_alive(other->source));
  atomic_store(&p->result, err);
}

static void waiting_for_a_strand_sibling_is_refused(void **state) {
  struct fixture *f = *state;
  struct torque_strand *strand = NULL;
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  struct probe *sibling = probe_new(f), *p = probe_new(f);
  p->then = wait_for_other;
  p->aux = sibling;
  for (int i = 0; i < 2; i++) {
    struct probe *s = i ? p : sibling;
    assert_int_equal(torque_event_new(f->ctx, 0, probe_call, s, &s->source), 0);
    assert_int_equal(torque_source_set_finalizer(s->source, probe_final), 0);
    assert_int_equal(torque_source_set_strand(s->source, strand), 0);
    assert_int_equal(torque_source_start(s->source), 0);
  }
  torque_strand_free(strand);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->result);
  assert_int_equal(p->result, TORQUE_ERR_DEADLOCK);
  assert_int_equal(p->noted, 1);
  assert_int_equal(torque_trigger(sibling->source, 0), 0);
  AWAIT(f, sibling->calls == 1);
  assert_int_equal(sibling->finals, 0);
}

struct strand_post {
  struct probe *victim;
  _Atomic torque_err result;
};

static void wait_in_strand(void *arg) {
  struct strand_post *s = arg;
  atomic_store(&s->result, torque_source_remove_wait(s->victim->source));
}

static void waiting_from_work_in_the_strand_is_refused(void **state) {
  struct fixture *f = *state;
  struct torque_strand *strand = NULL;
  struct strand_post *s = fixture_take(f, sizeof *s);
  s->victim = probe_new(f);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_event_new(f->ctx, 0, probe_call, s->victim, &s->victim->source), 0);
  assert_int_equal(torque_source_set_strand(s->victim->source, strand), 0);
  assert_int_equal(torque_source_start(s->victim->source), 0);
  assert_int_equal(torque_strand_post(strand, wait_in_strand, s), 0);
  torque_strand_free(strand);
  AWAIT(f, s->result);
  assert_int_equal(s->result, TORQUE_ERR_DEADLOCK);
  assert_int_equal(torque_source_alive(s->victim->source), 1);
}

static void waiting_for_another_from_a_callback(void **state) {
  struct fixture *f = *state;
  int a[2];
  fixture_pair(f, a);
  struct probe *victim = probe_fd(f, a[0], TORQUE_READ, 0);
  struct probe *p = probe_new(f);
  p->then = wait_for_other;
  p->aux = victim;
  atomic_store(&p->result, -1);
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->result != -1);
  assert_int_equal(p->result, 0);
  assert_int_equal(p->noted, 0);
  assert_ended(victim, TORQUE_END_REMOVED);
}

/* After remove has returned no new call starts, however busy the source was. */
static void *noise(void *arg) {
  struct probe *p = arg;
  struct fixture *f = p->aux;
  while (!atomic_load(&f->quit) && torque_trigger(p->source, TORQUE_READ) == 0) {
  }
  return NULL;
}

static void no_call_starts_after_it_returned(void **state) {
  struct fixture *f = *state;
  const int rounds = f->shape->driven ? 20 : 200;
  for (int i = 0; i < rounds; i++) {
    struct probe *p = probe_new(f);
    p->aux = f;
    probe_start_event(f, p, 0);
    fixture_thread(f, noise, p);
    AWAIT(f, p->calls > 3);
    assert_int_equal(torque_source_remove_wait(p->source), 0);
    const uint32_t calls = p->calls;
    assert_ended(p, TORQUE_END_REMOVED);
    fixture_join(f);
    if (i % 20 == 0) fixture_settle(f);
    assert_int_equal(p->calls, calls);
    assert_ended(p, TORQUE_END_REMOVED);
  }
}

/* Many threads remove one source: one of them did it. */
struct race {
  torque_source source;
  _Atomic int go;
  _Atomic int removed;
  _Atomic int stale;
  _Atomic int other;
};

static void *racer(void *arg) {
  struct race *r = arg;
  STAY_UNTIL(atomic_load(&r->go));
  const torque_err err = torque_source_remove(r->source);
  atomic_fetch_add(err == 0 ? &r->removed : err == TORQUE_ERR_STALE ? &r->stale : &r->other, 1);
  return NULL;
}

static void one_of_many_removers_succeeds(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 25; i++) {
    struct race *r = fixture_take(f, sizeof *r);
    struct probe *p = probe_event(f, 0);
    r->source = p->source;
    for (int t = 0; t < 4; t++) fixture_thread(f, racer, r);
    assert_int_equal(torque_trigger(p->source, 0), 0);
    atomic_store(&r->go, 1);
    fixture_join(f);
    AWAIT(f, p->finals);
    assert_int_equal(r->removed, 1);
    assert_int_equal(r->stale, 3);
    assert_int_equal(r->other, 0);
    assert_ended(p, TORQUE_END_REMOVED);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(from_another_callback),
      ON_EVERY(twice_is_stale),
      ON_THREADED(while_running),
      ON_THREADED(waiting_from_outside_while_running),
      ON_EVERY(waiting_when_nothing_runs),
      ON_EVERY(waiting_for_oneself_is_refused),
      ON_EVERY(waiting_for_a_strand_sibling_is_refused),
      ON_EVERY(waiting_from_work_in_the_strand_is_refused),
      ON_EVERY(waiting_for_another_from_a_callback),
      ON_EVERY(no_call_starts_after_it_returned),
      ON_EVERY(one_of_many_removers_succeeds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
