/* SPDX-License-Identifier: BSD-3-Clause */
/* Two streams joined: every byte, no more than there is room for, and each end, from either side. */
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { A, B };

/* peer[A] -- stream a == stream b -- peer[B] */
struct joint {
  struct fixture *f;
  struct party *p[2];
  torque_source s[2];
  int peer[2];
  _Atomic uint32_t over, strange;
  _Atomic uint64_t went[2];
  _Atomic torque_err err;
  uint64_t sent[2], got[2];
};

static void on_over(torque_source a, torque_source b, uint64_t a_to_b, uint64_t b_to_a, torque_err err, void *arg) {
  struct joint *j = arg;
  if (a != j->s[A] || b != j->s[B] || j->over) j->strange++;
  j->went[A] = a_to_b;
  j->went[B] = b_to_a;
  j->err = err;
  j->over++;
}

typedef void pair_fn(struct fixture *f, int fd[2]);

static struct joint *joint_new(struct fixture *f, pair_fn *pair, size_t high) {
  struct joint *j = fixture_take(f, sizeof *j);
  j->f = f;
  for (int i = 0; i < 2; i++) {
    int fd[2];
    pair(f, fd);
    j->peer[i] = fd[0];
    j->p[i] = party_new(f, party_take, party_end);
    assert_int_equal(torque_stream_type_set_linger(j->p[i]->type, UINT64_MAX), 0);
    if (high) assert_int_equal(torque_stream_type_set_output(j->p[i]->type, high / 4, high), 0);
    j->s[i] = party_add(j->p[i], fd[1]);
  }
  return j;
}

static void join(struct joint *j, uint32_t flags) {
  assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], flags, on_over, j), 0);
}

static void put(struct joint *j, int from, size_t length) { j->sent[from] += pattern_put(j->peer[from], j->sent[from], length); }

/* Everything that one peer sent has come to the other. */
static void assert_passed(struct joint *j, int from) {
  AWAIT(j->f, pattern_check(j->peer[1 - from], &j->got[from]) && j->got[from] == j->sent[from]);
}

