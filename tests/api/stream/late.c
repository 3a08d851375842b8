/* SPDX-License-Identifier: BSD-3-Clause */
/* What a callback does late in a turn, behind the look at what it has changed, is done all the same: no event follows that
 * would make up for it. And nothing goes twice, or to one that has ended, when the callback is a release function in the
 * middle of sending. */
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { ANSWER = 50, GO_ON = 5 };
static const char answer[ANSWER] = "answer";

static void take(struct fixture *f, int fd, size_t expected) {
  size_t got = 0;
  AWAIT(f, (got += drain(fd, NULL)) >= expected);
  fixture_settle(f);
  assert_int_equal(got + drain(fd, NULL), expected);
}

/* Open, and no event of its beginning is to come any more. */
static void settle_open(struct party *p, int fd) {
  party_add(p, fd);
  AWAIT(p->f, p->opened == 1);
  fixture_settle(p->f);
}

static void finish(struct party *p, int fd) {
  fixture_close(p->f, fd);
  AWAIT(p->f, p->closed == 1);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void on_open_pause(torque_source stream, void *arg) {
  struct party *p = arg;
  p->stream = stream;
  if (torque_stream_pause(stream)) p->strange++;
  p->opened++;
}

static void on_hangup_answer(torque_source stream, void *arg) {
  struct party *p = arg;
  p->hung_up++;
  if (torque_stream_write(stream, answer, ANSWER)) p->strange++;
}

static void hangup_answers(struct fixture *f, struct torque_layer_type *layer) {
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_stream_type_set_open(p->type, on_open_pause), 0);
  assert_int_equal(torque_stream_type_set_hangup(p->type, on_hangup_answer), 0);
  if (layer) assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  if (layer) torque_layer_type_free(layer);
  settle_open(p, fd[1]);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  take(f, fd[0], ANSWER);
  assert_int_equal(p->hung_up, 1);
  assert_int_equal(torque_stream_abort(p->stream), 0);
  finish(p, fd[0]);
}

static void what_hangup_writes_is_sent(void **state) { hangup_answers(*state, NULL); }
static void what_hangup_writes_through_a_layer_is_sent(void **state) { hangup_answers(*state, layer_xor(7)); }

static size_t on_data_pause(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  p->calls++;
  if (torque_stream_pause(stream)) p->strange++;
  return length;
}

static void on_end_answer(torque_source stream, void *arg) {
  struct party *p = arg;
  p->ended++;
  if (torque_stream_write(stream, answer, ANSWER)) p->strange++;
}

/* Less than the low mark is told when the end is read; who pauses then is told the end later, without a read. */
static void say_little_and_end(struct party *p, int fd) {
  say(fd, 5);
  assert_int_equal(shutdown(fd, SHUT_WR), 0);
  AWAIT(p->f, p->calls == 1);
}

static void what_end_writes_is_sent(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, on_data_pause, on_end_answer);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_stream_type_set_input(p->type, 100, 200), 0);
  settle_open(p, fd[1]);
  say_little_and_end(p, fd[0]);
  fixture_settle(f);
  assert_int_equal(p->ended, 0);
  assert_int_equal(torque_stream_resume(p->stream), 0);
  take(f, fd[0], ANSWER);
  assert_int_equal(p->ended, 1);
  assert_int_equal(torque_stream_close(p->stream), 0);
  finish(p, fd[0]);
}

static void on_hangup_resume(torque_source stream, void *arg) {
  struct party *p = arg;
  p->hung_up++;
  if (torque_stream_resume(stream)) p->strange++;
}

static void hangup_that_resumes_is_told_the_end(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, on_data_pause, on_end_answer);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_stream_type_set_input(p->type, 100, 200), 0);
  assert_int_equal(torque_stream_type_set_hangup(p->type, on_hangup_resume), 0);
  settle_open(p, fd[1]);
  say_little_and_end(p, fd[0]);
  AWAIT(f, p->ended == 1);
  take(f, fd[0], ANSWER);
  assert_int_equal(p->hung_up, 1);
  assert_int_equal(torque_stream_close(p->stream), 0);
  finish(p, fd[0]);
}

static size_t on_data_flush(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->calls++;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  if (torque_stream_flush(stream)) p->strange++;
  return length;
}

