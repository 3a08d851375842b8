/* SPDX-License-Identifier: BSD-3-Clause */
/* Rates: never more than the burst and what comes in the time that went by, and all of it in the end. The time is measured
 * from before the rate was set until after the bytes were counted, so that a slow machine only makes the bound wider. */
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000, BURST = 2000, PER_S = 1600000, MUCH = 96000, IN = TORQUE_RATE_INPUT, OUT = TORQUE_RATE_OUTPUT };

/* A rate, and since when it holds. */
struct limit {
  struct torque_rate *rate;
  uint64_t since, per_s, burst;
};

static struct limit limit_new(int32_t which, uint64_t per_s, uint64_t burst) {
  struct limit l = {.since = monotonic_ns(), .per_s = per_s, .burst = burst};
  assert_int_equal(torque_rate_new(&l.rate), 0);
  assert_int_equal(torque_rate_set(l.rate, which, per_s, burst), 0);
  return l;
}

static struct limit limit_usual(int32_t which) { return limit_new(which, PER_S, BURST); }

/* Counted by then. */
static int keeps(const struct limit *l, uint64_t bytes) {
  const uint64_t ns = monotonic_ns() - l->since;
  return bytes <= l->burst + (uint64_t)((double)ns * (double)l->per_s / 1e9) + 1;
}

/* What the peer of one stream has got. */
struct taker {
  int fd;
  uint64_t got;
};

static int take(struct taker *t) { return pattern_check(t->fd, &t->got); }

static int took_all(struct taker *t, const struct limit *l, uint64_t all) {
  assert_true(take(t));
  assert_true(keeps(l, t->got));
  return t->got == all;
}

static int told_all(const struct party *p, const struct limit *l, uint64_t all) {
  const uint64_t in = p->in;
  assert_true(keeps(l, in));
  return in == all;
}

static void write_pattern(struct fixture *f, torque_source s, size_t length) {
  char *bytes = fixture_take(f, length);
  pattern_fill(bytes, 0, length);
  assert_int_equal(torque_stream_write(s, bytes, length), 0);
}

/* In two steps, so that the rate holds from the first byte on. */
static torque_source make(struct party *p, int fd, struct torque_rate *rate) {
  torque_source s = 0;
  fixture_disown(p->f, fd);
  assert_int_equal(torque_stream_new(p->f->ctx, fd, p->type, p, &s), 0);
  if (rate) assert_int_equal(torque_stream_set_rate(s, rate), 0);
  return s;
}

/* A stream under the rate that has so much to send. */
static struct party *sends(struct fixture *f, const struct limit *l, size_t length, struct taker *t, torque_source *s) {
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  *t = (struct taker){.fd = fd[0]};
  *s = make(p, fd[1], l->rate);
  write_pattern(f, *s, length);
  assert_int_equal(torque_source_start(*s), 0);
  return p;
}

static void finish(struct party *p, torque_source s, struct limit *l) {
  (void)torque_source_remove(s);
  AWAIT(p->f, p->closed);
  assert_int_equal(p->strange, 0);
  assert_int_equal(p->closed, 1);
  party_free(p);
  torque_rate_free(l->rate);
}

static void output(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_usual(OUT);
  int fd[2];
  fixture_tcp(f, fd);
  struct taker t = {.fd = fd[0]};
  const torque_source s = make(p, fd[1], l.rate);
  write_pattern(f, s, MUCH);
  assert_int_equal(torque_source_start(s), 0);
  AWAIT(f, took_all(&t, &l, MUCH));
  const uint32_t sent = pattern_put(fd[0], 0, MUCH); /* the other way has no limit */
  AWAIT(f, p->in == sent);
  uint64_t pending = 1;
  assert_int_equal(torque_stream_pending(s, &pending), 0);
  assert_int_equal(pending, 0);
  finish(p, s, &l);
}

