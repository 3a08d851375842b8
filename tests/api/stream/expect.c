/* SPDX-License-Identifier: BSD-3-Clause */
/* Input in portions: exactly so many bytes, or up to a delimiter, however it was cut on its way; and the call again. */
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

/* A program that reads records; `more` of its party. */
struct reader {
  uint32_t step;       /* exactly so many */
  _Atomic uint32_t records;    /* told in full. Counted last: what was written down before can be looked at */
  _Atomic uint32_t short_ones; /* less */
  uint32_t body;       /* of the record under way; 0: its head is next */
  int in_body;
  char line[256];
  size_t most;
};

static struct party *reading(struct fixture *f, torque_stream_data_fn *data, torque_stream_open_fn *open,
                             struct reader **ret) {
  struct party *p = party_new(f, data, party_end);
  assert_int_equal(torque_stream_type_set_open(p->type, open), 0);
  p->more = *ret = fixture_take(f, sizeof **ret);
  return p;
}

static void opened(struct party *p, torque_source stream) {
  p->stream = stream;
  p->opened++;
}

static void finish(struct party *p, torque_err err) {
  AWAIT(p->f, p->closed);
  assert_int_equal(p->closed, 1);
  assert_int_equal(p->err, err);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void put_all(struct fixture *f, int fd, const void *data, size_t length) {
  const char *at = data;
  struct patience patience = patience_start();
  while (length) {
    const ssize_t n = send(fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      at += n;
      length -= (size_t)n;
    } else if (!fixture_step(f, &patience)) {
      fail();
    }
  }
}

static void open_exactly(torque_source stream, void *arg) {
  struct party *p = arg;
  const struct reader *r = p->more;
  opened(p, stream);
  if (torque_stream_expect(stream, r->step)) p->strange++;
}

static size_t take_exactly(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct reader *r = p->more;
  if (length < r->step) r->short_ones++;
  else r->records++;
  if (length > r->step) p->strange++;
  return party_take(stream, data, length, arg);
}

/* Cut into pieces of every size, with what is left told at the end. */
static void exactly(void **state) {
  struct fixture *f = *state;
  static const uint32_t steps[] = {1, 7, 4096, 100000};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    struct reader *r;
    struct party *p = reading(f, take_exactly, open_exactly, &r);
    assert_int_equal(torque_stream_type_set_input(p->type, 1, 5000), 0); /* smaller than what is expected */
    r->step = steps[i];
    int fd[2];
    fixture_tcp(f, fd);
    party_add(p, fd[1]);
    const size_t total = (size_t)r->step * 5 + r->step / 2;
    unsigned char *bytes = fixture_take(f, total);
    pattern_fill(bytes, 0, total);
    for (size_t at = 0, cut = 1; at < total; at += cut, cut = cut * 3 % 9973 + 1) {
      if (cut > total - at) cut = total - at;
      put_all(f, fd[0], bytes + at, cut);
      if (at < 1000) fixture_settle(f);
    }
    AWAIT(f, p->in == (uint64_t)r->step * 5);
    fixture_settle(f);
    assert_int_equal(r->records, 5);
    assert_int_equal(p->in, (uint64_t)r->step * 5);
    assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
    AWAIT(f, p->ended);
    assert_int_equal(p->in, total);
    assert_int_equal(r->short_ones, r->step / 2 ? 1 : 0);
    assert_int_equal(torque_stream_close(p->stream), 0);
    fixture_close(f, fd[0]);
    finish(p, 0);
  }
}

/* A head of four bytes with a length, and so many bytes. */
static void open_records(torque_source stream, void *arg) {
  struct party *p = arg;
  opened(p, stream);
  if (torque_stream_expect(stream, 4)) p->strange++;
}

static size_t take_records(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct reader *r = p->more;
  p->calls++;
  if (!r->in_body) {
    if (length != 4) p->strange++;
    memcpy(&r->body, data, 4);
    r->in_body = r->body != 0;
    if (!r->in_body) r->records++;
    if (torque_stream_expect(stream, r->in_body ? r->body : 4)) p->strange++;
  } else {
    if (length != r->body || !pattern_is(data, r->body, length)) p->strange++;
    r->in_body = 0;
    r->records++;
    if (torque_stream_expect(stream, 4)) p->strange++;
  }
  p->in += length;
  return length;
}

