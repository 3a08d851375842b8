/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions in a source's turn: each runs once, in order, never beside a callback, and hears of an end that came first. */
#include "support/probe.h"

#include <signal.h>
#include <stdlib.h>

#include "support/cmocka.h"

struct calls {
  struct fixture *f;
  struct probe *p;
  torque_source source;
  _Atomic uint32_t ran, stale, stopped, inside, strange;
  _Atomic uint32_t asked, refused;
  _Atomic int over; /* the finalizer was there */
  uint32_t last[8];
  _Atomic uint32_t events;
  _Atomic int then;
};

static struct calls *calls_new(struct fixture *f) {
  struct calls *c = fixture_take(f, sizeof *c);
  c->f = f;
  return c;
}

static void enter(struct calls *c) {
  if (c->inside++) c->strange++;
}

static void count(torque_source source, torque_err err, void *arg) {
  struct calls *c = arg;
  if (source != c->source || c->over) c->strange++;
  if (!err) {
    enter(c);
    c->inside--;
    c->ran++;
  } else if (err == TORQUE_ERR_STALE || err == TORQUE_ERR_STOPPED) {
    if (torque_source_alive(source)) c->strange++;
    (void)(err == TORQUE_ERR_STALE ? c->stale++ : c->stopped++);
  } else {
    c->strange++;
  }
}

static int32_t on_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct calls *c = arg;
  (void)source, (void)fd, (void)events;
  enter(c);
  c->events++;
  c->inside--;
  return TORQUE_DONE;
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)expirations;
  on_event(source, -1, 0, arg);
}

static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)info;
  on_event(source, -1, 0, arg);
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  struct calls *c = arg;
  (void)source, (void)reason;
  if (c->over++) c->strange++;
}

static void event_new(struct calls *c, uint32_t flags) {
  assert_int_equal(torque_event_new(c->f->ctx, flags, on_event, c, &c->source), 0);
  assert_int_equal(torque_source_set_finalizer(c->source, on_final), 0);
}

static void event_add(struct calls *c) {
  event_new(c, 0);
  assert_int_equal(torque_source_start(c->source), 0);
}

/* No event is told for it. */
static void assert_runs(struct calls *c) {
  c->ran = 0;
  for (int i = 0; i < 5; i++) assert_int_equal(torque_source_run(c->source, count, c), 0);
  AWAIT(c->f, c->ran == 5);
  fixture_settle(c->f);
  assert_int_equal(c->ran, 5);
  assert_int_equal(c->events, 0);
  assert_int_equal(c->strange, 0);
}

static void of_every_kind(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  int fd[2];
  event_add(c);
  assert_runs(c);
  assert_int_equal(torque_trigger(c->source, 0), 0);
  AWAIT(f, c->events == 1);
  assert_int_equal(torque_source_remove_wait(c->source), 0);

  fixture_pair(f, fd);
  for (uint32_t i = 0; i < 2; i++) {
    c->over = 0;
    c->events = 0;
    assert_int_equal(torque_fd_add(f->ctx, fd[0], TORQUE_READ, i ? TORQUE_RECHECK : 0u, on_event, c, &c->source), 0);
    assert_runs(c);
    say(fd[1], 1);
    AWAIT(f, c->events >= 1);
    assert_int_equal(torque_source_remove_wait(c->source), 0);
    drain(fd[0], NULL);
  }

  c->events = 0;
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, c, &c->source), 0);
  assert_int_equal(torque_timer_set(c->source, 3600000000000, 0, 0), 0);
  assert_runs(c);
  assert_int_equal(torque_timer_set(c->source, 0, 0, 0), 0);
  AWAIT(f, c->events == 1);
  assert_int_equal(torque_source_remove_wait(c->source), 0);

  c->events = 0;
  const int32_t signo = SIGUSR2;
  assert_int_equal(torque_signal_add(f->ctx, &signo, 1, on_signal, c, &c->source), 0);
  assert_runs(c);
  assert_int_equal(torque_source_remove_wait(c->source), 0);
}

static int32_t on_shared(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  return TORQUE_DONE;
}

static void on_accept(torque_source source, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)source, (void)fd, (void)addr, (void)addrlen, (void)arg;
}

