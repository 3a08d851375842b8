/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors of one direction below a layer of both: nothing is sent where nothing can be, and nothing waited for that cannot
 * come. */
#include "compressed.h"

#include <fcntl.h>

enum { LENGTH = 30000 };

/* A complete member of the pattern, as a stream makes it that is only written to. */
static struct bytes member(struct fixture *f, const struct kind *k) {
  struct party *p = party_new(f, NULL, NULL);
  with_layer(p, layer_with(k, settings(k, TORQUE_COMPRESS | TORQUE_EXPAND)));
  int fd[2];
  fixture_pipe(f, fd);
  const torque_source s = party_add(p, fd[1]);
  unsigned char plain[LENGTH], packed[4096];
  pattern_fill(plain, 0, sizeof plain);
  assert_int_equal(torque_stream_write(s, plain, sizeof plain), 0);
  assert_int_equal(torque_stream_close(s), 0);
  struct bytes b = {0};
  for (struct patience patience = patience_start();;) {
    const ssize_t n = read(fd[0], packed, sizeof packed);
    if (n == 0) break;
    if (n > 0) bytes_add(&b, packed, (size_t)n);
    else assert_true(fixture_step(f, &patience));
  }
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
  fixture_close(f, fd[0]);
  return b;
}

/* What is read of it: all, an end in order, and no write that was promised. */
static void read_of(struct fixture *f, const struct kind *k, int fd, torque_stream_end_fn *end) {
  struct party *p = party_new(f, party_take, end);
  with_layer(p, layer_with(k, settings(k, TORQUE_COMPRESS | TORQUE_EXPAND)));
  torque_source s;
  assert_int_equal(torque_stream_new(f->ctx, fd, p->type, p, &s), 0);
  fixture_disown(f, fd);
  assert_int_equal(torque_stream_write(s, "x", 1), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_write_ref(s, "x", 1, NULL, NULL), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_sendfile(s, fd, 0, 1), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_start(s), 0);
  if (end) {
    AWAIT(f, p->ended);
    assert_int_equal(p->closed, 0);
    assert_int_equal(torque_stream_write(s, "x", 1), TORQUE_ERR_STATE);
    assert_int_equal(torque_stream_shutdown(s), 0);
  }
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->in, LENGTH);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void pipes(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    for (int i = 0; i < 2; i++) {
      struct bytes b = member(f, k);
      int fd[2];
      fixture_pipe(f, fd);
      assert_int_equal(write(fd[1], b.at, b.length), b.length);
      fixture_close(f, fd[1]);
      read_of(f, k, fd[0], i ? party_end : NULL);
      free(b.at);
    }
  }
}

static void files(void **state) {
  struct fixture *f = *state;
  EACH_KIND(k) {
    struct bytes b = member(f, k);
    char name[] = "/tmp/torque-test-XXXXXX";
    const int to = mkstemp(name);
    assert_true(to >= 0);
    fixture_own(f, to);
    assert_int_equal(write(to, b.at, b.length), b.length);
    const int from = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(from >= 0);
    fixture_own(f, from);
    assert_int_equal(unlink(name), 0);
    read_of(f, k, from, NULL);
    fixture_close(f, to);
    free(b.at);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {ON_EVERY(pipes), ON_EVERY(files)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
