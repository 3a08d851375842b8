/* SPDX-License-Identifier: BSD-3-Clause */
/* What is written arrives, in order, from whichever thread and in whichever form; what was lent is given back once. */
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { THREADS = 4, EACH = FEWER(2000), BIG = 4 << 20 };

/* Records of 16 bytes: thread, number, and a check of both. */
struct record {
  uint32_t thread, number;
  uint64_t check;
};

struct writer {
  struct party *p;
  torque_source stream;
  _Atomic uint32_t next;
};

static void *write_records(void *arg) {
  struct writer *w = arg;
  const uint32_t thread = w->next++;
  for (uint32_t i = 0; i < EACH; i++) {
    const struct record r = {thread, i, (uint64_t)thread << 40 | i};
    const struct iovec parts[2] = {{(void *)(uintptr_t)&r, 5}, {(char *)(uintptr_t)&r + 5, sizeof r - 5}};
    const torque_err err = i % 2 ? torque_stream_write(w->stream, &r, sizeof r) : torque_stream_writev(w->stream, parts, 2);
    if (err) w->p->strange++;
  }
  return NULL;
}

static void from_many_threads(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  struct writer *w = fixture_take(f, sizeof *w);
  *w = (struct writer){p, party_add(p, fd[1]), 0};
  for (int i = 0; i < THREADS; i++) fixture_thread(f, write_records, w);
  uint32_t expected[THREADS] = {0}, total = 0;
  char bytes[65536];
  size_t have = 0;
  struct patience patience = patience_start();
  while (total < THREADS * EACH) {
    const ssize_t n = recv(fd[0], bytes + have, sizeof bytes - have, MSG_DONTWAIT);
    if (n > 0) have += (size_t)n;
    size_t used = 0;
    for (struct record r; have - used >= sizeof r; used += sizeof r, total++) {
      memcpy(&r, bytes + used, sizeof r);
      assert_true(r.thread < THREADS);
      assert_int_equal(r.number, expected[r.thread]++);
      assert_int_equal(r.check, (uint64_t)r.thread << 40 | r.number);
    }
    memmove(bytes, bytes + used, have - used);
    have -= used;
    assert_true(fixture_step(f, &patience));
  }
  fixture_join(f);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void given_back(void *arg) { atomic_fetch_add((_Atomic uint32_t *)arg, 1); }

static void lent_and_sent(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  _Atomic uint32_t *back = fixture_take(f, sizeof *back + BIG);
  char *bytes = (char *)(back + 1);
  pattern_fill(bytes, 0, BIG);
  const torque_source s = party_add(p, fd[1]);
  for (size_t i = 0; i < 4; i++) {
    const size_t part = BIG / 4;
    assert_int_equal(torque_stream_write_ref(s, bytes + i * part, part, given_back, (void *)(uintptr_t)back), 0);
  }
  fixture_settle(f);
  assert_true(*back < 4); /* the socket does not take so much */
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd[0], &got) && got == BIG);
  AWAIT(f, *back == 4);
  assert_int_equal(torque_stream_write_ref(s, bytes, 0, given_back, (void *)(uintptr_t)back), 0);
  assert_int_equal(*back, 5);
  assert_int_equal(torque_stream_shutdown(s), 0);
  assert_int_equal(torque_stream_write_ref(s, bytes, 5, given_back, (void *)(uintptr_t)back), TORQUE_ERR_STATE);
  assert_int_equal(*back, 5);
  party_free(p);
}

static void lent_and_given_up(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  _Atomic uint32_t *back = fixture_take(f, sizeof *back + BIG);
  for (uint32_t how = 0; how < 4; how++) {
    int fd[2];
    fixture_pair(f, fd);
    const torque_source s = party_add(p, fd[1]);
    assert_int_equal(torque_stream_write_ref(s, back + 1, BIG, given_back, (void *)(uintptr_t)back), 0);
    assert_int_equal(torque_stream_write_ref(s, back + 1, BIG, given_back, (void *)(uintptr_t)back), 0);
    if (how == 0) assert_int_equal(torque_stream_abort(s), 0);
    if (how == 1) assert_int_equal(torque_source_remove(s), 0);
    if (how == 2) fixture_close(f, fd[0]); /* EPIPE */
    if (how == 3) fixture_stop(f);
    AWAIT(f, *back == 2 * (how + 1));
  }
  assert_int_equal(p->closed, 4);
  party_free(p);
}

