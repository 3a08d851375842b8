/* SPDX-License-Identifier: BSD-3-Clause */
/* A kernel or a device that will not send trains, and one that runs out of room in the middle of taking them apart: the
 * calls that send stand in front of the C library's, and say so. */
#define _GNU_SOURCE
#include "support/datagrams.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { COUNT = 100, SIZE = 100 };

static _Atomic int train_error; /* what a train gets; 0: it is sent */
static _Atomic int32_t
    alone_until_full; /* so many single datagrams go, then there is no room for one call; < 0: always */
static _Atomic uint32_t trains_refused, times_full;

static void *real_call(const char *name) {
  void *real = dlsym(RTLD_NEXT, name);
  if (!real) abort();
  return real;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags) {
  typedef int sendmmsg_type(int, struct mmsghdr *, unsigned int, int);
  sendmmsg_type *real;
  void *found = real_call("sendmmsg");
  memcpy(&real, &found, sizeof real);
  unsigned int n = 0;
  while (train_error && n < count && messages[n].msg_hdr.msg_iovlen == 1) n++;
  if (!train_error) n = count;
  if (n == 0) {
    trains_refused++;
    errno = train_error;
    return -1;
  }
  return real(fd, messages, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  typedef ssize_t sendmsg_type(int, const struct msghdr *, int);
  sendmsg_type *real;
  void *found = real_call("sendmsg");
  memcpy(&real, &found, sizeof real);
  if (alone_until_full >= 0 && atomic_fetch_sub(&alone_until_full, 1) == 0) {
    times_full++;
    errno = EAGAIN;
    return -1;
  }
  return real(fd, message, flags);
}

static void answer_with_many(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  unsigned char bytes[SIZE];
  for (uint32_t k = 0; k < COUNT; k++) {
    datagram_write(bytes, SIZE, 1, k);
    const torque_err err = torque_datagrams_reply(batch, i, bytes, SIZE);
    if (err) d->result = err;
  }
}

static void ask_and_compare(struct desk *d, int fd) {
  const uint64_t before = d->received;
  assert_int_equal(send(fd, "?", 1, 0), 1);
  AWAIT(d->f, d->received == before + 1);
  for (uint32_t k = 0; k < COUNT; k++) {
    unsigned char back[SIZE + 1];
    uint32_t sender, number;
    ssize_t got = -1;
    AWAIT(d->f, (got = recv(fd, back, sizeof back, MSG_DONTWAIT)) >= 0);
    assert_int_equal(got, SIZE);
    assert_true(datagram_check(back, SIZE, &sender, &number));
    assert_int_equal(number, k);
  }
}

static struct desk *open_desk(struct fixture *f, int error, int32_t until_full) {
  struct desk *d = desk_new(f);
  train_error = error;
  alone_until_full = until_full;
  trains_refused = times_full = 0;
  d->each = answer_with_many;
  desk_bind(d, AF_INET, 0, 0);
  return d;
}

/* It is tried once for that size, and never again where the device cannot. */
static void refused(struct fixture *f, int error) {
  struct desk *d = open_desk(f, error, -1);
  const int fd = desk_visitor(d);
  ask_and_compare(d, fd);
  const uint32_t trains = trains_refused;
  assert_in_range(trains, 1, COUNT / 2);
  for (int i = 0; i < 5; i++) ask_and_compare(d, fd);
  assert_int_equal(trains_refused, trains);
  assert_int_equal(d->result, 0);
  assert_int_equal(d->failed, 0);
  assert_int_equal(d->errors, 0);
  assert_int_equal(stat_total(f->ctx, "datagrams_joined"), 0);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
}

static void a_device_that_cannot(void **state) { refused(*state, EIO); }
static void a_kernel_that_will_not(void **state) { refused(*state, EINVAL); }
static void a_path_that_is_too_narrow(void **state) { refused(*state, EMSGSIZE); }

/* An answer of the network to something else: trains go on. */
static void anothers_error(void **state) {
  struct fixture *f = *state;
  struct desk *d = open_desk(f, ECONNREFUSED, -1);
  const int fd = desk_visitor(d);
  ask_and_compare(d, fd);
  AWAIT(f, d->errors >= 1);
  assert_int_equal(d->error, TORQUE_ERR_SYSCALL + ECONNREFUSED);
  train_error = 0;
  ask_and_compare(d, fd);
  AWAIT(f, stat_total(f->ctx, "datagrams_joined") >= COUNT / 2); /* counted when they have gone */
  assert_int_equal(d->failed, 0);
}

/* Wherever a train breaks off, what is left of it waits, and goes in order when there is room. */
static void no_room_within_a_train(void **state) {
  struct fixture *f = *state;
  for (int32_t n = 0; n < COUNT; n += 7) {
    struct desk *d = open_desk(f, EINVAL, n);
    const int fd = desk_visitor(d);
    ask_and_compare(d, fd);
    assert_int_equal(times_full, 1);
    assert_int_equal(d->result, 0);
    assert_int_equal(d->failed, 0);
    uint64_t waits = 1;
    AWAIT(f, torque_datagram_queued(d->source, &waits) == 0 && waits == 0);
    assert_int_equal(torque_source_remove_wait(d->source), 0);
  }
}

static int all_is_well(void **state) {
  (void)state;
  train_error = 0;
  alone_until_full = -1;
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(a_device_that_cannot), ON_EVERY(a_kernel_that_will_not), ON_EVERY(a_path_that_is_too_narrow),
      ON_EVERY(anothers_error),       ON_EVERY(no_room_within_a_train),
  };
  return cmocka_run_group_tests(tests, NULL, all_is_well);
}
