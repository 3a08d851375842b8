/* SPDX-License-Identifier: BSD-3-Clause */
/* A name straight to a stream: one outcome, told by the stream's open or its close, whatever fails, takes too long or is
 * called off on the way from the name to the last layer's handshake. */
#include "asked.h"
#include "support/layers.h"
#include "support/nameserver.h"
#include "support/streams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <netinet/in.h>

#include "support/cmocka.h"

enum {
  CANCELLED = TORQUE_ERR_SYSCALL + ECANCELED,
  TIMED_OUT = TORQUE_ERR_SYSCALL + ETIMEDOUT,
  REFUSED = TORQUE_ERR_SYSCALL + ECONNREFUSED,
  HOUR_MS = 3600 * 1000
};

struct scene {
  struct fixture *f;
  struct torque_resolver *r;
  struct party *p;
  char hosts[32];
  int door, port;
};

static int listen_at(struct fixture *f, const char *address, int port, int backlog) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
  fixture_own(f, fd);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, backlog), 0);
  return fd;
}

/* Nobody is taken and nobody is refused: the queue of a listener is full. */
static void fill(struct fixture *f, const char *address, int port) {
  (void)listen_at(f, address, port, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
  for (int i = 0; i < 4; i++) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fixture_own(f, fd);
    (void)!connect(fd, (struct sockaddr *)&to, sizeof to);
  }
}

/* good: 127.0.0.3 listens after 127.0.0.2, which refuses. hole: 127.0.0.4 is full. */
static void begin(struct scene *c, struct fixture *f, int handshake) {
  static const char text[] = "127.0.0.2 good\n127.0.0.3 good\n127.0.0.2 bad\n127.0.0.4 hole\n";
  c->f = f;
  c->port = free_port();
  c->door = listen_at(f, "127.0.0.3", c->port, 64);
  fill(f, "127.0.0.4", c->port);
  c->r = resolver_for(f, "127.0.0.1:1");
  strcpy(c->hosts, "/tmp/torque-hosts-XXXXXX");
  const int fd = mkstemp(c->hosts);
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
  assert_int_equal(torque_resolver_set_hosts_file(c->r, c->hosts), 0);
  assert_int_equal(torque_resolver_set_lookups(c->r, "f"), 0);
  c->p = party_new(f, party_take, NULL);
  if (!handshake) return;
  struct torque_layer_type *layer = layer_handshake();
  assert_int_equal(torque_stream_type_add_layer(c->p->type, layer), 0);
  torque_layer_type_free(layer);
}

static void finish(struct scene *c) {
  torque_resolver_free(c->r);
  unlink(c->hosts);
  party_free(c->p);
}

static torque_source dial(struct scene *c, const char *host, uint64_t timeout_ms) {
  char service[8];
  torque_source s = 0;
  snprintf(service, sizeof service, "%d", c->port);
  const torque_err err =
      torque_dial_stream(c->r, host, service, 0, 0, timeout_ms * MS, 10 * MS, c->p->type, c->p, &s);
  assert_int_equal(err, 0);
  assert_true(s != 0);
  return s;
}

static int guest(struct scene *c) {
  const int fd = accept4(c->door, NULL, NULL, SOCK_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  fixture_own(c->f, fd);
  return fd;
}

/* The nth outcome was an end with err, and there is nothing else. */
static void ended(struct scene *c, uint32_t nth, torque_err err) {
  AWAIT(c->f, c->p->closed == nth);
  assert_int_equal(c->p->opened, 0);
  if (c->p->err != err) print_error("told: %s, not: %s\n", torque_errstr(c->p->err), torque_errstr(err));
  assert_int_equal(c->p->err, err);
}

static void opens(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 0);
  const torque_source s = dial(&c, "good", 0);
  unsigned char bytes[3000];
  pattern_fill(bytes, 0, sizeof bytes);
  assert_int_equal(torque_stream_write(s, bytes, sizeof bytes), 0); /* before it is open */
  AWAIT(f, c.p->opened == 1);
  assert_true(c.p->stream == s);
  const int fd = guest(&c);
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd, &got) && got == sizeof bytes);
  (void)pattern_put(fd, 0, 500);
  AWAIT(f, c.p->in == 500);
  torque_resolver_free(c.r); /* it has no more to do with it */
  (void)pattern_put(fd, 500, 500);
  AWAIT(f, c.p->in == 1000);
  assert_int_equal(torque_stream_close(s), 0);
  fixture_close(f, fd);
  AWAIT(f, c.p->closed == 1);
  assert_int_equal(c.p->err, 0);
  assert_int_equal(torque_source_alive(s), 0);
  finish(&c);
}

