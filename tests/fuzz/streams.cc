// SPDX-License-Identifier: BSD-3-Clause
// Two streams at the ends of a pair, and a script of what both do: every byte that was written is told once, in order,
// and no other; each end is told once; nothing waits for ever.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "script.hh"
#ifdef TORQUE_FUZZ_Z
#include "libtorque/compress.h"
#endif

namespace {

constexpr size_t kMost = 1 << 20;  // bytes each way

enum Take : uint8_t { all, half, one, none };

struct Side {
  Side *peer;
  torque_source stream;
  uint8_t number;
  uint64_t written, taken;
  bool ends, discards, cut;  // shutdown or close; close; abort or remove
  Take take;
  uint8_t in_data;  // what the next data callback does
  uint32_t opened, ended, closed, lent, released;
  torque_err err;
};

Side sides[2];
bool one_writes;  // two that both wait for the other to read wait for ever, and rightly so

// Byte n of what a side sends.
unsigned char byte_at(const Side &s, uint64_t n) noexcept {
  return static_cast<unsigned char>((n * 2654435761u) >> 13 ^ n ^ s.number);
}

const unsigned char *bytes_of(const Side &s) noexcept {
  static unsigned char bytes[2][kMost];
  static const bool made = [] {
    for (int i = 0; i < 2; ++i) {
      Side of{};
      of.number = static_cast<uint8_t>(i);
      for (size_t n = 0; n < kMost; ++n) bytes[i][n] = byte_at(of, n);
    }
    return true;
  }();
  (void)made;
  return bytes[s.number];
}

int file_of(const Side &s) noexcept {
  static int files[2] = {-1, -1};
  int &fd = files[s.number];
  if (fd < 0) {
    fd = memfd_create("streams", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(write(fd, bytes_of(s), kMost) == static_cast<ssize_t>(kMost));
  }
  return fd;
}

// Whether it went: not after an end.
void wrote(Side &s, torque_err err, size_t n) noexcept {
  if (err == 0 && !s.cut) CHECK(!s.ends);
  if (err == 0)
    s.written += n;
  else
    CHECK(err == TORQUE_ERR_STATE || err == TORQUE_ERR_STALE);
  if (err == TORQUE_ERR_STATE) CHECK(s.ends || s.cut);
}

void act(Side &s, uint8_t op, size_t n) noexcept {
  const unsigned char *bytes = bytes_of(s) + s.written;
  n = std::min(n * n, kMost - static_cast<size_t>(s.written));
  if (one_writes && s.number == 1 && op % 12 < 4) return;
  switch (op % 12) {
    case 0:
      return wrote(s, torque_stream_write(s.stream, bytes, n), n);
    case 1: {
      const iovec parts[] = {{const_cast<unsigned char *>(bytes), n / 3},
                             {nullptr, 0},
                             {const_cast<unsigned char *>(bytes) + n / 3, n - n / 3}};
      return wrote(s, torque_stream_writev(s.stream, parts, 3), n);
    }
    case 2: {
      const torque_err err = torque_stream_write_ref(
          s.stream, bytes, n, [](void *arg) { ++static_cast<Side *>(arg)->released; }, &s);
      if (!err) ++s.lent;  // also none at all
      return wrote(s, err, n);
    }
    case 3:
      return wrote(s, torque_stream_sendfile(s.stream, file_of(s), s.written, n), n);
    case 4:
      (void)torque_stream_pause(s.stream);
      return;
    case 5:
      (void)torque_stream_resume(s.stream);
      return;
    case 6:
      if (torque_stream_shutdown(s.stream) == 0) s.ends = true;
      return;
    case 7:
      if (n % 4 == 0 && torque_stream_close(s.stream) == 0) s.ends = s.discards = true;
      return;
    case 8:
      if (n % 8 == 0 && torque_stream_abort(s.stream) == 0) s.cut = true;
      return;
    case 9:
      if (n % 8 == 0 && torque_source_remove(s.stream) == 0) s.cut = true;
      return;
    case 10:
      (void)torque_stream_flush(s.stream);
      return;
    default:
      s.take = static_cast<Take>(n % 4);
      return;
  }
}

extern "C" {

void on_open(torque_source, void *arg) {
  Side &s = *static_cast<Side *>(arg);
  CHECK(!s.closed && ++s.opened == 1);
}

size_t on_data(torque_source, const void *data, size_t length, void *arg) {
  Side &s = *static_cast<Side *>(arg);
  CHECK(s.opened && !s.ended && !s.closed && length);
  CHECK(s.taken + length <= s.peer->written);
  if (s.in_data) act(s, s.in_data, s.in_data / 12);
  s.in_data = 0;
  // After what the callback did, too, they are what was sent.
  CHECK(std::memcmp(data, bytes_of(*s.peer) + s.taken, length) == 0);
  const size_t n = s.take == all ? length : s.take == half ? length / 2 : s.take == one ? 1 : 0;
  s.taken += n;
  return n;
}

void on_end(torque_source stream, void *arg) {
  Side &s = *static_cast<Side *>(arg);
  CHECK(s.opened && !s.closed && ++s.ended == 1);
  CHECK(s.peer->ends || s.peer->closed || s.peer->cut);
  const void *data;
  size_t length;
  CHECK(torque_stream_peek(stream, &data, &length) == 0);
  if (length) CHECK(std::memcmp(data, bytes_of(*s.peer) + s.taken, length) == 0);
  CHECK(torque_stream_consume(stream, length) == 0);
  s.taken += length;
}

void on_close(torque_source stream, torque_err err, void *arg) {
  Side &s = *static_cast<Side *>(arg);
  CHECK(++s.closed == 1 && !torque_source_alive(stream));
  s.err = err;
}

}  // extern "C"

#ifdef TORQUE_FUZZ_Z
torque_layer_type *compressing(uint8_t which) noexcept {
  static torque_layer_type *types[3];
  torque_err (*const make[])(const torque_compression *, torque_layer_type **) = {torque_gzip_layer, torque_zstd_layer,
                                                                                  torque_bzip2_layer};
  if (!types[which] && make[which](nullptr, &types[which])) types[which] = nullptr;
  return types[which];
}
#endif

torque_stream_type *make_type(uint8_t layers, uint8_t marks) noexcept {
  torque_stream_type *type;
  CHECK(torque_stream_type_new(&type) == 0);
  CHECK(torque_stream_type_set_open(type, on_open) == 0);
  CHECK(torque_stream_type_set_data(type, on_data) == 0);
  CHECK(torque_stream_type_set_end(type, on_end) == 0);
  CHECK(torque_stream_type_set_close(type, on_close) == 0);
  if (marks & 1) CHECK(torque_stream_type_set_input(type, 1 + (marks >> 4), 100 + 10 * marks) == 0);
  one_writes = marks & 2;
  CHECK(torque_stream_type_set_output(type, 10, one_writes ? 100 + 10 * marks : 16 * kMost) == 0);
  if (marks & 4) CHECK(torque_stream_type_set_budget(type, 1 + 100 * (marks >> 4)) == 0);
#ifdef TORQUE_FUZZ_Z
  // bzip2 seldom: it is slow.
  if (layers & 1 && compressing(0)) CHECK(torque_stream_type_add_layer(type, compressing(0)) == 0);
  if (layers & 2 && compressing(1)) CHECK(torque_stream_type_add_layer(type, compressing(1)) == 0);
  if (layers == 60 && compressing(2)) CHECK(torque_stream_type_add_layer(type, compressing(2)) == 0);
#else
  (void)layers;
#endif
  return type;
}

// What a side sent must be with the other: it ended in order, and the other went on listening.
void check_whole(const Side &from) noexcept {
  const Side &to = *from.peer;
  if (from.cut || to.cut || to.discards) return;
  CHECK(to.taken == from.written);
  CHECK(to.ended == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Script script{data, size};
  int fd[2];
  const uint8_t layers = script.next(), marks = script.next();
  torque_stream_type *type = make_type(layers % 64, marks);
  make_pair(fd);
  for (uint8_t i = 0; i < 2; ++i) {
    sides[i] = Side{};
    sides[i].peer = &sides[1 - i];
    sides[i].number = i;
    CHECK(torque_stream_add(shared_context(), fd[i], type, &sides[i], &sides[i].stream) == 0);
  }
  torque_stream_type_free(type);
  while (script.left) {
    const uint8_t op = script.next();
    Side &s = sides[op & 1];
    const uint8_t what = (op >> 1) % 14, n = script.next();
    if (what < 12)
      act(s, what, n);
    else if (what == 12)
      s.in_data = n;
    else
      for (unsigned i = 0; i <= n % 8u; ++i) CHECK(torque_run_ready(shared_context(), nullptr) == 0);
  }
  for (Side &s : sides) {
    s.take = all;
    s.in_data = 0;
    (void)torque_stream_resume(s.stream);
    if (torque_stream_shutdown(s.stream) == 0) s.ends = true;
  }
  run_until([] { return sides[0].closed && sides[1].closed; });
  for (const Side &s : sides) {
    check_whole(s);
    CHECK(s.lent == s.released);
    if (!s.cut && !s.peer->cut && !s.discards && !s.peer->discards) CHECK(s.err == 0);
  }
  return 0;
}
