/* SPDX-License-Identifier: BSD-3-Clause */
/* Hosts: addresses in text, the hosts file before and after the servers, localhost, services, the order of addresses.
 */
#include "asked.h"
#include "support/nameserver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "support/cmocka.h"

/* Knows each name under 192.0.2.53, and nothing called "missing"; no IPv6 but for "six". */
static size_t knows_all(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  static const uint8_t v4[4] = {192, 0, 2, 53}, v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 6};
  (void)most, (void)tcp, (void)arg;
  if (memcmp(query + 13, "missing", 7) == 0) return reply_begin(query, size, out, 3, 0);
  if (memcmp(query + 13, "short", 5) == 0 && query[18] == 0) return reply_begin(query, size, out, 3, 0);
  const size_t begin = reply_begin(query, size, out, 0, 0);
  const int type = out[begin - 3];
  if (type == TORQUE_DNS_A) {
    out[7] = 1;
    return reply_add(out, begin, TORQUE_DNS_A, 30, v4, 4);
  }
  if (type == TORQUE_DNS_AAAA && memcmp(query + 13, "six", 3) == 0) {
    out[7] = 1;
    return reply_add(out, begin, TORQUE_DNS_AAAA, 30, v6, 16);
  }
  return begin;
}

static struct asked *resolve(struct fixture *f, struct torque_resolver *r, const char *host, const char *service,
                             int family, uint32_t flags) {
  struct asked *a = asked_new(f);
  assert_int_equal(torque_resolve(r, host, service, family, flags, on_addresses, a, &a->query), 0);
  return a;
}

static void write_hosts(const char *path, const char *text) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
}

static void hosts_file(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, knows_all, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  char path[] = "/tmp/torque-hosts-XXXXXX";
  close(mkstemp(path));
  write_hosts(
      path,
      "# comment\n192.0.2.1 box.lan box # its names\n\n192.0.2.2\tbox.lan\n2001:db8::1 box.lan\nnonsense x.lan\n"
      "192.0.2.9 y.lan");
  assert_int_equal(torque_resolver_set_hosts_file(r, path), 0);
  assert_int_equal(torque_resolver_set_lookups(r, "fb"), 0);
  await_answer(f, resolve(f, r, "BOX.lan", "80", AF_INET, 0), 0, "192.0.2.1 80 16\n192.0.2.2 80 16\n");
  await_answer(f, resolve(f, r, "box", NULL, AF_INET, 0), 0, "192.0.2.1 0 16\nname box.lan\n");
  await_answer(f, resolve(f, r, "box.lan", "7", AF_INET6, 0), 0, "2001:db8::1 7 28\n");
  await_answer(f, resolve(f, r, "y.lan", NULL, 0, 0), 0, "192.0.2.9 0 16\n");
  await_answer(f, resolve(f, r, "x.lan", NULL, 0, 0), 0, "192.0.2.53 0 16\n"); /* not in there: asked for */
  await_answer(f, resolve(f, r, "box", NULL, AF_INET6, 0), TORQUE_ERR_DNS_NODATA, "");

  assert_int_equal(torque_resolver_set_lookups(r, "bf"), 0); /* the servers first */
  await_answer(f, resolve(f, r, "y.lan", NULL, 0, 0), 0, "192.0.2.53 0 16\n");
  write_hosts(path, "192.0.2.4 missing\n192.0.2.5 missing.one\n"); /* noticed */
  await_answer(f, resolve(f, r, "missing", NULL, 0, 0), 0, "192.0.2.4 0 16\n");
  await_answer(f, resolve(f, r, "missing2", NULL, 0, 0), TORQUE_ERR_DNS_NXDOMAIN, "");

  assert_int_equal(torque_resolver_set_lookups(r, "f"), 0);
  const uint32_t asked = s->asked_udp;
  await_answer(f, resolve(f, r, "y.lan", NULL, 0, 0), TORQUE_ERR_DNS_NXDOMAIN, "");
  assert_int_equal(torque_resolver_set_hosts_file(r, ""), 0);
  await_answer(f, resolve(f, r, "missing", NULL, 0, 0), TORQUE_ERR_DNS_NXDOMAIN, "");
  assert_int_equal(torque_resolver_set_hosts_file(r, "/nonexistent/hosts"), 0);
  await_answer(f, resolve(f, r, "missing", NULL, 0, 0), TORQUE_ERR_DNS_NXDOMAIN, "");
  assert_int_equal(s->asked_udp, asked);
  unlink(path);
  torque_resolver_free(r);
}

