/* SPDX-License-Identifier: BSD-3-Clause */
/* When what was written arrives, and what an end is. */
#include "compressed.h"

static struct torque_compression *flushing(const struct kind *k, uint32_t flush) {
  struct torque_compression *c = settings(k, TORQUE_COMPRESS | TORQUE_EXPAND);
  assert_int_equal(torque_compression_set_flush(c, flush), 0);
  return c;
}

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

/* A message is with the peer, and its answer here, while nothing has ended. */
static void messages_arrive(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    for (uint32_t flush = TORQUE_FLUSH_DEFAULT; flush <= TORQUE_FLUSH_MEMBER; flush++) {
      if (flush == TORQUE_FLUSH_SYNC && k->make == torque_bzip2_layer) continue;
      struct party *a = party_new(f, party_take, NULL), *b = party_new(f, echo, NULL);
      with_layer(a, layer_with(k, flushing(k, flush)));
      with_layer(b, layer_with(k, flushing(k, flush)));
      int fd[2];
      fixture_pair(f, fd);
      const torque_source s = party_add(a, fd[0]);
      party_add(b, fd[1]);
      for (uint64_t at = 0; at < 500; at += 50) {
        unsigned char bytes[50];
        pattern_fill(bytes, at, sizeof bytes);
        assert_int_equal(torque_stream_write(s, bytes, sizeof bytes), 0);
        AWAIT(f, a->in == at + 50);
      }
      assert_int_equal(torque_stream_close(s), 0);
      AWAIT(f, a->closed && b->closed);
      assert_int_equal(a->err, 0);
      assert_int_equal(b->err, 0);
      assert_int_equal(a->strange + b->strange, 0);
      party_free(a);
      party_free(b);
    }
  }
}

/* What is held back comes with the end, and takes less room. */
static void held_until_the_end(void **state) {
  struct fixture *f = *state;
  unsigned char text[2000];
  words(text, sizeof text, 10);
  EACH_KIND(k) {
    size_t length[TORQUE_FLUSH_NONE + 1] = {0};
    struct bytes out = {0};
    for (uint32_t flush = TORQUE_FLUSH_DEFAULT; flush <= TORQUE_FLUSH_NONE; flush++) {
      if (flush == TORQUE_FLUSH_SYNC && k->make == torque_bzip2_layer) continue;
      struct bytes small = squeeze(f, k, flushing(k, flush), text, sizeof text, 100);
      length[flush] = small.length;
      assert_int_equal(expand(f, k, settings(k, TORQUE_EXPAND), small.at, small.length, 0, &out), 0);
      assert_int_equal(out.length, sizeof text);
      assert_memory_equal(out.at, text, sizeof text);
      bytes_free(&small);
    }
    assert_true(length[TORQUE_FLUSH_NONE] < length[TORQUE_FLUSH_DEFAULT]);
    assert_true(length[TORQUE_FLUSH_NONE] < length[TORQUE_FLUSH_MEMBER]);
    bytes_free(&out);
  }
}

static void nothing_before_the_end(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct party *a = party_new(f, party_take, NULL), *b = party_new(f, party_take, NULL);
    with_layer(a, layer_with(k, flushing(k, TORQUE_FLUSH_NONE)));
    with_layer(b, layer_with(k, flushing(k, TORQUE_FLUSH_NONE)));
    int fd[2];
    fixture_pair(f, fd);
    const torque_source s = party_add(a, fd[0]);
    party_add(b, fd[1]);
    unsigned char bytes[50];
    pattern_fill(bytes, 0, sizeof bytes);
    assert_int_equal(torque_stream_write(s, bytes, sizeof bytes), 0);
    fixture_settle(f);
    assert_int_equal(b->in, 0);
    assert_int_equal(torque_stream_shutdown(s), 0);
    AWAIT(f, a->closed && b->closed);
    assert_int_equal(b->in, 50);
    assert_int_equal(a->err, 0);
    assert_int_equal(b->err, 0);
    party_free(a);
    party_free(b);
  }
}

/* One side has ended, the other goes on. */
static void one_side_at_a_time(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct party *a = party_new(f, party_take, party_end), *b = party_new(f, party_take, party_end);
    with_layer(a, layer_with(k, flushing(k, TORQUE_FLUSH_DEFAULT)));
    with_layer(b, layer_with(k, flushing(k, TORQUE_FLUSH_DEFAULT)));
    int fd[2];
    unsigned char bytes[1000];
    pattern_fill(bytes, 0, sizeof bytes);
    fixture_pair(f, fd);
    const torque_source s = party_add(a, fd[0]), t = party_add(b, fd[1]);
    assert_int_equal(torque_stream_write(s, bytes, sizeof bytes), 0);
    assert_int_equal(torque_stream_shutdown(s), 0);
    AWAIT(f, b->ended);
    assert_int_equal(b->in, sizeof bytes);
    for (uint32_t i = 0; i < 10; i++) {
      assert_int_equal(torque_stream_write(t, bytes + 100 * i, 100), 0);
      AWAIT(f, a->in == 100 * (i + 1));
    }
    assert_int_equal(a->ended, 0);
    assert_int_equal(torque_stream_shutdown(t), 0);
    AWAIT(f, a->closed && b->closed);
    assert_int_equal(a->ended, 1);
    assert_int_equal(a->err, 0);
    assert_int_equal(b->err, 0);
    assert_int_equal(a->strange + b->strange, 0);
    party_free(a);
    party_free(b);
  }
}

/* A peer that goes away without its trailer has not ended. */
static void gone_without_an_end(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct party *a = party_new(f, party_take, NULL), *b = party_new(f, party_take, party_end);
    with_layer(a, layer_with(k, flushing(k, TORQUE_FLUSH_NONE)));
    with_layer(b, layer_with(k, flushing(k, TORQUE_FLUSH_NONE)));
    int fd[2];
    fixture_pair(f, fd);
    const torque_source s = party_add(a, fd[0]);
    party_add(b, fd[1]);
    assert_int_equal(torque_stream_write(s, "abc", 3), 0);
    fixture_settle(f);
    assert_int_equal(torque_stream_abort(s), 0);
    AWAIT(f, a->closed && b->closed);
    assert_int_equal(a->err, TORQUE_ERR_SYSCALL + ECANCELED);
    assert_int_equal(b->err, TORQUE_ERR_Z_TRUNCATED);
    assert_int_equal(b->ended, 0);
    party_free(a);
    party_free(b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(messages_arrive),    ON(driven, held_until_the_end), ON_EVERY(nothing_before_the_end),
      ON_EVERY(one_side_at_a_time), ON_EVERY(gone_without_an_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
