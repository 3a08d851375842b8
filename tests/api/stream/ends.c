/* SPDX-License-Identifier: BSD-3-Clause */
/* How streams end: each end is told once, after all data, whoever made it. */
#include "support/streams.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { BIG = 3 << 20 };

static void assert_closed(struct party *p, torque_err err) {
  AWAIT(p->f, p->closed);
  fixture_settle(p->f);
  assert_int_equal(p->closed, 1);
  assert_int_equal(p->err, err);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void peer_ends_after_data(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  uint64_t sent = pattern_put(fd[0], 0, 100000);
  party_add(p, fd[1]);
  sent += pattern_put(fd[0], sent, 1000);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  AWAIT(f, p->ended);
  assert_int_equal(p->in, sent);
  assert_int_equal(p->ended, 1);
  assert_int_equal(p->closed, 0); /* it can still write */
  assert_int_equal(torque_stream_write(p->stream, "bye", 3), 0);
  assert_int_equal(torque_stream_shutdown(p->stream), 0);
  char bytes[8];
  AWAIT(f, recv(fd[0], bytes, sizeof bytes, MSG_PEEK) == 3);
  assert_memory_equal(bytes, "bye", 3);
  assert_closed(p, 0);
  int end;
  assert_int_equal(drain(fd[0], &end), 3);
  assert_int_equal(end, 1);
}

static void without_an_end_callback_it_closes(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  const uint64_t sent = pattern_put(fd[0], 0, 5000);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->in, sent);
  assert_closed(p, 0);
}

static void shutdown_leaves_the_input(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2], end = 0;
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_write(s, "abc", 3), 0);
  assert_int_equal(torque_stream_shutdown(s), 0);
  assert_int_equal(torque_stream_write(s, "d", 1), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_shutdown(s), 0);
  size_t got = 0;
  AWAIT(f, (got += drain(fd[0], &end), end));
  assert_int_equal(got, 3);
  for (uint64_t n = 0; n < 50; n++) {
    assert_int_equal(pattern_put(fd[0], n * 100, 100), 100);
    AWAIT(f, p->in == (n + 1) * 100);
  }
  assert_int_equal(p->closed, 0);
  fixture_close(f, fd[0]);
  assert_closed(p, 0);
}

/* The peer reads only later: everything arrives, and then the end. */
static void close_sends_everything(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  assert_int_equal(torque_stream_type_set_linger(p->type, UINT64_MAX), 0);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  char *bytes = fixture_take(f, BIG);
  pattern_fill(bytes, 0, BIG);
  assert_int_equal(torque_stream_write(s, bytes, BIG), 0);
  assert_int_equal(torque_stream_close(s), 0);
  assert_int_equal(torque_stream_write(s, "d", 1), TORQUE_ERR_STATE);
  fixture_settle(f);
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd[0], &got) && got == BIG);
  int end = 0;
  AWAIT(f, (drain(fd[0], &end), end));
  assert_int_equal(p->closed, 0); /* it waits for our end */
  (void)pattern_put(fd[0], 0, 1000);
  fixture_settle(f);
  assert_int_equal(p->in, 0); /* nothing is told any more */
  fixture_close(f, fd[0]);
  assert_closed(p, 0);
}

/* Each waits for the other to read what it has sent. */
static void both_close(void **state) {
  struct fixture *f = *state;
  struct party *p[2];
  int fd[2];
  torque_source s[2];
  unsigned char *bytes = fixture_take(f, BIG);
  fixture_pair(f, fd);
  for (int i = 0; i < 2; i++) {
    p[i] = party_new(f, party_take, NULL);
    assert_int_equal(torque_stream_type_set_linger(p[i]->type, UINT64_MAX), 0);
    assert_int_equal(torque_stream_new(f->ctx, fd[i], p[i]->type, p[i], &s[i]), 0);
    fixture_disown(f, fd[i]);
    assert_int_equal(torque_stream_write(s[i], bytes, BIG), 0);
    assert_int_equal(torque_stream_close(s[i]), 0);
  }
  for (int i = 0; i < 2; i++) assert_int_equal(torque_source_start(s[i]), 0);
  for (int i = 0; i < 2; i++) assert_closed(p[i], 0);
}

static void close_waits_no_longer_than_it_should(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  const uint64_t linger = 30000000, before = monotonic_ns();
  assert_int_equal(torque_stream_type_set_linger(p->type, linger), 0);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_stream_close(party_add(p, fd[1])), 0);
  AWAIT(f, p->closed);
  assert_true(monotonic_ns() - before >= linger);
  assert_closed(p, 0);
}

