/* SPDX-License-Identifier: BSD-3-Clause */
/* torque_resolve() beside the C library's getaddrinfo(): every form of a host, each family, with and without
 * "addresses only". Both have the same hosts file and the same name server; the addresses, or the kind of failure, and
 * what the server was asked must be the same.
 *
 * getaddrinfo() reads /etc/hosts, so that this program puts its own file there, in a mount namespace. Where it may not
 * have one, what getaddrinfo() has said about the hosts file is in the table. */
#define _GNU_SOURCE
#include "asked.h"
#include "support/nameserver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <nss.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>
#include <sys/mount.h>

#include "support/cmocka.h"

int __nss_configure_lookup(const char *database, const char *services);

enum { TEXT = 2048 };

static const char hosts[] =
    "127.0.0.1 localhost\n192.0.2.1 box.lan box # its names\n192.0.2.2\tbox.lan\n2001:db8::1 box.lan\n"
    "192.0.2.3 dot.lan.\n::1 loop.lan\n2001:db8::2 six.lan\n::ffff:192.0.2.4 mapped.lan\n::ffff:c000:205 hex.lan\n"
    "fe80::1%lo scope.lan\nfe80::1%1 number.lan\n127.1 short.lan\n0x7f.0.0.1 base.lan\n192.0.2.6 twice.lan twice.lan\n"
    "192.0.2.6 twice.lan\n192.0.2.7 real.lan alias.lan\n192.0.2.8 other.lan alias.lan\n::1 both.lan\n192.0.2.9 both.lan\n"
    "2001:db8::a mixed.lan\n192.0.2.10 mixed.lan\n2001:db8::b only.lan only\n192.0.2.12\vtab.lan\n192.0.2.13 cr.lan\r\n"
    "#192.0.2.14 comment.lan\n192.0.2.15 near.lan# comment\n  192.0.2.16 indented.lan\nfe80::5 link.lan";

/* What is in the hosts file, and what getaddrinfo() says about it: for both families, for IPv4, for IPv6. "?": the
 * server is asked. */
static const struct {
  const char *host, *any, *v4, *v6;
} in_hosts[] = {
    {"box.lan", "192.0.2.1 192.0.2.2 2001:db8::1", "192.0.2.1 192.0.2.2", "2001:db8::1"},
    {"BOX.LAN", "192.0.2.1 192.0.2.2 2001:db8::1", "192.0.2.1 192.0.2.2", "2001:db8::1"},
    {"box.lan.", "?", "?", "?"},
    {"box", "192.0.2.1", "192.0.2.1", "?"},
    {"dot.lan", "?", "?", "?"},
    {"dot.lan.", "192.0.2.3", "192.0.2.3", "?"},
    {"loop.lan", "::1", "127.0.0.1", "::1"},
    {"six.lan", "2001:db8::2", "?", "2001:db8::2"},
    {"mapped.lan", "::ffff:192.0.2.4", "192.0.2.4", "::ffff:192.0.2.4"},
    {"hex.lan", "::ffff:192.0.2.5", "192.0.2.5", "::ffff:192.0.2.5"},
    {"scope.lan", "?", "?", "?"},
    {"number.lan", "?", "?", "?"},
    {"short.lan", "?", "?", "?"},
    {"base.lan", "?", "?", "?"},
    {"twice.lan", "192.0.2.6", "192.0.2.6", "?"},
    {"alias.lan", "192.0.2.7 192.0.2.8", "192.0.2.7 192.0.2.8", "?"},
    {"both.lan", "192.0.2.9 ::1", "127.0.0.1 192.0.2.9", "::1"},
    {"mixed.lan", "192.0.2.10 2001:db8::a", "192.0.2.10", "2001:db8::a"},
    {"only", "2001:db8::b", "?", "2001:db8::b"},
    {"tab.lan", "192.0.2.12", "192.0.2.12", "?"},
    {"cr.lan", "192.0.2.13", "192.0.2.13", "?"},
    {"comment.lan", "?", "?", "?"},
    {"near.lan", "192.0.2.15", "192.0.2.15", "?"},
    {"indented.lan", "192.0.2.16", "192.0.2.16", "?"},
    {"link.lan", "fe80::5", "?", "fe80::5"},
};

static const char *const forms[] = {
    /* IPv4, with fewer than four numbers, in other bases, and what is no address although it looks like one */
    "192.0.2.1", "127.1", "1.2.3", "1", "0", "2130706433", "4294967295", "4294967296", "0x7f.1", "0x7f000001",
    "0X7F000001", "017700000001", "010.1.2.3", "00000001.2.3.4", "08.1.2.3", "0x.1.2.3", "256.1.2.3", "1.2.3.256",
    "1.2.3.4.5", "1.2.3.4.", "1.2.65535", "1.2.65536", "1.16777215", "1.16777216", "1.", "1..2", ".1", "0xg.1",
    /* IPv6, IPv4 in it, and scopes */
    "::1", "::", "::ffff:192.0.2.1", "::ffff:c000:201", "::192.0.2.1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
    "1:2:3:4:5:6:7:8:9", "fe80::1%lo", "fe80::1%1", "fe80::1%01", "fe80::1%0", "fe80::1%", "fe80::1%77",
    "fe80::1%nosuch", "fe80::1%4294967296", "fe80::1%+1", "::1%lo", "::1%1", "2001:db8::1%lo", "2001:db8::1%5",
    "ff01::1%lo", "ff02::1%lo", "ff05::1%lo", "::ffff:192.0.2.1%lo",
    /* names, which the server is asked for */
    "four.test", "both.test", "both.test.", "mixed.test", "missing.test", "four.test.", "under_score.test", "a-b.test",
    "1a.test", "-a.test"};

