/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer that does not read, and a program that does not take: each holds up the other, within bounds, and nothing is
 * lost. */
#include "support/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { LOW = 10000, HIGH = 50000, BUDGET = 65536 };

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  uint64_t pending;
  if (torque_stream_pending(stream, &pending) || pending > HIGH + 2 * BUDGET) p->strange++;
  return length;
}

static uint64_t fill(struct fixture *f, int fd, uint64_t from) {
  uint64_t n = 0;
  for (int idle = 0; idle < 3;) {
    const uint32_t more = pattern_put(fd, from + n, 65536);
    n += more;
    idle = more ? 0 : idle + 1;
    fixture_settle(f);
  }
  return n;
}

/* It is told no more than the marks allow, goes on where it stopped, and drain is told. */
static void peer_does_not_read(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, echo, party_end);
  assert_int_equal(torque_stream_type_set_output(p->type, LOW, HIGH), 0);
  assert_int_equal(torque_stream_type_set_budget(p->type, BUDGET), 0);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  const uint64_t sent = fill(f, fd[0], 0);
  const uint64_t in = p->in;
  assert_true(in < sent);
  fixture_settle(f);
  assert_int_equal(p->in, in);
  uint64_t pending, got = 0;
  assert_int_equal(torque_stream_pending(s, &pending), 0);
  assert_true(pending > LOW);
  AWAIT(f, pattern_check(fd[0], &got) && got == sent);
  assert_true(p->drained >= 1);
  assert_int_equal(torque_stream_pending(s, &pending), 0);
  assert_int_equal(pending, 0);
  assert_int_equal(p->strange, 0);
  fixture_close(f, fd[0]);
  AWAIT(f, p->ended);
  party_free(p);
}

/* Takes nothing until told to. */
static size_t refuse(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream;
  p->calls++;
  if (!pattern_is(data, p->in, length)) p->strange++;
  if (!p->aux) return 0;
  p->in += length;
  return length;
}

static void program_takes_nothing(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, refuse, party_end);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, HIGH), 0);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  const uint64_t sent = fill(f, fd[0], 0);
  assert_true(sent > HIGH);
  const uint32_t calls = p->calls;
  fixture_settle(f);
  assert_int_equal(p->calls, calls); /* full: it is not asked again */
  p->aux = 1;
  assert_int_equal(torque_stream_resume(s), 0);
  AWAIT(f, p->in == sent);
  assert_int_equal(p->strange, 0);
  assert_int_equal(torque_stream_close(s), 0);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  party_free(p);
}

static void paused_from_outside(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  uint64_t sent = 0;
  for (int i = 0; i < 20; i++) {
    assert_int_equal(torque_stream_pause(s), 0);
    fixture_settle(f);
    const uint64_t in = p->in;
    sent += pattern_put(fd[0], sent, 3000);
    fixture_settle(f);
    assert_int_equal(p->in, in);
    assert_int_equal(torque_stream_resume(s), 0);
    AWAIT(f, p->in == sent);
  }
  /* The end comes to a paused stream when it is resumed. */
  assert_int_equal(torque_stream_pause(s), 0);
  fixture_settle(f);
  sent += pattern_put(fd[0], sent, 3000);
  fixture_close(f, fd[0]);
  fixture_settle(f);
  assert_int_equal(p->ended, 0);
  assert_int_equal(torque_stream_resume(s), 0);
  AWAIT(f, p->ended);
  assert_int_equal(p->in, sent);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* Takes one message of 10 bytes and pauses. */
static size_t one_at_a_time(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->calls++;
  if (!pattern_is(data, p->in, length)) p->strange++;
  if (length < 10) return 0;
  p->in += 10;
  if (torque_stream_pause(stream)) p->strange++;
  return 10;
}

static void paused_from_inside(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, one_at_a_time, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 500), 500);
  for (uint64_t n = 1; n <= 50; n++) {
    AWAIT(f, p->in == n * 10);
    fixture_settle(f);
    assert_int_equal(p->in, n * 10);
    assert_int_equal(torque_stream_resume(s), 0);
  }
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* Nothing is told below the low mark, but at the end all is. */
static void low_mark(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  assert_int_equal(torque_stream_type_set_input(p->type, 1000, 100000), 0);
  int fd[2];
  fixture_tcp(f, fd);
  party_add(p, fd[1]);
  uint64_t sent = 0;
  for (int i = 0; i < 9; i++) {
    sent += pattern_put(fd[0], sent, 111);
    fixture_settle(f);
    assert_int_equal(p->in, 0);
  }
  sent += pattern_put(fd[0], sent, 1);
  AWAIT(f, p->in == 1000);
  assert_int_equal(p->calls, 1);
  sent += pattern_put(fd[0], sent, 10);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  AWAIT(f, p->ended);
  assert_int_equal(p->in, sent);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static size_t take_none(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream, (void)data, (void)length;
  p->calls++;
  return 0;
}

static void look_at_the_end(torque_source stream, void *arg) {
  struct party *p = arg;
  const void *data;
  size_t length;
  if (torque_stream_peek(stream, &data, &length) || length != 300 || !pattern_is(data, 0, 300)) p->strange++;
  if (torque_stream_consume(stream, 301) != TORQUE_ERR_INVAL || torque_stream_consume(stream, 200)) p->strange++;
  if (torque_stream_peek(stream, &data, &length) || length != 100 || !pattern_is(data, 200, 100)) p->strange++;
  if (torque_stream_consume(stream, 100) || torque_stream_peek(stream, &data, &length) || length) p->strange++;
  p->ended++;
  if (torque_stream_close(stream)) p->strange++;
}

static void kept_until_the_end(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, take_none, look_at_the_end);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_peek(s, &(const void *){0}, &(size_t){0}), TORQUE_ERR_STATE);
  for (uint64_t n = 0; n < 3; n++) {
    assert_int_equal(pattern_put(fd[0], n * 100, 100), 100);
    AWAIT(f, p->calls > n);
  }
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->ended, 1);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(peer_does_not_read), ON_EVERY(program_takes_nothing), ON_EVERY(paused_from_outside),
      ON_EVERY(paused_from_inside), ON_EVERY(low_mark),              ON_EVERY(kept_until_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