static void fails(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 1);
  (void)dial(&c, "bad", 0);
  ended(&c, 1, REFUSED);
  (void)dial(&c, "unknown", 0);
  ended(&c, 2, TORQUE_ERR_DNS_NXDOMAIN);
  (void)dial(&c, "256.1.2.3", HOUR_MS);
  ended(&c, 3, TORQUE_ERR_DNS_NXDOMAIN);
  finish(&c);
}

/* With the layer's handshake; and one that fails with the address that was connected to. */
static void handshakes(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 1);
  const torque_source s = dial(&c, "good", HOUR_MS);
  int ready = 0;
  struct patience wait = patience_start();
  while (!ready && fixture_step(f, &wait)) {
    struct pollfd p = {.fd = c.door, .events = POLLIN};
    ready = poll(&p, 1, 0) == 1;
  }
  int fd = guest(&c);
  fixture_settle(f);
  assert_int_equal(c.p->opened, 0);
  assert_int_equal(write(fd, GREETING, strlen(GREETING)), (ssize_t)strlen(GREETING));
  AWAIT(f, c.p->opened == 1);
  assert_int_equal(torque_source_remove(s), 0);
  AWAIT(f, c.p->closed == 1);
  fixture_close(f, fd);
  c.p->opened = 0;
  (void)dial(&c, "good", HOUR_MS);
  for (ready = 0; !ready && fixture_step(f, &wait);) {
    struct pollfd p = {.fd = c.door, .events = POLLIN};
    ready = poll(&p, 1, 0) == 1;
  }
  fd = guest(&c);
  fixture_close(f, fd); /* the end within the handshake */
  AWAIT(f, c.p->closed == 2);
  assert_int_equal(c.p->opened, 0);
  assert_int_not_equal(c.p->err, 0);
  finish(&c);
}

/* The time is over while the name is looked for, while it connects, and within a handshake. */
static size_t silence(const uint8_t *query, size_t size, uint8_t *out, size_t most, int tcp, void *arg) {
  (void)query, (void)size, (void)out, (void)most, (void)tcp, (void)arg;
  return 0;
}

static void one_limit(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 1);
  (void)dial(&c, "hole", 50);
  ended(&c, 1, TIMED_OUT);
  (void)dial(&c, "good", 50); /* nobody greets */
  ended(&c, 2, TIMED_OUT);
  assert_int_equal(torque_resolver_set_servers(c.r, fake_start(f, silence, NULL)->address), 0);
  assert_int_equal(torque_resolver_set_lookups(c.r, "b"), 0);
  (void)dial(&c, "x.test", 50);
  ended(&c, 3, TIMED_OUT);
  finish(&c);
}

/* The type's limit of the connecting holds as well. */
static void limit_of_the_type(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 1);
  assert_int_equal(torque_stream_type_set_limit(c.p->type, TORQUE_STREAM_CONNECT_TIMEOUT, 50 * MS), 0);
  (void)dial(&c, "good", HOUR_MS);
  ended(&c, 1, TIMED_OUT);
  finish(&c);
}

