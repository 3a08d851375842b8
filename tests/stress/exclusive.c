/* SPDX-License-Identifier: BSD-3-Clause */
/* An exclusive source never runs on two threads, however hard 200 of them are hammered under 8 workers. */
#include "support/context.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { SOURCES = 200, HAMMERS = 3 };

struct target {
  _Atomic uint32_t inside;
  _Atomic uint32_t overlaps;
  uint64_t calls; /* its callback only, and without a lock: that is the promise */
  uint64_t bytes;
  torque_source source;
  int peer;
  _Atomic uint64_t written;
  _Atomic uint64_t arrived;
};

struct field {
  struct fixture *f;
  struct target target[SOURCES];
  uint64_t events; /* each hammer's share */
  _Atomic uint32_t seed;
  _Atomic uint32_t errors;
  _Atomic int finished; /* hammers */
};

static int32_t strike(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)events;
  struct target *t = arg;
  if (atomic_fetch_add(&t->inside, 1)) atomic_fetch_add(&t->overlaps, 1);
  t->calls++;
  t->bytes += drain(fd, NULL);
  atomic_store(&t->arrived, t->bytes);
  atomic_fetch_sub(&t->inside, 1);
  return t->calls % 7 == 0 ? TORQUE_AGAIN : TORQUE_DONE;
}

static uint32_t next_random(uint32_t *x) {
  *x ^= *x << 13;
  *x ^= *x >> 17;
  return *x ^= *x << 5;
}

/* Bytes, with changes of interest and triggers in between: everything that makes a source run. */
static void *hammer(void *arg) {
  struct field *field = arg;
  uint32_t x = 12345 + 7919 * atomic_fetch_add(&field->seed, 1);
  for (uint64_t i = 0; i < field->events && !atomic_load(&field->f->quit);) {
    struct target *t = &field->target[next_random(&x) % SOURCES];
    torque_err err = 0;
    switch (x >> 28) {
      case 0: err = torque_trigger(t->source, TORQUE_READ); break;
      case 1: err = torque_fd_modify(t->source, x & 0x1000 ? TORQUE_READ : TORQUE_READ | TORQUE_WRITE); break;
      default: {
        const ssize_t n = send(t->peer, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n == 1) atomic_fetch_add(&t->written, 1), i++;
        else if (errno != EAGAIN) err = 1;
      }
    }
    if (err) atomic_fetch_add(&field->errors, 1);
  }
  atomic_fetch_add(&field->finished, 1);
  return NULL;
}

static void hammered(struct fixture *f, uint32_t flags, uint64_t events) {
  struct field *field = fixture_take(f, sizeof *field);
  field->f = f;
  field->events = events / HAMMERS;
  for (int i = 0; i < SOURCES; i++) {
    struct target *t = &field->target[i];
    int fd[2];
    fixture_pair(f, fd);
    t->peer = fd[1];
    assert_int_equal(torque_fd_add(f->ctx, fd[0], TORQUE_READ, flags, strike, t, &t->source), 0);
  }
  for (int i = 0; i < HAMMERS; i++) fixture_thread(f, hammer, field);
  AWAIT(f, field->finished == HAMMERS);
  fixture_join(f);
  for (int i = 0; i < SOURCES; i++) AWAIT(f, field->target[i].arrived == field->target[i].written);
  uint64_t calls = 0, bytes = 0;
  for (int i = 0; i < SOURCES; i++) {
    struct target *t = &field->target[i];
    assert_int_equal(torque_source_remove_wait(t->source), 0);
    assert_int_equal(t->overlaps, 0);
    calls += t->calls;
    bytes += t->bytes;
  }
  assert_int_equal(field->errors, 0);
  assert_int_equal(bytes, field->events * HAMMERS);
  assert_true(calls >= SOURCES);
}

static void a_million_events(void **state) { hammered(*state, 0, FEWER(1000000)); }
static void many_events(void **state) { hammered(*state, 0, FEWER(200000)); }
static void many_rechecked_events(void **state) { hammered(*state, TORQUE_RECHECK, FEWER(200000)); }

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(shared, a_million_events),
      ON(live, many_events),
      ON(synthetic, many_events),
      ON(oneshot, many_events),
      ON(driven, many_events),
      ON(shared, many_rechecked_events),
      ON(synthetic, many_rechecked_events),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
