// SPDX-License-Identifier: BSD-3-Clause
// Bytes that anybody may have sent, in any cut, to a layer that expands them, before a program that stops now and then:
// there is an end, soon.
#include <cerrno>

#include "libtorque/compress.h"
#include "script.hh"

namespace {

constexpr uint64_t kLimit = 2 << 20;

struct Reader {
  uint64_t told;
  uint8_t stops;  // one of so many calls
  uint32_t calls, closed;
  torque_err err;
};

extern "C" {

size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  Reader &r = *static_cast<Reader *>(arg);
  CHECK(data && length && !r.closed);
  if (r.stops && ++r.calls % r.stops == 0) (void)torque_stream_pause(stream);
  r.told += length;
  CHECK(r.told <= kLimit);
  return length;
}

void on_close(torque_source, torque_err err, void *arg) {
  Reader &r = *static_cast<Reader *>(arg);
  CHECK(++r.closed == 1);
  r.err = err;
}

}  // extern "C"

torque_layer_type *make_layer(uint8_t kind, uint8_t how) noexcept {
  torque_compression *c;
  torque_layer_type *type;
  CHECK(torque_compression_new(&c) == 0);
  CHECK(torque_compression_set_direction(c, TORQUE_EXPAND) == 0);
  CHECK(torque_compression_set_follows(c, how % 3) == 0);
  CHECK(torque_compression_set_limit(c, kLimit, how & 64 ? 50 : 0) == 0);
  if (kind % 6 < 4) CHECK(torque_compression_set_format(c, kind % 6) == 0);
  const torque_err err = kind % 6 < 4    ? torque_gzip_layer(c, &type)
                         : kind % 6 == 4 ? torque_bzip2_layer(c, &type)
                                         : torque_zstd_layer(c, &type);
  torque_compression_free(c);
  if (err) CHECK(err == TORQUE_ERR_UNAVAIL);
  return err ? nullptr : type;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Script script{data, size};
  const uint8_t kind = script.next(), how = script.next(), cut = script.next();
  Reader reader{};
  reader.stops = how >> 4 & 3;
  torque_layer_type *layer = make_layer(kind, how);
  if (!layer) return 0;
  torque_stream_type *type;
  CHECK(torque_stream_type_new(&type) == 0);
  CHECK(torque_stream_type_set_data(type, on_data) == 0);
  CHECK(torque_stream_type_set_close(type, on_close) == 0);
  CHECK(torque_stream_type_add_layer(type, layer) == 0);
  torque_layer_type_free(layer);
  int fd[2];
  torque_source stream;
  make_pair(fd);
  CHECK(torque_stream_add(shared_context(), fd[1], type, &reader, &stream) == 0);
  torque_stream_type_free(type);
  while (script.left && !reader.closed) {
    const size_t n = cut && cut < script.left ? cut : script.left;
    const ssize_t sent = send(fd[0], script.at, n, MSG_NOSIGNAL);
    if (sent > 0) script = {script.at + sent, script.left - static_cast<size_t>(sent)};
    if (sent < 0 && errno != EAGAIN) break;
    CHECK(torque_run_ready(shared_context(), nullptr) == 0);
    (void)torque_stream_resume(stream);
  }
  (void)shutdown(fd[0], SHUT_WR);
  run_until([&] {
    (void)torque_stream_resume(stream);
    return reader.closed != 0;
  });
  CHECK(reader.err == 0 || (reader.err >= TORQUE_ERR_Z_CORRUPT && reader.err <= TORQUE_ERR_Z_DICTIONARY) ||
        reader.err == TORQUE_ERR_SYSCALL + EPIPE || reader.err == TORQUE_ERR_SYSCALL + ECONNRESET);
  close(fd[0]);
  return 0;
}
