/* SPDX-License-Identifier: BSD-3-Clause */
/* No more posted functions wait than the configuration allows; what was taken is run. */
#include "support/context.h"

#include "support/cmocka.h"

enum { LIMIT = 10 };

struct gate {
  _Atomic int inside, open;
  _Atomic uint32_t ran;
};

static void stay(void *arg) {
  struct gate *g = arg;
  g->inside = 1;
  STAY_UNTIL(g->open);
}
static void count(void *arg) { ((struct gate *)arg)->ran++; }

static struct gate *limited(struct fixture *f, uint64_t limit) {
  assert_int_equal(torque_stop(f->ctx), 0);
  struct torque_config *config = shape_config(f->shape);
  assert_int_equal(torque_config_set_post_limit(config, limit), 0);
  assert_int_equal(torque_ctx_new(config, &f->ctx), 0);
  torque_config_free(config);
  return fixture_take(f, sizeof(struct gate));
}

static torque_err post(struct fixture *f, struct torque_strand *strand, torque_post_fn *fn, void *arg) {
  return strand ? torque_strand_post(strand, fn, arg) : torque_post_domain(f->ctx, 0, fn, arg);
}

static void fill(struct fixture *f, struct gate *g, struct torque_strand *strand) {
  if (!f->shape->driven) { /* who would run them is busy */
    assert_int_equal(post(f, strand, stay, g), 0);
    AWAIT(f, g->inside);
  }
  for (int i = 0; i < LIMIT; i++) assert_int_equal(post(f, strand, count, g), 0);
  for (int i = 0; i < 3; i++) assert_int_equal(post(f, strand, count, g), TORQUE_ERR_FULL);
  g->open = 1;
  AWAIT(f, g->ran == LIMIT);
  assert_int_equal(post(f, strand, count, g), 0); /* there is room again */
  AWAIT(f, g->ran == LIMIT + 1);
}

static void of_a_domain(void **state) {
  struct fixture *f = *state;
  fill(f, limited(f, LIMIT), NULL);
}

static void of_a_strand(void **state) {
  struct fixture *f = *state;
  struct gate *g = limited(f, LIMIT);
  struct torque_strand *strand;
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  fill(f, g, strand);
  torque_strand_free(strand);
}

static void what_waits_is_run_before_the_end(void **state) {
  struct fixture *f = *state;
  struct gate *g = limited(f, LIMIT);
  uint32_t taken = 0;
  for (int i = 0; i < 1000; i++) taken += torque_post_domain(f->ctx, 0, count, g) == 0;
  fixture_stop(f);
  assert_in_range(taken, LIMIT, 1000);
  assert_int_equal(g->ran, taken);
}

static void none_by_default(void **state) {
  struct fixture *f = *state;
  struct gate *g = limited(f, 0);
  for (int i = 0; i < 10000; i++) assert_int_equal(torque_post_domain(f->ctx, 0, count, g), 0);
  AWAIT(f, g->ran == 10000);
  assert_int_equal(torque_config_set_post_limit(NULL, 1), TORQUE_ERR_INVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(of_a_domain),
      ON_EVERY(of_a_strand),
      ON_EVERY(what_waits_is_run_before_the_end),
      ON_EVERY(none_by_default),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
