/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams that were joined and are parted, with bytes between them: each byte goes where it belongs, in order, also when
 * that comes at once, and when one of them has no connection yet. */
#include "support/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { A, B, TRAILER = 3000, CANCELLED = TORQUE_ERR_SYSCALL + ECANCELED };

/* peer[A] -- stream a == stream b -- peer[B] */
struct joint {
  struct fixture *f;
  struct party *p[2];
  torque_source s[2];
  int peer[2];
  uint32_t flags;
  int unpiped; /* of these, which */
  _Atomic uint32_t over, ran, wrong;
  _Atomic uint64_t went[2];
  _Atomic torque_err err;
  uint64_t sent, got;
};

static const uint32_t how[] = {0, TORQUE_PIPE_COPY};

static void on_over(torque_source a, torque_source b, uint64_t a_to_b, uint64_t b_to_a, torque_err err, void *arg) {
  struct joint *j = arg;
  (void)a, (void)b;
  j->went[A] = a_to_b;
  j->went[B] = b_to_a;
  j->err = err;
  j->over++;
}

static struct joint *joint_new(struct fixture *f, uint32_t flags, torque_stream_data_fn *data, torque_stream_end_fn *end) {
  struct joint *j = fixture_take(f, sizeof *j);
  j->f = f;
  j->flags = flags;
  for (int i = 0; i < 2; i++) {
    j->p[i] = party_new(f, i == A ? data : party_take, i == A ? end : NULL);
    j->p[i]->more = j;
    assert_int_equal(torque_stream_type_set_linger(j->p[i]->type, UINT64_MAX), 0);
  }
  return j;
}

static void connect_one(struct joint *j, int i) {
  int fd[2];
  fixture_tcp(j->f, fd);
  j->peer[i] = fd[0];
  j->s[i] = party_add(j->p[i], fd[1]);
}

static struct joint *joined(struct fixture *f, uint32_t flags, torque_stream_data_fn *data, torque_stream_end_fn *end) {
  struct joint *j = joint_new(f, flags, data, end);
  for (int i = 0; i < 2; i++) connect_one(j, i);
  assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], flags, on_over, j), 0);
  AWAIT(f, j->p[A]->opened && j->p[B]->opened);
  return j;
}

/* Until a's peer cannot send more, as b's does not read: so there are bytes wherever bytes can be. */
static void fill(struct joint *j) {
  uint64_t before;
  do {
    before = j->sent;
    for (int i = 0; i < 50; i++) j->sent += pattern_put(j->peer[A], j->sent, 65536);
    fixture_settle(j->f);
  } while (j->sent != before);
}

static int is_at_end(int fd) {
  char c;
  return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void leave(struct joint *j) {
  for (int i = 0; i < 2; i++) fixture_close(j->f, j->peer[i]);
  AWAIT(j->f, j->p[A]->closed && j->p[B]->closed && j->over);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(j->p[i]->closed, 1);
    assert_int_equal(j->p[i]->strange, 0);
    party_free(j->p[i]);
  }
  assert_int_equal(j->over, 1);
  assert_int_equal(j->wrong, 0);
}

/* What a was told, by hand. */
static size_t forward(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct joint *j = p->more;
  (void)stream;
  if (torque_stream_write(j->s[B], data, length)) j->wrong++;
  p->in += length;
  return length;
}

/* A program that goes on by itself, after it has parted them. */
static void goes_on_by_hand(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 4; k++) {
    struct joint *j = joined(f, how[k % 2], forward, NULL);
    fill(j);
    assert_int_equal(torque_stream_unpipe(j->s[k / 2 ? B : A]), 0);
    AWAIT(f, j->p[A]->in > 0); /* what came then */
    fixture_settle(f);
    AWAIT(f, pattern_check(j->peer[B], &j->got) && j->got == j->sent);
    AWAIT(f, j->over);
    assert_int_equal(j->went[A] + j->p[A]->in, j->sent);
    leave(j);
  }
}

