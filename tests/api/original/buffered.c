/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffered descriptors of the original's interface: what the callbacks are shown, and when they are called again. */
#include "support/buffered.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/streams.h"

enum { MIB = 1 << 20 };

/* A connection with bytes in it, both ways TCP or not, whose other end is fd[0]. */
static void pair(struct fixture *f, int tcp, int fd[2]) { tcp ? fixture_tcp(f, fd) : fixture_pair(f, fd); }

static void one_call_for_one_burst(void **state) {
  struct fixture *f = *state;
  for (int tcp = 0; tcp <= 1; tcp++) {
    struct reader *r = reader_new(f);
    int fd[2];
    pair(f, tcp, fd);
    assert_int_equal(pattern_put(fd[0], 0, 50000), 50000);
    reader_add(r, fd[1], NULL);
    AWAIT(f, r->bytes == 50000);
    for (uint64_t at = 50000; at < 50000 + 20 * 100; at += 100) {
      assert_int_equal(pattern_put(fd[0], at, 100), 100);
      AWAIT(f, r->bytes == at + 100);
    }
    fixture_settle(f);
    assert_int_equal(r->calls, 21);
    assert_int_equal(r->shown[0], 50000);
    for (int i = 1; i <= 20; i++) assert_int_equal(r->shown[i], 100);
    assert_int_equal(r->strange, 0);
    fixture_close(f, fd[0]);
    AWAIT(f, r->closed);
    assert_int_equal(r->ends, 1);
  }
}

static void what_is_left_is_shown_with_what_comes(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  int fd[2];
  fixture_tcp(f, fd);
  r->take_from = 30;
  reader_add(r, fd[1], NULL);
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal(pattern_put(fd[0], i * 10, 10), 10);
    AWAIT(f, r->most == (i + 1) * 10);
  }
  AWAIT(f, r->bytes == 30);
  fixture_settle(f);
  const uint32_t before = r->calls;
  fixture_settle(f);
  assert_int_equal(r->calls, before); /* nobody calls it for nothing */
  assert_in_range(before, 3, 6);      /* once more each, perhaps, as it may be writable again */
  assert_int_equal(r->strange, 0);
  fixture_close(f, fd[0]);
  AWAIT(f, r->closed);
}

static void any_part_may_be_taken(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  int fd[2];
  fixture_pair(f, fd);
  r->take = 7;
  reader_add(r, fd[1], NULL);
  const uint64_t all = FEWER(20000);
  uint64_t sent = 0;
  struct patience patience = patience_start();
  while (sent < all) { /* more comes than is taken, and less than 1 MiB is left */
    sent += pattern_put(fd[0], sent, 11);
    assert_true(fixture_step(f, &patience));
  }
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  AWAIT(f, r->closed);
  assert_int_equal(r->bytes, sent);
  assert_int_equal(r->strange, 0);
}

/* ---- Answers that do not go out at once ---- */

static bool fill(int fd, uint64_t *sent) {
  for (uint32_t n; (n = pattern_put(fd, *sent, 65536));) *sent += n;
  return true;
}

/* A peer that sends and does not read: what waits is bounded, nobody is called for nothing, and all of it comes when it
 * reads after all. */
static void a_peer_that_does_not_read(void **state) {
  struct fixture *f = *state;
  for (int tcp = 0; tcp <= 1; tcp++) {
    struct reader *r = reader_new(f);
    int fd[2];
    pair(f, tcp, fd);
    r->echo = true;
    reader_add(r, fd[1], NULL);
    uint64_t sent = 0, got = 0;
    AWAIT(f, fill(fd[0], &sent) && r->most == MIB);
    fixture_settle(f);
    const uint32_t before = r->calls;
    fill(fd[0], &sent);
    fixture_settle(f);
    if (!tcp) assert_int_equal(r->calls, before); /* (TCP's buffers grow as they like) */
    assert_true(sent >= r->bytes + MIB);          /* the rest is the kernel's, and stops the peer */
    struct patience patience = patience_start();
    while (got < sent) {
      assert_true(pattern_check(fd[0], &got));
      assert_true(fixture_step(f, &patience));
    }
    assert_int_equal(r->bytes, sent);
    assert_int_equal(r->most, MIB);
    assert_int_equal(r->strange, 0);
    fixture_close(f, fd[0]);
    AWAIT(f, r->closed);
  }
}

static void a_slow_reader_gets_everything(void **state) {
  struct fixture *f = *state;
  for (int with_tx = 0; with_tx <= 1; with_tx++) {
    struct reader *r = reader_new(f);
    int fd[2];
    fixture_tcp(f, fd);
    r->echo = true;
    reader_add(r, fd[1], with_tx ? reader_tx : NULL);
    const uint64_t all = FEWER(16 << 20);
    uint64_t sent = 0, got = 0;
    unsigned char bytes[30000];
    struct patience patience = patience_start();
    while (got < all) {
      if (sent < all) sent += pattern_put(fd[0], sent, all - sent < 65536 ? all - sent : 65536);
      const ssize_t n = recv(fd[0], bytes, sizeof bytes, MSG_DONTWAIT);
      assert_true(n > 0 || (n < 0 && errno == EAGAIN));
      if (n > 0) {
        assert_true(pattern_is(bytes, got, (size_t)n));
        got += (uint64_t)n;
      }
      if (n < 0 || f->shape->driven) assert_true(fixture_step(f, &patience));
    }
    assert_int_equal(r->strange, 0);
    fixture_close(f, fd[0]);
    AWAIT(f, r->closed);
  }
}

