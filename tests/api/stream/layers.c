/* SPDX-License-Identifier: BSD-3-Clause */
/* A layer that a program writes may do all that layers may, anywhere among others: nothing is lost, doubled or told out
 * of order, and each end is told once. */
#include "support/layers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/streams.h"

static void with(struct party *p, struct torque_layer_type *layer) {
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
}

/* Two streams that talk to each other through the same layers. */
struct talk {
  struct party *a, *b;
  torque_source from, to;
};

static struct talk talk_start(struct fixture *f, struct party *a, struct party *b) {
  int fd[2];
  struct talk t = {.a = a, .b = b};
  fixture_pair(f, fd);
  t.from = party_add(a, fd[0]);
  t.to = party_add(b, fd[1]);
  return t;
}

static void talk_end(struct fixture *f, struct talk *t) {
  AWAIT(f, t->a->closed && t->b->closed);
  assert_int_equal(t->a->closed, 1);
  assert_int_equal(t->b->closed, 1);
  assert_int_equal(t->a->strange + t->b->strange, 0);
  party_free(t->a);
  party_free(t->b);
}

/* Writes `all` bytes of the pattern in pieces of any size, without ever having more than half a MiB under way. */
static void write_pattern(struct fixture *f, struct talk *t, uint64_t all) {
  static unsigned char bytes[70000];
  unsigned seed = 7;
  uint64_t sent = 0;
  struct patience patience = patience_start();
  while (t->b->in < all) {
    if (sent < all && sent - t->b->in < (512 << 10)) {
      size_t n = 1 + (unsigned)rand_r(&seed) % (rand_r(&seed) % 16 ? 300 : sizeof bytes);
      if (n > all - sent) n = all - sent;
      pattern_fill(bytes, sent, n);
      assert_int_equal(torque_stream_write(t->from, bytes, n), 0);
      sent += n;
    }
    assert_true(fixture_step(f, &patience));
  }
}

static void one_upon_another(void **state) {
  struct fixture *f = *state;
  struct party *p[2];
  for (int i = 0; i < 2; i++) {
    p[i] = party_new(f, party_take, NULL);
    with(p[i], layer_xor(0x5a));
    with(p[i], layer_handshake());
    with(p[i], layer_frames());
    with(p[i], layer_hold());
    with(p[i], layer_xor(0xc3));
    with(p[i], layer_handshake());
    with(p[i], layer_frames());
    with(p[i], layer_xor(0x01));
  }
  struct talk t = talk_start(f, p[0], p[1]);
  write_pattern(f, &t, FEWER(4 << 20));
  assert_int_equal(torque_stream_close(t.from), 0);
  talk_end(f, &t);
  assert_int_equal(p[0]->err, 0);
  assert_int_equal(p[1]->err, 0);
  assert_int_equal(p[1]->opened, 1);
}

/* Any cut of handshake, frames and their heads. */
static void any_cut(void **state) {
  struct fixture *f = *state;
  unsigned char text[sizeof GREETING + 64];
  size_t length = strlen(GREETING);
  memcpy(text, GREETING, length);
  for (uint64_t at = 0; at < 20; at += 5) {
    memcpy(text + length, "\0\0\0\5", 4);
    pattern_fill(text + length + 4, at, 5);
    length += 9;
  }
  for (size_t cut = 0; cut <= length; cut++) {
    struct party *p = party_new(f, party_take, NULL);
    with(p, layer_handshake());
    with(p, layer_frames());
    int fd[2];
    fixture_pair(f, fd);
    party_add(p, fd[1]);
    if (cut == 0) { /* every byte alone */
      for (size_t i = 0; i < length; i++) {
        assert_int_equal(send(fd[0], text + i, 1, 0), 1);
        fixture_settle(f);
      }
    } else {
      assert_int_equal(send(fd[0], text, cut, 0), cut);
      fixture_settle(f);
      if (cut < length) assert_int_equal(send(fd[0], text + cut, length - cut, 0), length - cut);
    }
    AWAIT(f, p->in == 20);
    assert_int_equal(p->opened, 1);
    assert_int_equal(p->strange, 0);
    assert_int_equal(shutdown(fd[0], SHUT_WR), 0); /* its greeting is not read: to close would be a reset */
    AWAIT(f, p->closed);
    assert_int_equal(p->err, 0);
    fixture_close(f, fd[0]);
    party_free(p);
  }
}

