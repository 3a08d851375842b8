/* SPDX-License-Identifier: BSD-3-Clause */
/* How questions end before their answers: cancelled, with their resolver, with the context, in a forked child. Each
 * callback comes once, and nothing is left. */
#include "asked.h"
#include "support/child.h"
#include "support/nameserver.h"

#include <errno.h>

#include "support/cmocka.h"

enum { CANCELLED = TORQUE_ERR_SYSCALL + ECANCELED };

static size_t silence(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  (void)query, (void)size, (void)out, (void)most, (void)tcp, (void)arg;
  return 0;
}

static size_t good(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  static const uint8_t address[4] = {192, 0, 2, 7};
  (void)most, (void)tcp, (void)arg;
  return reply_add(out, reply_begin(query, size, out, 0, 1), TORQUE_DNS_A, 5, address, 4);
}

static void cancelled(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, silence, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  assert_int_equal(torque_resolver_set_max_in_flight(r, 2), 0); /* some are asked, some wait */
  struct asked *a[6];
  for (int i = 0; i < 6; i++) a[i] = ask(f, r, "x.test", TORQUE_DNS_A);
  AWAIT(f, s->asked_udp >= 2);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(torque_resolver_cancel(r, a[i]->query), 0);
    assert_int_equal(torque_resolver_cancel(r, a[i]->query), TORQUE_ERR_STALE);
  }
  for (int i = 0; i < 6; i++) await_answer(f, a[i], CANCELLED, "");
  for (int i = 0; i < 6; i++) assert_int_equal(torque_resolver_cancel(r, a[i]->query), TORQUE_ERR_STALE);
  assert_int_equal(torque_resolver_outstanding(r), 0);
  fixture_settle(f);
  for (int i = 0; i < 6; i++) assert_int_equal(a[i]->calls, 1);
  torque_resolver_free(r);
}

static void cancel_yourself(struct asked *a) {
  if (torque_resolver_cancel(a->arg, a->told) != TORQUE_ERR_STALE) abort();
}

static void not_from_its_own_callback(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, good, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  struct asked *a = asked_new(f);
  a->then = cancel_yourself;
  a->arg = r;
  assert_int_equal(torque_resolver_query(r, "x.test", 1, 0, on_answer, a, &a->query), 0);
  await_answer(f, a, 0, NULL);
  torque_resolver_free(r);
}

/* Answers and cancellations race: whichever wins, there is one callback, and cancel's answer says which it is. */
static void cancelled_as_they_are_answered(void **state) {
  struct fixture *f = *state;
  enum { MANY = 2000 };
  struct fake *s = fake_start(f, good, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  assert_int_equal(torque_resolver_set_timeout(r, 200 * (uint64_t)MS), 0);
  const int many = FEWER(MANY);
  struct asked **a = fixture_take(f, (size_t)many * sizeof *a);
  int *won = fixture_take(f, (size_t)many * sizeof *won);
  for (int i = 0; i < many; i++) {
    a[i] = ask(f, r, "x.test", TORQUE_DNS_A);
    const int back = i - i % 7;
    if (!won[back]) {
      const torque_err err = torque_resolver_cancel(r, a[back]->query);
      assert_true(err == 0 || err == TORQUE_ERR_STALE);
      won[back] = err == 0 ? 1 : 2;
    }
    if (f->shape->driven && i % 5 == 0) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  }
  for (int i = 0; i < many; i++) {
    AWAIT(f, atomic_load(&a[i]->calls) > 0);
    assert_int_equal(a[i]->err == CANCELLED, won[i] == 1);
  }
  fixture_settle(f);
  for (int i = 0; i < many; i++) assert_int_equal(a[i]->calls, 1);
  torque_resolver_free(r);
}

static void freed_with_questions_open(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, silence, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  assert_int_equal(torque_resolver_set_max_in_flight(r, 5), 0);
  struct asked *a[20], *b = asked_new(f), *c = asked_new(f);
  for (int i = 0; i < 20; i++) a[i] = ask(f, r, "x.test", TORQUE_DNS_A);
  assert_int_equal(torque_resolve(r, "y.test", NULL, 0, 0, on_addresses, b, &b->query), 0);
  assert_int_equal(torque_dial(r, "y.test", "80", 0, 0, 0, 0, on_dialled, c, &c->query), 0);
  AWAIT(f, s->asked_udp >= 1);
  torque_resolver_free(r);
  for (int i = 0; i < 20; i++) await_answer(f, a[i], CANCELLED, "");
  await_answer(f, b, CANCELLED, "");
  await_answer(f, c, CANCELLED, "");
  assert_int_equal(c->fd, -1);
}

static void free_it(struct asked *a) { torque_resolver_free(a->arg); }
static void ask_more(struct asked *a) {
  if (torque_resolver_query(a->arg, "z.test", 1, 0, on_answer, a, NULL) != TORQUE_ERR_STOPPED) abort();
}

static void freed_from_its_own_callback(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, good, NULL), *none = fake_start(f, silence, NULL);
  for (int round = 0; round < 10; round++) {
    struct torque_resolver *r = resolver_for(f, round % 2 ? s->address : none->address);
    if (round % 2 == 0) assert_int_equal(torque_resolver_set_timeout(r, 20 * (uint64_t)MS), 0);
    assert_int_equal(torque_resolver_set_tries(r, 1), 0);
    struct asked *first = asked_new(f);
    first->then = free_it;
    first->arg = r;
    assert_int_equal(torque_resolver_query(r, "x.test", 1, 0, on_answer, first, &first->query), 0);
    AWAIT(f, atomic_load(&first->calls) == 1);
    assert_int_equal(first->err, round % 2 ? 0 : TORQUE_ERR_SYSCALL + ETIMEDOUT);
  }
}

