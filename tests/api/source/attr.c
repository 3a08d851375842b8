/* SPDX-License-Identifier: BSD-3-Clause */
/* Sources that are made with all they shall be in one call: on success their finalizer runs once, on failure never,
 * whoever else ends them meanwhile. */
#include "support/clients.h"
#include "support/probe.h"
#include "support/streams.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

/* With probe_final. */
static struct torque_attr *attr_new(void) {
  struct torque_attr *attr = NULL;
  assert_int_equal(torque_attr_new(&attr), 0);
  assert_int_equal(torque_attr_set_finalizer(attr, probe_final), 0);
  return attr;
}

static void tick(torque_source s, uint64_t n, void *arg) {
  (void)s, (void)n;
  ((struct probe *)arg)->calls++;
}
static void arrive(torque_source s, const struct torque_siginfo *i, void *arg) {
  (void)s, (void)i;
  ((struct probe *)arg)->calls++;
}
static void come(torque_source s, int32_t fd, const void *a, uint32_t l, void *arg) {
  (void)s, (void)a, (void)l;
  close(fd);
  ((struct probe *)arg)->calls++;
}

static void it_runs_and_ends_once(void **state) {
  struct fixture *f = *state;
  struct torque_attr *attr = attr_new();
  struct probe *p[5];
  for (int i = 0; i < 5; i++) p[i] = probe_new(f);
  const struct sockaddr_in any = loopback_address(0);
  const int32_t usr = SIGUSR1;
  int fd[2];
  fixture_pair(f, fd);
  assert_int_equal(torque_fd_add_with(f->ctx, attr, fd[0], TORQUE_READ, 0, probe_call, p[0], &p[0]->source), 0);
  assert_int_equal(torque_event_add_with(f->ctx, attr, 0, probe_call, p[1], &p[1]->source), 0);
  assert_int_equal(torque_timer_add_with(f->ctx, attr, 0, 0, 0, tick, p[2], &p[2]->source), 0);
  assert_int_equal(torque_signal_add_with(f->ctx, attr, &usr, 1, arrive, p[3], &p[3]->source), 0);
  struct door *d = fixture_take(f, sizeof *d);
  assert_int_equal(torque_listen_add_with(f->ctx, attr, &any, sizeof any, 0, 0, come, p[4], &d->listener), 0);
  p[4]->source = d->listener;
  torque_attr_free(attr); /* they keep what they have */
  door_read_address(d);
  say(fd[1], 1);
  assert_int_equal(torque_trigger(p[1]->source, 0), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  fixture_own(f, visit(d));
  for (int i = 0; i < 5; i++) AWAIT(f, p[i]->calls == 1);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(p[i]->finals, 0);
    assert_int_equal(torque_source_remove_wait(p[i]->source), 0);
    assert_int_equal(p[i]->finals, 1);
  }
}

