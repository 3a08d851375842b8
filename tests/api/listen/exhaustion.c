/* SPDX-License-Identifier: BSD-3-Clause */
/* Out of descriptors a listener rests, and goes on by itself when there are some: nobody is lost. */
#include "support/clients.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { GUESTS = 40, ROOM = 200 };

static struct rlimit before;

static int read_limit(void **state) {
  (void)state;
  return getrlimit(RLIMIT_NOFILE, &before);
}

/* Takes every descriptor that the process may still have. */
static int take_all(struct fixture *f, int *filler, int most) {
  int n = 0;
  while (n < most && (filler[n] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0) fixture_own(f, filler[n++]);
  return n;
}

static void connects(struct fixture *f, struct door *d, const int *fd) {
  (void)f;
  for (int i = 0; i < GUESTS; i++)
    assert_int_equal(connect(fd[i], (const struct sockaddr *)&d->address, d->length), 0);
}

static void everybody_arrives_in_the_end(struct fixture *f, uint32_t policy) {
  int guest[GUESTS], filler[ROOM];
  struct door *d = door_open(f, policy);
  fixture_own(f, visit(d)); /* it works */
  AWAIT(f, d->accepted == 1);
  for (int i = 0; i < GUESTS; i++) {
    guest[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fixture_own(f, guest[i]);
  }
  const rlim_t limit = (rlim_t)guest[GUESTS - 1] + ROOM / 2;
  const struct rlimit low = {.rlim_cur = limit, .rlim_max = before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  const int fillers = take_all(f, filler, ROOM);
  const int full = errno == EMFILE;
  const uint64_t rests = stat_total(f->ctx, "accept_rests");
  connects(f, d, guest);
  AWAIT(f, stat_total(f->ctx, "accept_rests") >= rests + 2); /* it tries again */
  const uint64_t rested = stat_total(f->ctx, "accept_rests") - rests;
  const uint32_t taken = d->accepted;
  for (int i = 0; i < fillers; i++) fixture_close(f, filler[i]);
  AWAIT(f, d->accepted == 1 + GUESTS);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  assert_true(full);
  assert_int_equal(taken, 1);
  assert_true(rested < GUESTS / 2); /* nobody's coming cut a rest short */
  assert_int_equal(d->wrong, 0);
  for (int i = 0; i < GUESTS; i++) { /* and each is served: its connection ends */
    char c;
    assert_int_equal(recv(guest[i], &c, 1, 0), 0);
  }
  fixture_own(f, visit(d)); /* and goes on */
  AWAIT(f, d->accepted == 2 + GUESTS);
}

static void by_default(void **state) { everybody_arrives_in_the_end(*state, TORQUE_LISTEN_DEFAULT); }
static void shared(void **state) { everybody_arrives_in_the_end(*state, TORQUE_LISTEN_SHARED); }
static void exclusive(void **state) { everybody_arrives_in_the_end(*state, TORQUE_LISTEN_EXCLUSIVE); }
static void reuseport(void **state) { everybody_arrives_in_the_end(*state, TORQUE_LISTEN_REUSEPORT); }

/* Removed while it rests. One socket only: the first of several to be closed gives the others a descriptor. */
static void removed_while_it_rests(void **state) {
  struct fixture *f = *state;
  int guest[GUESTS], filler[ROOM];
  struct door *d = door_open(f, TORQUE_LISTEN_SHARED);
  for (int i = 0; i < GUESTS; i++) {
    guest[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fixture_own(f, guest[i]);
  }
  const struct rlimit low = {.rlim_cur = (rlim_t)guest[GUESTS - 1] + ROOM / 2, .rlim_max = before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  const int fillers = take_all(f, filler, ROOM);
  connects(f, d, guest);
  AWAIT(f, stat_total(f->ctx, "accept_rests") >= 1);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  for (int i = 0; i < fillers; i++) fixture_close(f, filler[i]);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  fixture_settle(f);
  assert_int_equal(d->finals, 1);
  assert_int_equal(d->calls_after_final, 0);
  assert_int_equal(d->accepted, 0);
}

static int restore_limit(void **state) {
  (void)state;
  return setrlimit(RLIMIT_NOFILE, &before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(by_default),
      ON_EVERY(shared),
      ON_EVERY(exclusive),
      ON_EVERY(reuseport),
      ON_EVERY(removed_while_it_rests),
  };
  return cmocka_run_group_tests(tests, read_limit, restore_limit);
}
