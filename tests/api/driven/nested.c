/* SPDX-License-Identifier: BSD-3-Clause */
/* A driven context may be run from one of its own callbacks, which is not called again until it has returned. */
#include "support/probe.h"

#include "support/cmocka.h"

static const struct shape shape_wide = {.name = "wide", .driven = 1, .window = 64, .counted = 1};

struct scene {
  struct fixture *f;
  struct probe *other;
  int peer;       /* of the outer source's descriptor */
  int other_peer;
  int deep;
  _Atomic torque_err error;
  _Atomic uint32_t other_calls; /* as the outer callback found them after its own run */
};

static void note(struct scene *s, torque_err err) {
  if (err) atomic_store(&s->error, err);
}

/* While in here, both become ready. */
static void run_within(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct scene *s = p->aux;
  if (atomic_load(&p->calls) > 1) return;
  say(s->peer, 1);
  say(s->other_peer, 1);
  for (int i = 0; i < 10; i++) note(s, torque_run_ready(s->f->ctx, NULL));
  atomic_store(&s->other_calls, atomic_load(&s->other->calls));
}

static void others_are_served_and_the_own_waits(struct fixture *f, uint32_t flags) {
  struct scene *s = fixture_take(f, sizeof *s);
  struct probe *outer = probe_new(f);
  int a[2], b[2];
  fixture_pair(f, a);
  fixture_pair(f, b);
  *s = (struct scene){.f = f, .peer = a[1], .other_peer = b[1]};
  s->other = probe_fd(f, b[0], TORQUE_READ, flags);
  outer->then = run_within;
  outer->aux = s;
  probe_start_fd(f, outer, a[0], TORQUE_READ, flags);
  say(a[1], 1);
  AWAIT(f, outer->bytes == 2); /* what came meanwhile is not lost */
  assert_int_equal(s->error, 0);
  assert_int_equal(s->other_calls, 1);
  assert_int_equal(outer->calls, 2);
  assert_int_equal(outer->most_inside, 1);
}

static void edge(void **state) { others_are_served_and_the_own_waits(*state, 0); }
static void recheck(void **state) { others_are_served_and_the_own_waits(*state, TORQUE_RECHECK); }
static void level(void **state) { others_are_served_and_the_own_waits(*state, TORQUE_LEVEL); }

/* A level-triggered source that has not read yet: the inner wait is not cut short by it over and over. */
static void wait_within(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct scene *s = p->aux;
  if (atomic_load(&p->calls) > 1) return;
  const uint64_t begin = monotonic_ns();
  uint64_t n = 77;
  note(s, torque_run_once(s->f->ctx, 5000000, &n));
  atomic_store(&p->noted, n ? 0 : monotonic_ns() - begin);
}

static void a_wait_inside_a_level_triggered_callback(void **state) {
  struct fixture *f = *state;
  struct scene *s = fixture_take(f, sizeof *s);
  struct probe *p = probe_new(f);
  int fd[2];
  fixture_pair(f, fd);
  s->f = f;
  p->then = wait_within;
  p->aux = s;
  p->keep = 1;
  probe_start_fd(f, p, fd[0], TORQUE_READ, TORQUE_LEVEL);
  say(fd[1], 1);
  AWAIT(f, p->calls >= 1);
  assert_int_equal(s->error, 0);
  assert_int_equal(p->most_inside, 1);
  assert_true(p->noted >= 5000000);
}

static void concurrent_ones_are_called_again(void **state) {
  struct fixture *f = *state;
  struct scene *s = fixture_take(f, sizeof *s);
  struct probe *outer = probe_new(f);
  int a[2], b[2];
  fixture_pair(f, a);
  fixture_pair(f, b);
  *s = (struct scene){.f = f, .peer = a[1], .other_peer = b[1]};
  s->other = probe_fd(f, b[0], TORQUE_READ, 0);
  outer->then = run_within;
  outer->aux = s;
  probe_start_fd(f, outer, a[0], TORQUE_READ, TORQUE_CONCURRENT);
  say(a[1], 1);
  AWAIT(f, outer->bytes == 2);
  assert_int_equal(s->error, 0);
  assert_int_equal(outer->most_inside, 2);
}

/* Many levels, each in another source's callback; unwound, everybody has been served once. */
enum { DEPTH = 20 };

