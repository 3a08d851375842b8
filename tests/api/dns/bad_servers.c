/* SPDX-License-Identifier: BSD-3-Clause */
/* Servers that are silent, absent, wrong, or worse: each has a defined end, and the good answer wins where there is
 * one. */
#include "asked.h"
#include "support/nameserver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/resource.h>

#include "support/cmocka.h"

enum { TIMED_OUT = TORQUE_ERR_SYSCALL + ETIMEDOUT };
static const uint8_t address[4] = {192, 0, 2, 7};

/* Soon again, but in the end long enough for a slow machine. */
static void persistent(struct torque_resolver *r) {
  assert_int_equal(torque_resolver_set_timeout(r, 100 * (uint64_t)MS), 0);
  assert_int_equal(torque_resolver_set_tries(r, 8), 0);
}

static void impatient(struct torque_resolver *r) {
  assert_int_equal(torque_resolver_set_timeout(r, 40 * (uint64_t)MS), 0);
  assert_int_equal(torque_resolver_set_tries(r, 2), 0);
}

static size_t silence(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  (void)query, (void)size, (void)out, (void)most, (void)tcp, (void)arg;
  return 0;
}

static size_t good(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  (void)most, (void)tcp, (void)arg;
  return reply_add(out, reply_begin(query, size, out, 0, 1), TORQUE_DNS_A, 5, address, 4);
}

/* arg: the response code. */
static size_t failing(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  (void)most, (void)tcp;
  return reply_begin(query, size, out, (int)(intptr_t)arg, 0);
}

static void silent_servers_time_out(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, silence, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  impatient(r);
  struct asked *a[50];
  for (int i = 0; i < 50; i++) {
    char name[32];
    snprintf(name, sizeof name, "n%d.test", i);
    a[i] = ask(f, r, name, TORQUE_DNS_A);
  }
  for (int i = 0; i < 50; i++) await_answer(f, a[i], TIMED_OUT, "");
  assert_int_equal(torque_resolver_outstanding(r), 0);
  assert_true(s->asked_udp >= 100); /* each was asked twice */
  torque_resolver_free(r);
}

static void absent_servers(void **state) {
  struct fixture *f = *state;
  char where[32];
  snprintf(where, sizeof where, "127.0.0.1:%d", free_port());
  struct torque_resolver *r = resolver_for(f, where);
  impatient(r);
  assert_answer(f, r, "x.test", TORQUE_DNS_A, TORQUE_ERR_DNS_NOSERVER, "");
  assert_int_equal(torque_resolver_set_flags(r, TORQUE_RESOLVER_TCP), 0);
  assert_answer(f, r, "x.test", TORQUE_DNS_A, TORQUE_ERR_DNS_NOSERVER, "");
  torque_resolver_free(r);
}

static void the_next_server_is_asked(void **state) {
  struct fixture *f = *state;
  struct fake *silent = fake_start(f, silence, NULL), *fine = fake_start(f, good, NULL);
  const int code[] = {2, 4, 5}; /* SERVFAIL, NOTIMP, REFUSED */
  char both[80];
  snprintf(both, sizeof both, "%s %s", silent->address, fine->address);
  struct torque_resolver *r = resolver_for(f, both);
  persistent(r);
  assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
  for (int i = 0; i < 3; i++) {
    struct fake *bad = fake_start(f, failing, (void *)(intptr_t)code[i]);
    snprintf(both, sizeof both, "%s %s", bad->address, fine->address);
    assert_int_equal(torque_resolver_set_servers(r, both), 0);
    assert_answer(f, r, "y.test", TORQUE_DNS_A, 0, "y.test 5 1 192.0.2.7\n");
    assert_true(bad->asked_udp > 0);
    assert_int_equal(torque_resolver_set_lookups(r, "b"), 0);
    struct asked *a = asked_new(f);
    assert_int_equal(torque_resolve(r, "z.test", "80", AF_INET, 0, on_addresses, a, &a->query), 0);
    await_answer(f, a, 0, "192.0.2.7 80 16\n");
  }
  torque_resolver_free(r);
}

