/* SPDX-License-Identifier: BSD-3-Clause */
/* The graceful end of a context: nobody else is let in, who is in may finish, and when the limit is over goes. */
#include "support/clients.h"
#include "support/layers.h"
#include "support/probe.h"
#include "support/streams.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { GUESTS = 8 };
#define FOR_EVER UINT64_MAX
#define SHORT UINT64_C(50000000)

struct house {
  struct fixture *f;
  struct party *party;
  struct door *door;
  int guest[GUESTS];
  _Atomic uint32_t goaways, told, others;
  _Atomic int32_t err;
  _Atomic uint64_t aborted;
  _Atomic int idle; /* goaway closes */
  struct torque_ctx *_Atomic ctx;
};

static void on_drained(struct torque_ctx *ctx, torque_err err, uint64_t aborted, void *arg) {
  struct house *h = arg;
  h->ctx = ctx;
  h->err = err;
  h->aborted = aborted;
  h->told++;
}

static void not_called(struct torque_ctx *ctx, torque_err err, uint64_t aborted, void *arg) {
  struct house *h = arg;
  (void)ctx, (void)err, (void)aborted;
  h->others++;
}

/* The arg of the streams is the party; that has the house. */
static void on_goaway(torque_source stream, void *arg) {
  struct party *p = arg;
  struct house *h = p->more;
  h->goaways++;
  if (h->idle && torque_stream_close(stream)) p->strange++;
}

static void never(torque_source source, uint64_t times, void *arg) { (void)source, (void)times, (void)arg; }

static struct house *house_new(struct fixture *f) {
  struct house *h = fixture_take(f, sizeof *h);
  h->f = f;
  h->party = party_new(f, NULL, NULL);
  h->party->more = h;
  assert_int_equal(torque_stream_type_set_goaway(h->party->type, on_goaway), 0);
  return h;
}

static void house_open(struct house *h, int guests) {
  const struct sockaddr_in a = loopback_address(0);
  h->door = fixture_take(h->f, sizeof *h->door);
  h->door->f = h->f;
  torque_source *listener = &h->door->listener;
  assert_int_equal(torque_stream_listen_new(h->f->ctx, &a, sizeof a, 0, 0, h->party->type, h->party, listener), 0);
  assert_int_equal(torque_source_start(*listener), 0);
  door_read_address(h->door);
  for (int i = 0; i < guests; i++) {
    h->guest[i] = visit(h->door);
    assert_true(h->guest[i] >= 0);
    fixture_own(h->f, h->guest[i]);
  }
  AWAIT(h->f, h->party->opened == (uint32_t)guests);
}

static void drain_for(struct house *h, uint64_t limit) {
  assert_int_equal(torque_ctx_drain(h->f->ctx, limit, on_drained, h), 0);
  assert_int_equal(torque_ctx_draining(h->f->ctx), 1);
}

/* By itself: whoever runs it, or waits for its end, goes on. */
static void assert_ends(struct house *h, torque_err err, uint64_t aborted) {
  struct torque_ctx *ctx = h->f->ctx;
  if (h->f->shape->driven) {
    assert_int_equal(torque_run(ctx), 0);
    assert_int_equal(torque_stop(ctx), 0);
  } else {
    assert_int_equal(torque_block(ctx), 0);
  }
  h->f->ctx = NULL;
  assert_int_equal(h->told, 1);
  assert_ptr_equal(h->ctx, ctx);
  assert_int_equal(h->err, err);
  assert_int_equal(h->aborted, aborted);
  assert_int_equal(torque_ctx_draining(ctx), 0);
  assert_int_equal(torque_ctx_drain(ctx, 0, NULL, NULL), TORQUE_ERR_STOPPED);
  if (!h->party) return;
  assert_int_equal(h->party->closed, h->party->opened);
  assert_int_equal(h->party->strange, 0);
  party_free(h->party);
}

static void with_nothing_to_wait_for(void **state) {
  struct house *h = house_new(*state);
  assert_int_equal(torque_ctx_draining(h->f->ctx), 0);
  drain_for(h, FOR_EVER);
  assert_ends(h, 0, 0);
}