/* The same in one look: nothing is taken before all of it is there. */
static size_t take_whole_records(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct reader *r = p->more;
  uint32_t body;
  memcpy(&body, data, 4);
  p->calls++;
  if (!r->in_body && body) {
    if (length != 4) p->strange++;
    r->in_body = 1;
    if (torque_stream_expect(stream, 4 + (size_t)body)) p->strange++;
    return 0;
  }
  if (length != 4 + (size_t)body || !pattern_is((const char *)data + 4, body, body)) p->strange++;
  r->in_body = 0;
  r->records++;
  p->in += length;
  if (torque_stream_expect(stream, 4)) p->strange++;
  return length;
}

static void records_with(struct fixture *f, torque_stream_data_fn *data, struct torque_layer_type *layer, unsigned char key) {
  struct reader *r;
  struct party *p = reading(f, data, open_records, &r);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, 4096), 0);
  if (layer) assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  enum { RECORDS = 300, BODY_MOST = 70000 };
  size_t total = 0, at = 0;
  unsigned char *bytes = fixture_take(f, RECORDS * (size_t)(BODY_MOST / 2 + 4));
  for (uint32_t i = 0; i < RECORDS; i++) {
    const uint32_t body = i % 10 == 9 ? 0 : i == 150 ? BODY_MOST : i * 37 % 2000;
    memcpy(bytes + total, &body, 4);
    pattern_fill(bytes + total + 4, body, body);
    total += 4 + body;
  }
  for (size_t i = 0; i < total; i++) bytes[i] ^= key;
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  for (size_t cut = 1; at < total; at += cut, cut = cut * 7 % 4999 + 1) {
    if (cut > total - at) cut = total - at;
    put_all(f, fd[0], bytes + at, cut);
  }
  AWAIT(f, p->in == total);
  assert_int_equal(r->records, RECORDS);
  fixture_close(f, fd[0]);
  AWAIT(f, p->ended);
  assert_int_equal(torque_stream_close(p->stream), 0);
  finish(p, 0);
}

static void records(void **state) {
  records_with(*state, take_records, NULL, 0);
  records_with(*state, take_whole_records, NULL, 0);
}

static void records_through_a_layer(void **state) {
  struct torque_layer_type *layer = layer_xor(0x33);
  records_with(*state, take_records, layer, 0x33);
  records_with(*state, take_whole_records, layer, 0x33);
  torque_layer_type_free(layer);
}

static void open_lines(torque_source stream, void *arg) {
  struct party *p = arg;
  const struct reader *r = p->more;
  opened(p, stream);
  if (torque_stream_expect_until(stream, "\r\n", 2, r->most)) p->strange++;
}

static size_t take_lines(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct reader *r = p->more;
  (void)stream;
  const char *text = data;
  const int whole = length >= 2 && memcmp(text + length - 2, "\r\n", 2) == 0;
  if (length < sizeof r->line) {
    memcpy(r->line, data, length);
    r->line[length] = 0;
  }
  p->calls++;
  p->in += length;
  if (whole) {
    if (memmem(text, length - 1, "\r\n", 2)) p->strange++;
    r->records++;
  } else {
    if (memmem(text, length, "\r\n", 2)) p->strange++;
    r->short_ones++;
  }
  return length;
}

