/* SPDX-License-Identifier: BSD-3-Clause */
/* Input that was cut off, damaged or is followed by something else ends in an error, or in what the settings say; never
 * in bytes that nobody sent. */
#include "compressed.h"

static void cut_off_anywhere(void **state) {
  struct fixture *f = *state;
  unsigned char text[500];
  words(text, sizeof text, 3);
  EACH_KIND(k) {
    struct bytes small = squeeze(f, k, settings(k, TORQUE_COMPRESS), text, sizeof text, sizeof text), out = {0};
    for (size_t n = 0; n < small.length; n++) {
      const torque_err err = expand(f, k, settings(k, TORQUE_EXPAND), small.at, n, n % 2, &out);
      assert_int_equal(err, TORQUE_ERR_Z_TRUNCATED);
      assert_true(out.length <= sizeof text);
      assert_memory_equal(out.at ? out.at : text, text, out.length);
    }
    bytes_free(&small);
    bytes_free(&out);
  }
}

/* With a checksum no damage goes by: it is an error, or was in what does not count (a header's time). */
static void damaged_anywhere(void **state) {
  struct fixture *f = *state;
  unsigned char text[400];
  words(text, sizeof text, 4);
  EACH_KIND(k) {
    if (k->format == TORQUE_FORMAT_RAW) continue;
    struct bytes small = squeeze(f, k, settings(k, TORQUE_COMPRESS), text, sizeof text, sizeof text), out = {0};
    uint32_t harmless = 0;
    for (size_t at = 0; at < small.length; at++) {
      for (unsigned bit = 1; bit < 256; bit *= SANITIZED ? 16 : 2) {
        small.at[at] ^= (unsigned char)bit;
        const torque_err err = expand(f, k, settings(k, TORQUE_EXPAND), small.at, small.length, 0, &out);
        small.at[at] ^= (unsigned char)bit;
        if (err == 0) {
          assert_int_equal(out.length, sizeof text);
          assert_memory_equal(out.at, text, sizeof text);
          harmless++;
        } else {
          assert_true(err >= TORQUE_ERR_Z_CORRUPT && err <= TORQUE_ERR_Z_DICTIONARY);
        }
      }
    }
    assert_true(harmless <= 8 * 8); /* gzip's time, flags and system */
    bytes_free(&small);
    bytes_free(&out);
  }
}

/* Damage with nothing to tell it by, and bytes that mean nothing at all: any end will do, but an end. */
static void anything(void **state) {
  struct fixture *f = *state;
  unsigned seed = 5;
  EACH_KIND(k) {
    struct bytes out = {0};
    for (uint32_t i = 0; i < FEWER(2000); i++) {
      unsigned char any[200];
      for (size_t j = 0; j < sizeof any; j++) any[j] = (unsigned char)rand_r(&seed);
      if (i % 2) memcpy(any, k->make == torque_zstd_layer ? "\x28\xb5\x2f\xfd" : "BZh9", 4);
      (void)expand(f, k, settings(k, TORQUE_EXPAND), any, 1 + (unsigned)rand_r(&seed) % sizeof any, i % 3, &out);
    }
    bytes_free(&out);
  }
}

static struct bytes members(struct fixture *f, const struct kind *k, const unsigned char *text, size_t length, int n) {
  struct bytes all = {0};
  for (int i = 0; i < n; i++) {
    struct bytes one = squeeze(f, k, settings(k, TORQUE_COMPRESS), text, length, length);
    bytes_add(&all, one.at, one.length);
    bytes_free(&one);
  }
  return all;
}

static struct torque_compression *following(const struct kind *k, uint32_t follows) {
  struct torque_compression *c = settings(k, TORQUE_EXPAND);
  assert_int_equal(torque_compression_set_follows(c, follows), 0);
  return c;
}

static void several_members(void **state) {
  struct fixture *f = *state;
  unsigned char text[200];
  words(text, sizeof text, 6);
  EACH_KIND(k) {
    struct bytes three = members(f, k, text, sizeof text, 3), out = {0};
    for (size_t piece = 0; piece < 60; piece += piece < 12 ? 1 : 7) {
      for (uint32_t follows = TORQUE_FOLLOWS_MEMBER; follows <= TORQUE_FOLLOWS_END; follows++) {
        const size_t count = follows == TORQUE_FOLLOWS_END ? 1 : 3;
        assert_int_equal(expand(f, k, following(k, follows), three.at, three.length, piece, &out), 0);
        assert_int_equal(out.length, count * sizeof text);
        for (size_t i = 0; i < count; i++) assert_memory_equal(out.at + i * sizeof text, text, sizeof text);
      }
    }
    bytes_free(&three);
    bytes_free(&out);
  }
}