/* At the end of a, to b: behind all that was passed on. */
static void write_trailer(struct joint *j) {
  unsigned char bytes[TRAILER];
  pattern_fill(bytes, j->sent, sizeof bytes);
  if (torque_stream_write(j->s[B], bytes, sizeof bytes) || torque_stream_shutdown(j->s[B])) j->wrong++;
}

static void trailer_at_the_end(torque_source stream, void *arg) {
  struct party *p = arg;
  (void)stream;
  p->ended++;
  write_trailer(p->more);
}

static void ends_are_behind(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 2; k++) {
    struct joint *j = joined(f, TORQUE_PIPE_KEEP_OPEN | how[k], party_take, trailer_at_the_end);
    fill(j);
    assert_int_equal(shutdown(j->peer[A], SHUT_WR), 0);
    AWAIT(f, pattern_check(j->peer[B], &j->got) && j->got == j->sent + TRAILER && is_at_end(j->peer[B]));
    assert_int_equal(j->p[A]->ended, 1);
    assert_int_equal(torque_stream_close(j->s[A]), 0);
    leave(j);
    assert_int_equal(j->went[A], j->sent);
  }
}

/* Removed by the program: b is told its own after what a had passed on, however much that was. */
static void write_marks(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  struct joint *j = p->more;
  static const char marks[TRAILER]; /* no piece of the pattern */
  (void)stream, (void)err;
  p->closed++;
  if (torque_stream_write(j->s[B], marks, sizeof marks) || torque_stream_shutdown(j->s[B])) j->wrong++;
}

static void removed_is_behind(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 2; k++) {
    struct joint *j = joint_new(f, TORQUE_PIPE_KEEP_OPEN | how[k], party_take, NULL);
    assert_int_equal(torque_stream_type_set_close(j->p[A]->type, write_marks), 0);
    for (int i = 0; i < 2; i++) connect_one(j, i);
    assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], j->flags, on_over, j), 0);
    AWAIT(f, j->p[A]->opened && j->p[B]->opened);
    fill(j);
    assert_int_equal(torque_source_remove_wait(j->s[A]), 0);
    uint64_t in_order = 0, marks = 0;
    unsigned char bytes[4096];
    int end = 0;
    struct patience patience = patience_start();
    while (!end) {
      const ssize_t n = recv(j->peer[B], bytes, sizeof bytes, MSG_DONTWAIT);
      end = n == 0;
      if (n < 0 && !fixture_step(f, &patience)) fail();
      for (ssize_t i = 0; i < n; i++) {
        if (marks == 0 && bytes[i] == pattern_at(in_order)) in_order++;
        else if (bytes[i] == 0) marks++;
        else fail();
      }
    }
    assert_true(marks <= TRAILER && marks + 8 > TRAILER); /* the pattern has a 0 here and there */
    leave(j);
    assert_int_equal(j->went[A] + TRAILER, in_order + marks);
  }
}

/* How much of what a's peer has sent a has read: the rest is in the system. */
static uint64_t read_by_a(const struct joint *j) {
  int32_t fd;
  int here, there;
  assert_int_equal(torque_stream_fd(j->s[A], &fd), 0);
  assert_int_equal(ioctl(fd, FIONREAD, &here), 0);
  assert_int_equal(ioctl(j->peer[A], TIOCOUTQ, &there), 0);
  return j->sent - (uint64_t)here - (uint64_t)there;
}

/* The program ends b: what had come to it is sent, in order, and no error is told. */
static void the_sink_is_ended(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 4; k++) {
    struct joint *j = joined(f, how[k % 2], party_take, NULL);
    fill(j);
    const uint64_t passed = read_by_a(j);
    assert_int_equal(k / 2 ? torque_stream_shutdown(j->s[B]) : torque_stream_close(j->s[B]), 0);
    AWAIT(f, pattern_check(j->peer[B], &j->got) && is_at_end(j->peer[B]));
    assert_true(passed > 0 && j->got >= passed);
    leave(j);
    assert_int_equal(j->err, 0);
    assert_int_equal(j->p[B]->err, 0);
    assert_int_equal(j->went[A], j->got);
  }
}

