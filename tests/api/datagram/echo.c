/* SPDX-License-Identifier: BSD-3-Clause */
/* What comes goes back to whom it came from: every datagram once, byte for byte, and in order. */
#include "support/datagrams.h"

#include <unistd.h>

#include "support/cmocka.h"

enum { THREADS = 4 };

static void echo(struct fixture *f, int family, uint32_t flags, uint32_t most) {
  const uint32_t each = most > 4096 ? FEWER(200) : FEWER(2000);
  struct desk *d = desk_new(f);
  d->each = desk_echo;
  desk_bind(d, family, flags, 0);
  struct callers *c = callers_come(f, d, THREADS, each, most);
  const uint64_t all = THREADS * each;
  AWAIT(f, c->returned == all || c->lost);
  fixture_join(f);
  fixture_settle(f);
  assert_int_equal(c->lost, 0);
  assert_int_equal(c->wrong, 0);
  assert_int_equal(c->returned, all);
  assert_int_equal(d->received, all);
  assert_int_equal(d->wrong, 0);
  assert_int_equal(d->result, 0);
  assert_int_equal(d->failed, 0);
  assert_int_equal(d->errors, 0);
  assert_int_equal(d->cut, 0);
  const uint32_t domains = torque_ctx_domains(f->ctx);
  assert_in_range(d->most_inside, 1, flags & TORQUE_DATAGRAM_REUSEPORT ? domains : 1);
  AWAIT(f, stat_total(f->ctx, "datagrams_sent") >= all); /* counted when they have gone */
  assert_int_equal(stat_total(f->ctx, "datagrams_sent"), all);
  assert_int_equal(stat_total(f->ctx, "datagrams_received"), all);
  assert_int_equal(stat_total(f->ctx, "datagrams_failed"), 0);
  assert_true(stat_total(f->ctx, "datagram_sends") <= all);
  if (flags & TORQUE_DATAGRAM_NO_GSO) assert_int_equal(stat_total(f->ctx, "datagrams_joined"), 0);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
  assert_int_equal(d->finals, 1);
  assert_int_equal(d->reason, TORQUE_END_REMOVED);
  assert_int_equal(d->calls_after_final, 0);
}

static void over_ipv4(void **state) { echo(*state, AF_INET, 0, 1400); }
static void over_ipv6(void **state) { echo(*state, AF_INET6, 0, 1400); }
static void large_ones(void **state) { echo(*state, AF_INET, 0, 30000); }
static void joined_by_the_system(void **state) { echo(*state, AF_INET, TORQUE_DATAGRAM_GRO, 1400); }
static void sent_one_by_one(void **state) { echo(*state, AF_INET, TORQUE_DATAGRAM_NO_GSO, 1400); }
static void with_all_details(void **state) {
  echo(*state, AF_INET, TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_CLASS | TORQUE_DATAGRAM_GRO, 1400);
}
static void with_all_details_over_ipv6(void **state) {
  echo(*state, AF_INET6, TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_CLASS, 1400);
}
static void a_socket_for_each_domain(void **state) { echo(*state, AF_INET, TORQUE_DATAGRAM_REUSEPORT, 1400); }
static void a_socket_for_each_domain_over_ipv6(void **state) {
  echo(*state, AF_INET6, TORQUE_DATAGRAM_REUSEPORT | TORQUE_DATAGRAM_GRO, 1400);
}

/* The parts of one socket's source never run at the same time: the strand sees to it. */
static void a_strand_over_all_domains(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const uint32_t each = FEWER(1000);
  struct torque_strand *strand;
  struct desk *d = desk_new(f);
  d->each = desk_echo;
  assert_int_equal(torque_datagram_bind_new(f->ctx, &a, sizeof a, TORQUE_DATAGRAM_REUSEPORT, desk_call, d, &d->source),
                   0);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_source_set_strand(d->source, strand), 0);
  torque_strand_free(strand);
  desk_start(d);
  struct callers *c = callers_come(f, d, 8, each, 600);
  AWAIT(f, c->returned == 8 * each || c->lost);
  fixture_join(f);
  assert_int_equal(c->wrong, 0);
  assert_int_equal(c->lost, 0);
  assert_int_equal(d->most_inside, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(over_ipv4),
      ON_EVERY(over_ipv6),
      ON_EVERY(large_ones),
      ON_EVERY(joined_by_the_system),
      ON_EVERY(sent_one_by_one),
      ON_EVERY(with_all_details),
      ON_EVERY(with_all_details_over_ipv6),
      ON_EVERY(a_socket_for_each_domain),
      ON_EVERY(a_socket_for_each_domain_over_ipv6),
      ON_EVERY(a_strand_over_all_domains),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
