/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches beside sources, timers, signals and posted functions in one context: each is served in the pass that brought it,
 * and running, breaking out, nesting and embedding are as ever. */
#include "support/probe.h"
#include "support/watched.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "support/cmocka.h"

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations;
  ++*(uint32_t *)arg;
}
static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)info;
  ++*(uint32_t *)arg;
}
static void on_post(void *arg) { ++*(uint32_t *)arg; }

/* ---- One pass ---- */

struct world {
  struct watched *w;
  int watch[2], source[2];
  struct probe *descriptor, *event;
  torque_source timer, signal;
  uint32_t timers, signals, posts;
};

static struct world *populate(struct fixture *f) {
  struct world *all = fixture_take(f, sizeof *all);
  all->w = watched_new(f);
  fixture_pair(f, all->watch);
  fixture_pair(f, all->source);
  wish(all->w, all->watch[0], TORQUE_READ, 0);
  all->descriptor = probe_fd(f, all->source[0], TORQUE_READ, 0);
  all->event = probe_event(f, 0);
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, &all->timers, &all->timer), 0);
  const int32_t usr1 = SIGUSR1;
  assert_int_equal(torque_signal_add(f->ctx, &usr1, 1, on_signal, &all->signals, &all->signal), 0);
  (void)pass(all->w);
  return all;
}

