/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server's answer makes necessary: the question again without EDNS, again by TCP, on a new connection; what it
 * makes impossible: aliases in a circle, addresses of another family. And who was answered is not told that his time is
 * over, however long the resolver was busy. */
#include "asked.h"
#include "support/nameserver.h"

#include <arpa/inet.h>
#include <errno.h>

#include "support/cmocka.h"

enum { TIMED_OUT = TORQUE_ERR_SYSCALL + ETIMEDOUT, HOUR_MS = 3600 * 1000 };
static const uint8_t v4[4] = {192, 0, 2, 7};

static int type_of(const uint8_t *out, size_t begin) { return out[begin - 4] << 8 | out[begin - 3]; }

static size_t good(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  static const uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 7};
  (void)most, (void)tcp, (void)arg;
  const size_t begin = reply_begin(query, size, out, 0, 1);
  if (type_of(out, begin) == TORQUE_DNS_AAAA) return reply_add(out, begin, TORQUE_DNS_AAAA, 5, v6, 16);
  return reply_add(out, begin, TORQUE_DNS_A, 5, v4, 4);
}

static void wait_for_answers(struct torque_resolver *r, uint32_t tries) {
  assert_int_equal(torque_resolver_set_timeout(r, HOUR_MS * (uint64_t)MS), 0); /* nothing comes of a timeout */
  assert_int_equal(torque_resolver_set_tries(r, tries), 0);
}

static struct asked *resolve(struct fixture *f, struct torque_resolver *r, const char *host, int family) {
  struct asked *a = asked_new(f);
  assert_int_equal(torque_resolve(r, host, "80", family, 0, on_addresses, a, &a->query), 0);
  return a;
}

/* ---- EDNS ---- */

/* How a server that knows no OPT record says so. */
enum { IN_FULL, HEADER_ONLY, NOT_IMPLEMENTED, WAYS };

static size_t no_edns(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  const int way = (int)(intptr_t)arg;
  if (query[11] == 0) return good(query, size, out, most, tcp, NULL);
  const size_t n = reply_begin(query, size, out, way == NOT_IMPLEMENTED ? 4 : 1, 0);
  if (way != HEADER_ONLY) return n;
  out[5] = 0;
  return 12;
}

static void without_edns(void **state) {
  struct fixture *f = *state;
  enum { MANY = 40 };
  for (int way = 0; way < WAYS; way++) {
    struct fake *s = fake_start(f, no_edns, (void *)(intptr_t)way);
    struct torque_resolver *r = resolver_for(f, s->address);
    wait_for_answers(r, 1);
    assert_int_equal(torque_resolver_set_flags(r, TORQUE_RESOLVER_EDNS), 0);
    struct asked *a[MANY], *b[MANY];
    for (int i = 0; i < MANY; i++) {
      a[i] = ask(f, r, "x.test", TORQUE_DNS_A);
      b[i] = resolve(f, r, "y.test", AF_UNSPEC);
    }
    for (int i = 0; i < MANY; i++) {
      await_answer(f, a[i], 0, "x.test 5 1 192.0.2.7\n");
      await_answer(f, b[i], 0, NULL);
      assert_non_null(strstr(b[i]->text, "192.0.2.7 80 16\n"));
      assert_non_null(strstr(b[i]->text, "2001:db8::7 80 28\n"));
    }
    assert_true(s->asked_udp > 3 * MANY); /* OPT records were tried */
    const uint32_t before = s->asked_udp;
    assert_answer(f, r, "z.test", TORQUE_DNS_A, 0, "z.test 5 1 192.0.2.7\n");
    assert_int_equal(s->asked_udp, before + 1); /* and are not tried each time */
    torque_resolver_free(r);
  }
}

/* Who knows OPT records and finds fault with the question all the same is believed. */
static size_t formerr_with_opt(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  static const uint8_t opt[11] = {0, 0, 41, 4, 208};
  (void)most, (void)tcp, (void)arg;
  const size_t n = reply_begin(query, size, out, 1, 0);
  out[11] = 1;
  memcpy(out + n, opt, sizeof opt);
  return n + sizeof opt;
}

static void a_refusal_for_another_reason(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, formerr_with_opt, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  wait_for_answers(r, 1);
  assert_int_equal(torque_resolver_set_flags(r, TORQUE_RESOLVER_EDNS), 0);
  assert_answer(f, r, "x.test", TORQUE_DNS_A, TORQUE_ERR_DNS_FORMERR, "");
  assert_int_equal(s->asked_udp, 1);
  torque_resolver_free(r);
}

/* ---- TCP ---- */

