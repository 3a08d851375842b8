/* SPDX-License-Identifier: BSD-3-Clause */
/* What is compressed at one end is the same at the other, however it was cut. */
#include "compressed.h"

static void both_ways(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct party *p[2];
    torque_source s[2];
    int fd[2];
    fixture_pair(f, fd);
    const int small = 4096;
    for (int i = 0; i < 2; i++) {
      assert_int_equal(setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
      p[i] = party_new(f, party_take, NULL);
      with_layer(p[i], layer_with(k, settings(k, TORQUE_COMPRESS | TORQUE_EXPAND)));
      s[i] = party_add(p[i], fd[i]);
    }
    const uint64_t all = FEWER(k->make == torque_bzip2_layer ? 200000u : 1000000u);
    uint64_t sent[2] = {0, 0};
    unsigned seed = 3;
    static unsigned char bytes[50000];
    struct patience patience = patience_start();
    while (p[0]->in < all || p[1]->in < all) {
      for (int i = 0; i < 2; i++) {
        if (sent[i] == all || sent[i] - p[1 - i]->in > (1 << 19)) continue;
        size_t n = 1 + (unsigned)rand_r(&seed) % (rand_r(&seed) % 8 ? 500 : sizeof bytes);
        if (n > all - sent[i]) n = all - sent[i];
        pattern_fill(bytes, sent[i], n);
        assert_int_equal(torque_stream_write(s[i], bytes, n), 0);
        sent[i] += n;
      }
      assert_true(fixture_step(f, &patience));
    }
    /* Each side ends on its own. */
    assert_int_equal(torque_stream_shutdown(s[0]), 0);
    AWAIT(f, p[0]->closed && p[1]->closed);
    for (int i = 0; i < 2; i++) {
      assert_int_equal(p[i]->err, 0);
      assert_int_equal(p[i]->strange, 0);
      assert_int_equal(p[i]->in, all);
      party_free(p[i]);
    }
  }
}

static void every_byte_alone(void **state) {
  struct fixture *f = *state;
  unsigned char text[300];
  words(text, sizeof text, 1);
  EACH_KIND(k) {
    struct bytes small = squeeze(f, k, settings(k, TORQUE_COMPRESS), text, sizeof text, 60), out = {0};
    for (size_t piece = 1; piece < 20; piece++) {
      assert_int_equal(expand(f, k, settings(k, TORQUE_EXPAND), small.at, small.length, piece, &out), 0);
      assert_int_equal(out.length, sizeof text);
      assert_memory_equal(out.at, text, sizeof text);
    }
    bytes_free(&small);
    bytes_free(&out);
  }
}

/* Levels and windows of both ends. */
static void settings_of_all_kinds(void **state) {
  struct fixture *f = *state;
  static unsigned char text[200000];
  words(text, sizeof text, 2);
  const size_t length = FEWER(sizeof text);
  EACH_KIND(k) {
    const int zstd = k->make == torque_zstd_layer, bzip2 = k->make == torque_bzip2_layer;
    for (int level = zstd ? -5 : bzip2 ? 1 : 0; level <= 9; level += 3) {
      for (uint32_t window = bzip2 ? 0 : 9 + (uint32_t)zstd; window <= (bzip2 ? 0 : 15u); window += 3) {
        struct torque_compression *c = settings(k, TORQUE_COMPRESS);
        assert_int_equal(torque_compression_set_level(c, level), 0);
        assert_int_equal(torque_compression_set_window(c, window), 0);
        struct bytes small = squeeze(f, k, c, text, length, length), out = {0};
        if (level > 0) assert_true(small.length < length);
        assert_int_equal(expand(f, k, settings(k, TORQUE_EXPAND), small.at, small.length, 0, &out), 0);
        assert_int_equal(out.length, length);
        assert_memory_equal(out.at, text, length);
        bytes_free(&small);
        bytes_free(&out);
      }
    }
  }
}

static void nothing_at_all(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct bytes small = squeeze(f, k, settings(k, TORQUE_COMPRESS), "", 0, 1), out = {0};
    assert_true(small.length > 0); /* an empty member, so that it can be told from one that was cut off */
    assert_int_equal(expand(f, k, settings(k, TORQUE_EXPAND), small.at, small.length, 1, &out), 0);
    assert_int_equal(out.length, 0);
    assert_int_equal(expand(f, k, settings(k, TORQUE_EXPAND), "", 0, 1, &out), TORQUE_ERR_Z_TRUNCATED);
    bytes_free(&small);
    bytes_free(&out);
  }
}

/* A direction that is not asked for is left alone. */
static void one_way(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct bytes out = {0};
    assert_int_equal(expand(f, k, settings(k, TORQUE_COMPRESS), "as it is", 8, 3, &out), 0);
    assert_int_equal(out.length, 8);
    assert_memory_equal(out.at, "as it is", 8);
    bytes_free(&out);
    out = squeeze(f, k, settings(k, TORQUE_EXPAND), "as it is", 8, 3);
    assert_int_equal(out.length, 8);
    assert_memory_equal(out.at, "as it is", 8);
    bytes_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(both_ways),      ON(driven, every_byte_alone), ON(driven, settings_of_all_kinds),
      ON_EVERY(nothing_at_all), ON(driven, one_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