static void cut_off_in_a_frame(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  with(p, layer_frames());
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  assert_int_equal(send(fd[0], "\0\0\0\5abc", 7, 0), 7);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + EPIPE);
  assert_int_equal(p->in, 0);
  assert_int_equal(p->ended, 0);
  party_free(p);
}

/* What a handshake says must go through a layer below that holds it back. */
static void handshake_over_one_that_holds(void **state) {
  struct fixture *f = *state;
  struct party *p[2];
  for (int i = 0; i < 2; i++) {
    p[i] = party_new(f, party_take, NULL);
    with(p[i], layer_hold());
    with(p[i], layer_handshake());
  }
  struct talk t = talk_start(f, p[0], p[1]);
  AWAIT(f, p[0]->opened && p[1]->opened);
  write_pattern(f, &t, 1000);
  assert_int_equal(torque_stream_close(t.from), 0);
  talk_end(f, &t);
}

/* Asked for before the handshake is over, the end comes after it, and after what was written. */
static void close_before_ready(void **state) {
  struct fixture *f = *state;
  struct party *a = party_new(f, party_take, NULL), *b = party_new(f, party_take, NULL);
  with(a, layer_handshake());
  int fd[2];
  unsigned char bytes[100];
  pattern_fill(bytes, 0, sizeof bytes);
  fixture_pair(f, fd);
  const torque_source s = party_add(a, fd[0]);
  assert_int_equal(torque_stream_write(s, bytes, sizeof bytes), 0);
  assert_int_equal(torque_stream_close(s), 0);
  fixture_settle(f);
  assert_int_equal(a->closed, 0);
  with(b, layer_handshake());
  party_add(b, fd[1]);
  AWAIT(f, a->closed && b->closed);
  assert_int_equal(a->err, 0);
  assert_int_equal(b->err, 0);
  assert_int_equal(a->opened, 0);
  assert_int_equal(b->in, sizeof bytes);
  assert_int_equal(b->strange, 0);
  party_free(a);
  party_free(b);
}

static void answer_and_close(torque_source stream, void *arg) {
  struct party *p = arg;
  unsigned char bytes[100];
  pattern_fill(bytes, 0, sizeof bytes);
  if (torque_stream_write(stream, bytes, sizeof bytes) || torque_stream_close(stream)) p->strange++;
}

static void shutdown_before_ready(void **state) {
  struct fixture *f = *state;
  struct party *a = party_new(f, party_take, NULL), *b = party_new(f, party_take, answer_and_close);
  with(a, layer_handshake());
  with(b, layer_handshake());
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(a, fd[0]);
  assert_int_equal(torque_stream_shutdown(s), 0);
  fixture_settle(f);
  party_add(b, fd[1]);
  AWAIT(f, a->closed && b->closed);
  assert_int_equal(a->err, 0);
  assert_int_equal(b->err, 0);
  assert_int_equal(a->in, 100);
  assert_int_equal(a->opened, 1);
  party_free(a);
  party_free(b);
}

/* ---- A layer that answers an error at one of its steps, and counts them all ---- */

enum { OPEN, START, RECEIVE, SEND, FLUSH, END, ENDED, CLOSE, STEPS };

struct steps {
  int fails;
  _Atomic int count[STEPS];
};
static struct steps steps;
#define STEP_ERR (TORQUE_ERR_SYSCALL + EBADMSG)

static torque_err step(int which) {
  steps.count[which]++;
  return which == steps.fails ? STEP_ERR : 0;
}

static torque_err step_open(struct torque_layer *layer, void *arg, void **ret_state) {
  (void)layer, (void)arg;
  *ret_state = NULL;
  return step(OPEN);
}
static void step_close(void *s) {
  (void)s;
  step(CLOSE);
}
static torque_err step_start(struct torque_layer *layer, void *s) {
  (void)s;
  torque_layer_ready(layer);
  return step(START);
}
static torque_err step_receive(struct torque_layer *layer, void *s, const void *data, size_t length, size_t *ret) {
  (void)s, (void)ret;
  if (step(RECEIVE)) return STEP_ERR;
  (void)torque_layer_up(layer, data, length);
  return 0;
}
static torque_err step_send(struct torque_layer *layer, void *s, const void *data, size_t length) {
  (void)s;
  return step(SEND) ? STEP_ERR : torque_layer_down(layer, data, length);
}
static torque_err step_flush(struct torque_layer *layer, void *s) {
  (void)s, (void)layer;
  return step(FLUSH);
}
static torque_err step_end(struct torque_layer *layer, void *s) {
  (void)s, (void)layer;
  return step(END);
}
static torque_err step_ended(struct torque_layer *layer, void *s) {
  (void)s, (void)layer;
  return step(ENDED);
}