static void lines(void **state) {
  struct fixture *f = *state;
  struct reader *r;
  struct party *p = reading(f, take_lines, open_lines, &r);
  r->most = 64;
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  put_all(f, fd[0], "one\r\ntwo\r", 9);
  AWAIT(f, r->records == 1);
  assert_string_equal(r->line, "one\r\n");
  fixture_settle(f);
  assert_int_equal(r->records, 1);
  put_all(f, fd[0], "\n\r\n\r\r\n", 6); /* the delimiter was cut; an empty line; one that nearly began before */
  AWAIT(f, r->records == 4);
  assert_string_equal(r->line, "\r\r\n");
  for (int i = 0; i < 64; i++) {
    put_all(f, fd[0], "x", 1);
    if (i % 16 == 0) fixture_settle(f);
  }
  AWAIT(f, r->short_ones == 1); /* too long: as much as there may be */
  assert_int_equal(strlen(r->line), 64);
  put_all(f, fd[0], "yz\r\n", 4);
  AWAIT(f, r->records == 5);
  assert_string_equal(r->line, "yz\r\n");
  put_all(f, fd[0], "rest\r", 5);
  fixture_settle(f);
  assert_int_equal(r->short_ones, 1);
  fixture_close(f, fd[0]);
  AWAIT(f, p->ended);
  assert_int_equal(r->short_ones, 2);
  assert_string_equal(r->line, "rest\r");
  assert_int_equal(torque_stream_close(p->stream), 0);
  finish(p, 0);
}

/* A line of many pieces is found, and searched once. */
static void a_long_line(void **state) {
  struct fixture *f = *state;
  struct reader *r;
  struct party *p = reading(f, take_lines, open_lines, &r);
  enum { LONG = 3 << 20 };
  r->most = LONG + 2;
  char *bytes = fixture_take(f, LONG + 2);
  memset(bytes, '\r', LONG);
  memcpy(bytes + LONG - 1, "\r\n.", 3);
  int fd[2];
  fixture_tcp(f, fd);
  party_add(p, fd[1]);
  put_all(f, fd[0], bytes, LONG + 2);
  AWAIT(f, r->records == 1);
  assert_int_equal(p->in, LONG + 1);
  assert_int_equal(p->calls, 1);
  assert_int_equal(torque_source_remove_wait(p->stream), 0);
  finish(p, 0);
}

/* What was searched before a pipe took it says nothing of what comes when the pipe has ended. */
static void behind_a_pipe(void **state) {
  struct fixture *f = *state;
  struct reader *r;
  struct party *p = reading(f, take_lines, open_lines, &r), *other = party_new(f, party_take, NULL);
  r->most = 64;
  int fd[2], sink[2];
  char bytes[40];
  fixture_pair(f, fd);
  fixture_pair(f, sink);
  const torque_source line = party_add(p, fd[1]), to = party_add(other, sink[1]);
  put_all(f, fd[0], "a line that has no end so far, but a pipe", 40);
  AWAIT(f, p->opened);
  fixture_settle(f);
  assert_int_equal(torque_stream_pipe(line, to, TORQUE_PIPE_KEEP_OPEN, NULL, NULL), 0);
  for (size_t got = 0; got < sizeof bytes;) {
    ssize_t n = -1;
    AWAIT(f, (n = recv(sink[0], bytes, sizeof bytes - got, MSG_DONTWAIT)) > 0);
    got += (size_t)n;
  }
  assert_int_equal(torque_stream_unpipe(line), 0);
  fixture_settle(f);
  put_all(f, fd[0], "ab\r\ncd", 6);
  AWAIT(f, r->records == 1);
  assert_string_equal(r->line, "ab\r\n");
  assert_int_equal(p->calls, 1);
  fixture_close(f, fd[0]);
  AWAIT(f, p->ended);
  assert_int_equal(p->calls, 2);
  assert_string_equal(r->line, "cd");
  assert_int_equal(torque_source_remove_wait(line), 0);
  assert_int_equal(torque_source_remove_wait(to), 0);
  finish(p, 0);
  party_free(other);
}

/* ---- The last bytes, looked at and told once more ---- */

struct last {
  struct torque_stream_type *then; /* its next type; null: it expects anything */
  size_t takes;
  _Atomic size_t told[4];
};

static void open_last(torque_source stream, void *arg) {
  opened(arg, stream);
  if (torque_stream_expect(stream, 10)) ((struct party *)arg)->strange++;
}

static size_t look_and_take(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct last *l = p->more;
  (void)data;
  if (p->calls < 4) l->told[p->calls] = length;
  if (p->calls++) return length;
  if (l->then ? torque_stream_set_type(stream, l->then) : torque_stream_expect(stream, 0)) p->strange++;
  return l->takes;
}

