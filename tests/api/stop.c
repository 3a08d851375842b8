/* SPDX-License-Identifier: BSD-3-Clause */
/* Stopping: from outside, from every kind of callback, while callbacks are under way. Every finalizer runs, everything
 * is given back (the fixture looks). */
#include "support/context.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000 };

enum place {
  IN_DESCRIPTOR,
  IN_CONCURRENT,
  IN_EVENT,
  IN_TIMER,
  IN_SIGNAL,
  IN_ACCEPT,
  IN_POST,
  IN_STRAND,
  IN_FINALIZER,
  PLACES
};

static struct {
  struct fixture *f;
  torque_source source;
  struct torque_strand *strand;
  int listening;
  _Atomic int want_async;
  _Atomic uint32_t calls, finals, finals_stopped;
  _Atomic int32_t stop, block, async;
  _Atomic int hold, inside, stopped;
} s;

static void try_to_stop(void) {
  if (atomic_load(&s.calls)) return;
  atomic_store(&s.stop, torque_stop(s.f->ctx));
  if (!s.f->shape->driven) atomic_store(&s.block, torque_block(s.f->ctx));
  if (atomic_load(&s.want_async)) atomic_store(&s.async, torque_stop_async(s.f->ctx));
  atomic_fetch_add(&s.calls, 1);
}

static int32_t on_ready(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events, (void)arg;
  if (fd >= 0) (void)drain(fd, NULL);
  try_to_stop();
  return TORQUE_DONE;
}
static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations, (void)arg;
  try_to_stop();
}
static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)info, (void)arg;
  try_to_stop();
}
static void on_accept(torque_source source, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)source, (void)addr, (void)addrlen, (void)arg;
  close(fd);
  try_to_stop();
}
static void on_post(void *arg) {
  (void)arg;
  try_to_stop();
}
static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)arg;
  atomic_fetch_add(&s.finals, 1);
  if (reason == TORQUE_END_STOPPED) atomic_fetch_add(&s.finals_stopped, 1);
}
static int32_t end_self(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)fd, (void)events, (void)arg;
  (void)torque_source_remove(source); /* the finalizer runs on this thread, when this has returned */
  return TORQUE_DONE;
}
static void final_in_callback(torque_source source, int32_t reason, void *arg) {
  on_final(source, reason, arg);
  try_to_stop();
}

static void connect_to(torque_source listener) {
  struct sockaddr_in a;
  uint32_t length = 0;
  assert_int_equal(torque_listen_address(listener, &a, sizeof a, &length), 0);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  fixture_own(s.f, fd);
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
}

static void finish_new(torque_source t, torque_final_fn *fn) {
  assert_int_equal(torque_source_set_finalizer(t, fn), 0);
  assert_int_equal(torque_source_start(t), 0);
}

/* Makes a source of that kind and lets it call. */
static void call_in(enum place place) {
  struct torque_ctx *ctx = s.f->ctx;
  int fd[2];
  switch (place) {
    case IN_DESCRIPTOR:
    case IN_CONCURRENT:
      fixture_pair(s.f, fd);
      say(fd[1], 1);
      assert_int_equal(torque_fd_new(ctx, fd[0], TORQUE_READ, place == IN_CONCURRENT ? TORQUE_CONCURRENT : 0, on_ready,
                                     NULL, &s.source), 0);
      finish_new(s.source, on_final);
      break;
    case IN_EVENT:
    case IN_FINALIZER:
      assert_int_equal(torque_event_new(ctx, 0, place == IN_EVENT ? on_ready : end_self, NULL, &s.source), 0);
      finish_new(s.source, place == IN_EVENT ? on_final : final_in_callback);
      assert_int_equal(torque_trigger(s.source, TORQUE_READ), 0);
      break;
    case IN_TIMER:
      assert_int_equal(torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, on_timer, NULL, &s.source), 0);
      assert_int_equal(torque_source_set_finalizer(s.source, on_final), 0);
      assert_int_equal(torque_timer_set(s.source, MS, MS, 0), 0);
      break;
    case IN_SIGNAL: {
      const int32_t usr1 = SIGUSR1;
      assert_int_equal(torque_signal_new(ctx, &usr1, 1, on_signal, NULL, &s.source), 0);
      finish_new(s.source, on_final);
      assert_int_equal(kill(getpid(), SIGUSR1), 0);
      break;
    }
    case IN_ACCEPT: {
      const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
      assert_int_equal(torque_listen_new(ctx, &a, sizeof a, 0, TORQUE_LISTEN_DEFAULT, on_accept, NULL, &s.source), 0);
      finish_new(s.source, on_final);
      connect_to(s.source);
      break;
    }
    case IN_POST:
      assert_int_equal(torque_post(ctx, on_post, NULL), 0);
      break;
    case IN_STRAND:
      assert_int_equal(torque_strand_new(ctx, &s.strand), 0);
      assert_int_equal(torque_strand_post(s.strand, on_post, NULL), 0);
      torque_strand_free(s.strand);
      break;
    default:
      break;
  }
}

