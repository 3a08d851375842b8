/* SPDX-License-Identifier: BSD-3-Clause */
/* What a callback is told, for each kind of descriptor and each thing that can happen to it. */
#include "support/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

static void ready_before_it_is_added(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  say(fd[1], 7);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  AWAIT(f, p->bytes == 7);
  assert_int_equal(p->told, TORQUE_READ);
  assert_int_equal(p->fd, fd[0]);
}

static void both_directions(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  say(fd[1], 7);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ | TORQUE_WRITE, 0);
  AWAIT(f, p->bytes == 7);
  assert_int_equal(p->told, TORQUE_READ | TORQUE_WRITE);
}

/* Full, then drained by the other end: writable again. */
static void room_to_write(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  say(fd[0], 16 << 20); /* as much as fits */
  struct probe *p = probe_fd(f, fd[0], TORQUE_WRITE, 0);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  drain(fd[1], NULL);
  AWAIT(f, p->calls);
  assert_int_equal(p->told, TORQUE_WRITE);
}

static void a_pipe_that_hangs_up(void **state) {
  struct fixture *f = *state;
  int reader[2], writer[2];
  fixture_pipe(f, reader);
  fixture_pipe(f, writer);
  struct probe *r = probe_fd(f, reader[0], TORQUE_READ, 0);
  fixture_close(f, reader[1]); /* the last writer goes */
  AWAIT(f, r->told & TORQUE_CLOSED);
  AWAIT(f, r->ends);
  struct probe *w = probe_new(f);
  w->keep = 1;
  probe_start_fd(f, w, writer[1], TORQUE_WRITE, 0);
  fixture_close(f, writer[0]); /* the last reader goes */
  AWAIT(f, w->told & TORQUE_ERROR);
}

static void a_peer_that_shuts_one_side(void **state) {
  struct fixture *f = *state;
  int a[2], b[2];
  fixture_tcp(f, a);
  fixture_tcp(f, b);
  struct probe *asked = probe_fd(f, a[0], TORQUE_READ | TORQUE_HANGUP, 0);
  struct probe *not_asked = probe_fd(f, b[0], TORQUE_READ, 0);
  assert_int_equal(shutdown(a[1], SHUT_WR), 0);
  assert_int_equal(shutdown(b[1], SHUT_WR), 0);
  AWAIT(f, asked->told & TORQUE_HANGUP);
  AWAIT(f, asked->ends);
  AWAIT(f, not_asked->ends); /* readable all the same: the end is read */
  assert_false(not_asked->told & TORQUE_HANGUP);
  assert_false(asked->told & TORQUE_CLOSED); /* our own direction is open */
}

static void both_sides_shut(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_tcp(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_READ, 0);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  fixture_close(f, fd[1]);
  AWAIT(f, p->told & TORQUE_CLOSED);
}

static void urgent_data(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_tcp(f, fd);
  struct probe *p = probe_fd(f, fd[0], TORQUE_PRIORITY, 0);
  fixture_settle(f);
  assert_int_equal(p->calls, 0);
  assert_int_equal(send(fd[1], "!", 1, MSG_OOB), 1);
  AWAIT(f, p->told & TORQUE_PRIORITY);
  assert_false(p->told & TORQUE_READ);
}

