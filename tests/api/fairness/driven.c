/* SPDX-License-Identifier: BSD-3-Clause */
/* Every kind beside every other that always has more to do, in a driven context: what waits is told within a few rounds,
 * and none of them runs more of the busy kind than its share. */
#include "crowd.h"

static int waits;

/* Timers that are due fire all in one round while nothing else waits. */
static void one_round(struct field *d) {
  const uint64_t before = d->calls;
  assert_int_equal(torque_run_once(d->f->ctx, 0, NULL), 0);
  const uint64_t ran = d->calls - before;
  const int alone = !waits || d->told || same_line(d);
  const uint64_t most = alone && d->busy->busy == timers_busy ? TIMERS + d->busy->batch : d->busy->batch;
  if (ran > most) print_error("%s: %u in one round\n", d->busy->name, (unsigned)ran);
  assert_true(ran <= most);
}

static void told_in_time(void **state) {
  const struct pair *p = *state;
  struct field *d = p->field;
  waits = 0;
  d->quiet->quiet(d);
  d->busy->busy(d);
  struct patience patience = patience_start();
  for (int i = 0; i < ROUNDS || d->calls < 3 * d->busy->number; i++) {
    assert_true(patience_left(&patience));
    one_round(d);
  }
  assert_int_equal(d->told, 0);
  waits = 1;
  d->quiet->prod(d);
  const uint64_t before = d->calls;
  for (int rounds = 0; !d->told; rounds++) {
    assert_true(same_line(d) || rounds < ROUNDS);
    assert_true(patience_left(&patience));
    one_round(d);
  }
  assert_true(d->noted - before <= (same_line(d) ? 3 * d->busy->number + d->busy->batch : ROUNDS * d->busy->batch));
}

int main(void) { return run_pairs("driven", &shape_driven, told_in_time); }
