/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams whose connection is made by others: it comes, fails, comes too late, or is not wanted any more; one end each. */
#include "support/streams.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000, ROUNDS = FEWER(1000), CANCELLED = TORQUE_ERR_SYSCALL + ECANCELED };

static torque_source await(struct party *p) {
  torque_source s = 0;
  assert_int_equal(torque_stream_await(p->f->ctx, p->type, p, &s), 0);
  return s;
}

static void attached(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2], other[2];
  unsigned char bytes[2000];
  const torque_source s = await(p);
  pattern_fill(bytes, 0, sizeof bytes);
  assert_int_equal(torque_stream_write(s, bytes, 1000), 0);
  assert_int_equal(torque_source_start(s), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_alive(s), 1);
  fixture_settle(f);
  fixture_pair(f, fd);
  fixture_pair(f, other);
  assert_int_equal(torque_stream_attach(s, -1, 0), TORQUE_ERR_INVAL);
  int32_t none = 77;
  assert_int_equal(torque_stream_fd(s, &none), TORQUE_ERR_STATE);
  assert_int_equal(none, 77);
  fixture_disown(f, fd[0]);
  assert_int_equal(torque_stream_attach(s, fd[0], 0), 0);
  assert_int_equal(torque_stream_attach(s, other[0], 0), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_fail(s, CANCELLED), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_write(s, bytes + 1000, 1000), 0);
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd[1], &got) && got == sizeof bytes);
  assert_int_equal(p->opened, 1);
  (void)pattern_put(fd[1], 0, 700);
  AWAIT(f, p->in == 700);
  fixture_close(f, fd[1]);
  AWAIT(f, p->closed == 1);
  assert_int_equal(p->err, 0);
  assert_true(!fcntl_is_open(fd[0]));
  assert_int_equal(torque_stream_attach(s, other[0], 0), TORQUE_ERR_STALE);
  assert_int_equal(torque_stream_fail(s, CANCELLED), TORQUE_ERR_STALE);
  party_free(p);
}

static void note_run(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  if (stream == 0) p->strange++;
  if (err) p->err = err;
  p->aux++;
}

/* Functions for its turn wait with it, behind what was written before them, and are told of its end. */
static void functions(void **state) {
  struct fixture *f = *state;
  for (int k = 0; k < 2; k++) {
    struct party *p = party_new(f, party_take, NULL);
    int fd[2];
    const torque_source s = await(p);
    assert_int_equal(torque_stream_write(s, "x", 1), 0);
    assert_int_equal(torque_stream_run(s, note_run, p), 0);
    assert_int_equal(torque_stream_write(s, "y", 1), 0);
    assert_int_equal(torque_source_run(s, note_run, p), 0);
    fixture_settle(f);
    assert_int_equal(p->aux, 0);
    if (k == 0) {
      fixture_pair(f, fd);
      fixture_disown(f, fd[0]);
      assert_int_equal(torque_stream_attach(s, fd[0], 0), 0);
      AWAIT(f, p->aux == 2);
      assert_int_equal(p->err, 0);
      char c[2];
      AWAIT(f, recv(fd[1], c, 2, MSG_PEEK | MSG_DONTWAIT) == 2);
      assert_memory_equal(c, "xy", 2);
      fixture_close(f, fd[1]);
    } else {
      assert_int_equal(torque_stream_fail(s, CANCELLED), 0);
    }
    AWAIT(f, p->closed == 1);
    assert_int_equal(p->aux, 2);
    assert_int_equal(torque_stream_run(s, note_run, p), TORQUE_ERR_STALE);
    assert_int_equal(p->strange, 0);
    party_free(p);
  }
}

static void failed(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  torque_source s = await(p);
  assert_int_equal(torque_stream_write(s, "x", 1), 0);
  assert_int_equal(torque_stream_fail(s, TORQUE_ERR_SYSCALL + EHOSTUNREACH), 0);
  AWAIT(f, p->closed == 1);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + EHOSTUNREACH);
  s = await(p);
  assert_int_equal(torque_stream_abort(s), 0);
  AWAIT(f, p->closed == 2);
  assert_int_equal(p->err, CANCELLED);
  s = await(p);
  assert_int_equal(torque_source_remove(s), 0);
  AWAIT(f, p->closed == 3);
  assert_int_equal(p->err, 0);
  s = await(p);
  assert_int_equal(torque_stream_fail(s, TORQUE_ERR_NONE), 0); /* it never was */
  AWAIT(f, !torque_source_alive(s));
  fixture_settle(f);
  (void)await(p);
  fixture_stop(f);
  assert_int_equal(p->closed, 4);
  assert_int_equal(p->err, TORQUE_ERR_STOPPED);
  assert_int_equal(p->opened, 0);
  party_free(p);
}

