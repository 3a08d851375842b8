/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers that go while nobody reads: an error ends the stream at once, whatever keeps it from reading; an end in order is told
 * by hangup, once, and everything is still there. */
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { LOW = 1000, HIGH = 5000 };

static void reset(struct fixture *f, int fd) {
  const struct linger now = {1, 0};
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
  fixture_close(f, fd);
}

static void assert_lost(struct party *p) {
  AWAIT(p->f, p->closed);
  fixture_settle(p->f);
  assert_int_equal(p->closed, 1);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ECONNRESET);
  assert_int_equal(p->ended, 0);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void paused(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 6; i++) {
    struct party *p = party_new(f, party_take, party_end);
    struct torque_layer_type *layer = layer_xor(1);
    if (i >= 3) assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
    torque_layer_type_free(layer);
    int fd[2];
    fixture_tcp(f, fd);
    const torque_source s = party_add(p, fd[1]);
    assert_int_equal(torque_stream_pause(s), 0);
    AWAIT(f, p->opened);
    if (i % 3 == 1) assert_int_equal(pattern_put(fd[0], 0, 3000), 3000);
    if (i % 3 == 2) assert_int_equal(torque_stream_write(s, "something", 9), 0);
    fixture_settle(f);
    reset(f, fd[0]);
    assert_lost(p);
  }
}

/* Pauses at the first call: the error is behind what it was told, and known before. */
static size_t pause_it(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data, (void)length;
  p->calls++;
  if (torque_stream_pause(stream)) p->strange++;
  return 1;
}

static void paused_when_it_is_known(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, pause_it, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(pattern_put(fd[0], 0, 3000), 3000);
  AWAIT(f, recv(fd[1], (char[1]){0}, 1, MSG_PEEK) == 1);
  reset(f, fd[0]);
  (void)party_add(p, fd[1]);
  AWAIT(f, p->calls);
  assert_lost(p);
}

static size_t refuse(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream, (void)data, (void)length;
  p->calls++;
  return 0;
}

static void full(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, refuse, party_end);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, LOW), 0);
  int fd[2];
  fixture_tcp(f, fd);
  (void)party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 20000), 20000);
  AWAIT(f, p->calls);
  fixture_settle(f);
  reset(f, fd[0]);
  assert_lost(p);
}

/* Its output is lost; what the peer sent before is told. */
static void above_the_output_mark(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  assert_int_equal(torque_stream_type_set_output(p->type, LOW, HIGH), 0);
  assert_int_equal(torque_stream_type_set_budget(p->type, 1000), 0);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  static char zeros[65536];
  uint64_t pending = 0, before;
  do { /* and the system takes no more of it */
    before = pending;
    if (pending <= HIGH) assert_int_equal(torque_stream_write(s, zeros, sizeof zeros), 0);
    fixture_settle(f);
    assert_int_equal(torque_stream_pending(s, &pending), 0);
  } while (pending <= HIGH || pending != before);
  const uint64_t sent = pattern_put(fd[0], 0, 20000);
  assert_int_equal(sent, 20000);
  fixture_settle(f);
  assert_int_equal(p->in, 0);
  reset(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->in, sent);
  assert_lost(p);
}

/* The peer's end was told, and nothing is to be read any more. */
static void after_its_end(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  AWAIT(f, p->ended);
  assert_int_equal(torque_stream_write(s, "something", 9), 0);
  AWAIT(f, recv(fd[0], (char[1]){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
  fixture_close(f, fd[0]); /* with bytes that it has not read: a reset */
  AWAIT(f, p->closed);
  assert_true(p->err == TORQUE_ERR_SYSCALL + ECONNRESET || p->err == TORQUE_ERR_SYSCALL + EPIPE);
  assert_int_equal(p->ended, 1);
  party_free(p);
}

static void reader_of_a_pipe(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_pipe(f, fd);
  (void)party_add(p, fd[1]);
  AWAIT(f, p->opened);
  fixture_settle(f);
  assert_int_equal(p->closed, 0);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + EPIPE);
  assert_int_equal(p->hung_up, 0);
  party_free(p);
}

/* ---- Ends in order ---- */

enum way { TCP_HALF, UNIX_GONE, PIPE, WAYS };

static void make(struct fixture *f, enum way way, int fd[2]) {
  if (way == TCP_HALF) fixture_tcp(f, fd);
  if (way == UNIX_GONE) fixture_pair(f, fd);
  if (way != PIPE) return;
  int ends[2];
  fixture_pipe(f, ends);
  fd[0] = ends[1];
  fd[1] = ends[0];
}

static uint64_t put(enum way way, int fd, uint64_t from, size_t length) {
  if (way != PIPE) return pattern_put(fd, from, length);
  unsigned char bytes[4096];
  pattern_fill(bytes, from, length);
  assert_int_equal(write(fd, bytes, length), length);
  return length;
}

static void go(struct fixture *f, enum way way, int fd) {
  if (way == TCP_HALF)
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
  else
    fixture_close(f, fd);
}

static void hangs_up_while_paused(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 2 * WAYS; i++) {
    const enum way way = (enum way)(i % WAYS);
    struct party *p = party_new(f, party_take, party_end);
    int fd[2];
    make(f, way, fd);
    const torque_source s = party_add(p, fd[1]);
    assert_int_equal(torque_stream_pause(s), 0);
    AWAIT(f, p->opened);
    fixture_settle(f);
    assert_int_equal(p->hung_up, 0);
    const uint64_t sent = i >= WAYS ? put(way, fd[0], 0, 3000) : 0;
    go(f, way, fd[0]);
    AWAIT(f, p->hung_up);
    fixture_settle(f);
    assert_int_equal(p->ended + p->closed + p->in, 0);
    for (int j = 0; j < 3; j++) {
      assert_int_equal(torque_stream_pause(s), 0);
      fixture_settle(f);
    }
    assert_int_equal(p->hung_up, 1); /* once */
    assert_int_equal(torque_stream_resume(s), 0);
    AWAIT(f, p->ended);
    assert_int_equal(p->in, sent);
    assert_int_equal(torque_stream_close(s), 0);
    AWAIT(f, p->closed);
    assert_int_equal(p->err, 0);
    assert_int_equal(p->hung_up, 1);
    assert_int_equal(p->ended, 1);
    assert_int_equal(p->strange, 0);
    party_free(p);
  }
}

static void hangs_up_while_full(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, refuse, party_end);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, LOW), 0);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 20000), 20000);
  AWAIT(f, p->calls);
  fixture_settle(f);
  assert_int_equal(p->hung_up, 0);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  AWAIT(f, p->hung_up);
  assert_int_equal(p->ended, 0);
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->hung_up, 1);
  party_free(p);
}