/* Another rate of its own, again and again, takes away nothing of what it has waited for in its type's. */
static void own_set_often(void **state) {
  struct fixture *f = *state;
  enum { SLOW = 160000, LENGTH = 30000 }; /* a portion takes 62 ms */
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_new(OUT, SLOW, BURST);
  struct torque_rate *own[2] = {NULL, NULL};
  int fd[2];
  assert_int_equal(torque_stream_type_set_rate(p->type, l.rate), 0);
  for (int i = 0; i < 2; i++) assert_int_equal(torque_rate_new(&own[i]), 0);
  fixture_tcp(f, fd);
  struct taker t = {.fd = fd[0]};
  const torque_source s = make(p, fd[1], own[0]);
  write_pattern(f, s, LENGTH);
  assert_int_equal(torque_source_start(s), 0);
  uint32_t n = 0;
  AWAIT(f, torque_stream_set_rate(s, n % 3 == 2 ? NULL : own[n % 3]) == 0 && ++n && took_all(&t, &l, LENGTH));
  finish(p, s, &l);
  for (int i = 0; i < 2; i++) torque_rate_free(own[i]);
}

static void input(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_usual(IN);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = make(p, fd[1], l.rate);
  const uint32_t sent = pattern_put(fd[0], 0, MUCH);
  assert_int_equal(torque_source_start(s), 0);
  AWAIT(f, told_all(p, &l, sent));
  finish(p, s, &l);
}

/* What a peer sent comes before its end, and before its reset. */
static void ends_after_input(void **state) {
  struct fixture *f = *state;
  for (int reset = 0; reset < 2; reset++) {
    struct party *p = party_new(f, party_take, NULL);
    struct limit l = limit_usual(IN);
    int fd[2];
    fixture_tcp(f, fd);
    const torque_source s = make(p, fd[1], l.rate);
    const uint32_t sent = pattern_put(fd[0], 0, MUCH);
    assert_int_equal(torque_source_start(s), 0);
    AWAIT(f, p->in > 0);
    if (reset) {
      const struct linger at_once = {.l_onoff = 1};
      assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    }
    fixture_close(f, fd[0]);
    AWAIT(f, p->closed);
    assert_true(told_all(p, &l, sent));
    assert_int_equal(p->err, reset ? TORQUE_ERR_SYSCALL + ECONNRESET : 0);
    assert_int_equal(p->hung_up, 0);
    finish(p, s, &l);
  }
}

/* ---- Groups ---- */

enum { MEMBERS = 6 };

