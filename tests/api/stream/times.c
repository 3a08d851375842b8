/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits in time: each ends the stream, or asks the program; none is early; what holds the stream up by the program's own
 * wish does not count. */
#include "support/streams.h"

#include <errno.h>
#include <string.h>
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

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(nothing_comes),        ON_EVERY(something_comes), ON_EVERY(nothing_goes), ON_EVERY(idle),
      ON_EVERY(the_program_is_asked), ON_EVERY(paused),          ON_EVERY(another_type),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
