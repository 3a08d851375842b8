/* SPDX-License-Identifier: BSD-3-Clause */
/* A callback may leave bytes behind; the stream arrives whole, byte for byte, in order. */
#include "support/context.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { STREAM = 200000 };

struct reader {
  struct fixture *f;
  int out;
  size_t portion; /* bytes a call takes */
  int32_t answer;
  int postpones; /* 1: by torque_postpone() */
  /* Only the source's callbacks touch these: an exclusive source needs no lock. */
  size_t place;
  size_t wrong;
  _Atomic int ended;
  _Atomic torque_err postpone_error;
};

static unsigned char pattern(size_t place) { return (unsigned char)(place * 31 + place / 251); }

static int32_t take_a_little(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)events;
  struct reader *r = arg;
  unsigned char text[64];
  const ssize_t n = read(fd, text, r->portion);
  if (n < 0) return TORQUE_DONE; /* EAGAIN: empty indeed */
  if (n == 0) {
    atomic_store(&r->ended, 1);
    return TORQUE_DONE;
  }
  for (ssize_t i = 0; i < n; i++) r->wrong += text[i] != pattern(r->place++);
  if (r->postpones) {
    const torque_err err = torque_postpone(source);
    if (err) atomic_store(&r->postpone_error, err);
  }
  return r->answer;
}

static void *write_stream(void *arg) {
  struct reader *r = arg;
  unsigned char text[997];
  size_t place = 0;
  for (unsigned turn = 0; place < STREAM && !atomic_load(&r->f->quit); turn++) {
    size_t n = 1 + turn * 7919 % sizeof text;
    if (n > STREAM - place) n = STREAM - place;
    for (size_t i = 0; i < n; i++) text[i] = pattern(place + i);
    const ssize_t w = send(r->out, text, n, MSG_NOSIGNAL);
    if (w > 0) place += (size_t)w;
    if (w < 0 || turn % 16 == 0) nap();
  }
  shutdown(r->out, SHUT_WR);
  return NULL;
}

static void stream_arrives(struct fixture *f, uint32_t flags, int32_t answer, int postpones) {
  int fd[2];
  fixture_pair(f, fd);
  struct reader *r = fixture_take(f, sizeof *r);
  *r = (struct reader){.f = f, .out = fd[1], .portion = 61, .answer = answer, .postpones = postpones};
  torque_source source = 0;
  assert_int_equal(torque_fd_add(f->ctx, fd[0], TORQUE_READ, flags, take_a_little, r, &source), 0);
  fixture_thread(f, write_stream, r);
  AWAIT(f, r->ended);
  assert_int_equal(torque_source_remove_wait(source), 0);
  assert_int_equal(r->place, STREAM);
  assert_int_equal(r->wrong, 0);
  assert_int_equal(r->postpone_error, 0);
}

static void answering_again(void **state) { stream_arrives(*state, 0, TORQUE_AGAIN, 0); }
static void postponing(void **state) { stream_arrives(*state, 0, TORQUE_DONE, 1); }
static void rechecked(void **state) { stream_arrives(*state, TORQUE_RECHECK, TORQUE_DONE, 0); }
static void rechecked_and_answering_again(void **state) { stream_arrives(*state, TORQUE_RECHECK, TORQUE_AGAIN, 0); }
static void level_triggered(void **state) { stream_arrives(*state, TORQUE_LEVEL, TORQUE_DONE, 0); }
static void level_triggered_and_answering_again(void **state) {
  stream_arrives(*state, TORQUE_LEVEL, TORQUE_AGAIN, 0);
}

/* Bytes that lie there before the source exists are told as well, and so is what is left of them. */
static void bytes_from_before(struct fixture *f, uint32_t flags, int32_t answer) {
  int fd[2];
  fixture_pair(f, fd);
  struct reader *r = fixture_take(f, sizeof *r);
  *r = (struct reader){.f = f, .portion = 3, .answer = answer};
  unsigned char text[100];
  for (size_t i = 0; i < sizeof text; i++) text[i] = pattern(i);
  assert_int_equal(write(fd[1], text, sizeof text), sizeof text);
  assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
  torque_source source = 0;
  assert_int_equal(torque_fd_add(f->ctx, fd[0], TORQUE_READ, flags, take_a_little, r, &source), 0);
  AWAIT(f, r->ended);
  assert_int_equal(torque_source_remove_wait(source), 0);
  assert_int_equal(r->place, sizeof text);
  assert_int_equal(r->wrong, 0);
}

static void bytes_from_before_answering_again(void **state) { bytes_from_before(*state, 0, TORQUE_AGAIN); }
static void bytes_from_before_rechecked(void **state) { bytes_from_before(*state, TORQUE_RECHECK, TORQUE_DONE); }
static void bytes_from_before_level(void **state) { bytes_from_before(*state, TORQUE_LEVEL, TORQUE_DONE); }

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(answering_again),
      ON_EVERY(postponing),
      ON_EVERY(rechecked),
      ON_EVERY(rechecked_and_answering_again),
      ON(driven, level_triggered),
      ON(driven, level_triggered_and_answering_again),
      ON_EVERY(bytes_from_before_answering_again),
      ON_EVERY(bytes_from_before_rechecked),
      ON(driven, bytes_from_before_level),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
