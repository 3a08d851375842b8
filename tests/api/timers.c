/* SPDX-License-Identifier: BSD-3-Clause */
/* What one timer does: when, how often, and what setting, cancelling and removing it mean. */
#include "support/context.h"

#include "support/cmocka.h"

enum { MS = 1000000 };

static struct record {
  struct torque_ctx *ctx;
  _Atomic uint64_t deadline; /* of the call that is expected; absolute */
  _Atomic uint32_t calls;
  _Atomic uint32_t early; /* calls that began before the deadline */
  _Atomic uint64_t expirations;
  _Atomic uint32_t finals;
  _Atomic int32_t reason;
  _Atomic int32_t err;
  _Atomic uint64_t remaining;
} seen;

static void reset(struct fixture *f) { seen = (struct record){.ctx = f->ctx, .reason = -1}; }

static void fired(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  struct record *r = arg;
  if (monotonic_ns() < atomic_load(&r->deadline)) atomic_fetch_add(&r->early, 1);
  atomic_fetch_add(&r->expirations, expirations);
  atomic_fetch_add(&r->calls, 1);
}

static void final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct record *r = arg;
  atomic_store(&r->reason, reason);
  atomic_fetch_add(&r->finals, 1);
}

static torque_source new_timer(struct fixture *f, torque_timer_fn *fn) {
  torque_source t;
  reset(f);
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, fn, &seen, &t), 0);
  return t;
}

static void set_in(torque_source t, uint64_t ns, uint64_t period) {
  atomic_store(&seen.deadline, monotonic_ns() + ns);
  assert_int_equal(torque_timer_set(t, ns, period, 0), 0);
}

static void fires_once_and_not_early(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  set_in(t, 5 * MS, 0);
  AWAIT(f, seen.calls == 1);
  fixture_settle(f);
  assert_int_equal(seen.calls, 1);
  assert_int_equal(seen.expirations, 1);
  assert_int_equal(seen.early, 0);
  assert_int_equal(torque_source_alive(t), 1);
  uint64_t left = 0;
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  assert_true(left == UINT64_MAX);
}

static void fires_again_when_set_again(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  for (uint32_t i = 1; i <= 20; i++) {
    set_in(t, i % 3 ? MS : 0, 0);
    AWAIT(f, seen.calls == i);
  }
  assert_int_equal(seen.early, 0);
}

static void a_point_of_the_clock_is_meant_by_absolute(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  const uint64_t at = monotonic_ns() + 5 * MS;
  atomic_store(&seen.deadline, at);
  assert_int_equal(torque_timer_set(t, at, 0, TORQUE_TIMER_ABSOLUTE), 0);
  AWAIT(f, seen.calls == 1);
  assert_int_equal(seen.early, 0);
}

static void a_deadline_in_the_past_is_due_at_once(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  const uint64_t past[] = {monotonic_ns() - 1000 * MS, 1, 0};
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal(torque_timer_set(t, past[i], 0, TORQUE_TIMER_ABSOLUTE), 0);
    AWAIT(f, seen.calls == i + 1);
  }
  fixture_settle(f);
  assert_int_equal(seen.calls, 3);
}

static void a_deadline_beyond_all_time_is_never_due(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  uint64_t left = 0;
  assert_int_equal(torque_timer_set(t, UINT64_MAX - 1, 0, 0), 0);
  fixture_settle(f);
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  assert_true(left > UINT64_MAX / 2);
  assert_int_equal(seen.calls, 0);
  set_in(t, MS, 0);
  AWAIT(f, seen.calls == 1);
}

static void an_earlier_deadline_replaces_a_later_one(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  set_in(t, 3600ull * 1000 * MS, 0);
  fixture_settle(f); /* the workers sleep by now */
  set_in(t, 2 * MS, 0);
  AWAIT(f, seen.calls == 1);
  assert_int_equal(seen.early, 0);
}

static void a_later_deadline_replaces_an_earlier_one(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  set_in(t, 300 * MS, 0);
  set_in(t, 400 * MS, 0);
  AWAIT(f, seen.calls == 1);
  assert_int_equal(seen.early, 0);
  fixture_settle(f);
  assert_int_equal(seen.calls, 1);
}

static void does_not_fire_once_cancelled(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  set_in(t, 500 * MS, MS);
  assert_int_equal(torque_timer_cancel(t), 0);
  assert_int_equal(torque_timer_cancel(t), 0);
  uint64_t left = 0;
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  assert_true(left == UINT64_MAX);
  /* Another timer, due later, proves that the moment has passed. */
  static struct record other;
  other = (struct record){0};
  torque_source later;
  assert_int_equal(torque_timer_add(f->ctx, 510 * MS, 0, 0, fired, &other, &later), 0);
  AWAIT(f, other.calls == 1);
  assert_int_equal(seen.calls, 0);
}

