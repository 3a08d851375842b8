// SPDX-License-Identifier: BSD-3-Clause
// torque-host's standard input, in pieces: the first byte says how large they are. However they are cut, the same lines
// come of it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

extern "C" {
#include "lines.h"
}

namespace {

std::string lines_of(const uint8_t *data, size_t size, size_t piece) {
  const auto lines = std::make_unique<struct lines>();
  std::string all;
  const char *line;
  for (bool eof = false;;) {
    for (line_kind kind; (kind = lines_next(lines.get(), eof, &line)) != line_none;) {
      if (kind == line_name && (*line == '\0' || std::strlen(line) > line_most)) std::abort();
      all += line;
      all += '\n';
    }
    if (eof) return all;
    size_t room;
    char *space = lines_space(lines.get(), &room);
    if (room == 0) std::abort();  // all whole lines were taken
    const size_t n = std::min({room, piece, size});
    std::memcpy(space, data, n);
    lines_fill(lines.get(), n);
    data += n;
    size -= n;
    eof = size == 0;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  const size_t piece = data[0] + 1u;
  if (lines_of(data + 1, size - 1, piece) != lines_of(data + 1, size - 1, SIZE_MAX)) std::abort();
  return 0;
}