static void close_without_linger(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  assert_int_equal(torque_stream_type_set_linger(p->type, 0), 0);
  int fd[2], end = 0;
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_write(s, "abc", 3), 0);
  assert_int_equal(torque_stream_close(s), 0);
  assert_closed(p, 0);
  assert_int_equal(drain(fd[0], &end), 3);
  assert_int_equal(end, 1);
}

static void abort_resets(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  AWAIT(f, p->opened);
  char *bytes = fixture_take(f, BIG);
  assert_int_equal(torque_stream_write(s, bytes, BIG), 0);
  assert_int_equal(torque_stream_abort(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(torque_stream_write(s, "d", 1), TORQUE_ERR_STALE);
  assert_int_equal(torque_stream_abort(s), TORQUE_ERR_STALE);
  assert_closed(p, TORQUE_ERR_SYSCALL + ECANCELED);
  ssize_t n;
  while ((n = recv(fd[0], bytes, BIG, 0)) > 0) continue;
  assert_int_equal(n, -1);
  assert_int_equal(errno, ECONNRESET);
}

static void reset_by(int fd) {
  const struct linger now = {1, 0};
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
}

/* What came before the reset is told before it. */
static void peer_resets(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const uint64_t sent = pattern_put(fd[0], 0, 30000);
  reset_by(fd[0]);
  AWAIT(f, recv(fd[1], (char[1]){0}, 1, MSG_PEEK) == 1);
  party_add(p, fd[1]);
  AWAIT(f, p->in == sent);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->ended, 0);
  assert_closed(p, TORQUE_ERR_SYSCALL + ECONNRESET);
}

/* After every byte of an exchange, with output on its way or not: what came is told, and the reset once. */
static void peer_resets_at_every_byte(void **state) {
  struct fixture *f = *state;
  for (uint64_t n = 0; n < 200; n++) {
    struct party *p = party_new(f, party_take, party_end);
    int fd[2];
    fixture_tcp(f, fd);
    const torque_source s = party_add(p, fd[1]);
    if (n % 2) assert_int_equal(torque_stream_write(s, "something", 9), 0);
    if (n % 3 == 0) AWAIT(f, p->opened);
    if (n) assert_int_equal(pattern_put(fd[0], 0, n / 2), n / 2);
    if (n % 5 == 0) fixture_settle(f);
    reset_by(fd[0]);
    fixture_close(f, fd[0]);
    AWAIT(f, p->closed);
    assert_int_equal(p->in, n / 2);
    assert_int_equal(p->ended, 0);
    assert_int_equal(p->closed, 1);
    assert_true(p->err == TORQUE_ERR_SYSCALL + ECONNRESET || (n % 2 && p->err == TORQUE_ERR_SYSCALL + EPIPE));
    assert_int_equal(p->strange, 0);
    party_free(p);
  }
}

/* An output that meets the reset first still lets the input be told. */
static void output_breaks_but_input_is_there(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_pair(f, fd);
  const uint64_t sent = pattern_put(fd[0], 0, 50000);
  fixture_close(f, fd[0]);
  torque_source s;
  fixture_disown(f, fd[1]);
  assert_int_equal(torque_stream_new(f->ctx, fd[1], p->type, p, &s), 0);
  assert_int_equal(torque_stream_write(s, "abc", 3), 0);
  assert_int_equal(torque_source_start(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->in, sent);
  party_free(p);
  assert_int_equal(p->strange, 0);
}

enum how { CLOSE, ABORT, REMOVE, RELEASE, SHUT, HOWS };

static void end_it(struct party *p, torque_source s, enum how how) {
  int32_t fd = -1;
  torque_err err = 0;
  switch (how) {
    case CLOSE: err = torque_stream_close(s); break;
    case ABORT: err = torque_stream_abort(s); break;
    case REMOVE: err = torque_source_remove(s); break;
    case RELEASE:
      err = torque_stream_release(s, &fd);
      *(int *)p->more = fd;
      break;
    case SHUT: err = torque_stream_shutdown(s); break;
    default: break;
  }
  if (err) p->strange++;
}

static size_t end_in_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  p->calls++;
  end_it(p, stream, (enum how)p->aux);
  return length;
}

static void from_the_data_callback(void **state) {
  struct fixture *f = *state;
  for (enum how how = CLOSE; how < HOWS; how++) {
    struct party *p = party_new(f, end_in_data, NULL);
    int fd[2], left = -1;
    assert_int_equal(torque_stream_type_set_linger(p->type, 0), 0);
    p->aux = how;
    p->more = &left;
    fixture_tcp(f, fd);
    party_add(p, fd[1]);
    assert_int_equal(pattern_put(fd[0], 0, 10), 10);
    AWAIT(f, p->calls);
    if (how == SHUT) fixture_close(f, fd[0]);
    AWAIT(f, p->closed);
    if (how == RELEASE) {
      assert_int_equal(left, fd[1]);
      assert_int_equal(send(left, "still there", 11, 0), 11);
      fixture_own(f, left);
    }
    assert_int_equal(p->calls, 1);
    assert_closed(p, how == ABORT ? TORQUE_ERR_SYSCALL + ECANCELED : 0);
  }
}

static void end_in_open(torque_source stream, void *arg) {
  struct party *p = arg;
  p->opened++;
  end_it(p, stream, (enum how)p->aux);
}

static void from_the_open_callback(void **state) {
  struct fixture *f = *state;
  for (enum how how = CLOSE; how < RELEASE; how++) {
    struct party *p = party_new(f, party_take, NULL);
    int fd[2];
    assert_int_equal(torque_stream_type_set_open(p->type, end_in_open), 0);
    assert_int_equal(torque_stream_type_set_linger(p->type, 0), 0);
    p->aux = how;
    fixture_tcp(f, fd);
    assert_int_equal(pattern_put(fd[0], 0, 10), 10);
    party_add(p, fd[1]);
    AWAIT(f, p->closed);
    assert_int_equal(p->opened, 1);
    assert_int_equal(p->in, 0);
    assert_closed(p, how == ABORT ? TORQUE_ERR_SYSCALL + ECANCELED : 0);
  }
}

static void removed_and_waited_for(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  (void)pattern_put(fd[0], 0, 5000);
  assert_int_equal(torque_source_remove_wait(s), 0);
  assert_int_equal(p->closed, 1);
  assert_int_equal(fcntl_is_open(fd[1]), 0);
  assert_closed(p, 0);
}

static void never_started(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  torque_source s;
  fixture_tcp(f, fd);
  fixture_disown(f, fd[1]);
  assert_int_equal(torque_stream_new(f->ctx, fd[1], p->type, p, &s), 0);
  assert_int_equal(torque_stream_write(s, "abc", 3), 0);
  assert_int_equal(torque_source_remove(s), 0);
  assert_int_equal(p->closed, 1);
  assert_int_equal(fcntl_is_open(fd[1]), 0);
  assert_closed(p, 0);
}

static void the_context_stops(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2], other[2];
  fixture_tcp(f, fd);
  fixture_tcp(f, other);
  const torque_source s = party_add(p, fd[1]);
  (void)party_add(p, other[1]);
  char *bytes = fixture_take(f, BIG);
  assert_int_equal(torque_stream_write(s, bytes, BIG), 0);
  AWAIT(f, p->opened == 2);
  fixture_stop(f);
  assert_int_equal(p->closed, 2);
  assert_int_equal(p->err, TORQUE_ERR_STOPPED);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* Bytes behind the urgent mark are not forgotten by a read that stops at it. */
static void urgent_data(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  party_add(p, fd[1]);
  uint64_t sent = 0;
  for (int i = 0; i < 50; i++) {
    sent += pattern_put(fd[0], sent, 100);
    assert_int_equal(send(fd[0], "!", 1, MSG_OOB), 1);
    sent += pattern_put(fd[0], sent, 100);
    AWAIT(f, p->in == sent);
  }
  fixture_close(f, fd[0]);
  AWAIT(f, p->ended);
  assert_int_equal(torque_stream_close(p->stream), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(peer_ends_after_data),
      ON_EVERY(without_an_end_callback_it_closes),
      ON_EVERY(shutdown_leaves_the_input),
      ON_EVERY(close_sends_everything),
      ON_EVERY(both_close),
      ON_EVERY(close_waits_no_longer_than_it_should),
      ON_EVERY(close_without_linger),
      ON_EVERY(abort_resets),
      ON_EVERY(peer_resets),
      ON_EVERY(peer_resets_at_every_byte),
      ON_EVERY(output_breaks_but_input_is_there),
      ON_EVERY(from_the_data_callback),
      ON_EVERY(from_the_open_callback),
      ON_EVERY(removed_and_waited_for),
      ON_EVERY(never_started),
      ON_EVERY(the_context_stops),
      ON_EVERY(urgent_data),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
