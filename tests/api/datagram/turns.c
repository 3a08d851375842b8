/* SPDX-License-Identifier: BSD-3-Clause */
/* A datagram source takes its turns like every other: it keeps nobody waiting for ever, stays in its strand, and may run
 * its driven context from its callback. */
#include "support/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support/child.h"
#include "support/cmocka.h"

/* ---- A source that never runs dry ---- */

static void again_to_itself(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  const torque_err err = torque_datagram_send(d->source, &d->address, d->length, torque_datagrams_data(batch, i),
                                              torque_datagrams_size(batch, i));
  if (err) d->result = err;
}

static void count_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  atomic_fetch_add((_Atomic uint32_t *)arg, (uint32_t)expirations);
}

static int32_t count_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  return atomic_fetch_add((_Atomic uint32_t *)arg, 1) < 50 ? TORQUE_AGAIN : TORQUE_DONE;
}

static void others_have_their_turn(void **state) {
  struct fixture *f = *state;
  _Atomic uint32_t *counts = fixture_take(f, 2 * sizeof *counts);
  torque_source timer, event;
  struct desk *d = desk_new(f);
  d->each = again_to_itself;
  desk_bind(d, AF_INET, 0, 0);
  for (int i = 0; i < 40; i++) assert_int_equal(torque_datagram_send(d->source, &d->address, d->length, "round", 5), 0);
  AWAIT(f, d->received > 1000);
  assert_int_equal(torque_timer_add(f->ctx, 1000000, 1000000, 0, count_timer, (void *)(uintptr_t)&counts[0], &timer),
                   0);
  assert_int_equal(torque_event_add(f->ctx, 0, count_event, (void *)(uintptr_t)&counts[1], &event), 0);
  assert_int_equal(torque_trigger(event, TORQUE_READ), 0);
  AWAIT(f, counts[0] >= 5 && counts[1] > 50);
  const uint64_t received = d->received;
  AWAIT(f, d->received > received + 100);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
  assert_int_equal(d->result, 0);
}

/* ---- Postponing: the rest after the others, and nothing is lost ---- */

static void put_off(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  (void)batch;
  if (torque_postpone(source)) d->result = -1;
}

static void postponed_and_complete(void **state) {
  struct fixture *f = *state;
  struct desk *d = desk_new(f);
  d->each = desk_echo;
  d->then = put_off;
  desk_bind(d, AF_INET, TORQUE_DATAGRAM_GRO, 0);
  struct callers *c = callers_come(f, d, 4, FEWER(1000), 500);
  AWAIT(f, c->returned == 4 * FEWER(1000) || c->lost);
  fixture_join(f);
  assert_int_equal(c->wrong, 0);
  assert_int_equal(c->lost, 0);
  assert_int_equal(d->result, 0);
}

/* ---- A strand with others ---- */

struct shared {
  _Atomic uint32_t inside, overlaps, turns;
};

static void in_strand(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  struct shared *s = d->aux;
  (void)source, (void)batch;
  if (atomic_fetch_add(&s->inside, 1)) s->overlaps++;
  sched_yield();
  atomic_fetch_sub(&s->inside, 1);
}

static void in_strand_too(void *arg) {
  struct shared *s = arg;
  if (atomic_fetch_add(&s->inside, 1)) s->overlaps++;
  s->turns++;
  atomic_fetch_sub(&s->inside, 1);
}

static void a_strand_with_others(void **state) {
  struct fixture *f = *state;
  enum { DESKS = 3, POSTS = 300 };
  struct shared *s = fixture_take(f, sizeof *s);
  struct torque_strand *strand;
  struct desk *d[DESKS];
  struct callers *c[DESKS];
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const uint32_t each = FEWER(500);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  for (int i = 0; i < DESKS; i++) {
    d[i] = desk_new(f);
    d[i]->each = desk_echo;
    d[i]->then = in_strand;
    d[i]->aux = s;
    assert_int_equal(torque_datagram_bind_new(f->ctx, &a, sizeof a, i == 0 ? TORQUE_DATAGRAM_REUSEPORT : 0, desk_call,
                                              d[i], &d[i]->source),
                     0);
    assert_int_equal(torque_source_set_strand(d[i]->source, strand), 0);
    desk_start(d[i]);
    c[i] = callers_come(f, d[i], 2, each, 300);
  }
  for (int i = 0; i < POSTS; i++) assert_int_equal(torque_strand_post(strand, in_strand_too, s), 0);
  for (int i = 0; i < DESKS; i++) AWAIT(f, c[i]->returned == 2 * each || c[i]->lost);
  AWAIT(f, s->turns == POSTS);
  fixture_join(f);
  torque_strand_free(strand);
  for (int i = 0; i < DESKS; i++) {
    assert_int_equal(c[i]->wrong, 0);
    assert_int_equal(c[i]->lost, 0);
    assert_int_equal(torque_source_remove_wait(d[i]->source), 0);
  }
  assert_int_equal(s->overlaps, 0);
}

/* ---- A context that is run from the callback ---- */

struct nest {
  struct desk *inner;
  int inner_socket;
  unsigned depth;
};

