/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections by name: the first address that answers wins, the others are closed, and whatever fails is told. */
#include "asked.h"
#include "support/nameserver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "support/cmocka.h"

enum {
  CANCELLED = TORQUE_ERR_SYSCALL + ECANCELED,
  TIMED_OUT = TORQUE_ERR_SYSCALL + ETIMEDOUT,
  REFUSED = TORQUE_ERR_SYSCALL + ECONNREFUSED
};

/* A listener on an address of loopback; backlog as told. */
static int listen_on(struct fixture *f, const char *address, int port, int backlog) {
  struct sockaddr_storage a = {.ss_family = strchr(address, ':') ? AF_INET6 : AF_INET};
  struct sockaddr_in *v4 = (void *)&a;
  struct sockaddr_in6 *v6 = (void *)&a;
  const int six = a.ss_family == AF_INET6, on = 1;
  assert_int_equal(inet_pton(a.ss_family, address, six ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr), 1);
  if (six)
    v6->sin6_port = htons((uint16_t)port);
  else
    v4->sin_port = htons((uint16_t)port);
  const int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  fixture_own(f, fd);
  if (six) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&a, six ? sizeof *v6 : sizeof *v4) || listen(fd, backlog)) return -1;
  return fd;
}

static struct asked *dial(struct fixture *f, struct torque_resolver *r, const char *host, int port, uint64_t timeout_ms,
                          uint64_t delay_ms) {
  char service[8];
  struct asked *a = asked_new(f);
  snprintf(service, sizeof service, "%d", port);
  assert_int_equal(torque_dial(r, host, service, 0, 0, timeout_ms * MS, delay_ms * MS, on_dialled, a, &a->query), 0);
  return a;
}

/* Which address it is connected to; closes it. */
static void connected_to(struct fixture *f, struct asked *a, const char *address) {
  await_answer(f, a, 0, NULL);
  assert_true(a->fd >= 0);
  struct sockaddr_storage peer;
  socklen_t len = sizeof peer;
  char text[INET6_ADDRSTRLEN];
  assert_int_equal(getpeername(a->fd, (struct sockaddr *)&peer, &len), 0);
  inet_ntop(peer.ss_family,
            peer.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&peer)->sin6_addr
                                       : (void *)&((struct sockaddr_in *)&peer)->sin_addr,
            text, sizeof text);
  assert_string_equal(text, address);
  assert_true(fcntl(a->fd, F_GETFL) & O_NONBLOCK);
  assert_true(fcntl(a->fd, F_GETFD) & FD_CLOEXEC);
  close(a->fd);
}

static struct torque_resolver *with_hosts(struct fixture *f, const char *hosts, char *path) {
  struct torque_resolver *r = resolver_for(f, "127.0.0.1:1");
  strcpy(path, "/tmp/torque-hosts-XXXXXX");
  const int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, hosts, strlen(hosts)), (ssize_t)strlen(hosts));
  close(fd);
  assert_int_equal(torque_resolver_set_hosts_file(r, path), 0);
  assert_int_equal(torque_resolver_set_lookups(r, "f"), 0);
  return r;
}

static void to_an_address(void **state) {
  struct fixture *f = *state;
  const int port = free_port();
  assert_true(listen_on(f, "127.0.0.1", port, 8) >= 0);
  struct torque_resolver *r = resolver_for(f, "127.0.0.1:1");
  connected_to(f, dial(f, r, "127.0.0.1", port, 0, 0), "127.0.0.1");
  connected_to(f, dial(f, r, "localhost", port, 10000, 0), "127.0.0.1"); /* ::1 is refused, or not there */
  await_answer(f, dial(f, r, "127.0.0.1", free_port(), 0, 0), REFUSED, NULL);
  torque_resolver_free(r);
}

static void refused_then_good(void **state) {
  struct fixture *f = *state;
  const int port = free_port();
  char path[32];
  assert_true(listen_on(f, "127.0.0.3", port, 8) >= 0);
  struct torque_resolver *r = with_hosts(f, "::1 h\n127.0.0.2 h\n127.0.0.3 h\n127.0.0.2 bad\n", path);
  connected_to(f, dial(f, r, "h", port, 0, 60000), "127.0.0.3"); /* a failure does not wait for the delay */
  await_answer(f, dial(f, r, "bad", port, 0, 0), REFUSED, NULL);
  await_answer(f, dial(f, r, "unknown", port, 0, 0), TORQUE_ERR_DNS_NXDOMAIN, NULL);
  unlink(path);
  torque_resolver_free(r);
}