/* ---- tx ---- */

static void tx_is_called_when_it_can_be_written(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  int fd[2];
  fixture_pair(f, fd);
  reader_add(r, fd[1], reader_tx);
  AWAIT(f, r->tx_calls >= 1); /* at first */
  assert_int_equal(r->calls, 0);
  uint64_t put = 0, got = 0;
  for (uint32_t n; (n = pattern_put(fd[1], put, 65536));) put += n; /* as its callback would, until EAGAIN */
  fixture_settle(f);
  const uint32_t before = r->tx_calls;
  fixture_settle(f);
  assert_int_equal(r->tx_calls, before);
  while (got < put) assert_true(pattern_check(fd[0], &got));
  AWAIT(f, r->tx_calls > before);
  assert_int_equal(r->calls, 0);
  assert_int_equal(r->strange, 0);
  fixture_close(f, fd[0]);
  AWAIT(f, r->closed);
}

static void without_rx_nothing_is_read(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  int fd[2], waiting = 0;
  fixture_pair(f, fd);
  say(fd[0], 100);
  assert_int_equal(torque_addfd(f->ctx, fd[1], NULL, reader_tx, r), 0);
  AWAIT(f, r->tx_calls >= 1);
  say(fd[0], 100);
  fixture_settle(f);
  assert_int_equal(ioctl(fd[1], FIONREAD, &waiting), 0);
  assert_int_equal(waiting, 200);
  const uint32_t before = r->tx_calls;
  fixture_close(f, fd[0]); /* who only writes must learn of it */
  AWAIT(f, r->tx_calls > before);
  assert_int_equal(r->calls, 0);
}

/* ---- The buffer ---- */

struct shown {
  const char *data;
  size_t length;
  int strange;
};

static int look_and_take(int fd, struct torque_rxbuf *rxb, void *state) {
  const struct shown *s = state;
  size_t left;
  int strange = rxbuffer_valid(rxb, &left) != s->data || left != s->length || fd != 5;
  rxbuffer_advance(rxb, 0);
  strange += rxbuffer_valid(rxb, &left) != s->data || left != s->length;
  rxbuffer_advance(rxb, 4);
  strange += rxbuffer_valid(rxb, &left) != s->data + 4 || left != s->length - 4;
  if (s->strange) rxbuffer_advance(rxb, (size_t)s->strange);
  return strange ? 77 : -1;
}

static void no_more_is_taken_than_there_is(void **state) {
  (void)state;
  const char text[] = "0123456789";
  struct shown s = {.data = text, .length = 10};
  size_t taken = 99;
  assert_int_equal(torque_rxbuf_call(5, look_and_take, &s, text, 10, &taken), -1);
  assert_int_equal(taken, 4);
  s.strange = -1; /* SIZE_MAX */
  assert_int_equal(torque_rxbuf_call(5, look_and_take, &s, text, 10, &taken), -1);
  assert_int_equal(taken, 10);
  s.strange = 7;
  assert_int_equal(torque_rxbuf_call(5, look_and_take, &s, text, 10, &taken), -1);
  assert_int_equal(taken, 10);
}

static void arguments(void **state) {
  struct fixture *f = *state;
  struct reader *r = reader_new(f);
  int fd[2];
  fixture_pair(f, fd);
  assert_int_equal(torque_addfd(NULL, fd[0], reader_rx, NULL, r), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addfd(f->ctx, fd[0], NULL, NULL, r), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addfd(f->ctx, -1, reader_rx, NULL, r), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addfd(f->ctx, MOST_DESCRIPTORS - 1, reader_rx, NULL, r), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(torque_addfd(f->ctx, INT32_MAX, reader_rx, NULL, r), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(fcntl(fd[0], F_SETFL, 0), 0);
  assert_int_equal(torque_addfd(f->ctx, fd[0], reader_rx, NULL, r), 0);
  assert_true(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
  assert_int_equal(torque_addfd(f->ctx, fd[0], reader_rx, NULL, r), TORQUE_ERR_EXIST);
  assert_int_equal(torque_addfd_unbuffered(f->ctx, fd[0], NULL, NULL, r), TORQUE_ERR_INVAL);
  fixture_stop(f);
  assert_true(is_open(fd[0])); /* nobody has closed it */
  assert_int_equal(r->calls, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_more_is_taken_than_there_is),
      ON_EVERY(one_call_for_one_burst),
      ON_EVERY(what_is_left_is_shown_with_what_comes),
      ON_EVERY(any_part_may_be_taken),
      ON_EVERY(a_peer_that_does_not_read),
      ON_EVERY(a_slow_reader_gets_everything),
      ON_EVERY(tx_is_called_when_it_can_be_written),
      ON_EVERY(without_rx_nothing_is_read),
      ON_EVERY(arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
