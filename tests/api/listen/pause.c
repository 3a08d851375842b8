/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener that is paused takes nothing; what comes meanwhile waits, and is taken when it goes on. */
#include "support/clients.h"
#include "support/probe.h"
#include "support/streams.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { GUESTS = 30, ROOM = 200, ROUNDS = 20 };

static void come(struct fixture *f, struct door *d, int n) {
  for (int i = 0; i < n; i++) {
    const int fd = visit(d);
    assert_true(fd >= 0); /* the backlog takes it */
    fixture_own(f, fd);
  }
}

static void nothing_is_taken_until_it_goes_on(struct fixture *f, struct door *d) {
  come(f, d, GUESTS);
  AWAIT(f, d->accepted == GUESTS);
  for (uint32_t round = 1; round <= 3; round++) {
    assert_int_equal(torque_listen_pause(d->listener), 0);
    assert_int_equal(torque_listen_pause(d->listener), 0);
    come(f, d, GUESTS);
    fixture_settle(f);
    assert_int_equal(d->accepted, round * GUESTS);
    assert_int_equal(torque_listen_resume(d->listener), 0);
    assert_int_equal(torque_listen_resume(d->listener), 0);
    AWAIT(f, d->accepted == (round + 1) * GUESTS);
  }
  assert_int_equal(d->wrong, 0);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
}

static void by_default(void **state) {
  nothing_is_taken_until_it_goes_on(*state, door_open(*state, TORQUE_LISTEN_DEFAULT));
}
static void shared(void **state) {
  nothing_is_taken_until_it_goes_on(*state, door_open(*state, TORQUE_LISTEN_SHARED));
}
static void exclusive(void **state) {
  nothing_is_taken_until_it_goes_on(*state, door_open(*state, TORQUE_LISTEN_EXCLUSIVE));
}
static void reuseport(void **state) {
  nothing_is_taken_until_it_goes_on(*state, door_open(*state, TORQUE_LISTEN_REUSEPORT));
}

static void on_a_socket_of_the_callers(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = loopback_address(0);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, SOMAXCONN), 0);
  nothing_is_taken_until_it_goes_on(f, door_on_socket(f, fd, TORQUE_LISTEN_DEFAULT));
}

static void paused_before_it_starts(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = loopback_address(0);
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = fixture_take(f, sizeof *d);
    assert_int_equal(torque_listen_new(f->ctx, &a, sizeof a, 0, policy, door_accept, d, &d->listener), 0);
    assert_int_equal(torque_listen_pause(d->listener), 0);
    assert_int_equal(torque_source_start(d->listener), 0);
    door_read_address(d);
    come(f, d, GUESTS);
    fixture_settle(f);
    assert_int_equal(d->accepted, 0);
    assert_int_equal(torque_listen_resume(d->listener), 0);
    AWAIT(f, d->accepted == GUESTS);
  }
}

/* Of one domain: no other worker can be in the callback. */
static void pause_after_the_first(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  struct door *d = arg;
  if (torque_listen_pause(listener)) atomic_fetch_add(&d->wrong, 1);
  door_accept(listener, fd, addr, addrlen, arg);
}

static void from_the_accept_callback(void **state) {
  struct fixture *f = *state;
  struct door *d = fixture_take(f, sizeof *d);
  const struct sockaddr_in a = loopback_address(0);
  assert_int_equal(
      torque_listen_new(f->ctx, &a, sizeof a, 0, TORQUE_LISTEN_SHARED, pause_after_the_first, d, &d->listener), 0);
  assert_int_equal(torque_listen_pause(d->listener), 0);
  assert_int_equal(torque_source_start(d->listener), 0);
  door_read_address(d);
  come(f, d, GUESTS);
  for (uint32_t n = 1; n <= GUESTS; n++) { /* one for each time that it is let go on */
    assert_int_equal(torque_listen_resume(d->listener), 0);
    AWAIT(f, d->accepted == n);
    fixture_settle(f);
    assert_int_equal(d->accepted, n);
  }
  assert_int_equal(d->wrong, 0);
}

/* Whoever comes when pause has returned is not taken, however busy the listener was. */
static void when_it_has_returned_nobody_is_taken(void **state) {
  struct fixture *f = *state;
  struct door *d = door_open(f, TORQUE_LISTEN_DEFAULT);
  struct visitors *v = visitors_come(f, d, 2, UINT32_MAX);
  for (int i = 0; i < FEWER(ROUNDS); i++) {
    const uint32_t before = d->accepted;
    AWAIT(f, d->accepted > before + 4);
    assert_int_equal(torque_listen_pause(d->listener), 0);
    const int fd = visit(d);
    assert_true(fd >= 0);
    struct sockaddr_in own;
    socklen_t length = sizeof own;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    const uint32_t port = ntohs(own.sin_port), taken = d->by_port[port];
    fixture_settle(f);
    assert_int_equal(d->by_port[port], taken);
    assert_int_equal(torque_listen_resume(d->listener), 0);
    AWAIT(f, d->by_port[port] == taken + 1);
    close(fd);
  }
  atomic_store(&f->quit, 1);
  fixture_join(f);
  assert_int_equal(v->refused, 0);
  assert_int_equal(d->wrong, 0);
}

