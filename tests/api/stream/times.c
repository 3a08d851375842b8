/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits in time: each ends the stream, or asks the program; none is early; what holds the stream up by the program's own
 * wish does not count. */
#include "support/streams.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000, BIG = 4 << 20 };

static torque_source limited(struct party *p, int32_t which, uint64_t ns, int fd) {
  assert_int_equal(torque_stream_type_set_limit(p->type, which, ns), 0);
  return party_add(p, fd);
}

static void assert_timed_out(struct party *p, uint64_t before, uint64_t limit) {
  AWAIT(p->f, p->closed);
  assert_true(monotonic_ns() - before >= limit);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  assert_int_equal(p->closed, 1);
  party_free(p);
}

static void nothing_comes(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const uint64_t before = monotonic_ns();
  (void)limited(p, TORQUE_STREAM_READ_TIMEOUT, 30 * MS, fd[1]);
  assert_timed_out(p, before, 30 * MS);
}

/* What comes puts it off. */
static void something_comes(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  (void)limited(p, TORQUE_STREAM_READ_TIMEOUT, 50 * MS, fd[1]);
  uint64_t sent = 0, last = 0;
  for (const uint64_t start = monotonic_ns(); monotonic_ns() - start < 150 * MS;) {
    /* Noted before it is sent: whoever measures from then on is on the safe side. */
    const uint64_t now = monotonic_ns();
    if (p->closed) break; /* this thread was away for so long: fine */
    if (pattern_put(fd[0], sent, 10) == 10) last = now, sent += 10;
    fixture_settle(f);
  }
  assert_timed_out(p, last, 50 * MS);
}

static void nothing_goes(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_pair(f, fd);
  char *bytes = fixture_take(f, BIG);
  const torque_source s = limited(p, TORQUE_STREAM_WRITE_TIMEOUT, 30 * MS, fd[1]);
  AWAIT(f, p->opened);
  const uint64_t before = monotonic_ns();
  assert_int_equal(torque_stream_write(s, bytes, BIG), 0);
  assert_timed_out(p, before, 30 * MS);
}

static void idle(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const uint64_t before = monotonic_ns();
  const torque_source s = limited(p, TORQUE_STREAM_IDLE_TIMEOUT, 40 * MS, fd[1]);
  assert_int_equal(torque_stream_write(s, "abc", 3), 0);
  assert_timed_out(p, before, 40 * MS);
}

static int32_t three_times(torque_source stream, int32_t which, void *arg) {
  struct party *p = arg;
  (void)stream;
  if (which != TORQUE_STREAM_IDLE_TIMEOUT) p->strange++;
  return ++p->aux < 3;
}

static void the_program_is_asked(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const uint64_t before = monotonic_ns();
  assert_int_equal(torque_stream_type_set_timeout(p->type, three_times), 0);
  (void)limited(p, TORQUE_STREAM_IDLE_TIMEOUT, 15 * MS, fd[1]);
  AWAIT(f, p->closed);
  assert_int_equal(p->aux, 3);
  assert_int_equal(p->strange, 0);
  assert_timed_out(p, before, 3 * 15 * MS);
}

/* A stream that is paused waits for its program, not for the peer. */
static void paused(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_READ_TIMEOUT, 20 * MS), 0);
  fixture_disown(f, fd[1]);
  torque_source s;
  assert_int_equal(torque_stream_new(f->ctx, fd[1], p->type, p, &s), 0);
  assert_int_equal(torque_stream_pause(s), 0);
  assert_int_equal(torque_source_start(s), 0);
  for (const uint64_t start = monotonic_ns(); monotonic_ns() - start < 80 * MS;) fixture_settle(f);
  assert_int_equal(p->closed, 0);
  const uint64_t before = monotonic_ns();
  assert_int_equal(torque_stream_resume(s), 0);
  assert_timed_out(p, before, 20 * MS);
}

/* A type with limits, given later, counts from then on. */
static size_t change_type(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  if (torque_stream_set_type(stream, p->more)) p->strange++;
  return length;
}

static void another_type(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, change_type, party_end), *q = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_stream_type_set_limit(q->type, TORQUE_STREAM_IDLE_TIMEOUT, 20 * MS), 0);
  p->more = q->type;
  (void)party_add(p, fd[1]);
  fixture_settle(f);
  const uint64_t before = monotonic_ns();
  assert_int_equal(send(fd[0], "x", 1, 0), 1);
  assert_timed_out(p, before, 20 * MS);
  assert_int_equal(torque_stream_type_set_linger(q->type, 0), TORQUE_ERR_STATE);
  party_free(q);
}

/* ---- Peers that take little at a time, but go on ---- */

enum way { UNIX, TCP, PIPE, WAYS };

/* A stream, its descriptor, and the peer's. */
static torque_source make(struct party *p, enum way way, int *ret_peer, int *ret_own) {
  int fd[2];
  if (way == UNIX) fixture_pair(p->f, fd);
  if (way == TCP) fixture_tcp(p->f, fd);
  if (way == PIPE) fixture_pipe(p->f, fd);
  *ret_peer = fd[0];
  *ret_own = fd[1];
  return party_add(p, fd[1]);
}

