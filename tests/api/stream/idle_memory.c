/* SPDX-License-Identifier: BSD-3-Clause */
/* An idle stream costs 256 bytes at most, its place in the table of descriptors included; and when it has served, not
 * one more. */
#include "support/streams.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

/* Slots come in chunks of 512; the first streams bring the workers' buffers, and begin a chunk in each domain. */
enum { FIRST = 100, IDLE = 18 * 512, ALL = FIRST + IDLE, BYTES_EACH = 256, CHUNK = 64 * 1024 };

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  if (torque_stream_write(stream, data, length)) p->strange++;
  p->in += length;
  return length;
}

/* The peers' numbers are out of the way: the table that is measured is that of the streams' own. */
static void make(struct fixture *f, struct party *p, int *peer, int from, int to) {
  for (int i = from; i < to; i++) {
    int fd[2];
    torque_source stream;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    peer[i] = fcntl(fd[0], F_DUPFD_CLOEXEC, MOST_DESCRIPTORS / 2);
    close(fd[0]);
    fixture_own(f, peer[i]);
    assert_int_equal(torque_stream_add(f->ctx, fd[1], p->type, p, &stream), 0);
  }
  AWAIT(f, p->opened == (uint32_t)to);
}

static void serve_all(struct fixture *f, struct party *p, const int *peer, int count) {
  const uint64_t before = p->in;
  char text[100];
  for (int i = 0; i < count; i++) assert_int_equal(write(peer[i], "0123456789", 10), 10);
  AWAIT(f, p->in == before + (uint64_t)count * 10);
  for (int i = 0; i < count; i++) AWAIT(f, recv(peer[i], text, sizeof text, MSG_DONTWAIT) == 10);
  fixture_settle(f);
}

static void an_idle_stream_is_small(void **state) {
  struct fixture *f = *state;
  const struct rlimit most = {.rlim_cur = MOST_DESCRIPTORS, .rlim_max = MOST_DESCRIPTORS};
  if (setrlimit(RLIMIT_NOFILE, &most)) skip();
  struct party *p = party_new(f, echo, NULL);
  int *peer = fixture_take(f, ALL * sizeof *peer);
  make(f, p, peer, 0, FIRST);
  serve_all(f, p, peer, FIRST);
  const uint64_t before = f->bytes;
  make(f, p, peer, FIRST, ALL);
  fixture_settle(f);
  const uint64_t idle = f->bytes - before;
  print_message("%s: %.1f bytes an idle stream\n", f->shape->name, (double)idle / IDLE);
  assert_true(idle > 0); /* the hooks are what is used */
  const uint64_t chunks_begun = torque_ctx_domains(f->ctx) - 1;
  assert_true(idle <= (uint64_t)IDLE * BYTES_EACH + chunks_begun * CHUNK);
  serve_all(f, p, peer, ALL);
  if (torque_ctx_workers(f->ctx) == 1) assert_int_equal(f->bytes - before, idle);
  assert_int_equal(p->strange, 0);
  fixture_stop(f);
  assert_int_equal(p->closed, ALL);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(single, an_idle_stream_is_small),
      ON(synthetic, an_idle_stream_is_small),
      ON(driven, an_idle_stream_is_small),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
