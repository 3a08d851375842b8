/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of each kind from a real name server, and each way in which there are none. */
#include "asked.h"
#include "support/nameserver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "support/cmocka.h"

static struct unbound server;

static int start(void **state) {
  (void)state;
  static char zone[32768];
  size_t n =
      (size_t)snprintf(zone, sizeof zone,
                       "$TTL 300\n@ SOA ns.test. admin.test. 1 3600 600 86400 60\n@ NS ns.test.\nns A 192.0.2.1\n"
                       "host AAAA 2001:db8::10\nonly4 A 192.0.2.11\n"
                       "www CNAME web\nweb CNAME host\nloop CNAME loop2\nloop2 CNAME loop\ndangling CNAME nowhere\n"
                       "mail MX 10 mx1\nmail MX 20 mx2.test.\n"
                       "txt TXT \"one\" \"two words\" \"\"\n_sip._tcp SRV 5 60 5060 host\n"
                       "*.many A 192.0.2.99\nback\\.slash A 192.0.2.12\n");
  n += (size_t)snprintf(zone + n, sizeof zone - n, "long TXT");
  for (int i = 0; i < 3; i++) {
    n += (size_t)snprintf(zone + n, sizeof zone - n, " \"");
    for (int j = 0; j < 255; j++) zone[n++] = (char)('a' + i);
    zone[n++] = '"';
  }
  zone[n++] = '\n';
  for (int i = 0; i < 200; i++) n += (size_t)snprintf(zone + n, sizeof zone - n, "big A 192.0.2.%d\n", i);
  snprintf(zone + n, sizeof zone - n, "host 77 A 192.0.2.10\n"); /* last: what follows would have its TTL */
  return unbound_start(&server, zone,
                       "$TTL 300\n@ SOA ns.test. admin.test. 1 3600 600 86400 60\n@ NS ns.test.\n"
                       "10 PTR host.test.\n10 PTR www.test.\n");
}

static int stop(void **state) {
  (void)state;
  unbound_stop(&server);
  return 0;
}

static void each_type(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, server.address);
  assert_answer(f, r, "host.test", TORQUE_DNS_A, 0, "host.test 77 1 192.0.2.10\n");
  assert_answer(f, r, "HOST.Test.", TORQUE_DNS_AAAA, 0, NULL);
  assert_answer(f, r, "host.test", TORQUE_DNS_AAAA, 0, "host.test 300 28 2001:db8::10\n");
  assert_answer(f, r, "www.test", TORQUE_DNS_CNAME, 0, "www.test 300 5 web.test\n");
  assert_answer(f, r, "www.test", TORQUE_DNS_A, 0, "alias www.test\nalias web.test\nhost.test 77 1 192.0.2.10\n");
  assert_answer(f, r, "mail.test", TORQUE_DNS_MX, 0, "mail.test 300 15 10 mx1.test\nmail.test 300 15 20 mx2.test\n");
  assert_answer(f, r, "txt.test", TORQUE_DNS_TXT, 0, "txt.test 300 16 3:one 9:two words 0:\n");
  assert_answer(f, r, "_sip._tcp.test", TORQUE_DNS_SRV, 0, "_sip._tcp.test 300 33 5 60 5060 host.test\n");
  assert_answer(f, r, "test", TORQUE_DNS_NS, 0, "test 300 2 ns.test\n");
  assert_answer(f, r, "test", TORQUE_DNS_SOA, 0, "test 300 6\n");
  assert_answer(f, r, "back\\.slash.test", TORQUE_DNS_A, 0, "back\\.slash.test 300 1 192.0.2.12\n");
  torque_resolver_free(r);
}

static void long_texts(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, server.address);
  struct asked *a = ask(f, r, "long.test", TORQUE_DNS_TXT);
  await_answer(f, a, 0, NULL);
  char expected[1024], *p = expected + sprintf(expected, "long.test 300 16");
  for (int i = 0; i < 3; i++) {
    p += sprintf(p, " 255:");
    memset(p, 'a' + i, 255);
    p += 255;
  }
  strcpy(p, "\n");
  assert_string_equal(a->text, expected);
  torque_resolver_free(r);
}