struct by_tcp {
  _Atomic int failures; /* so many questions by TCP are not answered */
  int hangs_up;         /* 0: it stays silent */
};

static size_t truncated(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  struct by_tcp *b = arg;
  if (!tcp) {
    const size_t n = reply_begin(query, size, out, 0, 0);
    out[2] |= 2;
    return n;
  }
  if (atomic_fetch_sub(&b->failures, 1) > 0) return b->hangs_up ? 1 : 0;
  return good(query, size, out, most, tcp, NULL);
}

/* The rounds by TCP are as many as were set, each with a connection of its own, and those by UDP take none of them. */
static void rounds_by_tcp(void **state) {
  struct fixture *f = *state;
  for (int tries = 1; tries <= 3; tries++) {
    struct by_tcp *b = fixture_take(f, sizeof *b);
    struct fake *s = fake_start(f, truncated, b);
    struct torque_resolver *r = resolver_for(f, s->address);
    assert_int_equal(torque_resolver_set_timeout(r, 200 * (uint64_t)MS), 0);
    assert_int_equal(torque_resolver_set_tries(r, (uint32_t)tries), 0);
    b->failures = 1000; /* silent for ever */
    assert_answer(f, r, "x.test", TORQUE_DNS_A, TIMED_OUT, "");
    assert_int_equal(s->asked_tcp, tries);
    assert_int_equal(torque_resolver_set_flags(r, TORQUE_RESOLVER_TCP), 0);
    assert_answer(f, r, "x.test", TORQUE_DNS_A, TIMED_OUT, "");
    assert_int_equal(s->asked_tcp, 2 * tries);
    torque_resolver_free(r);
  }
}

static void silent_once_by_tcp(void **state) {
  struct fixture *f = *state;
  struct by_tcp *b = fixture_take(f, sizeof *b);
  struct fake *s = fake_start(f, truncated, b);
  struct torque_resolver *r = resolver_for(f, s->address);
  assert_int_equal(torque_resolver_set_timeout(r, 300 * (uint64_t)MS), 0);
  assert_int_equal(torque_resolver_set_tries(r, 8), 0);
  b->failures = 1;
  assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
  assert_true(s->asked_tcp >= 2);
  torque_resolver_free(r);
}

/* A connection that has ended says nothing about the server, also when there is to be one round alone. */
static void hung_up_by_tcp(void **state) {
  struct fixture *f = *state;
  struct by_tcp *b = fixture_take(f, sizeof *b);
  struct fake *s = fake_start(f, truncated, b);
  struct torque_resolver *r = resolver_for(f, s->address);
  b->hangs_up = 1;
  wait_for_answers(r, 1);
  b->failures = 1;
  assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
  b->failures = 1000;
  assert_answer(f, r, "x.test", TORQUE_DNS_A, TORQUE_ERR_DNS_NOSERVER, "");
  wait_for_answers(r, 4);
  b->failures = 4;
  struct asked *a = resolve(f, r, "x.test", AF_INET);
  await_answer(f, a, 0, "192.0.2.7 80 16\n");
  torque_resolver_free(r);
}

/* ---- Aliases and families ---- */

/* arg: so many aliases, each of the next ("b.test", "c.test"), and the last of the name that was asked for. */
static size_t circle(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  const int length = (int)(intptr_t)arg;
  (void)most, (void)tcp;
  size_t n = reply_begin(query, size, out, 0, length), owner = 12;
  for (int i = 0; i < length; i++) {
    const int last = i + 1 == length;
    const uint8_t record[] = {0xc0, (uint8_t)owner, 0, TORQUE_DNS_CNAME, 0, 1, 0, 0, 0, 9, 0, last ? 2 : 4};
    const uint8_t first[] = {0xc0, 12}, next[] = {1, (uint8_t)('b' + i), 0xc0, 13 + 1};
    memcpy(out + n, record, sizeof record);
    n += sizeof record;
    owner = n;
    memcpy(out + n, last ? first : next, last ? 2 : 4);
    n += last ? 2 : 4;
  }
  return n;
}

static void aliases_in_a_circle(void **state) {
  struct fixture *f = *state;
  for (int length = 1; length <= 3; length++) {
    struct fake *s = fake_start(f, circle, (void *)(intptr_t)length);
    struct torque_resolver *r = resolver_for(f, s->address);
    wait_for_answers(r, 1);
    assert_answer(f, r, "a.test", TORQUE_DNS_A, TORQUE_ERR_DNS_BADRESP, "");
    await_answer(f, resolve(f, r, "a.test", AF_UNSPEC), TORQUE_ERR_DNS_BADRESP, "");
    await_answer(f, resolve(f, r, "a.test", AF_INET), TORQUE_ERR_DNS_BADRESP, "");
    await_answer(f, resolve(f, r, "a.test", AF_INET6), TORQUE_ERR_DNS_BADRESP, "");
    torque_resolver_free(r);
  }
}