/* Two threads pause and resume at their will while others come: nobody is lost. */
static void *switch_it(void *arg) {
  struct door *d = arg;
  while (!atomic_load(&d->f->quit) && !atomic_load(&d->reason)) {
    if (torque_listen_pause(d->listener) || torque_listen_resume(d->listener)) atomic_fetch_add(&d->wrong, 1);
    nap();
  }
  return NULL;
}

static void switched_by_two_while_many_come(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = door_open(f, policy);
    fixture_thread(f, switch_it, d);
    fixture_thread(f, switch_it, d);
    struct visitors *v = visitors_come(f, d, 2, FEWER(300));
    AWAIT(f, v->served == 2 * FEWER(300) || v->refused);
    atomic_store(&d->reason, -1);
    fixture_join(f);
    assert_int_equal(d->wrong, 0);
    assert_int_equal(v->refused, 0);
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
  }
}

/* A rest for lack of descriptors ends while it is paused, and a pause ends while it rests. */
static void pause_and_rest(void **state) {
  struct fixture *f = *state;
  struct rlimit before;
  int filler[ROOM], guest[GUESTS], fillers = 0;
  struct door *d = door_open(f, TORQUE_LISTEN_SHARED);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  for (int i = 0; i < GUESTS; i++) fixture_own(f, guest[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const struct rlimit low = {.rlim_cur = (rlim_t)guest[GUESTS - 1] + ROOM / 2, .rlim_max = before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  while (fillers < ROOM && (filler[fillers] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0) fixture_own(f, filler[fillers++]);
  for (int i = 0; i < GUESTS; i++)
    assert_int_equal(connect(guest[i], (const struct sockaddr *)&d->address, d->length), 0);
  AWAIT(f, stat_total(f->ctx, "accept_rests") >= 1);
  assert_int_equal(torque_listen_pause(d->listener), 0);
  assert_int_equal(torque_listen_resume(d->listener), 0); /* does not end the rest: there is nothing to be had */
  AWAIT(f, stat_total(f->ctx, "accept_rests") >= 2);
  assert_int_equal(torque_listen_pause(d->listener), 0);
  for (int i = 0; i < fillers; i++) fixture_close(f, filler[i]);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  const struct timespec while_rests_end = {.tv_nsec = 50000000};
  nanosleep(&while_rests_end, NULL);
  fixture_settle(f);
  const uint32_t taken = d->accepted;
  assert_int_equal(torque_listen_resume(d->listener), 0);
  AWAIT(f, d->accepted == GUESTS);
  assert_int_equal(taken, 0);
}

static void of_streams(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  struct door *d = fixture_take(f, sizeof *d);
  const struct sockaddr_in a = loopback_address(0);
  assert_int_equal(torque_stream_listen(f->ctx, &a, sizeof a, 0, 0, p->type, p, &d->listener), 0);
  door_read_address(d);
  assert_int_equal(torque_listen_pause(d->listener), 0);
  come(f, d, GUESTS);
  fixture_settle(f);
  assert_int_equal(p->opened, 0);
  assert_int_equal(torque_listen_resume(d->listener), 0);
  AWAIT(f, p->opened == GUESTS);
  fixture_stop(f);
  assert_int_equal(p->closed, GUESTS);
  party_free(p);
}

static void ended_while_it_is_paused(void **state) {
  struct fixture *f = *state;
  struct door *d = door_open(f, TORQUE_LISTEN_DEFAULT), *other = door_open(f, TORQUE_LISTEN_DEFAULT);
  assert_int_equal(torque_listen_pause(d->listener), 0);
  assert_int_equal(torque_listen_pause(other->listener), 0);
  come(f, d, 1);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  assert_int_equal(torque_listen_resume(d->listener), TORQUE_ERR_STALE);
  assert_int_equal(torque_listen_pause(d->listener), TORQUE_ERR_STALE);
  fixture_stop(f);
  assert_int_equal(d->accepted, 0);
  assert_int_equal(other->finals, 1);
  assert_int_not_equal(torque_listen_resume(other->listener), 0);
}

static void only_listeners(void **state) {
  struct probe *p = probe_event(*state, 0);
  assert_int_equal(torque_listen_pause(p->source), TORQUE_ERR_KIND);
  assert_int_equal(torque_listen_resume(p->source), TORQUE_ERR_KIND);
  assert_int_equal(torque_listen_pause(0), TORQUE_ERR_STALE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(by_default),
      ON_EVERY(shared),
      ON_EVERY(exclusive),
      ON_EVERY(reuseport),
      ON_EVERY(on_a_socket_of_the_callers),
      ON_EVERY(paused_before_it_starts),
      ON_EVERY(from_the_accept_callback),
      ON_THREADED(when_it_has_returned_nobody_is_taken),
      ON_EVERY(switched_by_two_while_many_come),
      ON_EVERY(pause_and_rest),
      ON_EVERY(of_streams),
      ON_EVERY(ended_while_it_is_paused),
      ON_EVERY(only_listeners),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
