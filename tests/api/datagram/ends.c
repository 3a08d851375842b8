/* SPDX-License-Identifier: BSD-3-Clause */
/* A source that ends while datagrams come and go: one end, no call after it, and what its last callback sent has left. */
#include "support/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { THREADS = 3 };

/* Sends without end, and never waits for an answer. */
struct crowd {
  struct desk *desk;
  _Atomic int enough;
};

static void *throng(void *arg) {
  struct crowd *c = arg;
  const int fd = socket(c->desk->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&c->desk->address, c->desk->length)) return NULL;
  while (!atomic_load(&c->enough) && !atomic_load(&c->desk->f->quit)) (void)send(fd, "more", 4, MSG_DONTWAIT);
  close(fd);
  return NULL;
}

static struct crowd *gather(struct fixture *f, struct desk *d) {
  struct crowd *c = fixture_take(f, sizeof *c);
  c->desk = d;
  for (int i = 0; i < THREADS; i++) fixture_thread(f, throng, c);
  AWAIT(f, d->received >= 100);
  return c;
}

static void assert_over(struct fixture *f, struct desk *d, struct crowd *c, int32_t reason) {
  AWAIT(f, d->finals);
  const uint64_t received = d->received;
  if (f->ctx) fixture_settle(f);
  atomic_store(&c->enough, 1);
  fixture_join(f);
  assert_int_equal(d->received, received);
  assert_int_equal(d->calls_after_final, 0);
  assert_int_equal(d->finals, 1);
  assert_int_equal(d->reason, reason);
  assert_int_equal(d->wrong, 0);
}

static const uint32_t kinds[] = {0, TORQUE_DATAGRAM_GRO, TORQUE_DATAGRAM_REUSEPORT};
#define EACH_KIND(k) for (uint32_t k = 0; k < sizeof kinds / sizeof *kinds; k++)

static struct desk *open_desk(struct fixture *f, uint32_t flags) {
  struct desk *d = desk_new(f);
  d->each = desk_echo;
  desk_bind(d, AF_INET, flags, 0);
  return d;
}

static void from_outside(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct desk *d = open_desk(f, kinds[k]);
    struct crowd *c = gather(f, d);
    assert_int_equal(torque_source_remove(d->source), 0);
    assert_int_equal(torque_source_remove(d->source), TORQUE_ERR_STALE);
    assert_over(f, d, c, TORQUE_END_REMOVED);
  }
}

static void from_outside_and_waiting(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct desk *d = open_desk(f, kinds[k]);
    struct crowd *c = gather(f, d);
    assert_int_equal(torque_source_remove_wait(d->source), 0);
    assert_int_equal(d->finals, 1);
    assert_int_equal(d->inside, 0);
    assert_over(f, d, c, TORQUE_END_REMOVED);
  }
}

static void by_stopping(void **state) {
  struct fixture *f = *state;
  struct desk *d = open_desk(f, TORQUE_DATAGRAM_REUSEPORT), *other = open_desk(f, 0);
  struct crowd *c = gather(f, d), *b = gather(f, other);
  fixture_stop(f);
  atomic_store(&b->enough, 1);
  assert_over(f, d, c, TORQUE_END_STOPPED);
  assert_int_equal(other->finals, 1);
  assert_int_equal(other->reason, TORQUE_END_STOPPED);
}

/* Answers, and then removes itself; waiting for itself is refused. */
static void answer_and_remove(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  if (!torque_datagrams_count(batch)) return;
  const torque_err waited = torque_source_remove_wait(source);
  if (waited != TORQUE_ERR_DEADLOCK) d->result = -1;
  const torque_err err = torque_datagrams_reply(batch, 0, "one", 3);
  if (err) d->result = err;
  if (torque_source_remove(source)) d->result = -2;
  const torque_err late = torque_datagrams_reply(batch, 0, "two", 3); /* still in its callback */
  if (late) d->result = late;
}

static void from_its_own_callback(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct desk *d = desk_new(f);
    char back[16];
    d->then = answer_and_remove;
    desk_bind(d, AF_INET, kinds[k], 0);
    const int fd = desk_visitor(d);
    assert_int_equal(send(fd, "?", 1, 0), 1);
    AWAIT(f, d->finals);
    assert_int_equal(d->result, 0);
    assert_int_equal(recv(fd, back, sizeof back, 0), 3);
    assert_int_equal(recv(fd, back, sizeof back, 0), 3);
    assert_int_equal(d->calls, 1);
    assert_int_equal(d->reason, TORQUE_END_REMOVED);
    assert_int_equal(torque_datagram_send(d->source, &d->address, d->length, "x", 1), TORQUE_ERR_STALE);
  }
}

/* The first of many: the others that came with it are not told any more. */
static void remove_at_the_first(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  (void)batch;
  if (torque_source_remove(source)) d->result = -1;
}