static struct torque_layer_type *layer_steps(int fails) {
  struct torque_layer_type *type;
  memset(&steps, 0, sizeof steps);
  steps.fails = fails;
  assert_int_equal(torque_layer_type_new(&type), 0);
  assert_int_equal(torque_layer_type_set_open(type, step_open), 0);
  assert_int_equal(torque_layer_type_set_close(type, step_close), 0);
  assert_int_equal(torque_layer_type_set_start(type, step_start), 0);
  assert_int_equal(torque_layer_type_set_receive(type, step_receive), 0);
  assert_int_equal(torque_layer_type_set_send(type, step_send), 0);
  assert_int_equal(torque_layer_type_set_flush(type, step_flush), 0);
  assert_int_equal(torque_layer_type_set_end(type, step_end), 0);
  assert_int_equal(torque_layer_type_set_ended(type, step_ended), 0);
  return type;
}

static size_t answer(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

static void errors_of_every_step(void **state) {
  struct fixture *f = *state;
  for (int fails = OPEN; fails <= STEPS; fails++) {
    for (int above = 0; above < 2; above++) {
      struct party *p = party_new(f, answer, NULL);
      if (above) with(p, layer_frames());
      with(p, layer_steps(fails));
      int fd[2];
      fixture_pair(f, fd);
      torque_source s = 0;
      if (fails == OPEN) {
        assert_int_equal(torque_stream_add(f->ctx, fd[1], p->type, p, &s), STEP_ERR);
        assert_int_equal(steps.count[CLOSE], 0);
        assert_int_equal(p->closed, 0);
      } else {
        party_add(p, fd[1]);
        const char *text = above ? "\0\0\0\3abc" : "abc";
        assert_int_equal(send(fd[0], text, above ? 7 : 3, 0), above ? 7 : 3);
        assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
        AWAIT(f, p->closed);
        assert_int_equal(p->err, fails < CLOSE ? STEP_ERR : 0);
        assert_int_equal(p->closed, 1);
        assert_int_equal(steps.count[CLOSE], 1);
        assert_int_equal(p->opened, fails != START);
        for (int i = OPEN; i < STEPS; i++) assert_true(steps.count[i] <= 1);
      }
      party_free(p);
      fixture_close(f, fd[0]);
    }
  }
}

/* Not ready, and nothing comes any more: with an `ended` that sees nothing wrong as well. */
static torque_err never_ready(struct torque_layer *layer, void *s) {
  (void)layer, (void)s;
  return 0;
}

static void ends_during_the_handshake(void **state) {
  struct fixture *f = *state;
  for (int own = 0; own < 2; own++) {
    struct party *p = party_new(f, party_take, party_end);
    struct torque_layer_type *layer = layer_steps(-1);
    assert_int_equal(torque_layer_type_set_start(layer, never_ready), 0);
    if (!own) assert_int_equal(torque_layer_type_set_ended(layer, NULL), 0);
    with(p, layer);
    int fd[2];
    fixture_pair(f, fd);
    party_add(p, fd[1]);
    fixture_close(f, fd[0]);
    AWAIT(f, p->closed);
    assert_int_equal(p->err, TORQUE_ERR_SYSCALL + EPIPE);
    assert_int_equal(p->opened + p->ended, 0);
    party_free(p);
  }
}

/* ---- Room ---- */

static size_t take_with_pauses(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  const unsigned char *bytes = data;
  for (size_t i = 0; i < length; i++) p->strange += bytes[i] != 'x';
  p->in += length;
  if (torque_stream_pause(stream)) p->strange++;
  p->calls++; /* last: then the test resumes */
  return length;
}

/* A byte becomes ten million; the program is never told more at once than the marks allow, and loses none. */
static void stops_and_goes_on(void **state) {
  struct fixture *f = *state;
  const uint64_t all = FEWER(10000000);
  struct party *p = party_new(f, take_with_pauses, NULL);
  assert_int_equal(torque_stream_type_set_input(p->type, 1, 100000), 0);
  with(p, layer_grow((uint32_t)all));
  with(p, layer_xor(0));
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(send(fd[0], "x", 1, 0), 1);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  struct patience patience = patience_start();
  for (uint32_t calls = 0; p->in < all;) {
    const uint64_t before = p->in;
    while (p->calls == calls) assert_true(fixture_step(f, &patience));
    fixture_settle(f);
    assert_true(p->calls == calls + 1);
    assert_true(p->in - before <= 100000 + 2 * TORQUE_LAYER_SCRATCH);
    calls = p->calls;
    assert_int_equal(torque_stream_resume(s), 0);
  }
  AWAIT(f, p->closed);
  assert_int_equal(p->in, all);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* A layer that becomes much cannot keep the other sources waiting, wherever it lies. */
static void others_have_their_turn(void **state) {
  struct fixture *f = *state;
  struct party *p[2];
  const uint64_t all = FEWER(400000000);
  int fd[2][2];
  p[0] = party_new(f, NULL, NULL);
  with(p[0], layer_grow((uint32_t)all));
  with(p[0], layer_until('y')); /* takes all, and passes it on */
  p[1] = party_new(f, answer, NULL);
  for (int i = 0; i < 2; i++) {
    fixture_pair(f, fd[i]);
    party_add(p[i], fd[i][1]);
  }
  assert_int_equal(send(fd[0][0], "x", 1, 0), 1);
  fixture_settle(f);
  assert_int_equal(send(fd[1][0], "abc", 3, 0), 3);
  AWAIT(f, p[1]->in == 3);
  fixture_close(f, fd[0][0]);
  fixture_close(f, fd[1][0]);
  AWAIT(f, p[0]->closed && p[1]->closed);
  assert_int_equal(p[0]->err, 0);
  party_free(p[0]);
  party_free(p[1]);
}

static void ends_where_a_layer_says(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, answer_and_close);
  unsigned char bytes[50];
  pattern_fill(bytes, 0, 4);
  assert_null(memchr(bytes, 0xee, 4));
  memset(bytes + 4, 0xee, sizeof bytes - 4);
  with(p, layer_until(0xee));
  with(p, layer_xor(0));
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  assert_int_equal(send(fd[0], bytes, sizeof bytes, 0), sizeof bytes);
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd[0], &got) && got == 100);
  assert_int_equal(p->in, 4);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
}

