/* SPDX-License-Identifier: BSD-3-Clause */
/* Every allocation and every system call of the resolver, of c-ares for it, and of the library below fails in turn: the
 * n-th one, for ever larger n, until a run meets none. A call that fails can be made again; what was accepted is told once,
 * whatever it is told; nothing is left behind; and the next question is answered as if nothing had been. */
#include "api/dns/asked.h"
#include "support/faults_calls.h"
#include "support/faults_memory.h"
#include "support/nameserver.h"
#include "support/streams.h"

#include <arpa/inet.h>
#include <errno.h>

#include "support/cmocka.h"

enum { MOST = 5000, QUESTIONS = 6 };

static struct fixture own; /* of one run */
static struct fake *server;
static char hosts[] = "/tmp/torque-hosts-XXXXXX";
static int door_port;

static size_t good(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  static const uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 7};
  (void)most, (void)arg;
  const size_t n = reply_begin(query, size, out, 0, 1);
  if (query[11] && !tcp) return out[3] |= 1, out[7] = 0, n;                            /* no EDNS here */
  if (memcmp(query + 13, "long", 4) == 0 && !tcp) return out[2] |= 2, out[7] = 0, n;   /* by TCP */
  if (out[n - 3] == TORQUE_DNS_AAAA) return reply_add(out, n, TORQUE_DNS_AAAA, 5, v6, 16);
  return reply_add(out, n, TORQUE_DNS_A, 5, v4, 4);
}

/* One call fails at most: so the second time it does not. */
#define TRY(call)                                        \
  do {                                                   \
    const torque_err err_ = (call);                      \
    if (err_) assert_int_equal((call), TORQUE_ERR_NONE); \
  } while (0)

static struct torque_resolver *open_resolver(const struct torque_config *config) {
  struct torque_resolver *r = NULL;
  TRY(torque_ctx_new(config, &own.ctx));
  TRY(torque_resolver_new(own.ctx, &r));
  TRY(torque_resolver_set_servers(r, server->address));
  TRY(torque_resolver_set_search(r, "sub.test"));
  TRY(torque_resolver_set_lookups(r, "fb"));
  TRY(torque_resolver_set_hosts_file(r, hosts));
  TRY(torque_resolver_set_flags(r, TORQUE_RESOLVER_EDNS));
  TRY(torque_resolver_set_timeout(r, 30 * (uint64_t)MS));
  TRY(torque_resolver_set_tries(r, 2));
  return r;
}

static void ask_all(struct torque_resolver *r, struct asked *a, struct party *p) {
  char service[8];
  torque_source s = 0;
  snprintf(service, sizeof service, "%d", door_port);
  TRY(torque_resolver_query(r, "x.test", TORQUE_DNS_A, 0, on_answer, &a[0], &a[0].query));
  TRY(torque_resolver_query(r, "long.test", TORQUE_DNS_A, 0, on_answer, &a[1], &a[1].query));
  TRY(torque_resolve(r, "short", "80", 0, 0, on_addresses, &a[2], &a[2].query));
  TRY(torque_resolve(r, "box", "80", AF_INET, 0, on_addresses, &a[3], &a[3].query));
  TRY(torque_dial(r, "here.test", service, 0, 0, 0, 0, on_dialled, &a[4], &a[4].query));
  TRY(torque_resolver_query(r, "y.test", TORQUE_DNS_A, 0, on_answer, &a[5], &a[5].query));
  (void)torque_resolver_cancel(r, a[5].query);
  TRY(torque_dial_stream(r, "here", service, 0, 0, 0, 0, p->type, p, &s));
}

/* Answers whether a fault was met. */
static uint32_t run(const struct shape *shape, int32_t err, uint32_t nth) {
  static struct asked a[QUESTIONS + 1];
  memset(&own, 0, sizeof own);
  memset(a, 0, sizeof a);
  own.shape = shape;
  const unsigned descriptors = descriptors_open(), threads = threads_alive();
  struct party *p = party_new(&own, party_take, NULL);
  struct torque_config *config = shape_config(shape);
  faults_watch();
  faults_arm(err, nth);
  struct torque_resolver *r = open_resolver(config);
  a[4].fd = -1;
  ask_all(r, a, p);
  for (int i = 0; i < QUESTIONS; i++) AWAIT(&own, a[i].calls > 0);
  AWAIT(&own, p->opened + p->closed > 0);
  const uint32_t met = faults_disarm();
  TRY(torque_resolver_query(r, "z.test", TORQUE_DNS_A, 0, on_answer, &a[QUESTIONS], NULL));
  AWAIT(&own, a[QUESTIONS].calls > 0);
  if (a[QUESTIONS].err) fail_msg("%s, number %u (%s): %s", strerror(err), nth, faults_failed(), torque_errstr(a[QUESTIONS].err));
  torque_resolver_free(r);
  assert_int_equal(torque_stop(own.ctx), 0);
  own.ctx = NULL;
  for (int i = 0; i < QUESTIONS; i++) assert_int_equal(a[i].calls, 1);
  assert_int_equal(p->closed, 1);
  if (a[4].fd >= 0) close(a[4].fd);
  torque_config_free(config);
  party_free(p);
  fixture_release(&own);
  /* The name server closes its end of a TCP connection when it has read the end. */
  for (int i = 0; i < 5000 && (threads_alive() != threads || descriptors_open() != descriptors); i++) nap();
  if (descriptors_open() != descriptors || (nth && faults_blocks))
    fail_msg("%s, number %u (%s): %u descriptors, were %u; %u blocks left", strerror(err), nth, faults_failed(),
             descriptors_open(), descriptors, faults_blocks);
  return met;
}

static void one_after_the_other(void **state) {
  struct fixture *f = *state;
  static const int32_t lacks[] = {ENOMEM, EMFILE, EINTR};
  const struct shape *shape = f->shape;
  server = fake_start(f, good, NULL);
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof where;
  const int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = mkstemp(hosts);
  fixture_own(f, door);
  assert_int_equal(bind(door, (struct sockaddr *)&where, sizeof where), 0);
  assert_int_equal(listen(door, 4096), 0);
  assert_int_equal(getsockname(door, (struct sockaddr *)&where, &length), 0);
  door_port = ntohs(where.sin_port);
  dprintf(fd, "192.0.2.1 box\n127.0.0.1 here\n");
  close(fd);
  (void)run(shape, EINTR, 0); /* what is made once for the process is there from now on */
  for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++) {
    uint32_t n = 1;
    for (int quiet = 0; quiet < 2; n++) {
      assert_true(n < MOST);
      quiet = run(shape, lacks[i], n) ? 0 : quiet + 1;
      if (n > 24) n += SANITIZED || !shape->driven ? n / 4 : n / 8;
    }
    assert_true(n > 3); /* something was met at all */
  }
  unlink(hosts);
  strcpy(hosts + strlen(hosts) - 6, "XXXXXX");
}

int main(void) {
  const struct CMUnitTest tests[] = {ON(driven, one_after_the_other), ON(single, one_after_the_other)};
  faults_of("torque_resolver_new");
  faults_of("ares_send");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
