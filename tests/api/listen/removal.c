/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener removed while connections come: one end, no call after it, nobody accepted and forgotten. */
#include "support/clients.h"

#include <errno.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { THREADS = 3 };

/* Connects until it is refused or told to stop; never waits to be served. */
struct crowd {
  struct door *door;
  _Atomic int enough;
  _Atomic uint32_t connected;
};

static void *push_in(void *arg) {
  struct crowd *c = arg;
  while (!atomic_load(&c->enough) && !atomic_load(&c->door->f->quit)) {
    const int fd = visit(c->door);
    if (fd < 0) break;
    atomic_fetch_add(&c->connected, 1);
    close(fd);
  }
  return NULL;
}

static struct crowd *gather(struct fixture *f, struct door *d) {
  struct crowd *c = fixture_take(f, sizeof *c);
  c->door = d;
  for (int i = 0; i < THREADS; i++) fixture_thread(f, push_in, c);
  AWAIT(f, d->accepted >= 20);
  return c;
}

static void assert_over(struct fixture *f, const struct door *d, int32_t reason) {
  AWAIT(f, d->finals);
  const uint32_t accepted = d->accepted;
  fixture_settle(f);
  assert_int_equal(d->accepted, accepted);
  assert_int_equal(d->calls_after_final, 0);
  assert_int_equal(d->finals, 1);
  assert_int_equal(d->reason, reason);
  assert_int_equal(d->wrong, 0);
}

static void from_outside(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = door_open(f, policy);
    struct crowd *c = gather(f, d);
    assert_int_equal(torque_source_remove(d->listener), 0);
    assert_int_equal(torque_source_remove(d->listener), TORQUE_ERR_STALE);
    assert_over(f, d, TORQUE_END_REMOVED);
    fixture_join(f); /* they are refused now */
    assert_true(c->connected >= 20);
  }
}

static void from_outside_and_waiting(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = door_open(f, policy);
    (void)gather(f, d);
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
    assert_int_equal(d->finals, 1);
    assert_over(f, d, TORQUE_END_REMOVED);
    fixture_join(f);
  }
}

struct own_removal {
  struct door door;
  _Atomic uint32_t calls;
  _Atomic torque_err waited;
  _Atomic torque_err removed;
};

static void remove_own(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  struct own_removal *o = arg;
  (void)addr;
  (void)addrlen;
  close(fd);
  if (atomic_fetch_add(&o->calls, 1) != 2) return;
  atomic_store(&o->waited, torque_source_remove_wait(listener));
  atomic_store(&o->removed, torque_source_remove(listener));
}

static void final_of_own(torque_source source, int32_t reason, void *arg) {
  door_final(source, reason, &((struct own_removal *)arg)->door);
}

static void from_its_own_callback(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct own_removal *o = fixture_take(f, sizeof *o);
    const struct sockaddr_in a = loopback_address(0);
    struct door *d = &o->door;
    d->f = f;
    atomic_store(&o->removed, -1);
    assert_int_equal(torque_listen_new(f->ctx, &a, sizeof a, 0, policy, remove_own, o, &d->listener), 0);
    assert_int_equal(torque_source_set_finalizer(d->listener, final_of_own), 0);
    assert_int_equal(torque_source_start(d->listener), 0);
    door_read_address(d);
    for (int i = 0; i < 3; i++) {
      fixture_own(f, visit(d));
      AWAIT(f, o->calls == (uint32_t)i + 1);
    }
    AWAIT(f, d->finals);
    assert_int_equal(o->waited, TORQUE_ERR_DEADLOCK);
    assert_int_equal(o->removed, 0);
    assert_int_equal(d->finals, 1);
    assert_int_equal(d->reason, TORQUE_END_REMOVED);
  }
}

static void by_stopping(void **state) {
  struct fixture *f = *state;
  struct door *d = door_open(f, TORQUE_LISTEN_DEFAULT);
  struct crowd *c = gather(f, d);
  fixture_stop(f);
  assert_int_equal(d->finals, 1);
  assert_int_equal(d->reason, TORQUE_END_STOPPED);
  assert_int_equal(d->calls_after_final, 0);
  atomic_store(&c->enough, 1);
}

/* While another thread starts it: whoever comes first, there is one end, and nothing stays. */
static void *start_it(void *arg) {
  struct door *d = arg;
  const torque_err err = torque_source_start(d->listener);
  if (err && err != TORQUE_ERR_STALE && err != TORQUE_ERR_STATE) d->wrong++;
  return NULL;
}

static void while_it_starts(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = loopback_address(0);
  for (int i = 0; i < FEWER(500); i++) {
    struct door *d = fixture_take(f, sizeof *d);
    d->f = f;
    assert_int_equal(torque_listen_new(f->ctx, &a, sizeof a, 0, (uint32_t)i % 4, door_accept, d, &d->listener), 0);
    assert_int_equal(torque_source_set_finalizer(d->listener, door_final), 0);
    fixture_thread(f, start_it, d);
    for (int k = 0; k < i % 5; k++) sched_yield();
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
    fixture_join(f);
    assert_int_equal(d->finals, 1);
    assert_int_equal(d->wrong, 0);
  }
}

/* The caller's socket goes on: who was not accepted by the first listener is by the second. */
static void a_socket_of_the_callers_changes_hands(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = loopback_address(0);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, SOMAXCONN), 0);
  uint32_t accepted = 0;
  struct door *d = door_on_socket(f, fd, TORQUE_LISTEN_DEFAULT);
  struct crowd *c = gather(f, d);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
    accepted += d->accepted;
    d = door_on_socket(f, fd, i % 2 ? TORQUE_LISTEN_SHARED : TORQUE_LISTEN_EXCLUSIVE);
    AWAIT(f, d->accepted >= 5);
  }
  atomic_store(&c->enough, 1);
  fixture_join(f);
  AWAIT(f, accepted + d->accepted == c->connected);
  fixture_settle(f);
  assert_int_equal(accepted + d->accepted, c->connected);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(from_outside),
      ON_EVERY(from_outside_and_waiting),
      ON_EVERY(from_its_own_callback),
      ON_EVERY(by_stopping),
      ON_EVERY(while_it_starts),
      ON_EVERY(a_socket_of_the_callers_changes_hands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
