/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams that other threads write to, pause, resume, ask and end while they talk: each is opened at most once, closed
 * exactly once and last, tells its bytes in order, and takes with it all it had. */
#include "support/child.h"
#include "support/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { PLACES = 40, MEDDLERS = 3, ROUNDS = FEWER(20000) };

/* Each place has one stream after another; the peer of each is a stream, too. */
struct talk {
  struct market *m;
  uint64_t in;         /* of the callbacks */
  uint32_t opened, inside;
  _Atomic uint32_t closed;
};

struct market {
  struct fixture *f;
  struct torque_stream_type *type;
  _Atomic torque_source place[PLACES];
  _Atomic uint64_t made, closed, strange, bytes, lent, back;
  _Atomic uint64_t seed;
};

static void enter(struct talk *t) {
  if (t->inside++ || t->closed) t->m->strange++;
}

static void on_open(torque_source stream, void *arg) {
  struct talk *t = arg;
  enter(t);
  if (t->opened++) t->m->strange++;
  unsigned char bytes[3000];
  pattern_fill(bytes, 0, sizeof bytes);
  (void)torque_stream_write(stream, bytes, sizeof bytes);
  t->inside--;
}

/* The first bytes are the other side's pattern; what meddlers write between is zeros. */
static size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct talk *t = arg;
  enter(t);
  if (!t->opened) t->m->strange++;
  t->in += length;
  t->m->bytes += length;
  if (length < 20000 && torque_stream_write(stream, data, length / 2)) (void)0;
  t->inside--;
  return length - (length > 100 ? length % 3 : 0);
}

static void on_end(torque_source stream, void *arg) {
  struct talk *t = arg;
  enter(t);
  (void)torque_stream_shutdown(stream);
  t->inside--;
}

static void on_drain(torque_source stream, void *arg) {
  struct talk *t = arg;
  (void)stream;
  enter(t);
  t->inside--;
}

static void on_close(torque_source stream, torque_err err, void *arg) {
  struct talk *t = arg;
  struct market *m = t->m;
  (void)err;
  enter(t);
  if (torque_source_alive(stream) || torque_stream_write(stream, "x", 1) != TORQUE_ERR_STALE) m->strange++;
  free(t);
  m->closed++;
}

static void given_back(void *arg) { ((struct market *)arg)->back++; }

static torque_source make(struct market *m, int fd) {
  struct talk *t = calloc(1, sizeof *t);
  t->m = m;
  torque_source s = 0;
  m->made++;
  if (torque_stream_add(m->f->ctx, fd, m->type, t, &s)) {
    close(fd);
    free(t);
    m->closed++;
  }
  return s;
}

static void renew(struct market *m, uint32_t i) {
  int fd[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd)) return;
  m->place[i] = make(m, fd[0]);
  m->place[(i + 1) % PLACES] = make(m, fd[1]);
}

static void *meddle(void *arg) {
  struct market *m = arg;
  static const char zeros[30000];
  uint64_t seed = atomic_fetch_add(&m->seed, 7919) + 7919;
  for (uint32_t i = 0; i < ROUNDS && !m->f->quit; i++) {
    const uint64_t x = next_random(&seed);
    const uint32_t where = (uint32_t)(x % PLACES);
    const torque_source s = m->place[where];
    torque_err err = 0;
    uint64_t pending;
    switch ((x >> 20) % 16) {
      case 0: err = torque_stream_pause(s); break;
      case 1:
      case 2: err = torque_stream_resume(s); break;
      case 3: err = torque_stream_shutdown(s); break;
      case 4: err = torque_stream_close(s); break;
      case 5: err = torque_stream_abort(s); break;
      case 6: err = torque_source_remove(s); break;
      case 7: err = torque_source_remove_wait(s); break;
      case 8: err = torque_stream_pending(s, &pending); break;
      case 9:
        m->lent++;
        err = torque_stream_write_ref(s, zeros, (x >> 30) % sizeof zeros + 1, given_back, m);
        if (err) m->lent--;
        break;
      default: err = torque_stream_write(s, zeros, (x >> 30) % sizeof zeros); break;
    }
    if (err && err != TORQUE_ERR_STALE && err != TORQUE_ERR_STATE) m->strange++;
    if (err == TORQUE_ERR_STALE) renew(m, where);
  }
  return NULL;
}

