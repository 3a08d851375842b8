/* SPDX-License-Identifier: BSD-3-Clause */
/* What a handle answers about its source: the kind, the descriptor; and an arg that changes while it runs. */
#include "support/calls.h"
#include "support/clients.h"
#include "support/datagrams.h"
#include "support/probe.h"
#include "support/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka.h"

static int32_t kind_of(torque_source s) {
  int32_t kind = -1;
  assert_int_equal(torque_source_kind(s, &kind), 0);
  return kind;
}

static void every_kind(void **state) {
  struct fixture *f = *state;
  struct targets *t = fixture_take(f, sizeof *t);
  assert_int_equal(targets_open(t, f->ctx), 0);
  assert_int_equal(kind_of(t->fd), 1);
  assert_int_equal(kind_of(t->event), 2);
  assert_int_equal(kind_of(t->timer), 3);
  assert_int_equal(kind_of(t->wall_timer), 3);
  assert_int_equal(kind_of(t->signal), 4);
  assert_int_equal(kind_of(t->listener), 5);
  assert_int_equal(kind_of(t->stream), 7);
  assert_int_equal(kind_of(t->job), 8);
  assert_int_equal(kind_of(t->file), 8);
  assert_int_equal(kind_of(t->datagram), 9);
  assert_int_equal(kind_of(t->group), 9);
  assert_int_equal(kind_of(t->path), 10);
  assert_int_equal(kind_of(t->condition), 11);
  assert_int_equal(kind_of(t->waiter), 12);
  assert_int_equal(kind_of(t->network), 13);
  assert_int_equal(kind_of(t->idle), 14);
  int32_t kind = 77;
  assert_int_equal(torque_source_kind(0, &kind), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_kind(t->fd, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_source_remove_wait(t->fd), 0);
  assert_int_equal(torque_source_kind(t->fd, &kind), TORQUE_ERR_STALE);
  assert_int_equal(kind, 77);
  fixture_stop(f);
  targets_close(t);
}

/* ---- Descriptors ---- */

static int32_t fd_of(torque_source s) {
  int32_t fd = -1;
  assert_int_equal(torque_source_fd(s, &fd), 0);
  return fd;
}

static uint16_t port_of(int fd) {
  struct sockaddr_in a;
  socklen_t length = sizeof a;
  assert_int_equal(getsockname(fd, (void *)&a, &length), 0);
  return a.sin_port;
}

static void those_that_have_none(void **state) {
  struct fixture *f = *state;
  struct targets *t = fixture_take(f, sizeof *t);
  assert_int_equal(targets_open(t, f->ctx), 0);
  const torque_source none[] = {t->event,     t->timer,  t->wall_timer, t->signal,  t->job, t->file,
                                t->condition, t->waiter, t->path,       t->network, t->idle};
  int32_t fd = 77;
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    assert_int_equal(torque_source_fd(none[i], &fd), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_fd(0, &fd), TORQUE_ERR_STALE);
  assert_int_equal(fd, 77);
  assert_int_equal(torque_source_fd(t->fd, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(fd_of(t->fd), t->pipe_end);
  assert_int_equal(torque_stream_fd(t->stream, &fd), 0);
  assert_int_equal(fd_of(t->stream), fd);
  fixture_stop(f);
  targets_close(t);
}

static void those_that_have_none_yet(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in any = loopback_address(0);
  struct door *d = fixture_take(f, sizeof *d);
  struct desk *k = desk_new(f);
  struct party *p = party_new(f, party_take, party_end);
  torque_source stream;
  int32_t fd = 77;
  int pair[2];
  fixture_pair(f, pair);
  assert_int_equal(torque_listen_new(f->ctx, &any, sizeof any, 0, TORQUE_LISTEN_SHARED, door_accept, d, &d->listener), 0);
  assert_int_equal(torque_source_fd(d->listener, &fd), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_start(d->listener), 0);
  door_read_address(d);
  assert_int_equal(port_of(fd_of(d->listener)), ((struct sockaddr_in *)&d->address)->sin_port);

  assert_int_equal(torque_datagram_bind_new(f->ctx, &any, sizeof any, 0, desk_call, k, &k->source), 0);
  assert_int_equal(torque_source_fd(k->source, &fd), TORQUE_ERR_STATE);
  desk_start(k);
  assert_int_equal(port_of(fd_of(k->source)), ((struct sockaddr_in *)&k->address)->sin_port);

  assert_int_equal(torque_stream_await(f->ctx, p->type, p, &stream), 0);
  assert_int_equal(torque_source_fd(stream, &fd), TORQUE_ERR_STATE);
  assert_int_equal(fd, 77);
  fixture_disown(f, pair[0]);
  assert_int_equal(torque_stream_attach(stream, pair[0], 0), 0);
  assert_int_equal(fd_of(stream), pair[0]);
  assert_int_equal(torque_source_remove_wait(stream), 0);
  party_free(p);
}

/* One socket, or several. */
static void listeners_of_every_policy(void **state) {
  struct fixture *f = *state;
  const uint32_t domains = torque_ctx_domains(f->ctx);
  int32_t fd = 77;
  for (uint32_t policy = TORQUE_LISTEN_SHARED; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = door_open(f, policy);
    if (policy == TORQUE_LISTEN_REUSEPORT && domains > 1)
      assert_int_equal(torque_source_fd(d->listener, &fd), TORQUE_ERR_KIND);
    else
      assert_int_equal(port_of(fd_of(d->listener)), ((struct sockaddr_in *)&d->address)->sin_port);
  }
  const int own = socket(AF_INET, SOCK_STREAM, 0);
  fixture_own(f, own);
  assert_int_equal(listen(own, 1), 0);
  struct door *d = door_on_socket(f, own, TORQUE_LISTEN_DEFAULT);
  assert_int_not_equal(fd_of(d->listener), own);
  assert_int_equal(port_of(fd_of(d->listener)), port_of(own));
  struct desk *k = desk_new(f);
  desk_bind(k, AF_INET, TORQUE_DATAGRAM_REUSEPORT, 0);
  if (domains > 1)
    assert_int_equal(torque_source_fd(k->source, &fd), TORQUE_ERR_KIND);
  else
    assert_int_equal(port_of(fd_of(k->source)), ((struct sockaddr_in *)&k->address)->sin_port);
  assert_int_equal(fd, 77);
}

/* ---- Args ---- */

static void the_next_call_has_it(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0), *q = probe_new(f);
  void *arg = NULL;
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->calls == 1 && p->inside == 0);
  assert_int_equal(torque_source_set_arg(p->source, q), 0);
  assert_int_equal(torque_source_arg(p->source, &arg), 0);
  assert_ptr_equal(arg, q);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, q->calls == 1);
  assert_int_equal(p->calls, 1);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
  assert_int_equal(q->finals, 1);
  assert_int_equal(p->finals, 0);
  assert_int_equal(torque_source_set_arg(p->source, p), TORQUE_ERR_STALE);
  assert_int_equal(torque_source_set_arg(0, p), TORQUE_ERR_STALE);
}