/* All of a type, in whatever domain: together no faster than one. */
static void group(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  struct limit l = limit_usual(OUT);
  struct taker t[MEMBERS];
  assert_int_equal(torque_stream_type_set_rate(p->type, l.rate), 0);
  torque_rate_free(l.rate); /* the type has it */
  for (int i = 0; i < MEMBERS; i++) {
    int fd[2];
    fixture_tcp(f, fd);
    t[i] = (struct taker){.fd = fd[0]};
    write_pattern(f, party_add(p, fd[1]), MUCH / MEMBERS);
  }
  assert_int_equal(torque_stream_type_set_rate(p->type, NULL), TORQUE_ERR_STATE);
  for (uint64_t all = 0; all < MUCH;) {
    fixture_settle(f);
    all = 0;
    for (int i = 0; i < MEMBERS; i++) {
      assert_true(take(&t[i]));
      all += t[i].got;
    }
    assert_true(keeps(&l, all));
  }
  for (int i = 0; i < MEMBERS; i++) fixture_close(f, t[i].fd);
  AWAIT(f, p->closed == MEMBERS);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static int how_many_took_all(struct taker *t, const struct limit *l, uint64_t all) {
  int n = 0;
  for (int i = 0; i < MEMBERS; i++) n += took_all(&t[i], l, all);
  return n;
}

/* Where one thread serves all, no member is far behind another: the first that has all finds the others halfway. */
static void turns(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  struct limit l = limit_new(OUT, 10 * PER_S, 1);
  struct taker t[MEMBERS];
  assert_int_equal(torque_stream_type_set_rate(p->type, l.rate), 0);
  for (int i = 0; i < MEMBERS; i++) {
    int fd[2];
    fixture_pair(f, fd);
    t[i] = (struct taker){.fd = fd[0]};
    write_pattern(f, party_add(p, fd[1]), 100000);
  }
  AWAIT(f, how_many_took_all(t, &l, 100000) > 0);
  for (int i = 0; i < MEMBERS; i++) assert_true(t[i].got > 50000);
  torque_rate_free(l.rate);
  for (int i = 0; i < MEMBERS; i++) fixture_close(f, t[i].fd);
  AWAIT(f, p->closed == MEMBERS);
  party_free(p);
}

static void own_and_group(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit own = limit_new(OUT, PER_S / 2, BURST), all = limit_usual(OUT);
  struct taker t[3];
  torque_source s[3];
  assert_int_equal(torque_stream_type_set_rate(p->type, all.rate), 0);
  for (int i = 0; i < 3; i++) {
    int fd[2];
    fixture_tcp(f, fd);
    t[i] = (struct taker){.fd = fd[0]};
    s[i] = make(p, fd[1], i ? NULL : own.rate);
    write_pattern(f, s[i], MUCH / 3);
    assert_int_equal(torque_source_start(s[i]), 0);
  }
  uint64_t got;
  do {
    fixture_settle(f);
    (void)took_all(&t[0], &own, MUCH / 3);
    got = t[0].got;
    for (int i = 1; i < 3; i++) {
      (void)took_all(&t[i], &all, MUCH / 3);
      got += t[i].got;
    }
    assert_true(keeps(&all, got));
  } while (got < MUCH);
  for (int i = 0; i < 3; i++) (void)torque_source_remove(s[i]);
  AWAIT(f, p->closed == 3);
  party_free(p);
  torque_rate_free(own.rate);
  torque_rate_free(all.rate);
}

/* One that ends while it waits takes nothing with it; one that is at rest neither. */
static void members_go(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_usual(OUT);
  struct taker t[MEMBERS];
  torque_source s[MEMBERS];
  assert_int_equal(torque_stream_type_set_rate(p->type, l.rate), 0);
  for (int i = 0; i < MEMBERS; i++) {
    int fd[2];
    fixture_tcp(f, fd);
    t[i] = (struct taker){.fd = fd[0]};
    s[i] = party_add(p, fd[1]);
    if (i % 3 != 1) write_pattern(f, s[i], MUCH / 2);
  }
  AWAIT(f, take(&t[0]) && t[0].got > 0);
  for (int i = 3; i < MEMBERS; i++) assert_int_equal(i == 3 ? torque_stream_abort(s[i]) : torque_source_remove(s[i]), 0);
  AWAIT(f, p->closed == 3);
  AWAIT(f, took_all(&t[0], &l, MUCH / 2) & took_all(&t[2], &l, MUCH / 2));
  for (int i = 0; i < 3; i++) assert_int_equal(torque_source_remove(s[i]), 0);
  AWAIT(f, p->closed == MEMBERS);
  party_free(p);
  torque_rate_free(l.rate);
}

/* ---- Changes ---- */

/* At the rate that it begins with it would take a day. */
static void changed(void **state) {
  struct fixture *f = *state;
  for (int to = 0; to < 3; to++) {
    struct party *p = party_new(f, party_take, party_end);
    struct limit l = limit_new(OUT, 1, 1);
    assert_int_equal(torque_rate_set(l.rate, IN, 1, 1), 0);
    int fd[2];
    fixture_tcp(f, fd);
    struct taker t = {.fd = fd[0]};
    const torque_source s = make(p, fd[1], l.rate);
    write_pattern(f, s, MUCH);
    const uint32_t sent = pattern_put(fd[0], 0, MUCH);
    assert_int_equal(torque_source_start(s), 0);
    AWAIT(f, take(&t) && t.got > 0 && p->in > 0);
    assert_true(keeps(&l, t.got));
    assert_true(keeps(&l, p->in));
    for (int which = IN; to < 2 && which <= OUT; which++) {
      assert_int_equal(torque_rate_set(l.rate, which, to ? 100 * PER_S : 0, 0), 0);
    }
    if (to == 2) assert_int_equal(torque_stream_set_rate(s, NULL), 0);
    AWAIT(f, take(&t) && t.got == MUCH && p->in == sent);
    finish(p, s, &l);
  }
}

/* A burst that was used up is not given again by setting the rate again. */
static void set_again(void **state) {
  struct fixture *f = *state;
  struct limit l = limit_usual(OUT);
  struct taker t;
  torque_source s;
  struct party *p = sends(f, &l, MUCH / 2, &t, &s);
  AWAIT(f, torque_rate_set(l.rate, OUT, PER_S, BURST) || took_all(&t, &l, MUCH / 2));
  assert_int_equal(t.got, MUCH / 2);
  finish(p, s, &l);
}

/* Not even a byte comes in between two settings, and what has come so far is not lost. */
static void set_all_the_time(void **state) {
  struct fixture *f = *state;
  struct limit l = limit_new(OUT, 100, 1);
  struct taker t;
  torque_source s;
  struct party *p = sends(f, &l, 30, &t, &s);
  AWAIT(f, torque_rate_set(l.rate, OUT, 100, 1) || took_all(&t, &l, 30));
  assert_int_equal(t.got, 30);
  finish(p, s, &l);
}

/* A burst that would have begun before the clock did. */
static void a_large_burst_while_one_waits(void **state) {
  struct fixture *f = *state;
  struct limit l = limit_new(OUT, 1, 1);
  struct taker t;
  torque_source s;
  struct party *p = sends(f, &l, 3000, &t, &s);
  AWAIT(f, take(&t) && t.got > 0);
  fixture_settle(f);
  assert_int_equal(torque_rate_set(l.rate, OUT, 0, 0), 0);
  assert_int_equal(torque_rate_set(l.rate, OUT, 1000, UINT64_MAX), 0);
  AWAIT(f, take(&t) && t.got == 3000);
  finish(p, s, &l);
}

/* Many wait at a high rate that becomes a low one: they have what they had waited for at the low one's price, one portion. */
static void lowered(void **state) {
  struct fixture *f = *state;
  enum { WAITERS = 16, LOW = 10000, PORTION = LOW / 16 };
  struct limit l = limit_new(OUT, 30 * LOW, 1);
  struct party *p[WAITERS];
  struct taker t[WAITERS];
  torque_source s[WAITERS];
  for (int i = 0; i < WAITERS; i++) p[i] = sends(f, &l, 500000, &t[i], &s[i]);
  for (int i = 0; i < WAITERS; i++) AWAIT(f, take(&t[i]) && t[i].got > 0);
  uint64_t before = 0, after = 0;
  for (int i = 0; i < WAITERS; i++) assert_true(take(&t[i])), before += t[i].got;
  const struct limit low = {.since = monotonic_ns(), .per_s = LOW, .burst = 1 + PORTION};
  assert_int_equal(torque_rate_set(l.rate, OUT, LOW, 1), 0);
  for (int k = 0; k < 50; k++) {
    fixture_settle(f);
    after = 0;
    for (int i = 0; i < WAITERS; i++) assert_true(take(&t[i])), after += t[i].got;
    assert_true(keeps(&low, after - before));
  }
  for (int i = 1; i < WAITERS; i++) {
    (void)torque_source_remove(s[i]);
    AWAIT(f, p[i]->closed);
    party_free(p[i]);
  }
  const uint64_t had = t[0].got;
  AWAIT(f, take(&t[0]) && t[0].got > had);
  finish(p[0], s[0], &l);
}

/* What waits for a rate is no time that the peer has taken. */
static void connect_limit(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct torque_layer_type *handshake = layer_handshake();
  struct limit l = limit_new(OUT, 10, 1);
  assert_int_equal(torque_stream_type_add_layer(p->type, handshake), 0);
  torque_layer_type_free(handshake);
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_CONNECT_TIMEOUT, 700 * (uint64_t)MS), 0);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = make(p, fd[1], l.rate);
  assert_int_equal(torque_source_start(s), 0);
  char greeting[sizeof GREETING];
  size_t got = 0;
  AWAIT(f, p->closed || (got += drain(fd[0], NULL)) == strlen(GREETING));
  if (!p->closed) assert_int_equal(send(fd[0], strcpy(greeting, GREETING), strlen(GREETING), 0), strlen(GREETING));
  AWAIT(f, p->closed || p->opened);
  assert_int_equal(p->closed, 0);
  finish(p, s, &l);
}