static void those_inside_may_finish(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  house_open(h, GUESTS);
  drain_for(h, FOR_EVER);
  AWAIT(f, !torque_source_alive(h->door->listener));
  assert_int_equal(visit(h->door), -1); /* the next one asks elsewhere */
  assert_int_equal(errno, ECONNREFUSED);
  AWAIT(f, h->goaways == GUESTS);
  for (int i = 0; i < GUESTS; i++) {
    fixture_settle(f);
    assert_int_equal(h->told, 0);
    assert_int_equal(torque_stream_write(h->party->stream, "x", 1), i ? TORQUE_ERR_STALE : 0);
    if (i) continue;
    for (int g = 1; g < GUESTS; g++) fixture_close(f, h->guest[g]); /* all but the first */
    AWAIT(f, h->party->closed == GUESTS - 1);
    h->party->stream = 0;
  }
  fixture_close(f, h->guest[0]);
  assert_ends(h, 0, 0);
  assert_int_equal(h->goaways, GUESTS); /* once each */
}

static void idle_ones_are_closed_by_the_program(void **state) {
  struct house *h = house_new(*state);
  h->idle = 1;
  house_open(h, GUESTS);
  drain_for(h, FOR_EVER);
  AWAIT(h->f, h->goaways == GUESTS);
  for (int i = 0; i < GUESTS; i++) {
    struct patience p = patience_start();
    while (recv(h->guest[i], &(char){0}, 1, MSG_DONTWAIT) != 0 && (h->told || fixture_step(h->f, &p))) nap();
    fixture_close(h->f, h->guest[i]);
  }
  assert_ends(h, 0, 0);
}

static void at_the_limit_the_rest_is_aborted(void **state) {
  struct house *h = house_new(*state);
  house_open(h, GUESTS);
  for (int i = 0; i < 3; i++) fixture_close(h->f, h->guest[i]);
  AWAIT(h->f, h->party->closed == 3);
  drain_for(h, SHORT);
  assert_ends(h, TORQUE_ERR_SYSCALL + ETIMEDOUT, GUESTS - 3);
  assert_int_equal(h->party->err, TORQUE_ERR_SYSCALL + ECANCELED);
  for (int i = 3; i < GUESTS; i++) {
    assert_int_equal(recv(h->guest[i], &(char){0}, 1, 0), -1); /* it cannot be taken for an end in order */
    assert_int_equal(errno, ECONNRESET);
  }
}

static void a_shorter_limit_counts_a_longer_one_does_not(void **state) {
  struct house *h = house_new(*state);
  house_open(h, GUESTS);
  drain_for(h, FOR_EVER);
  assert_int_equal(torque_ctx_drain(h->f->ctx, SHORT, not_called, h), 0);
  assert_int_equal(torque_ctx_drain(h->f->ctx, FOR_EVER, not_called, h), 0);
  assert_ends(h, TORQUE_ERR_SYSCALL + ETIMEDOUT, GUESTS);
  assert_int_equal(h->others, 0);
}

static void at_once(void **state) {
  struct house *h = house_new(*state);
  house_open(h, GUESTS);
  drain_for(h, 0);
  assert_ends(h, TORQUE_ERR_SYSCALL + ETIMEDOUT, GUESTS);
}

static void make_others(struct fixture *f) {
  for (int i = 0; i < FEWER(50000); i++) {
    torque_source other;
    assert_int_equal(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, never, NULL, &other), 0);
  }
}

/* The last of those that are aborted ends while many others are still looked at for streams: it is counted all the same. */
static void whoever_is_aborted_counts(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  make_others(f); /* before and after: whichever way it looks */
  house_open(h, GUESTS);
  make_others(f);
  drain_for(h, 0);
  assert_ends(h, TORQUE_ERR_SYSCALL + ETIMEDOUT, GUESTS);
}

/* One that opens during the drain is told when it is open: here, when its handshake is over. */
static void those_that_open_later_are_told(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  int pair[2];
  struct torque_layer_type *layer = layer_handshake();
  assert_int_equal(torque_stream_type_add_layer(h->party->type, layer), 0);
  torque_layer_type_free(layer);
  fixture_tcp(f, pair);
  party_add(h->party, pair[0]);
  fixture_settle(f);
  drain_for(h, FOR_EVER);
  fixture_settle(f);
  assert_int_equal(h->goaways, 0);
  h->idle = 1;
  assert_int_equal(send(pair[1], GREETING, sizeof GREETING - 1, 0), sizeof GREETING - 1);
  AWAIT(f, h->goaways == 1);
  assert_int_equal(h->party->opened, 1);
  fixture_close(f, pair[1]);
  assert_ends(h, 0, 0);
}