/* The end of all of them is told in callbacks that find it closed already. */
static void closed_while_it_ends(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, silence, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  struct asked *a = asked_new(f);
  a->then = ask_more;
  a->arg = r;
  assert_int_equal(torque_resolver_query(r, "x.test", 1, 0, on_answer, a, &a->query), 0);
  AWAIT(f, s->asked_udp >= 1);
  torque_resolver_free(r);
  await_answer(f, a, CANCELLED, "");
}

static void never_used(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, "127.0.0.1"), *kept = resolver_for(f, "127.0.0.1");
  torque_resolver_free(r);
  fixture_stop(f);
  assert_int_equal(torque_resolver_query(kept, "x.test", 1, 0, on_answer, f, NULL), TORQUE_ERR_STOPPED);
  torque_resolver_free(kept);
}

static void the_context_stops(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, silence, NULL);
  struct torque_resolver *r = resolver_for(f, s->address), *freed = resolver_for(f, s->address);
  assert_int_equal(torque_resolver_set_max_in_flight(r, 5), 0);
  struct asked *a[20], *c = asked_new(f), *d = asked_new(f);
  for (int i = 0; i < 20; i++) a[i] = ask(f, i % 2 ? r : freed, "x.test", TORQUE_DNS_A);
  assert_int_equal(torque_dial(r, "y.test", "80", 0, 0, 0, 0, on_dialled, c, &c->query), 0);
  assert_int_equal(torque_resolve(r, "y.test", NULL, 0, 0, on_addresses, d, &d->query), 0);
  AWAIT(f, s->asked_udp >= 3);
  torque_resolver_free(freed);
  fixture_stop(f);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(a[i]->calls, 1);
    assert_int_equal(a[i]->err, CANCELLED);
  }
  assert_int_equal(c->calls, 1);
  assert_int_equal(c->err, CANCELLED);
  assert_int_equal(d->calls, 1);
  assert_int_equal(torque_resolver_query(r, "x.test", 1, 0, on_answer, f, NULL), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_resolver_cancel(r, a[1]->query), TORQUE_ERR_STALE);
  torque_resolver_free(r);
}