/* Periods. Each call may have been late; none may be early, and none may forget a period that had ended when the
 * call before it began: deadlines are counted from the first one, so that nothing drifts. */
static struct periods {
  uint64_t first, period;
  uint64_t calls_wanted;
  _Atomic uint64_t calls, expirations, before;
  _Atomic uint32_t early, lost;
} beat;

static void on_period(torque_source source, uint64_t expirations, void *arg) {
  struct periods *p = arg;
  const uint64_t now = monotonic_ns();
  const uint64_t all = atomic_load(&p->expirations) + expirations;
  if (expirations == 0 || p->first + (all - 1) * p->period > now) atomic_fetch_add(&p->early, 1);
  if (p->first + all * p->period <= atomic_load(&p->before)) atomic_fetch_add(&p->lost, 1);
  atomic_store(&p->expirations, all);
  atomic_store(&p->before, now);
  if (atomic_fetch_add(&p->calls, 1) + 1 == p->calls_wanted) (void)torque_timer_cancel(source);
  if (atomic_load(&p->calls) % 8 == 0) STAY_UNTIL(monotonic_ns() > now + 3 * p->period); /* some come late */
}

static void periods_add_up_without_drift(void **state) {
  struct fixture *f = *state;
  beat = (struct periods){.first = monotonic_ns() + 2 * MS, .period = 700001, .calls_wanted = 64};
  torque_source t;
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_period, &beat, &t), 0);
  assert_int_equal(torque_timer_set(t, beat.first, beat.period, TORQUE_TIMER_ABSOLUTE), 0);
  AWAIT(f, beat.calls == beat.calls_wanted);
  fixture_settle(f);
  assert_int_equal(beat.early, 0);
  assert_int_equal(beat.lost, 0);
  assert_int_equal(beat.calls, beat.calls_wanted); /* cancelled from its own callback */
  assert_true(beat.expirations > beat.calls);      /* the late ones were told together */
  assert_int_equal(torque_source_alive(t), 1);
}

static void stop_the_beat(torque_source source, uint64_t expirations, void *arg) {
  atomic_store(&seen.err, torque_timer_cancel(source));
  fired(source, expirations, arg);
}

static void many_periods_that_ended_are_told_in_one_call(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  const uint64_t start = monotonic_ns();
  assert_int_equal(torque_timer_set(t, start - 1000 * MS, 100 * MS, TORQUE_TIMER_ABSOLUTE), 0);
  AWAIT(f, seen.calls >= 1);
  assert_true(seen.expirations >= 11);
  assert_int_equal(torque_timer_cancel(t), 0);
}

/* As many nanoseconds as the system has been up. */
static void periods_without_number_are_all_told(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, stop_the_beat);
  const uint64_t before = monotonic_ns();
  assert_int_equal(torque_timer_set(t, 1, 1, TORQUE_TIMER_ABSOLUTE), 0);
  AWAIT(f, seen.calls == 1);
  fixture_settle(f);
  assert_int_equal(seen.calls, 1);
  assert_true(seen.expirations >= before);
  assert_true(seen.expirations <= monotonic_ns());
}

static void slack_makes_it_late_by_no_more_than_that(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  assert_int_equal(torque_timer_set_slack(t, 200 * MS), 0);
  const uint64_t at = monotonic_ns() + 3600ull * 1000 * MS;
  assert_int_equal(torque_timer_set(t, at, 0, TORQUE_TIMER_ABSOLUTE), 0);
  uint64_t left = 0;
  const uint64_t before = monotonic_ns();
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  const uint64_t after = monotonic_ns();
  assert_true(after + left >= at);
  assert_true(before + left <= at + 200 * MS);
  set_in(t, 2 * MS, 0);
  AWAIT(f, seen.calls == 1);
  assert_int_equal(seen.early, 0);
}

static void slack_lets_deadlines_coincide(void **state) {
  struct fixture *f = *state;
  enum { N = 64 };
  torque_source t[N];
  const uint64_t base = monotonic_ns() + 3600ull * 1000 * MS;
  uint64_t due[N], different = 0;
  reset(f);
  for (uint64_t i = 0; i < N; i++) {
    assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, fired, &seen, &t[i]), 0);
    assert_int_equal(torque_timer_set_slack(t[i], 2000ull * MS), 0);
    assert_int_equal(torque_timer_set(t[i], base + i * MS, 0, TORQUE_TIMER_ABSOLUTE), 0);
    uint64_t left = 0;
    assert_int_equal(torque_timer_remaining(t[i], &left), 0);
    due[i] = (monotonic_ns() + left) / (500ull * MS); /* equal deadlines read at different times: round */
    if (i && due[i] > due[i - 1] + 1) different++;
  }
  assert_true(different <= 1); /* a round moment may lie in between: then they are two crowds */
}