static void before_the_start(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f), *q = probe_new(f);
  assert_int_equal(torque_event_new(f->ctx, 0, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_arg(p->source, q), 0);
  assert_int_equal(torque_source_start(p->source), 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, q->calls == 1);
  assert_int_equal(p->calls, 0);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
}

static void change_to_aux(struct probe *p, torque_source source, int fd) {
  (void)fd;
  if (torque_source_set_arg(source, p->aux)) p->result = 1;
}

/* Two args that give each other the source: none is called twice in a row. */
static void from_the_own_callback(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f), *q = probe_new(f);
  p->then = q->then = change_to_aux;
  p->aux = q;
  q->aux = p;
  probe_start_event(f, p, 0);
  for (uint32_t i = 1; i <= 50; i++) {
    assert_int_equal(torque_trigger(p->source, 0), 0);
    AWAIT(f, p->calls + q->calls == i && p->inside + q->inside == 0);
    assert_int_equal(p->calls, (i + 1) / 2);
  }
  assert_int_equal(p->result + q->result, 0);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
}

/* ---- A call under way goes on with its own; a function in the turn comes after it ---- */

static void old_is_over(torque_source source, torque_err err, void *arg) {
  (void)source, (void)err;
  struct probe *p = arg;
  p->noted = p->inside ? 2 : 1;
}

static void a_call_under_way(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f), *q = probe_new(f);
  p->blocked = 1;
  probe_start_event(f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->inside == 1);
  assert_int_equal(torque_source_set_arg(p->source, q), 0);
  assert_int_equal(torque_source_run(p->source, old_is_over, p), 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  assert_int_equal(p->noted, 0);
  assert_int_equal(q->calls, 0);
  p->blocked = 0;
  AWAIT(f, q->calls == 1);
  assert_int_equal(p->noted, 1);
  assert_int_equal(p->calls, 1);
  assert_int_equal(torque_source_remove_wait(p->source), 0);
}

/* ---- Threads that change it while it runs: what is behind it is there, and what was set last is told last ---- */

enum { ROUNDS = FEWER(3000) };

struct note {
  uint64_t written; /* before it becomes the arg */
  _Atomic uint32_t calls;
};
struct notes {
  torque_source source;
  struct fixture *f;
  _Atomic uint32_t wrong, done;
  struct note note[ROUNDS];
};

