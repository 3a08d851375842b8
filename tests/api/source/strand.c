/* SPDX-License-Identifier: BSD-3-Clause */
/* What shares a strand never overlaps, whichever workers and domains serve it; and nothing of it is lost. */
#include "support/context.h"

#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { STREAMS = 6, TIMERS = 4, POSTERS = 3, POSTS = FEWER(4000), BYTES = FEWER(60000) };

struct knot {
  struct fixture *f;
  struct torque_strand *strand;
  _Atomic uint32_t inside;
  _Atomic uint32_t overlaps;
  /* Everything in the strand touches these without a lock; a data race is an overlap. */
  uint64_t entries;
  uint64_t posts;
  uint64_t disorder;
  uint64_t next_post[POSTERS];
  uint64_t taken[STREAMS];
  uint64_t ticks[TIMERS];

  _Atomic uint64_t bytes;
  _Atomic uint64_t posts_done;
  _Atomic uint64_t timers_done;
  _Atomic uint64_t finals;
  int peer[STREAMS];
};

struct part {
  struct knot *knot;
  uint32_t number;
};

struct parcel {
  struct knot *knot;
  uint32_t poster;
  uint64_t serial;
};

static void enter(struct knot *k) {
  if (atomic_fetch_add(&k->inside, 1)) atomic_fetch_add(&k->overlaps, 1);
  k->entries++;
}

static void leave(struct knot *k) { atomic_fetch_sub(&k->inside, 1); }

static int32_t on_stream(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)events;
  struct part *p = arg;
  struct knot *k = p->knot;
  enter(k);
  char text[100];
  const ssize_t n = read(fd, text, sizeof text);
  if (n > 0) {
    k->taken[p->number] += (uint64_t)n;
    atomic_fetch_add(&k->bytes, (uint64_t)n);
  }
  leave(k);
  return n == (ssize_t)sizeof text ? TORQUE_AGAIN : TORQUE_DONE;
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  struct part *p = arg;
  enter(p->knot);
  const uint64_t before = p->knot->ticks[p->number];
  p->knot->ticks[p->number] += expirations;
  if (before < 5 && p->knot->ticks[p->number] >= 5) atomic_fetch_add(&p->knot->timers_done, 1);
  leave(p->knot);
}

static void on_post(void *arg) {
  struct parcel *p = arg;
  struct knot *k = p->knot;
  enter(k);
  k->disorder += k->next_post[p->poster]++ != p->serial;
  k->posts++;
  atomic_fetch_add(&k->posts_done, 1);
  leave(k);
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  (void)reason;
  const struct part *p = arg;
  atomic_fetch_add(&p->knot->finals, 1);
}

static struct part *part(struct fixture *f, struct knot *k, uint32_t number) {
  struct part *p = fixture_take(f, sizeof *p);
  *p = (struct part){k, number};
  return p;
}

static void join_strand(struct knot *k, torque_source source, uint32_t number) {
  assert_int_equal(torque_source_set_finalizer(source, on_final), 0);
  assert_int_equal(torque_source_set_strand(source, k->strand), 0);
  assert_int_equal(torque_source_set_placement(source, (int32_t)(number % torque_ctx_domains(k->f->ctx))), 0);
}

static void add_stream(struct knot *k, uint32_t number, torque_source *ret) {
  int fd[2];
  fixture_pair(k->f, fd);
  k->peer[number] = fd[1];
  const uint32_t flags = number % 3 == 1 ? TORQUE_RECHECK : 0;
  assert_int_equal(torque_fd_new(k->f->ctx, fd[0], TORQUE_READ, flags, on_stream, part(k->f, k, number), ret), 0);
  join_strand(k, *ret, number);
  assert_int_equal(torque_source_start(*ret), 0);
}

static void add_timer(struct knot *k, uint32_t number, torque_source *ret) {
  assert_int_equal(torque_timer_new(k->f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, part(k->f, k, number), ret), 0);
  join_strand(k, *ret, number + 1);
  assert_int_equal(torque_timer_set(*ret, 50000, 200000, 0), 0);
}

struct poster {
  struct knot *knot;
  struct parcel parcel[POSTS];
};

static void *poster(void *arg) {
  struct poster *p = arg;
  for (int i = 0; i < POSTS && !atomic_load(&p->knot->f->quit); i++) {
    while (torque_strand_post(p->knot->strand, on_post, &p->parcel[i])) nap();
    if (i % 64 == 63) nap();
  }
  return NULL;
}

static void *writer(void *arg) {
  struct part *p = arg;
  for (int left = BYTES; left > 0 && !atomic_load(&p->knot->f->quit);) {
    static const char text[333];
    const ssize_t n = send(p->knot->peer[p->number], text, left < 333 ? (size_t)left : 333, MSG_NOSIGNAL);
    if (n > 0) left -= (int)n;
    else nap();
  }
  return NULL;
}