/* The wire's end was read; a layer has more than the program wants. */
static size_t take_all_and_pause(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  p->in += length;
  if (torque_stream_pause(stream)) p->strange++;
  return length;
}

static void hangs_up_above_a_layer(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, take_all_and_pause, party_end);
  struct torque_layer_type *layer = layer_grow(10);
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 20), 20);
  fixture_close(f, fd[0]);
  for (int n = 1; n <= 20; n++) {
    AWAIT(f, p->in == (uint64_t)n * 10);
    fixture_settle(f);
    assert_int_equal(p->hung_up, 1);
    assert_int_equal(p->ended, 0);
    assert_int_equal(torque_stream_resume(s), 0);
  }
  AWAIT(f, p->ended);
  assert_int_equal(p->in, 200);
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->hung_up, 1);
  party_free(p);
}

/* Whoever reads is told by end alone. */
static void hangs_up_while_read(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < WAYS; i++) {
    struct party *p = party_new(f, party_take, party_end);
    int fd[2];
    make(f, (enum way)i, fd);
    const torque_source s = party_add(p, fd[1]);
    const uint64_t sent = put((enum way)i, fd[0], 0, 3000);
    go(f, (enum way)i, fd[0]);
    AWAIT(f, p->ended);
    assert_int_equal(p->in, sent);
    assert_int_equal(torque_stream_close(s), 0);
    AWAIT(f, p->closed);
    assert_int_equal(p->hung_up, 0);
    party_free(p);
  }
}

static void resume_it(torque_source stream, void *arg) {
  struct party *p = arg;
  p->hung_up++;
  if (torque_stream_resume(stream)) p->strange++;
}

static void close_it(torque_source stream, void *arg) {
  struct party *p = arg;
  p->hung_up++;
  if (torque_stream_close(stream)) p->strange++;
}

static void pause_at_once(torque_source stream, void *arg) {
  struct party *p = arg;
  p->opened++;
  if (torque_stream_pause(stream)) p->strange++;
}

/* What the program asks for in the callback happens. */
static void answers_to_a_hangup(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 2; i++) {
    struct party *p = party_new(f, party_take, NULL);
    assert_int_equal(torque_stream_type_set_open(p->type, pause_at_once), 0);
    assert_int_equal(torque_stream_type_set_hangup(p->type, i ? close_it : resume_it), 0);
    assert_int_equal(torque_stream_type_set_budget(p->type, 10), 0);
    int fd[2];
    fixture_tcp(f, fd);
    assert_int_equal(pattern_put(fd[0], 0, 3000), 3000);
    (void)party_add(p, fd[1]);
    AWAIT(f, p->opened);
    fixture_close(f, fd[0]);
    AWAIT(f, p->closed);
    assert_int_equal(p->in, i ? 0 : 3000);
    assert_int_equal(p->hung_up, 1);
    assert_int_equal(p->err, 0);
    assert_int_equal(p->strange, 0);
    party_free(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(paused),
      ON_EVERY(paused_when_it_is_known),
      ON_EVERY(full),
      ON_EVERY(above_the_output_mark),
      ON_EVERY(after_its_end),
      ON_EVERY(reader_of_a_pipe),
      ON_EVERY(hangs_up_while_paused),
      ON_EVERY(hangs_up_while_full),
      ON_EVERY(hangs_up_above_a_layer),
      ON_EVERY(hangs_up_while_read),
      ON_EVERY(answers_to_a_hangup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
