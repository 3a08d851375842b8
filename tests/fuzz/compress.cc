// SPDX-License-Identifier: BSD-3-Clause
// Any bytes, written in any pieces with any settings, through a layer that compresses and one that expands: they are
// the same.
#include <cstring>

#include "libtorque/compress.h"
#include "script.hh"

namespace {

struct Reader {
  const uint8_t *wanted;
  size_t left;
  uint32_t closed;
  torque_err err;
};

extern "C" {

size_t on_data(torque_source, const void *data, size_t length, void *arg) {
  Reader &r = *static_cast<Reader *>(arg);
  CHECK(length <= r.left && std::memcmp(data, r.wanted, length) == 0);
  r.wanted += length;
  r.left -= length;
  return length;
}

void on_close(torque_source, torque_err err, void *arg) {
  Reader &r = *static_cast<Reader *>(arg);
  CHECK(++r.closed == 1);
  r.err = err;
}

}  // extern "C"

torque_stream_type *make_type(uint8_t kind, uint8_t how, uint8_t level, const uint8_t *known) noexcept {
  torque_compression *c;
  torque_layer_type *layer;
  torque_stream_type *type;
  CHECK(torque_compression_new(&c) == 0);
  const bool gzip = kind % 6 < 4;
  if (gzip) CHECK(torque_compression_set_format(c, kind % 6) == 0);
  CHECK(torque_compression_set_flush(c, how % 4) == 0);
  if (level) CHECK(torque_compression_set_level(c, level % 9 + 1) == 0);
  if (how & 16) CHECK(torque_compression_set_window(c, 9 + (how >> 5)) == 0);
  if (known) CHECK(torque_compression_set_dictionary(c, known, 16) == 0);
  const torque_err err = gzip            ? torque_gzip_layer(c, &layer)
                         : kind % 6 == 4 ? torque_bzip2_layer(c, &layer)
                                         : torque_zstd_layer(c, &layer);
  torque_compression_free(c);
  if (err) return nullptr;  // not with these settings
  CHECK(torque_stream_type_new(&type) == 0);
  CHECK(torque_stream_type_set_data(type, on_data) == 0);
  CHECK(torque_stream_type_set_close(type, on_close) == 0);
  CHECK(torque_stream_type_add_layer(type, layer) == 0);
  torque_layer_type_free(layer);
  return type;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Script script{data, size};
  const uint8_t kind = script.next(), how = script.next(), level = script.next(), cut = script.next();
  torque_stream_type *type = make_type(kind, how, level, how & 4 && script.left >= 16 ? script.at : nullptr);
  if (!type) return 0;
  int fd[2];
  make_pair(fd);
  Reader readers[2] = {{script.at, 0, 0, 0}, {script.at, script.left, 0, 0}};
  torque_source s[2];
  for (int i = 0; i < 2; ++i) CHECK(torque_stream_add(shared_context(), fd[i], type, &readers[i], &s[i]) == 0);
  torque_stream_type_free(type);
  while (script.left) {
    const size_t n = cut && cut < script.left ? cut : script.left;
    CHECK(torque_stream_write(s[0], script.at, n) == 0);
    script = {script.at + n, script.left - n};
    if (n % 2) CHECK(torque_run_ready(shared_context(), nullptr) == 0);
  }
  CHECK(torque_stream_shutdown(s[0]) == 0);
  run_until([&] { return readers[0].closed && readers[1].closed; });
  CHECK(readers[1].left == 0 && readers[0].err == 0 && readers[1].err == 0);
  return 0;
}
