/* SPDX-License-Identifier: BSD-3-Clause */
/* gzip(1), bzip2(1) and zstd(1) read what the layers send, and the layers what they write. */
#include "compressed.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int file_of(struct fixture *f, const void *data, size_t length) {
  const int fd = memfd_create("tools", MFD_CLOEXEC);
  assert_true(fd >= 0);
  fixture_own(f, fd);
  assert_int_equal(write(fd, data, length), length);
  assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
  return fd;
}

/* What the tool makes of bytes; 0 if there is no such tool. */
static int tool(struct fixture *f, const char *name, const char *options, const void *data, size_t length,
                struct bytes *ret_out) {
  const int in = file_of(f, data, length), out = file_of(f, "", 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0) _exit(126);
    execlp(name, name, options, (char *)NULL);
    _exit(127);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == 127) return 0;
  assert_int_equal(WEXITSTATUS(status), 0);
  ret_out->length = 0;
  unsigned char part[65536];
  assert_int_equal(lseek(out, 0, SEEK_SET), 0);
  for (ssize_t n; (n = read(out, part, sizeof part)) > 0;) bytes_add(ret_out, part, (size_t)n);
  fixture_close(f, in);
  fixture_close(f, out);
  return 1;
}

static void written_by_a_layer(void **state) {
  struct fixture *f = *state;
  static unsigned char text[500000];
  words(text, sizeof text, 11);
  uint32_t tried = 0;
  EACH_KIND(k) {
    struct bytes out = {0};
    for (size_t piece = 700; k->tool && piece <= sizeof text; piece *= 800) {
      const size_t length = piece == 700 ? 20000 : sizeof text;
      struct bytes small = squeeze(f, k, settings(k, TORQUE_COMPRESS), text, length, piece);
      if (tool(f, k->tool, "-dc", small.at, small.length, &out)) {
        assert_int_equal(out.length, length);
        assert_memory_equal(out.at, text, length);
        tried++;
      }
      bytes_free(&small);
    }
    bytes_free(&out);
  }
  if (!tried) skip();
}

static void written_by_a_tool(void **state) {
  struct fixture *f = *state;
  static unsigned char text[500000];
  words(text, sizeof text, 12);
  uint32_t tried = 0;
  EACH_KIND(k) {
    struct bytes small = {0}, out = {0};
    if (k->tool && tool(f, k->tool, "-c", text, sizeof text, &small)) {
      bytes_add(&small, small.at, small.length); /* two in a row */
      for (size_t piece = 0; piece <= 3000; piece += 1500) {
        assert_int_equal(expand(f, k, settings(k, TORQUE_EXPAND), small.at, small.length, piece, &out), 0);
        assert_int_equal(out.length, 2 * sizeof text);
        assert_memory_equal(out.at, text, sizeof text);
        assert_memory_equal(out.at + sizeof text, text, sizeof text);
      }
      tried++;
    }
    bytes_free(&small);
    bytes_free(&out);
  }
  if (!tried) skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {ON(driven, written_by_a_layer), ON(driven, written_by_a_tool)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