static struct torque_layer_type *handshake;
static void goaway_and_push(torque_source stream, void *arg) {
  struct party *p = arg;
  struct house *h = p->more;
  if (torque_stream_push_layer(stream, handshake)) p->strange++;
  h->goaways++;
}

/* One that was told, and then ends while a layer that was put on top shakes hands, is told of its end. */
static void told_before_a_layer(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  handshake = layer_handshake();
  assert_int_equal(torque_stream_type_set_goaway(h->party->type, goaway_and_push), 0);
  house_open(h, 2);
  drain_for(h, FOR_EVER);
  AWAIT(f, h->goaways == 2);
  assert_int_equal(h->party->closed, 0);
  fixture_close(f, h->guest[0]);
  AWAIT(f, h->party->closed == 1);
  assert_true(h->party->err > TORQUE_ERR_SYSCALL);
  fixture_close(f, h->guest[1]);
  assert_ends(h, 0, 0);
  torque_layer_type_free(handshake);
}

static void nothing_new_is_listened_for(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  const struct sockaddr_in a = loopback_address(0);
  struct door *raw = door_open(f, TORQUE_LISTEN_DEFAULT);
  torque_source made = 0, later = 77;
  house_open(h, 1);
  assert_int_equal(torque_listen_new(f->ctx, &a, sizeof a, 0, 0, door_accept, raw, &made), 0);
  drain_for(h, FOR_EVER);
  AWAIT(f, raw->finals == 1);
  assert_int_equal(raw->reason, TORQUE_END_STOPPED);
  assert_int_equal(torque_source_start(made), TORQUE_ERR_STOPPED);
  assert_int_equal(torque_listen_add(f->ctx, &a, sizeof a, 0, 0, door_accept, raw, &later), TORQUE_ERR_STOPPED);
  assert_true(later == 77);
  fixture_close(f, h->guest[0]);
  assert_ends(h, 0, 0);
}

struct caller {
  struct fixture *f;
  struct sockaddr_un at;
  socklen_t length;
  _Atomic int gone;
};

static void *call_again_and_again(void *arg) {
  struct caller *c = arg;
  while (!c->gone && !c->f->quit) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char end;
    if (connect(fd, (const struct sockaddr *)&c->at, c->length) == 0) (void)!read(fd, &end, 1);
    close(fd);
  }
  return NULL;
}

/* Its arg is the caller's: no connection is given to a listener that is not to start, whenever it comes. */
static void a_refused_start_accepts_nothing(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  struct caller *c = fixture_take(f, sizeof *c);
  struct door *never = fixture_take(f, sizeof *never);
  torque_source listener = 77;
  never->f = c->f = f;
  c->at.sun_family = AF_UNIX;
  const int n = snprintf(c->at.sun_path + 1, sizeof c->at.sun_path - 1, "torque drain %d", (int)getpid());
  c->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
  house_open(h, 1);
  drain_for(h, FOR_EVER);
  fixture_thread(f, call_again_and_again, c);
  for (int i = 0; i < FEWER(20000); i++) {
    assert_int_equal(torque_listen_add(f->ctx, &c->at, c->length, 0, 0, door_accept, never, &listener), TORQUE_ERR_STOPPED);
  }
  c->gone = 1;
  fixture_join(f);
  assert_true(listener == 77);
  fixture_settle(f);
  assert_int_equal(never->accepted + never->wrong, 0);
  fixture_close(f, h->guest[0]);
  assert_ends(h, 0, 0);
}

/* A socket of the caller's goes on to listen, for who comes next. */
static void sockets_of_the_callers_listen_on(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  const struct sockaddr_in a = loopback_address(0);
  struct door *d = fixture_take(f, sizeof *d);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, 10), 0);
  assert_int_equal(torque_stream_listen_fd(f->ctx, fd, 0, h->party->type, h->party, &d->listener), 0);
  door_read_address(d);
  drain_for(h, FOR_EVER);
  assert_ends(h, 0, 0);
  const int guest = visit(d);
  fixture_own(f, guest);
  const int next = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
  fixture_own(f, next);
  assert_true(guest >= 0 && next >= 0);
}

