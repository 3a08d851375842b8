/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that take a part of what they are told: while they take something they are told more, whatever the marks and the
 * layers, up to the end; and the rest is there for whoever has the stream next. */
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { HIGH = 8000, LENGTH = 400000, KEY = 0x5a };

/* Takes aux bytes at each call. */
static size_t take_a_part(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream;
  const size_t n = length < p->aux ? length : p->aux;
  p->calls++;
  if (!pattern_is(data, p->in, length)) p->strange++;
  p->in += n;
  return n;
}

static void take_the_rest(torque_source stream, void *arg) {
  struct party *p = arg;
  const void *data;
  size_t length;
  p->ended++;
  if (torque_stream_peek(stream, &data, &length) || !pattern_is(data, p->in, length)) p->strange++;
  if (torque_stream_consume(stream, length)) p->strange++;
  p->in += length;
  if (torque_stream_close(stream)) p->strange++;
}

/* The peer sends it all and ends. */
static void send_all_to(struct party *p, int fd, unsigned char key) {
  struct fixture *f = p->f;
  unsigned char *bytes = fixture_take(f, LENGTH);
  pattern_fill(bytes, 0, LENGTH);
  for (size_t i = 0; i < LENGTH; i++) bytes[i] ^= key;
  size_t sent = 0;
  while (sent < LENGTH) {
    const ssize_t n = send(fd, bytes + sent, LENGTH - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) sent += (size_t)n;
    else fixture_settle(f);
  }
  assert_int_equal(shutdown(fd, SHUT_WR), 0);
}

static void assert_told_all(struct party *p) {
  AWAIT(p->f, p->closed);
  assert_int_equal(p->in, LENGTH);
  assert_int_equal(p->ended, 1);
  assert_int_equal(p->closed, 1);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void without_layers(void **state) {
  struct fixture *f = *state;
  static const uint32_t part[] = {700, 7999, 8001, 70000};
  for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
    struct party *p = party_new(f, take_a_part, take_the_rest);
    assert_int_equal(torque_stream_type_set_input(p->type, 1, HIGH), 0);
    p->aux = part[i];
    int fd[2];
    i % 2 ? fixture_tcp(f, fd) : fixture_pair(f, fd);
    (void)party_add(p, fd[1]);
    send_all_to(p, fd[0], 0);
    AWAIT(f, p->ended);
    fixture_close(f, fd[0]);
    assert_told_all(p);
  }
}

/* The layer passes up what it has been given, whatever the mark; many of them are full again and again. */
static void through_layers(void **state) {
  struct fixture *f = *state;
  for (uint32_t count = 1; count <= 4; count++) {
    struct party *p = party_new(f, take_a_part, take_the_rest);
    struct torque_layer_type *layer = layer_xor(KEY);
    assert_int_equal(torque_stream_type_set_input(p->type, 1000, HIGH), 0);
    for (uint32_t i = 0; i < count; i++) assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
    torque_layer_type_free(layer);
    p->aux = 900 * count;
    int fd[2];
    fixture_tcp(f, fd);
    (void)party_add(p, fd[1]);
    send_all_to(p, fd[0], count % 2 ? KEY : 0);
    AWAIT(f, p->ended);
    fixture_close(f, fd[0]);
    assert_told_all(p);
  }
}

enum { TIMES = 50 };

/* The same of bytes that each came TIMES times. */
static size_t take_a_part_of_many(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream;
  const size_t n = length < p->aux ? length : p->aux;
  for (size_t i = 0; i < length; i++)
    if (((const unsigned char *)data)[i] != pattern_at((p->in + i) / TIMES)) p->strange++;
  p->in += n;
  return n;
}

/* A layer that stops in the midst of what a byte becomes, and has more when the wire has nothing. */
static void through_one_that_grows(void **state) {
  struct fixture *f = *state;
  static const uint32_t part[] = {70, 1001, 9000};
  for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
    struct party *p = party_new(f, take_a_part_of_many, party_end);
    struct torque_layer_type *layer = layer_grow(TIMES);
    assert_int_equal(torque_stream_type_set_input(p->type, 1, 1000), 0);
    assert_int_equal(torque_stream_type_set_budget(p->type, 5000), 0);
    assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
    torque_layer_type_free(layer);
    p->aux = part[i];
    int fd[2];
    fixture_pair(f, fd);
    const torque_source s = party_add(p, fd[1]);
    assert_int_equal(pattern_put(fd[0], 0, 2000), 2000);
    fixture_close(f, fd[0]);
    AWAIT(f, p->ended);
    assert_true(2000 * TIMES - p->in < 1000);
    assert_int_equal(torque_stream_close(s), 0);
    AWAIT(f, p->closed);
    assert_int_equal(p->err, 0);
    assert_int_equal(p->strange, 0);
    party_free(p);
  }
}

