/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions in a stream's turn: what only its own callbacks may do works there, in order with what was written. */
#include "support/clients.h"
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

struct note {
  struct party *p;
  struct torque_stream_type *type;
  struct torque_layer_type *layer;
  _Atomic uint32_t ran, ended;
  _Atomic torque_err err;
  uint64_t at; /* of the pattern */
  const char *text;
};

static struct note *note_new(struct fixture *f, struct party *p) {
  struct note *n = fixture_take(f, sizeof *n);
  n->p = p;
  return n;
}

static void count(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  if (n->p->closed) n->p->strange++;
  if (!err == !torque_source_alive(stream) && err) n->p->strange++;
  n->err = err;
  if (err) n->ended++;
  else n->ran++;
}

static size_t take_nothing(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream, (void)data;
  p->calls++;
  p->aux = (uint32_t)length;
  return 0;
}

static void everything_works_there(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  const void *data;
  size_t length;
  int ok = !err && torque_stream_peek(stream, &data, &length) == 0 && length == 1000 && pattern_is(data, 0, 1000) &&
           torque_stream_consume(stream, 400) == 0 && torque_stream_peek(stream, &data, &length) == 0 && length == 600 &&
           torque_stream_write(stream, "x", 1) == 0 && torque_stream_flush(stream) == 0 &&
           torque_stream_set_arg(stream, n->p) == 0 && torque_stream_set_type(stream, n->type) == 0 &&
           torque_source_remove_wait(stream) == TORQUE_ERR_DEADLOCK;
  n->p->in = 400;
  if (!ok) n->p->strange++;
  n->ran++;
}

static void own_callback(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, take_nothing, party_end), *q = party_new(f, party_take, party_end);
  struct note *n = note_new(f, p);
  n->type = q->type;
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 1000), 1000);
  AWAIT(f, p->aux == 1000);
  assert_int_equal(torque_stream_consume(s, 1), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_run(s, everything_works_there, n), 0);
  AWAIT(f, n->ran == 1);
  char x;
  AWAIT(f, recv(fd[0], &x, 1, MSG_DONTWAIT) == 1);
  assert_int_equal(x, 'x');
  assert_int_equal(pattern_put(fd[0], 1000, 1000), 1000);
  AWAIT(f, p->in == 2000);
  assert_int_equal(torque_source_remove_wait(s), 0);
  assert_int_equal(p->strange, 0);
  party_free(p);
  party_free(q);
}

/* Even bytes are written by functions, odd ones by the thread. */
static void writes_one(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  const unsigned char c = (unsigned char)(n->at++ * 2);
  if (err || torque_stream_write(stream, &c, 1)) n->p->strange++;
  n->ran++;
}

static void in_order_with_writes(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct note *n = note_new(f, p);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  uint64_t got = 0;
  for (uint32_t i = 0; i < 1000; i++) {
    const unsigned char odd = (unsigned char)(2 * i + 1);
    assert_int_equal(torque_stream_run(s, writes_one, n), 0);
    assert_int_equal(torque_stream_write(s, &odd, 1), 0);
    if (i % 100) continue;
    fixture_settle(f);
  }
  assert_int_equal(torque_stream_shutdown(s), 0); /* behind all */
  int end = 0;
  struct patience patience = patience_start();
  while (!end) {
    unsigned char bytes[256];
    const ssize_t r = recv(fd[0], bytes, sizeof bytes, MSG_DONTWAIT);
    end = r == 0;
    for (ssize_t i = 0; i < r; i++, got++) assert_int_equal(bytes[i], (unsigned char)got);
    if (r < 0 && !fixture_step(f, &patience)) fail();
  }
  assert_int_equal(got, 2000);
  assert_int_equal(n->ran, 1000);
  assert_int_equal(p->strange, 0);
  assert_int_equal(torque_source_remove_wait(s), 0);
  party_free(p);
}

/* Each finds what was asked for before it, and not what was asked for after it. */
static void consumes_all(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  const void *data;
  size_t length;
  if (err || torque_stream_peek(stream, &data, &length)) n->p->strange++;
  if (torque_stream_resume(stream)) n->p->strange++;
  n->ran++;
}

static void in_order_with_pauses(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct note *n = note_new(f, p);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  for (uint32_t i = 0; i < 100; i++) {
    /* paused, resumed within the function: data are told */
    assert_int_equal(torque_stream_pause(s), 0);
    assert_int_equal(torque_stream_run(s, consumes_all, n), 0);
    assert_int_equal(pattern_put(fd[0], p->in, 10), 10);
    AWAIT(f, p->in == (uint64_t)i * 20 + 10);
    /* resumed in the function, paused after it: they are not */
    assert_int_equal(torque_stream_run(s, consumes_all, n), 0);
    assert_int_equal(torque_stream_pause(s), 0);
    assert_int_equal(torque_stream_run(s, count, n), 0);
    AWAIT(f, n->ran == 3 * i + 3); /* so it is paused by now */
    assert_int_equal(pattern_put(fd[0], p->in, 10), 10);
    fixture_settle(f);
    assert_int_equal(p->in, (uint64_t)i * 20 + 10);
    assert_int_equal(torque_stream_resume(s), 0);
    AWAIT(f, p->in == (uint64_t)i * 20 + 20);
  }
  assert_int_equal(p->strange, 0);
  assert_int_equal(torque_source_remove_wait(s), 0);
  party_free(p);
}

