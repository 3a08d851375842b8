/* SPDX-License-Identifier: BSD-3-Clause */
/* Layers that a callback puts on top of a stream that runs (STARTTLS): they begin with what is kept of the input and
 * with what is written from then on. */
#include "support/layers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/cmocka.h"
#include "support/streams.h"

static void with(struct party *p, struct torque_layer_type *layer) {
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
}

static size_t answer(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

static void answer_and_close(torque_source stream, void *arg) {
  struct party *p = arg;
  unsigned char bytes[100];
  pattern_fill(bytes, 0, sizeof bytes);
  if (torque_stream_write(stream, bytes, sizeof bytes) || torque_stream_close(stream)) p->strange++;
}

struct pusher {
  struct torque_layer_type *layer[9];
  uint32_t count;
  _Atomic int32_t err; /* of the last push */
};

static void push(struct party *p, torque_source stream) {
  struct pusher *more = p->more;
  for (uint32_t i = 0; i < more->count; i++) {
    const torque_err err = torque_stream_push_layer(stream, more->layer[i]);
    if (err) more->err = err;
  }
  p->aux = 1;
}

static struct pusher *pusher_new(struct fixture *f, struct party *p) {
  struct pusher *more = fixture_take(f, sizeof *more);
  p->more = more;
  return more;
}

static void pusher_free(struct pusher *more) {
  for (uint32_t i = 0; i < more->count; i++) torque_layer_type_free(more->layer[i]);
}

#define START "starttls\n"

/* A line in the clear; what stands behind it, and all the rest, is for the layers. Answers what it gets. */
static size_t begin_after_a_line(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->calls++;
  if (p->aux) {
    p->in += length;
    if (torque_stream_write(stream, data, length)) p->strange++;
    return length;
  }
  const size_t n = strlen(START);
  if (length < n) return 0;
  if (memcmp(data, START, n) || torque_stream_write(stream, "ok\n", 3)) p->strange++;
  push(p, stream);
  return n;
}

static size_t encode(unsigned char *to, uint64_t from, size_t length, int frames) {
  size_t head = 0;
  if (frames) {
    to[0] = to[1] = 0;
    to[2] = (unsigned char)(length >> 8) ^ 0x33;
    to[3] = (unsigned char)length ^ 0x33;
    to[0] ^= 0x33, to[1] ^= 0x33;
    head = 4;
  }
  pattern_fill(to + head, from, length);
  for (size_t i = 0; i < length; i++) to[head + i] ^= 0x33;
  return head + length;
}

static void pushed_behind_a_line(void **state) {
  struct fixture *f = *state;
  for (uint32_t count = 1; count <= 2; count++) {
    for (size_t cut = 0; cut < strlen(START) + 12; cut++) {
      struct party *p = party_new(f, begin_after_a_line, NULL);
      struct pusher *more = pusher_new(f, p);
      more->layer[0] = layer_xor(0x33);
      if (count == 2) more->layer[1] = layer_frames();
      more->count = count;
      unsigned char text[128], got[128];
      size_t length = strlen(START), have = 0;
      memcpy(text, START, length);
      length += encode(text + length, 0, 7, count == 2);
      length += encode(text + length, 7, 9, count == 2);
      int fd[2];
      fixture_pair(f, fd);
      party_add(p, fd[1]);
      assert_int_equal(send(fd[0], text, cut, 0), cut);
      fixture_settle(f);
      assert_int_equal(send(fd[0], text + cut, length - cut, 0), length - cut);
      AWAIT(f, p->in == 16);
      assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
      AWAIT(f, p->closed);
      assert_int_equal(p->err, 0);
      assert_int_equal(p->strange, 0);
      assert_int_equal(more->err, 0);
      assert_int_equal(p->opened, 1 + count - (count - 1)); /* once more when all that were pushed are ready */
      const ssize_t n = recv(fd[0], got, sizeof got, 0);
      assert_true(n >= 3 + 16);
      assert_memory_equal(got, "ok\n", 3);
      uint64_t at = 0;
      for (have = 3; have < (size_t)n;) {
        size_t frame = (size_t)n - have;
        if (count == 2) {
          frame = got[have + 3] ^ 0x33u;
          have += 4;
        }
        for (size_t i = 0; i < frame; i++) assert_int_equal(got[have + i] ^ 0x33, pattern_at(at + i));
        have += frame;
        at += frame;
      }
      assert_int_equal(at, 16);
      fixture_close(f, fd[0]);
      pusher_free(more);
      party_free(p);
    }
  }
}

static void push_at_end(torque_source stream, void *arg) {
  push(arg, stream);
  answer_and_close(stream, arg);
}

static void push_at_open(torque_source stream, void *arg) {
  struct party *p = arg;
  if (p->opened++)
    answer_and_close(stream, p);
  else
    push(p, stream);
}

static int32_t push_in_time(torque_source stream, int32_t which, void *arg) {
  struct party *p = arg;
  if (p->aux) return 1;
  if (which != TORQUE_STREAM_READ_TIMEOUT) p->strange++;
  push_at_end(stream, p);
  return 1;
}

static void push_at_drain(torque_source stream, void *arg) { push_at_end(stream, arg); }

static void write_much(torque_source stream, void *arg) {
  struct party *p = arg;
  static const unsigned char bytes[1 << 20];
  if (p->opened++) return;
  if (torque_stream_write(stream, bytes, sizeof bytes)) p->strange++;
}

/* Whatever callback pushes it, the layer begins there, and what was written before is not its business. */
static void pushed_in_any_callback(void **state) {
  struct fixture *f = *state;
  for (int which = 0; which < 4; which++) {
    struct party *p = party_new(f, party_take, which == 0 ? push_at_end : NULL);
    struct pusher *more = pusher_new(f, p);
    more->layer[0] = layer_xor(0x33);
    more->layer[1] = layer_xor(0x44);
    more->count = 2;
    uint64_t clear = 0;
    if (which == 1) assert_int_equal(torque_stream_type_set_open(p->type, push_at_open), 0);
    if (which == 2) {
      assert_int_equal(torque_stream_type_set_timeout(p->type, push_in_time), 0);
      assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_READ_TIMEOUT, 5000000), 0);
    }
    if (which == 3) {
      clear = 1 << 20;
      assert_int_equal(torque_stream_type_set_open(p->type, write_much), 0);
      assert_int_equal(torque_stream_type_set_drain(p->type, push_at_drain), 0);
      assert_int_equal(torque_stream_type_set_output(p->type, 1000, 10000), 0);
    }
    int fd[2];
    fixture_pair(f, fd);
    party_add(p, fd[1]);
    if (which == 0) assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
    uint64_t at = 0;
    struct patience patience = patience_start();
    while (at < clear + 100) {
      unsigned char got[4096];
      const ssize_t n = recv(fd[0], got, sizeof got, MSG_DONTWAIT);
      for (ssize_t i = 0; i < n; i++, at++)
        assert_int_equal(at < clear ? got[i] : got[i] ^ 0x77, at < clear ? 0 : pattern_at(at - clear));
      if (n <= 0) assert_true(fixture_step(f, &patience));
    }
    fixture_close(f, fd[0]);
    AWAIT(f, p->closed);
    assert_int_equal(p->err, 0);
    assert_int_equal(p->strange, 0);
    assert_int_equal(more->err, 0);
    pusher_free(more);
    party_free(p);
  }
}