static void what_has_no_turn(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  torque_source source;
  assert_int_equal(torque_source_run(0, count, c), TORQUE_ERR_STALE);
  assert_int_equal(torque_event_add(f->ctx, TORQUE_CONCURRENT, on_shared, NULL, &source), 0);
  assert_int_equal(torque_source_run(source, count, c), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_remove_wait(source), 0);
  assert_int_equal(torque_source_run(source, count, c), TORQUE_ERR_STALE);
  const uint32_t loopback[4] = {2}; /* AF_INET */
  assert_int_equal(torque_listen_add(f->ctx, loopback, sizeof loopback, 0, 0, on_accept, NULL, &source), 0);
  assert_int_equal(torque_source_run(source, count, c), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_remove_wait(source), 0);
  event_new(c, 0);
  assert_int_equal(torque_source_run(c->source, NULL, c), TORQUE_ERR_INVAL);
  assert_int_equal(torque_source_run(c->source, count, c), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_remove_wait(c->source), 0);
  fixture_settle(f);
  assert_int_equal(c->ran + c->stale + c->stopped, 0);
}

struct numbered {
  struct calls *c;
  uint32_t thread, number;
};

static void in_order(torque_source source, torque_err err, void *arg) {
  struct numbered *n = arg;
  struct calls *c = n->c;
  if (n->number != c->last[n->thread] + 1) c->strange++;
  c->last[n->thread] = n->number;
  free(n);
  count(source, err, c);
}

static void *asker(void *arg) {
  struct calls *c = arg;
  static _Atomic uint32_t threads;
  const uint32_t me = threads++ % 8;
  for (uint32_t i = 1; i <= FEWER(20000); i++) {
    struct numbered *n = malloc(sizeof *n);
    *n = (struct numbered){c, me, i};
    if (torque_source_run(c->source, in_order, n)) {
      c->refused++;
      free(n);
    } else {
      c->asked++;
    }
    if (i % 16 == 0) (void)torque_trigger(c->source, 0);
  }
  c->then++;
  return NULL;
}

/* Beside events, from four threads. */
static void in_order_and_alone(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  event_add(c);
  for (int i = 0; i < 4; i++) fixture_thread(f, asker, c);
  AWAIT(f, c->ran == 4 * FEWER(20000));
  fixture_join(f);
  assert_int_equal(c->strange, 0);
  assert_int_equal(c->refused, 0);
  assert_true(c->events > 0);
}

/* Each that was accepted is told once: in its turn, or that there is none any more. */
static void removed_meanwhile(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  event_add(c);
  for (int i = 0; i < 4; i++) fixture_thread(f, asker, c);
  AWAIT(f, c->ran > FEWER(1000));
  assert_int_equal(torque_source_remove_wait(c->source), 0);
  assert_int_equal(c->over, 1);
  fixture_join(f);
  assert_int_equal(c->ran + c->stale, c->asked);
  assert_int_equal(c->asked + c->refused, 4 * FEWER(20000));
  assert_int_equal(c->strange, 0);
}

static void stopped_meanwhile(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  struct probe *p = probe_new(f);
  p->blocked = 1;
  event_add(c);
  /* Nobody serves it before the context stops. */
  if (f->shape->driven) {
    for (int i = 0; i < 100; i++) assert_int_equal(torque_source_run(c->source, count, c), 0);
    fixture_stop(f);
    assert_int_equal(c->stopped, 100);
  } else {
    for (int i = 0; i < 100; i++) assert_int_equal(torque_source_run(c->source, count, c), 0);
    fixture_stop(f);
    assert_int_equal(c->stopped + c->ran, 100);
  }
  assert_int_equal(c->over, 1);
  assert_int_equal(c->strange, 0);
}

static void from_itself(torque_source source, torque_err err, void *arg) {
  struct calls *c = arg;
  if (err) c->strange++;
  enter(c);
  if (++c->asked < 1000 && torque_source_run(source, from_itself, c)) c->strange++;
  c->inside--;
}

static int32_t on_event_that_asks(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct calls *c = arg;
  (void)fd, (void)events;
  enter(c);
  c->events++;
  if (torque_source_run(source, count, c)) c->strange++;
  if (c->ran) c->strange++; /* not before this returns */
  c->inside--;
  return TORQUE_DONE;
}

static void nested(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  assert_int_equal(torque_event_add(f->ctx, 0, on_event_that_asks, c, &c->source), 0);
  assert_int_equal(torque_trigger(c->source, 0), 0);
  AWAIT(f, c->ran == 1);
  assert_int_equal(torque_source_run(c->source, from_itself, c), 0);
  AWAIT(f, c->asked == 1000);
  fixture_settle(f);
  assert_int_equal(c->asked, 1000);
  assert_int_equal(c->events, 1);
  assert_int_equal(c->strange, 0);
}