static void most_layers(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  for (int i = 0; i < 8; i++) with(p, layer_xor((unsigned char)i));
  struct torque_layer_type *ninth = layer_xor(0);
  assert_int_equal(torque_stream_type_add_layer(p->type, ninth), TORQUE_ERR_INVAL);
  torque_layer_type_free(ninth);
  int fd[2];
  fixture_pair(f, fd);
  party_add(p, fd[1]);
  ninth = layer_xor(0);
  assert_int_equal(torque_stream_type_add_layer(p->type, ninth), TORQUE_ERR_STATE);
  torque_layer_type_free(ninth);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  party_free(p);
}

/* ---- Output that is not copied ---- */

static void released(void *arg) { ++*(_Atomic int *)arg; }

static void files_and_lent_bytes(void **state) {
  struct fixture *f = *state;
  const uint64_t part = 300000;
  struct party *p[2];
  for (int i = 0; i < 2; i++) {
    p[i] = party_new(f, party_take, NULL);
    with(p[i], layer_frames());
    with(p[i], layer_xor(0x77));
  }
  unsigned char *bytes = fixture_take(f, 4 * part);
  pattern_fill(bytes, 0, 4 * part);
  const int file = memfd_create("layers", MFD_CLOEXEC);
  assert_true(file >= 0);
  fixture_own(f, file);
  assert_int_equal(write(file, bytes + part, part), part);
  _Atomic int lent = 0;
  struct talk t = talk_start(f, p[0], p[1]);
  assert_int_equal(torque_stream_write(t.from, bytes, part), 0);
  assert_int_equal(torque_stream_sendfile(t.from, file, 0, part), 0);
  assert_int_equal(torque_stream_write_ref(t.from, bytes + 2 * part, part, released, &lent), 0);
  assert_int_equal(torque_stream_write(t.from, bytes + 3 * part, part), 0);
  assert_int_equal(torque_stream_close(t.from), 0);
  talk_end(f, &t);
  assert_int_equal(p[1]->in, 4 * part);
  assert_int_equal(p[0]->err, 0);
  assert_int_equal(lent, 1);
}