static int waiting_in_the_system(enum way way, int fd) {
  int n = 0;
  return ioctl(fd, way == PIPE ? FIONREAD : SIOCOUTQ, &n) == 0 ? n : 0;
}

/* Takes some every quarter of the limit, for `limits` of them. When the stream has ended meanwhile that was no earlier than a
 * limit after what was seen to go: the last but one, as the last may have gone when that was decided. (since: before that.) */
static void takes_little(struct party *p, enum way way, int peer, int own, uint64_t since, uint64_t limit, int limits) {
  static char bytes[48000];
  uint64_t last = since, last_but_one = since, next = since;
  for (const uint64_t start = monotonic_ns(); !p->closed && monotonic_ns() - start < (uint64_t)limits * limit;) {
    fixture_settle(p->f);
    if (monotonic_ns() < next) continue;
    const int before = waiting_in_the_system(way, own);
    const uint64_t now = monotonic_ns();
    if (p->closed) break; /* the number may be another's by now */
    const ssize_t n = read(peer, bytes, way == PIPE ? 4096 : sizeof bytes);
    (void)n;
    if (waiting_in_the_system(way, own) < before) last_but_one = last, last = now;
    next = now + limit / 4;
  }
  if (p->closed) assert_true(monotonic_ns() - last_but_one >= limit);
}

static void slow_peer(void **state, int32_t which) {
  struct fixture *f = *state;
  for (enum way way = UNIX; way < WAYS; way++) {
    struct party *p = party_new(f, party_take, party_end);
    int peer, own;
    assert_int_equal(torque_stream_type_set_limit(p->type, which, 50 * MS), 0);
    const uint64_t since = monotonic_ns();
    const torque_source s = make(p, way, &peer, &own);
    AWAIT(f, p->opened);
    char *bytes = fixture_take(f, 2 * BIG);
    (void)torque_stream_write(s, bytes, 2 * BIG);
    takes_little(p, way, peer, own, since, 50 * MS, 5);
    AWAIT(f, p->closed); /* it takes no more */
    assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
    party_free(p);
    fixture_release(f);
  }
}

static void slow_peer_and_write_limit(void **state) { slow_peer(state, TORQUE_STREAM_WRITE_TIMEOUT); }
static void slow_peer_and_idle_limit(void **state) { slow_peer(state, TORQUE_STREAM_IDLE_TIMEOUT); }

/* The system has taken it all: nothing waits in the stream. */
static void slow_peer_of_little(void **state) {
  struct fixture *f = *state;
  for (enum way way = UNIX; way < PIPE; way++) {
    struct party *p = party_new(f, party_take, party_end);
    int peer, own;
    assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_IDLE_TIMEOUT, 50 * MS), 0);
    const torque_source s = make(p, way, &peer, &own);
    char *bytes = fixture_take(f, 100000);
    (void)torque_stream_write(s, bytes, 100000);
    const uint64_t start = monotonic_ns();
    while (!p->closed && monotonic_ns() - start < 120 * MS && waiting_in_the_system(way, own)) {
      const ssize_t n = read(peer, bytes, 2000);
      (void)n;
      fixture_settle(f);
    }
    AWAIT(f, p->closed);
    assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
    party_free(p);
    fixture_release(f);
  }
}

/* The close waits for the peer's end while the peer takes what is on its way. */
static void slow_peer_and_linger(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  assert_int_equal(torque_stream_type_set_linger(p->type, 50 * MS), 0);
  fixture_tcp(f, fd);
  const uint64_t since = monotonic_ns();
  const torque_source s = party_add(p, fd[1]);
  char *bytes = fixture_take(f, BIG);
  assert_int_equal(torque_stream_write(s, bytes, 2000000), 0);
  assert_int_equal(torque_stream_close(s), 0);
  takes_little(p, TCP, fd[0], fd[1], since, 50 * MS, 10);
  size_t got = 0;
  int end = 0;
  AWAIT(f, (got += drain(fd[0], &end), end));
  assert_true(got > 0);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
}

/* A pipe that is only written to has no input to wait for. */
static void nothing_can_come(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_pipe(f, fd);
  (void)limited(p, TORQUE_STREAM_READ_TIMEOUT, 5 * MS, fd[1]);
  AWAIT(f, p->opened);
  for (const uint64_t start = monotonic_ns(); monotonic_ns() - start < 25 * MS;) fixture_settle(f);
  assert_int_equal(p->closed, 0);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(nothing_comes),
      ON_EVERY(something_comes),
      ON_EVERY(nothing_goes),
      ON_EVERY(idle),
      ON_EVERY(the_program_is_asked),
      ON_EVERY(paused),
      ON_EVERY(another_type),
      ON_EVERY(slow_peer_and_write_limit),
      ON_EVERY(slow_peer_and_idle_limit),
      ON_EVERY(slow_peer_of_little),
      ON_EVERY(slow_peer_and_linger),
      ON_EVERY(nothing_can_come),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