static void without_an_attr(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  assert_int_equal(torque_event_add_with(f->ctx, NULL, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->calls == 1);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_int_equal(p->finals, 0);
}

/* It fails at every step, and arg is still the caller's. */
static void no_finalizer_after_a_failure(void **state) {
  struct fixture *f = *state;
  struct torque_attr *attr = attr_new(), *nowhere = attr_new(), *foreign = attr_new();
  struct torque_strand *strand = NULL;
  struct probe *p = probe_new(f);
  torque_source s = 77;
  int fd[2];
  const struct sockaddr_in any = loopback_address(0);
  struct torque_config *config = shape_config(&shape_driven);
  struct torque_ctx *other = NULL;
  assert_int_equal(torque_ctx_new(config, &other), 0);
  torque_config_free(config);
  assert_int_equal(torque_strand_new(other, &strand), 0);
  assert_int_equal(torque_attr_set_strand(foreign, strand), 0);
  assert_int_equal(torque_attr_set_placement(nowhere, 1000), 0);
  fixture_pair(f, fd);
  assert_int_equal(torque_fd_add_with(f->ctx, attr, -1, TORQUE_READ, 0, probe_call, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_fd_add_with(f->ctx, attr, 19000, TORQUE_READ, 0, probe_call, p, &s), TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(torque_fd_add_with(f->ctx, attr, 19000, TORQUE_READ, TORQUE_CONCURRENT, probe_call, p, &s),
                   TORQUE_ERR_SYSCALL + EBADF);
  assert_int_equal(torque_fd_add_with(f->ctx, nowhere, fd[0], TORQUE_READ, 0, probe_call, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_fd_add_with(f->ctx, foreign, fd[0], TORQUE_READ, 0, probe_call, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_timer_add_with(f->ctx, nowhere, 0, 0, 0, tick, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_timer_add_with(f->ctx, attr, 0, 0, 0x100, tick, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_event_add_with(f->ctx, nowhere, 0, probe_call, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_add_with(f->ctx, foreign, &any, sizeof any, 0, 0, come, p, &s), TORQUE_ERR_KIND);
  /* In use: the start itself fails, several sockets or one. */
  struct door *d = door_open(f, TORQUE_LISTEN_SHARED);
  for (uint32_t policy = 0; policy <= TORQUE_LISTEN_REUSEPORT; policy++)
    assert_int_equal(torque_listen_add_with(f->ctx, attr, &d->address, d->length, 0, policy, come, p, &s),
                     TORQUE_ERR_SYSCALL + EADDRINUSE);
  assert_true(s == 77);
  /* One that it had before is not run either. */
  for (int i = 0; i < 2; i++) {
    assert_int_equal(torque_fd_new(f->ctx, 19000, TORQUE_READ, i ? TORQUE_CONCURRENT : 0, probe_call, p, &s), 0);
    assert_int_equal(torque_source_set_finalizer(s, probe_final), 0);
    assert_int_equal(torque_source_start_with(s, i ? NULL : attr), TORQUE_ERR_SYSCALL + EBADF);
    assert_int_equal(torque_source_alive(s), 0);
  }
  fixture_settle(f);
  assert_int_equal(p->finals, 0);
  assert_int_equal(torque_stop(other), 0);
  assert_int_equal(torque_event_add_with(f->ctx, foreign, 0, probe_call, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(p->finals + p->calls, 0);
  torque_attr_free(attr);
  torque_attr_free(nowhere);
  torque_attr_free(foreign);
  torque_strand_free(strand);
}

static void what_is_not_to_be_started(void **state) {
  struct fixture *f = *state;
  struct torque_attr *attr = attr_new();
  struct probe *p = probe_event(f, 0);
  assert_int_equal(torque_source_start_with(0, attr), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_start_with(p->source, attr), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_alive(p->source), 1);
  assert_int_equal(torque_attr_new(NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_attr_set_placement(attr, -4), TORQUE_ERR_INVAL);
  assert_int_equal(torque_attr_set_finalizer(NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_attr_set_strand(NULL, NULL), TORQUE_ERR_INVAL);
  torque_attr_free(NULL);
  torque_attr_free(attr);
}

/* A timer gets it all, and its first setting starts it. */
static void a_timer_in_two_steps(void **state) {
  struct fixture *f = *state;
  struct torque_attr *attr = attr_new();
  struct probe *p = probe_new(f), *q = probe_new(f);
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_WALL, tick, p, &p->source), 0);
  assert_int_equal(torque_source_start_with(p->source, attr), 0);
  assert_int_equal(torque_timer_set(p->source, 0, 0, TORQUE_TIMER_REMOVE), 0);
  AWAIT(f, p->finals == 1);
  assert_int_equal(p->calls, 1);
  assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, tick, q, &q->source), 0);
  assert_int_equal(torque_source_start_with(q->source, attr), 0);
  assert_int_equal(torque_source_remove_wait(q->source), 0);
  assert_int_equal(q->finals, 1);
  torque_attr_free(attr);
}

static void where_and_with_whom(void **state) {
  struct fixture *f = *state;
  struct torque_attr *attr = attr_new();
  struct torque_strand *strand;
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  const uint32_t last = torque_ctx_domains(f->ctx) - 1;
  assert_int_equal(torque_attr_set_strand(attr, strand), 0);
  assert_int_equal(torque_attr_set_placement(attr, (int32_t)last), 0);
  struct probe *p = probe_new(f), *q = probe_new(f);
  struct party *m = party_new(f, party_take, party_end);
  torque_source s;
  uint32_t domain = 77;
  int fd[2];
  fixture_tcp(f, fd);
  assert_int_equal(torque_event_add_with(f->ctx, attr, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_event_add_with(f->ctx, attr, 0, probe_call, q, &q->source), 0);
  torque_strand_free(strand); /* the attr and the sources keep it */
  assert_int_equal(torque_source_domain(p->source, &domain), 0);
  assert_int_equal(domain, last);
  assert_int_equal(torque_event_add_with(f->ctx, attr, TORQUE_CONCURRENT, probe_call, q, &s), TORQUE_ERR_KIND);
  assert_int_equal(torque_attr_set_finalizer(attr, NULL), 0);
  fixture_disown(f, fd[0]);
  assert_int_equal(torque_stream_add_with(f->ctx, attr, fd[0], m->type, m, &s), 0);
  torque_attr_free(attr);
  assert_int_equal(torque_source_domain(s, &domain), 0);
  assert_int_equal(domain, last);
  (void)pattern_put(fd[1], 0, 100);
  AWAIT(f, m->in == 100);
  assert_int_equal(torque_source_remove_wait(s), 0);
  party_free(m);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_int_equal(torque_source_remove_wait(q->source), 0);
  assert_int_equal(p->finals, 1);
}

static void streams(void **state) {
  struct fixture *f = *state;
  struct torque_attr *attr = attr_new();
  struct party *m = party_new(f, party_take, party_end);
  struct probe *p = probe_new(f);
  const struct sockaddr_in any = loopback_address(0);
  struct door *d = fixture_take(f, sizeof *d);
  torque_source s;
  /* The listener has its finalizer, its streams have none. */
  assert_int_equal(torque_stream_listen_with(f->ctx, attr, &any, sizeof any, 0, 0, m->type, m, &d->listener), 0);
  assert_int_equal(torque_source_set_arg(d->listener, m), 0);
  door_read_address(d);
  struct party *out = party_new(f, party_take, party_end);
  assert_int_equal(torque_attr_set_finalizer(attr, NULL), 0);
  assert_int_equal(torque_stream_connect_with(f->ctx, attr, &d->address, d->length, out->type, out, &s), 0);
  AWAIT(f, m->opened && out->opened);
  assert_int_equal(torque_source_remove_wait(s), 0);
  AWAIT(f, m->ended);
  assert_int_equal(torque_stream_close(m->stream), 0);
  AWAIT(f, m->closed);
  assert_int_equal(torque_source_set_arg(d->listener, p), 0);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  assert_int_equal(p->finals, 1);
  torque_attr_free(attr);
  party_free(m);
  party_free(out);
}

/* ---- While another thread ends it ---- */

enum { RACES = FEWER(3000) };

struct race {
  struct fixture *f;
  struct torque_attr *attr;
  struct torque_strand *strand;
  _Atomic torque_source source; /* 0: not made */
  _Atomic uint32_t turn, done;
  _Atomic uint32_t wrong, finals, refused, stale;
};

static int32_t nothing(torque_source s, int32_t fd, uint32_t e, void *arg) {
  (void)s, (void)fd, (void)e, (void)arg;
  return TORQUE_DONE;
}
static void count_final(torque_source s, int32_t reason, void *arg) {
  (void)s, (void)reason;
  ((struct race *)arg)->finals++;
}

static void note(struct race *r, torque_err err) {
  if (err == TORQUE_ERR_STATE) r->refused++;
  else if (err == TORQUE_ERR_STALE) r->stale++;
  else if (err) r->wrong++;
}

static void *end_it(void *arg) {
  struct race *r = arg;
  for (uint32_t i = 1; i <= RACES && !r->f->quit; i++) {
    STAY_UNTIL(r->turn >= i || r->f->quit);
    note(r, torque_source_remove(r->source));
    r->done++;
  }
  return NULL;
}

static struct race *race_new(struct fixture *f) {
  struct race *r = fixture_take(f, sizeof *r);
  r->f = f;
  r->attr = attr_new();
  assert_int_equal(torque_attr_set_finalizer(r->attr, count_final), 0);
  assert_int_equal(torque_strand_new(f->ctx, &r->strand), 0);
  return r;
}

static void race_over(struct race *r) {
  fixture_join(r->f);
  assert_int_equal(r->wrong, 0);
  torque_attr_free(r->attr);
  torque_strand_free(r->strand);
}

/* Success and a finalizer go together, whoever ends the source meanwhile. */
static void an_end_beside_a_start_with(void **state) {
  struct fixture *f = *state;
  struct race *r = race_new(f);
  uint32_t started = 0;
  int fd[2];
  fixture_pair(f, fd);
  fixture_thread(f, end_it, r);
  for (uint32_t i = 1; i <= RACES; i++) {
    torque_source s;
    const uint32_t flags = i % 2 ? 0 : TORQUE_CONCURRENT;
    assert_int_equal(torque_fd_new(f->ctx, i % 3 ? fd[0] : 19000, TORQUE_WRITE, flags, nothing, r, &s), 0);
    r->source = s;
    r->turn = i;
    if (!torque_source_start_with(s, r->attr)) started++;
    STAY_UNTIL(r->done >= i);
    (void)torque_source_remove_wait(s);
  }
  race_over(r);
  AWAIT(f, r->finals >= started);
  fixture_settle(f);
  assert_int_equal(r->finals, started);
}

static void *start_it_too(void *arg) {
  struct race *r = arg;
  for (uint32_t i = 1; i <= RACES && !r->f->quit; i++) {
    STAY_UNTIL(r->turn >= i || r->f->quit);
    note(r, torque_source_start_with(r->source, r->attr));
    r->done++;
  }
  return NULL;
}

/* Of two one starts it; the other is told so, and takes nothing away. */
static void two_starts_at_once(void **state) {
  struct fixture *f = *state;
  struct race *r = race_new(f);
  fixture_thread(f, start_it_too, r);
  for (uint32_t i = 1; i <= RACES; i++) {
    torque_source s;
    assert_int_equal(torque_event_new(f->ctx, 0, nothing, r, &s), 0);
    r->source = s;
    r->turn = i;
    note(r, torque_source_start_with(s, r->attr));
    STAY_UNTIL(r->done >= i);
    assert_int_equal(r->refused, i);
    assert_int_equal(torque_source_alive(s), 1);
    assert_int_equal(torque_source_remove_wait(s), 0);
    assert_int_equal(r->finals, i);
  }
  race_over(r);
  assert_int_equal(r->stale, 0);
}

/* It waits for its connection, and goes on to. */
static void one_that_waits(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  struct torque_attr *attr = attr_new();
  torque_source s;
  int fd[2];
  assert_int_equal(torque_stream_await(f->ctx, p->type, p, &s), 0);
  assert_int_equal(torque_source_start_with(s, attr), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_start_with(s, NULL), TORQUE_ERR_STATE);
  fixture_pair(f, fd);
  assert_int_equal(torque_stream_attach(s, fd[0], 0), 0);
  fixture_disown(f, fd[0]);
  say(fd[1], 5);
  AWAIT(f, p->calls);
  assert_int_equal(torque_source_remove_wait(s), 0); /* its finalizer would take the party for a probe */
  assert_int_equal(p->closed, 1);
  torque_attr_free(attr);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(it_runs_and_ends_once),
      ON_EVERY(without_an_attr),
      ON_EVERY(no_finalizer_after_a_failure),
      ON_EVERY(what_is_not_to_be_started),
      ON_EVERY(a_timer_in_two_steps),
      ON_EVERY(where_and_with_whom),
      ON_EVERY(streams),
      ON_EVERY(an_end_beside_a_start_with),
      ON_EVERY(two_starts_at_once),
      ON_EVERY(one_that_waits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