static void nobody_is_asked(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, knows_all, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  await_answer(f, resolve(f, r, "192.0.2.77", "443", 0, 0), 0, "192.0.2.77 443 16\n");
  await_answer(f, resolve(f, r, "2001:db8::5", "443", 0, TORQUE_RESOLVE_NUMERIC), 0, "2001:db8::5 443 28\n");
  await_answer(f, resolve(f, r, "fe80::1%1", NULL, 0, 0), 0, "fe80::1%1 0 28\n");
  await_answer(f, resolve(f, r, "192.0.2.77", NULL, AF_INET6, 0), TORQUE_ERR_DNS_NODATA, "");
  await_answer(f, resolve(f, r, "name", NULL, 0, TORQUE_RESOLVE_NUMERIC), TORQUE_ERR_DNS_BADNAME, "");
  await_answer(f, resolve(f, r, NULL, "80", AF_INET, TORQUE_RESOLVE_PASSIVE), 0, "0.0.0.0 80 16\n");
  await_answer(f, resolve(f, r, NULL, "80", AF_INET6, TORQUE_RESOLVE_PASSIVE), 0, ":: 80 28\n");
  await_answer(f, resolve(f, r, NULL, "80", AF_INET, 0), 0, "127.0.0.1 80 16\n");
  await_answer(f, resolve(f, r, "localhost", "http", AF_INET, 0), 0, "127.0.0.1 80 16\n");
  await_answer(f, resolve(f, r, "a.localhost.", "domain", AF_INET6, TORQUE_RESOLVE_DATAGRAM), 0, "::1 53 28\n");
  assert_int_equal(s->asked_udp, 0);
  struct asked *a = asked_new(f);
  assert_int_equal(torque_resolve(r, "x", "no-such-service", 0, 0, on_addresses, a, NULL), TORQUE_ERR_DNS_SERVICE);
  assert_int_equal(torque_resolve(r, "x", "65536", 0, 0, on_addresses, a, NULL), TORQUE_ERR_DNS_SERVICE);
  assert_int_equal(torque_resolve(r, "", "80", 0, 0, on_addresses, a, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolve(r, NULL, NULL, 0, 0, on_addresses, a, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolve(r, "x", "80", 77, 0, on_addresses, a, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolve(r, "x", "80", 0, 8, on_addresses, a, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_resolve(r, "x", "80", 0, 0, NULL, a, NULL), TORQUE_ERR_INVAL);
  torque_resolver_free(r);
}

static void servers_are_asked_for_both_families(void **state) {
  struct fixture *f = *state;
  struct fake *s = fake_start(f, knows_all, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  await_answer(f, resolve(f, r, "four.test", "80", 0, 0), 0, "192.0.2.53 80 16\n");
  struct asked *a = resolve(f, r, "six.test", "80", 0, 0);
  await_answer(f, a, 0, NULL);
  assert_non_null(strstr(a->text, "192.0.2.53 80 16\n"));
  assert_non_null(strstr(a->text, "2001:db8::6 80 28\n"));
  await_answer(f, resolve(f, r, "four.test", "80", AF_INET6, 0), TORQUE_ERR_DNS_NODATA, "");
  await_answer(f, resolve(f, r, "missing", "80", 0, 0), TORQUE_ERR_DNS_NXDOMAIN, "");
  assert_int_equal(torque_resolver_set_search(r, "found.test"), 0);
  await_answer(f, resolve(f, r, "short", "80", AF_INET, 0), 0, "192.0.2.53 80 16\n");
  torque_resolver_free(r);
}

/* The system's own files, whatever they say: an end comes. */
static void as_the_system_says(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = NULL;
  assert_int_equal(torque_resolver_new(f->ctx, &r), 0);
  struct asked *a = resolve(f, r, "localhost", "80", AF_INET, 0);
  await_answer(f, a, 0, "127.0.0.1 80 16\n");
  torque_resolver_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(hosts_file),
      ON_EVERY(nobody_is_asked),
      ON_EVERY(servers_are_asked_for_both_families),
      ON_EVERY(as_the_system_says),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