static void called_off(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 1);
  assert_int_equal(torque_source_remove(dial(&c, "hole", 0)), 0); /* at once */
  ended(&c, 1, 0);
  assert_int_equal(torque_stream_abort(dial(&c, "hole", HOUR_MS)), 0);
  ended(&c, 2, CANCELLED);
  torque_source s = dial(&c, "hole", 0);
  fixture_settle(f); /* it connects */
  assert_int_equal(torque_source_remove(s), 0);
  assert_int_equal(torque_source_remove(s), TORQUE_ERR_STALE);
  ended(&c, 3, 0);
  s = dial(&c, "good", 0);
  fixture_settle(f); /* it shakes hands, perhaps */
  assert_int_equal(torque_stream_abort(s), 0);
  ended(&c, 4, CANCELLED);
  AWAIT(f, torque_resolver_outstanding(c.r) == 0); /* the dials have ended with their streams */
  s = dial(&c, "hole", 0);
  fixture_settle(f);
  torque_resolver_free(c.r);
  ended(&c, 5, CANCELLED);
  finish(&c);
}

/* Closed before it is connected: what was written goes out, and then it ends. */
static void closed_early(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 0);
  const torque_source s = dial(&c, "good", 0);
  unsigned char bytes[100];
  pattern_fill(bytes, 0, sizeof bytes);
  assert_int_equal(torque_stream_write(s, bytes, sizeof bytes), 0);
  assert_int_equal(torque_stream_close(s), 0);
  int ready = 0;
  struct patience wait = patience_start();
  while (!ready && fixture_step(f, &wait)) {
    struct pollfd p = {.fd = c.door, .events = POLLIN};
    ready = poll(&p, 1, 0) == 1;
  }
  const int fd = guest(&c);
  uint64_t got = 0;
  AWAIT(f, pattern_check(fd, &got) && got == sizeof bytes);
  fixture_close(f, fd);
  AWAIT(f, c.p->closed == 1);
  assert_int_equal(c.p->err, 0);
  finish(&c);
}

static void the_context_stops(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 1);
  (void)dial(&c, "hole", 0);
  (void)dial(&c, "hole", HOUR_MS);
  fixture_settle(f);
  (void)dial(&c, "hole", HOUR_MS);
  fixture_stop(f);
  assert_int_equal(c.p->closed, 3);
  assert_int_equal(c.p->opened, 0);
  assert_int_equal(c.p->err, TORQUE_ERR_STOPPED);
  torque_source s = 0;
  assert_int_equal(torque_dial_stream(c.r, "good", "1", 0, 0, 0, 0, c.p->type, c.p, &s), TORQUE_ERR_STOPPED);
  finish(&c);
}

/* Many, of which some are called off by another thread at some point: one end each, and no descriptor is left. */
enum { MANY = 300 };
struct crowd {
  struct scene *c;
  _Atomic torque_source streams[MANY];
};

static void *call_off(void *arg) {
  struct crowd *k = arg;
  for (int i = 0; i < MANY && !atomic_load(&k->c->f->quit); i++) {
    torque_source s = 0;
    STAY_UNTIL((s = atomic_load(&k->streams[i])) != 0);
    if (i % 3 == 0) (void)torque_source_remove(s);
    if (i % 3 == 1) (void)torque_stream_abort(s);
  }
  return NULL;
}

static void many(void **state) {
  struct fixture *f = *state;
  struct scene c;
  begin(&c, f, 0);
  struct crowd *k = fixture_take(f, sizeof *k);
  k->c = &c;
  assert_int_equal(fcntl(c.door, F_SETFL, O_NONBLOCK), 0);
  fixture_thread(f, call_off, k);
  for (int i = 0; i < MANY; i++) {
    atomic_store(&k->streams[i], dial(&c, i % 5 ? "good" : "bad", HOUR_MS));
    if (f->shape->driven) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    const int fd = accept4(c.door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) close(fd); /* the peer's end ends a stream */
  }
  struct patience wait = patience_start();
  while (c.p->closed < MANY && fixture_step(f, &wait)) {
    const int fd = accept4(c.door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) close(fd);
  }
  assert_int_equal(c.p->closed, MANY);
  fixture_settle(f);
  assert_int_equal(c.p->closed, MANY);
  AWAIT(f, torque_resolver_outstanding(c.r) == 0);
  fixture_join(f);
  finish(&c);
}