static struct knot *tie(struct fixture *f, torque_source *sources) {
  struct knot *k = fixture_take(f, sizeof *k);
  k->f = f;
  assert_int_equal(torque_strand_new(f->ctx, &k->strand), 0);
  for (uint32_t i = 0; i < STREAMS; i++) add_stream(k, i, &sources[i]);
  for (uint32_t i = 0; i < TIMERS; i++) add_timer(k, i, &sources[STREAMS + i]);
  return k;
}

static void nothing_overlaps_and_nothing_is_lost(void **state) {
  struct fixture *f = *state;
  torque_source sources[STREAMS + TIMERS];
  struct knot *k = tie(f, sources);
  for (uint32_t i = 0; i < POSTERS; i++) {
    struct poster *p = fixture_take(f, sizeof *p);
    p->knot = k;
    for (int n = 0; n < POSTS; n++) p->parcel[n] = (struct parcel){k, i, (uint64_t)n};
    fixture_thread(f, poster, p);
  }
  for (uint32_t i = 0; i < STREAMS; i++) fixture_thread(f, writer, part(f, k, i));
  AWAIT(f, k->bytes == (uint64_t)STREAMS * BYTES);
  AWAIT(f, k->posts_done == (uint64_t)POSTERS * POSTS);
  AWAIT(f, k->timers_done == TIMERS);
  fixture_join(f);
  for (int i = 0; i < STREAMS + TIMERS; i++) assert_int_equal(torque_source_remove_wait(sources[i]), 0);
  torque_strand_free(k->strand);
  fixture_settle(f);
  assert_int_equal(k->overlaps, 0);
  assert_int_equal(k->disorder, 0);
  assert_int_equal(k->posts, POSTERS * POSTS);
  assert_int_equal(k->finals, STREAMS + TIMERS);
  for (int i = 0; i < STREAMS; i++) assert_int_equal(k->taken[i], BYTES);
}

/* The caller's reference may go at once: what uses the strand keeps it. */
static void freed_while_in_use(void **state) {
  struct fixture *f = *state;
  torque_source sources[STREAMS + TIMERS];
  struct knot *k = tie(f, sources);
  struct parcel *p = fixture_take(f, sizeof *p);
  *p = (struct parcel){k, 0, 0};
  assert_int_equal(torque_strand_post(k->strand, on_post, p), 0);
  torque_strand_free(k->strand);
  for (uint32_t i = 0; i < STREAMS; i++) say(k->peer[i], 1000);
  AWAIT(f, k->bytes == STREAMS * 1000);
  AWAIT(f, k->posts_done == 1);
  AWAIT(f, k->timers_done == TIMERS);
  for (int i = 0; i < STREAMS + TIMERS; i++) assert_int_equal(torque_source_remove(sources[i]), 0);
  AWAIT(f, k->finals == STREAMS + TIMERS);
  assert_int_equal(k->overlaps, 0);
}

/* Removed while it waits for its turn: no call, one end. */
struct turn {
  _Atomic int reached;
  _Atomic int open;
};

static void hold_strand(void *arg) {
  struct turn *t = arg;
  atomic_store(&t->reached, 1);
  STAY_UNTIL(atomic_load(&t->open));
}

static void removed_while_it_waits_for_the_strand(void **state) {
  struct fixture *f = *state;
  struct knot *k = fixture_take(f, sizeof *k);
  struct turn *t = fixture_take(f, sizeof *t);
  torque_source source[STREAMS];
  k->f = f;
  assert_int_equal(torque_strand_new(f->ctx, &k->strand), 0);
  for (uint32_t i = 0; i < STREAMS; i++) add_stream(k, i, &source[i]);
  assert_int_equal(torque_strand_post(k->strand, hold_strand, t), 0);
  AWAIT(f, t->reached);
  for (uint32_t i = 0; i < STREAMS; i++) say(k->peer[i], 10);
  for (int i = 0; i < 20; i++) nap();
  for (uint32_t i = 1; i < STREAMS; i++) assert_int_equal(torque_source_remove(source[i]), 0);
  torque_strand_free(k->strand);
  atomic_store(&t->open, 1);
  AWAIT(f, k->finals == STREAMS - 1);
  AWAIT(f, k->bytes == 10);
  fixture_settle(f);
  assert_int_equal(k->bytes, 10);
  assert_int_equal(k->finals, STREAMS - 1);
  assert_int_equal(torque_source_remove_wait(source[0]), 0);
}

/* A worker of another domain, which has the strand, runs a source that asks for one more call: that one is its own
 * domain's, and there everybody sleeps. */
struct far_call {
  struct turn turn;
  _Atomic int calls;
};