/* ---- The server ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char questions[TEXT];

static void note_question(const uint8_t *query, int type) {
  char name[256];
  size_t n = 0, at = 12;
  for (; query[at]; at += query[at] + 1u)
    n += (size_t)snprintf(name + n, sizeof name - n, "%.*s.", query[at], query + at + 1);
  pthread_mutex_lock(&lock);
  char *begin = questions + strlen(questions);
  snprintf(begin, sizeof questions - (size_t)(begin - questions), "%s %d\n", name, type);
  pthread_mutex_unlock(&lock);
}

/* IPv4 for each name, IPv6 for those not called "four", both for "mixed" whatever was asked, nothing for "missing". */
static size_t knows_all(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  static const uint8_t v4[4] = {192, 0, 2, 53}, v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 6};
  (void)most, (void)tcp, (void)arg;
  size_t n = reply_begin(query, size, out, memcmp(query + 13, "missing", 7) ? 0 : 3, 0);
  const int type = out[n - 3], mixed = memcmp(query + 13, "mixed", 5) == 0, four = memcmp(query + 13, "four", 4) == 0;
  note_question(query, type);
  if (out[3] & 15) return n;
  if (type == TORQUE_DNS_A || mixed) n = reply_add(out, n, TORQUE_DNS_A, 30, v4, 4), out[7]++;
  if ((type == TORQUE_DNS_AAAA && !four) || mixed) n = reply_add(out, n, TORQUE_DNS_AAAA, 30, v6, 16), out[7]++;
  return n;
}

/* ---- Answers as texts that can be compared: sorted, each once ---- */

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static void join(char (*parts)[64], size_t count, char *ret) {
  qsort(parts, count, sizeof *parts, by_text);
  ret[0] = '\0';
  for (size_t i = 0; i < count; i++) {
    if (i && strcmp(parts[i], parts[i - 1]) == 0) continue;
    if (*ret) strcat(ret, " ");
    strcat(ret, parts[i]);
  }
}

static void take_questions(char *ret) {
  char parts[16][64];
  size_t n = 0;
  pthread_mutex_lock(&lock);
  char *rest = questions, *line;
  while (n < 16 && (line = strsep(&rest, "\n")) && *line) snprintf(parts[n++], sizeof *parts, "%s", line);
  questions[0] = '\0';
  pthread_mutex_unlock(&lock);
  join(parts, n, ret);
}

static void text_of(const struct sockaddr *sa, char (*ret)[64]) {
  const struct sockaddr_in6 *v6 = (const void *)sa;
  const struct sockaddr_in *v4 = (const void *)sa;
  const void *raw = sa->sa_family == AF_INET ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr;
  inet_ntop(sa->sa_family, raw, *ret, sizeof *ret);
  if (sa->sa_family == AF_INET6 && v6->sin6_scope_id)
    snprintf(*ret + strlen(*ret), sizeof *ret - strlen(*ret), "%%%u", v6->sin6_scope_id);
}

static void the_library_says(const char *host, int family, int numeric, char *ret) {
  const struct addrinfo hints = {
      .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = numeric ? AI_NUMERICHOST : 0};
  struct addrinfo *found = NULL;
  char parts[16][64];
  size_t n = 0;
  const int err = getaddrinfo(host, "80", &hints, &found);
  for (struct addrinfo *i = found; i && n < 16; i = i->ai_next) text_of(i->ai_addr, &parts[n++]);
  if (found) freeaddrinfo(found);
  join(parts, n, ret);
  if (err == EAI_NONAME)
    strcpy(ret, "no name");
  else if (err)
    strcpy(ret, err == EAI_ADDRFAMILY || err == EAI_NODATA ? "no data" : gai_strerror(err));
}

static void note_addresses(torque_query query, torque_err err, const struct torque_addresses *addresses, void *arg) {
  struct asked *a = arg;
  char parts[16][64];
  size_t n = 0;
  asked_enter(a, query, err);
  for (uint32_t i = 0; i < torque_addresses_count(addresses) && n < 16; i++)
    text_of(torque_addresses_get(addresses, i, NULL), &parts[n++]);
  join(parts, n, a->text);
  if (err == TORQUE_ERR_DNS_NXDOMAIN || err == TORQUE_ERR_DNS_BADNAME)
    strcpy(a->text, "no name");
  else if (err)
    strcpy(a->text, err == TORQUE_ERR_DNS_NODATA ? "no data" : torque_errstr(err));
  asked_leave(a);
}