static void resumes_late(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  n->ended = 1;
  STAY_UNTIL(n->ended == 2);
  if (err || torque_stream_resume(stream)) n->p->strange++;
}

/* While the function runs, and so after it. */
static void paused_meanwhile(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct note *n = note_new(f, p);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_run(s, resumes_late, n), 0);
  AWAIT(f, n->ended == 1);
  assert_int_equal(torque_stream_pause(s), 0);
  n->ended = 2;
  assert_int_equal(pattern_put(fd[0], 0, 10), 10);
  for (uint32_t i = 1; i <= 5; i++) {
    assert_int_equal(torque_stream_run(s, count, n), 0);
    AWAIT(f, n->ran == i);
  }
  assert_int_equal(p->in, 0);
  assert_int_equal(torque_stream_resume(s), 0);
  AWAIT(f, p->in == 10);
  assert_int_equal(torque_source_remove_wait(s), 0);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void writes_late(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  if (err ? torque_stream_write(stream, "n", 1) != TORQUE_ERR_STALE : torque_stream_write(stream, "n", 1) != TORQUE_ERR_STATE)
    n->p->strange++;
  count(stream, err, n);
}

/* The callback stays until another thread has written and called, and closes then. */
static size_t closes_late(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  if (!p->aux) {
    struct note *n = p->more;
    if (torque_stream_write(stream, "1", 1) || torque_stream_run(stream, writes_late, n)) p->strange++;
    p->aux = 1;
    STAY_UNTIL(p->aux == 2 || p->f->shape->driven);
    if (n->ran) p->strange++; /* not before this returns */
    if (torque_stream_close(stream)) p->strange++;
  }
  return length;
}

static void own_close_with_functions_waiting(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, closes_late, party_end);
  struct note *n = note_new(f, p);
  p->more = n;
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  say(fd[0], 1);
  AWAIT(f, p->aux == 1);
  if (!f->shape->driven) {
    assert_int_equal(torque_stream_run(s, writes_late, n), 0);
    assert_int_equal(torque_stream_write(s, "23", 2), 0);
    p->aux = 2;
  }
  char bytes[8];
  int end = 0;
  size_t got = 0;
  AWAIT(f, (got += drain(fd[0], &end), end));
  (void)bytes;
  assert_int_equal(got, f->shape->driven ? 1 : 3);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(n->ran + n->ended, f->shape->driven ? 1 : 2);
  assert_int_equal(p->strange, 0);
  assert_int_equal(p->err, 0);
  party_free(p);
}

/* What was accepted before a function ends the stream is sent, in order, and nothing else. */
static void shuts_down(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  if (err || torque_stream_shutdown(stream) || torque_stream_write(stream, "n", 1) != TORQUE_ERR_STATE) n->p->strange++;
  n->ran++;
}

static void ended_by_a_function(void **state) {
  struct fixture *f = *state;
  for (int round = 0; round < FEWER(200); round++) {
    struct party *p = party_new(f, party_take, party_end);
    struct note *n = note_new(f, p);
    int fd[2];
    fixture_pair(f, fd);
    const torque_source s = party_add(p, fd[1]);
    uint64_t sent = 0, got = 0;
    unsigned char c = pattern_at(sent);
    for (int i = 0; i < 3; i++, c = pattern_at(++sent)) assert_int_equal(torque_stream_write(s, &c, 1), 0);
    assert_int_equal(torque_stream_run(s, shuts_down, n), 0);
    while (sent < 10000 && torque_stream_write(s, &c, 1) == 0) c = pattern_at(++sent);
    AWAIT(f, n->ran == 1);
    AWAIT(f, pattern_check(fd[0], &got) && got == sent);
    fixture_close(f, fd[0]);
    AWAIT(f, p->closed);
    assert_int_equal(p->strange, 0);
    party_free(p);
  }
}

static void aborts(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  if (err || torque_stream_abort(stream)) n->p->strange++;
  n->ran++;
}

/* Those behind it are told that it is over, before close. */
static void ended_in_one(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct note *n = note_new(f, p), *m = note_new(f, p);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_write(s, "a", 1), 0);
  assert_int_equal(torque_stream_run(s, aborts, n), 0);
  uint32_t accepted = 0;
  for (int i = 0; i < 500; i++) {
    (void)torque_stream_write(s, "b", 1);
    accepted += torque_stream_run(s, count, m) == 0;
  }
  AWAIT(f, p->closed);
  assert_int_equal(n->ran, 1);
  assert_int_equal(m->ran, 0);
  assert_int_equal(m->ended, accepted);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ECANCELED);
  assert_int_equal(torque_stream_run(s, count, m), TORQUE_ERR_STALE);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void *asker(void *arg) {
  struct note *n = arg;
  const torque_source s = n->p->stream;
  while (!n->p->f->quit && !n->p->closed) {
    if (torque_stream_run(s, count, n)) break;
    n->at++;
    if (n->at > 500 && n->at % 64 == 0) nap();
  }
  return NULL;
}

