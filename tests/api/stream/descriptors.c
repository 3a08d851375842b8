/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams of what is not a socket; descriptors that are no good; numbers that are used again; forks. */
#include "support/child.h"
#include "support/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { BIG = 1 << 20 };

/* A socket that takes no bytes now is open all the same. */
static void full_socket(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  fixture_pair(f, fd);
  while (pattern_put(fd[1], 0, 65536)) continue;
  (void)party_add(p, fd[1]);
  AWAIT(f, p->opened);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void pipe_to_read(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  fixture_pipe(f, fd);
  (void)party_add(p, fd[0]);
  unsigned char bytes[3000];
  uint64_t sent = 0;
  for (int i = 0; i < 30; i++) {
    pattern_fill(bytes, sent, sizeof bytes);
    sent += sizeof bytes;
    assert_int_equal(write(fd[1], bytes, sizeof bytes), sizeof bytes);
    AWAIT(f, p->in == sent);
  }
  fixture_close(f, fd[1]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void pipe_to_write(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2], end = 0;
  fixture_pipe(f, fd);
  const torque_source s = party_add(p, fd[1]);
  char *bytes = fixture_take(f, BIG);
  assert_int_equal(torque_stream_write(s, bytes, BIG), 0);
  assert_int_equal(torque_stream_shutdown(s), 0); /* the only way to end a pipe is to close it */
  size_t got = 0;
  AWAIT(f, (got += drain(fd[0], &end), end));
  assert_int_equal(got, BIG);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
}

static void pipe_whose_reader_goes(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  fixture_pipe(f, fd);
  const torque_source s = party_add(p, fd[1]);
  char *bytes = fixture_take(f, BIG);
  assert_int_equal(torque_stream_write(s, bytes, BIG), 0);
  fixture_settle(f);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + EPIPE);
  party_free(p);
}

static void terminal(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  int outer, inner;
  struct termios raw;
  assert_int_equal(openpty(&outer, &inner, NULL, NULL, NULL), 0);
  fixture_own(f, outer);
  fixture_own(f, inner);
  assert_int_equal(tcgetattr(inner, &raw), 0);
  cfmakeraw(&raw);
  assert_int_equal(tcsetattr(inner, TCSANOW, &raw), 0);
  const torque_source s = party_add(p, inner);
  unsigned char bytes[100];
  for (uint64_t n = 0; n < 20; n++) {
    pattern_fill(bytes, n * 100, sizeof bytes);
    assert_int_equal(write(outer, bytes, sizeof bytes), sizeof bytes);
    AWAIT(f, p->in == (n + 1) * 100);
  }
  assert_int_equal(torque_stream_write(s, "hello", 5), 0);
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* Whoever made the terminal is told of the other side's end as of any. */
static void terminal_whose_other_side_ends(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 2; i++) {
    struct party *p = party_new(f, party_take, i ? party_end : NULL);
    int outer, inner;
    struct termios raw;
    assert_int_equal(openpty(&outer, &inner, NULL, NULL, NULL), 0);
    fixture_own(f, outer);
    fixture_own(f, inner);
    assert_int_equal(tcgetattr(inner, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(inner, TCSANOW, &raw), 0);
    const torque_source s = party_add(p, outer);
    unsigned char bytes[1000];
    pattern_fill(bytes, 0, sizeof bytes);
    assert_int_equal(write(inner, bytes, sizeof bytes), sizeof bytes);
    fixture_close(f, inner);
    if (i) {
      AWAIT(f, p->ended);
      assert_int_equal(p->closed, 0);
      assert_int_equal(torque_stream_close(s), 0);
    }
    AWAIT(f, p->closed);
    assert_int_equal(p->in, sizeof bytes);
    assert_int_equal(p->err, 0);
    assert_int_equal(p->strange, 0);
    party_free(p);
  }
}

/* The same the other way round. */
static void terminal_whose_maker_ends(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int outer, inner;
  assert_int_equal(openpty(&outer, &inner, NULL, NULL, NULL), 0);
  fixture_own(f, outer);
  fixture_own(f, inner);
  (void)party_add(p, inner);
  AWAIT(f, p->opened);
  fixture_close(f, outer);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
}

static void regular_file(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  char name[] = "/tmp/torque-test-XXXXXX";
  const int fd = mkstemp(name);
  fixture_own(f, fd);
  unsigned char *bytes = fixture_take(f, BIG);
  pattern_fill(bytes, 0, BIG);
  assert_int_equal(write(fd, bytes, BIG), BIG);
  assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
  (void)party_add(p, fd);
  AWAIT(f, p->closed);
  assert_int_equal(p->in, BIG);
  assert_int_equal(p->err, 0);
  /* And the other way round. */
  const int to = open(name, O_WRONLY | O_TRUNC | O_CLOEXEC);
  fixture_own(f, to);
  struct party *q = party_new(f, party_take, NULL);
  const torque_source s = party_add(q, to);
  assert_int_equal(torque_stream_write(s, bytes, BIG), 0);
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, q->closed);
  const int again = open(name, O_RDONLY | O_CLOEXEC);
  fixture_own(f, again);
  assert_int_equal(read(again, bytes, BIG), BIG);
  assert_true(pattern_is(bytes, 0, BIG));
  assert_int_equal(unlink(name), 0);
  assert_int_equal(p->strange + q->strange, 0);
  party_free(p);
  party_free(q);
}

static void no_good(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  fixture_tcp(f, fd);
  torque_source s = 77;
  assert_int_equal(torque_stream_add(f->ctx, -1, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_add(NULL, fd[0], p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_add(f->ctx, fd[0], NULL, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_add(f->ctx, fd[0], p->type, p, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_add(f->ctx, MOST_DESCRIPTORS - 1, p->type, p, &s), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(torque_stream_connect(f->ctx, fd, 0, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_connect(f->ctx, NULL, 16, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_write(0, "x", 1), TORQUE_ERR_STALE);
  assert_int_equal(s, 77);
  const torque_source good = party_add(p, fd[1]);
  assert_int_equal(torque_stream_add(f->ctx, fd[1], p->type, p, &s), TORQUE_ERR_EXIST);
  assert_int_equal(fcntl_is_open(fd[1]), 1);
  assert_int_equal(torque_stream_write(good, NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_writev(good, NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_sendfile(good, -1, 0, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_sendfile(good, MOST_DESCRIPTORS - 1, 0, 1), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(torque_stream_sendfile(good, fd[0], UINT64_MAX, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_consume(good, 1), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_release(good, &(int32_t){0}), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_set_type(good, p->type), TORQUE_ERR_STATE);
  assert_int_equal(torque_close(good), TORQUE_ERR_KIND);
  assert_int_equal(torque_fd_modify(good, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, 10), TORQUE_ERR_STATE);
  assert_int_equal(p->closed, 0);
  struct torque_stream_type *type;
  assert_int_equal(torque_stream_type_new(NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_type_new(&type), 0);
  assert_int_equal(torque_stream_type_set_input(type, 0, 10), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_type_set_input(type, 11, 10), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_type_set_output(type, 11, 10), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_type_set_limit(type, 4, 10), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_type_set_budget(type, 0), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_type_add_layer(type, NULL), TORQUE_ERR_INVAL);
  torque_stream_type_free(type);
  torque_stream_type_free(NULL);
  /* Calls for streams on what is none. */
  assert_int_equal(torque_event_add(f->ctx, 0, (torque_fd_fn *)(uintptr_t)1, NULL, &s), 0);
  assert_int_equal(torque_stream_write(s, "x", 1), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_remove(s), 0);
  party_free(p);
}

/* Somebody closes the stream's descriptor (a bug), and the number becomes another stream: it is not closed under it. */
static void number_is_used_again(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL), *q = party_new(f, party_take, NULL);
  int a[2], b[2];
  fixture_tcp(f, a);
  (void)party_add(p, a[1]);
  AWAIT(f, p->opened);
  fixture_tcp(f, b);
  assert_int_equal(dup2(b[1], a[1]), a[1]);
  fixture_close(f, b[1]);
  (void)party_add(q, a[1]);
  AWAIT(f, p->closed);
  assert_int_equal(pattern_put(b[0], 0, 1000), 1000);
  AWAIT(f, q->in == 1000);
  assert_int_equal(p->strange + q->strange, 0);
  party_free(p);
  party_free(q);
}

static int in_child(void *arg) {
  struct party *p = arg;
  const uint64_t before = p->in;
  if (torque_stream_write(p->stream, "x", 1) != TORQUE_ERR_FORKED) return 1;
  if (torque_reinit(p->f->ctx)) return 2;
  for (int i = 0; i < 1000 && p->in == before; i++)
    if (torque_run_once(p->f->ctx, 10000000, NULL)) return 3;
  if (p->in != before + 10) return 4;
  return torque_stop(p->f->ctx) ? 5 : 0;
}

static void forked(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  int fd[2];
  fixture_tcp(f, fd);
  (void)party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 100), 100);
  AWAIT(f, p->in == 100);
  assert_int_equal(pattern_put(fd[0], 100, 10), 10);
  assert_int_equal(child_run(in_child, p), 0);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(full_socket),  ON_EVERY(pipe_to_read), ON_EVERY(pipe_to_write), ON_EVERY(pipe_whose_reader_goes), ON_EVERY(terminal),
      ON_EVERY(terminal_whose_other_side_ends), ON_EVERY(terminal_whose_maker_ends),
      ON_EVERY(regular_file), ON_EVERY(no_good),       ON_EVERY(number_is_used_again),   ON(driven, forked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