/* All of them fail: what the first one said is told. */
static void failures_of_all(void **state) {
  struct fixture *f = *state;
  const struct {
    int code;
    torque_err err;
  } known[] = {{1, TORQUE_ERR_DNS_FORMERR}, {2, TORQUE_ERR_DNS_SERVFAIL}, {3, TORQUE_ERR_DNS_NXDOMAIN},
               {4, TORQUE_ERR_DNS_NOTIMP},  {5, TORQUE_ERR_DNS_REFUSED},  {0, TORQUE_ERR_DNS_NODATA}};
  struct torque_resolver *r = resolver_for(f, "127.0.0.1:1");
  persistent(r);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    struct fake *one = fake_start(f, failing, (void *)(intptr_t)known[i].code);
    struct fake *two = fake_start(f, failing, (void *)(intptr_t)known[i].code);
    assert_int_equal(torque_resolver_set_servers(r, one->address), 0);
    assert_answer(f, r, "x.test", TORQUE_DNS_A, known[i].err, "");
    char both[80];
    snprintf(both, sizeof both, "%s,%s", one->address, two->address);
    assert_int_equal(torque_resolver_set_servers(r, both), 0);
    assert_answer(f, r, "x.test", TORQUE_DNS_A, known[i].err, "");
    struct asked *a = asked_new(f);
    assert_int_equal(torque_resolve(r, "z.test", NULL, AF_INET6, 0, on_addresses, a, &a->query), 0);
    await_answer(f, a, known[i].err, "");
  }
  torque_resolver_free(r);
}

/* ---- Nonsense ---- */

struct liar {
  int how;
  _Atomic int lies;
};
enum { WRONG_ID, SHORT, HEADER_ONLY, OTHER_QUESTION, EMPTY, NOISE, LIES };

/* Lies once for each query, then tells the truth. */
static size_t lies_first(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  struct liar *l = arg;
  size_t n = good(query, size, out, most, tcp, NULL);
  if (atomic_fetch_add(&l->lies, 1) % 2) return n;
  switch (l->how) {
    case WRONG_ID:
      out[0] ^= 0x55;
      break;
    case SHORT:
      n = 5;
      break;
    case HEADER_ONLY:
      n = 12;
      break;
    case OTHER_QUESTION:
      out[13] ^= 1;
      break;
    case EMPTY:
      n = 12, memset(out, 0, 12);
      break;
    default:
      for (size_t i = 0; i < 500; i++) out[i] = (uint8_t)(i * 37);
      n = 500;
  }
  return n;
}

static void what_is_no_answer_is_waited_out(void **state) {
  struct fixture *f = *state;
  for (int how = 0; how < LIES; how++) {
    struct liar *l = fixture_take(f, sizeof *l);
    l->how = how;
    struct fake *s = fake_start(f, lies_first, l);
    struct torque_resolver *r = resolver_for(f, s->address);
    persistent(r);
    assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
    torque_resolver_free(r);
  }
}

/* The right id and question, and then: a record cut off, a name that points forwards, an address of three bytes, a
 * count that is too large, a name of somebody else. */
static size_t malformed(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  (void)most, (void)tcp;
  const size_t begin = reply_begin(query, size, out, 0, 1);
  switch ((int)(intptr_t)arg) {
    case 0:
      return reply_add(out, begin, TORQUE_DNS_A, 5, address, 4) - 2;
    case 1: {
      const size_t n = reply_add(out, begin, TORQUE_DNS_A, 5, address, 4);
      out[begin + 1] = (uint8_t)(begin + 2);
      return n;
    }
    case 2:
      return reply_add(out, begin, TORQUE_DNS_A, 5, address, 3);
    case 3:
      out[7] = 200;
      return reply_add(out, begin, TORQUE_DNS_A, 5, address, 4);
    case 4:
      return reply_add(out, begin, TORQUE_DNS_MX, 5, "\0\1\300\377", 4);
    case 5:
      return reply_add(out, begin, TORQUE_DNS_TXT, 5, "\5ab", 3);
    default:
      return reply_add(out, begin, TORQUE_DNS_CNAME, 5, "\300\014", 2); /* an alias of itself */
  }
}

