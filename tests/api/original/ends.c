/* SPDX-License-Identifier: BSD-3-Clause */
/* How buffered descriptors of the original's interface end: by the peer, by an error, by their own callback, by the
 * context; and who closes what. */
#include "support/buffered.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/streams.h"

static void assert_shown(const struct reader *r, size_t count, const size_t *lengths) {
  assert_int_equal(r->calls, count);
  for (size_t i = 0; i < count; i++) assert_int_equal(r->shown[i], lengths[i]);
  assert_int_equal(r->strange, 0);
}

/* Bytes and the end at once. */
static struct reader *ends_with(struct fixture *f, size_t bytes, size_t take, bool keep_open) {
  struct reader *r = reader_new(f);
  int fd[2];
  fixture_tcp(f, fd);
  r->take = take;
  r->keep_open = keep_open;
  assert_int_equal(pattern_put(fd[0], 0, bytes), bytes);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  reader_add(r, fd[1], NULL);
  AWAIT(f, r->ends && sources_of(f) == 0);
  assert_false(is_open(fd[1]));
  char byte;
  AWAIT(f, recv(fd[0], &byte, 1, MSG_DONTWAIT) == 0); /* in order, no reset */
  return r;
}

static void all_is_taken_then_the_end(void **state) {
  struct fixture *f = *state;
  assert_shown(ends_with(f, 10, SIZE_MAX, false), 2, (const size_t[]){10, 0});
  assert_shown(ends_with(f, 10, SIZE_MAX, true), 2, (const size_t[]){10, 0});
}

static void some_is_taken_each_time(void **state) {
  struct fixture *f = *state;
  assert_shown(ends_with(f, 10, 3, false), 5, (const size_t[]){10, 7, 4, 1, 0});
}

static void nothing_is_taken(void **state) {
  struct fixture *f = *state;
  assert_shown(ends_with(f, 10, 0, false), 3, (const size_t[]){10, 10, 0});
  assert_shown(ends_with(f, 10, 0, true), 3, (const size_t[]){10, 10, 0});
}

/* The end of the requests is not the end of the answers, however slowly the peer takes them. */
static void a_peer_that_half_closes_and_reads_late(void **state) {
  struct fixture *f = *state;
  for (int with_tx = 0; with_tx <= 1; with_tx++) {
    struct reader *r = reader_new(f);
    int fd[2];
    fixture_pair(f, fd);
    r->echo = true;
    reader_add(r, fd[1], with_tx ? reader_tx : NULL);
    uint64_t sent = 0, got = 0;
    struct patience patience = patience_start();
    while (sent < 8 << 20) { /* more than the kernel keeps for a peer that does not read */
      const uint32_t n = pattern_put(fd[0], sent, 65536);
      sent += n;
      if (n) continue;
      fixture_settle(f);
      const uint32_t more = pattern_put(fd[0], sent, 65536);
      sent += more;
      if (!more) break;
    }
    assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
    fixture_settle(f);
    assert_int_equal(r->ends, 0);
    while (got < sent) {
      assert_true(pattern_check(fd[0], &got));
      assert_true(fixture_step(f, &patience));
    }
    AWAIT(f, r->closed);
    assert_int_equal(r->bytes, sent);
    assert_int_equal(r->strange, 0);
    char byte;
    AWAIT(f, recv(fd[0], &byte, 1, MSG_DONTWAIT) == 0);
    AWAIT(f, sources_of(f) == 0);
  }
}

/* Nobody waits for ever for a peer that half-closes, reads nothing, and goes. */
static void a_peer_that_half_closes_and_goes(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  int fd[2];
  fixture_pair(f, fd);
  r->take = 0;
  assert_int_equal(pattern_put(fd[0], 0, 100), 100);
  uint64_t put = 0;
  for (uint32_t n; (n = pattern_put(fd[1], put, 65536));) put += n; /* it cannot be written to */
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  reader_add(r, fd[1], NULL);
  AWAIT(f, r->calls);
  fixture_settle(f);
  assert_int_equal(r->ends, 0);
  fixture_close(f, fd[0]);
  AWAIT(f, r->closed && sources_of(f) == 0);
  assert_int_equal(r->shown[0], 100);
  assert_int_equal(r->strange, 0);
}

static void a_pipe_ends(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  int fd[2];
  fixture_pipe(f, fd);
  r->take = 6;
  unsigned char bytes[20];
  pattern_fill(bytes, 0, sizeof bytes);
  assert_int_equal(write(fd[1], bytes, sizeof bytes), sizeof bytes);
  fixture_close(f, fd[1]);
  reader_add(r, fd[0], NULL);
  AWAIT(f, r->closed && sources_of(f) == 0);
  assert_shown(r, 5, (const size_t[]){20, 14, 8, 2, 0});
}