static void a_reset_connection(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_tcp(f, fd);
  struct probe *p = probe_new(f);
  p->keep = 1;
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  const struct linger now = {.l_onoff = 1};
  assert_int_equal(setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
  fixture_close(f, fd[1]);
  AWAIT(f, p->told & TORQUE_ERROR); /* reported though not asked for */
}

static void a_refused_connection(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  const int taken = socket(AF_INET, SOCK_STREAM, 0); /* bound, so nobody else's; not listening */
  fixture_own(f, taken);
  assert_int_equal(bind(taken, (struct sockaddr *)&a, len), 0);
  assert_int_equal(getsockname(taken, (struct sockaddr *)&a, &len), 0);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  fixture_own(f, fd);
  assert_int_equal(connect(fd, (struct sockaddr *)&a, len), -1);
  struct probe *p = probe_new(f);
  p->keep = 1;
  probe_start_fd(f, p, fd, TORQUE_WRITE, 0);
  AWAIT(f, p->told & TORQUE_ERROR);
}

static void a_counter(void **state) {
  struct fixture *f = *state;
  const int fd = eventfd(0, EFD_NONBLOCK);
  fixture_own(f, fd);
  struct probe *p = probe_fd(f, fd, TORQUE_READ, 0);
  for (uint64_t i = 1; i <= 50; i++) {
    assert_int_equal(eventfd_write(fd, 1), 0);
    AWAIT(f, p->bytes == i * 8);
  }
  assert_int_equal(p->calls, 50);
}

/* ---- What the kernel does not watch is always ready ---- */

enum { FILE_BYTES = 20000 };

static int temporary_file(struct fixture *f) {
  char name[] = "/tmp/torque-test-XXXXXX";
  const int fd = mkstemp(name);
  assert_true(fd >= 0);
  unlink(name);
  fixture_own(f, fd);
  for (int i = 0; i < FILE_BYTES / 100; i++) say(fd, 100);
  assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
  return fd;
}

struct file_reader {
  int32_t answer;
  uint64_t bytes; /* its callbacks only */
  _Atomic int done;
  _Atomic uint32_t told;
};

static int32_t read_portion(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  struct file_reader *r = arg;
  char text[128];
  atomic_fetch_or(&r->told, events);
  const ssize_t n = read(fd, text, sizeof text);
  if (n > 0) r->bytes += (uint64_t)n;
  if (n > 0) return r->answer;
  atomic_store(&r->done, 1);
  return TORQUE_DONE;
}

static void file_is_read(struct fixture *f, uint32_t flags, int32_t answer) {
  struct file_reader *r = fixture_take(f, sizeof *r);
  r->answer = answer;
  torque_source source = 0;
  const int fd = temporary_file(f);
  assert_int_equal(torque_fd_add(f->ctx, fd, TORQUE_READ, flags, read_portion, r, &source), 0);
  AWAIT(f, r->done);
  assert_int_equal(torque_source_remove_wait(source), 0);
  assert_int_equal(r->bytes, FILE_BYTES);
  assert_int_equal(r->told & TORQUE_READ, TORQUE_READ);
}

static void a_regular_file(void **state) { file_is_read(*state, 0, TORQUE_AGAIN); }
static void a_rechecked_regular_file(void **state) { file_is_read(*state, TORQUE_RECHECK, TORQUE_DONE); }
static void a_level_triggered_regular_file(void **state) { file_is_read(*state, TORQUE_LEVEL, TORQUE_DONE); }

static void a_regular_file_in_both_directions(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_fd(f, temporary_file(f), TORQUE_READ | TORQUE_WRITE, 0);
  AWAIT(f, p->bytes == FILE_BYTES);
  AWAIT(f, (p->told & (TORQUE_READ | TORQUE_WRITE)) == (TORQUE_READ | TORQUE_WRITE));
  fixture_settle(f);
  assert_int_equal(torque_fd_modify(p->source, 0), 0);
  const uint32_t calls = p->calls;
  fixture_settle(f);
  assert_true(p->calls - calls <= 1); /* that one had begun */
  p->last = 0;
  assert_int_equal(torque_fd_modify(p->source, TORQUE_WRITE), 0);
  AWAIT(f, (p->last & (TORQUE_READ | TORQUE_WRITE)) == TORQUE_WRITE);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

static void a_directory(void **state) {
  struct fixture *f = *state;
  const int fd = open("/", O_RDONLY | O_DIRECTORY);
  fixture_own(f, fd);
  struct probe *p = probe_fd(f, fd, TORQUE_READ, 0);
  AWAIT(f, p->calls);
  assert_int_equal(p->told & TORQUE_READ, TORQUE_READ);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_ended(p, TORQUE_END_REMOVED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(ready_before_it_is_added),
      ON_EVERY(both_directions),
      ON_EVERY(room_to_write),
      ON_EVERY(a_pipe_that_hangs_up),
      ON_EVERY(a_peer_that_shuts_one_side),
      ON_EVERY(both_sides_shut),
      ON_EVERY(urgent_data),
      ON_EVERY(a_reset_connection),
      ON_EVERY(a_refused_connection),
      ON_EVERY(a_counter),
      ON_EVERY(a_regular_file),
      ON_EVERY(a_rechecked_regular_file),
      ON(driven, a_level_triggered_regular_file),
      ON_EVERY(a_regular_file_in_both_directions),
      ON_EVERY(a_directory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