static int32_t look_at_note(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  struct note *n = arg;
  if (n->written == 4711) n->calls++;
  return TORQUE_DONE;
}

static void *set_notes(void *arg) {
  struct notes *n = arg;
  for (uint32_t i = 1; i < ROUNDS && !n->f->quit; i++) {
    n->note[i].written = 4711;
    if (torque_source_set_arg(n->source, &n->note[i]) || torque_trigger(n->source, 0)) n->wrong++;
    if (i % 2 == 0) STAY_UNTIL(n->note[i].calls || n->f->quit);
    if (i % 2 == 0 && !n->note[i].calls) n->wrong++;
  }
  n->done = 1;
  return NULL;
}

static void while_it_runs(struct fixture *f, uint32_t flags) {
  struct notes *n = fixture_take(f, sizeof *n);
  n->f = f;
  n->note[0].written = 4711;
  assert_int_equal(torque_event_add(f->ctx, flags, look_at_note, &n->note[0], &n->source), 0);
  fixture_thread(f, set_notes, n);
  AWAIT(f, n->done);
  assert_int_equal(n->wrong, 0);
  assert_int_equal(torque_source_remove_wait(n->source), 0);
}
static void set_while_it_runs(void **state) { while_it_runs(*state, 0); }
static void set_while_a_concurrent_one_runs(void **state) { while_it_runs(*state, TORQUE_CONCURRENT); }

/* ---- The other kinds ---- */

struct counted {
  _Atomic uint32_t calls;
};
static void count(void *arg, uint32_t n) { ((struct counted *)arg)->calls += n; }
static void tick(torque_source s, uint64_t n, void *arg) { (void)s, (void)n, count(arg, 1); }
static void arrive(torque_source s, const struct torque_siginfo *i, void *arg) { (void)s, (void)i, count(arg, 1); }
static void accepted(torque_source s, int32_t fd, const void *a, uint32_t l, void *arg) {
  (void)s, (void)a, (void)l, count(arg, 1);
  close(fd);
}
static void datagrams(torque_source s, struct torque_datagrams *d, void *arg) { (void)s, count(arg, torque_datagrams_count(d)); }
static void signalled(torque_source s, uint64_t n, void *arg) { (void)s, (void)n, count(arg, 1); }
static int32_t idle(torque_source s, void *arg) {
  (void)s, count(arg, 1);
  return TORQUE_DONE;
}
static void done(torque_source s, torque_err e, int64_t r, void *arg) { (void)s, (void)e, (void)r, count(arg, 1); }
static int64_t work(void *arg) {
  count(arg, 1);
  return 0;
}

static void kinds_without_descriptor(void **state) {
  struct fixture *f = *state;
  struct counted *c = fixture_take(f, 4 * sizeof *c);
  struct counted *old = c, *new = c + 1;
  torque_source timer, signal_, condition, waiter, idler, job;
  const int32_t usr = SIGUSR1;
  assert_int_equal(torque_timer_add(f->ctx, UINT64_C(1000000000000), 0, 0, tick, old, &timer), 0);
  assert_int_equal(torque_source_set_arg(timer, new), 0);
  assert_int_equal(torque_timer_set(timer, 0, 0, 0), 0);
  AWAIT(f, new->calls == 1);
  assert_int_equal(torque_signal_add(f->ctx, &usr, 1, arrive, old, &signal_), 0);
  assert_int_equal(torque_source_set_arg(signal_, new), 0);
  kill(getpid(), SIGUSR1);
  AWAIT(f, new->calls == 2);
  assert_int_equal(torque_condition_new(f->ctx, 0, &condition), 0);
  assert_int_equal(torque_condition_add(condition, signalled, old, &waiter), 0);
  assert_int_equal(torque_source_set_arg(waiter, new), 0);
  assert_int_equal(torque_condition_signal(condition), 0);
  AWAIT(f, new->calls == 3);
  assert_int_equal(torque_idle_new(f->ctx, idle, old, &idler), 0);
  assert_int_equal(torque_source_set_arg(idler, c + 2), 0);
  assert_int_equal(torque_source_start(idler), 0);
  AWAIT(f, c[2].calls >= 1);
  assert_int_equal(torque_offload_new(f->ctx, work, done, old, &job), 0);
  assert_int_equal(torque_source_set_arg(job, c + 3), 0);
  assert_int_equal(torque_source_start(job), 0);
  AWAIT(f, c[3].calls == 2);
  assert_int_equal(old->calls, 0);
  assert_int_equal(torque_source_remove_wait(signal_), 0);
  assert_int_equal(torque_source_remove_wait(idler), 0);
  assert_int_equal(torque_source_remove_wait(waiter), 0);
}

