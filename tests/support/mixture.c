/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/mixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/child.h"
#include "support/cmocka.h"

/* Two that both write without reading would wait for each other: what one of them writes the system takes in any case. */
enum { MOST = FEWER(1000000) / 2, LITTLE = 40000, TYPES = 2 };

struct side {
  struct talk *talk;
  struct side *other;
  struct torque_stream_type *type[TYPES];
  size_t input_high[TYPES], output_high[TYPES];
  uint64_t seed; /* of the stream's callbacks */
  torque_source stream;
  uint64_t in;             /* told and taken; the callbacks' */
  size_t to_write, wrote;  /* the writer's */
  int from_inside;         /* who writes: the callbacks, or the test's thread */
  int closes;              /* its own end is close, not shutdown */
  int ends;                /* it has an end callback */
  uint32_t now;            /* the type it has */
  _Atomic uint32_t opened, ended, hung_up, drained, closed, strange;
  _Atomic int32_t err;
  _Atomic int paused, refused; /* the test's thread has to do something */
  _Atomic int waits;           /* for drain */
  _Atomic int asked_end;
};

struct talk {
  struct fixture *f;
  struct side side[2];
  int aborted;
  unsigned char bytes[MOST];
};

static uint32_t roll(uint64_t *seed, uint32_t n) { return (uint32_t)((next_random(seed) >> 20) % n); }

static void add(_Atomic uint32_t *n) { atomic_fetch_add(n, 1); }

/* Whether a write was taken; one that was not has met the stream's end. */
static int wrote(struct side *s, size_t n, torque_err err) {
  if (err && err != TORQUE_ERR_STATE && err != TORQUE_ERR_STALE) add(&s->strange);
  if (err && !s->talk->aborted && s->ends && !s->asked_end) add(&s->strange);
  if (!err) s->wrote += n;
  return !err;
}

/* Writes a piece; 0: it waits for drain, or has written all and asked for the end. */
static int write_some(struct side *s, uint64_t *seed) {
  const size_t left = s->to_write - s->wrote;
  if (s->waits || s->asked_end) return 0;
  if (left == 0) {
    s->asked_end = 1;
    (void)(s->closes ? torque_stream_close(s->stream) : torque_stream_shutdown(s->stream));
    return 0;
  }
  size_t n = 1 + roll(seed, roll(seed, 4) ? 3000 : 60000);
  if (n > left) n = left;
  const unsigned char *from = s->talk->bytes + s->wrote;
  const struct iovec parts[2] = {{(void *)(uintptr_t)from, n / 3}, {(void *)(uintptr_t)(from + n / 3), n - n / 3}};
  torque_err err = 0;
  switch (roll(seed, 3)) {
    case 0: err = torque_stream_write(s->stream, from, n); break;
    case 1: err = torque_stream_writev(s->stream, parts, 2); break;
    default: err = torque_stream_write_ref(s->stream, from, n, NULL, NULL); break;
  }
  if (!wrote(s, n, err)) s->asked_end = 1; /* somebody else's */
  uint64_t pending = 0;
  /* Whoever sees more than the mark is told when it has gone. It may be told before it waits. */
  s->waits = 1;
  const uint32_t drained = s->drained;
  if (torque_stream_pending(s->stream, &pending) || pending <= s->output_high[0] || s->drained != drained) s->waits = 0;
  return !s->waits;
}

static void write_from_inside(struct side *s) {
  if (s->from_inside)
    for (uint32_t i = 1 + roll(&s->seed, 5); i && write_some(s, &s->seed); i--) continue;
}

static void on_open(torque_source stream, void *arg) {
  struct side *s = arg;
  s->stream = stream;
  add(&s->opened);
  write_from_inside(s);
}

static void pause_now(struct side *s, torque_source stream) {
  if (torque_stream_pause(stream)) add(&s->strange);
  s->paused = 1;
}

