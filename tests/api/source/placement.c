/* SPDX-License-Identifier: BSD-3-Clause */
/* Which domain serves a source: the one asked for, the callback's own, or the one with the fewest. */
#include "support/probe.h"

#include "support/cmocka.h"

static const struct shape shape_eight = {
    .name = "eight", .synthetic = "pack:1 l3:8 core:2 pu:1", .counted = 1}; /* 8 domains x 2 workers */

static void note_domain(struct probe *p, torque_source source, int fd) {
  (void)fd;
  uint32_t domain = UINT32_MAX;
  (void)torque_source_domain(source, &domain);
  atomic_store(&p->result, torque_current_worker());
  atomic_store(&p->noted, domain);
}

static struct probe *place(struct fixture *f, int32_t where) {
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  p->then = note_domain;
  assert_int_equal(torque_fd_new(f->ctx, fd[0], TORQUE_READ, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_placement(p->source, where), 0);
  assert_int_equal(torque_source_start(p->source), 0);
  say(fd[1], 1);
  return p;
}

/* Workers of a domain have numbers side by side. */
static uint32_t domain_of_worker(struct fixture *f, int32_t worker) {
  struct torque_config *c = shape_config(f->shape);
  struct torque_topology *t = NULL;
  assert_int_equal(torque_topology_load(c, &t), 0);
  const uint32_t domain = torque_topology_worker_domain(t, (uint32_t)worker);
  torque_topology_free(t);
  torque_config_free(c);
  return domain;
}

static void a_domain_asked_for(void **state) {
  struct fixture *f = *state;
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
    struct probe *p = place(f, (int32_t)d);
    uint32_t domain = UINT32_MAX;
    assert_int_equal(torque_source_domain(p->source, &domain), 0);
    assert_int_equal(domain, d);
    AWAIT(f, p->calls && !p->inside);
    assert_int_equal(p->noted, d);
    assert_in_range(p->result, 0, torque_ctx_workers(f->ctx) - 1);
    assert_int_equal(domain_of_worker(f, p->result), d); /* and one of its workers ran it */
  }
}

static void far_ones_are_spread(void **state) {
  struct fixture *f = *state;
  const uint32_t domains = torque_ctx_domains(f->ctx);
  uint32_t count[64] = {0};
  assert_in_range(domains, 1, 64);
  for (uint32_t i = 0; i < 4 * domains; i++) {
    struct probe *p = place(f, i & 1 ? TORQUE_PLACE_FAR : TORQUE_PLACE_DEFAULT);
    uint32_t domain = UINT32_MAX;
    assert_int_equal(torque_source_domain(p->source, &domain), 0);
    assert_true(domain < domains);
    count[domain]++;
  }
  for (uint32_t d = 0; d < domains; d++) assert_in_range(count[d], 3, 5); /* evenly, one more or less */
}

struct nest {
  struct fixture *f;
  int32_t where;
  int fd[8];
  torque_source child[8];
  uint32_t child_domain[8];
  uint32_t domain;
  _Atomic torque_err error;
  _Atomic int done;
};

static int32_t nothing(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)fd;
  (void)events;
  (void)arg;
  return TORQUE_DONE;
}

static void add_children(struct probe *p, torque_source source, int fd) {
  (void)fd;
  struct nest *n = p->aux;
  torque_err err = torque_source_domain(source, &n->domain);
  for (int i = 0; i < 8 && !err; i++) {
    err = torque_fd_new(n->f->ctx, n->fd[i], TORQUE_READ, 0, nothing, NULL, &n->child[i]);
    if (!err && n->where != TORQUE_PLACE_DEFAULT) err = torque_source_set_placement(n->child[i], n->where);
    if (!err) err = torque_source_start(n->child[i]);
    if (!err) err = torque_source_domain(n->child[i], &n->child_domain[i]);
  }
  atomic_store(&n->error, err);
  atomic_store(&n->done, 1);
}

static struct nest *added_in_a_callback(struct fixture *f, int32_t parent_place, int32_t where) {
  struct nest *n = fixture_take(f, sizeof *n);
  struct probe *p = probe_new(f);
  n->f = f;
  n->where = where;
  for (int i = 0; i < 8; i++) {
    int fd[2];
    fixture_pair(f, fd);
    n->fd[i] = fd[0];
  }
  p->then = add_children;
  p->aux = n;
  assert_int_equal(torque_event_new(f->ctx, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_placement(p->source, parent_place), 0);
  assert_int_equal(torque_source_start(p->source), 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, n->done);
  assert_int_equal(n->error, 0);
  assert_int_equal(n->domain, parent_place);
  return n;
}

static void near_is_the_callbacks_own_domain(void **state) {
  struct fixture *f = *state;
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
    for (int asked = 0; asked < 2; asked++) {
      struct nest *n = added_in_a_callback(f, (int32_t)d, asked ? TORQUE_PLACE_NEAR : TORQUE_PLACE_DEFAULT);
      for (int i = 0; i < 8; i++) assert_int_equal(n->child_domain[i], d);
    }
  }
}

static void far_from_a_callback_is_spread(void **state) {
  struct fixture *f = *state;
  struct nest *n = added_in_a_callback(f, 0, TORQUE_PLACE_FAR);
  uint32_t elsewhere = 0;
  for (int i = 0; i < 8; i++) elsewhere += n->child_domain[i] != 0;
  assert_true(elsewhere >= 3); /* half of them at least, were there but two domains */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(a_domain_asked_for),
      ON(eight, a_domain_asked_for),
      ON_EVERY(far_ones_are_spread),
      ON(eight, far_ones_are_spread),
      ON_EVERY(near_is_the_callbacks_own_domain),
      ON(eight, near_is_the_callbacks_own_domain),
      ON(synthetic, far_from_a_callback_is_spread),
      ON(eight, far_from_a_callback_is_spread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