static void a_slack_of_hours_counts_as_some_seconds(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  uint64_t left = 0;
  assert_int_equal(torque_timer_set_slack(t, UINT64_MAX), 0);
  assert_int_equal(torque_timer_set(t, 3600ull * 1000 * MS, 0, 0), 0);
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  assert_in_range(left, 3500ull * 1000 * MS, 3605ull * 1000 * MS);
}

static void remaining_counts_down(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  uint64_t left = 0;
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  assert_true(left == UINT64_MAX);
  const uint64_t before = monotonic_ns();
  assert_int_equal(torque_timer_set(t, 10000ull * MS, 0, 0), 0);
  const uint64_t between = monotonic_ns();
  assert_int_equal(torque_timer_remaining(t, &left), 0);
  const uint64_t after = monotonic_ns();
  assert_true(left <= 10000ull * MS);
  assert_true(left + (after - before) >= 10000ull * MS);
  assert_true(between <= after);
}

static void remove_after_the_last_expiration(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, fired);
  assert_int_equal(torque_source_set_finalizer(t, final), 0);
  assert_int_equal(torque_timer_set(t, MS, 0, TORQUE_TIMER_REMOVE), 0);
  AWAIT(f, seen.finals == 1);
  assert_int_equal(seen.calls, 1);
  assert_int_equal(seen.reason, TORQUE_END_REMOVED);
  assert_int_equal(torque_source_alive(t), 0);
  assert_int_equal(torque_timer_set(t, MS, 0, 0), TORQUE_ERR_STALE);
  assert_int_equal(torque_timer_cancel(t), TORQUE_ERR_STALE);
  uint64_t left = 5;
  assert_int_equal(torque_timer_remaining(t, &left), TORQUE_ERR_STALE);
  assert_int_equal(left, 5);
}

static void set_anew(torque_source source, uint64_t expirations, void *arg) {
  fired(source, expirations, arg);
  if (atomic_load(&seen.calls) < 5) (void)torque_timer_set(source, MS, 0, TORQUE_TIMER_REMOVE);
}

static void a_timer_set_anew_by_its_callback_is_not_removed_yet(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, set_anew);
  assert_int_equal(torque_source_set_finalizer(t, final), 0);
  assert_int_equal(torque_timer_set(t, MS, 0, TORQUE_TIMER_REMOVE), 0);
  AWAIT(f, seen.finals == 1);
  assert_int_equal(seen.calls, 5);
}

static void postpone_once(torque_source source, uint64_t expirations, void *arg) {
  fired(source, expirations, arg);
  if (atomic_load(&seen.calls) == 1) atomic_store(&seen.err, torque_postpone(source));
}

static void what_is_postponed_is_told_again(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, postpone_once);
  assert_int_equal(torque_source_set_finalizer(t, final), 0);
  assert_int_equal(torque_timer_set(t, MS, 0, TORQUE_TIMER_REMOVE), 0);
  AWAIT(f, seen.finals == 1);
  assert_int_equal(seen.err, 0);
  assert_int_equal(seen.calls, 2);
  assert_int_equal(seen.expirations, 2);
}

static void postpone_and_cancel(torque_source source, uint64_t expirations, void *arg) {
  fired(source, expirations, arg);
  const int32_t err = torque_timer_cancel(source);
  atomic_store(&seen.err, err ? err : torque_postpone(source));
}

static void what_was_cancelled_is_not_told_again(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, postpone_and_cancel);
  set_in(t, MS, 0);
  AWAIT(f, seen.calls == 1);
  fixture_settle(f);
  assert_int_equal(seen.err, 0);
  assert_int_equal(seen.calls, 1);
  set_in(t, MS, MS);
  AWAIT(f, seen.calls == 2);
  fixture_settle(f);
  assert_int_equal(seen.calls, 2);
}

static void postpone_and_set(torque_source source, uint64_t expirations, void *arg) {
  fired(source, expirations, arg);
  if (atomic_load(&seen.calls) > 1) return;
  atomic_store(&seen.deadline, monotonic_ns() + 20 * MS);
  const int32_t err = torque_timer_set(source, 20 * MS, 0, 0);
  atomic_store(&seen.err, err ? err : torque_postpone(source));
}

static void what_was_set_anew_is_told_when_it_is_due(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, postpone_and_set);
  set_in(t, MS, 0);
  AWAIT(f, seen.calls == 2);
  fixture_settle(f);
  assert_int_equal(seen.err, 0);
  assert_int_equal(seen.calls, 2);
  assert_int_equal(seen.expirations, 2);
  assert_int_equal(seen.early, 0);
}