/* Asked in the same moment as the context stops: refused, or told, never forgotten. */
struct storm {
  struct fixture *f;
  struct torque_resolver *r;
  _Atomic uint32_t asked, told;
};
static void count(torque_query query, torque_err err, const struct torque_answer *answer, void *arg) {
  struct storm *s = arg;
  (void)query, (void)err, (void)answer;
  atomic_fetch_add(&s->told, 1);
}
static void *storm_body(void *arg) {
  struct storm *s = arg;
  for (int i = 0; i < 20000; i++) {
    torque_query q = 0;
    if (torque_resolver_query(s->r, "x.test", 1, 0, count, s, &q)) break;
    atomic_fetch_add(&s->asked, 1);
    if (i % 3 == 0) (void)torque_resolver_cancel(s->r, q);
  }
  return NULL;
}
static void stopped_while_many_ask(void **state) {
  struct fixture *f = *state;
  struct fake *server = fake_start(f, good, NULL);
  struct storm *s = fixture_take(f, sizeof *s);
  s->f = f;
  s->r = resolver_for(f, server->address);
  fixture_thread(f, storm_body, s);
  fixture_thread(f, storm_body, s);
  AWAIT(f, s->asked >= 200);
  fixture_stop(f); /* a resolver may be asked while its context stops, and after */
  atomic_store(&f->quit, 1);
  fixture_join(f);
  assert_int_equal(s->asked, s->told);
  torque_resolver_free(s->r);
}

/* ---- Fork ---- */

struct forked {
  struct fixture *f;
  struct torque_resolver *r;
  struct asked *a;
};

static int in_the_child(void *arg) {
  struct forked *k = arg;
  torque_query q = 7;
  CHECK(torque_resolver_query(k->r, "x.test", 1, 0, on_answer, k->a, &q) == TORQUE_ERR_FORKED);
  CHECK(torque_resolver_cancel(k->r, k->a->query) == TORQUE_ERR_FORKED);
  CHECK(q == 7);
  torque_resolver_free(k->r);
  if (k->f->shape->driven) {
    /* Brought to life, it calls nobody back for the parent's questions, and takes new ones through a new resolver. */
    CHECK(torque_reinit(k->f->ctx) == 0);
    struct torque_resolver *r = NULL;
    CHECK(torque_resolver_new(k->f->ctx, &r) == 0);
    static struct asked fresh;
    CHECK(torque_resolve(r, "192.0.2.1", "1", 0, 0, on_addresses, &fresh, &fresh.query) == 0);
    for (int i = 0; i < 1000 && !fresh.calls; i++) CHECK(torque_run_once(k->f->ctx, MS, NULL) == 0);
    CHECK(fresh.calls == 1 && fresh.err == 0);
    torque_resolver_free(r);
  }
  CHECK(torque_stop(k->f->ctx) == 0);
  CHECK(k->a->calls == 0);
  return 0;
}

static void the_child_has_none(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, silence, NULL);
  struct forked k = {.f = f, .r = resolver_for(f, s->address)};
  k.a = ask(f, k.r, "x.test", TORQUE_DNS_A);
  AWAIT(f, s->asked_udp >= 1);
  assert_int_equal(child_run(in_the_child, &k), 0);
  s->reply = good;
  struct asked *b = ask(f, k.r, "y.test", TORQUE_DNS_A);
  await_answer(f, b, 0, "y.test 5 1 192.0.2.7\n");
  torque_resolver_free(k.r);
  await_answer(f, k.a, CANCELLED, "");
}

/* Made before, first used after: a daemon. */
static int first_used_here(void *arg) {
  struct forked *k = arg;
  CHECK(torque_resolve(k->r, "192.0.2.1", "1", 0, 0, on_addresses, k->a, &k->a->query) == 0);
  CHECK_SOON(k->a->calls == 1);
  CHECK(k->a->err == 0);
  torque_resolver_free(k->r);
  CHECK(torque_stop(k->f->ctx) == 0);
  return 0;
}

static void a_daemon_uses_it_first(void **state) {
  struct fixture *f = *state;
  struct forked k = {.f = f, .r = resolver_for(f, "127.0.0.1"), .a = asked_new(f)};
  assert_int_equal(child_run(first_used_here, &k), 0);
  assert_int_equal(k.a->calls, 0);
  torque_resolver_free(k.r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(cancelled),
      ON_EVERY(not_from_its_own_callback),
      ON_EVERY(cancelled_as_they_are_answered),
      ON_EVERY(freed_with_questions_open),
      ON_EVERY(freed_from_its_own_callback),
      ON_EVERY(closed_while_it_ends),
      ON_EVERY(never_used),
      ON_EVERY(the_context_stops),
      ON(live, stopped_while_many_ask),
      ON(synthetic, stopped_while_many_ask),
      ON_EVERY(the_child_has_none),
      ON_THREADED(a_daemon_uses_it_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