static void six_before_four(void **state) {
  struct fixture *f = *state;
  const int port = free_port();
  char path[32];
  assert_true(listen_on(f, "127.0.0.1", port, 8) >= 0);
  if (listen_on(f, "::1", port, 8) < 0) skip(); /* no IPv6 here */
  struct torque_resolver *r = with_hosts(f, "127.0.0.1 h\n::1 h\n", path);
  connected_to(f, dial(f, r, "h", port, 0, 60000), "::1");
  unlink(path);
  torque_resolver_free(r);
}

/* An address where connections are neither taken nor refused: the queue of a listener is full. */
static void fill(struct fixture *f, const char *address, int port) {
  assert_true(listen_on(f, address, port, 0) >= 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
  for (int i = 0; i < 4; i++) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fixture_own(f, fd);
    (void)!connect(fd, (struct sockaddr *)&to, sizeof to);
  }
}

static void black_holes(void **state) {
  struct fixture *f = *state;
  const int port = free_port();
  char path[32];
  fill(f, "127.0.0.2", port);
  assert_true(listen_on(f, "127.0.0.3", port, 8) >= 0);
  struct torque_resolver *r =
      with_hosts(f, "127.0.0.2 h\n127.0.0.3 h\n127.0.0.2 hole\n127.0.0.4 late\n127.0.0.2 late\n", path);
  connected_to(f, dial(f, r, "h", port, 0, 10), "127.0.0.3");         /* the second, after the delay */
  await_answer(f, dial(f, r, "hole", port, 100, 0), TIMED_OUT, NULL); /* the time is over */
  await_answer(f, dial(f, r, "late", port, 100, 0), TIMED_OUT, NULL);
  struct asked *a = dial(f, r, "hole", port, 0, 0);
  fixture_settle(f);
  assert_int_equal(a->calls, 0);
  assert_int_equal(torque_resolver_cancel(r, a->query), 0);
  await_answer(f, a, CANCELLED, NULL);
  assert_int_equal(a->fd, -1);
  a = dial(f, r, "h", port, 0, 60000); /* two attempts under way, and the resolver goes */
  struct asked *b = dial(f, r, "hole", port, 60000, 0);
  fixture_settle(f);
  torque_resolver_free(r);
  await_answer(f, a, CANCELLED, NULL);
  await_answer(f, b, CANCELLED, NULL);
  unlink(path);
}

static void no_name_server(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, "127.0.0.1:1");
  assert_int_equal(torque_resolver_set_tries(r, 1), 0);
  await_answer(f, dial(f, r, "x.test", 80, 0, 0), TORQUE_ERR_DNS_NOSERVER, NULL);
  torque_resolver_free(r);
}

/* IPv4's addresses come at once, IPv6's answer never: after 50 ms it goes on without. */
static size_t only_four(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  static const uint8_t v4[4] = {127, 0, 0, 1};
  (void)most, (void)tcp, (void)arg;
  const size_t begin = reply_begin(query, size, out, 0, 1);
  return out[begin - 3] == TORQUE_DNS_A ? reply_add(out, begin, TORQUE_DNS_A, 30, v4, 4) : 0;
}

static void half_an_answer_is_enough(void **state) {
  struct fixture *f = *state;
  const int port = free_port();
  struct fake *s = fake_start(f, only_four, NULL);
  struct torque_resolver *r = resolver_for(f, s->address);
  assert_true(listen_on(f, "127.0.0.1", port, 8) >= 0);
  assert_int_equal(torque_resolver_set_timeout(r, 3600 * 1000 * (uint64_t)MS), 0);
  connected_to(f, dial(f, r, "x.test", port, 0, 0), "127.0.0.1");
  torque_resolver_free(r);
}

/* The new owner adds the descriptor to the same context from the callback, where it was watched a moment ago. */
struct owner {
  struct fixture *f;
  torque_source source;
  _Atomic uint32_t told;
};
static int32_t on_data(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct owner *o = arg;
  (void)events;
  atomic_fetch_add(&o->told, (uint32_t)drain(fd, NULL));
  (void)source;
  return TORQUE_DONE;
}
static void on_end(torque_source source, int32_t reason, void *arg) {
  struct owner *o = arg;
  (void)source, (void)reason;
  atomic_fetch_add(&o->told, 1000);
}
static void take_it(struct asked *a) {
  struct owner *o = a->arg;
  if (torque_fd_new(o->f->ctx, a->fd, TORQUE_READ | TORQUE_HANGUP, 0, on_data, o, &o->source)) abort();
  if (torque_source_set_finalizer(o->source, on_end) || torque_source_start(o->source)) abort();
}