static int ended(int fd) {
  char c;
  return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static int was_reset(int fd) {
  char c;
  return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

static void finish(struct joint *j) {
  for (int i = 0; i < 2; i++) {
    AWAIT(j->f, j->p[i]->closed);
    assert_int_equal(j->p[i]->closed, 1);
    assert_int_equal(j->p[i]->strange, 0);
    party_free(j->p[i]);
  }
  AWAIT(j->f, j->over);
  assert_int_equal(j->over, 1);
  assert_int_equal(j->strange, 0);
  for (int i = 0; i < 2; i++)
    if (fcntl_is_open(j->peer[i])) fixture_close(j->f, j->peer[i]);
}

static const uint32_t how[] = {0, TORQUE_PIPE_COPY};

/* Both ways, in pieces; then one end after the other. */
static void with(struct fixture *f, pair_fn *pair, uint32_t flags) {
  struct joint *j = joint_new(f, pair, 0);
  put(j, A, 1000); /* before */
  join(j, flags);
  for (int i = 0; i < 50; i++) {
    put(j, A, 1 + (size_t)i * 700 % 50000);
    put(j, B, 1 + (size_t)i * 1300 % 30000);
    assert_passed(j, B);
  }
  j->got[A] = j->p[A]->in; /* what was told before they were joined */
  assert_passed(j, A);
  assert_int_equal(shutdown(j->peer[A], SHUT_WR), 0);
  AWAIT(f, ended(j->peer[B]));
  fixture_settle(f);
  assert_int_equal(ended(j->peer[A]), 0); /* half of it goes on */
  for (int i = 0; i < 20; i++) {
    put(j, B, 20000);
    assert_passed(j, B);
  }
  assert_int_equal(shutdown(j->peer[B], SHUT_WR), 0);
  AWAIT(f, ended(j->peer[A]));
  finish(j);
  assert_int_equal(j->err, 0);
  assert_int_equal(j->p[A]->err, 0);
  assert_int_equal(j->p[B]->err, 0);
  assert_int_equal(j->went[A] + j->p[A]->in, j->sent[A]);
  assert_int_equal(j->went[B], j->sent[B]);
  assert_int_equal(j->p[A]->ended + j->p[B]->ended, 0);
}

static void both_ways(void **state) {
  for (size_t i = 0; i < 2; i++) {
    with(*state, fixture_tcp, how[i]);
    with(*state, fixture_pair, how[i]);
  }
}

/* A peer that reads nothing stops the other one, and nothing is lost when it reads at last. */
static void pressure(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 2; k++) {
    struct joint *j = joint_new(f, fixture_tcp, 65536);
    join(j, how[k]);
    AWAIT(f, j->p[A]->opened && j->p[B]->opened);
    put(j, A, 1);
    assert_passed(j, A);
    uint64_t before;
    do {
      before = j->sent[A];
      for (int i = 0; i < 50; i++) put(j, A, 65536);
      fixture_settle(f);
    } while (j->sent[A] != before && j->sent[A] < (64u << 20));
    assert_true(j->sent[A] < (48u << 20));
    uint64_t waits;
    assert_int_equal(torque_stream_pending(j->s[B], &waits), 0);
    assert_true(waits <= 65536 + 300000); /* a turn's more at most */
    for (int i = 0; i < 10; i++) { /* the other way does not wait */
      put(j, B, 100000);
      assert_passed(j, B);
    }
    while (j->sent[A] < before + 1000000) {
      put(j, A, 65536);
      assert_true(pattern_check(j->peer[B], &j->got[A]));
      struct patience patience = patience_start();
      (void)fixture_step(f, &patience);
    }
    assert_passed(j, A);
    for (int i = 0; i < 2; i++) assert_int_equal(shutdown(j->peer[i], SHUT_WR), 0);
    finish(j);
    assert_int_equal(j->went[A], j->sent[A]);
    assert_int_equal(j->went[B], j->sent[B]);
  }
}

/* A reset of one is a reset of the other, after what was passed on before it. */
static void resets(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 4; k++) {
    struct joint *j = joint_new(f, fixture_tcp, 0);
    join(j, how[k / 2]);
    const int from = k % 2 ? A : B;
    AWAIT(f, j->p[A]->opened && j->p[B]->opened);
    put(j, from, 50000);
    assert_passed(j, from);
    put(j, 1 - from, 1000);
    struct patience patience = patience_start();
    char c;
    while (recv(j->peer[from], &c, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
      if (!fixture_step(f, &patience)) fail();
    fixture_close(f, j->peer[from]); /* with something unread */
    AWAIT(f, was_reset(j->peer[1 - from]));
    finish(j);
    assert_int_equal(j->err, TORQUE_ERR_SYSCALL + ECONNRESET);
    assert_int_equal(j->p[A]->err, TORQUE_ERR_SYSCALL + ECONNRESET);
    assert_int_equal(j->p[B]->err, TORQUE_ERR_SYSCALL + ECONNRESET);
  }
}

/* The program ends one of them. */
static void ended_by_the_program(void **state) {
  struct fixture *f = *state;
  for (int k = 0; k < 12; k++) {
    struct joint *j = joint_new(f, fixture_tcp, 0);
    join(j, how[k % 2]);
    AWAIT(f, j->p[A]->opened && j->p[B]->opened);
    put(j, A, 30000);
    put(j, B, 30000);
    if (k / 2 % 2) {
      assert_passed(j, A);
      assert_passed(j, B);
    }
    const torque_source s = j->s[k / 6];
    if (k % 3 == 0) assert_int_equal(torque_stream_close(s), 0);
    if (k % 3 == 1) assert_int_equal(torque_stream_abort(s), 0);
    if (k % 3 == 2) assert_int_equal(torque_source_remove_wait(s), 0);
    int gone[2] = {0, 0};
    AWAIT(f, (gone[A] |= (drain(j->peer[A], NULL), ended(j->peer[A]) || was_reset(j->peer[A])),
              gone[B] |= (drain(j->peer[B], NULL), ended(j->peer[B]) || was_reset(j->peer[B])), gone[A] && gone[B]));
    for (int i = 0; i < 2; i++) fixture_close(f, j->peer[i]);
    finish(j);
    if (k % 3 == 1) assert_int_equal(j->err, TORQUE_ERR_SYSCALL + ECANCELED);
  }
}

/* One way, of pipes of the system. */
static void one_way(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 2; k++) {
    struct joint *j = fixture_take(f, sizeof *j);
    int in[2], out[2];
    j->f = f;
    fixture_pipe(f, in);
    fixture_pipe(f, out);
    for (int i = 0; i < 2; i++) j->p[i] = party_new(f, party_take, NULL);
    j->s[A] = party_add(j->p[A], in[0]);
    j->s[B] = party_add(j->p[B], out[1]);
    join(j, TORQUE_PIPE_ONE_WAY | how[k]);
    unsigned char bytes[4096];
    uint64_t sent = 0, got = 0;
    for (int i = 0; i < 500; i++) {
      pattern_fill(bytes, sent, sizeof bytes);
      const ssize_t n = write(in[1], bytes, sizeof bytes);
      if (n > 0) sent += (uint64_t)n;
      const ssize_t m = read(out[0], bytes, sizeof bytes);
      if (m > 0) assert_true(pattern_is(bytes, got, (size_t)m));
      if (m > 0) got += (uint64_t)m;
      else nap();
    }
    fixture_close(f, in[1]);
    int end = 0;
    struct patience patience = patience_start();
    while (!end) {
      const ssize_t m = read(out[0], bytes, sizeof bytes);
      if (m > 0) assert_true(pattern_is(bytes, got, (size_t)m));
      if (m > 0) got += (uint64_t)m;
      end = m == 0;
      if (m < 0 && !fixture_step(f, &patience)) fail();
    }
    assert_int_equal(got, sent);
    AWAIT(f, j->p[A]->closed && j->p[B]->closed && j->over);
    assert_int_equal(j->went[A], sent);
    assert_int_equal(j->went[B], 0);
    assert_int_equal(j->strange, 0);
    for (int i = 0; i < 2; i++) party_free(j->p[i]);
    fixture_close(f, out[0]);
  }
}

/* Ends stay with the program; and it can have its streams back. */
static void keep_open_and_unpipe(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 2; k++) {
    struct joint *j = joint_new(f, fixture_tcp, 0);
    assert_int_equal(torque_stream_unpipe(j->s[A]), TORQUE_ERR_STATE);
    join(j, TORQUE_PIPE_KEEP_OPEN | how[k]);
    assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], 0, NULL, NULL), TORQUE_ERR_STATE);
    AWAIT(f, j->p[A]->opened && j->p[B]->opened);
    put(j, A, 40000);
    put(j, B, 40000);
    assert_passed(j, A);
    assert_passed(j, B);
    assert_int_equal(torque_stream_unpipe(j->s[B]), 0);
    AWAIT(f, j->over);
    assert_int_equal(j->went[A], j->sent[A]);
    for (int i = 0; i < 2; i++) {
      j->p[i]->in = j->sent[i];
      put(j, i, 1000);
      AWAIT(f, j->p[i]->in == j->sent[i]);
    }
    j->over = 0;
    join(j, TORQUE_PIPE_KEEP_OPEN | how[k]); /* once more */
    uint64_t before = j->sent[A];
    do { /* until the pipe has it */
      put(j, A, 10);
      AWAIT(f, j->p[A]->in == j->sent[A] || recv(j->peer[B], &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
    } while (j->p[A]->in == j->sent[A]);
    j->got[A] = j->p[A]->in;
    assert_passed(j, A);
    assert_int_equal(shutdown(j->peer[A], SHUT_WR), 0);
    AWAIT(f, j->p[A]->ended); /* told, not passed on */
    (void)before;
    fixture_settle(f);
    assert_int_equal(ended(j->peer[B]), 0);
    assert_int_equal(torque_stream_write(j->s[B], "x", 1), 0);
    char c;
    AWAIT(f, recv(j->peer[B], &c, 1, MSG_DONTWAIT) == 1);
    assert_int_equal(torque_source_remove_wait(j->s[B]), 0);
    assert_int_equal(torque_source_alive(j->s[A]), 1);
    assert_int_equal(torque_source_remove_wait(j->s[A]), 0);
    finish(j);
  }
}

