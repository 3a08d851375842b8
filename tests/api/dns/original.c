/* SPDX-License-Identifier: BSD-3-Clause */
/* The original's call, as its programs use it: through <libtorque/torque.h>, with adns's names. The names here need no
 * server. */
#include <libtorque/torque.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "support/child.h"
#include "support/cmocka.h"
#include "support/context.h"

struct told {
  _Atomic uint32_t calls;
  int status;
  char text[INET_ADDRSTRLEN];
  char why[128];
};

static void on_lookup(const torque_dnsret *dnsret, void *state) {
  struct told *t = state;
  t->status = dnsret->status;
  if (dnsret->status)
    snprintf(t->why, sizeof t->why, "%s", adns_strerror(dnsret->status));
  else
    inet_ntop(AF_INET, &dnsret->rrs.inaddr->s_addr, t->text, sizeof t->text);
  atomic_fetch_add(&t->calls, 1);
}

static struct told *look_up(struct fixture *f, const char *name) {
  struct told *t = fixture_take(f, sizeof *t);
  assert_int_equal(torque_addlookup_dns(f->ctx, name, on_lookup, t), 0);
  return t;
}

static void addresses(void **state) {
  struct fixture *f = *state;
  struct told *numeric = look_up(f, "192.0.2.9"), *local = look_up(f, "localhost"), *six = look_up(f, "2001:db8::1");
  AWAIT(f, numeric->calls && local->calls && six->calls);
  assert_int_equal(numeric->status, 0);
  assert_string_equal(numeric->text, "192.0.2.9");
  assert_string_equal(local->text, "127.0.0.1");
  assert_int_equal(six->status, TORQUE_ERR_DNS_NODATA);
  assert_string_equal(six->why, torque_errstr(TORQUE_ERR_DNS_NODATA));
  assert_int_equal(torque_addlookup_dns(NULL, "x", on_lookup, six), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addlookup_dns(f->ctx, "", on_lookup, six), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addlookup_dns(f->ctx, "x", NULL, six), TORQUE_ERR_INVAL);
}

/* Each context has a resolver of its own, which ends with it; a context at the same place has a new one. */
static void contexts_come_and_go(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 20; i++) {
    struct torque_ctx *ctx = NULL;
    struct torque_config *c = shape_config(f->shape);
    assert_int_equal(torque_ctx_new(c, &ctx), 0);
    torque_config_free(c);
    struct told *t = fixture_take(f, sizeof *t);
    assert_int_equal(torque_addlookup_dns(ctx, "192.0.2.9", on_lookup, t), 0);
    if (!f->shape->driven && i % 2) AWAIT(f, t->calls == 1);
    assert_int_equal(torque_stop(ctx), 0);
    assert_int_equal(t->calls, 1);
  }
}

static void *look_up_many(void *arg) {
  struct fixture *f = arg;
  for (int i = 0; i < 50; i++) {
    struct told *t = calloc(1, sizeof *t);
    if (!t || torque_addlookup_dns(f->ctx, "192.0.2.9", on_lookup, t)) abort();
    STAY_UNTIL(atomic_load(&t->calls) == 1);
    if (t->calls != 1) abort();
    free(t);
  }
  return NULL;
}

static void by_many_threads(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 4; i++) fixture_thread(f, look_up_many, f);
  fixture_join(f);
}

/* No descriptor can be had after torque_init(): an answer, not a crash. */
static void without_descriptors(void **state) {
  struct fixture *f = *state;
  struct rlimit before, low;
  assert_int_equal(torque_ctx_workers(f->ctx) > 0, 1);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  low = before;
  low.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  struct told *t = fixture_take(f, sizeof *t);
  const torque_err err = torque_addlookup_dns(f->ctx, "192.0.2.9", on_lookup, t);
  struct told *named = fixture_take(f, sizeof *named);
  const torque_err named_err = torque_addlookup_dns(f->ctx, "name.invalid", on_lookup, named);
  struct patience p = patience_start();
  while (((!err && !t->calls) || (!named_err && !named->calls)) && fixture_step(f, &p)) {
  }
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  assert_int_equal(err, 0);
  assert_int_equal(named_err, 0);
  assert_string_equal(t->text, "192.0.2.9");
  assert_int_not_equal(named->status, 0);
}

static int in_a_child(void *arg) {
  struct fixture *f = arg;
  CHECK(torque_stop(f->ctx) == 0);
  /* Perhaps where the parent's was; driven, because ThreadSanitizer knows the parent's threads. */
  struct torque_config *c = NULL;
  struct torque_ctx *ctx = NULL;
  CHECK(torque_config_new(&c) == 0 && torque_config_set_driven(c, 1) == 0 && torque_ctx_new(c, &ctx) == 0);
  torque_config_free(c);
  static struct told t;
  CHECK(torque_addlookup_dns(ctx, "192.0.2.9", on_lookup, &t) == 0);
  for (int i = 0; i < 1000 && !t.calls; i++) CHECK(torque_run_once(ctx, 1000000, NULL) == 0);
  CHECK(t.calls == 1);
  CHECK(torque_stop(ctx) == 0);
  return 0;
}

static void in_a_forked_child(void **state) {
  struct fixture *f = *state;
  struct told *t = look_up(f, "192.0.2.9");
  AWAIT(f, t->calls == 1);
  assert_int_equal(child_run(in_a_child, f), 0);
  t = look_up(f, "192.0.2.8");
  AWAIT(f, t->calls == 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(addresses),          ON_THREADED(contexts_come_and_go), ON(driven, contexts_come_and_go),
      ON_THREADED(by_many_threads), ON_EVERY(without_descriptors),     ON_EVERY(in_a_forked_child),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