static int32_t stay_in_strand(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  hold_strand(&((struct far_call *)arg)->turn);
  return TORQUE_DONE;
}

static int32_t twice(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  return atomic_fetch_add(&((struct far_call *)arg)->calls, 1) == 0 ? TORQUE_AGAIN : TORQUE_DONE;
}

static void once_more_in_a_domain_that_sleeps(void **state) {
  struct fixture *f = *state;
  struct torque_strand *strand;
  const uint32_t last = torque_ctx_domains(f->ctx) - 1;
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  for (int round = 0; round < 50; round++) {
    struct far_call *c = fixture_take(f, sizeof *c);
    torque_source holder, other;
    const uint64_t waits = stat_total(f->ctx, "strand_waits");
    assert_int_equal(torque_event_new(f->ctx, 0, stay_in_strand, c, &holder), 0);
    assert_int_equal(torque_event_new(f->ctx, 0, twice, c, &other), 0);
    assert_int_equal(torque_source_set_strand(holder, strand), 0);
    assert_int_equal(torque_source_set_strand(other, strand), 0);
    assert_int_equal(torque_source_set_placement(holder, 0), 0);
    assert_int_equal(torque_source_set_placement(other, (int32_t)last), 0);
    assert_int_equal(torque_source_start(holder), 0);
    assert_int_equal(torque_source_start(other), 0);
    assert_int_equal(torque_trigger(holder, TORQUE_READ), 0);
    AWAIT(f, c->turn.reached);
    assert_int_equal(torque_trigger(other, TORQUE_READ), 0);
    AWAIT(f, stat_total(f->ctx, "strand_waits") == waits + 1);
    for (int i = 0; i < 5; i++) nap();
    atomic_store(&c->turn.open, 1);
    AWAIT(f, c->calls == 2);
    assert_int_equal(torque_source_remove_wait(holder), 0);
    assert_int_equal(torque_source_remove_wait(other), 0);
  }
  torque_strand_free(strand);
}

static void work_posted_to_a_source_runs_in_its_strand(void **state) {
  struct fixture *f = *state;
  torque_source sources[STREAMS + TIMERS];
  struct knot *k = tie(f, sources);
  struct parcel *p = fixture_take(f, POSTS * sizeof *p);
  for (int i = 0; i < POSTS; i++) {
    p[i] = (struct parcel){k, 0, (uint64_t)i};
    assert_int_equal(torque_post_source(sources[1], on_post, &p[i]), 0);
  }
  AWAIT(f, k->posts_done == POSTS);
  torque_strand_free(k->strand);
  for (int i = 0; i < STREAMS + TIMERS; i++) assert_int_equal(torque_source_remove_wait(sources[i]), 0);
  assert_int_equal(torque_post_source(sources[1], on_post, p), TORQUE_ERR_STALE);
  assert_int_equal(k->overlaps, 0);
  assert_int_equal(k->disorder, 0);
}

static void a_context_stops_with_strands_in_use(void **state) {
  struct fixture *f = *state;
  torque_source sources[STREAMS + TIMERS];
  struct knot *k = tie(f, sources);
  struct parcel *p = fixture_take(f, 100 * sizeof *p);
  for (uint32_t i = 0; i < STREAMS; i++) say(k->peer[i], 1000);
  for (int i = 0; i < 100; i++) {
    p[i] = (struct parcel){k, 0, (uint64_t)i};
    assert_int_equal(torque_strand_post(k->strand, on_post, &p[i]), 0);
  }
  torque_strand_free(k->strand);
  fixture_stop(f);
  assert_int_equal(k->posts, 100); /* what was posted before the stop is run */
  assert_int_equal(k->disorder, 0);
  assert_int_equal(k->finals, STREAMS + TIMERS);
  assert_int_equal(k->overlaps, 0);
}

static void wrong_use(void **state) {
  struct fixture *f = *state;
  struct torque_strand *strand = NULL;
  assert_int_equal(torque_strand_new(NULL, &strand), TORQUE_ERR_INVAL);
  assert_null(strand);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_strand_post(strand, NULL, NULL), TORQUE_ERR_INVAL);
  torque_strand_free(strand);
  torque_strand_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(nothing_overlaps_and_nothing_is_lost),
      ON(shared, nothing_overlaps_and_nothing_is_lost),
      ON_EVERY(freed_while_in_use),
      ON_THREADED(removed_while_it_waits_for_the_strand),
      ON(synthetic, once_more_in_a_domain_that_sleeps),
      ON(oneshot, once_more_in_a_domain_that_sleeps),
      ON_EVERY(work_posted_to_a_source_runs_in_its_strand),
      ON_EVERY(a_context_stops_with_strands_in_use),
      ON_EVERY(wrong_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