/* Through layers it is copied, and each layer does its part. */
static void layers(void **state) {
  struct fixture *f = *state;
  struct joint *j = fixture_take(f, sizeof *j);
  struct torque_layer_type *layer[2] = {layer_xor(0x11), layer_xor(0x77)};
  j->f = f;
  for (int i = 0; i < 2; i++) {
    int fd[2];
    fixture_tcp(f, fd);
    j->peer[i] = fd[0];
    j->p[i] = party_new(f, party_take, party_end);
    assert_int_equal(torque_stream_type_add_layer(j->p[i]->type, layer[i]), 0);
    j->s[i] = party_add(j->p[i], fd[1]);
    torque_layer_type_free(layer[i]);
  }
  join(j, 0);
  AWAIT(f, j->p[A]->opened && j->p[B]->opened);
  unsigned char out[1000], in[1000];
  for (int round = 0; round < 50; round++) {
    pattern_fill(out, (uint64_t)round, sizeof out);
    for (size_t i = 0; i < sizeof out; i++) out[i] ^= 0x11;
    assert_int_equal(send(j->peer[A], out, sizeof out, MSG_NOSIGNAL), sizeof out);
    AWAIT(f, recv(j->peer[B], in, sizeof in, MSG_PEEK | MSG_DONTWAIT) == sizeof in);
    assert_int_equal(recv(j->peer[B], in, sizeof in, MSG_DONTWAIT), sizeof in);
    for (size_t i = 0; i < sizeof in; i++) in[i] ^= 0x77;
    assert_true(pattern_is(in, (uint64_t)round, sizeof in));
  }
  for (int i = 0; i < 2; i++) assert_int_equal(shutdown(j->peer[i], SHUT_WR), 0);
  finish(j);
  assert_int_equal(j->went[A], 50000);
}