static void addresses_backwards(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, server.address);
  struct sockaddr_in v4 = {.sin_family = AF_INET};
  struct asked *a = asked_new(f);
  assert_int_equal(inet_pton(AF_INET, "192.0.2.10", &v4.sin_addr), 1);
  assert_int_equal(torque_resolver_query_address(r, &v4, sizeof v4, on_answer, a, &a->query), 0);
  await_answer(f, a, 0, "10.2.0.192.in-addr.arpa 300 12 host.test\n10.2.0.192.in-addr.arpa 300 12 www.test\n");
  v4.sin_addr.s_addr = htonl(0xc0000263);
  a = asked_new(f);
  assert_int_equal(torque_resolver_query_address(r, &v4, sizeof v4, on_answer, a, &a->query), 0);
  await_answer(f, a, TORQUE_ERR_DNS_NXDOMAIN, "");
  assert_int_equal(torque_resolver_query_address(r, &v4, 3, on_answer, a, NULL), TORQUE_ERR_INVAL);
  v4.sin_family = AF_UNIX;
  assert_int_equal(torque_resolver_query_address(r, &v4, sizeof v4, on_answer, a, NULL), TORQUE_ERR_INVAL);
  torque_resolver_free(r);
}

static void failures_are_told_apart(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, server.address);
  assert_answer(f, r, "nothing.test", TORQUE_DNS_A, TORQUE_ERR_DNS_NXDOMAIN, "");
  assert_answer(f, r, "only4.test", TORQUE_DNS_AAAA, TORQUE_ERR_DNS_NODATA, "");
  assert_answer(f, r, "www.test", TORQUE_DNS_TXT, TORQUE_ERR_DNS_NODATA, NULL); /* aliases to what has none */
  assert_answer(f, r, "dangling.test", TORQUE_DNS_A, TORQUE_ERR_DNS_NODATA, NULL);
  assert_answer(f, r, "x.servfail.example", TORQUE_DNS_A, TORQUE_ERR_DNS_SERVFAIL, "");
  assert_answer(f, r, "refused.example", TORQUE_DNS_A, TORQUE_ERR_DNS_REFUSED, "");
  char name[600];
  memset(name, 'x', sizeof name);
  name[599] = 0;
  assert_answer(f, r, name, TORQUE_DNS_A, TORQUE_ERR_DNS_BADNAME, "");
  assert_answer(f, r, "two..dots", TORQUE_DNS_A, TORQUE_ERR_DNS_BADNAME, "");
  struct asked *a = ask(f, r, "nothing.test", TORQUE_DNS_A);
  await_answer(f, a, TORQUE_ERR_DNS_NXDOMAIN, "");
  assert_true(a->had_answer);
  torque_resolver_free(r);
}

static void arguments(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, server.address);
  struct asked *a = asked_new(f);
  torque_query q = 5;
  assert_int_equal(torque_resolver_query(NULL, "a", 1, 0, on_answer, a, &q), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_query(r, NULL, 1, 0, on_answer, a, &q), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_query(r, "a", 0, 0, on_answer, a, &q), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_query(r, "a", 1, 2, on_answer, a, &q), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_query(r, "a", 1, 0, NULL, a, &q), TORQUE_ERR_INVAL);
  assert_true(q == 5);
  assert_int_equal(torque_resolver_cancel(r, 0), TORQUE_ERR_STALE);
  assert_int_equal(torque_resolver_cancel(r, 12345), TORQUE_ERR_STALE);
  assert_int_equal(torque_resolver_cancel(NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_servers(r, ""), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_servers(r, "example.org"), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_servers(r, "127.0.0.1:0"), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_servers(r, "[::1]:53, 127.0.0.1"), 0);
  assert_int_equal(torque_resolver_set_servers(r, NULL), 0);
  assert_int_equal(torque_resolver_set_lookups(r, "x"), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_lookups(r, "fb"), 0);
  assert_int_equal(torque_resolver_set_timeout(r, 999), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_tries(r, 101), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_ndots(r, 16), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_flags(r, 0x10), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_max_in_flight(r, 50001), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_set_udp_max_queries(r, 1001), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_new(NULL, &r), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolver_new(f->ctx, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_answer_count(NULL), 0);
  assert_null(torque_answer_owner(NULL, 0));
  assert_null(torque_addresses_get(NULL, 0, NULL));
  torque_resolver_free(r);
  torque_resolver_free(NULL);
}

/* 200 addresses do not fit into a datagram: TCP, whether that comes by truncation or was asked for. */
static void more_than_a_datagram_holds(void **state) {
  struct fixture *f = *state;
  const uint32_t flags[] = {0, TORQUE_RESOLVER_EDNS, TORQUE_RESOLVER_TCP};
  for (int i = 0; i < 3; i++) {
    struct torque_resolver *r = resolver_for(f, server.address);
    assert_int_equal(torque_resolver_set_flags(r, flags[i]), 0);
    struct asked *a = ask(f, r, "big.test", TORQUE_DNS_A);
    await_answer(f, a, 0, NULL);
    size_t lines = 0;
    for (const char *p = a->text; (p = strchr(p, '\n')); p++) lines++;
    assert_true(lines > 90); /* what the text has room for */
    assert_answer(f, r, "host.test", TORQUE_DNS_A, 0, "host.test 77 1 192.0.2.10\n");
    torque_resolver_free(r);
  }
}

static void search_domains(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, server.address);
  assert_int_equal(torque_resolver_set_search(r, "nowhere.test, test"), 0);
  assert_int_equal(torque_resolver_set_ndots(r, 1), 0);
  struct asked *a = asked_new(f);
  assert_int_equal(torque_resolver_query(r, "host", 1, TORQUE_QUERY_SEARCH, on_answer, a, &a->query), 0);
  await_answer(f, a, 0, "host.test 77 1 192.0.2.10\n");
  assert_answer(f, r, "host", 1, TORQUE_ERR_DNS_REFUSED, ""); /* as it is */
  assert_int_equal(torque_resolver_set_flags(r, TORQUE_RESOLVER_NO_SEARCH), 0);
  a = asked_new(f);
  assert_int_equal(torque_resolver_query(r, "host", 1, TORQUE_QUERY_SEARCH, on_answer, a, &a->query), 0);
  await_answer(f, a, TORQUE_ERR_DNS_REFUSED, "");
  torque_resolver_free(r);
}

