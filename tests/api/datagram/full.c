/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets without room: what waits goes in order when there is some, what is too much is refused, and who was refused
 * hears of room. Nothing that was accepted is lost, and nothing is kept when nothing waits. */
#define _GNU_SOURCE
#include "support/datagrams.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { SIZE = 1000, LIMIT = 100000 };

static int pair(struct fixture *f, int *ret_other) {
  int fd[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
  *ret_other = fd[1];
  return fd[0];
}

static struct desk *limited(struct fixture *f, int *ret_peer,
                            void (*then)(struct desk *, torque_source, struct torque_datagrams *), void *aux) {
  struct desk *d = desk_new(f);
  const int fd = pair(f, ret_peer);
  d->then = then;
  d->aux = aux;
  assert_int_equal(torque_datagram_new(f->ctx, fd, 0, desk_call, d, &d->source), 0);
  assert_int_equal(torque_datagram_set_queue(d->source, LIMIT), 0);
  desk_start(d);
  return d;
}

static uint64_t queued(struct desk *d) {
  uint64_t bytes = 0;
  assert_int_equal(torque_datagram_queued(d->source, &bytes), 0);
  return bytes;
}

/* Until it is refused. Answers the number of the next. */
static uint32_t send_all_that_goes(torque_source source, uint32_t number, torque_err *ret) {
  unsigned char bytes[SIZE];
  for (;; number++) {
    datagram_write(bytes, SIZE, 1, number);
    *ret = torque_datagram_send(source, NULL, 0, bytes, SIZE);
    if (*ret) return number;
  }
}

static void take(struct desk *d, int peer, uint32_t from, uint32_t to) {
  for (uint32_t i = from; i < to; i++) {
    unsigned char back[SIZE + 1];
    uint32_t sender, number;
    ssize_t got = -1;
    AWAIT(d->f, (got = recv(peer, back, sizeof back, MSG_DONTWAIT)) >= 0);
    assert_int_equal(got, SIZE);
    assert_true(datagram_check(back, SIZE, &sender, &number));
    assert_int_equal(number, i);
  }
}

static void from_outside(void **state) {
  struct fixture *f = *state;
  int peer;
  struct desk *d = limited(f, &peer, NULL, NULL);
  fixture_settle(f);
  const uint64_t bytes = f->bytes, blocks = f->blocks;
  uint32_t sent = 0, taken = 0;
  for (uint32_t round = 1; round <= 20; round++) {
    torque_err err;
    sent = send_all_that_goes(d->source, sent, &err);
    assert_int_equal(err, TORQUE_ERR_SYSCALL + EAGAIN);
    assert_int_equal(d->rooms, round - 1);
    assert_in_range(queued(d), LIMIT, LIMIT + SIZE + 64);
    take(d, peer, taken, sent);
    taken = sent;
    AWAIT(f, d->rooms == round);
    AWAIT(f, queued(d) == 0);
  }
  fixture_settle(f);
  assert_int_equal(d->failed, 0);
  assert_int_equal(f->bytes, bytes); /* nothing is kept */
  assert_int_equal(f->blocks, blocks);
  assert_int_equal(stat_total(f->ctx, "datagrams_sent"), sent);
  assert_true(stat_total(f->ctx, "datagrams_delayed") >= 20 * (LIMIT / (SIZE + 64)));
}

/* A producer that goes on whenever there is room. */
struct producer {
  uint32_t sent, all;
  _Atomic int done;
};

static void produce(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  unsigned char bytes[SIZE];
  struct producer *p = d->aux;
  (void)batch;
  for (; p->sent < p->all; p->sent++) {
    datagram_write(bytes, SIZE, 1, p->sent);
    const torque_err err = torque_datagram_send(source, NULL, 0, bytes, SIZE);
    if (err == TORQUE_ERR_SYSCALL + EAGAIN) return;
    if (err) d->result = err;
  }
  p->done = 1;
}

static void from_the_callback(void **state) {
  struct fixture *f = *state;
  struct producer *p = fixture_take(f, sizeof *p);
  int peer;
  p->all = FEWER(20000);
  struct desk *d = limited(f, &peer, produce, p);
  assert_int_equal(send(peer, "go", 2, 0), 2);
  take(d, peer, 0, p->all);
  AWAIT(f, queued(d) == 0);
  assert_true(p->done);
  assert_true(d->rooms > 0);
  assert_int_equal(d->result, 0);
  assert_int_equal(d->failed, 0);
  AWAIT(f, stat_total(f->ctx, "datagrams_sent") >= p->all); /* counted when they have gone */
  assert_int_equal(stat_total(f->ctx, "datagrams_sent"), p->all);
}

/* Several threads at once, each in its own order. */
struct sender {
  struct desk *d;
  uint32_t who, count;
  _Atomic int wrong;
};

static void *send_in_order(void *arg) {
  struct sender *s = arg;
  unsigned char bytes[SIZE];
  for (uint32_t i = 0; i < s->count && !s->d->f->quit;) {
    datagram_write(bytes, SIZE, s->who, i);
    const torque_err err = torque_datagram_send(s->d->source, NULL, 0, bytes, SIZE);
    if (!err) {
      i++;
    } else if (err == TORQUE_ERR_SYSCALL + EAGAIN) {
      nap();
    } else {
      s->wrong = err;
      break;
    }
  }
  return NULL;
}

static void from_many_threads(void **state) {
  struct fixture *f = *state;
  enum { SENDERS = 6 };
  int peer;
  struct desk *d = limited(f, &peer, NULL, NULL);
  struct sender *s = fixture_take(f, SENDERS * sizeof *s);
  uint32_t next[SENDERS] = {0};
  const uint32_t each = FEWER(3000);
  for (uint32_t i = 0; i < SENDERS; i++) {
    s[i].d = d, s[i].who = i, s[i].count = each;
    fixture_thread(f, send_in_order, &s[i]);
  }
  for (uint32_t i = 0; i < SENDERS * each; i++) {
    unsigned char back[SIZE + 1];
    uint32_t sender = 0, number = 0;
    ssize_t got = -1;
    AWAIT(f, (got = recv(peer, back, sizeof back, MSG_DONTWAIT)) >= 0);
    assert_int_equal(got, SIZE);
    assert_true(datagram_check(back, SIZE, &sender, &number));
    assert_true(sender < SENDERS);
    assert_int_equal(number, next[sender]++);
  }
  fixture_join(f);
  for (int i = 0; i < SENDERS; i++) assert_int_equal(s[i].wrong, 0);
  AWAIT(f, queued(d) == 0);
  assert_int_equal(d->failed, 0);
}

/* One peer that does not read keeps nobody else waiting: what is for it fails, and is told. */
struct two {
  struct sockaddr_un deaf, awake;
};

static int named_socket(struct fixture *f, struct sockaddr_un *a, const char *name, void *of) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  memset(a, 0, sizeof *a);
  a->sun_family = AF_UNIX;
  snprintf(a->sun_path + 1, sizeof a->sun_path - 1, "torque-test-%s-%d-%p", name, (int)getpid(), of);
  assert_int_equal(bind(fd, (struct sockaddr *)a, sizeof *a), 0);
  return fd;
}