static void a_reset(void **state) {
  struct fixture *f = *state;
  for (int keep_open = 0; keep_open <= 1; keep_open++) {
    struct reader *r = reader_new(f);
    const struct linger at_once = {.l_onoff = 1};
    int fd[2];
    fixture_tcp(f, fd);
    r->take = 0;
    r->keep_open = keep_open;
    reader_add(r, fd[1], NULL);
    assert_int_equal(pattern_put(fd[0], 0, 100), 100);
    AWAIT(f, r->calls);
    assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    fixture_close(f, fd[0]);
    AWAIT(f, r->ends && sources_of(f) == 0);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->strange, 0);
    assert_false(is_open(fd[1]));
  }
}

/* ---- The callback closes it, and the number is somebody else's before it returns ---- */

static void close_after_ten(struct reader *r, int fd) {
  if (r->most < 10) return;
  if (dup2(r->replace, fd) != fd) r->strange++;
  r->closed = true;
}

static void close_in_tx(struct reader *r, int fd) {
  if (dup2(r->replace, fd) != fd) r->strange++;
  r->closed = true;
}

static void the_new_owner_of_the_number_keeps_it(void **state) {
  struct fixture *f = *state;
  for (int where = 0; where < 4; where++) {
    struct reader *r = reader_new(f);
    int fd[2], other[2];
    fixture_tcp(f, fd);
    fixture_pipe(f, other);
    r->replace = other[0];
    if (where == 1) r->take = 0;
    if (where <= 1) r->then = close_after_ten; /* with nothing left; with bytes left */
    if (where == 3) r->then = close_in_tx;
    reader_add(r, fd[1], where == 3 ? reader_tx : NULL);
    fixture_own(f, fd[1]);
    if (where == 0) assert_int_equal(pattern_put(fd[0], 0, 10), 10);
    if (where == 1) {
      assert_int_equal(pattern_put(fd[0], 0, 5), 5);
      AWAIT(f, r->calls);
      assert_int_equal(pattern_put(fd[0], 5, 5), 5);
    }
    if (where == 2) fixture_close(f, fd[0]); /* it closes when it is told of the end */
    AWAIT(f, r->closed && sources_of(f) == 0);
    fixture_settle(f);
    assert_true(same_file(fd[1], other[0]));
    assert_int_equal(r->strange, 0);
  }
}

/* The number's new file is added before the old one's callback has returned. */
static void add_again(struct reader *r, int fd) {
  if (!r->closed) return;
  struct reader *next = r->more;
  if (torque_addfd(r->f->ctx, fd, reader_rx, NULL, next)) r->strange++;
}

static void a_number_is_added_again_in_the_callback(void **state) {
  struct fixture *f = *state;
  enum { ROUNDS = 50 };
  struct reader *r = reader_new(f), *last = r;
  int fd[2], old[2];
  fixture_tcp(f, old);
  r->then = add_again;
  reader_add(r, old[1], NULL);
  for (int i = 0; i < ROUNDS; i++) {
    fixture_tcp(f, fd);
    struct reader *next = reader_new(f);
    next->then = i + 1 < ROUNDS ? add_again : NULL;
    last->more = next;
    last->replace = fd[1];
    fixture_close(f, old[0]);
    assert_int_equal(pattern_put(fd[0], 0, 1), 1);
    AWAIT(f, next->bytes == 1); /* it was added */
    fixture_close(f, fd[1]);    /* lives on under the old number */
    assert_int_equal(pattern_put(fd[0], 1, 1000), 1000);
    AWAIT(f, next->bytes == 1001);
    AWAIT(f, sources_of(f) == 1);
    assert_int_equal(last->strange, 0);
    old[0] = fd[0];
    last = next;
  }
  fixture_close(f, old[0]);
  AWAIT(f, last->closed && sources_of(f) == 0);
  assert_false(is_open(old[1]));
}

static void a_stopped_context_leaves_descriptors_open(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  int fd[2];
  fixture_pair(f, fd);
  r->take = 0;
  reader_add(r, fd[1], NULL);
  fixture_own(f, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 100), 100);
  AWAIT(f, r->calls);
  fixture_stop(f);
  assert_true(is_open(fd[1]));
  assert_int_equal(r->ends, 0);
  say(fd[1], 10); /* and it works */
  assert_int_equal(drain(fd[0], NULL), 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(all_is_taken_then_the_end),
      ON_EVERY(some_is_taken_each_time),
      ON_EVERY(nothing_is_taken),
      ON_EVERY(a_peer_that_half_closes_and_reads_late),
      ON_EVERY(a_peer_that_half_closes_and_goes),
      ON_EVERY(a_pipe_ends),
      ON_EVERY(a_reset),
      ON_EVERY(the_new_owner_of_the_number_keeps_it),
      ON_EVERY(a_number_is_added_again_in_the_callback),
      ON_EVERY(a_stopped_context_leaves_descriptors_open),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