static int make_file(struct fixture *f, uint64_t length) {
  char name[] = "/tmp/torque-test-XXXXXX";
  const int fd = mkstemp(name);
  assert_true(fd >= 0);
  fixture_own(f, fd);
  assert_int_equal(unlink(name), 0);
  char *bytes = fixture_take(f, length);
  pattern_fill(bytes, 0, length);
  assert_int_equal(pwrite(fd, bytes, length, 0), (ssize_t)length);
  return fd;
}

/* Before, between and after other output; the caller's descriptor is not needed any more. */
static void files(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const int file = make_file(f, BIG);
  const torque_source s = party_add(p, fd[1]);
  unsigned char head[100], tail[50];
  pattern_fill(head, 0, sizeof head);
  assert_int_equal(torque_stream_write(s, head, sizeof head), 0);
  assert_int_equal(torque_stream_sendfile(s, file, 100, BIG - 150), 0);
  pattern_fill(tail, BIG - 50, sizeof tail);
  assert_int_equal(torque_stream_write(s, tail, sizeof tail), 0);
  assert_int_equal(torque_stream_sendfile(s, file, 0, 0), 0);
  fixture_close(f, file);
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd[0], &got) && got == BIG);
  party_free(p);
}

static void file_is_shorter_than_said(void **state) {
  struct fixture *f = *state;
  const int file = make_file(f, 1000);
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_sendfile(s, file, 0, 1001), 0);
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd[0], &got) && p->closed);
  assert_int_equal(got, 1000);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + EIO);
  party_free(p);
}

static size_t answer_large(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  const char *bytes = p->more;
  const struct iovec parts[3] = {{(void *)(uintptr_t)bytes, 7}, {NULL, 0}, {(void *)(uintptr_t)(bytes + 7), BIG - 7}};
  if (torque_stream_writev(stream, parts, 3)) p->strange++;
  if (torque_stream_write(stream, bytes, 100)) p->strange++;
  if (torque_stream_flush(stream)) p->strange++;
  if (torque_stream_write(stream, bytes + 100, 100)) p->strange++;
  return length;
}

/* A large answer goes out at once as far as it can, and the rest keeps its place. */
static void large_and_small(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, answer_large, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  p->more = fixture_take(f, BIG);
  pattern_fill(p->more, 0, BIG);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_flush(s), TORQUE_ERR_STATE);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(send(fd[0], "?", 1, 0), 1);
    for (uint64_t at = 0; at < BIG + 200;) {
      unsigned char bytes[65536];
      const uint64_t left = at < BIG ? BIG - at : BIG + 200 - at;
      ssize_t n;
      AWAIT(f, (n = recv(fd[0], bytes, left < sizeof bytes ? left : sizeof bytes, MSG_DONTWAIT)) > 0);
      assert_true(pattern_is(bytes, at < BIG ? at : at - BIG, (size_t)n));
      at += (uint64_t)n;
    }
  }
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* Relays between two streams, each written from the other's callback. */
struct relay {
  struct party party;
  torque_source other;
};

static size_t pass_on(torque_source stream, const void *data, size_t length, void *arg) {
  struct relay *r = arg;
  (void)stream;
  if (torque_stream_write(r->other, data, length)) return 0;
  return length;
}

static void end_other(torque_source stream, void *arg) {
  struct relay *r = arg;
  (void)stream;
  (void)torque_stream_shutdown(r->other);
}

static void relayed(void **state) {
  struct fixture *f = *state;
  struct torque_stream_type *type;
  assert_int_equal(torque_stream_type_new(&type), 0);
  assert_int_equal(torque_stream_type_set_data(type, pass_on), 0);
  assert_int_equal(torque_stream_type_set_end(type, end_other), 0);
  struct relay *r = fixture_take(f, 2 * sizeof *r);
  int a[2], b[2];
  fixture_tcp(f, a);
  fixture_pair(f, b);
  fixture_disown(f, a[1]);
  fixture_disown(f, b[1]);
  assert_int_equal(torque_stream_new(f->ctx, a[1], type, &r[0], &r[1].other), 0);
  assert_int_equal(torque_stream_new(f->ctx, b[1], type, &r[1], &r[0].other), 0);
  const torque_source one = r[1].other, two = r[0].other;
  assert_int_equal(torque_source_start(one), 0);
  assert_int_equal(torque_source_start(two), 0);
  uint64_t sent = 0, got = 0, sent_back = 0, got_back = 0;
  const uint64_t all = FEWER(5000000);
  struct patience patience = patience_start();
  while (got < all || got_back < all) {
    if (sent < all) sent += pattern_put(a[0], sent, all - sent < 30000 ? all - sent : 30000);
    if (sent_back < all) sent_back += pattern_put(b[0], sent_back, all - sent_back < 30000 ? all - sent_back : 30000);
    assert_true(pattern_check(b[0], &got) && pattern_check(a[0], &got_back));
    assert_true(fixture_step(f, &patience));
  }
  int end = 0;
  assert_int_equal(shutdown(a[0], SHUT_WR), 0);
  AWAIT(f, (drain(b[0], &end), end));
  assert_int_equal(torque_source_alive(one), 1);
  assert_int_equal(shutdown(b[0], SHUT_WR), 0);
  AWAIT(f, !torque_source_alive(one) && !torque_source_alive(two));
  torque_stream_type_free(type);
}