static void push_nine(torque_source stream, void *arg) {
  struct party *p = arg;
  if (!p->opened++) push(p, stream);
}

static void most_layers_pushed(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, answer, NULL);
  struct pusher *more = pusher_new(f, p);
  for (int i = 0; i < 9; i++) more->layer[i] = layer_xor((unsigned char)(1 << i % 8));
  more->count = 9;
  assert_int_equal(torque_stream_type_set_open(p->type, push_nine), 0);
  int fd[2];
  unsigned char got[3];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  assert_int_equal(send(fd[0], "abc", 3, 0), 3);
  AWAIT(f, recv(fd[0], got, 3, MSG_DONTWAIT) == 3);
  assert_memory_equal(got, "abc", 3);
  assert_int_equal(more->err, TORQUE_ERR_INVAL);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  pusher_free(more);
  party_free(p);
}

/* Long output that waits above the layers there are goes before the new one, however slow the peer. */
static size_t write_and_push(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  unsigned char *bytes = malloc(1 << 20);
  (void)data;
  if (bytes && !p->aux) {
    pattern_fill(bytes, 0, 1 << 20);
    if (torque_stream_write(stream, bytes, 1 << 20)) p->strange++;
    push(p, stream);
    if (torque_stream_write(stream, "end", 3) || torque_stream_close(stream)) p->strange++;
  }
  free(bytes);
  return length;
}

static void pushed_behind_long_output(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, write_and_push, NULL);
  struct pusher *more = pusher_new(f, p);
  with(p, layer_xor(0x11));
  more->layer[0] = layer_frames();
  more->count = 1;
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  assert_int_equal(send(fd[0], "go", 2, 0), 2);
  struct patience patience = patience_start();
  uint64_t at = 0;
  static const unsigned char last[7] = {0, 0, 0, 3, 'e', 'n', 'd'};
  while (at < (1 << 20) + sizeof last) {
    unsigned char got[65536];
    const ssize_t n = recv(fd[0], got, sizeof got, MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++, at++)
      assert_int_equal(got[i] ^ 0x11, at < (1 << 20) ? pattern_at(at) : last[at - (1 << 20)]);
    if (n <= 0) assert_true(fixture_step(f, &patience));
  }
  assert_int_equal(more->err, 0);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  pusher_free(more);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(most_layers_pushed),
      ON_EVERY(pushed_behind_a_line),
      ON_EVERY(pushed_in_any_callback),
      ON_EVERY(pushed_behind_long_output),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