/* Ten thousand names; all have an answer, and the right one. By UDP so many at a time as a server's receive buffer
 * holds; by TCP, where nothing is lost, all at once. */
enum { MANY = 10000 };
static void thousands(struct fixture *f, uint32_t in_flight, uint32_t flags) {
  struct torque_resolver *r = resolver_for(f, server.address);
  _Atomic uint32_t *total = fixture_take(f, sizeof *total);
  _Atomic int32_t *inside = fixture_take(f, sizeof *inside);
  const uint32_t many = FEWER(MANY);
  struct asked **a = fixture_take(f, many * sizeof *a);
  assert_int_equal(torque_resolver_set_timeout(r, (flags ? 60000 : 500) * (uint64_t)MS), 0);
  assert_int_equal(torque_resolver_set_tries(r, 8), 0);
  assert_int_equal(torque_resolver_set_flags(r, flags), 0);
  assert_int_equal(torque_resolver_set_max_in_flight(r, in_flight), 0);
  for (uint32_t i = 0; i < many; i++) {
    char name[64];
    a[i] = asked_new(f);
    a[i]->total = total;
    a[i]->inside = inside;
    snprintf(name, sizeof name, "n%u.many.test", i);
    assert_int_equal(torque_resolver_query(r, name, TORQUE_DNS_A, 0, on_answer, a[i], &a[i]->query), 0);
  }
  for (uint32_t done = 0; (done = atomic_load(total)) < many;) AWAIT(f, atomic_load(total) > done);
  AWAIT(f, torque_resolver_outstanding(r) == 0);
  for (uint32_t i = 0; i < many; i++) {
    char text[128];
    snprintf(text, sizeof text, "n%u.many.test 300 1 192.0.2.99\n", i);
    await_answer(f, a[i], 0, text);
  }
  torque_resolver_free(r);
}
static void thousands_in_turns(void **state) { thousands(*state, 100, 0); }
static void thousands_in_flight(void **state) { thousands(*state, MANY, TORQUE_RESOLVER_TCP); }

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(each_type),
      ON_EVERY(long_texts),
      ON_EVERY(addresses_backwards),
      ON_EVERY(failures_are_told_apart),
      ON(driven, arguments),
      ON_EVERY(more_than_a_datagram_holds),
      ON_EVERY(search_domains),
      ON(live, thousands_in_turns),
      ON(live, thousands_in_flight),
      ON(synthetic, thousands_in_turns),
      ON(driven, thousands_in_turns),
      ON(driven, thousands_in_flight),
  };
  const int started = start(NULL);
  if (started) {
    stop(NULL);
    return started == 77 ? 77 : 1;
  }
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  stop(NULL);
  return failed;
}
