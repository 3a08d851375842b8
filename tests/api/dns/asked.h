/* SPDX-License-Identifier: BSD-3-Clause */
/* What a test has asked a resolver, and what it was told: callbacks record, the test's thread asserts. */
#ifndef TORQUE_TESTS_ASKED_H
#define TORQUE_TESTS_ASKED_H

#include <libtorque/dns.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/context.h"

#include "support/cmocka.h"

enum { MS = 1000000, ASKED_TEXT = 4096 };

struct asked {
  torque_query query;
  _Atomic uint32_t calls;
  _Atomic uint32_t *total; /* counts the calls of several; may be null */
  _Atomic int32_t *inside; /* how many callbacks of the resolver run; may be null */
  torque_err err;
  torque_query told;
  int32_t fd;
  int had_answer;
  char text[ASKED_TEXT]; /* one line for each record or address */
  void (*then)(struct asked *a);
  void *arg;
};

static inline void asked_enter(struct asked *a, torque_query query, torque_err err) {
  if (a->inside && atomic_fetch_add(a->inside, 1) != 0) fprintf(stderr, "two callbacks at once\n"), abort();
  a->told = query;
  a->err = err;
}

static inline void asked_leave(struct asked *a) {
  if (a->then) a->then(a);
  if (a->inside) atomic_fetch_sub(a->inside, 1);
  atomic_fetch_add(&a->calls, 1);
  if (a->total) atomic_fetch_add(a->total, 1);
}

static inline void on_answer(torque_query query, torque_err err, const struct torque_answer *answer, void *arg) {
  struct asked *a = arg;
  asked_enter(a, query, err);
  a->had_answer = answer != NULL;
  size_t n = 0;
  for (uint32_t i = 0; i < torque_answer_aliases(answer); i++)
    n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, "alias %s\n", torque_answer_alias(answer, i));
  for (uint32_t i = 0; i < torque_answer_count(answer) && n < ASKED_TEXT - 1200; i++) {
    const uint16_t type = torque_answer_type(answer, i);
    n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, "%s %u %u", torque_answer_owner(answer, i),
                          torque_answer_ttl(answer, i), type);
    if (torque_answer_address(answer, i))
      n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, " %s", torque_answer_address(answer, i));
    if (type == TORQUE_DNS_MX || type == TORQUE_DNS_SRV)
      n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, " %u", torque_answer_priority(answer, i));
    if (type == TORQUE_DNS_SRV)
      n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, " %u %u", torque_answer_weight(answer, i),
                            torque_answer_port(answer, i));
    if (torque_answer_target(answer, i))
      n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, " %s", torque_answer_target(answer, i));
    for (uint32_t j = 0; j < torque_answer_strings(answer, i); j++) {
      uint32_t len = 0;
      const char *s = torque_answer_string(answer, i, j, &len);
      n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, " %u:%s", len, s);
    }
    n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, "\n");
  }
  asked_leave(a);
}

static inline void on_addresses(torque_query query, torque_err err, const struct torque_addresses *addresses,
                                void *arg) {
  struct asked *a = arg;
  asked_enter(a, query, err);
  a->had_answer = addresses != NULL;
  size_t n = 0;
  for (uint32_t i = 0; i < torque_addresses_count(addresses) && n < ASKED_TEXT - 200; i++) {
    uint32_t len = 0;
    const struct sockaddr_in *v4 = torque_addresses_get(addresses, i, &len);
    n += (size_t)snprintf(a->text + n, ASKED_TEXT - n, "%s %u %u\n", torque_addresses_text(addresses, i),
                          ntohs(v4->sin_port), len);
  }
  if (torque_addresses_name(addresses))
    snprintf(a->text + n, ASKED_TEXT - n, "name %s\n", torque_addresses_name(addresses));
  asked_leave(a);
}

static inline void on_dialled(torque_query query, torque_err err, int32_t fd, void *arg) {
  struct asked *a = arg;
  asked_enter(a, query, err);
  a->fd = fd;
  asked_leave(a);
}

static inline struct asked *asked_new(struct fixture *f) { return fixture_take(f, sizeof(struct asked)); }

/* A resolver that is freed before the context is stopped. */
static inline struct torque_resolver *resolver_for(struct fixture *f, const char *servers) {
  struct torque_resolver *r = NULL;
  assert_int_equal(torque_resolver_new(f->ctx, &r), 0);
  assert_int_equal(torque_resolver_set_servers(r, servers), 0);
  assert_int_equal(torque_resolver_set_lookups(r, "b"), 0);
  assert_int_equal(torque_resolver_set_search(r, ""), 0);
  return r;
}

static inline struct asked *ask(struct fixture *f, struct torque_resolver *r, const char *name, uint16_t type) {
  struct asked *a = asked_new(f);
  assert_int_equal(torque_resolver_query(r, name, type, 0, on_answer, a, &a->query), 0);
  return a;
}

static inline void await_answer(struct fixture *f, struct asked *a, torque_err err, const char *text) {
  AWAIT(f, atomic_load(&a->calls) > 0);
  if (a->err != err) print_error("told: %s, not: %s\n", torque_errstr(a->err), torque_errstr(err));
  assert_int_equal(a->err, err);
  assert_int_equal(a->calls, 1);
  assert_true(a->told == a->query);
  if (text) assert_string_equal(a->text, text);
}

static inline void assert_answer(struct fixture *f, struct torque_resolver *r, const char *name, uint16_t type,
                                 torque_err err, const char *text) {
  await_answer(f, ask(f, r, name, type), err, text);
}

#endif
