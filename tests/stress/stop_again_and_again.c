/* SPDX-License-Identifier: BSD-3-Clause */
/* A thousand stops under load, at random moments and from random places, and ten thousand contexts made and ended:
 * no descriptor, thread or byte is left of them. */
#include "support/child.h"
#include "support/context.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { SOURCES = 8, STOPS = FEWER(1000), CONTEXTS = FEWER(10000), MS = 1000000 };

static _Atomic uint64_t calls, finals, bytes, blocks, wrong;
static _Atomic int stop_now;

static void *take(size_t size, size_t align, void *arg) {
  (void)arg;
  void *p = NULL;
  if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size)) return NULL;
  atomic_fetch_add(&bytes, size), atomic_fetch_add(&blocks, 1);
  return p;
}

static void give(void *p, size_t size, void *arg) {
  (void)arg;
  if (!p) return;
  atomic_fetch_sub(&bytes, size), atomic_fetch_sub(&blocks, 1);
  free(p);
}

static int32_t on_ready(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events;
  char byte[64];
  ssize_t n = read(fd, byte, sizeof byte);
  if (n > 0 && write(fd, byte, (size_t)n) != n) atomic_fetch_add(&wrong, 1); /* to the other end, for ever */
  if (atomic_exchange(&stop_now, 0) && torque_stop_async(arg)) atomic_fetch_add(&wrong, 1);
  atomic_fetch_add(&calls, 1);
  return n > 0 ? TORQUE_AGAIN : TORQUE_DONE;
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations, (void)arg;
  atomic_fetch_add(&calls, 1);
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason, (void)arg;
  atomic_fetch_add(&finals, 1);
}

static void post_again(void *arg) {
  atomic_fetch_add(&calls, 1);
  (void)torque_post(arg, post_again, arg);
}

static struct torque_ctx *open_one(const struct shape *shape) {
  struct torque_ctx *ctx = NULL;
  struct torque_config *config = shape_config(shape);
  assert_int_equal(torque_config_set_allocator(config, take, give, NULL), 0);
  assert_int_equal(torque_ctx_new(config, &ctx), 0);
  torque_config_free(config);
  return ctx;
}

static int pairs[SOURCES][2];

static void load(struct torque_ctx *ctx) {
  torque_source s;
  for (int i = 0; i < SOURCES; i++) {
    assert_int_equal(torque_fd_new(ctx, pairs[i][0], TORQUE_READ, 0, on_ready, ctx, &s), 0);
    assert_int_equal(torque_source_set_finalizer(s, on_final), 0);
    assert_int_equal(torque_source_start(s), 0);
    assert_int_equal(torque_fd_new(ctx, pairs[i][1], TORQUE_READ, i % 2 ? TORQUE_RECHECK : 0, on_ready, ctx, &s), 0);
    assert_int_equal(torque_source_set_finalizer(s, on_final), 0);
    assert_int_equal(torque_source_start(s), 0);
    assert_int_equal(torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, on_timer, NULL, &s), 0);
    assert_int_equal(torque_source_set_finalizer(s, on_final), 0);
    assert_int_equal(torque_timer_set(s, 100000, 100000, 0), 0);
  }
  assert_int_equal(torque_post(ctx, post_again, ctx), 0);
}

static void nothing_left(unsigned descriptors, unsigned threads) {
  assert_int_equal(blocks, 0);
  assert_int_equal(bytes, 0);
  assert_int_equal(descriptors_open(), descriptors);
  for (int i = 0; i < 5000 && threads_alive() > threads; i++) nap();
  assert_int_equal(threads_alive(), threads);
}