static void become_free(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  if (err || torque_stream_set_type(stream, p->more)) p->strange++;
}

static void another_type(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end), *q = party_new(f, party_take, party_end);
  struct limit slow = limit_new(OUT, 1, 1);
  assert_int_equal(torque_stream_type_set_rate(p->type, slow.rate), 0);
  p->more = q->type;
  int fd[2];
  fixture_tcp(f, fd);
  struct taker t = {.fd = fd[0]};
  struct limit l = limit_usual(OUT);
  assert_int_equal(torque_stream_type_set_rate(q->type, l.rate), 0);
  const torque_source s = party_add(p, fd[1]);
  write_pattern(f, s, MUCH);
  AWAIT(f, take(&t) && t.got > 0);
  assert_true(keeps(&slow, t.got));
  assert_int_equal(torque_stream_run(s, become_free, p), 0);
  AWAIT(f, took_all(&t, &l, MUCH));
  torque_rate_free(slow.rate);
  finish(p, s, &l);
  party_free(q);
}

static void paused(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_usual(IN);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = make(p, fd[1], l.rate);
  const uint32_t sent = pattern_put(fd[0], 0, MUCH);
  assert_int_equal(torque_source_start(s), 0);
  for (uint64_t before = 0; before < sent / 2;) {
    AWAIT(f, p->in > before);
    assert_int_equal(torque_stream_pause(s), 0);
    fixture_settle(f);
    before = p->in;
    for (const uint64_t start = monotonic_ns(); monotonic_ns() - start < 5 * MS;) fixture_settle(f);
    assert_int_equal(p->in, before);
    assert_int_equal(torque_stream_resume(s), 0);
  }
  AWAIT(f, told_all(p, &l, sent));
  finish(p, s, &l);
}