static void watched_by_its_new_owner(void **state) {
  struct fixture *f = *state;
  const int port = free_port(), door = listen_on(f, "127.0.0.1", port, 8);
  struct owner *o = fixture_take(f, sizeof *o);
  struct asked *a = asked_new(f);
  char service[8];
  o->f = f;
  a->then = take_it;
  a->arg = o;
  snprintf(service, sizeof service, "%d", port);
  struct torque_resolver *r = resolver_for(f, "127.0.0.1:1");
  assert_int_equal(torque_dial(r, "127.0.0.1", service, AF_INET, 0, 0, 0, on_dialled, a, &a->query), 0);
  await_answer(f, a, 0, NULL);
  const int guest = accept4(door, NULL, NULL, SOCK_CLOEXEC);
  fixture_own(f, guest);
  say(guest, 5);
  AWAIT(f, o->told == 5);
  assert_int_equal(torque_close(o->source), 0);
  AWAIT(f, o->told == 1005);
  torque_resolver_free(r);
}

static void many_at_once(void **state) {
  struct fixture *f = *state;
  enum { MANY = 200 };
  const int port = free_port();
  assert_true(listen_on(f, "127.0.0.1", port, 1024) >= 0);
  struct torque_resolver *r = resolver_for(f, "127.0.0.1:1");
  struct asked *a[MANY];
  for (int i = 0; i < MANY; i++) a[i] = dial(f, r, i % 2 ? "localhost" : "127.0.0.1", port, 0, 0);
  for (int i = 0; i < MANY; i++) {
    const int cancelled = i % 3 == 0 && torque_resolver_cancel(r, a[i]->query) == 0;
    AWAIT(f, atomic_load(&a[i]->calls) == 1);
    assert_int_equal(a[i]->err, cancelled ? CANCELLED : 0);
    assert_int_equal(a[i]->fd >= 0, !cancelled);
    if (!cancelled) close(a[i]->fd);
  }
  torque_resolver_free(r);
}

static void out_of_descriptors(void **state) {
  struct fixture *f = *state;
  const int port = free_port();
  assert_true(listen_on(f, "127.0.0.1", port, 8) >= 0);
  struct torque_resolver *r = resolver_for(f, "127.0.0.1:1");
  connected_to(f, dial(f, r, "127.0.0.1", port, 0, 0), "127.0.0.1");
  struct rlimit before, low;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  low = before;
  low.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  struct asked *a = dial(f, r, "127.0.0.1", port, 0, 0);
  struct patience p = patience_start();
  while (!a->calls && fixture_step(f, &p)) {
  }
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  await_answer(f, a, TORQUE_ERR_SYSCALL + EMFILE, NULL);
  torque_resolver_free(r);
}

static void arguments(void **state) {
  struct fixture *f = *state;
  struct torque_resolver *r = resolver_for(f, "127.0.0.1:1");
  assert_int_equal(torque_dial(NULL, "x", "80", 0, 0, 0, 0, on_dialled, f, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial(r, "", "80", 0, 0, 0, 0, on_dialled, f, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial(r, "x", NULL, 0, 0, 0, 0, on_dialled, f, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial(r, "x", "80", 99, 0, 0, 0, on_dialled, f, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial(r, "x", "80", 0, 2, 0, 0, on_dialled, f, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial(r, "x", "80", 0, 0, 0, 0, NULL, f, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial(r, "x", "nothing", 0, 0, 0, 0, on_dialled, f, NULL), TORQUE_ERR_DNS_SERVICE);
  torque_resolver_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(to_an_address),
      ON_EVERY(refused_then_good),
      ON_EVERY(six_before_four),
      ON_EVERY(black_holes),
      ON_EVERY(no_name_server),
      ON_EVERY(half_an_answer_is_enough),
      ON_EVERY(watched_by_its_new_owner),
      ON_EVERY(many_at_once),
      ON_EVERY(out_of_descriptors),
      ON(driven, arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
