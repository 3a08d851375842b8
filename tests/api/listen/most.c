/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener of streams with a maximum: there are never more, and each end lets one in. */
#include "support/clients.h"
#include "support/layers.h"
#include "support/probe.h"
#include "support/streams.h"

#include <unistd.h>

#include "support/cmocka.h"

enum { THREADS = 4, EACH = 50, GUESTS = 12 };

struct hall {
  struct fixture *f;
  struct door *door;
  struct torque_stream_type *type;
  _Atomic uint32_t arrived, opened, closed, failed;
  _Atomic int32_t inside, most_inside;
  _Atomic int leave_at_once, release;
  _Atomic torque_source stream[4 * GUESTS]; /* by order of arrival */
};

static void on_open(torque_source stream, void *arg) {
  struct hall *h = arg;
  const int32_t now = atomic_fetch_add(&h->inside, 1) + 1;
  for (int32_t most = h->most_inside; now > most && !atomic_compare_exchange_weak(&h->most_inside, &most, now);) {
  }
  const uint32_t n = atomic_fetch_add(&h->arrived, 1);
  if (n < sizeof h->stream / sizeof *h->stream) h->stream[n] = stream;
  h->opened++;
  if (h->leave_at_once) (void)torque_stream_close(stream);
}

static size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct hall *h = arg;
  (void)data;
  int32_t fd;
  if (h->release && torque_stream_release(stream, &fd) == 0) close(fd);
  return length;
}

static void on_close(torque_source stream, torque_err err, void *arg) {
  struct hall *h = arg;
  (void)stream;
  if (err == TORQUE_ERR_UNAVAIL) h->failed++;
  else h->inside--;
  h->closed++;
}

static struct hall *hall_new(struct fixture *f, uint32_t policy, uint32_t most, struct torque_layer_type *layer) {
  struct hall *h = fixture_take(f, sizeof *h);
  const struct sockaddr_in a = loopback_address(0);
  h->f = f;
  h->door = fixture_take(f, sizeof *h->door);
  h->door->f = f;
  assert_int_equal(torque_stream_type_new(&h->type), 0);
  assert_int_equal(torque_stream_type_set_open(h->type, on_open), 0);
  assert_int_equal(torque_stream_type_set_data(h->type, on_data), 0);
  assert_int_equal(torque_stream_type_set_close(h->type, on_close), 0);
  if (layer) assert_int_equal(torque_stream_type_add_layer(h->type, layer), 0);
  assert_int_equal(torque_stream_listen_new(f->ctx, &a, sizeof a, 0, policy, h->type, h, &h->door->listener), 0);
  assert_int_equal(torque_listen_set_max(h->door->listener, most), 0);
  assert_int_equal(torque_source_start(h->door->listener), 0);
  torque_stream_type_free(h->type);
  door_read_address(h->door);
  return h;
}

static uint32_t count(const struct hall *h) {
  uint32_t n = UINT32_MAX;
  assert_int_equal(torque_listen_count(h->door->listener, &n), 0);
  return n;
}

static void come(struct hall *h, int *guest, int n) {
  for (int i = 0; i < n; i++) {
    guest[i] = visit(h->door);
    assert_true(guest[i] >= 0);
    fixture_own(h->f, guest[i]);
  }
}

static void never_more(struct fixture *f, uint32_t policy) {
  for (uint32_t most = 1; most <= 4; most += 3) {
    struct hall *h = hall_new(f, policy, most, NULL);
    h->leave_at_once = 1;
    struct visitors *v = visitors_come(f, h->door, THREADS, EACH);
    AWAIT(f, v->served + v->refused == THREADS * EACH);
    fixture_join(f);
    AWAIT(f, h->closed == THREADS * EACH);
    assert_int_equal(v->refused, 0);
    assert_in_range(h->most_inside, 1, most);
    AWAIT(f, count(h) == 0);
    assert_int_equal(torque_source_remove_wait(h->door->listener), 0);
  }
}

static void by_default(void **state) { never_more(*state, TORQUE_LISTEN_DEFAULT); }
static void shared(void **state) { never_more(*state, TORQUE_LISTEN_SHARED); }
static void exclusive(void **state) { never_more(*state, TORQUE_LISTEN_EXCLUSIVE); }
static void reuseport(void **state) { never_more(*state, TORQUE_LISTEN_REUSEPORT); }

static void stays_at(struct hall *h, uint32_t opened, uint32_t inside) {
  AWAIT(h->f, h->opened == opened && count(h) == inside);
  fixture_settle(h->f);
  assert_int_equal(h->opened, opened);
  assert_int_equal(count(h), inside);
}

static void changed_while_it_runs(void **state) {
  struct fixture *f = *state;
  int guest[GUESTS];
  struct hall *h = hall_new(f, TORQUE_LISTEN_DEFAULT, 3, NULL);
  come(h, guest, GUESTS);
  stays_at(h, 3, 3);
  assert_int_equal(torque_stream_abort(h->stream[0]), 0); /* one ends: one comes in */
  stays_at(h, 4, 3);
  assert_int_equal(torque_listen_set_max(h->door->listener, 5), 0);
  stays_at(h, 6, 5);
  assert_int_equal(torque_listen_set_max(h->door->listener, 2), 0); /* nobody is sent away */
  stays_at(h, 6, 5);
  for (int i = 1; i <= 3; i++) assert_int_equal(torque_stream_abort(h->stream[i]), 0);
  stays_at(h, 6, 2);
  assert_int_equal(torque_stream_abort(h->stream[4]), 0);
  stays_at(h, 7, 2);
  assert_int_equal(torque_listen_pause(h->door->listener), 0); /* one reason does not know of the other */
  assert_int_equal(torque_listen_set_max(h->door->listener, 0), 0);
  stays_at(h, 7, 2);
  assert_int_equal(torque_listen_resume(h->door->listener), 0);
  stays_at(h, GUESTS, GUESTS - 5);
}