/* From data, with what it leaves first. */
static size_t joins(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct joint *j = p->more;
  (void)data;
  if (p->calls++ == 0 && torque_stream_pipe(stream, j->s[B], p->aux, on_over, j)) p->strange++;
  p->in += 10;
  if (length < 10) p->strange++;
  return 10;
}

static void from_a_callback(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 2; k++) {
    struct joint *j = fixture_take(f, sizeof *j);
    j->f = f;
    for (int i = 0; i < 2; i++) {
      int fd[2];
      fixture_tcp(f, fd);
      j->peer[i] = fd[0];
      j->p[i] = party_new(f, i == A ? joins : party_take, party_end);
      j->p[i]->more = j;
      j->p[i]->aux = how[k];
      if (i == A) put(j, A, 200000);
      if (i == A) continue;
      j->s[B] = party_add(j->p[B], fd[1]);
    }
    int fd[2];
    fixture_tcp(f, fd);
    fixture_close(f, j->peer[A]);
    j->sent[A] = 0;
    j->peer[A] = fd[0];
    put(j, A, 200000);
    struct party *p = j->p[A];
    fixture_disown(f, fd[1]);
    assert_int_equal(torque_stream_new(f->ctx, fd[1], p->type, p, &j->s[A]), 0);
    assert_int_equal(torque_source_start(j->s[A]), 0);
    j->got[A] = 10;
    assert_passed(j, A);
    assert_int_equal(p->calls, 1);
    for (int i = 0; i < 20; i++) {
      put(j, A, 10000);
      put(j, B, 10000);
      assert_passed(j, B);
      assert_passed(j, A);
    }
    for (int i = 0; i < 2; i++) assert_int_equal(shutdown(j->peer[i], SHUT_WR), 0);
    finish(j);
    assert_int_equal(j->went[A], j->sent[A] - 10);
  }
}

static void arguments(void **state) {
  struct fixture *f = *state;
  struct joint *j = joint_new(f, fixture_tcp, 0);
  torque_source event;
  assert_int_equal(torque_stream_pipe(j->s[A], j->s[A], 0, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], 8, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_pipe(0, j->s[B], 0, NULL, NULL), TORQUE_ERR_STALE);
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, (torque_timer_fn *)(uintptr_t)on_over, NULL, &event), 0);
  assert_int_equal(torque_stream_pipe(event, j->s[B], 0, NULL, NULL), TORQUE_ERR_KIND);
  assert_int_equal(torque_stream_pipe(j->s[A], event, 0, NULL, NULL), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_remove_wait(event), 0);
  join(j, 0); /* nothing of that has joined them */
  assert_int_equal(torque_source_remove_wait(j->s[A]), 0);
  AWAIT(f, ended(j->peer[B]));
  for (int i = 0; i < 2; i++) fixture_close(f, j->peer[i]);
  finish(j);
}

/* A context that stops ends both, whatever is under way. */
static void stopped(void **state) {
  struct fixture *f = *state;
  struct joint *j = joint_new(f, fixture_tcp, 0);
  join(j, 0);
  put(j, A, 100000);
  put(j, B, 100000);
  fixture_stop(f);
  assert_int_equal(j->over, 1);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(j->p[i]->closed, 1);
    party_free(j->p[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(both_ways), ON_EVERY(pressure), ON_EVERY(resets),          ON_EVERY(ended_by_the_program),
      ON_EVERY(one_way),   ON_EVERY(layers),   ON_EVERY(from_a_callback), ON_EVERY(keep_open_and_unpipe),
      ON_EVERY(arguments), ON_EVERY(stopped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