static void followed_by_something_else(void **state) {
  struct fixture *f = *state;
  unsigned char text[200];
  words(text, sizeof text, 7);
  EACH_KIND(k) {
    if (k->format == TORQUE_FORMAT_RAW) continue; /* anything may be a member */
    struct bytes two = members(f, k, text, sizeof text, 2), out = {0};
    const size_t clean = two.length;
    bytes_add(&two, "\0\0something else", 16);
    for (size_t n = 1; n <= 16; n++) {
      for (size_t piece = 0; piece < 3; piece++) {
        const torque_err err = expand(f, k, following(k, TORQUE_FOLLOWS_MEMBER), two.at, clean + n, piece, &out);
        assert_true(err == TORQUE_ERR_Z_CORRUPT || (err == TORQUE_ERR_Z_TRUNCATED && n < 10));
        assert_int_equal(out.length, 2 * sizeof text);
        assert_int_equal(expand(f, k, following(k, TORQUE_FOLLOWS_ANY), two.at, clean + n, piece, &out), 0);
        assert_int_equal(out.length, 2 * sizeof text);
      }
    }
    /* As much of a beginning as leaves it open what it is. */
    two.length = clean;
    bytes_add(&two, two.at, 1);
    assert_int_equal(expand(f, k, following(k, TORQUE_FOLLOWS_ANY), two.at, two.length, 1, &out), 0);
    assert_int_equal(out.length, 2 * sizeof text);
    bytes_free(&two);
    bytes_free(&out);
  }
}

/* The end is told when the first member is complete, not when the wire ends. */
static void end_without_the_wires(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct party *p = party_new(f, collect, party_end);
    struct bytes small = squeeze(f, k, settings(k, TORQUE_COMPRESS), "all", 3, 3), out = {0};
    int fd[2];
    p->more = &out;
    with_layer(p, layer_with(k, following(k, TORQUE_FOLLOWS_END)));
    fixture_pair(f, fd);
    const torque_source s = party_add(p, fd[1]);
    assert_int_equal(send(fd[0], small.at, small.length, 0), small.length);
    AWAIT(f, p->ended);
    assert_int_equal(out.length, 3);
    assert_int_equal(torque_stream_write(s, "answer", 6), 0);
    assert_int_equal(torque_stream_shutdown(s), 0);
    AWAIT(f, p->closed);
    assert_int_equal(p->err, 0);
    bytes_free(&small);
    bytes_free(&out);
    party_free(p);
  }
}

/* zlib and zstd with what both sides know. */
static void dictionaries(void **state) {
  struct fixture *f = *state;
  static unsigned char known[20000], text[1500];
  words(known, sizeof known, 8);
  memcpy(text, known + 11000, sizeof text);
  EACH_KIND(k) {
    struct torque_compression *c = settings(k, TORQUE_COMPRESS | TORQUE_EXPAND);
    assert_int_equal(torque_compression_set_dictionary(c, known, sizeof known), 0);
    if (k->make == torque_bzip2_layer || k->format == TORQUE_FORMAT_GZIP) {
      if (k->make != torque_zstd_layer) {
        struct torque_layer_type *type;
        assert_int_equal(k->make(c, &type), TORQUE_ERR_INVAL);
        torque_compression_free(c);
        continue;
      }
    }
    if (k->format == TORQUE_FORMAT_AUTO) {
      torque_compression_free(c);
      continue;
    }
    struct torque_compression *same = settings(k, TORQUE_COMPRESS | TORQUE_EXPAND);
    assert_int_equal(torque_compression_set_dictionary(same, known, sizeof known), 0);
    struct bytes without = squeeze(f, k, settings(k, TORQUE_COMPRESS), text, sizeof text, 1000);
    struct bytes small = squeeze(f, k, c, text, sizeof text, 1000), out = {0};
    assert_true(small.length < without.length);
    assert_int_equal(expand(f, k, same, small.at, small.length, 5, &out), 0);
    assert_int_equal(out.length, sizeof text);
    assert_memory_equal(out.at, text, sizeof text);
    if (k->format == TORQUE_FORMAT_ZLIB) {
      assert_int_equal(expand(f, k, settings(k, TORQUE_EXPAND), small.at, small.length, 0, &out),
                       TORQUE_ERR_Z_DICTIONARY);
      c = settings(k, TORQUE_EXPAND);
      assert_int_equal(torque_compression_set_dictionary(c, "another", 7), 0);
      assert_int_equal(expand(f, k, c, small.at, small.length, 0, &out), TORQUE_ERR_Z_DICTIONARY);
    } else {
      assert_int_not_equal(expand(f, k, settings(k, TORQUE_EXPAND), small.at, small.length, 0, &out), 0);
    }
    bytes_free(&without);
    bytes_free(&small);
    bytes_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, cut_off_anywhere), ON(driven, damaged_anywhere),           ON(driven, anything),
      ON(driven, several_members),  ON(driven, followed_by_something_else), ON_EVERY(end_without_the_wires),
      ON(driven, dictionaries),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