static void listeners_and_datagrams(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in any = loopback_address(0);
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct counted *c = fixture_take(f, 2 * sizeof *c);
    struct door *d = fixture_take(f, sizeof *d);
    assert_int_equal(torque_listen_add(f->ctx, &any, sizeof any, 0, policy, accepted, c, &d->listener), 0);
    door_read_address(d);
    assert_int_equal(torque_source_set_arg(d->listener, c + 1), 0);
    for (int i = 0; i < 20; i++) fixture_own(f, visit(d)); /* every socket of it */
    AWAIT(f, c[1].calls == 20);
    assert_int_equal(c->calls, 0);
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
  }
  for (uint32_t flags = 0; flags <= TORQUE_DATAGRAM_REUSEPORT; flags += TORQUE_DATAGRAM_REUSEPORT) {
    struct counted *c = fixture_take(f, 2 * sizeof *c);
    torque_source s;
    struct sockaddr_in where;
    uint32_t length;
    assert_int_equal(torque_datagram_bind_add(f->ctx, &any, sizeof any, flags, datagrams, c, &s), 0);
    assert_int_equal(torque_datagram_address(s, &where, sizeof where, &length), 0);
    assert_int_equal(torque_source_set_arg(s, c + 1), 0);
    for (uint32_t i = 0; i < 20; i++) { /* every socket of it */
      const int fd = socket(AF_INET, SOCK_DGRAM, 0);
      fixture_own(f, fd);
      assert_int_equal(sendto(fd, "x", 1, 0, (void *)&where, sizeof where), 1);
    }
    AWAIT(f, c[1].calls == 20);
    assert_int_equal(c->calls, 0);
    assert_int_equal(torque_source_remove_wait(s), 0);
  }
}

/* ---- Streams, and those that a listener makes ---- */

static void streams(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, party_end), *q = party_new(f, party_take, party_end);
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[0]);
  (void)pattern_put(fd[1], 0, 100);
  AWAIT(f, p->in == 100);
  assert_int_equal(torque_stream_set_arg(s, q), 0); /* from another thread than its own */
  (void)pattern_put(fd[1], 0, 300);
  AWAIT(f, q->in == 300);
  assert_int_equal(torque_source_set_arg(s, p), 0);
  (void)pattern_put(fd[1], 100, 50);
  AWAIT(f, p->in == 150);
  fixture_close(f, fd[1]);
  AWAIT(f, p->ended);
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->strange + q->strange + q->closed, 0);
  party_free(p);
  party_free(q);
}

static void made_by_a_listener(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in any = loopback_address(0);
  struct party *p = party_new(f, party_take, party_end), *q = party_new(f, party_take, party_end);
  struct door *d = fixture_take(f, sizeof *d);
  void *arg = NULL;
  assert_int_equal(torque_stream_listen(f->ctx, &any, sizeof any, 0, 0, p->type, p, &d->listener), 0);
  assert_int_equal(torque_source_arg(d->listener, &arg), 0);
  assert_ptr_equal(arg, p);
  door_read_address(d);
  const int first = visit(d);
  fixture_own(f, first);
  AWAIT(f, p->opened == 1);
  assert_int_equal(torque_source_set_arg(d->listener, q), 0);
  const int second = visit(d);
  fixture_own(f, second);
  AWAIT(f, q->opened == 1);
  (void)pattern_put(first, 0, 10);
  (void)pattern_put(second, 0, 20);
  AWAIT(f, p->in == 10 && q->in == 20);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  fixture_close(f, first);
  fixture_close(f, second);
  AWAIT(f, p->ended && q->ended);
  assert_int_equal(torque_stream_close(p->stream), 0);
  assert_int_equal(torque_stream_close(q->stream), 0);
  AWAIT(f, p->closed && q->closed);
  assert_int_equal(p->strange + q->strange, 0);
  party_free(p);
  party_free(q);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(every_kind),
      ON_EVERY(those_that_have_none),
      ON_EVERY(those_that_have_none_yet),
      ON_EVERY(listeners_of_every_policy),
      ON_EVERY(the_next_call_has_it),
      ON_EVERY(before_the_start),
      ON_EVERY(from_the_own_callback),
      ON_THREADED(a_call_under_way),
      ON(single, a_call_under_way),
      ON_EVERY(set_while_it_runs),
      ON_EVERY(set_while_a_concurrent_one_runs),
      ON_EVERY(kinds_without_descriptor),
      ON_EVERY(listeners_and_datagrams),
      ON_EVERY(streams),
      ON_EVERY(made_by_a_listener),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
