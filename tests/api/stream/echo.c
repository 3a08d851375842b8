/* SPDX-License-Identifier: BSD-3-Clause */
/* What a program writes back comes back: every byte, in order, however it is cut into pieces, on any number of streams.
 */
#include "support/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

/* Takes whole lines of 7 bytes only. */
static size_t echo_sevens(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  const size_t n = length / 7 * 7;
  p->calls++;
  if (n && torque_stream_write(stream, data, n)) p->strange++;
  return n;
}

static void small_messages(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, echo, NULL);
  int fd[2];
  fixture_tcp(f, fd);
  party_add(p, fd[1]);
  for (int i = 0; i < 200; i++) {
    const uint32_t n = pattern_put(fd[0], (uint64_t)i * 13, 13);
    assert_int_equal(n, 13);
    uint64_t got = (uint64_t)i * 13;
    AWAIT(f, pattern_check(fd[0], &got) && got == (uint64_t)(i + 1) * 13);
  }
  assert_int_equal(p->strange, 0);
  assert_int_equal(p->opened, 1);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->closed, 1);
  assert_int_equal(p->err, 0);
  party_free(p);
}

static void megabytes(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, echo, NULL);
  int fd[2];
  fixture_tcp(f, fd);
  party_add(p, fd[1]);
  const uint64_t all = FEWER(20 << 20);
  uint64_t sent = 0, got = 0;
  struct patience patience = patience_start();
  while (got < all) {
    if (sent < all) sent += pattern_put(fd[0], sent, all - sent < 100000 ? all - sent : 100000);
    assert_true(pattern_check(fd[0], &got));
    assert_true(fixture_step(f, &patience));
  }
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
}

static void random_pieces(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, echo_sevens, NULL);
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  const uint64_t all = 7 * FEWER(30000);
  uint64_t sent = 0, got = 0;
  unsigned seed = 1;
  struct patience patience = patience_start();
  while (got < all) {
    if (sent < all) {
      uint64_t n = 1 + (unsigned)rand_r(&seed) % (rand_r(&seed) % 8 ? 20 : 3000);
      sent += pattern_put(fd[0], sent, all - sent < n ? all - sent : n);
    }
    assert_true(pattern_check(fd[0], &got));
    assert_true(fixture_step(f, &patience));
  }
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(small_messages),
      ON_EVERY(megabytes),
      ON_EVERY(random_pieces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