static void we_say(struct fixture *f, struct torque_resolver *r, const char *host, int family, int numeric, char *ret) {
  struct asked *a = asked_new(f);
  const uint32_t flags = numeric ? TORQUE_RESOLVE_NUMERIC : 0;
  assert_int_equal(torque_resolve(r, host, "80", family, flags, note_addresses, a, &a->query), 0);
  AWAIT(f, atomic_load(&a->calls) == 1);
  strcpy(ret, a->text);
}

/* ---- The comparison ---- */

static char hosts_path[] = "/tmp/torque-hosts-XXXXXX";
static int own_hosts; /* this program's file is /etc/hosts */
static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};

static struct torque_resolver *both_ask(struct fixture *f, struct fake *s) {
  struct torque_resolver *r = resolver_for(f, s->address);
  assert_int_equal(torque_resolver_set_lookups(r, "fb"), 0);
  assert_int_equal(torque_resolver_set_hosts_file(r, hosts_path), 0);
  assert_int_equal(res_init(), 0);
  _res.nscount = 1;
  _res.nsaddr_list[0] = (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  _res.options &= ~(unsigned long)(RES_DNSRCH | RES_DEFNAMES);
  questions[0] = '\0';
  return r;
}

static unsigned compare(struct fixture *f, struct torque_resolver *r, const char *host, int family, int numeric) {
  char theirs[TEXT], ours[TEXT], they_asked[TEXT], we_asked[TEXT];
  the_library_says(host, family, numeric, theirs);
  take_questions(they_asked);
  we_say(f, r, host, family, numeric, ours);
  take_questions(we_asked);
  if (strcmp(theirs, ours) == 0 && strcmp(they_asked, we_asked) == 0) return 0;
  print_error("%s, family %d%s: \"%s\" (%s), not \"%s\" (%s)\n", host, family, numeric ? ", numeric" : "", ours, we_asked,
              theirs, they_asked);
  return 1;
}

static void forms_and_names(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = both_ask(f, fake_start(f, knows_all, NULL));
  unsigned different = 0;
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    for (int k = 0; k < 3; k++)
      for (int numeric = 0; numeric < 2; numeric++) different += compare(f, r, forms[i], families[k], numeric);
  assert_int_equal(different, 0);
  torque_resolver_free(r);
}

static void hosts_file(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = both_ask(f, fake_start(f, knows_all, NULL));
  unsigned different = 0;
  for (size_t i = 0; i < sizeof in_hosts / sizeof *in_hosts; i++) {
    const char *const known[3] = {in_hosts[i].any, in_hosts[i].v4, in_hosts[i].v6};
    for (int k = 0; k < 3; k++) {
      char ours[TEXT], we_asked[TEXT];
      we_say(f, r, in_hosts[i].host, families[k], 0, ours);
      take_questions(we_asked);
      const int good = *known[k] == '?' ? *we_asked != '\0' : !*we_asked && strcmp(ours, known[k]) == 0;
      if (!good) print_error("%s: \"%s\" (%s), not \"%s\"\n", in_hosts[i].host, ours, we_asked, known[k]);
      different += !good;
      if (own_hosts) different += compare(f, r, in_hosts[i].host, families[k], 0);
    }
  }
  assert_int_equal(different, 0);
  torque_resolver_free(r);
}

/* What cannot be a host's name is no name, whatever a server would say; getaddrinfo() finds that out when it has asked. */
static void no_names(void **state) {
  struct fixture *f = *state;
  static const char *const wrong[] = {"[::1]", "[192.0.2.1]", "192.0.2.1 ", " 192.0.2.1", "127.1 x", "192.0.2.1%lo",
                                      "::1.", "a b.test", "a\\.b.test", "a/b.test"};
  struct torque_resolver *r = both_ask(f, fake_start(f, knows_all, NULL));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    for (int k = 0; k < 3; k++) {
      char theirs[TEXT], ours[TEXT], asked[TEXT];
      the_library_says(wrong[i], families[k], 0, theirs);
      take_questions(asked);
      we_say(f, r, wrong[i], families[k], 0, ours);
      take_questions(asked);
      assert_string_equal(ours, theirs);
      assert_string_equal(asked, "");
    }
  }
  torque_resolver_free(r);
}

/* ---- */

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  if (!file) return;
  fputs(text, file);
  fclose(file);
}

static int take_hosts(void) {
  char map[64];
  const unsigned uid = getuid(), gid = getgid();
  if (unshare(CLONE_NEWNS)) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) return 0;
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", uid);
    write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %u 1", gid);
    write_file("/proc/self/gid_map", map);
  }
  return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
         mount(hosts_path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, forms_and_names), ON(driven, forms_and_names), ON(live, hosts_file), ON(driven, hosts_file),
      ON(live, no_names)};
  close(mkstemp(hosts_path));
  write_file(hosts_path, hosts);
  __nss_configure_lookup("hosts", "files dns");
  own_hosts = take_hosts();
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(hosts_path);
  return failed;
}
