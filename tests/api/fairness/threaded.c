/* SPDX-License-Identifier: BSD-3-Clause */
/* Every kind beside every other that always has more to do, with one worker: while something waits, the busy kind is called
 * no more often than its share of a few rounds. */
#include "crowd.h"

static _Atomic int reached, open_again;

static void stand_still(void *arg) {
  (void)arg;
  atomic_store(&reached, 1);
  STAY_UNTIL(atomic_load(&open_again));
}

static void told_in_time(void **state) {
  const struct pair *p = *state;
  struct field *d = p->field;
  d->quiet->quiet(d);
  d->busy->busy(d);
  AWAIT(d->f, d->calls >= 3 * d->busy->number);
  atomic_store(&reached, 0);
  atomic_store(&open_again, 0);
  assert_int_equal(torque_post(d->f->ctx, stand_still, NULL), 0);
  AWAIT(d->f, reached);
  assert_int_equal(d->told, 0);
  d->quiet->prod(d);
  const uint64_t before = d->calls;
  atomic_store(&open_again, 1);
  AWAIT(d->f, d->told);
  const uint64_t waited = d->noted - before;
  const uint64_t most = same_line(d) ? 3 * d->busy->number + 2 * d->busy->batch : (ROUNDS + 1) * d->busy->batch;
  if (waited > most) print_error("waited for %u calls of %s\n", (unsigned)waited, d->busy->name);
  if (!SANITIZED) assert_true(waited <= most); /* the instrumented one falls behind its own kernel events */
}

int main(void) { return run_pairs("threaded", &shape_single, told_in_time); }