static void begin(struct fixture *f, int async) {
  memset(&s, 0, sizeof s);
  s.f = f;
  s.want_async = async;
}

static int up_again(struct fixture *f, void **state) {
  (void)f;
  void *shape = (void *)(uintptr_t)((struct fixture *)*state)->shape;
  if (fixture_down(state)) return -1;
  *state = shape;
  return fixture_up(state);
}

static void stop_from_a_callback_is_refused(void **state) {
  for (int place = 0; place < PLACES; place++) {
    struct fixture *f = *state;
    begin(f, 0);
    call_in((enum place)place);
    AWAIT(f, s.calls == 1);
    fixture_settle(f); /* all goes on */
    fixture_stop(f);
    assert_int_equal(s.stop, TORQUE_ERR_DEADLOCK);
    if (!f->shape->driven) assert_int_equal(s.block, TORQUE_ERR_DEADLOCK);
    if (place != IN_POST && place != IN_STRAND) assert_int_equal(s.finals, 1);
    assert_int_equal(up_again(f, state), 0);
  }
}

static void stop_async_works_from_every_callback(void **state) {
  for (int place = 0; place < PLACES; place++) {
    struct fixture *f = *state;
    begin(f, 1);
    call_in((enum place)place);
    if (f->shape->driven) {
      const torque_err err = torque_run(f->ctx);
      assert_true(err == 0 || err == TORQUE_ERR_STOPPED);
    }
    AWAIT(f, s.calls == 1);
    torque_source t;
    struct patience p = patience_start();
    while (torque_event_add(f->ctx, 0, on_ready, NULL, &t) != TORQUE_ERR_STOPPED) assert_true(patience_left(&p));
    fixture_stop(f);
    assert_int_equal(s.async, 0);
    if (place != IN_POST && place != IN_STRAND) assert_int_equal(s.finals, 1);
    assert_int_equal(up_again(f, state), 0);
  }
}

static void stop_async_then_block(void **state) {
  struct fixture *f = *state;
  begin(f, 1);
  call_in(IN_TIMER);
  AWAIT(f, s.calls == 1);
  assert_int_equal(torque_block(f->ctx), 0);
  f->ctx = NULL;
  assert_int_equal(s.finals, 1);
}

/* ---- Callbacks that are under way are waited for ---- */

static int32_t stay(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  atomic_store(&s.inside, 1);
  STAY_UNTIL(!atomic_load(&s.hold));
  atomic_fetch_add(&s.calls, 1);
  return TORQUE_AGAIN;
}

static void *stop_in_thread(void *arg) {
  (void)arg;
  atomic_store(&s.stop, torque_stop(s.f->ctx));
  atomic_store(&s.stopped, 1);
  return NULL;
}

static void waits_for_the_callback_under_way(void **state) {
  struct fixture *f = *state;
  begin(f, 0);
  s.hold = 1;
  assert_int_equal(torque_event_new(f->ctx, 0, stay, NULL, &s.source), 0);
  finish_new(s.source, on_final);
  assert_int_equal(torque_trigger(s.source, TORQUE_READ), 0);
  AWAIT(f, s.inside);
  fixture_thread(f, stop_in_thread, NULL);
  for (int i = 0; i < 100; i++) {
    nap();
    assert_int_equal(s.stopped, 0);
    assert_int_equal(s.finals, 0);
  }
  atomic_store(&s.hold, 0);
  fixture_join(f);
  f->ctx = NULL;
  assert_int_equal(s.stop, 0);
  assert_int_equal(s.calls, 1); /* it asked to be called again: no new call starts */
  assert_int_equal(s.finals_stopped, 1);
}