/* The turn ends with the budget: nothing is left to send, and the program writes above its mark no more. */
static void who_flushes_above_the_mark_goes_on(void **state) {
  struct fixture *f = *state;
  static const size_t budgets[] = {1, 500, 1024, 2048, 3000};
  for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
    struct party *p = party_new(f, on_data_flush, NULL);
    int fd[2];
    fixture_tcp(f, fd);
    assert_int_equal(torque_stream_type_set_budget(p->type, budgets[i]), 0);
    assert_int_equal(torque_stream_type_set_output(p->type, 0, 0), 0);
    say(fd[0], 4000);
    party_add(p, fd[1]);
    take(f, fd[0], 4000);
    assert_int_equal(p->drained, p->calls);
    finish(p, fd[0]);
  }
}

static void on_drain_write(torque_source stream, void *arg) {
  struct party *p = arg;
  if (p->drained++ < GO_ON && torque_stream_write(stream, answer, ANSWER)) p->strange++;
}

static void what_drain_writes_is_sent(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, on_data_flush, NULL);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_stream_type_set_output(p->type, 0, 10), 0);
  assert_int_equal(torque_stream_type_set_drain(p->type, on_drain_write), 0);
  settle_open(p, fd[1]);
  say(fd[0], ANSWER);
  take(f, fd[0], ANSWER + GO_ON * ANSWER);
  assert_int_equal(p->drained, GO_ON + 1);
  finish(p, fd[0]);
}

/* ---- Release functions ---- */

static torque_err end_by(int way, torque_source stream) {
  return way ? torque_stream_abort(stream) : torque_source_remove(stream);
}

static void on_release_remove(void *arg) {
  struct party *p = arg;
  if (p->aux++ == 0 && end_by(p->more != NULL, p->stream)) p->strange++;
}

static size_t on_data_lend(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  p->calls++;
  if (p->aux) p->strange++; /* it has ended */
  if (torque_stream_write_ref(stream, answer, 10, on_release_remove, p)) p->strange++;
  return length;
}

/* Messages of their own, so that more is there to be read when the first answer is sent. */
static void who_is_ended_by_a_release_is_told_no_more(void **state) {
  struct fixture *f = *state;
  for (int way = 0; way < 2; way++) {
    struct party *p = party_new(f, on_data_lend, NULL);
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    fixture_own(f, fd[0]);
    fixture_own(f, fd[1]);
    p->more = way ? p : NULL;
    settle_open(p, fd[1]);
    for (int i = 0; i < 3; i++) say(fd[0], 100);
    AWAIT(f, p->closed == 1);
    assert_int_equal(p->aux, p->calls);
    assert_int_equal(p->err, way ? TORQUE_ERR_SYSCALL + ECANCELED : 0);
    finish(p, fd[0]);
  }
}

static void on_release_flush(void *arg) {
  struct party *p = arg;
  p->aux++;
  if (torque_stream_write(p->stream, "2", 1) || torque_stream_flush(p->stream)) p->strange++;
}

static size_t on_data_mix(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  p->calls++;
  if (torque_stream_write_ref(stream, "0", 1, on_release_flush, p) || torque_stream_write(stream, "1", 1)) p->strange++;
  return length;
}

static void a_release_may_write_and_flush(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, on_data_mix, NULL);
  char got[10];
  size_t n;
  int fd[2];
  fixture_tcp(f, fd);
  settle_open(p, fd[1]);
  say(fd[0], 1);
  AWAIT(f, p->aux == 1);
  AWAIT(f, (n = (size_t)recv(fd[0], got, sizeof got, MSG_DONTWAIT | MSG_PEEK)) == 3);
  assert_memory_equal(got, "012", 3);
  take(f, fd[0], 3);
  finish(p, fd[0]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(what_hangup_writes_is_sent),
      ON_EVERY(what_hangup_writes_through_a_layer_is_sent),
      ON_EVERY(what_end_writes_is_sent),
      ON_EVERY(hangup_that_resumes_is_told_the_end),
      ON_EVERY(who_flushes_above_the_mark_goes_on),
      ON_EVERY(what_drain_writes_is_sent),
      ON_EVERY(who_is_ended_by_a_release_is_told_no_more),
      ON_EVERY(a_release_may_write_and_flush),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