static void stop_under_load(const struct shape *shape, int times) {
  struct fixture f = {.shape = shape}; /* for AWAIT alone */
  uint64_t seed = 5;
  const unsigned descriptors = descriptors_open(), threads = threads_alive();
  for (int i = 0; i < times; i++) {
    atomic_store(&calls, 0), atomic_store(&finals, 0), atomic_store(&stop_now, 0);
    f.ctx = open_one(shape);
    load(f.ctx);
    for (int k = 0; k < SOURCES; k++) say(pairs[k][1], 10);
    const uint64_t r = next_random(&seed);
    if (r % 4) AWAIT(&f, calls > r / 4 % 200);
    if (r % 3 == 0) {
      atomic_store(&stop_now, 1);
      if (shape->driven) assert_int_equal(torque_run(f.ctx), 0);
      else for (int k = 0; k < 5; k++) nap();
    }
    assert_int_equal(torque_stop(f.ctx), 0);
    assert_int_equal(finals, 3 * SOURCES);
    for (int k = 0; k < SOURCES; k++) (void)(drain(pairs[k][0], NULL) + drain(pairs[k][1], NULL));
    if (i % 50 == 0) nothing_left(descriptors, threads);
  }
  nothing_left(descriptors, threads);
  assert_int_equal(wrong, 0);
}

static void stops_of_this_machine(void **state) { (void)state, stop_under_load(&shape_live, STOPS / 2); }
static void stops_of_many_workers(void **state) { (void)state, stop_under_load(&shape_synthetic, STOPS / 4); }
static void stops_of_driven_contexts(void **state) { (void)state, stop_under_load(&shape_driven, STOPS / 4); }

static void made_and_ended(const struct shape *shape, int times, int with_source) {
  const unsigned descriptors = descriptors_open(), threads = threads_alive();
  for (int i = 0; i < times; i++) {
    struct torque_ctx *ctx = open_one(shape);
    torque_source s;
    if (with_source) assert_int_equal(torque_fd_add(ctx, pairs[0][0], TORQUE_READ, 0, on_ready, ctx, &s), 0);
    assert_int_equal(torque_stop(ctx), 0);
  }
  nothing_left(descriptors, threads);
}

static void ten_thousand_contexts(void **state) {
  (void)state;
  static const struct shape small = {.name = "small", .synthetic = "core:2 pu:1", .counted = 1};
  static const struct shape small_driven = {.name = "small driven", .synthetic = "core:1 pu:1", .driven = 1};
  made_and_ended(&small_driven, CONTEXTS * 6 / 10, 1);
  made_and_ended(&small, CONTEXTS * 2 / 10, 0);
  made_and_ended(&small, CONTEXTS * 2 / 10, 1);
}

static void a_hundred_at_once(void **state) {
  (void)state;
  enum { AT_ONCE = FEWER(100) };
  static struct torque_ctx *ctx[AT_ONCE];
  const unsigned descriptors = descriptors_open(), threads = threads_alive();
  torque_source s;
  static const struct shape one = {.name = "one", .workers = 1, .counted = 1};
  for (int i = 0; i < AT_ONCE; i++) {
    ctx[i] = open_one(i % 2 ? &one : &shape_driven);
    assert_int_equal(torque_timer_add(ctx[i], 0, MS, 0, on_timer, NULL, &s), 0);
  }
  for (int i = 0; i < AT_ONCE; i++) assert_int_equal(torque_stop(ctx[(i * 37) % AT_ONCE]), 0);
  nothing_left(descriptors, threads);
}

static int up(void **state) {
  (void)state;
  /* A sanitizer's own thread, a library's first descriptor: they are no leaks. */
  void *fixture = (void *)(uintptr_t)&shape_single;
  if (fixture_up(&fixture) || fixture_down(&fixture)) return -1;
  for (int i = 0; i < SOURCES; i++)
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i])) return -1;
  return 0;
}

static int down(void **state) {
  (void)state;
  for (int i = 0; i < SOURCES; i++) close(pairs[i][0]), close(pairs[i][1]);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(stops_of_this_machine, up, down),
      cmocka_unit_test_setup_teardown(stops_of_many_workers, up, down),
      cmocka_unit_test_setup_teardown(stops_of_driven_contexts, up, down),
      cmocka_unit_test_setup_teardown(ten_thousand_contexts, up, down),
      cmocka_unit_test_setup_teardown(a_hundred_at_once, up, down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