static void send_both(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  const struct two *t = d->aux;
  if (!torque_datagrams_count(batch)) return;
  for (int i = 0; i < 10; i++) {
    torque_err err = torque_datagram_send(source, &t->deaf, sizeof t->deaf, "for the deaf", 12);
    if (!err) err = torque_datagram_send(source, &t->awake, sizeof t->awake, "awake", 5);
    if (err) d->result = err;
  }
}

static void a_peer_that_does_not_read(void **state) {
  struct fixture *f = *state;
  struct two *t = fixture_take(f, sizeof *t);
  struct sockaddr_un own;
  struct desk *d = desk_new(f);
  const int fd = named_socket(f, &own, "own", d), deaf = named_socket(f, &t->deaf, "deaf", d),
            awake = named_socket(f, &t->awake, "awake", d);
  d->then = send_both;
  d->aux = t;
  desk_serve(d, fd, 0);
  const int visitor = desk_visitor(d);
  const uint32_t rounds = 200;
  for (uint32_t i = 1; i <= rounds; i++) {
    assert_int_equal(send(visitor, "go", 2, 0), 2);
    for (int k = 0; k < 10; k++) {
      char back[16];
      ssize_t got = -1;
      AWAIT(f, (got = recv(awake, back, sizeof back, MSG_DONTWAIT)) >= 0);
      assert_int_equal(got, 5);
    }
  }
  assert_int_equal(d->result, 0);
  AWAIT(f, d->failed > 0);
  uint32_t heard = 0;
  for (char back[16]; recv(deaf, back, sizeof back, MSG_DONTWAIT) == 12;) heard++;
  AWAIT(f, heard + d->failed == 10 * rounds);
  assert_int_equal(d->failure, TORQUE_ERR_SYSCALL + EAGAIN);
  assert_int_equal(queued(d), 0);
  /* At once, the same. */
  torque_err err = 0;
  for (int i = 0; i < 10000 && !err; i++) err = torque_datagram_send(d->source, &t->deaf, sizeof t->deaf, "x", 1);
  assert_int_equal(err, TORQUE_ERR_SYSCALL + EAGAIN);
}

/* What still waits when the source ends is dropped, and counted. */
static void ended_while_something_waits(void **state) {
  struct fixture *f = *state;
  int peer;
  struct desk *d = limited(f, &peer, NULL, NULL);
  torque_err err;
  const uint32_t sent = send_all_that_goes(d->source, 0, &err);
  assert_true(queued(d) > 0);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
  assert_int_equal(d->finals, 1);
  uint32_t arrived = 0;
  for (unsigned char back[SIZE]; recv(peer, back, SIZE, MSG_DONTWAIT) == SIZE;) arrived++;
  assert_int_equal(stat_total(f->ctx, "datagrams_sent"), arrived);
  assert_int_equal(stat_total(f->ctx, "datagrams_failed"), sent - arrived);
}

static void stopped_while_something_waits(void **state) {
  struct fixture *f = *state;
  int peer;
  struct desk *d = limited(f, &peer, NULL, NULL);
  torque_err err;
  (void)send_all_that_goes(d->source, 0, &err);
  fixture_stop(f);
  assert_int_equal(d->finals, 1);
  assert_int_equal(d->reason, TORQUE_END_STOPPED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(from_outside),
      ON_EVERY(from_the_callback),
      ON_EVERY(from_many_threads),
      ON_EVERY(a_peer_that_does_not_read),
      ON_EVERY(ended_while_something_waits),
      ON_EVERY(stopped_while_something_waits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
