/* SPDX-License-Identifier: BSD-3-Clause */
/* What cannot be is said when the settings are made, or the layer. */
#include "compressed.h"

static void values(void **state) {
  (void)state;
  struct torque_compression *c;
  assert_int_equal(torque_compression_new(NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_new(&c), 0);
  assert_int_equal(torque_compression_set_direction(c, 0), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_set_direction(c, 4), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_set_format(c, 4), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_set_window(c, 32), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_set_flush(c, 4), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_set_follows(c, 3), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_set_dictionary(c, NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_set_dictionary(c, NULL, 0), 0);
  assert_int_equal(torque_compression_set_limit(NULL, 1, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_compression_set_level(NULL, 1), TORQUE_ERR_INVAL);
  torque_compression_free(c);
  torque_compression_free(NULL);
}

static torque_err with_setting(const struct kind *k, torque_err (*set)(struct torque_compression *, uint32_t),
                               uint32_t value) {
  struct torque_compression *c = settings(k, TORQUE_COMPRESS | TORQUE_EXPAND);
  struct torque_layer_type *type = NULL;
  assert_int_equal(set(c, value), 0);
  const torque_err err = k->make(c, &type);
  torque_compression_free(c);
  assert_int_equal(err != 0, type == NULL); /* untouched on failure */
  torque_layer_type_free(type);
  return err;
}

static torque_err set_level(struct torque_compression *c, uint32_t level) {
  return torque_compression_set_level(c, (int32_t)level);
}

static void what_a_kind_cannot_do(void **state) {
  (void)state;
  EACH_KIND(k) {
    const int zstd = k->make == torque_zstd_layer, bzip2 = k->make == torque_bzip2_layer;
    assert_int_equal(k->make(NULL, NULL), TORQUE_ERR_INVAL);
    assert_int_equal(with_setting(k, set_level, 9), 0);
    assert_int_equal(with_setting(k, set_level, 1), 0);
    assert_int_equal(with_setting(k, set_level, 0), bzip2 ? TORQUE_ERR_INVAL : 0);
    assert_int_equal(with_setting(k, set_level, (uint32_t)-1), zstd ? 0 : TORQUE_ERR_INVAL);
    assert_int_equal(with_setting(k, set_level, 10), zstd ? 0 : TORQUE_ERR_INVAL);
    assert_int_equal(with_setting(k, set_level, 100), TORQUE_ERR_INVAL);
    assert_int_equal(with_setting(k, torque_compression_set_window, 8), TORQUE_ERR_INVAL);
    assert_int_equal(with_setting(k, torque_compression_set_window, 12), bzip2 ? TORQUE_ERR_INVAL : 0);
    assert_int_equal(with_setting(k, torque_compression_set_window, 16), zstd ? 0 : TORQUE_ERR_INVAL);
    assert_int_equal(with_setting(k, torque_compression_set_window, 28), TORQUE_ERR_INVAL);
    assert_int_equal(with_setting(k, torque_compression_set_flush, TORQUE_FLUSH_SYNC), bzip2 ? TORQUE_ERR_INVAL : 0);
    assert_int_equal(with_setting(k, torque_compression_set_format, TORQUE_FORMAT_RAW),
                     zstd || bzip2 ? TORQUE_ERR_INVAL : 0);
  }
}

/* One that says it was trained, and is not. */
static void damaged_dictionary(void **state) {
  (void)state;
  EACH_KIND(k) {
    if (k->make != torque_zstd_layer) continue;
    struct torque_compression *c = settings(k, TORQUE_EXPAND);
    struct torque_layer_type *type;
    assert_int_equal(torque_compression_set_dictionary(c, "\x37\xa4\x30\xec with nothing in it", 23), 0);
    assert_int_equal(k->make(c, &type), TORQUE_ERR_INVAL);
    torque_compression_free(c);
  }
}

static void texts(void **state) {
  (void)state;
  for (torque_err err = TORQUE_ERR_Z_CORRUPT; err <= TORQUE_ERR_Z_DICTIONARY; err++) {
    assert_string_not_equal(torque_errstr(err), torque_errstr(1 << 20));
    assert_int_equal(torque_err_errno(err), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values),
      cmocka_unit_test(what_a_kind_cannot_do),
      cmocka_unit_test(damaged_dictionary),
      cmocka_unit_test(texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