static void add_is_new_and_set(void **state) {
  struct fixture *f = *state;
  reset(f);
  atomic_store(&seen.deadline, monotonic_ns() + 2 * MS);
  torque_source t;
  assert_int_equal(torque_timer_add(f->ctx, 2 * MS, 0, TORQUE_TIMER_REMOVE, fired, &seen, &t), 0);
  AWAIT(f, seen.calls == 1);
  AWAIT(f, !torque_source_alive(t));
  assert_int_equal(seen.early, 0);
}

static void remove_itself(torque_source source, uint64_t expirations, void *arg) {
  atomic_store(&seen.err, torque_source_remove(source));
  fired(source, expirations, arg);
}

static void may_remove_itself(void **state) {
  struct fixture *f = *state;
  torque_source t = new_timer(f, remove_itself);
  assert_int_equal(torque_source_set_finalizer(t, final), 0);
  set_in(t, MS, MS);
  AWAIT(f, seen.finals == 1);
  fixture_settle(f);
  assert_int_equal(seen.err, 0);
  assert_int_equal(seen.calls, 1);
}

static void a_timer_set_in_a_callback_fires(torque_source source, uint64_t expirations, void *arg) {
  fired(source, expirations, arg);
  torque_source child;
  if (atomic_load(&seen.calls) < 100) {
    int err = torque_timer_add(seen.ctx, 0, 0, TORQUE_TIMER_REMOVE, a_timer_set_in_a_callback_fires, arg, &child);
    if (err) atomic_store(&seen.err, err);
  }
}

static void timers_beget_timers(void **state) {
  struct fixture *f = *state;
  reset(f);
  torque_source t;
  assert_int_equal(
      torque_timer_add(f->ctx, 0, 0, TORQUE_TIMER_REMOVE, a_timer_set_in_a_callback_fires, &seen, &t), 0);
  AWAIT(f, seen.calls == 100);
  assert_int_equal(seen.err, 0);
}

static int32_t on_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  return TORQUE_DONE;
}

static void calls_that_make_no_sense_are_refused(void **state) {
  struct fixture *f = *state;
  reset(f);
  torque_source t = 5, event;
  assert_int_equal(torque_timer_new(f->ctx, 7, fired, &seen, &t), TORQUE_ERR_INVAL);
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, NULL, &seen, &t), TORQUE_ERR_INVAL);
  assert_int_equal(torque_timer_add(f->ctx, 0, 0, 0x80, fired, &seen, &t), TORQUE_ERR_INVAL);
  assert_int_equal(t, 5);
  assert_int_equal(torque_timer_set(0, 0, 0, 0), TORQUE_ERR_STALE);
  assert_int_equal(torque_event_add(f->ctx, 0, on_event, NULL, &event), 0);
  assert_int_equal(torque_timer_set(event, 0, 0, 0), TORQUE_ERR_KIND);
  assert_int_equal(torque_timer_cancel(event), TORQUE_ERR_KIND);
  assert_int_equal(torque_timer_set_slack(event, 0), TORQUE_ERR_KIND);
  uint64_t left;
  assert_int_equal(torque_timer_remaining(event, &left), TORQUE_ERR_KIND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(fires_once_and_not_early),
      ON_EVERY(fires_again_when_set_again),
      ON_EVERY(a_point_of_the_clock_is_meant_by_absolute),
      ON_EVERY(a_deadline_in_the_past_is_due_at_once),
      ON_EVERY(a_deadline_beyond_all_time_is_never_due),
      ON_EVERY(an_earlier_deadline_replaces_a_later_one),
      ON_EVERY(a_later_deadline_replaces_an_earlier_one),
      ON_EVERY(does_not_fire_once_cancelled),
      ON_EVERY(periods_add_up_without_drift),
      ON_EVERY(many_periods_that_ended_are_told_in_one_call),
      ON_EVERY(periods_without_number_are_all_told),
      ON_EVERY(slack_makes_it_late_by_no_more_than_that),
      ON_EVERY(slack_lets_deadlines_coincide),
      ON_EVERY(a_slack_of_hours_counts_as_some_seconds),
      ON_EVERY(remaining_counts_down),
      ON_EVERY(remove_after_the_last_expiration),
      ON_EVERY(a_timer_set_anew_by_its_callback_is_not_removed_yet),
      ON_EVERY(what_is_postponed_is_told_again),
      ON_EVERY(what_was_cancelled_is_not_told_again),
      ON_EVERY(what_was_set_anew_is_told_when_it_is_due),
      ON_EVERY(add_is_new_and_set),
      ON_EVERY(may_remove_itself),
      ON_EVERY(timers_beget_timers),
      ON_EVERY(calls_that_make_no_sense_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