/* ---- Ends, and limits ---- */

static int at_end(int fd) {
  char c;
  return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

/* What is held back is sent first, however long that takes. */
static void closed(void **state) {
  struct fixture *f = *state;
  for (int shut = 0; shut < 2; shut++) {
    struct party *p = party_new(f, party_take, party_end);
    struct limit l = limit_usual(OUT);
    int fd[2];
    fixture_tcp(f, fd);
    struct taker t = {.fd = fd[0]};
    if (!shut) assert_int_equal(torque_stream_type_set_linger(p->type, 1), 0);
    const torque_source s = make(p, fd[1], l.rate);
    write_pattern(f, s, MUCH);
    assert_int_equal(torque_source_start(s), 0);
    assert_int_equal(shut ? torque_stream_shutdown(s) : torque_stream_close(s), 0);
    AWAIT(f, took_all(&t, &l, MUCH));
    AWAIT(f, at_end(fd[0]));
    fixture_close(f, fd[0]);
    AWAIT(f, p->closed);
    assert_int_equal(p->err, 0);
    finish(p, s, &l);
  }
}

/* Portions come every 62 ms; the limits are shorter. They cut it when it is at rest. */
static void limits(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_new(OUT, 1000, 1);
  int fd[2];
  fixture_tcp(f, fd);
  struct taker t = {.fd = fd[0]};
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_IDLE_TIMEOUT, 10 * MS), 0);
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_WRITE_TIMEOUT, 10 * MS), 0);
  const torque_source s = make(p, fd[1], l.rate);
  write_pattern(f, s, 150);
  assert_int_equal(torque_source_start(s), 0);
  AWAIT(f, took_all(&t, &l, 150));
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  finish(p, s, &l);
}