static void all_kinds_in_one_pass(void **state) {
  struct world *all = populate(*state);
  struct torque_ctx *ctx = all->w->f->ctx;
  for (uint32_t i = 1; i <= 20; i++) {
    say(all->watch[1], 1);
    say(all->source[1], 1);
    assert_int_equal(torque_trigger(all->event->source, 0), 0);
    assert_int_equal(torque_timer_set(all->timer, monotonic_ns() - 1, 0, TORQUE_TIMER_ABSOLUTE), 0);
    assert_int_equal(torque_post(ctx, on_post, &all->posts), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    uint64_t served = 0;
    assert_int_equal(torque_run_once(ctx, UINT64_MAX, &served), 0);
    drain(all->watch[0], NULL);
    assert_int_equal(all->w->calls, i);
    assert_int_equal(all->descriptor->calls, i);
    assert_int_equal(all->event->calls, i);
    assert_int_equal(all->timers, i);
    assert_int_equal(all->posts, i);
    assert_int_equal(all->signals, i);
    assert_true(served >= 6);
  }
}

static int32_t when_idle(torque_source source, void *arg) {
  (void)source;
  ++*(uint32_t *)arg;
  return TORQUE_AGAIN;
}

/* A wake-up is nothing that was to be done; a descriptor that is told is. */
static void idle_sources_run_when_nothing_else_does(void **state) {
  struct world *all = populate(*state);
  struct torque_ctx *ctx = all->w->f->ctx;
  torque_source idle;
  uint32_t idles = 0;
  assert_int_equal(torque_idle_add(ctx, when_idle, &idles, &idle), 0);
  while (pass(all->w) == 0) continue; /* what adding it left to do */
  for (uint32_t i = 1; i <= 20; i++) {
    uint32_t before = idles;
    assert_int_equal(torque_run_once(ctx, 0, NULL), 0);
    assert_int_equal(idles, before + 1);
    assert_int_equal(torque_wake(ctx), 0);
    assert_int_equal(torque_run_once(ctx, 0, NULL), 0);
    assert_int_equal(idles, before + 2);
    say(all->watch[1], 1);
    assert_int_equal(torque_run_once(ctx, 0, NULL), 0);
    drain(all->watch[0], NULL);
    assert_int_equal(all->w->calls, i);
    assert_int_equal(idles, before + 2);
  }
}

static void each_kind_ends_a_wait(void **state) {
  struct world *all = populate(*state);
  struct torque_ctx *ctx = all->w->f->ctx;
  for (uint32_t i = 1; i <= 20; i++) {
    say(all->watch[1], 1);
    assert_true(pass_woken(all->w));
    drain(all->watch[0], NULL);
    assert_int_equal(all->w->calls, i);
    say(all->source[1], 1);
    while (all->descriptor->calls < i) assert_true(pass_woken(all->w));
    assert_int_equal(torque_trigger(all->event->source, 0), 0);
    while (all->event->calls < i) assert_true(pass_woken(all->w));
    assert_int_equal(torque_post(ctx, on_post, &all->posts), 0);
    while (all->posts < i) assert_true(pass_woken(all->w));
    assert_int_equal(raise(SIGUSR1), 0);
    while (all->signals < i) assert_true(pass_woken(all->w));
    const uint64_t due = monotonic_ns() + 1000000;
    assert_int_equal(torque_timer_set(all->timer, due, 0, TORQUE_TIMER_ABSOLUTE), 0);
    while (all->timers < i) assert_true(pass_woken(all->w));
    assert_true(monotonic_ns() >= due);
  }
  assert_int_equal(all->w->calls, 20);
}

static void a_source_that_asks_for_more_keeps_nobody_waiting(void **state) {
  struct fixture *f = *state;
  struct watched *w = watched_new(f);
  struct probe *p = probe_new(f);
  int fd[2];
  fixture_pair(f, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  p->answer = TORQUE_AGAIN;
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  for (uint32_t i = 1; i <= 20; i++) {
    assert_true(pass_woken(w));
    assert_int_equal(p->calls, i);
  }
  say(fd[1], 1);
  for (uint32_t i = 1; i <= 20; i++) {
    assert_true(pass_woken(w));
    assert_int_equal(p->calls, 20 + i);
    assert_int_equal(w->calls, i); /* nor is anybody else kept waiting */
  }
}

/* Wishes made by the callbacks of sources, for the same pass's end and the next's beginning. */
static void wish_in_callback(struct probe *p, torque_source source, int fd) {
  (void)source, (void)fd;
  struct watched *w = p->aux;
  atomic_store(&p->result, torque_watch(w->f->ctx, (int)p->noted, TORQUE_READ, 0));
}

static void callbacks_make_wishes(void **state) {
  struct fixture *f = *state;
  struct watched *w = watched_new(f);
  struct probe *p = probe_new(f);
  int fd[2];
  fixture_pair(f, fd);
  say(fd[1], 1);
  p->then = wish_in_callback;
  p->aux = w;
  p->noted = (uint64_t)fd[0];
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  (void)pass(w);
  assert_int_equal(p->result, 0);
  assert_int_equal(w->calls, 0);
  assert_int_equal(pass(w), 1);
}

/* ---- Running, and breaking out ---- */

static void break_when_told(struct watched *w, int32_t fd) {
  (void)fd;
  if (w->calls == 5 && torque_break(w->f->ctx)) w->strange++;
}

static void a_run_lasts_until_it_is_broken(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  w->then = break_when_told;
  assert_int_equal(torque_run(w->f->ctx), 0);
  assert_int_equal(w->calls, 5);
  assert_int_equal(torque_break(w->f->ctx), 0); /* none runs: the next one returns at once */
  assert_int_equal(torque_run(w->f->ctx), 0);
  assert_true(w->calls <= 6);
}

static void stop_when_told(struct watched *w, int32_t fd) {
  (void)fd;
  if (w->calls == 5 && torque_stop_async(w->f->ctx)) w->strange++;
  if (torque_stop(w->f->ctx) != TORQUE_ERR_BUSY) w->strange++;
}

static void a_run_lasts_until_it_stops(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  w->then = stop_when_told;
  assert_int_equal(torque_run(w->f->ctx), 0);
  assert_int_equal(w->calls, 5);
  assert_int_equal(w->strange, 0);
  assert_int_equal(torque_run_once(w->f->ctx, 0, NULL), TORQUE_ERR_STOPPED);
}

static void *break_from_outside(void *arg) {
  struct fixture *f = arg;
  nap();
  (void)torque_break(f->ctx);
  return NULL;
}

static void another_thread_breaks_a_waiting_run(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  for (int i = 0; i < 20; i++) {
    fixture_thread(*state, break_from_outside, *state);
    assert_int_equal(torque_run(w->f->ctx), 0);
    fixture_join(*state);
  }
  assert_int_equal(w->calls, 0);
}

/* The callback under way is the last one; what it leaves is served later, edges too. */
static void break_in_callback(struct probe *p, torque_source source, int fd) {
  (void)source, (void)fd;
  struct fixture *f = p->aux;
  atomic_store(&p->result, torque_break(f->ctx));
}

static void a_broken_pass_leaves_the_rest_to_the_next(void **state) {
  struct fixture *f = *state;
  struct watched *w = watched_new(f);
  struct probe *p[5];
  uint32_t posts = 0, timers = 0;
  torque_source timer = 0;
  for (int i = 0; i < 5; i++) {
    int fd[2];
    fixture_pair(f, fd);
    p[i] = probe_new(f);
    p[i]->then = break_in_callback;
    p[i]->aux = f;
    probe_start_fd(f, p[i], fd[0], TORQUE_READ, i & 1 ? TORQUE_LEVEL : 0);
    say(fd[1], 1);
  }
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, &timers, &timer), 0);
  assert_int_equal(torque_timer_set(timer, 1, 0, TORQUE_TIMER_ABSOLUTE), 0);
  assert_int_equal(torque_post(f->ctx, on_post, &posts), 0);
  for (uint32_t ran = 1; ran <= 5; ran++) {
    assert_int_equal(torque_run(f->ctx), 0);
    uint32_t calls = 0;
    for (int i = 0; i < 5; i++) calls += p[i]->calls;
    assert_int_equal(calls, ran);
    assert_int_equal(posts + timers, 0);
  }
  (void)pass(w);
  assert_int_equal(posts, 1);
  assert_int_equal(timers, 1);
  for (int i = 0; i < 5; i++) assert_int_equal(p[i]->bytes, 1);
}

/* ---- Nested ---- */

static void run_within(struct probe *p, torque_source source, int fd) {
  (void)source, (void)fd;
  struct watched *w = p->aux;
  if (p->calls > 1) return;
  say((int)p->noted, 1); /* for itself */
  for (int i = 0; i < 5; i++)
    if (torque_run_once(w->f->ctx, 0, NULL)) w->strange++;
}