static void meddled_with(void **state) {
  struct fixture *f = *state;
  struct market *m = fixture_take(f, sizeof *m);
  m->f = f;
  m->seed = 1;
  assert_int_equal(torque_stream_type_new(&m->type), 0);
  assert_int_equal(torque_stream_type_set_open(m->type, on_open), 0);
  assert_int_equal(torque_stream_type_set_data(m->type, on_data), 0);
  assert_int_equal(torque_stream_type_set_end(m->type, on_end), 0);
  assert_int_equal(torque_stream_type_set_drain(m->type, on_drain), 0);
  assert_int_equal(torque_stream_type_set_close(m->type, on_close), 0);
  assert_int_equal(torque_stream_type_set_output(m->type, 10000, 40000), 0);
  assert_int_equal(torque_stream_type_set_linger(m->type, 3000000), 0);
  assert_int_equal(torque_stream_type_set_limit(m->type, TORQUE_STREAM_IDLE_TIMEOUT, 20000000), 0);
  for (uint32_t i = 0; i < PLACES; i += 2) renew(m, i);
  for (int i = 0; i < MEDDLERS; i++) fixture_thread(f, meddle, m);
  fixture_join(f);
  AWAIT(f, m->closed == m->made); /* what is left is idle, and ends for that */
  AWAIT(f, m->lent == m->back);
  assert_int_equal(m->strange, 0);
  assert_true(m->bytes > 0);
  torque_stream_type_free(m->type);
}

/* As many streams as there are descriptors for, and the memory of all of them given back. */
static int crowd = SANITIZED ? 3000 : 9500;

static int as_many_as_may_be(void **state) {
  struct rlimit limit;
  (void)state;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max < MOST_DESCRIPTORS ? limit.rlim_max : MOST_DESCRIPTORS;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  const int pairs = (int)limit.rlim_cur / 2 - 200;
  if (crowd > pairs) crowd = pairs;
  return crowd > 100 ? 0 : -1;
}

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  (void)arg;
  return torque_stream_write(stream, data, length) ? 0 : length;
}

static void a_crowd(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, echo, NULL), *q = party_new(f, NULL, NULL);
  int(*fd)[2] = fixture_take(f, (size_t)crowd * sizeof *fd);
  torque_source *s = fixture_take(f, (size_t)crowd * sizeof *s);
  for (int i = 0; i < crowd; i++) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd[i]), 0);
    fixture_own(f, fd[i][0]);
    fixture_own(f, fd[i][1]);
    s[i] = party_add(p, fd[i][0]);
  }
  for (uint64_t round = 0; round < 5; round++) {
    for (int i = 0; i < crowd; i++) assert_int_equal(pattern_put(fd[i][1], round * 100, 100), 100);
    for (int i = 0; i < crowd; i++) {
      uint64_t at = round * 100;
      AWAIT(f, pattern_check(fd[i][1], &at) && at == (round + 1) * 100);
    }
  }
  for (int i = 0; i < crowd; i++) {
    if (i % 3 == 0) assert_int_equal(torque_stream_close(s[i]), 0);
    fixture_close(f, fd[i][1]);
  }
  AWAIT(f, p->closed == (uint32_t)crowd);
  assert_int_equal(p->strange, 0);
  party_free(p);
  party_free(q);
}

static const struct shape shape_crowd = {.name = "crowd", .synthetic = "pack:1 l3:2 core:4 pu:1", .counted = 1};

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, meddled_with), ON(crowd, meddled_with), ON(driven, meddled_with), ON(crowd, a_crowd), ON(driven, a_crowd),
  };
  return cmocka_run_group_tests(tests, as_many_as_may_be, NULL);
}