static void limits_of_input(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_new(IN, 1000, 1);
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_IDLE_TIMEOUT, 10 * MS), 0);
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_READ_TIMEOUT, 10 * MS), 0);
  const torque_source s = make(p, fd[1], l.rate);
  const uint32_t sent = pattern_put(fd[0], 0, 150);
  assert_int_equal(torque_source_start(s), 0);
  AWAIT(f, told_all(p, &l, sent));
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  finish(p, s, &l);
}

/* ---- Ways of sending, and shapes of streams ---- */

static void count_release(void *arg) { ++*(_Atomic uint32_t *)arg; }

static void all_kinds(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_usual(OUT);
  static _Atomic uint32_t released;
  int fd[2];
  char name[] = "/tmp/torque-rate-XXXXXX";
  const int file = mkstemp(name);
  assert_true(file >= 0);
  fixture_own(f, file);
  assert_int_equal(unlink(name), 0);
  char *bytes = fixture_take(f, MUCH);
  pattern_fill(bytes, 0, MUCH);
  assert_int_equal(write(file, bytes, MUCH), MUCH);
  released = 0;
  fixture_tcp(f, fd);
  struct taker t = {.fd = fd[0]};
  const torque_source s = make(p, fd[1], l.rate);
  for (uint32_t at = 0; at < MUCH; at += 6000) {
    const struct iovec parts[] = {{bytes + at, 1000}, {bytes + at + 1000, 1000}};
    assert_int_equal(torque_stream_writev(s, parts, 2), 0);
    assert_int_equal(torque_stream_write_ref(s, bytes + at + 2000, 1000, count_release, &released), 0);
    assert_int_equal(torque_stream_sendfile(s, file, at + 3000, 3000), 0);
  }
  assert_int_equal(torque_source_start(s), 0);
  AWAIT(f, took_all(&t, &l, MUCH));
  AWAIT(f, released == MUCH / 6000);
  finish(p, s, &l);
}

/* What is counted is what goes over the descriptor: with frames a little more. */
static void layers(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end), *q = party_new(f, party_take, party_end);
  struct limit out = limit_usual(OUT), in = limit_new(IN, PER_S, BURST);
  struct torque_layer_type *handshake = layer_handshake(), *frames = layer_frames();
  struct party *both[] = {p, q};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(torque_stream_type_add_layer(both[i]->type, handshake), 0);
    assert_int_equal(torque_stream_type_add_layer(both[i]->type, frames), 0);
  }
  torque_layer_type_free(handshake);
  torque_layer_type_free(frames);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = make(p, fd[0], out.rate), r = make(q, fd[1], in.rate);
  write_pattern(f, s, MUCH);
  assert_int_equal(torque_source_start(s), 0);
  assert_int_equal(torque_source_start(r), 0);
  AWAIT(f, told_all(q, &out, MUCH) & told_all(q, &in, MUCH));
  finish(p, s, &out);
  finish(q, r, &in);
}

static void piped(void **state) {
  struct fixture *f = *state;
  for (int how = 0; how < 4; how++) {
    struct party *p = party_new(f, party_take, party_end), *q = party_new(f, party_take, party_end);
    struct limit l = limit_usual(how & 1 ? IN : OUT);
    int a[2], b[2];
    fixture_tcp(f, a);
    fixture_tcp(f, b);
    const torque_source from = make(p, a[1], how & 1 ? l.rate : NULL), to = make(q, b[1], how & 1 ? NULL : l.rate);
    assert_int_equal(torque_source_start(from), 0);
    assert_int_equal(torque_source_start(to), 0);
    assert_int_equal(torque_stream_pipe(from, to, how & 2 ? TORQUE_PIPE_COPY : 0, NULL, NULL), 0);
    struct taker t = {.fd = b[0]};
    const uint32_t sent = pattern_put(a[0], 0, MUCH);
    assert_int_equal(shutdown(a[0], SHUT_WR), 0);
    AWAIT(f, took_all(&t, &l, sent));
    AWAIT(f, at_end(b[0]));
    fixture_close(f, b[0]);
    fixture_close(f, a[0]);
    AWAIT(f, p->closed && q->closed);
    party_free(p);
    party_free(q);
    torque_rate_free(l.rate);
  }
}