/* The peer has ended, and less is there than was expected: what data leaves is told as it says then, before the end. */
static void the_last_as_it_says(void **state) {
  struct fixture *f = *state;
  for (int k = 0; k < 6; k++) {
    struct last *l = fixture_take(f, sizeof *l);
    struct party *p = party_new(f, look_and_take, party_end), *next = party_new(f, look_and_take, party_end);
    p->more = l;
    l->takes = (size_t)(k % 3);
    if (k < 3) {
      assert_int_equal(torque_stream_type_set_open(p->type, open_last), 0);
    } else {
      assert_int_equal(torque_stream_type_set_input(p->type, 10, 1000), 0);
      l->then = next->type;
    }
    int fd[2];
    fixture_pair(f, fd);
    const torque_source s = party_add(p, fd[1]);
    put_all(f, fd[0], "0123", 4);
    fixture_settle(f);
    assert_int_equal(p->calls, 0);
    fixture_close(f, fd[0]);
    AWAIT(f, p->ended);
    assert_int_equal(p->calls, 2);
    assert_int_equal(l->told[0], 4);
    assert_int_equal(l->told[1], 4 - l->takes);
    assert_int_equal(torque_source_remove_wait(s), 0);
    finish(p, 0);
    party_free(next);
  }
}

static void arguments(torque_source stream, void *arg) {
  struct party *p = arg;
  char long_one[33] = "";
  if (torque_stream_expect(stream, (size_t)1 << 31) != TORQUE_ERR_INVAL ||
      torque_stream_expect_until(stream, NULL, 1, 0) != TORQUE_ERR_INVAL ||
      torque_stream_expect_until(stream, "", 0, 0) != TORQUE_ERR_INVAL ||
      torque_stream_expect_until(stream, long_one, 33, 0) != TORQUE_ERR_INVAL ||
      torque_stream_expect_until(stream, long_one, 32, 31) != TORQUE_ERR_INVAL ||
      torque_stream_expect_until(stream, long_one, 32, 32) || torque_stream_expect(stream, 0))
    p->strange++;
  opened(p, stream);
}

/* Whatever there is, once it is expected no more. */
static void as_at_first(void **state) {
  struct fixture *f = *state;
  struct reader *r;
  struct party *p = reading(f, party_take, arguments, &r);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  AWAIT(f, p->opened);
  assert_int_equal(torque_stream_expect(s, 4), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_expect_until(s, "a", 1, 0), TORQUE_ERR_STATE);
  for (uint32_t i = 0; i < 10; i++) {
    assert_int_equal(pattern_put(fd[0], i, 1), 1);
    AWAIT(f, p->in == i + 1);
  }
  assert_int_equal(torque_source_remove_wait(s), 0);
  finish(p, 0);
}

/* Of each portion a part: the next begins where that ended. */
static size_t take_parts(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct reader *r = p->more;
  (void)stream;
  if (length != r->step || !pattern_is(data, p->in, length)) p->strange++;
  p->calls++;
  p->in += 3;
  return 3;
}

static void partial(void **state) {
  struct fixture *f = *state;
  struct reader *r;
  struct party *p = reading(f, take_parts, open_exactly, &r);
  r->step = 10;
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 1000), 1000);
  AWAIT(f, p->in == 993);
  fixture_settle(f);
  assert_int_equal(p->in, 993); /* seven are left */
  assert_int_equal(pattern_put(fd[0], 1000, 3), 3);
  AWAIT(f, p->in == 996);
  assert_int_equal(torque_source_remove_wait(s), 0);
  finish(p, 0);
}

/* Takes nothing and asks for another length each time, for ever: others have their turn. */
static size_t never_content(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  p->calls++;
  if (p->aux) return length;
  const torque_err err = torque_stream_expect(stream, 1 + p->calls % 5);
  if (err && err != TORQUE_ERR_STALE) p->strange++; /* removed from outside */
  return 0;
}