static size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct side *s = arg;
  if (!s->opened || s->ended || s->closed) add(&s->strange);
  if (!pattern_is(data, s->in, length)) add(&s->strange);
  const uint32_t what = roll(&s->seed, 20);
  const size_t n = what < 10 ? length : what < 16 ? 1 + roll(&s->seed, (uint32_t)length) : what < 18 ? length / 2 : 0;
  const int changes = roll(&s->seed, 16) == 0;
  if (changes) {
    s->now = (s->now + 1) % TYPES;
    if (torque_stream_set_type(stream, s->type[s->now])) add(&s->strange);
  }
  if (roll(&s->seed, 12) == 0) pause_now(s, stream);
  if (roll(&s->seed, 8) == 0) (void)torque_stream_flush(stream);
  if (roll(&s->seed, 2)) write_from_inside(s);
  s->in += n;
  if (n == 0 && !changes && length >= s->input_high[s->now]) s->refused = 1;
  return n;
}

/* What data did not take. */
static void take_kept(struct side *s, torque_source stream, size_t most) {
  const void *data;
  size_t length;
  if (torque_stream_peek(stream, &data, &length) || !pattern_is(data, s->in, length)) add(&s->strange);
  if (length > most) length = most;
  if (torque_stream_consume(stream, length)) add(&s->strange);
  s->in += length;
}

static void on_end(torque_source stream, void *arg) {
  struct side *s = arg;
  if (s->closed) add(&s->strange);
  add(&s->ended);
  take_kept(s, stream, SIZE_MAX);
  write_from_inside(s);
}

static void on_hangup(torque_source stream, void *arg) {
  struct side *s = arg;
  (void)stream;
  if (s->ended || s->closed) add(&s->strange);
  add(&s->hung_up);
}

static void on_drain(torque_source stream, void *arg) {
  struct side *s = arg;
  (void)stream;
  if (s->closed) add(&s->strange);
  add(&s->drained);
  s->waits = 0;
  write_from_inside(s);
}

static void on_close(torque_source stream, torque_err err, void *arg) {
  struct side *s = arg;
  if (torque_source_alive(stream)) add(&s->strange);
  s->err = err;
  add(&s->closed);
}

static void take_some(torque_source stream, torque_err err, void *arg) {
  struct side *s = arg;
  if (err || s->ended) return;
  take_kept(s, stream, roll(&s->seed, 4000));
}

static void write_in_turn(torque_source stream, torque_err err, void *arg) {
  (void)stream;
  if (!err) write_from_inside(arg);
}

static void make_types(struct side *s, uint64_t *seed, const struct mixture_layers *layers, uint32_t which) {
  const size_t out_low = roll(seed, 3) ? roll(seed, 20000) : 256 << 10;
  const size_t out_high = out_low + (roll(seed, 3) ? roll(seed, 30000) : 1 << 20);
  for (int i = 0; i < TYPES; i++) {
    struct torque_stream_type *t;
    const size_t low = roll(seed, 2) ? 1 : 1 + roll(seed, 3000);
    s->input_high[i] = low + (roll(seed, 4) ? roll(seed, 20000) : 1 << 20);
    s->output_high[i] = out_high;
    assert_int_equal(torque_stream_type_new(&t), 0);
    assert_int_equal(torque_stream_type_set_open(t, on_open), 0);
    assert_int_equal(torque_stream_type_set_data(t, on_data), 0);
    if (s->ends) assert_int_equal(torque_stream_type_set_end(t, on_end), 0);
    assert_int_equal(torque_stream_type_set_hangup(t, on_hangup), 0);
    assert_int_equal(torque_stream_type_set_drain(t, on_drain), 0);
    assert_int_equal(torque_stream_type_set_close(t, on_close), 0);
    assert_int_equal(torque_stream_type_set_input(t, low, s->input_high[i]), 0);
    assert_int_equal(torque_stream_type_set_output(t, out_low, out_high), 0);
    assert_int_equal(torque_stream_type_set_budget(t, 500 + roll(seed, 200000)), 0);
    assert_int_equal(torque_stream_type_set_linger(t, UINT64_MAX), 0);
    for (uint32_t k = 0; k < layers->count; k++)
      assert_int_equal(torque_stream_type_add_layer(t, layers->layer[which][k]), 0);
    s->type[i] = t;
  }
}