struct tower {
  struct fixture *f;
  struct probe *floor[DEPTH];
  _Atomic uint32_t deepest;
};

static void climb(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct tower *t = p->aux;
  for (uint32_t i = 0; i < DEPTH - 1; i++) {
    if (t->floor[i] != p) continue;
    (void)torque_trigger(t->floor[i + 1]->source, 0);
    for (int n = 0; n < 3; n++) (void)torque_run_ready(t->f->ctx, NULL);
    atomic_fetch_add(&t->deepest, 1);
  }
}

static void twenty_deep(void **state) {
  struct fixture *f = *state;
  struct tower *t = fixture_take(f, sizeof *t);
  t->f = f;
  for (int i = 0; i < DEPTH; i++) {
    t->floor[i] = probe_new(f);
    t->floor[i]->then = climb;
    t->floor[i]->aux = t;
    probe_start_event(f, t->floor[i], 0);
  }
  assert_int_equal(torque_trigger(t->floor[0]->source, 0), 0);
  assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, NULL), 0);
  for (int i = 0; i < DEPTH; i++) {
    assert_int_equal(t->floor[i]->calls, 1);
    assert_int_equal(t->floor[i]->inside, 0);
  }
}

/* The inner callback ends the outer source: refused if it would wait for it, fine if not. */
struct ending {
  struct fixture *f;
  struct probe *outer;
  struct probe *inner;
  _Atomic torque_err waited;
  _Atomic torque_err removed;
  _Atomic uint32_t finals_within;
};

static void end_outer(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct ending *e = p->aux;
  atomic_store(&e->waited, torque_source_remove_wait(e->outer->source));
  atomic_store(&e->removed, torque_source_remove(e->outer->source));
}

static void run_inner(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  struct ending *e = p->aux;
  (void)torque_trigger(e->inner->source, 0);
  for (int i = 0; i < 3; i++) (void)torque_run_ready(e->f->ctx, NULL);
  atomic_store(&e->finals_within, atomic_load(&e->outer->finals));
}

static void the_outer_source_is_removed_inside(void **state) {
  struct fixture *f = *state;
  struct ending *e = fixture_take(f, sizeof *e);
  e->f = f;
  e->outer = probe_new(f);
  e->inner = probe_new(f);
  e->outer->then = run_inner;
  e->inner->then = end_outer;
  e->outer->aux = e->inner->aux = e;
  probe_start_event(f, e->outer, 0);
  probe_start_event(f, e->inner, 0);
  assert_int_equal(torque_trigger(e->outer->source, 0), 0);
  AWAIT(f, e->outer->finals);
  assert_int_equal(e->waited, TORQUE_ERR_DEADLOCK);
  assert_int_equal(e->removed, 0);
  assert_int_equal(e->finals_within, 0); /* its callback was still under way */
  assert_ended(e->outer, TORQUE_END_REMOVED);
}

/* Posted functions may run it, too; order stays. */
struct posts {
  struct fixture *f;
  _Atomic uint32_t next;
  _Atomic uint32_t disorder;
};

struct posted {
  struct posts *posts;
  uint32_t serial;
};

static void on_post(void *arg) {
  struct posted *p = arg;
  if (atomic_fetch_add(&p->posts->next, 1) != p->serial) atomic_fetch_add(&p->posts->disorder, 1);
  if (p->serial % 3 == 0) (void)torque_run_ready(p->posts->f->ctx, NULL);
}

static void posted_functions_that_run_it(void **state) {
  struct fixture *f = *state;
  struct posts *posts = fixture_take(f, sizeof *posts);
  struct posted *p = fixture_take(f, 100 * sizeof *p);
  posts->f = f;
  for (uint32_t i = 0; i < 100; i++) {
    p[i] = (struct posted){posts, i};
    assert_int_equal(torque_post(f->ctx, on_post, &p[i]), 0);
  }
  AWAIT(f, posts->next == 100);
  assert_int_equal(posts->disorder, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, edge),
      ON(wide, edge),
      ON(driven, recheck),
      ON(driven, level),
      ON(wide, level),
      ON(driven, a_wait_inside_a_level_triggered_callback),
      ON(driven, concurrent_ones_are_called_again),
      ON(driven, twenty_deep),
      ON(driven, the_outer_source_is_removed_inside),
      ON(driven, posted_functions_that_run_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