/* Takes nothing; then, from a function in its turn, a part. */
static size_t refuse(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream, (void)data, (void)length;
  p->calls++;
  return 0;
}

static void consume_100(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  if (err || torque_stream_consume(stream, 100)) p->strange++;
}

/* What is left is as much as the mark allows: nothing more comes, so that it is told again. */
static void consumed_and_still_full(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, refuse, party_end);
  struct torque_layer_type *layer = layer_xor(0);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, HIGH), 0);
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
  int fd[2];
  fixture_pair(f, fd);
  assert_int_equal(pattern_put(fd[0], 0, 3 * HIGH), 3 * HIGH);
  const torque_source s = party_add(p, fd[1]);
  AWAIT(f, p->calls);
  fixture_settle(f);
  for (int i = 0; i < 10; i++) {
    const uint32_t calls = p->calls;
    assert_int_equal(torque_stream_run(s, consume_100, p), 0);
    AWAIT(f, p->calls > calls);
    fixture_settle(f);
    assert_int_equal(p->calls, calls + 1);
  }
  assert_int_equal(p->strange, 0);
  assert_int_equal(torque_source_remove(s), 0);
  AWAIT(f, p->closed);
  party_free(p);
}

/* Takes aux bytes and gives the stream the other party's type. */
static size_t hand_on(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg, *next = p->more;
  (void)data;
  p->calls++;
  if (torque_stream_set_type(stream, next->type) || torque_stream_set_arg(stream, next)) p->strange++;
  const size_t n = length < p->aux ? length : p->aux;
  next->in = n;
  return n;
}

static void another_type_is_told_the_rest(void **state) {
  struct fixture *f = *state;
  static const struct {
    uint32_t sent, part;
  } turn[] = {{11, 6}, {11, 0}, {11, 11}, {HIGH + 500, 0}, {HIGH + 500, 10}};
  for (size_t i = 0; i < sizeof turn / sizeof *turn; i++) {
    struct party *p = party_new(f, hand_on, NULL), *next = party_new(f, party_take, NULL);
    assert_int_equal(torque_stream_type_set_input(p->type, 1, HIGH), 0);
    p->more = next;
    p->aux = turn[i].part;
    int fd[2];
    fixture_pair(f, fd);
    assert_int_equal(pattern_put(fd[0], 0, turn[i].sent), turn[i].sent);
    (void)party_add(p, fd[1]);
    AWAIT(f, next->in == turn[i].sent);
    assert_int_equal(p->calls, 1);
    fixture_close(f, fd[0]);
    AWAIT(f, next->closed);
    assert_int_equal(p->strange + next->strange, 0);
    party_free(p);
    party_free(next);
  }
}

static void set_type_of(torque_source stream, torque_err err, void *arg) {
  struct party *next = arg;
  if (err || torque_stream_set_type(stream, next->type) || torque_stream_set_arg(stream, next)) next->strange++;
}

/* Also when the one before had refused a full input, and it is done outside of data. */
static void another_type_takes_what_was_refused(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, refuse, NULL), *next = party_new(f, party_take, NULL);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, HIGH), 0);
  int fd[2];
  fixture_pair(f, fd);
  assert_int_equal(pattern_put(fd[0], 0, 3 * HIGH), 3 * HIGH);
  const torque_source s = party_add(p, fd[1]);
  AWAIT(f, p->calls);
  fixture_settle(f);
  assert_int_equal(torque_stream_run(s, set_type_of, next), 0);
  AWAIT(f, next->in == 3 * HIGH);
  fixture_close(f, fd[0]);
  AWAIT(f, next->closed);
  assert_int_equal(p->strange + next->strange, 0);
  party_free(p);
  party_free(next);
}

/* What is thrown away while it closes is read all the same, up to the peer's end. */
static void closed_with_a_full_input(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, refuse, party_end);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, HIGH), 0);
  assert_int_equal(torque_stream_type_set_linger(p->type, UINT64_MAX), 0);
  int fd[2], end;
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, HIGH), HIGH);
  AWAIT(f, p->calls);
  fixture_settle(f);
  assert_int_equal(pattern_put(fd[0], 0, HIGH), HIGH);
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, (drain(fd[0], &end), end));
  fixture_settle(f);
  assert_int_equal(p->closed, 0);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(without_layers),
      ON_EVERY(through_layers),
      ON_EVERY(through_one_that_grows),
      ON_EVERY(consumed_and_still_full),
      ON_EVERY(another_type_is_told_the_rest),
      ON_EVERY(another_type_takes_what_was_refused),
      ON_EVERY(closed_with_a_full_input),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