static void release(torque_source stream, torque_err err, void *arg) {
  struct joint *j = arg;
  int32_t fd;
  if (err || torque_stream_release(stream, &fd) != TORQUE_ERR_STATE) j->wrong++;
  j->ran++;
}

/* What is between is output that waits. */
static void the_sink_is_not_released(void **state) {
  struct fixture *f = *state;
  for (size_t k = 0; k < 2; k++) {
    struct joint *j = joined(f, how[k], party_take, NULL);
    fill(j);
    assert_int_equal(torque_stream_run(j->s[B], release, j), 0);
    AWAIT(f, j->ran);
    AWAIT(f, pattern_check(j->peer[B], &j->got) && j->got == j->sent);
    leave(j);
  }
}

static void join_and_part(torque_source stream, torque_err err, void *arg) {
  struct joint *j = arg;
  (void)stream;
  if (err || torque_stream_pipe(j->s[A], j->s[B], j->flags, on_over, j)) j->wrong++;
  if (torque_stream_unpipe(j->s[j->unpiped])) j->wrong++;
  j->ran++;
}

/* At once, before anything is joined: outside, and in the turn of either. */
static void parted_at_once(void **state) {
  struct fixture *f = *state;
  for (int k = 0; k < 24; k++) {
    struct joint *j = joint_new(f, how[k % 2] | (k / 2 % 2 ? TORQUE_PIPE_ONE_WAY : 0), party_take, NULL);
    j->unpiped = k / 4 % 2;
    for (int i = 0; i < 2; i++) connect_one(j, i);
    AWAIT(f, j->p[A]->opened && j->p[B]->opened);
    if (k / 8 == 0) join_and_part(0, 0, j);
    else assert_int_equal(torque_stream_run(j->s[k / 8 - 1], join_and_part, j), 0);
    AWAIT(f, j->ran && j->over);
    for (int i = 0; i < 2; i++) {
      assert_int_equal(pattern_put(j->peer[i], 0, 1000), 1000);
      AWAIT(f, j->p[i]->in == 1000);
    }
    leave(j);
    assert_int_equal(j->went[A] + j->went[B], 0);
  }
}

/* A file goes up, and the answer is told: its end is not the answer's. */
static void a_file_and_its_answer(void **state) {
  struct fixture *f = *state;
  enum { LENGTH = 300000 };
  for (size_t k = 0; k < 4; k++) {
    struct joint *j = joint_new(f, TORQUE_PIPE_ONE_WAY | how[k % 2], NULL, NULL);
    char name[] = "/tmp/torque-pipe-XXXXXX";
    unsigned char *bytes = fixture_take(f, LENGTH);
    const int file = mkstemp(name);
    assert_true(file >= 0);
    fixture_own(f, file);
    (void)unlink(name);
    pattern_fill(bytes, 0, LENGTH);
    assert_int_equal(write(file, bytes, LENGTH), LENGTH);
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    connect_one(j, B);
    fixture_disown(f, file);
    assert_int_equal(torque_stream_new(f->ctx, file, j->p[A]->type, j->p[A], &j->s[A]), 0);
    assert_int_equal(torque_stream_pause(j->s[A]), 0); /* or it would be read before they are joined */
    assert_int_equal(torque_source_start(j->s[A]), 0);
    assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], j->flags, on_over, j), 0);
    assert_int_equal(torque_stream_resume(j->s[A]), 0);
    AWAIT(f, pattern_check(j->peer[B], &j->got) && j->got == LENGTH && is_at_end(j->peer[B]));
    AWAIT(f, j->p[A]->closed); /* as it has no end callback */
    fixture_settle(f);
    assert_int_equal(pattern_put(j->peer[B], 0, 1000), 1000);
    AWAIT(f, j->p[B]->in == 1000);
    fixture_close(f, j->peer[B]);
    AWAIT(f, j->p[B]->closed && j->over);
    assert_int_equal(j->err, 0);
    assert_int_equal(j->p[B]->err, 0);
    assert_int_equal(j->went[A], LENGTH);
    for (int i = 0; i < 2; i++) party_free(j->p[i]);
  }
}