static void what_makes_no_sense_is_told_so(void **state) {
  struct fixture *f = *state;
  for (int how = 0; how < 7; how++) {
    struct fake *s = fake_start(f, malformed, (void *)(intptr_t)how);
    struct torque_resolver *r = resolver_for(f, s->address);
    persistent(r);
    struct asked *a = ask(f, r, "x.test", TORQUE_DNS_A);
    await_answer(f, a, TORQUE_ERR_DNS_BADRESP, "");
    assert_false(a->had_answer);
    torque_resolver_free(r);
  }
}

/* Records of other names in the answer: nobody asked for them. */
static size_t with_strangers(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  size_t n = good(query, size, out, most, tcp, arg);
  static const uint8_t stranger[] = {4, 'e', 'v', 'i', 'l', 0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 6, 6, 6, 6};
  memcpy(out + n, stranger, sizeof stranger);
  out[7] = 2;
  return n + sizeof stranger;
}

static void strangers_are_left_out(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, with_strangers, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
  torque_resolver_free(r);
}

/* Truncated by UDP, complete by TCP, in pieces. */
static size_t truncated(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  if (tcp) return good(query, size, out, most, tcp, arg);
  const size_t n = reply_begin(query, size, out, 0, 0);
  out[2] |= 2;
  return n;
}

static void truncation_leads_to_tcp(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, truncated, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  for (int i = 0; i < 5; i++) assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
  assert_true(s->asked_tcp >= 5);
  torque_resolver_free(r);
}

/* Hangs up twice instead of answering. */
static size_t hangs_up(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  return atomic_fetch_add((_Atomic int *)arg, 1) < 2 ? 1 : good(query, size, out, most, tcp, NULL);
}

static void who_hangs_up_is_asked_again(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, hangs_up, fixture_take(f, sizeof(int)));
  struct torque_resolver *r = resolver_for(f, s->address);
  persistent(r);
  assert_int_equal(torque_resolver_set_flags(r, TORQUE_RESOLVER_TCP), 0);
  assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
  assert_true(s->asked_tcp >= 3);
  torque_resolver_free(r);
}

static void new_sockets_after_so_many_queries(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, good, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  assert_int_equal(torque_resolver_set_udp_max_queries(r, 3), 0);
  struct asked *a[60];
  for (int i = 0; i < 60; i++) a[i] = ask(f, r, "x.test", TORQUE_DNS_A);
  for (int i = 0; i < 60; i++) await_answer(f, a[i], 0, "x.test 5 1 192.0.2.7\n");
  torque_resolver_free(r);
}

/* No descriptor left: an error, not a hang; and when there are some again it works. */
static void out_of_descriptors(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, good, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  persistent(r);
  assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
  AWAIT(f, torque_resolver_outstanding(r) == 0);
  fixture_settle(f);
  struct rlimit before, low;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  low = before;
  low.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  struct asked *a = ask(f, r, "x.test", TORQUE_DNS_A), *b = asked_new(f);
  assert_int_equal(torque_resolve(r, "y.test", NULL, 0, 0, on_addresses, b, &b->query), 0);
  struct patience p = patience_start();
  while ((!a->calls || !b->calls) && fixture_step(f, &p)) {
  }
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  await_answer(f, a, TORQUE_ERR_DNS_NOSERVER, "");
  await_answer(f, b, TORQUE_ERR_DNS_NOSERVER, "");
  assert_answer(f, r, "x.test", TORQUE_DNS_A, 0, "x.test 5 1 192.0.2.7\n");
  torque_resolver_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(silent_servers_time_out),
      ON_EVERY(absent_servers),
      ON_EVERY(the_next_server_is_asked),
      ON(live, failures_of_all),
      ON(driven, failures_of_all),
      ON_EVERY(what_is_no_answer_is_waited_out),
      ON_EVERY(what_makes_no_sense_is_told_so),
      ON_EVERY(strangers_are_left_out),
      ON_EVERY(truncation_leads_to_tcp),
      ON_EVERY(who_hangs_up_is_asked_again),
      ON_EVERY(new_sockets_after_so_many_queries),
      ON_EVERY(out_of_descriptors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
