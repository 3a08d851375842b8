/* SPDX-License-Identifier: BSD-3-Clause */
/* Nearly ten thousand buffered descriptors of the original's interface at once, and many that come and go. */
#include "support/buffered.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/streams.h"

enum { MANY = 9900 }; /* two descriptors each */

struct crowd {
  struct fixture *f;
  _Atomic uint64_t answered, ended, strange;
};

static int answer(int fd, struct torque_rxbuf *rxb, void *state) {
  struct crowd *c = state;
  size_t length;
  const char *data = rxbuffer_valid(rxb, &length);
  if (length == 0) {
    if (close(fd)) c->strange++;
    c->ended++;
    return -1;
  }
  const ssize_t n = write(fd, data, length);
  if (n != (ssize_t)length) c->strange++;
  rxbuffer_advance(rxb, length);
  c->answered += length;
  return 0;
}

static void thousands_at_once(void **state) {
  struct fixture *f = *state;
  const struct rlimit most = {.rlim_cur = MOST_DESCRIPTORS, .rlim_max = MOST_DESCRIPTORS};
  if (setrlimit(RLIMIT_NOFILE, &most)) skip();
  struct crowd *c = fixture_take(f, sizeof *c);
  int(*fd)[2] = fixture_take(f, MANY * sizeof *fd);
  const int count = FEWER(MANY);
  for (int i = 0; i < count; i++) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd[i]), 0);
    assert_int_equal(torque_addfd(f->ctx, fd[i][1], answer, NULL, c), 0);
  }
  for (int round = 1; round <= 3; round++) {
    for (int i = 0; i < count; i++) assert_int_equal(write(fd[i][0], "0123456789", 10), 10);
    AWAIT(f, c->answered == (uint64_t)count * 10 * (uint64_t)round);
    for (int i = 0; i < count; i++) {
      char text[20];
      ssize_t n;
      AWAIT(f, (n = recv(fd[i][0], text, sizeof text, 0)) > 0);
      assert_int_equal(n, 10);
      assert_memory_equal(text, "0123456789", 10);
    }
  }
  for (int i = 0; i < count; i++) close(fd[i][0]);
  AWAIT(f, c->ended == (uint64_t)count && sources_of(f) == 0);
  assert_int_equal(c->strange, 0);
}

/* Connections of several threads, each of which sends, is answered, and goes. */
static void *visitor(void *arg) {
  struct crowd *c = arg;
  for (int i = 0; i < FEWER(1000) && !c->f->quit; i++) {
    int fd[2];
    char text[8];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) || write(fd[0], "visiting", 8) != 8) {
      c->strange++;
      break;
    }
    const struct timeval patience = {.tv_sec = 30};
    setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (torque_addfd(c->f->ctx, fd[1], answer, NULL, c) || recv(fd[0], text, 8, MSG_WAITALL) != 8 ||
        memcmp(text, "visiting", 8))
      c->strange++;
    close(fd[0]);
  }
  return NULL;
}

static void they_come_and_go(void **state) {
  struct fixture *f = *state;
  enum { THREADS = 4 };
  struct crowd *c = fixture_take(f, sizeof *c);
  c->f = f;
  for (int i = 0; i < THREADS; i++) fixture_thread(f, visitor, c);
  AWAIT(f, c->ended == THREADS * FEWER(1000) || c->strange);
  assert_int_equal(c->strange, 0);
  fixture_join(f);
  AWAIT(f, sources_of(f) == 0);
  assert_int_equal(c->answered, THREADS * FEWER(1000) * 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, thousands_at_once), ON(synthetic, thousands_at_once), ON(driven, thousands_at_once),
      ON(live, they_come_and_go),  ON(synthetic, they_come_and_go),  ON(driven, they_come_and_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