static void a_nested_run_tells_as_well(void **state) {
  struct fixture *f = *state;
  struct watched *w = watched_new(f);
  struct probe *outer = probe_new(f), *inner = probe_event(f, 0);
  int fd[2], watch[2];
  fixture_pair(f, fd);
  fixture_pair(f, watch);
  wish(w, watch[0], TORQUE_READ, 0);
  outer->then = run_within;
  outer->aux = w;
  outer->noted = (uint64_t)fd[1];
  probe_start_fd(f, outer, fd[0], TORQUE_READ, 0);
  say(watch[1], 1);
  say(fd[1], 1);
  assert_int_equal(torque_trigger(inner->source, 0), 0);
  (void)pass(w);
  assert_int_equal(w->calls, 6); /* once outside, five times within */
  assert_int_equal(inner->calls, 1);
  assert_int_equal(outer->most_inside, 1);
  AWAIT(f, outer->bytes == 2); /* what came for it meanwhile is not lost */
  assert_int_equal(w->strange, 0);
}

/* ---- Within another loop ---- */

static int readable(struct fixture *f) {
  struct pollfd p = {.fd = torque_poll_fd(f->ctx), .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static uint64_t deadline(struct fixture *f) {
  uint64_t ns = 77;
  assert_int_equal(torque_deadline(f->ctx, &ns), 0);
  return ns;
}

static void quiet(struct fixture *f) {
  for (int i = 0; i < 10 && (readable(f) || !deadline(f)); i++) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  assert_false(readable(f));
  assert_true(deadline(f) == UINT64_MAX);
}

static void another_loop_sees_what_is_there(void **state) {
  struct fixture *f = *state;
  struct watched *w = watched_new(f);
  int fd[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  fixture_own(f, file);
  fixture_pair(f, fd);
  quiet(f);
  say(fd[1], 1);
  assert_true(deadline(f) == UINT64_MAX);
  wish(w, fd[0], TORQUE_READ, 0);
  assert_int_equal(deadline(f), 0); /* a wish waits */
  assert_int_equal(pass(w), 1);
  assert_true(deadline(f) == UINT64_MAX);
  assert_true(readable(f));
  drain(fd[0], NULL);
  quiet(f);
  say(fd[1], 1);
  assert_true(readable(f));
  drain(fd[0], NULL);
  quiet(f);
  wish(w, file, TORQUE_READ, 0);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(deadline(f), 0);
    assert_int_equal(pass(w), 1);
  }
  wish(w, file, 0, 0);
  quiet(f);
  uint32_t posts = 0;
  for (uint32_t i = 1; i <= 3; i++) {
    assert_int_equal(torque_post(f->ctx, on_post, &posts), 0);
    assert_true(readable(f) || !deadline(f));
    quiet(f);
    assert_int_equal(posts, i);
    assert_int_equal(torque_wake(f->ctx), 0);
    assert_true(readable(f));
    quiet(f);
  }
}

/* Work of another thread is seen by a loop that only polls. */
struct poster {
  struct fixture *f;
  _Atomic uint32_t ran, errors;
  uint32_t rounds;
};

static void posted(void *arg) { atomic_fetch_add(&((struct poster *)arg)->ran, 1); }

static void *post_one_by_one(void *arg) {
  struct poster *p = arg;
  for (uint32_t i = 1; i <= p->rounds && !atomic_load(&p->f->quit); i++) {
    if (i % 8 == 0) nap();
    if (torque_post(p->f->ctx, posted, p)) atomic_fetch_add(&p->errors, 1);
    STAY_UNTIL(atomic_load(&p->ran) >= i || atomic_load(&p->f->quit));
  }
  return NULL;
}

static void a_poll_loop_misses_nothing(void **state) {
  struct fixture *f = *state;
  struct watched *w = watched_new(f);
  struct poster *p = fixture_take(f, sizeof *p);
  int fd[2];
  fixture_pair(f, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  *p = (struct poster){.f = f, .rounds = FEWER(2000)};
  fixture_thread(f, post_one_by_one, p);
  struct pollfd waits = {.fd = torque_poll_fd(f->ctx), .events = POLLIN};
  int missed = 0;
  while (p->ran < p->rounds && !missed) {
    missed = poll(&waits, 1, deadline(f) ? 30000 : 0) == 0 && deadline(f);
    (void)pass(w);
  }
  assert_false(missed);
  fixture_join(f);
  assert_int_equal(p->errors, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, all_kinds_in_one_pass),
      ON(driven, each_kind_ends_a_wait),
      ON(driven, a_source_that_asks_for_more_keeps_nobody_waiting),
      ON(driven, idle_sources_run_when_nothing_else_does),
      ON(driven, callbacks_make_wishes),
      ON(driven, a_run_lasts_until_it_is_broken),
      ON(driven, a_run_lasts_until_it_stops),
      ON(driven, another_thread_breaks_a_waiting_run),
      ON(driven, a_broken_pass_leaves_the_rest_to_the_next),
      ON(driven, a_nested_run_tells_as_well),
      ON(driven, another_loop_sees_what_is_there),
      ON(driven, a_poll_loop_misses_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
