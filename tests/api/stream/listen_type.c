/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners of streams: another type for those to come, sockets of the caller's, strands and places of the type. */
#include "support/clients.h"
#include "support/probe.h"
#include "support/streams.h"

#include <unistd.h>

#include "support/cmocka.h"

enum { GUESTS = 12, THREADS = 2, EACH = 100 };

static struct door *listen_for(struct party *p, uint32_t policy) {
  struct door *d = fixture_take(p->f, sizeof *d);
  const struct sockaddr_in a = loopback_address(0);
  d->f = p->f;
  assert_int_equal(torque_stream_listen(p->f->ctx, &a, sizeof a, 0, policy, p->type, p, &d->listener), 0);
  door_read_address(d);
  return d;
}

static void come(struct fixture *f, struct door *d, int *guest, int n) {
  for (int i = 0; i < n; i++) {
    guest[i] = visit(d);
    assert_true(guest[i] >= 0);
    fixture_own(f, guest[i]);
  }
}

static void those_to_come_have_the_new_one(void **state) {
  struct fixture *f = *state;
  int guest[2 * GUESTS];
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct party *old = party_new(f, NULL, NULL), *new = party_new(f, NULL, NULL);
    struct door *d = listen_for(old, policy);
    party_free(old);
    come(f, d, guest, GUESTS);
    AWAIT(f, old->opened == GUESTS);
    assert_int_equal(torque_stream_listen_set_type(d->listener, new->type, new), 0);
    party_free(new); /* the listener keeps it */
    void *arg = NULL;
    assert_int_equal(torque_source_arg(d->listener, &arg), 0);
    assert_ptr_equal(arg, new);
    come(f, d, guest + GUESTS, GUESTS);
    AWAIT(f, new->opened == GUESTS);
    assert_int_equal(old->opened, GUESTS);
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
    for (int i = 0; i < 2 * GUESTS; i++) fixture_close(f, guest[i]);
    AWAIT(f, old->closed == GUESTS && new->closed == GUESTS); /* each by its own callbacks */
    assert_int_equal(old->strange + new->strange, 0);
  }
}

struct kind {
  _Atomic uint32_t opened, wrong;
  int number;
};

static void open_as(int number, torque_source stream, void *arg) {
  struct kind *k = arg;
  if (k->number != number || torque_stream_close(stream)) k->wrong++;
  k->opened++;
}
static void open_first(torque_source stream, void *arg) { open_as(0, stream, arg); }
static void open_second(torque_source stream, void *arg) { open_as(1, stream, arg); }

/* Swapped again and again while others come: each has one or the other, whole. */
static void swapped_while_many_come(void **state) {
  struct fixture *f = *state;
  struct torque_stream_type *type[2];
  struct kind *kind = fixture_take(f, 2 * sizeof *kind);
  struct door *d = fixture_take(f, sizeof *d);
  const struct sockaddr_in a = loopback_address(0);
  d->f = f;
  for (int i = 0; i < 2; i++) {
    kind[i].number = i;
    assert_int_equal(torque_stream_type_new(&type[i]), 0);
    assert_int_equal(torque_stream_type_set_open(type[i], i ? open_second : open_first), 0);
  }
  assert_int_equal(torque_stream_listen(f->ctx, &a, sizeof a, 0, 0, type[0], &kind[0], &d->listener), 0);
  door_read_address(d);
  struct visitors *v = visitors_come(f, d, THREADS, EACH);
  torque_err err = 0;
  uint32_t swaps = 0;
  for (struct patience p = patience_start(); v->served + v->refused < THREADS * EACH && fixture_step(f, &p); swaps++)
    err |= torque_stream_listen_set_type(d->listener, type[swaps % 2], &kind[swaps % 2]);
  for (int i = 0; i < 2; i++) torque_stream_type_free(type[i]);
  assert_int_equal(err, 0);
  assert_int_equal(v->refused, 0);
  assert_int_equal(kind[0].opened + kind[1].opened, THREADS * EACH);
  assert_int_equal(kind[0].wrong + kind[1].wrong, 0);
}

static void on_a_socket_of_the_callers(void **state) {
  struct fixture *f = *state;
  int guest[GUESTS];
  const struct sockaddr_in a = loopback_address(0);
  struct party *p = party_new(f, NULL, NULL);
  struct door *d = fixture_take(f, sizeof *d);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, SOMAXCONN), 0);
  assert_int_equal(torque_stream_listen_fd(f->ctx, fd, TORQUE_LISTEN_DEFAULT, p->type, p, &d->listener), 0);
  door_read_address(d);
  come(f, d, guest, GUESTS);
  AWAIT(f, p->opened == GUESTS);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  assert_true(fcntl_is_open(fd)); /* it stays his, and listens on */
  come(f, d, guest, 1);
  assert_int_equal(torque_stream_listen_fd_new(f->ctx, fd, TORQUE_LISTEN_EXCLUSIVE, p->type, p, &d->listener), 0);
  assert_int_equal(torque_source_set_finalizer(d->listener, door_final), 0);
  fixture_settle(f);
  assert_int_equal(p->opened, GUESTS);
  torque_source not_made = 77;
  assert_int_equal(torque_stream_listen_fd(f->ctx, fd, TORQUE_LISTEN_REUSEPORT, p->type, p, &not_made), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_listen_fd(f->ctx, -1, 0, p->type, p, &not_made), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_listen_fd(f->ctx, fd, 0, NULL, p, &not_made), TORQUE_ERR_INVAL);
  assert_true(not_made == 77);
  assert_int_equal(torque_source_start(d->listener), 0);
  AWAIT(f, p->opened == GUESTS + 1); /* who has waited is taken */
  party_free(p);
}