/* A stream that has no descriptor yet. */
static void awaited(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_usual(OUT);
  torque_source s = 0;
  assert_int_equal(torque_stream_await(f->ctx, p->type, p, &s), 0);
  assert_int_equal(torque_stream_set_rate(s, l.rate), 0);
  write_pattern(f, s, MUCH);
  int fd[2];
  fixture_tcp(f, fd);
  struct taker t = {.fd = fd[0]};
  fixture_disown(f, fd[1]);
  assert_int_equal(torque_stream_attach(s, fd[1], 0), 0);
  AWAIT(f, took_all(&t, &l, MUCH));
  finish(p, s, &l);

  /* One that never has one. */
  p = party_new(f, party_take, party_end);
  l = limit_usual(OUT);
  assert_int_equal(torque_stream_await(f->ctx, p->type, p, &s), 0);
  assert_int_equal(torque_stream_set_rate(s, l.rate), 0);
  assert_int_equal(torque_stream_fail(s, TORQUE_ERR_SYSCALL + EHOSTUNREACH), 0);
  AWAIT(f, p->closed);
  finish(p, s, &l);
}

/* No callback runs while nothing is its turn. */
static void costs_nothing(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_new(OUT, 1, 1);
  assert_int_equal(torque_rate_set(l.rate, IN, 1, 1), 0);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = make(p, fd[1], l.rate);
  write_pattern(f, s, MUCH);
  (void)pattern_put(fd[0], 0, MUCH);
  assert_int_equal(torque_source_start(s), 0);
  AWAIT(f, p->in > 0);
  fixture_settle(f);
  const uint64_t before = stat_total(f->ctx, "callbacks"), start = monotonic_ns();
  while (monotonic_ns() - start < 50 * MS) f->shape->driven ? fixture_settle(f) : nap(); /* that would post */
  const uint64_t calls = stat_total(f->ctx, "callbacks") - before;
  assert_true(calls <= 4 + 4 * ((monotonic_ns() - start) / (1000 * MS)));
  finish(p, s, &l);
}

/* ---- Arguments, and many threads ---- */