/* ---- One of them has no connection yet ---- */

static void await_one(struct joint *j, int i) {
  assert_int_equal(torque_stream_await(j->f->ctx, j->p[i]->type, j->p[i], &j->s[i]), 0);
}

static void attach_one(struct joint *j, int i) {
  int fd[2];
  fixture_tcp(j->f, fd);
  fixture_disown(j->f, fd[1]);
  j->peer[i] = fd[0];
  assert_int_equal(torque_stream_attach(j->s[i], fd[1], 0), 0);
}

/* It is joined when it has one, with nothing lost before. */
static void joined_before_it_connects(void **state) {
  struct fixture *f = *state;
  for (int k = 0; k < 4; k++) {
    const int waits = k / 2;
    struct joint *j = joint_new(f, how[k % 2], party_take, NULL);
    await_one(j, waits);
    connect_one(j, 1 - waits);
    assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], j->flags, on_over, j), 0);
    assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], j->flags, on_over, j), TORQUE_ERR_STATE);
    assert_int_equal(pattern_put(j->peer[1 - waits], 0, 50000), 50000);
    fixture_settle(f);
    assert_int_equal(j->p[1 - waits]->in, 0);
    attach_one(j, waits);
    AWAIT(f, pattern_check(j->peer[waits], &j->got) && j->got == 50000);
    assert_int_equal(pattern_put(j->peer[waits], 0, 50000), 50000);
    j->got = 0;
    AWAIT(f, pattern_check(j->peer[1 - waits], &j->got) && j->got == 50000);
    leave(j);
    assert_int_equal(j->went[A], 50000);
    assert_int_equal(j->went[B], 50000);
  }
}

/* Or parted again before. */
static void parted_before_it_connects(void **state) {
  struct fixture *f = *state;
  for (int k = 0; k < 8; k++) {
    const int waits = k / 2 % 2, unpiped = k / 4;
    struct joint *j = joint_new(f, how[k % 2], party_take, NULL);
    await_one(j, waits);
    connect_one(j, 1 - waits);
    assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], j->flags, on_over, j), 0);
    assert_int_equal(torque_stream_unpipe(j->s[unpiped]), 0);
    fixture_settle(f);
    attach_one(j, waits);
    for (int i = 0; i < 2; i++) {
      assert_int_equal(pattern_put(j->peer[i], 0, 1000), 1000);
      AWAIT(f, j->p[i]->in == 1000);
    }
    leave(j);
  }
}

/* The other one ends: nobody waits for the connection any more. */
static void given_up_before_it_connects(void **state) {
  struct fixture *f = *state;
  for (int k = 0; k < 4; k++) {
    const int waits = k / 2;
    struct joint *j = joint_new(f, 0, party_take, NULL);
    await_one(j, waits);
    connect_one(j, 1 - waits);
    assert_int_equal(torque_stream_pipe(j->s[A], j->s[B], j->flags, on_over, j), 0);
    AWAIT(f, j->p[1 - waits]->opened);
    fixture_settle(f);
    assert_int_equal(k % 2 ? torque_stream_abort(j->s[1 - waits]) : torque_source_remove(j->s[1 - waits]), 0);
    AWAIT(f, j->p[A]->closed && j->p[B]->closed && j->over);
    for (int i = 0; i < 2; i++) {
      assert_int_equal(j->p[i]->closed, 1);
      assert_int_equal(j->p[i]->err, k % 2 ? CANCELLED : 0);
      party_free(j->p[i]);
    }
    assert_int_equal(j->err, k % 2 ? CANCELLED : 0);
    fixture_close(f, j->peer[1 - waits]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(goes_on_by_hand),          ON_EVERY(ends_are_behind),
      ON_EVERY(removed_is_behind),        ON_EVERY(the_sink_is_ended),
      ON_EVERY(the_sink_is_not_released), ON_EVERY(parted_at_once),
      ON_EVERY(a_file_and_its_answer),    ON_EVERY(joined_before_it_connects),
      ON_EVERY(parted_before_it_connects), ON_EVERY(given_up_before_it_connects),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