static void the_end_of_a_listener_is_told_with_its_arg(void **state) {
  struct fixture *f = *state;
  const struct sockaddr_in a = loopback_address(0);
  struct party *p = party_new(f, NULL, NULL);
  struct door *d = fixture_take(f, sizeof *d);
  assert_int_equal(torque_stream_listen_new(f->ctx, &a, sizeof a, 0, 0, p->type, d, &d->listener), 0);
  assert_int_equal(torque_source_set_finalizer(d->listener, door_final), 0);
  party_free(p);
  assert_int_equal(torque_source_start(d->listener), 0);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  assert_int_equal(d->finals, 1);
  assert_int_equal(d->reason, TORQUE_END_REMOVED);
}

/* In one strand no two callbacks overlap: a plain counter shows it. */
struct line {
  _Atomic int inside, overlaps, opened, elsewhere;
  uint32_t domain;
};

static void stand_in_line(torque_source stream, void *arg) {
  struct line *l = arg;
  uint32_t domain = UINT32_MAX;
  if (atomic_fetch_add(&l->inside, 1)) l->overlaps++;
  if (torque_source_domain(stream, &domain) || domain != l->domain) l->elsewhere++;
  for (int i = 0; i < 1000; i++) atomic_load(&l->inside);
  l->inside--;
  l->opened++;
}

static void strand_and_place_of_the_new_type(void **state) {
  struct fixture *f = *state;
  int guest[4 * GUESTS];
  struct party *p = party_new(f, NULL, NULL);
  struct torque_strand *strand;
  struct torque_stream_type *type;
  struct line *l = fixture_take(f, sizeof *l);
  l->domain = torque_ctx_domains(f->ctx) - 1;
  struct door *d = listen_for(p, TORQUE_LISTEN_DEFAULT);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_stream_type_new(&type), 0);
  assert_int_equal(torque_stream_type_set_strand(type, strand), 0);
  assert_int_equal(torque_stream_type_set_placement(type, (int32_t)l->domain), 0);
  assert_int_equal(torque_stream_type_set_open(type, stand_in_line), 0);
  assert_int_equal(torque_stream_listen_set_type(d->listener, type, l), 0);
  torque_stream_type_free(type);
  torque_strand_free(strand);
  come(f, d, guest, 4 * GUESTS);
  AWAIT(f, l->opened == 4 * GUESTS);
  assert_int_equal(l->overlaps, 0);
  assert_int_equal(l->elsewhere, 0);
  party_free(p);
}

static void what_cannot_be(void **state) {
  struct fixture *f = *state;
  struct torque_strand *strand;
  struct torque_stream_type *type;
  struct torque_ctx *other;
  struct torque_config *config = shape_config(&shape_driven);
  assert_int_equal(torque_ctx_new(config, &other), 0);
  torque_config_free(config);
  const torque_err made = torque_strand_new(other, &strand);
  assert_int_equal(torque_stream_type_new(&type), 0);
  assert_int_equal(torque_stream_type_set_strand(type, strand), 0);
  struct party *p = party_new(f, NULL, NULL);
  struct door *d = listen_for(p, TORQUE_LISTEN_DEFAULT), *raw = door_open(f, TORQUE_LISTEN_DEFAULT);
  struct probe *event = probe_event(f, 0);
  const torque_err errs[] = {
      torque_stream_listen_set_type(d->listener, type, NULL),
      torque_stream_listen_set_type(d->listener, NULL, NULL),
      torque_stream_listen_set_type(raw->listener, p->type, NULL),
      torque_stream_listen_set_type(event->source, p->type, NULL),
      torque_source_remove_wait(d->listener),
      torque_stream_listen_set_type(d->listener, p->type, NULL),
  };
  torque_strand_free(strand);
  torque_stream_type_free(type);
  party_free(p);
  assert_int_equal(torque_stop(other), 0);
  assert_int_equal(made, 0);
  const torque_err as[] = {TORQUE_ERR_INVAL, TORQUE_ERR_INVAL, TORQUE_ERR_KIND, TORQUE_ERR_KIND, 0, TORQUE_ERR_STALE};
  for (int i = 0; i < 6; i++) assert_int_equal(errs[i], as[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(those_to_come_have_the_new_one),
      ON_EVERY(swapped_while_many_come),
      ON_EVERY(on_a_socket_of_the_callers),
      ON_EVERY(the_end_of_a_listener_is_told_with_its_arg),
      ON_EVERY(strand_and_place_of_the_new_type),
      ON_EVERY(what_cannot_be),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