/* A client that connects again whenever it has lost its connection does not keep the context for ever. */
static struct sockaddr_in elsewhere;
static _Atomic uint32_t again, refused;
static void connect_again(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  torque_source next;
  (void)stream, (void)err;
  p->closed++;
  err = torque_stream_connect(p->f->ctx, &elsewhere, sizeof elsewhere, p->type, p, &next);
  if (err == TORQUE_ERR_STOPPED) refused++;
  else if (!err) again++;
}

static void those_that_come_again_and_again(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  struct party *p = h->party;
  torque_source first;
  elsewhere = loopback_address(0);
  socklen_t length = sizeof elsewhere;
  again = refused = 0;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&elsewhere, sizeof elsewhere), 0);
  assert_int_equal(listen(fd, 100), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&elsewhere, &length), 0);
  assert_int_equal(torque_stream_type_set_close(p->type, connect_again), 0);
  assert_int_equal(torque_stream_connect(f->ctx, &elsewhere, sizeof elsewhere, p->type, p, &first), 0);
  AWAIT(f, p->opened == 1);
  drain_for(h, FOR_EVER);
  assert_int_equal(torque_stream_abort(p->stream), 0);
  AWAIT(f, p->opened == 2); /* as long as the limit is not over it may */
  assert_int_equal(torque_ctx_drain(f->ctx, SHORT, NULL, NULL), 0);
  h->party = NULL;
  assert_ends(h, TORQUE_ERR_SYSCALL + ETIMEDOUT, 1);
  assert_int_equal(again, 1);
  assert_int_equal(refused, 1);
  party_free(p);
}

/* The last stream has ended, and before the drain is over the program starts one more: that one may finish as well. */
struct successor {
  struct party *party;
  torque_source event, stream;
  int fd;
};

static void wake_the_successor(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  struct successor *next = p->more;
  (void)stream, (void)err;
  p->closed++;
  if (torque_trigger(next->event, TORQUE_READ)) p->strange++;
}

static int32_t start_the_successor(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct successor *next = arg;
  (void)source, (void)fd, (void)events;
  next->stream = party_add(next->party, next->fd);
  return TORQUE_DONE;
}

static void one_that_starts_in_between(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  struct successor *next = fixture_take(f, sizeof *next);
  struct party *p = h->party;
  int first[2], second[2];
  next->party = party_new(f, NULL, NULL);
  fixture_pair(f, first);
  fixture_pair(f, second);
  next->fd = second[1];
  p->more = next;
  assert_int_equal(torque_stream_type_set_goaway(p->type, NULL), 0);
  assert_int_equal(torque_stream_type_set_close(p->type, wake_the_successor), 0);
  assert_int_equal(torque_event_add(f->ctx, 0, start_the_successor, next, &next->event), 0);
  party_add(p, first[1]);
  AWAIT(f, p->opened == 1);
  drain_for(h, FOR_EVER);
  fixture_close(f, first[0]);
  AWAIT(f, next->party->opened == 1);
  fixture_settle(f);
  assert_int_equal(h->told, 0);
  assert_true(torque_source_alive(next->stream));
  fixture_close(f, second[0]);
  assert_ends(h, 0, 0);
  assert_int_equal(next->party->closed, 1);
  party_free(next->party);
}

static void stopped_meanwhile(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  house_open(h, GUESTS);
  drain_for(h, FOR_EVER);
  fixture_stop(f);
  assert_int_equal(h->told, 1);
  assert_int_equal(h->err, TORQUE_ERR_STOPPED);
  assert_int_equal(h->party->closed, GUESTS);
  party_free(h->party);
}

static void drain_in_it(struct probe *p, torque_source source, int fd) {
  struct house *h = p->aux;
  (void)source, (void)fd;
  atomic_store(&p->result, torque_ctx_drain(h->f->ctx, FOR_EVER, on_drained, h));
}

static void from_a_callback(void **state) {
  struct house *h = house_new(*state);
  h->idle = 1;
  house_open(h, GUESTS);
  struct probe *p = probe_new(h->f);
  p->then = drain_in_it;
  p->aux = h;
  p->result = 77;
  probe_start_event(h->f, p, 0);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  for (int i = 0; i < GUESTS; i++) fixture_disown(h->f, h->guest[i]), close(h->guest[i]);
  assert_ends(h, 0, 0);
  assert_int_equal(p->result, 0);
}