static void file_that_is_shorter(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  with(p, layer_xor(1));
  const int file = memfd_create("layers", MFD_CLOEXEC);
  assert_true(file >= 0);
  fixture_own(f, file);
  assert_int_equal(write(file, "abc", 3), 3);
  int fd[2];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_sendfile(s, file, 0, 4), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + EIO);
  party_free(p);
}

/* The program answers, flushes, and goes on reading what it was given. */
static size_t answer_in_halves(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  const unsigned char *bytes = data;
  for (size_t at = 0; at < length; at += 100) {
    const size_t n = length - at < 100 ? length - at : 100;
    if (!pattern_is(bytes + at, p->in, n)) p->strange++;
    if (torque_stream_write(stream, bytes + at, n) || torque_stream_flush(stream)) p->strange++;
    p->in += n;
  }
  return length;
}

static void flushed_while_it_reads(void **state) {
  struct fixture *f = *state;
  struct party *a = party_new(f, party_take, NULL), *b = party_new(f, answer_in_halves, NULL);
  with(a, layer_xor(0x66));
  with(a, layer_hold());
  with(b, layer_xor(0x66));
  with(b, layer_hold());
  struct talk t = talk_start(f, a, b);
  write_pattern(f, &t, 20000);
  AWAIT(f, a->in == 20000);
  assert_int_equal(torque_stream_close(t.from), 0);
  talk_end(f, &t);
}

/* ---- Ends ---- */

static char ends_text[128];
static _Atomic uint32_t ends_length;
static void note_end(const char *what, void *s) {
  ends_length +=
      (uint32_t)snprintf(ends_text + ends_length, sizeof ends_text - ends_length, "%s%s ", what, (const char *)s);
}
static torque_err named_open(struct torque_layer *layer, void *arg, void **ret_state) {
  (void)layer;
  *ret_state = arg;
  return 0;
}
static torque_err named_end(struct torque_layer *layer, void *s) {
  note_end("end", s);
  return torque_layer_down(layer, s, 1);
}
static torque_err named_ended(struct torque_layer *layer, void *s) {
  (void)layer;
  note_end("ended", s);
  return 0;
}
static void named_close(void *s) { note_end("close", s); }

static struct torque_layer_type *layer_named(const char *name) {
  struct torque_layer_type *type = layer_steps(-1);
  assert_int_equal(torque_layer_type_set_arg(type, (void *)(uintptr_t)name, NULL), 0);
  assert_int_equal(torque_layer_type_set_open(type, named_open), 0);
  assert_int_equal(torque_layer_type_set_end(type, named_end), 0);
  assert_int_equal(torque_layer_type_set_ended(type, named_ended), 0);
  assert_int_equal(torque_layer_type_set_close(type, named_close), 0);
  return type;
}

static void ends_in_order(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  with(p, layer_named("0"));
  with(p, layer_named("1"));
  ends_length = 0;
  int fd[2];
  char got[8];
  fixture_pair(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
  AWAIT(f, p->ended);
  assert_int_equal(torque_stream_shutdown(s), 0);
  AWAIT(f, p->closed);
  assert_string_equal(ends_text, "ended0 ended1 end1 end0 close1 close0 ");
  assert_int_equal(recv(fd[0], got, sizeof got, 0), 2); /* what the upper one said went through the lower one first */
  assert_memory_equal(got, "10", 2);
  assert_int_equal(p->err, 0);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(one_upon_another),        ON_EVERY(any_cut),
      ON_EVERY(cut_off_in_a_frame),      ON_EVERY(handshake_over_one_that_holds),
      ON_EVERY(close_before_ready),      ON_EVERY(shutdown_before_ready),
      ON_EVERY(errors_of_every_step),    ON_EVERY(ends_during_the_handshake),
      ON_EVERY(stops_and_goes_on),       ON_EVERY(others_have_their_turn),
      ON_EVERY(ends_where_a_layer_says), ON_EVERY(most_layers),
      ON_EVERY(files_and_lent_bytes),    ON_EVERY(file_that_is_shorter),
      ON_EVERY(flushed_while_it_reads),  ON_EVERY(ends_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