static void *block_in_thread(void *arg) {
  (void)arg;
  atomic_store(&s.block, 1);
  atomic_store(&s.inside, 1);
  atomic_store(&s.block, torque_block(s.f->ctx));
  return NULL;
}

static void stop_and_block_at_the_same_time(void **state) {
  for (int i = 0; i < 20; i++) {
    struct fixture *f = *state;
    begin(f, 0);
    call_in(IN_DESCRIPTOR);
    fixture_thread(f, block_in_thread, NULL);
    AWAIT(f, s.inside);
    for (int n = 0; n < 20 + i; n++) nap(); /* block has taken its reference long ago */
    fixture_stop(f);
    fixture_join(f);
    assert_int_equal(s.block, 0);
    assert_int_equal(s.finals, 1);
    assert_int_equal(up_again(f, state), 0);
  }
}

/* ---- What is left of it ---- */

static void all_sources_end_with_a_finalizer(void **state) {
  struct fixture *f = *state;
  begin(f, 0);
  atomic_store(&s.calls, 1); /* callbacks do nothing */
  for (int place = 0; place < IN_POST; place++) call_in((enum place)place);
  torque_source never_started;
  assert_int_equal(torque_event_new(f->ctx, 0, on_ready, NULL, &never_started), 0);
  assert_int_equal(torque_source_set_finalizer(never_started, on_final), 0);
  fixture_settle(f);
  fixture_stop(f);
  assert_int_equal(s.finals, IN_POST + 1);
  assert_int_equal(s.finals_stopped, IN_POST + 1);
  assert_int_equal(torque_source_alive(s.source), 0);
  assert_int_equal(torque_source_remove(s.source), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_remove(never_started), TORQUE_ERR_STALE);
}

static void a_stopping_context_takes_nothing_new(void **state) {
  struct fixture *f = *state;
  begin(f, 0);
  call_in(IN_EVENT);
  AWAIT(f, s.calls == 1);
  assert_int_equal(torque_stop_async(f->ctx), 0);
  assert_int_equal(torque_stop_async(f->ctx), 0);
  torque_source t = 5;
  int fd[2];
  fixture_pair(f, fd);
  const int32_t usr1 = SIGUSR1;
  assert_int_equal(torque_fd_add(f->ctx, fd[0], TORQUE_READ, 0, on_ready, NULL, &t), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_timer_add(f->ctx, 0, 0, 0, on_timer, NULL, &t), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_signal_add(f->ctx, &usr1, 1, on_signal, NULL, &t), TORQUE_ERR_STOPPED);
  if (!f->shape->driven) {
    assert_int_equal(torque_start(f->ctx), TORQUE_ERR_STOPPED);
  } else {
    assert_int_equal(torque_run(f->ctx), TORQUE_ERR_STOPPED);
    assert_int_equal(torque_run_once(f->ctx, 0, NULL), TORQUE_ERR_STOPPED);
  }
  assert_int_equal(t, 5);
}

static void contexts_stop_apart_from_each_other(void **state) {
  struct fixture *f = *state;
  begin(f, 0);
  call_in(IN_EVENT);
  AWAIT(f, s.calls == 1);
  for (int i = 0; i < 5; i++) {
    struct torque_ctx *other = NULL;
    struct torque_config *c = shape_config(i % 2 ? &shape_synthetic : &shape_driven);
    assert_int_equal(torque_ctx_new(c, &other), 0);
    torque_config_free(c);
    torque_source t;
    assert_int_equal(torque_event_add(other, 0, on_ready, NULL, &t), 0);
    assert_int_equal(torque_stop(other), 0);
    assert_int_equal(torque_source_alive(t), 0);
    assert_int_equal(torque_source_alive(s.source), 1);
    fixture_settle(f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(stop_from_a_callback_is_refused),
      ON_EVERY(stop_async_works_from_every_callback),
      ON_THREADED(stop_async_then_block),
      ON_THREADED(waits_for_the_callback_under_way),
      ON_THREADED(stop_and_block_at_the_same_time),
      ON_EVERY(all_sources_end_with_a_finalizer),
      ON_EVERY(a_stopping_context_takes_nothing_new),
      ON_EVERY(contexts_stop_apart_from_each_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