static void with_many_at_hand(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct desk *d = desk_new(f);
  d->length = sizeof d->address;
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&d->address, &d->length), 0);
  const int visitor = desk_visitor(d);
  for (int i = 0; i < 100; i++) assert_int_equal(send(visitor, "x", 1, 0), 1);
  d->then = remove_at_the_first;
  assert_int_equal(torque_datagram_new(f->ctx, fd, 0, desk_call, d, &d->source), 0);
  assert_int_equal(torque_source_set_finalizer(d->source, desk_final), 0);
  assert_int_equal(torque_source_start(d->source), 0); /* they are told without an edge of their own */
  AWAIT(f, d->finals);
  fixture_settle(f);
  assert_int_equal(d->calls, 1);
  assert_in_range(d->received, 1, 64);
  assert_int_equal(d->result, 0);
}

/* The caller's descriptor is his to close, and its number to be used again, at any time. */
static void the_callers_descriptor_is_closed(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
  struct desk *d = desk_new(f);
  d->each = desk_echo;
  assert_int_equal(torque_datagram_new(f->ctx, fd, 0, desk_call, d, &d->source), 0);
  close(fd);
  int pipes[2];
  fixture_pipe(f, pipes);
  desk_start(d);
  const int visitor = desk_visitor(d);
  char back[16];
  for (int i = 0; i < 10; i++) {
    assert_int_equal(send(visitor, "hello", 5, 0), 5);
    AWAIT(f, d->received == (uint64_t)i + 1);
    assert_int_equal(recv(visitor, back, sizeof back, 0), 5);
  }
  assert_int_equal(torque_close(d->source), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
  assert_int_equal(send(visitor, "gone", 4, 0), 4); /* its port is nobody's any more */
  assert_int_equal(recv(visitor, back, sizeof back, 0), -1);
  assert_int_equal(errno, ECONNREFUSED);
}

/* Made, not started, removed. */
static void never_started(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
  for (int i = 0; i < 3; i++) {
    struct desk *d = desk_new(f);
    const torque_err err = i == 0
                               ? torque_datagram_new(f->ctx, fd[0], 0, desk_call, d, &d->source)
                               : torque_datagram_bind_new(f->ctx, &a, sizeof a, i == 1 ? 0 : TORQUE_DATAGRAM_REUSEPORT,
                                                          desk_call, d, &d->source);
    assert_int_equal(err, 0);
    assert_int_equal(torque_source_set_finalizer(d->source, desk_final), 0);
    assert_int_equal(torque_source_remove_wait(d->source), 0);
    assert_int_equal(d->finals, 1);
  }
}

/* Senders on other threads while it ends: each is answered, none waits for ever. */
struct sender {
  struct desk *d;
  _Atomic uint32_t sent, stale, wrong;
};

static void *send_until_stale(void *arg) {
  struct sender *s = arg;
  while (!s->d->f->quit) {
    const torque_err err = torque_datagram_send(s->d->source, &s->d->address, s->d->length, "to itself", 9);
    if (err == TORQUE_ERR_STALE) {
      s->stale++;
      break;
    }
    if (err) s->wrong++;
    s->sent++;
  }
  return NULL;
}

static void while_others_send(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct sender *s = fixture_take(f, sizeof *s);
    struct desk *d = desk_new(f);
    s->d = d;
    desk_bind(d, AF_INET, kinds[k], 0);
    for (int i = 0; i < THREADS; i++) fixture_thread(f, send_until_stale, s);
    AWAIT(f, d->received >= 200);
    assert_int_equal(torque_source_remove(d->source), 0);
    AWAIT(f, s->stale == THREADS && d->finals == 1);
    fixture_join(f);
    assert_int_equal(s->wrong, 0);
    assert_int_equal(d->calls_after_final, 0);
    assert_int_equal(d->wrong, 0);
  }
}

/* While another thread starts it: whoever comes first, there is one end, and nothing stays. */
static void *start_it(void *arg) {
  struct desk *d = arg;
  const torque_err err = torque_source_start(d->source);
  if (err && err != TORQUE_ERR_STALE && err != TORQUE_ERR_STATE) d->wrong++;
  return NULL;
}

static void while_it_starts(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int i = 0; i < FEWER(500); i++) {
    struct desk *d = desk_new(f);
    assert_int_equal(torque_datagram_bind_new(f->ctx, &a, sizeof a, kinds[i % 3], desk_call, d, &d->source), 0);
    assert_int_equal(torque_source_set_finalizer(d->source, desk_final), 0);
    fixture_thread(f, start_it, d);
    for (int k = 0; k < i % 5; k++) sched_yield();
    assert_int_equal(torque_source_remove_wait(d->source), 0);
    fixture_join(f);
    assert_int_equal(d->finals, 1);
    assert_int_equal(d->wrong, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(from_outside),          ON_EVERY(from_outside_and_waiting), ON_EVERY(by_stopping),
      ON_EVERY(from_its_own_callback), ON_EVERY(with_many_at_hand),        ON_EVERY(the_callers_descriptor_is_closed),
      ON_EVERY(never_started),         ON_EVERY(while_others_send),
      ON_EVERY(while_it_starts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