/* What only the test's thread does: writes, and goes on with who has stopped by its own wish. */
static void attend(struct side *s, uint64_t *seed) {
  if (s->closed) return;
  if (!s->from_inside && s->opened) (void)write_some(s, seed);
  if (s->from_inside && s->opened && !s->asked_end && roll(seed, 4) == 0) (void)torque_stream_run(s->stream, write_in_turn, s);
  if (s->paused && roll(seed, 3) == 0) {
    s->paused = s->refused = 0;
    (void)torque_stream_resume(s->stream);
  } else if (s->refused && roll(seed, 3) == 0) {
    s->refused = 0;
    if (roll(seed, 2) || torque_stream_run(s->stream, take_some, s)) (void)torque_stream_resume(s->stream);
  }
}

static void start(struct talk *t, uint64_t *seed, const struct mixture_layers *layers) {
  int fd[2];
  roll(seed, 2) ? fixture_tcp(t->f, fd) : fixture_pair(t->f, fd);
  const uint32_t heavy = roll(seed, 2);
  for (uint32_t i = 0; i < 2; i++) {
    struct side *s = &t->side[i];
    s->talk = t;
    s->other = &t->side[1 - i];
    s->seed = next_random(seed);
    s->to_write = roll(seed, 8) ? roll(seed, i == heavy ? MOST : LITTLE) : 0;
    s->from_inside = roll(seed, 2) != 0;
    s->closes = roll(seed, 3) == 0;
    s->ends = roll(seed, 3) != 0;
    make_types(s, seed, layers, i);
    assert_int_equal(torque_stream_new(t->f->ctx, fd[i], s->type[0], s, &s->stream), 0);
    fixture_disown(t->f, fd[i]);
  }
  for (uint32_t i = 0; i < 2; i++) assert_int_equal(torque_source_start(t->side[i].stream), 0);
}

/* s told all that the other has written, unless it said that it wants no more. */
static int is_right(const struct talk *t, const struct side *s) {
  if (s->strange || s->closed != 1 || s->ended > 1 || s->hung_up > 1 || s->in > s->other->wrote) return 0;
  if (t->aborted) return 1;
  if (s->opened != 1 || s->err) return 0;
  return s->closes || !s->ends || (s->in == s->other->wrote && s->ended == 1);
}

static void show(const struct talk *t, uint64_t seed) {
  print_message("mixture of seed %llu%s\n", (unsigned long long)seed, t->aborted ? ", aborted" : "");
  for (int i = 0; i < 2; i++) {
    const struct side *s = &t->side[i];
    print_message("in %llu of %zu; opened %u ended %u hung_up %u drained %u closed %u err %d strange %u\n",
                  (unsigned long long)s->in, s->other->wrote, s->opened, s->ended, s->hung_up, s->drained, s->closed, s->err,
                  s->strange);
    print_message("  writes %zu from_inside %d closes %d ends %d; paused %d refused %d waits %d asked_end %d; high %zu\n",
                  s->to_write, s->from_inside, s->closes, s->ends, s->paused, s->refused, s->waits, s->asked_end,
                  s->input_high[s->now]);
  }
}

void mixture(struct fixture *f, uint64_t seed, const struct mixture_layers *layers) {
  struct talk *t = fixture_take(f, sizeof *t);
  uint64_t own = seed;
  t->f = f;
  pattern_fill(t->bytes, 0, MOST);
  const uint32_t abort_after = roll(&own, 8) ? 0 : 1 + roll(&own, 200);
  start(t, &own, layers);
  struct patience patience = patience_start();
  for (uint32_t step = 1; !t->side[0].closed || !t->side[1].closed; step++) {
    for (int i = 0; i < 2; i++) attend(&t->side[i], &own);
    if (step == abort_after) {
      t->aborted = 1;
      (void)torque_stream_abort(t->side[roll(&own, 2)].stream);
    }
    if (fixture_step(f, &patience)) continue;
    show(t, seed);
    fail();
  }
  for (int i = 0; i < 2; i++) {
    struct side *s = &t->side[i];
    for (int k = 0; k < TYPES; k++) torque_stream_type_free(s->type[k]);
    if (!is_right(t, s)) show(t, seed);
    assert_true(is_right(t, s));
  }
  fixture_release(f);
}