static void others_have_their_turn(void **state) {
  struct fixture *f = *state;
  struct reader *r;
  struct party *p = reading(f, never_content, open_records, &r), *q = party_new(f, party_take, party_end);
  int fd[2], other[2];
  fixture_pair(f, fd);
  fixture_pair(f, other);
  const torque_source s = party_add(p, fd[1]), t = party_add(q, other[1]);
  say(fd[0], 100);
  for (uint32_t i = 1; i <= 20; i++) {
    const uint32_t before = p->calls;
    assert_int_equal(pattern_put(other[0], q->in, 10), 10);
    AWAIT(f, q->in == 10 * i && p->calls > before);
  }
  p->aux = 1;
  assert_int_equal(torque_source_remove_wait(s), 0);
  assert_int_equal(torque_source_remove_wait(t), 0);
  finish(p, 0);
  finish(q, 0);
}

/* Asked to be called again: with the same, in the next round, without anything new. */
static size_t takes_one_and_again(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  if (!pattern_is(data, p->in, length)) p->strange++;
  p->calls++;
  p->in++;
  if (length > 1 && torque_postpone(stream)) p->strange++;
  return 1;
}

static void again(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, takes_one_and_again, party_end);
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 500), 500);
  AWAIT(f, p->in == 500);
  assert_int_equal(p->calls, 500);
  /* and what has not been told yet comes before the end */
  assert_int_equal(pattern_put(fd[0], 500, 300), 300);
  fixture_close(f, fd[0]);
  AWAIT(f, p->ended);
  assert_int_equal(p->in, 800);
  assert_int_equal(torque_stream_close(p->stream), 0);
  finish(p, 0);
}

/* One round, one call. */
static void again_in_the_next_round(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, takes_one_and_again, party_end);
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  AWAIT(f, p->opened);
  assert_int_equal(pattern_put(fd[0], 0, 50), 50);
  for (uint32_t i = 1; i <= 50; i++) {
    assert_int_equal(torque_run_once(f->ctx, 1000000000, NULL), 0);
    assert_int_equal(p->calls, i);
  }
  assert_int_equal(torque_source_remove_wait(p->stream), 0);
  finish(p, 0);
}

/* The peer resets, and there are bytes that were not told yet. */
static void again_before_a_reset(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, takes_one_and_again, party_end);
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  AWAIT(f, p->opened);
  char *unread = fixture_take(f, 4000);
  assert_int_equal(torque_stream_write(p->stream, unread, 4000), 0);
  struct patience patience = patience_start();
  while (recv(fd[0], unread, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
    if (!fixture_step(f, &patience)) fail();
  assert_int_equal(pattern_put(fd[0], 0, 200), 200);
  AWAIT(f, p->in == 200);
  assert_int_equal(pattern_put(fd[0], 200, 1), 1);
  AWAIT(f, p->in == 201);
  fixture_close(f, fd[0]); /* with what it has not read */
  finish(p, TORQUE_ERR_SYSCALL + ECONNRESET);
}

static void again_until_paused(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  if (err || torque_stream_pause(stream)) p->strange++;
  p->aux = 1;
}

static void again_and_paused(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, takes_one_and_again, party_end);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(pattern_put(fd[0], 0, 20000), 20000);
  AWAIT(f, p->in > 0);
  assert_int_equal(torque_stream_run(s, again_until_paused, p), 0);
  AWAIT(f, p->aux);
  const uint64_t before = p->in;
  fixture_settle(f);
  assert_int_equal(p->in, before);
  assert_int_equal(torque_stream_resume(s), 0);
  AWAIT(f, p->in == 20000);
  assert_int_equal(torque_source_remove_wait(s), 0);
  finish(p, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(exactly), ON_EVERY(records), ON_EVERY(records_through_a_layer), ON_EVERY(lines), ON_EVERY(a_long_line),
      ON_EVERY(behind_a_pipe), ON_EVERY(the_last_as_it_says),
      ON_EVERY(as_at_first), ON_EVERY(partial), ON_EVERY(others_have_their_turn), ON_EVERY(again),
      ON(driven, again_in_the_next_round), ON_EVERY(again_before_a_reset), ON_EVERY(again_and_paused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
