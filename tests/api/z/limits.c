/* SPDX-License-Identifier: BSD-3-Clause */
/* A small input that becomes large is expanded as far as the program takes it, and no further than was allowed. */
#include "compressed.h"

static struct bytes bomb(struct fixture *f, const struct kind *k, size_t length) {
  unsigned char *nothing = calloc(1, length);
  assert_non_null(nothing);
  struct torque_compression *c = settings(k, TORQUE_COMPRESS);
  assert_int_equal(torque_compression_set_flush(c, TORQUE_FLUSH_NONE), 0);
  assert_int_equal(torque_compression_set_level(c, 9), 0);
  struct bytes small = squeeze(f, k, c, nothing, length, length);
  free(nothing);
  assert_true(small.length < length / 500);
  return small;
}

static size_t take_and_pause(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  p->in += length;
  if (torque_stream_pause(stream)) p->strange++;
  p->calls++; /* last: then the test resumes */
  return length;
}

/* A reader that pauses is told no more, keeps little, and gets all of it in the end. */
static void waits_for_the_program(void **state) {
  struct fixture *f = *state;
  const size_t all = 8 << 20;
  EACH_KIND(k) {
    struct bytes small = bomb(f, k, all);
    struct party *p = party_new(f, take_and_pause, NULL);
    assert_int_equal(torque_stream_type_set_input(p->type, 1, 100000), 0);
    with_layer(p, layer_with(k, settings(k, TORQUE_EXPAND)));
    int fd[2];
    fixture_pair(f, fd);
    const torque_source s = party_add(p, fd[1]);
    const uint64_t bytes_before = f->bytes;
    assert_int_equal(send(fd[0], small.at, small.length, 0), small.length);
    assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
    struct patience patience = patience_start();
    for (uint32_t calls = 0; p->in < all;) {
      const uint64_t before = p->in;
      while (p->calls == calls) assert_true(fixture_step(f, &patience));
      if (calls < 5) {
        fixture_settle(f);
        assert_int_equal(p->calls, calls + 1);
        if (f->shape->counted) assert_true(f->bytes < bytes_before + (6 << 20)); /* scratch memory of eight workers */
      }
      assert_true(p->in - before <= 100000 + 2 * TORQUE_LAYER_SCRATCH);
      calls = p->calls;
      assert_int_equal(torque_stream_resume(s), 0);
    }
    AWAIT(f, p->closed);
    assert_int_equal(p->in, all);
    assert_int_equal(p->err, 0);
    assert_int_equal(p->strange, 0);
    bytes_free(&small);
    party_free(p);
  }
}

static void in_all(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct bytes small = bomb(f, k, 4 << 20), out = {0};
    for (uint64_t limit = (4 << 20) - 1; limit <= (4 << 20); limit++) {
      struct torque_compression *c = settings(k, TORQUE_EXPAND);
      assert_int_equal(torque_compression_set_limit(c, limit, 0), 0);
      const torque_err err = expand(f, k, c, small.at, small.length, 0, &out);
      assert_int_equal(err, limit < (4 << 20) ? TORQUE_ERR_Z_TOOLARGE : 0);
      assert_true(out.length <= limit);
    }
    bytes_free(&small);
    bytes_free(&out);
  }
}

/* All members count together. */
static void in_all_members(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct bytes one = squeeze(f, k, settings(k, TORQUE_COMPRESS), "0123456789", 10, 10), many = {0}, out = {0};
    for (int i = 0; i < 10; i++) bytes_add(&many, one.at, one.length);
    struct torque_compression *c = settings(k, TORQUE_EXPAND);
    assert_int_equal(torque_compression_set_limit(c, 95, 0), 0);
    assert_int_equal(expand(f, k, c, many.at, many.length, 0, &out), TORQUE_ERR_Z_TOOLARGE);
    assert_int_equal(out.length, 90);
    bytes_free(&one);
    bytes_free(&many);
    bytes_free(&out);
  }
}

static void by_ratio(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct bytes large = bomb(f, k, 8 << 20), small = bomb(f, k, 1 << 20), out = {0};
    struct torque_compression *c = settings(k, TORQUE_EXPAND);
    assert_int_equal(torque_compression_set_limit(c, 0, 100), 0);
    assert_int_equal(expand(f, k, c, large.at, large.length, 0, &out), TORQUE_ERR_Z_TOOLARGE);
    assert_true(out.length <= (1 << 20) + TORQUE_LAYER_SCRATCH + 100 * large.length);
    c = settings(k, TORQUE_EXPAND); /* the first MiB is free */
    assert_int_equal(torque_compression_set_limit(c, 0, 100), 0);
    assert_int_equal(expand(f, k, c, small.at, small.length, 0, &out), 0);
    assert_int_equal(out.length, 1 << 20);
    c = settings(k, TORQUE_EXPAND);
    assert_int_equal(torque_compression_set_limit(c, 0, 2000000), 0);
    assert_int_equal(expand(f, k, c, large.at, large.length, 0, &out), 0);
    assert_int_equal(out.length, 8 << 20);
    bytes_free(&large);
    bytes_free(&small);
    bytes_free(&out);
  }
}

/* A frame that wants more memory than its receiver allows. */
static void windows(void **state) {
  struct fixture *f = *state;
  static unsigned char text[3 << 20];
  words(text, sizeof text, 9);
  EACH_KIND(k) {
    if (k->make != torque_zstd_layer) continue;
    struct bytes out = {0};
    for (uint32_t sent = 20; sent <= 25; sent += 5) {
      struct torque_compression *c = settings(k, TORQUE_COMPRESS);
      assert_int_equal(torque_compression_set_window(c, sent), 0);
      struct bytes small = squeeze(f, k, c, text, sizeof text, 1 << 20);
      for (uint32_t allowed = 0; allowed <= 25; allowed += allowed ? 1 : 19) {
        c = settings(k, TORQUE_EXPAND);
        assert_int_equal(torque_compression_set_window(c, allowed), 0);
        const torque_err err = expand(f, k, c, small.at, small.length, 0, &out);
        assert_int_equal(err, sent > (allowed ? allowed : 23) ? TORQUE_ERR_Z_TOOLARGE : 0);
        if (!err) assert_memory_equal(out.at, text, sizeof text);
      }
      bytes_free(&small);
    }
    bytes_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(waits_for_the_program),
      ON(driven, in_all),
      ON(driven, in_all_members),
      ON(driven, by_ratio),
      ON(driven, windows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