static void released_ones_have_left(void **state) {
  struct fixture *f = *state;
  int guest[GUESTS];
  struct hall *h = hall_new(f, TORQUE_LISTEN_DEFAULT, 1, NULL);
  h->release = 1;
  come(h, guest, GUESTS);
  for (int i = 0; i < GUESTS; i++) say(guest[i], 1); /* whoever is in is released, and so the next one */
  AWAIT(f, h->closed == GUESTS);
  assert_int_equal(h->most_inside, 1);
  AWAIT(f, count(h) == 0);
}

static torque_err open_nothing(struct torque_layer *layer, void *arg, void **ret_state) {
  (void)layer, (void)arg, (void)ret_state;
  return TORQUE_ERR_UNAVAIL;
}
static torque_err fail_to_start(struct torque_layer *layer, void *state) {
  (void)layer, (void)state;
  return TORQUE_ERR_UNAVAIL;
}

/* A layer that cannot be made, and one whose handshake fails: the place is free again, without or with a close. */
static void those_that_never_open_have_left(void **state) {
  struct fixture *f = *state;
  int guest[GUESTS];
  for (int made = 0; made <= 1; made++) {
    struct torque_layer_type *layer = layer_xor(1);
    assert_int_equal(made ? torque_layer_type_set_start(layer, fail_to_start)
                          : torque_layer_type_set_open(layer, open_nothing), 0);
    struct hall *h = hall_new(f, TORQUE_LISTEN_DEFAULT, 1, layer);
    torque_layer_type_free(layer);
    come(h, guest, GUESTS);
    for (int i = 0; i < GUESTS; i++) AWAIT(f, recv(guest[i], &(char){0}, 1, MSG_DONTWAIT) == 0);
    AWAIT(f, count(h) == 0);
    assert_int_equal(h->failed, made ? GUESTS : 0);
    assert_int_equal(h->opened, 0);
    for (int i = 0; i < GUESTS; i++) fixture_close(f, guest[i]);
    assert_int_equal(torque_source_remove_wait(h->door->listener), 0);
  }
}

static void through_layers(void **state) {
  struct fixture *f = *state;
  int guest[GUESTS];
  struct torque_layer_type *layer = layer_handshake();
  struct hall *h = hall_new(f, TORQUE_LISTEN_DEFAULT, 2, layer);
  torque_layer_type_free(layer);
  come(h, guest, GUESTS);
  AWAIT(f, count(h) == 2); /* before their handshakes are over */
  fixture_settle(f);
  assert_int_equal(count(h), 2);
  assert_int_equal(h->opened, 0);
  for (int i = 0; i < GUESTS; i++) fixture_close(f, guest[i]);
  AWAIT(f, h->closed == GUESTS && count(h) == 0);
}

/* Streams outlive the listener, and the context ends with some of them. */
static void the_listener_goes_first(void **state) {
  struct fixture *f = *state;
  int guest[GUESTS];
  struct hall *h = hall_new(f, TORQUE_LISTEN_DEFAULT, 4, NULL), *full = hall_new(f, TORQUE_LISTEN_DEFAULT, 2, NULL);
  come(h, guest, 4);
  AWAIT(f, h->opened == 4);
  come(full, guest, 4);
  AWAIT(f, full->opened == 2);
  assert_int_equal(torque_source_remove_wait(h->door->listener), 0);
  uint32_t n = 77;
  assert_int_equal(torque_listen_count(h->door->listener, &n), TORQUE_ERR_STALE);
  assert_int_equal(torque_listen_set_max(h->door->listener, 1), TORQUE_ERR_STALE);
  assert_int_equal(n, 77);
  for (int i = 0; i < 2; i++) assert_int_equal(torque_source_remove_wait(h->stream[i]), 0);
  assert_int_equal(h->closed, 2);
  fixture_stop(f);
  assert_int_equal(h->closed, 4);
  assert_int_equal(full->closed, 2);
}

static void not_for_descriptors(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_event(f, 0);
  struct door *d = door_open(f, TORQUE_LISTEN_DEFAULT);
  uint32_t n = 77;
  assert_int_equal(torque_listen_set_max(d->listener, 1), TORQUE_ERR_KIND);
  assert_int_equal(torque_listen_count(d->listener, &n), TORQUE_ERR_KIND);
  assert_int_equal(torque_listen_count(d->listener, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_set_max(p->source, 1), TORQUE_ERR_KIND);
  assert_int_equal(n, 77);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(by_default),
      ON_EVERY(shared),
      ON_EVERY(exclusive),
      ON_EVERY(reuseport),
      ON_EVERY(changed_while_it_runs),
      ON_EVERY(released_ones_have_left),
      ON_EVERY(those_that_never_open_have_left),
      ON_EVERY(through_layers),
      ON_EVERY(the_listener_goes_first),
      ON_EVERY(not_for_descriptors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
