/* SPDX-License-Identifier: BSD-3-Clause */
/* Every connection arrives exactly once, whatever the policy and the number of domains. */
#include "support/clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { THREADS = 4, CONNECTIONS = 1000, WAITING = 300 };

static const struct shape shape_eight = {.name = "eight", .synthetic = "pack:1 l3:8 core:2 pu:1", .counted = 1};

static void all_arrive(struct fixture *f, struct door *d) {
  struct visitors *v = visitors_come(f, d, THREADS, CONNECTIONS / THREADS);
  AWAIT(f, d->accepted >= CONNECTIONS || v->refused);
  fixture_join(f);
  fixture_settle(f);
  assert_int_equal(v->refused, 0);
  assert_int_equal(v->served, CONNECTIONS);
  assert_int_equal(d->accepted, CONNECTIONS);
  assert_int_equal(d->wrong, 0);
  for (int port = 0; port < 65536; port++) assert_int_equal(d->by_port[port], v->by_port[port]);
  assert_true(stat_total(f->ctx, "accepted") == CONNECTIONS);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  assert_int_equal(d->finals, 1);
  assert_int_equal(d->reason, TORQUE_END_REMOVED);
  assert_int_equal(visit(d), -1); /* its sockets are closed */
  assert_int_equal(errno, ECONNREFUSED);
}

static void by_default(void **state) { all_arrive(*state, door_open(*state, TORQUE_LISTEN_DEFAULT)); }
static void shared(void **state) { all_arrive(*state, door_open(*state, TORQUE_LISTEN_SHARED)); }
static void exclusive(void **state) { all_arrive(*state, door_open(*state, TORQUE_LISTEN_EXCLUSIVE)); }
static void reuseport(void **state) { all_arrive(*state, door_open(*state, TORQUE_LISTEN_REUSEPORT)); }

static int listening_socket(struct fixture *f) {
  const struct sockaddr_in a = loopback_address(0);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, SOMAXCONN), 0);
  return fd;
}

static void on_a_socket_of_the_callers(struct fixture *f, uint32_t policy) {
  const int fd = listening_socket(f);
  struct door *d = door_on_socket(f, fd, policy);
  struct visitors *v = visitors_come(f, d, THREADS, CONNECTIONS / THREADS);
  AWAIT(f, d->accepted >= CONNECTIONS || v->refused);
  fixture_join(f);
  fixture_settle(f);
  assert_int_equal(v->served, CONNECTIONS);
  assert_int_equal(d->accepted, CONNECTIONS);
  assert_int_equal(d->wrong, 0);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  assert_int_equal(d->finals, 1);
  /* It is the caller's still: who connects now waits there for the next who accepts. */
  const int guest = visit(d);
  fixture_own(f, guest);
  const int taken = accept(fd, NULL, NULL);
  fixture_own(f, taken);
  assert_int_equal(d->accepted, CONNECTIONS);
}

static void own_socket_by_default(void **state) { on_a_socket_of_the_callers(*state, TORQUE_LISTEN_DEFAULT); }
static void own_socket_shared(void **state) { on_a_socket_of_the_callers(*state, TORQUE_LISTEN_SHARED); }
static void own_socket_exclusive(void **state) { on_a_socket_of_the_callers(*state, TORQUE_LISTEN_EXCLUSIVE); }

static void a_unix_socket(void **state) {
  struct fixture *f = *state;
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  char folder[] = "/tmp/torque-test-XXXXXX";
  assert_non_null(mkdtemp(folder));
  snprintf(a.sun_path, sizeof a.sun_path, "%s/socket", folder);
  struct door *d = fixture_take(f, sizeof *d);
  d->f = f;
  const torque_err err =
      torque_listen_new(f->ctx, &a, sizeof a, 0, TORQUE_LISTEN_DEFAULT, door_accept, d, &d->listener);
  if (err == 0) {
    assert_int_equal(torque_source_set_finalizer(d->listener, door_final), 0);
    assert_int_equal(torque_source_start(d->listener), 0);
    door_read_address(d);
  }
  struct visitors *v = err ? NULL : visitors_come(f, d, THREADS, CONNECTIONS / THREADS);
  if (v) AWAIT(f, d->accepted >= CONNECTIONS || v->refused);
  fixture_join(f);
  unlink(a.sun_path);
  rmdir(folder);
  assert_int_equal(err, 0);
  assert_int_equal(v->served, CONNECTIONS);
  assert_int_equal(d->accepted, CONNECTIONS);
  assert_int_equal(d->wrong, 0);
}

/* Connections made before anybody listens to the socket are there at once. */
static void those_who_wait_already(void **state) {
  struct fixture *f = *state;
  const int fd = listening_socket(f);
  struct door *address = fixture_take(f, sizeof *address);
  address->length = sizeof address->address;
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address->address, &address->length), 0);
  for (int i = 0; i < WAITING; i++) fixture_own(f, visit(address));
  struct door *d = door_on_socket(f, fd, TORQUE_LISTEN_DEFAULT);
  AWAIT(f, d->accepted == WAITING);
}

/* SHARED is one domain's; what its callback adds goes round. */
struct spread {
  struct door *door;
  struct fixture *f;
  _Atomic uint32_t by_domain[64];
  _Atomic uint32_t accepted;
  _Atomic torque_err error;
  _Atomic int fd[CONNECTIONS];
};

static int32_t nothing(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)fd;
  (void)events;
  (void)arg;
  return TORQUE_DONE;
}

static void add_connection(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)listener;
  (void)addr;
  (void)addrlen;
  struct spread *s = arg;
  torque_source source = 0;
  uint32_t domain = 0;
  torque_err err = torque_fd_add(s->f->ctx, fd, TORQUE_READ, 0, nothing, NULL, &source);
  if (!err) err = torque_source_domain(source, &domain);
  if (err) atomic_store(&s->error, err);
  atomic_fetch_add(&s->by_domain[domain % 64], 1);
  atomic_store(&s->fd[atomic_fetch_add(&s->accepted, 1) % CONNECTIONS], fd);
}

static void a_shared_one_spreads_its_connections(void **state) {
  struct fixture *f = *state;
  struct spread *s = fixture_take(f, sizeof *s);
  struct door *d = fixture_take(f, sizeof *d);
  const struct sockaddr_in a = loopback_address(0);
  const uint32_t domains = torque_ctx_domains(f->ctx), guests = 20 * domains;
  s->f = f;
  assert_int_equal(
      torque_listen_add(f->ctx, &a, sizeof a, 0, TORQUE_LISTEN_SHARED, add_connection, s, &d->listener), 0);
  door_read_address(d);
  for (uint32_t i = 0; i < guests; i++) fixture_own(f, visit(d));
  AWAIT(f, s->accepted == guests);
  for (uint32_t i = 0; i < guests; i++) fixture_own(f, s->fd[i]);
  assert_int_equal(s->error, 0);
  for (uint32_t i = 0; i < domains; i++) assert_in_range(s->by_domain[i], 10, 30); /* 20 each, more or less */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(by_default),
      ON(eight, by_default),
      ON_EVERY(shared),
      ON(eight, shared),
      ON_EVERY(exclusive),
      ON(eight, exclusive),
      ON_EVERY(reuseport),
      ON(eight, reuseport),
      ON_EVERY(own_socket_by_default),
      ON_EVERY(own_socket_shared),
      ON_EVERY(own_socket_exclusive),
      ON(eight, own_socket_exclusive),
      ON_EVERY(a_unix_socket),
      ON_EVERY(those_who_wait_already),
      ON_EVERY(a_shared_one_spreads_its_connections),
      ON(eight, a_shared_one_spreads_its_connections),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