/* As of any stream, its type says on which strand and in which domain it runs. */
static void in_the_types_place(void **state) {
  struct fixture *f = *state;
  for (int32_t place = 0; place < 2; place++) {
    struct scene c;
    uint32_t domain = 99;
    begin(&c, f, 0);
    assert_int_equal(torque_stream_type_set_placement(c.p->type, place), 0);
    const torque_source s = dial(&c, "good", 0);
    AWAIT(f, c.p->opened == 1);
    assert_int_equal(torque_source_domain(s, &domain), 0);
    assert_int_equal(domain, place);
    assert_int_equal(torque_source_remove_wait(s), 0);
    finish(&c);
  }
}

struct turnstile {
  struct fixture *f;
  _Atomic int in, open;
};

static void hold_the_strand(void *arg) {
  struct turnstile *t = arg;
  atomic_store(&t->in, 1);
  STAY_UNTIL(atomic_load(&t->open) || atomic_load(&t->f->quit));
}

static void on_the_types_strand(void **state) {
  struct fixture *f = *state;
  struct turnstile *t = fixture_take(f, sizeof *t);
  struct torque_strand *strand;
  struct scene c;
  t->f = f;
  begin(&c, f, 0);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_stream_type_set_strand(c.p->type, strand), 0);
  assert_int_equal(torque_strand_post(strand, hold_the_strand, t), 0);
  AWAIT(f, atomic_load(&t->in));
  (void)dial(&c, "good", 0);
  const int fd = guest(&c); /* it has connected, and cannot be told so while the strand is held */
  fixture_settle(f);
  assert_int_equal(c.p->opened, 0);
  atomic_store(&t->open, 1);
  AWAIT(f, c.p->opened == 1);
  fixture_close(f, fd);
  AWAIT(f, c.p->closed == 1);
  torque_strand_free(strand);
  finish(&c);
}

static void arguments(void **state) {
  struct fixture *f = *state;
  struct scene c;
  torque_source s = 7;
  begin(&c, f, 0);
  assert_int_equal(torque_dial_stream(NULL, "x", "80", 0, 0, 0, 0, c.p->type, c.p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial_stream(c.r, "", "80", 0, 0, 0, 0, c.p->type, c.p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial_stream(c.r, "x", NULL, 0, 0, 0, 0, c.p->type, c.p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial_stream(c.r, "x", "80", 99, 0, 0, 0, c.p->type, c.p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial_stream(c.r, "x", "80", 0, 2, 0, 0, c.p->type, c.p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial_stream(c.r, "x", "80", 0, 0, 0, 0, NULL, c.p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial_stream(c.r, "x", "80", 0, 0, 0, 0, c.p->type, c.p, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_dial_stream(c.r, "x", "none", 0, 0, 0, 0, c.p->type, c.p, &s), TORQUE_ERR_DNS_SERVICE);
  torque_resolver_free(c.r);
  assert_int_equal(torque_dial_stream(c.r, "x", "80", 0, 0, 0, 0, c.p->type, c.p, &s), TORQUE_ERR_STOPPED);
  assert_true(s == 7);
  fixture_settle(f);
  assert_int_equal(c.p->opened + c.p->closed, 0);
  finish(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(opens),      ON_EVERY(fails),        ON_EVERY(handshakes),        ON_EVERY(one_limit),
      ON_EVERY(called_off), ON_EVERY(closed_early), ON_EVERY(the_context_stops), ON_EVERY(many),
      ON(driven, arguments), ON(live, limit_of_the_type), ON(synthetic, in_the_types_place), ON(synthetic, on_the_types_strand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