/* A descriptor that cannot be had: it stays the caller's, and the stream waits for another. */
static void refused(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source first = party_add(p, fd[0]), s = await(p);
  const int no = dup(fd[1]);
  close(no);
  assert_int_equal(torque_stream_attach(s, no, 0), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(torque_stream_attach(s, fd[0], 0), TORQUE_ERR_EXIST);
  assert_true(fcntl_is_open(fd[0]));
  fixture_disown(f, fd[1]);
  assert_int_equal(torque_stream_attach(s, fd[1], 0), 0); /* to each other */
  AWAIT(f, p->opened == 2);
  assert_int_equal(torque_stream_close(first), 0);
  AWAIT(f, p->closed == 2);
  assert_int_equal(p->err, 0);
  party_free(p);
}

/* Open too late; and a stream that has ended when its connection comes. */
static int32_t go_on(torque_source stream, int32_t which, void *arg) {
  struct party *p = arg;
  (void)stream, (void)which;
  p->aux++;
  return 1;
}

static torque_err never_ready(struct torque_layer *layer, void *state) {
  (void)layer, (void)state;
  return 0;
}
static torque_err swallow(struct torque_layer *layer, void *state, const void *data, size_t length, size_t *ret_taken) {
  (void)layer, (void)state, (void)data, (void)length, (void)ret_taken;
  return 0;
}
static torque_err swallow_all(struct torque_layer *layer, void *state, const void *data, size_t length) {
  (void)layer, (void)state, (void)data, (void)length;
  return 0;
}

static void open_by(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  struct torque_layer_type *layer;
  int fd[2];
  assert_int_equal(torque_layer_type_new(&layer), 0);
  assert_int_equal(torque_layer_type_set_start(layer, never_ready), 0);
  assert_int_equal(torque_layer_type_set_receive(layer, swallow), 0);
  assert_int_equal(torque_layer_type_set_send(layer, swallow_all), 0);
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
  assert_int_equal(torque_stream_type_set_timeout(p->type, go_on), 0); /* it has no say in this limit */
  for (uint32_t i = 1; i <= 2; i++) {
    const torque_source s = await(p);
    fixture_pair(f, fd);
    fixture_disown(f, fd[0]);
    assert_int_equal(torque_stream_attach(s, fd[0], i == 1 ? 1 : monotonic_ns() + 20 * MS), 0); /* over; and soon */
    AWAIT(f, p->closed == i);
    assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
    assert_int_equal(p->opened + p->aux, 0);
  }
  party_free(p);
}

/* Attached and ended in the same moment by two threads: the descriptor is closed once, by whom it belongs to then. */
struct race {
  struct party *p;
  _Atomic torque_source stream;
  _Atomic uint32_t done;
};

static void *end_it(void *arg) {
  struct race *r = arg;
  for (uint32_t i = 0; i < ROUNDS && !atomic_load(&r->p->f->quit); i++) {
    torque_source s;
    STAY_UNTIL((s = atomic_exchange(&r->stream, 0)) != 0 || atomic_load(&r->p->f->quit));
    if (s && i % 2)
      (void)torque_source_remove(s);
    else if (s)
      (void)torque_stream_abort(s);
    atomic_fetch_add(&r->done, 1);
  }
  return NULL;
}

static void ended_meanwhile(void **state) {
  struct fixture *f = *state;
  struct race r = {.p = party_new(f, party_take, NULL)};
  fixture_thread(f, end_it, &r);
  for (uint32_t i = 1; i <= ROUNDS; i++) {
    int fd[2];
    const torque_source s = await(r.p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    atomic_store(&r.stream, s);
    for (uint32_t spin = i % 64; spin > 0; spin--) (void)atomic_load(&r.done);
    const torque_err err = torque_stream_attach(s, fd[0], 0);
    assert_true(err == 0 || err == TORQUE_ERR_STALE || err == TORQUE_ERR_STATE);
    if (err) assert_int_equal(close(fd[0]), 0);
    AWAIT(f, r.p->closed == i && r.done == i);
    close(fd[1]);
  }
  fixture_join(f);
  assert_int_equal(r.p->in, 0);
  party_free(r.p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(attached), ON_EVERY(functions), ON_EVERY(failed), ON_EVERY(refused), ON_EVERY(open_by), ON_EVERY(ended_meanwhile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
