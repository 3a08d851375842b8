// SPDX-License-Identifier: BSD-3-Clause
// In place of libFuzzer: the files that are named, one after the other.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
  static uint8_t data[1 << 20];
  for (int i = 1; i < argc; ++i) {
    FILE *f = std::fopen(argv[i], "rb");
    if (!f) return std::perror(argv[i]), EXIT_FAILURE;
    const size_t size = std::fread(data, 1, sizeof data, f);
    std::fclose(f);
    // Where it ends, so that a sanitizer sees who reads beyond.
    auto *copy = static_cast<uint8_t *>(std::malloc(size ? size : 1));
    if (!copy) return EXIT_FAILURE;
    for (size_t j = 0; j < size; ++j) copy[j] = data[j];
    LLVMFuzzerTestOneInput(copy, size);
    std::free(copy);
  }
  std::printf("%d passed, 0 failed (inputs)\n", argc - 1);
  return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