/* As a server does it: the first SIGTERM drains, the second does not wait. */
static _Atomic uint32_t signals;
static void on_term(torque_source source, const struct torque_siginfo *info, void *arg) {
  struct house *h = arg;
  (void)source, (void)info;
  (void)torque_ctx_drain(h->f->ctx, signals++ ? 0 : FOR_EVER, on_drained, h);
}

static void *terminate_twice(void *arg) {
  struct house *h = arg;
  kill(getpid(), SIGTERM);
  STAY_UNTIL(torque_ctx_draining(h->f->ctx) && h->goaways == GUESTS);
  kill(getpid(), SIGTERM);
  return NULL;
}

static void by_sigterm(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  torque_source source;
  const int32_t term = SIGTERM;
  assert_int_equal(torque_stop(f->ctx), 0);
  struct torque_config *config = shape_config(f->shape);
  assert_int_equal(torque_config_set_term_signals(config, NULL, 0), 0);
  assert_int_equal(torque_ctx_new(config, &f->ctx), 0);
  torque_config_free(config);
  signals = 0;
  house_open(h, GUESTS);
  assert_int_equal(torque_signal_add(f->ctx, &term, 1, on_term, h, &source), 0);
  fixture_thread(f, terminate_twice, h);
  assert_ends(h, TORQUE_ERR_SYSCALL + ETIMEDOUT, GUESTS);
  assert_int_equal(signals, 2);
}

/* Many begin it at once while others come and go: one drain, told once, and nobody is left waiting. */
static void *drain_as_well(void *arg) {
  struct house *h = arg;
  STAY_UNTIL(h->others == 1);
  const torque_err err = torque_ctx_drain(h->f->ctx, 10 * SHORT, on_drained, h);
  if (err && err != TORQUE_ERR_STOPPED) h->party->strange++;
  return NULL;
}

static void open_and_close(torque_source stream, void *arg) {
  struct party *p = arg;
  p->opened++;
  if (torque_stream_close(stream)) p->strange++;
}

static void begun_by_many_while_others_come(void **state) {
  struct fixture *f = *state;
  struct house *h = house_new(f);
  assert_int_equal(torque_stream_type_set_open(h->party->type, open_and_close), 0);
  house_open(h, 0);
  struct visitors *v = visitors_come(f, h->door, 2, 1000000);
  for (int i = 0; i < 4; i++) fixture_thread(f, drain_as_well, h);
  AWAIT(f, h->party->opened > 3);
  h->others = 1;
  AWAIT(f, h->told == 1);
  atomic_store(&f->quit, 1);
  struct party *p = h->party;
  fixture_join(f);
  fixture_stop(f);
  assert_int_equal(h->told, 1);
  assert_true(p->closed - p->opened <= h->aborted); /* the limit may be over for one that has not opened */
  assert_int_equal(h->err, h->aborted ? TORQUE_ERR_SYSCALL + ETIMEDOUT : 0);
  assert_int_equal(p->strange, 0);
  (void)v;
  party_free(p);
}

static void wrong_arguments(void **state) {
  (void)state;
  assert_int_equal(torque_ctx_drain(NULL, 0, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_ctx_draining(NULL), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(with_nothing_to_wait_for),
      ON_EVERY(those_inside_may_finish),
      ON_EVERY(idle_ones_are_closed_by_the_program),
      ON_EVERY(at_the_limit_the_rest_is_aborted),
      ON_EVERY(a_shorter_limit_counts_a_longer_one_does_not),
      ON_EVERY(at_once),
      ON_EVERY(whoever_is_aborted_counts),
      ON_EVERY(those_that_open_later_are_told),
      ON_EVERY(told_before_a_layer),
      ON_EVERY(nothing_new_is_listened_for),
      ON_EVERY(a_refused_start_accepts_nothing),
      ON_EVERY(sockets_of_the_callers_listen_on),
      ON_EVERY(those_that_come_again_and_again),
      ON(driven, one_that_starts_in_between),
      ON_EVERY(stopped_meanwhile),
      ON_EVERY(from_a_callback),
      ON_EVERY(by_sigterm),
      ON_EVERY(begun_by_many_while_others_come),
      cmocka_unit_test(wrong_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