enum { DRAIN_LOW = 10000, DRAIN_HIGH = 50000 };

static void *write_over_the_mark(void *arg) {
  struct party *p = arg;
  static const char zeros[2 * DRAIN_LOW];
  uint64_t pending;
  if (torque_stream_write(p->stream, zeros, sizeof zeros)) p->strange++;
  if (torque_stream_pending(p->stream, &pending) || pending <= DRAIN_HIGH) p->strange++;
  return NULL;
}

/* Of its own it writes less than the mark; another thread, while the callback runs, the rest. */
static void write_with_another(torque_source stream, void *arg) {
  struct party *p = arg;
  static const char zeros[DRAIN_HIGH / 10];
  p->stream = stream;
  for (int i = 0; i < 9; i++)
    if (torque_stream_write(stream, zeros, sizeof zeros)) p->strange++;
  pthread_t thread;
  if (pthread_create(&thread, NULL, write_over_the_mark, p) || pthread_join(thread, NULL)) p->strange++;
  p->opened++;
}

/* Whoever saw more than the high mark waiting is told when it has gone, though much of it went before the stream saw it. */
static void drain_of_what_another_thread_wrote(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  assert_int_equal(torque_stream_type_set_output(p->type, DRAIN_LOW, DRAIN_HIGH), 0);
  assert_int_equal(torque_stream_type_set_open(p->type, write_with_another), 0);
  int fd[2];
  fixture_pair(f, fd);
  (void)party_add(p, fd[1]);
  AWAIT(f, p->opened);
  AWAIT(f, p->drained);
  assert_int_equal(p->drained, 1);
  size_t got = 0;
  AWAIT(f, (got += drain(fd[0], NULL)) == DRAIN_HIGH / 10 * 9 + 2 * DRAIN_LOW);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* A layer is put on top while more than the mark waits: told when it is ready, not forgotten. */
static void write_and_push(torque_source stream, void *arg) {
  struct party *p = arg;
  static const char zeros[2 * DRAIN_HIGH];
  if (p->opened++) return;
  if (torque_stream_write(stream, zeros, 15000) || torque_stream_write_ref(stream, zeros, sizeof zeros, NULL, NULL)) p->strange++;
  if (torque_stream_push_layer(stream, p->more)) p->strange++;
}

static void drain_below_a_new_layer(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  p->more = layer_handshake();
  assert_int_equal(torque_stream_type_set_output(p->type, DRAIN_LOW, DRAIN_HIGH), 0);
  assert_int_equal(torque_stream_type_set_open(p->type, write_and_push), 0);
  int fd[2];
  fixture_pair(f, fd);
  (void)party_add(p, fd[1]);
  size_t got = 0;
  AWAIT(f, (got += drain(fd[0], NULL)) == 15000 + 2 * DRAIN_HIGH + sizeof GREETING - 1);
  fixture_settle(f);
  assert_int_equal(p->drained, 0);
  assert_int_equal(send(fd[0], GREETING, sizeof GREETING - 1, 0), sizeof GREETING - 1);
  AWAIT(f, p->drained);
  assert_int_equal(p->opened, 2);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->strange, 0);
  party_free(p);
  torque_layer_type_free(p->more);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(from_many_threads), ON_EVERY(lent_and_sent),   ON_EVERY(lent_and_given_up), ON_EVERY(files),
      ON_EVERY(file_is_shorter_than_said), ON_EVERY(large_and_small), ON_EVERY(relayed),
      ON_EVERY(drain_of_what_another_thread_wrote), ON_EVERY(drain_below_a_new_layer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