/* Addresses of both families, whatever was asked for. */
static size_t generous(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  static const uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 7};
  (void)most, (void)tcp, (void)arg;
  return reply_add(out, reply_add(out, reply_begin(query, size, out, 0, 2), TORQUE_DNS_A, 5, v4, 4), TORQUE_DNS_AAAA, 5,
                   v6, 16);
}

static void one_family(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, fake_start(f, generous, NULL)->address);
  await_answer(f, resolve(f, r, "x.test", AF_INET), 0, "192.0.2.7 80 16\n");
  await_answer(f, resolve(f, r, "x.test", AF_INET6), 0, "2001:db8::7 80 28\n");
  await_answer(f, resolve(f, r, "010.1.2.3", AF_INET), 0, "8.1.2.3 80 16\n");
  await_answer(f, resolve(f, r, "010.1.2.3", AF_INET6), TORQUE_ERR_DNS_NODATA, "");
  torque_resolver_free(r);
}

/* ---- Busy ---- */

struct busy {
  struct fake *s;
  uint32_t questions;
  _Atomic int all_asked;
};

/* Holds the resolver until all have been answered, and their time is over. Answered before all were asked it holds nothing:
 * those that are asked now would wait for it. */
static void hold(struct asked *a) {
  const struct busy *b = a->arg;
  if (!b->all_asked) return;
  STAY_UNTIL(b->s->asked_udp >= b->questions);
  const uint64_t end = monotonic_ns() + 400 * (uint64_t)MS;
  while (monotonic_ns() < end) nap();
}

static void answered_in_time(void **state) {
  struct fixture *f = *state;
  enum { MANY = 30 };
  struct busy b = {fake_start(f, good, NULL), 1 + MANY, 0};
  struct torque_resolver *r = resolver_for(f, b.s->address);
  assert_int_equal(torque_resolver_set_timeout(r, 150 * (uint64_t)MS), 0);
  assert_int_equal(torque_resolver_set_tries(r, 1), 0);
  struct asked *first = asked_new(f), *a[MANY];
  first->then = hold;
  first->arg = &b;
  assert_int_equal(torque_resolver_query(r, "x.test", TORQUE_DNS_A, 0, on_answer, first, &first->query), 0);
  for (int i = 0; i < MANY; i++) a[i] = ask(f, r, "y.test", TORQUE_DNS_A);
  b.all_asked = 1;
  await_answer(f, first, 0, NULL);
  for (int i = 0; i < MANY; i++) await_answer(f, a[i], 0, "y.test 5 1 192.0.2.7\n");
  torque_resolver_free(r);
}

/* Two hundred addresses, many times: each list is complete, and no question beside them goes without its answer. */
static size_t two_hundred(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  if (memcmp(query + 13, "many", 4)) return good(query, size, out, most, tcp, arg);
  size_t n = reply_begin(query, size, out, 0, tcp ? 200 : 0);
  if (!tcp) out[2] |= 2;
  for (int i = 0; tcp && i < 200; i++) {
    const uint8_t address[4] = {198, 51, 100, (uint8_t)i};
    n = reply_add(out, n, TORQUE_DNS_A, 5, address, 4);
  }
  return n;
}

static void many_addresses(void **state) {
  struct fixture *f = *state;
  enum { LISTS = 20 };
  struct torque_resolver *r = resolver_for(f, fake_start(f, two_hundred, NULL)->address);
  wait_for_answers(r, 1);
  struct asked *a[LISTS], *b[LISTS];
  for (int i = 0; i < LISTS; i++) {
    a[i] = resolve(f, r, "many.test", AF_INET);
    b[i] = resolve(f, r, "x.test", AF_INET);
  }
  for (int i = 0; i < LISTS; i++) {
    await_answer(f, b[i], 0, "192.0.2.7 80 16\n");
    await_answer(f, a[i], 0, NULL);
    assert_non_null(strstr(a[i]->text, "198.51.100."));
  }
  torque_resolver_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(without_edns),
      ON(live, a_refusal_for_another_reason),
      ON(live, rounds_by_tcp),
      ON(driven, rounds_by_tcp),
      ON(live, silent_once_by_tcp),
      ON(driven, silent_once_by_tcp),
      ON_EVERY(hung_up_by_tcp),
      ON_EVERY(aliases_in_a_circle),
      ON_EVERY(one_family),
      ON_EVERY(answered_in_time),
      ON_EVERY(many_addresses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