/* One that asks for ever keeps nothing else from running. */
static void for_ever(torque_source source, torque_err err, void *arg) {
  struct calls *c = arg;
  c->asked++;
  if (err) return;
  err = torque_source_run(source, for_ever, c);
  if (err && err != TORQUE_ERR_STALE) c->strange++;
}

static void others_have_their_turn(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f), *other = calls_new(f);
  event_add(c);
  event_add(other);
  assert_int_equal(torque_source_run(c->source, for_ever, c), 0);
  for (uint32_t i = 1; i <= 100; i++) {
    assert_int_equal(torque_source_run(other->source, count, other), 0);
    AWAIT(f, other->ran == i);
    assert_int_equal(torque_trigger(c->source, 0), 0);
    AWAIT(f, c->events >= i);
  }
  assert_int_equal(torque_source_remove_wait(c->source), 0);
  assert_int_equal(c->strange, 0);
}

static void removes(torque_source source, torque_err err, void *arg) {
  struct calls *c = arg;
  if (err || torque_source_remove_wait(source) != TORQUE_ERR_DEADLOCK || torque_source_remove(source)) c->strange++;
  c->ran++;
}

static void asks_in_vain(torque_source source, torque_err err, void *arg) {
  struct calls *c = arg;
  if (err == 0 || torque_source_run(source, count, c) != TORQUE_ERR_STALE) c->strange++;
  if (torque_source_remove_wait(source) != TORQUE_ERR_DEADLOCK) c->strange++;
  c->stale++;
}

static void hold_still(torque_source source, torque_err err, void *arg) {
  struct calls *c = arg;
  (void)source, (void)err;
  STAY_UNTIL(c->then);
}

static void ended_in_one(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  event_add(c);
  if (!f->shape->driven) assert_int_equal(torque_source_run(c->source, hold_still, c), 0);
  assert_int_equal(torque_source_run(c->source, removes, c), 0);
  for (int i = 0; i < 100; i++) assert_int_equal(torque_source_run(c->source, asks_in_vain, c), 0);
  c->then = 1;
  AWAIT(f, c->over);
  assert_int_equal(c->ran, 1);
  assert_int_equal(c->stale, 100);
  assert_int_equal(c->strange, 0);
}

static void postpones(torque_source source, torque_err err, void *arg) {
  struct calls *c = arg;
  if (err || torque_postpone(source)) c->strange++;
  c->ran++;
}

static void postponing_tells(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  event_add(c);
  assert_int_equal(torque_source_run(c->source, postpones, c), 0);
  AWAIT(f, c->events == 1);
  fixture_settle(f);
  assert_int_equal(c->events, 1);
  assert_int_equal(c->ran, 1);
  assert_int_equal(c->strange, 0);
}

/* Two sources of one strand share what they write down. */
static void within_the_strand(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  struct torque_strand *strand;
  torque_source source[2];
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(torque_event_new(f->ctx, 0, on_event, c, &source[i]), 0);
    assert_int_equal(torque_source_set_strand(source[i], strand), 0);
    assert_int_equal(torque_source_start(source[i]), 0);
  }
  torque_strand_free(strand);
  c->source = source[0];
  for (int i = 0; i < 4; i++) fixture_thread(f, asker, c);
  uint32_t n = 0;
  AWAIT(f, (torque_trigger(source[1], 0), n++, c->ran == 4 * FEWER(20000)));
  fixture_join(f);
  assert_int_equal(c->strange, 0);
  for (int i = 0; i < 2; i++) assert_int_equal(torque_source_remove_wait(source[i]), 0);
}

static void breaks(torque_source source, torque_err err, void *arg) {
  struct calls *c = arg;
  (void)source, (void)err;
  c->ran++;
  torque_break(c->f->ctx);
}

/* A broken run starts no other; they wait for the next. */
static void broken_run(void **state) {
  struct fixture *f = *state;
  struct calls *c = calls_new(f);
  event_add(c);
  for (int i = 0; i < 10; i++) assert_int_equal(torque_source_run(c->source, breaks, c), 0);
  for (uint32_t i = 1; i <= 10; i++) {
    uint32_t before = c->ran;
    (void)torque_run(f->ctx);
    assert_int_equal(c->ran, before + 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(of_every_kind),     ON_EVERY(what_has_no_turn), ON_EVERY(in_order_and_alone),
      ON_THREADED(removed_meanwhile), ON_EVERY(stopped_meanwhile), ON_EVERY(nested),
      ON_EVERY(others_have_their_turn), ON_EVERY(ended_in_one), ON_EVERY(postponing_tells),
      ON_EVERY(within_the_strand), ON(driven, broken_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