static void arguments(void **state) {
  struct fixture *f = *state;
  struct torque_rate *rate = NULL;
  assert_int_equal(torque_rate_new(NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_rate_new(&rate), 0);
  assert_int_equal(torque_rate_set(NULL, IN, 1, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_rate_set(rate, 2, 1, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_rate_set(rate, -1, 1, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_rate_set(rate, IN, 0, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_rate_set(rate, IN, UINT64_MAX, UINT64_MAX), 0);
  assert_int_equal(torque_rate_set(rate, OUT, 1, UINT64_MAX), 0);
  assert_int_equal(torque_rate_set(rate, OUT, UINT64_MAX, 1), 0);
  assert_int_equal(torque_stream_type_set_rate(NULL, rate), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_set_rate(0, rate), TORQUE_ERR_STALE);
  struct party *p = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  struct taker t = {.fd = fd[0]};
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_set_rate(s, rate), 0);
  assert_int_equal(torque_stream_set_rate(s, rate), 0);
  torque_rate_free(rate);
  torque_rate_free(NULL);
  write_pattern(f, s, MUCH); /* such limits are none */
  AWAIT(f, take(&t) && t.got == MUCH);
  const uint32_t sent = pattern_put(fd[0], 0, MUCH);
  AWAIT(f, p->in == sent);
  assert_int_equal(torque_stream_set_rate(s, NULL), 0);
  assert_int_equal(torque_source_remove(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(torque_stream_set_rate(s, NULL), TORQUE_ERR_STALE);
  party_free(p);
}

struct changer {
  struct fixture *f;
  struct torque_rate *rate[2];
  torque_source s[MEMBERS];
};

static void *change(void *arg) {
  struct changer *c = arg;
  for (uint32_t i = 0; i < FEWER(2000) && !c->f->quit; i++) {
    (void)torque_rate_set(c->rate[i % 2], (int32_t)(i / 2 % 2), i % 5 ? 1 + i * 37 : 0, i % 5 ? i % 3 : 0);
    (void)torque_stream_set_rate(c->s[i % MEMBERS], i % 7 ? c->rate[i / 3 % 2] : NULL);
  }
  return NULL;
}

/* Rates change from two threads while members read, send and go. */
static void changed_by_many(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, NULL, party_end);
  struct changer *c = fixture_take(f, sizeof *c);
  struct taker t[MEMBERS];
  c->f = f;
  for (int i = 0; i < 2; i++) assert_int_equal(torque_rate_new(&c->rate[i]), 0);
  assert_int_equal(torque_stream_type_set_rate(p->type, c->rate[0]), 0);
  for (int i = 0; i < MEMBERS; i++) {
    int fd[2];
    fixture_tcp(f, fd);
    t[i] = (struct taker){.fd = fd[0]};
    c->s[i] = party_add(p, fd[1]);
    write_pattern(f, c->s[i], MUCH);
    (void)pattern_put(fd[0], 0, MUCH);
  }
  for (int i = 0; i < 2; i++) fixture_thread(f, change, c);
  AWAIT(f, take(&t[0]) && t[0].got > 0);
  assert_int_equal(torque_source_remove(c->s[1]), 0);
  fixture_join(f);
  for (int i = 0; i < 4; i++) assert_int_equal(torque_rate_set(c->rate[i % 2], i / 2, 0, 0), 0);
  for (int i = 0; i < MEMBERS; i++) {
    if (i != 1) AWAIT(f, take(&t[i]) && t[i].got == MUCH);
  }
  fixture_stop(f); /* with members in the groups */
  party_free(p);
  for (int i = 0; i < 2; i++) torque_rate_free(c->rate[i]);
}

/* The context stops while they wait. */
static void stopped(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end);
  struct limit l = limit_new(OUT, 1, 1);
  assert_int_equal(torque_stream_type_set_rate(p->type, l.rate), 0);
  for (int i = 0; i < MEMBERS; i++) {
    int fd[2];
    fixture_tcp(f, fd);
    const torque_source s = make(p, fd[1], i % 2 ? l.rate : NULL);
    write_pattern(f, s, MUCH);
    if (i != 5) assert_int_equal(torque_source_start(s), 0);
  }
  fixture_settle(f);
  fixture_stop(f);
  assert_int_equal(p->closed, MEMBERS);
  assert_int_equal(torque_rate_set(l.rate, OUT, 5, 0), 0); /* there is nobody to wake */
  torque_rate_free(l.rate);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(output),     ON_EVERY(own_set_often), ON_EVERY(input),     ON_EVERY(ends_after_input), ON_EVERY(group),
      ON(driven, turns),    ON_EVERY(own_and_group), ON_EVERY(members_go),   ON_EVERY(changed),
      ON_EVERY(set_again),  ON_EVERY(another_type),  ON_EVERY(paused),       ON_EVERY(closed),
      ON_EVERY(limits),     ON_EVERY(limits_of_input), ON_EVERY(all_kinds),  ON_EVERY(layers),
      ON_EVERY(piped),      ON_EVERY(awaited),   ON_EVERY(costs_nothing),    ON_EVERY(arguments),
      ON_EVERY(changed_by_many), ON_EVERY(stopped), ON_EVERY(set_all_the_time), ON_EVERY(a_large_burst_while_one_waits),
      ON(driven, lowered), ON(driven, connect_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