/* Any number of threads, data both ways, and a removal from outside: each accepted call was told once. */
static void removed_meanwhile(void **state) {
  struct fixture *f = *state;
  for (int round = 0; round < FEWER(20) + 1; round++) {
    struct party *p = party_new(f, party_take, party_end);
    struct note *n[3];
    int fd[2];
    fixture_pair(f, fd);
    party_add(p, fd[1]);
    AWAIT(f, p->opened);
    for (int i = 0; i < 3; i++) fixture_thread(f, asker, n[i] = note_new(f, p));
    for (int i = 0; i < 20; i++) {
      const uint64_t sent = pattern_put(fd[0], p->in, 100);
      AWAIT(f, p->in % 100 == 0 && sent == 100);
      AWAIT(f, p->in == (uint64_t)(i + 1) * 100);
    }
    if (round % 2) assert_int_equal(torque_source_remove_wait(p->stream), 0);
    else assert_int_equal(torque_stream_abort(p->stream), 0);
    AWAIT(f, p->closed);
    fixture_join(f);
    for (int i = 0; i < 3; i++) assert_int_equal(n[i]->ran + n[i]->ended, n[i]->at);
    assert_int_equal(p->strange, 0);
    fixture_close(f, fd[0]);
    party_free(p);
  }
}

static void stopped(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct note *n = note_new(f, p);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  for (int i = 0; i < 100; i++) assert_int_equal(torque_source_run(s, count, n), 0);
  fixture_stop(f);
  assert_int_equal(n->ran + n->ended, 100);
  if (n->ended) assert_int_equal(n->err, TORQUE_ERR_STOPPED);
  assert_int_equal(p->closed, 1);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* Also before the connection stands; not before the start; and not of other sources. */
static void before_open(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct note *n = note_new(f, p);
  struct torque_layer_type *handshake = layer_handshake();
  assert_int_equal(torque_stream_type_add_layer(p->type, handshake), 0);
  torque_layer_type_free(handshake);
  int fd[2];
  fixture_pair(f, fd);
  torque_source s;
  fixture_disown(f, fd[1]);
  assert_int_equal(torque_stream_new(f->ctx, fd[1], p->type, p, &s), 0);
  assert_int_equal(torque_stream_run(s, count, n), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_run(s, NULL, n), TORQUE_ERR_INVAL);
  assert_int_equal(torque_source_start(s), 0);
  n->at = 'a' / 2;
  assert_int_equal(torque_stream_run(s, count, n), 0);
  AWAIT(f, n->ran == 1);
  assert_int_equal(p->opened, 0);
  assert_int_equal(torque_stream_run(s, writes_one, n), 0);
  AWAIT(f, n->ran == 2);
  assert_int_equal(send(fd[0], GREETING, strlen(GREETING), MSG_NOSIGNAL), (ssize_t)strlen(GREETING));
  AWAIT(f, p->opened);
  size_t got = 0;
  AWAIT(f, (got += drain(fd[0], NULL), got == strlen(GREETING) + 1));
  assert_int_equal(torque_source_remove_wait(s), 0);
  torque_source event;
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, NULL, NULL, &event), TORQUE_ERR_INVAL);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void pushes(torque_source stream, torque_err err, void *arg) {
  struct note *n = arg;
  if (err || torque_stream_push_layer(stream, n->layer)) n->p->strange++;
  n->ran++;
}

static void a_layer_is_pushed(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct note *n = note_new(f, p);
  n->layer = layer_xor(0x5a);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 100), 100);
  AWAIT(f, p->in == 100);
  assert_int_equal(torque_stream_run(s, pushes, n), 0);
  AWAIT(f, p->opened == 2);
  unsigned char bytes[100];
  pattern_fill(bytes, 100, 100);
  for (int i = 0; i < 100; i++) bytes[i] ^= 0x5a;
  assert_int_equal(send(fd[0], bytes, 100, MSG_NOSIGNAL), 100);
  AWAIT(f, p->in == 200);
  assert_int_equal(torque_source_remove_wait(s), 0);
  assert_int_equal(p->strange, 0);
  torque_layer_type_free(n->layer);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(own_callback), ON_EVERY(in_order_with_writes), ON_EVERY(in_order_with_pauses), ON_THREADED(paused_meanwhile),
      ON_EVERY(own_close_with_functions_waiting), ON_EVERY(ended_in_one), ON_EVERY(ended_by_a_function), ON_THREADED(removed_meanwhile),
      ON_EVERY(stopped), ON_EVERY(before_open), ON_EVERY(a_layer_is_pushed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
