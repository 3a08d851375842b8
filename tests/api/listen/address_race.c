/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener that ends while its address is asked for, and one that two threads start at once. getsockname(2) is ours
 * here: just before it looks, another thread ends the listener and takes the numbers that are given free. */
#define _GNU_SOURCE
#include "support/clients.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { TAKERS = 16 };
static struct door *asked;
static int taker[TAKERS];
static __thread int asking;

static void *end_it_and_take_the_numbers(void *arg) {
  (void)arg;
  const struct sockaddr_in a = loopback_address(0);
  (void)torque_source_remove(asked->listener);
  for (int i = 0; i < TAKERS; i++) {
    taker[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)bind(taker[i], (const struct sockaddr *)&a, sizeof a);
  }
  return NULL;
}

int getsockname(int fd, __SOCKADDR_ARG addr, socklen_t *restrict len) {
  pthread_t t;
  if (asking) {
    asking = 0;
    if (pthread_create(&t, NULL, end_it_and_take_the_numbers, NULL) == 0) (void)pthread_join(t, NULL);
  }
  return (int)syscall(SYS_getsockname, fd, addr.__sockaddr__, len);
}

static void the_address_is_the_listeners_own(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct sockaddr_storage told = {0};
    uint32_t length = 0;
    asked = door_open(f, policy);
    asking = 1;
    const torque_err err = torque_listen_address(asked->listener, &told, sizeof told, &length);
    asking = 0;
    for (int i = 0; i < TAKERS; i++) fixture_own(f, taker[i]);
    assert_int_equal(err, 0);
    assert_int_equal(length, asked->length);
    assert_memory_equal(&told, &asked->address, length);
    AWAIT(f, asked->finals == 1 || !torque_source_alive(asked->listener));
    for (int i = 0; i < TAKERS; i++) fixture_close(f, taker[i]);
  }
}

struct start {
  torque_source listener;
  _Atomic int ready, started, refused, strange;
};

static void *start_it(void *arg) {
  struct start *s = arg;
  atomic_fetch_add(&s->ready, 1);
  while (atomic_load(&s->ready) < 2) {
  }
  const torque_err err = torque_source_start(s->listener);
  atomic_fetch_add(err == 0 ? &s->started : err == TORQUE_ERR_STATE ? &s->refused : &s->strange, 1);
  return NULL;
}

static void of_two_starts_one_counts(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < FEWER(500); i++) {
    struct start s = {0};
    struct door *d = fixture_take(f, sizeof *d);
    const struct sockaddr_in a = loopback_address(0);
    d->f = f;
    assert_int_equal(torque_listen_new(f->ctx, &a, sizeof a, 0, (uint32_t)i % 4, door_accept, d, &d->listener), 0);
    s.listener = d->listener;
    fixture_thread(f, start_it, &s);
    fixture_thread(f, start_it, &s);
    fixture_join(f);
    assert_int_equal(s.started, 1);
    assert_int_equal(s.refused, 1);
    door_read_address(d);
    fixture_own(f, visit(d));
    AWAIT(f, d->accepted == 1);
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
    fixture_release(f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(the_address_is_the_listeners_own),
      ON_EVERY(of_two_starts_one_counts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
