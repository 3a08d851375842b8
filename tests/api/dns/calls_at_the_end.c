/* SPDX-License-Identifier: BSD-3-Clause */
/* Every call on a resolver from several threads, while another thread gives the resolver up, or stops the context, and
 * after that: each answers, with STOPPED or STALE when it came too late, and what was accepted is told once. */
#include "asked.h"

#include <errno.h>

#include "support/cmocka.h"

enum { CALLERS = 3, ROUNDS = 40, KEPT = 64 };

struct round {
  struct torque_ctx *ctx;
  struct torque_resolver *r;
  _Atomic int begun, over;
  _Atomic uint32_t accepted, told, wrong;
};

static void note(struct round *k, torque_err err, int accepts) {
  if (err == 0)
    atomic_fetch_add(&k->accepted, (uint32_t)accepts);
  else if (err != TORQUE_ERR_STOPPED && err != TORQUE_ERR_STALE)
    atomic_fetch_add(&k->wrong, 1);
}

static void tell(void *arg) { atomic_fetch_add(&((struct round *)arg)->told, 1); }
static void answer(torque_query query, torque_err err, const struct torque_answer *a, void *arg) {
  (void)query, (void)err, (void)a;
  tell(arg);
}
static void addresses(torque_query query, torque_err err, const struct torque_addresses *a, void *arg) {
  (void)query, (void)err, (void)a;
  tell(arg);
}
static void dialled(torque_query query, torque_err err, int32_t fd, void *arg) {
  (void)query, (void)err;
  if (fd >= 0) close(fd);
  tell(arg);
}

static void settings(struct round *k) {
  note(k, torque_resolver_set_servers(k->r, "127.0.0.1:1"), 0);
  note(k, torque_resolver_set_timeout(k->r, 1000 * (uint64_t)MS), 0);
  note(k, torque_resolver_set_tries(k->r, 1), 0);
  note(k, torque_resolver_set_search(k->r, ""), 0);
  note(k, torque_resolver_set_ndots(k->r, 1), 0);
  note(k, torque_resolver_set_hosts_file(k->r, ""), 0);
  note(k, torque_resolver_set_lookups(k->r, "fb"), 0);
  note(k, torque_resolver_set_max_in_flight(k->r, 8), 0);
  note(k, torque_resolver_set_udp_max_queries(k->r, 100), 0);
  note(k, torque_resolver_set_flags(k->r, 0), 0);
}

static void all_calls(struct round *k) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  torque_query q = 0;
  note(k, torque_resolver_query(k->r, "x.test", TORQUE_DNS_A, 0, answer, k, &q), 1);
  note(k, torque_resolver_cancel(k->r, q), 0);
  note(k, torque_resolver_query_address(k->r, &a, sizeof a, answer, k, NULL), 1);
  note(k, torque_resolve(k->r, "192.0.2.1", NULL, 0, 0, addresses, k, NULL), 1);
  note(k, torque_dial(k->r, "127.0.0.1", "1", 0, 0, 0, 0, dialled, k, &q), 1);
  note(k, torque_resolver_cancel(k->r, q), 0);
  (void)torque_resolver_outstanding(k->r);
  settings(k);
}

static void *caller(void *arg) {
  struct round *k = arg;
  for (int i = 0, more = KEPT; more > 0; i++) {
    all_calls(k);
    if (i == 3) atomic_fetch_add(&k->begun, 1);
    if (i >= 3 && atomic_load(&k->over)) more -= 8;
  }
  return NULL;
}

static void one_round(const struct shape *shape, int way) {
  struct round k = {.ctx = NULL};
  struct torque_config *config = shape_config(shape);
  assert_int_equal(torque_ctx_new(config, &k.ctx), 0);
  torque_config_free(config);
  assert_int_equal(torque_resolver_new(k.ctx, &k.r), 0);
  settings(&k);
  pthread_t callers[CALLERS];
  for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&callers[i], NULL, caller, &k), 0);
  STAY_UNTIL(k.begun == CALLERS);
  if (way != 1) torque_resolver_free(k.r);
  if (way != 0) assert_int_equal(torque_stop(k.ctx), 0);
  atomic_store(&k.over, 1);
  for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
  if (way == 0) assert_int_equal(torque_stop(k.ctx), 0);
  assert_int_equal(torque_resolver_outstanding(k.r), 0);
  torque_resolver_free(k.r); /* the second time, but for one way, is of no effect */
  torque_resolver_free(k.r);
  assert_int_equal(k.wrong, 0);
  assert_int_equal(k.accepted, k.told);
}

static void given_up(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < FEWER(ROUNDS); i++) one_round(f->shape, 0);
}
static void the_context_stops(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < FEWER(ROUNDS); i++) one_round(f->shape, 1);
}
static void both(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < FEWER(ROUNDS); i++) one_round(f->shape, 2);
}

/* A new resolver may be where an old one was: who still has the old one's handle does not reach it. */
static void old_handles(void **state) {
  struct fixture *f = *state;
  enum { OLD = 200 };
  struct torque_resolver *old[OLD], *fresh = NULL;
  struct asked *a = asked_new(f);
  for (int i = 0; i < OLD; i++) {
    assert_int_equal(torque_resolver_new(f->ctx, &old[i]), 0);
    torque_resolver_free(old[i]);
  }
  assert_int_equal(torque_resolver_new(f->ctx, &fresh), 0);
  for (int i = 0; i < OLD; i++) {
    assert_ptr_not_equal(old[i], fresh);
    assert_int_equal(torque_resolver_set_tries(old[i], 1), TORQUE_ERR_STOPPED);
    assert_int_equal(torque_resolve(old[i], "192.0.2.1", NULL, 0, 0, on_addresses, a, NULL), TORQUE_ERR_STOPPED);
    assert_int_equal(torque_resolver_cancel(old[i], 1), TORQUE_ERR_STALE);
    assert_int_equal(torque_resolver_outstanding(old[i]), 0);
    torque_resolver_free(old[i]);
  }
  assert_int_equal(torque_resolve(fresh, "192.0.2.1", NULL, 0, 0, on_addresses, a, &a->query), 0);
  await_answer(f, a, 0, "192.0.2.1 0 16\n");
  torque_resolver_free(fresh);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, given_up),   ON(single, given_up), ON(live, the_context_stops), ON(single, the_context_stops),
      ON(synthetic, both),  ON(driven, both),     ON(driven, given_up),        ON_EVERY(old_handles),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