/* While the inner source receives, what the outer one has in hand stays as it is; what is sent by the outer source from
 * within the inner callback keeps its place. */
static void inner_sends_too(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  struct desk *outer = d->aux;
  (void)batch, (void)i;
  const torque_err err = torque_datagram_send(outer->source, NULL, 0, "2", 1);
  if (err) d->result = err;
}

static void run_inside(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  struct nest *n = d->aux;
  unsigned char before[64];
  if (torque_datagrams_count(batch) == 0 || n->depth++) return;
  const uint32_t size = torque_datagrams_size(batch, 0);
  memcpy(before, torque_datagrams_data(batch, 0), size);
  if (torque_datagram_send(source, NULL, 0, "1", 1)) d->result = -1;
  if (send(n->inner_socket, "something else", 14, 0) != 14) d->result = -2;
  const uint64_t received = n->inner->received;
  for (int i = 0; i < 1000 && n->inner->received == received; i++)
    if (torque_run_once(d->f->ctx, 1000000, NULL)) d->result = -3;
  if (memcmp(before, torque_datagrams_data(batch, 0), size) || torque_datagrams_size(batch, 0) != size) d->result = -4;
  if (torque_datagram_send(source, NULL, 0, "3", 1)) d->result = -5;
}

static void run_from_the_callback(void **state) {
  struct fixture *f = *state;
  struct nest n = {0};
  int fd[2];
  struct desk *outer = desk_new(f), *inner = desk_new(f);
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
  n.inner = inner;
  inner->each = inner_sends_too;
  inner->aux = outer;
  outer->then = run_inside;
  outer->aux = &n;
  desk_bind(inner, AF_INET, 0, 0);
  n.inner_socket = desk_visitor(inner);
  desk_serve(outer, fd[0], 0);
  for (uint64_t round = 1; round <= 20; round++) {
    n.depth = 0;
    assert_int_equal(send(fd[1], "a quite particular text", 23, 0), 23);
    AWAIT(f, outer->received == round);
    for (char c = '1'; c <= '3'; c++) {
      char back[4] = "";
      assert_int_equal(recv(fd[1], back, sizeof back, 0), 1);
      assert_int_equal(back[0], c);
    }
  }
  assert_int_equal(outer->result, 0);
  assert_int_equal(inner->result, 0);
  assert_int_equal(inner->received, 20);
}

/* ---- A child goes on with a driven context ---- */

static void say_back(struct desk *d, struct torque_datagrams *batch, uint32_t i) { desk_echo(d, batch, i); }

struct family {
  struct fixture *f;
  struct desk *full, *echo;
  int echo_visitor;
};

static int in_the_child(void *arg) {
  struct family *a = arg;
  uint64_t bytes = 1;
  CHECK(torque_datagram_send(a->full->source, NULL, 0, "x", 1) == TORQUE_ERR_FORKED);
  CHECK(torque_reinit(a->f->ctx) == 0);
  CHECK(torque_datagram_queued(a->full->source, &bytes) == 0);
  CHECK(bytes == 0); /* what waits is the parent's to send */
  CHECK_SOON((torque_run_once(a->f->ctx, 1000000, NULL), a->full->rooms == 1));
  CHECK(send(a->echo_visitor, "child", 5, 0) == 5);
  CHECK_SOON((torque_run_once(a->f->ctx, 1000000, NULL), a->echo->received == 1));
  CHECK(torque_stop(a->f->ctx) == 0);
  CHECK(a->full->finals == 1 && a->echo->finals == 1);
  return 0;
}

static void a_child_after_reinit(void **state) {
  struct fixture *f = *state;
  struct family a = {.f = f};
  int fd[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
  a.full = desk_new(f);
  a.echo = desk_new(f);
  a.echo->each = say_back;
  desk_serve(a.full, fd[0], 0);
  desk_bind(a.echo, AF_INET, 0, 0);
  a.echo_visitor = desk_visitor(a.echo);
  torque_err err = 0;
  uint64_t sent = 0, waiting = 0, received = 0;
  static char bytes[1000];
  for (; !err; sent += !err) err = torque_datagram_send(a.full->source, NULL, 0, bytes, sizeof bytes);
  assert_int_equal(err, TORQUE_ERR_SYSCALL + EAGAIN);
  assert_int_equal(torque_datagram_queued(a.full->source, &waiting), 0);
  assert_true(waiting > 0);
  assert_int_equal(child_run(in_the_child, &a), 0);
  /* The parent's are all there, once. */
  assert_int_equal(recv(a.echo_visitor, bytes, sizeof bytes, 0), 5);
  for (; received < sent; received++) {
    ssize_t got = -1;
    AWAIT(f, (got = recv(fd[1], bytes, sizeof bytes, MSG_DONTWAIT)) >= 0);
    assert_int_equal(got, sizeof bytes);
  }
  AWAIT(f, a.full->rooms == 1);
  fixture_settle(f);
  assert_int_equal(recv(fd[1], bytes, sizeof bytes, MSG_DONTWAIT), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(others_have_their_turn),  ON_EVERY(postponed_and_complete), ON_EVERY(a_strand_with_others),
      ON(driven, run_from_the_callback), ON(driven, a_child_after_reinit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
