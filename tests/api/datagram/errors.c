/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes wrong is told, for each datagram; the source, and all other datagrams, go on. */
#include "support/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

static struct sockaddr_in loopback(uint16_t port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bound_socket(struct fixture *f, uint16_t port, struct sockaddr_in *ret) {
  socklen_t length = sizeof *ret;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  *ret = loopback(port);
  assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof *ret), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &length), 0);
  return fd;
}

/* Connected to a port where nobody is: each datagram leaves, each answer of the network is told, and when somebody comes
 * they talk. */
static void nobody_there(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in there, here;
  struct desk *d = desk_new(f);
  fixture_close(f, bound_socket(f, 0, &there)); /* a port that is free */
  const int fd = bound_socket(f, 0, &here);
  assert_int_equal(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
  desk_serve(d, fd, 0);
  for (uint32_t i = 1; i <= 20; i++) {
    assert_int_equal(torque_datagram_send(d->source, NULL, 0, "x", 1), 0);
    AWAIT(f, d->errors == i);
    assert_int_equal(d->error, TORQUE_ERR_SYSCALL + ECONNREFUSED);
  }
  AWAIT(f, stat_total(f->ctx, "datagrams_sent") == 20); /* counted when they have gone */
  assert_int_equal(d->failed, 0);
  const int peer = bound_socket(f, there.sin_port, &there);
  char back[16];
  assert_int_equal(torque_datagram_send(d->source, NULL, 0, "hello", 5), 0);
  assert_int_equal(recv(peer, back, sizeof back, 0), 5);
  assert_int_equal(connect(peer, (struct sockaddr *)&here, sizeof here), 0);
  assert_int_equal(send(peer, "back", 4, 0), 4);
  AWAIT(f, d->received == 1 && d->bytes == 4);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
  assert_int_equal(d->reason, TORQUE_END_REMOVED);
}

/* The network's answer to one comes when the next is sent: it is sent all the same. */
static void refused_in_a_row(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  if (!torque_datagrams_count(batch)) return;
  STAY_UNTIL(*(_Atomic int *)d->aux); /* the peer has gone */
  for (int i = 0; i < 10; i++) {
    const torque_err err = torque_datagram_send(source, NULL, 0, "12345", 5);
    if (err) d->result = err;
  }
}

static void nobody_there_for_many(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in there, here;
  struct desk *d = desk_new(f);
  const int peer = bound_socket(f, 0, &there);
  const int fd = bound_socket(f, 0, &here);
  assert_int_equal(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
  assert_int_equal(connect(peer, (struct sockaddr *)&here, sizeof here), 0);
  d->then = refused_in_a_row;
  d->aux = fixture_take(f, sizeof(_Atomic int));
  desk_serve(d, fd, TORQUE_DATAGRAM_NO_GSO);
  assert_int_equal(send(peer, "go", 2, 0), 2);
  fixture_close(f, peer);
  atomic_store((_Atomic int *)d->aux, 1);
  AWAIT(f, d->received == 1 && d->errors >= 1);
  fixture_settle(f);
  assert_int_equal(d->result, 0);
  assert_int_equal(d->failed, 0);
  assert_int_equal(d->error, TORQUE_ERR_SYSCALL + ECONNREFUSED);
  assert_int_equal(stat_total(f->ctx, "datagrams_sent"), 10);
}

/* Too large, no such address, and fine ones between. */
struct mixture {
  struct sockaddr_in good;
  uint32_t bad;
};

static void send_mixture(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  static unsigned char bytes[70000];
  struct mixture *m = d->aux;
  if (!torque_datagrams_count(batch)) return;
  const struct sockaddr_in nowhere = {.sin_family = AF_INET}; /* port 0 */
  for (uint32_t i = 0; i < m->bad; i++) {
    datagram_write(bytes, 100, 1, 3 * i);
    torque_err err = torque_datagram_send(source, &m->good, sizeof m->good, bytes, 100);
    if (!err) err = torque_datagram_send(source, &m->good, sizeof m->good, bytes, 70000);
    datagram_write(bytes, 100, 1, 3 * i + 1);
    if (!err) err = torque_datagram_send(source, &m->good, sizeof m->good, bytes, 100);
    if (!err) err = torque_datagram_send(source, &nowhere, sizeof nowhere, bytes, 50);
    datagram_write(bytes, 100, 1, 3 * i + 2);
    if (!err) err = torque_datagram_send(source, &m->good, sizeof m->good, bytes, 100);
    if (err) d->result = err;
  }
}

static void mixture(struct fixture *f, uint32_t bad) {
  struct mixture m = {.bad = bad};
  struct desk *d = desk_new(f);
  const int peer = bound_socket(f, 0, &m.good);
  d->then = send_mixture;
  d->aux = &m;
  desk_bind(d, AF_INET, 0, 0);
  assert_int_equal(connect(peer, (struct sockaddr *)&d->address, d->length), 0);
  const uint64_t before = d->failed;
  assert_int_equal(send(peer, "go", 2, 0), 2);
  for (uint32_t i = 0; i < 3 * bad; i++) {
    unsigned char back[256];
    uint32_t sender, number;
    ssize_t got = -1;
    AWAIT(f, (got = recv(peer, back, sizeof back, MSG_DONTWAIT)) >= 0);
    assert_int_equal(got, 100);
    assert_true(datagram_check(back, 100, &sender, &number));
    assert_int_equal(number, i);
  }
  AWAIT(f, d->failed == before + 2 * bad);
  fixture_settle(f);
  assert_int_equal(d->failed, before + 2 * bad);
  assert_int_equal(d->result, 0);
  assert_int_equal(stat_total(f->ctx, "datagrams_failed"), 2 * bad);
  assert_int_equal(d->failure, TORQUE_ERR_SYSCALL + EMSGSIZE);
  assert_int_equal(d->failure_size, 70000);
  assert_int_equal(d->wrong, 0);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
}

static void failures_between_others(void **state) { mixture(*state, 3); }
static void more_failures_than_are_listed(void **state) { mixture(*state, 40); }

/* Who answers failures with more of them is told them, and keeps nobody from his turn. */
static void send_too_much_again(struct desk *d, torque_source source, struct torque_datagrams *batch) {
  static unsigned char bytes[70000];
  (void)d, (void)batch;
  struct sockaddr_in there = loopback(htons(9));
  (void)torque_datagram_send(source, &there, sizeof there, bytes, sizeof bytes);
}

static int32_t tick(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  return atomic_fetch_add((_Atomic uint32_t *)arg, 1) < 100 ? TORQUE_AGAIN : TORQUE_DONE;
}

static void failures_without_end(void **state) {
  struct fixture *f = *state;
  _Atomic uint32_t *ticks = fixture_take(f, sizeof *ticks);
  struct desk *d = desk_new(f);
  torque_source event;
  d->then = send_too_much_again;
  desk_bind(d, AF_INET, 0, 0);
  const int fd = desk_visitor(d);
  assert_int_equal(send(fd, "go", 2, 0), 2);
  AWAIT(f, d->failed >= 100);
  assert_int_equal(torque_event_add(f->ctx, 0, tick, (void *)(uintptr_t)ticks, &event), 0);
  assert_int_equal(torque_trigger(event, TORQUE_READ), 0);
  AWAIT(f, *ticks > 100);
  const uint32_t calls = d->calls;
  AWAIT(f, d->calls > calls + 10);
  assert_int_equal(d->wrong, 0);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
  assert_in_range(stat_total(f->ctx, "datagrams_failed"), d->failed,
                  d->failed + 10); /* the last are nobody's to hear */
}

/* Elsewhere than in the callback the answer is the system's. */
static void at_once(void **state) {
  struct fixture *f = *state;
  static unsigned char bytes[70000];
  struct sockaddr_in there = loopback(htons(9)), nowhere = {.sin_family = AF_INET};
  struct desk *d = desk_new(f);
  desk_bind(d, AF_INET, 0, 0);
  assert_int_equal(torque_datagram_send(d->source, &there, sizeof there, bytes, 70000), TORQUE_ERR_SYSCALL + EMSGSIZE);
  assert_int_equal(torque_datagram_send(d->source, &nowhere, sizeof nowhere, bytes, 1), TORQUE_ERR_SYSCALL + EINVAL);
  assert_int_equal(torque_datagram_send(d->source, NULL, 0, bytes, 1), TORQUE_ERR_SYSCALL + EDESTADDRREQ);
  const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  assert_int_equal(torque_datagram_send(d->source, &v6, sizeof v6, bytes, 1), TORQUE_ERR_SYSCALL + EAFNOSUPPORT);
  fixture_settle(f);
  assert_int_equal(d->calls, 0);
  assert_int_equal(stat_total(f->ctx, "datagrams_sent"), 0);
  assert_int_equal(torque_source_remove_wait(d->source), 0);
  assert_int_equal(torque_datagram_send(d->source, &there, sizeof there, bytes, 1), TORQUE_ERR_STALE);
}

/* A peer without an address cannot be answered; the others can. */
static void reply_and_note(struct desk *d, struct torque_datagrams *batch, uint32_t i) {
  uint32_t length = 99;
  const void *peer = torque_datagrams_peer(batch, i, &length);
  const torque_err err = torque_datagrams_reply(batch, i, "answer", 6);
  if ((peer == NULL) != (length == 0)) d->wrong++;
  if (!peer && err != TORQUE_ERR_SYSCALL + EDESTADDRREQ) d->wrong++;
  if (peer && err) d->wrong++;
  d->noted += peer == NULL;
}

static void unix_peers_without_address(void **state) {
  struct fixture *f = *state;
  struct sockaddr_un a = {.sun_family = AF_UNIX}, none = {.sun_family = AF_UNIX};
  struct desk *d = desk_new(f);
  snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "torque-test-%d-%p", (int)getpid(), (void *)d);
  d->each = reply_and_note;
  assert_int_equal(torque_datagram_bind_new(f->ctx, &a, sizeof a, 0, desk_call, d, &d->source), 0);
  desk_start(d);
  assert_memory_equal(&d->address, &a, sizeof a);
  const int nameless = desk_visitor(d), named = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  fixture_own(f, named);
  assert_int_equal(bind(named, (struct sockaddr *)&none, sizeof none.sun_family), 0); /* a name of the system's */
  assert_int_equal(connect(named, (struct sockaddr *)&a, sizeof a), 0);
  for (uint32_t i = 1; i <= 10; i++) {
    char back[16];
    assert_int_equal(send(nameless, "a", 1, 0), 1);
    assert_int_equal(send(named, "b", 1, 0), 1);
    AWAIT(f, d->received == 2 * i);
    ssize_t got = -1;
    AWAIT(f, (got = recv(named, back, sizeof back, MSG_DONTWAIT)) >= 0);
    assert_int_equal(got, 6);
  }
  assert_int_equal(d->noted, 10);
  assert_int_equal(d->wrong, 0);
}

/* Descriptors that somebody sends along are not ours to have. */
static void nobody_sends_us_descriptors(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct desk *d = desk_new(f);
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
  desk_serve(d, fd[0], 0);
  const unsigned before = descriptors_open();
  for (uint32_t i = 1; i <= 5; i++) {
    struct iovec part = {(char[]){'x'}, 1};
    union {
      struct cmsghdr align;
      char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd[1], sizeof(int));
    assert_int_equal(sendmsg(fd[1], &m, 0), 1);
    AWAIT(f, d->received == i);
  }
  assert_int_equal(descriptors_open(), before);
}

/* The program has asked the system to keep errors, in a queue that takes the room of what comes. Far more come than there
 * is room for: each is told, and the socket hears on. */
static void kept_errors(struct fixture *f, int family) {
  enum { LOST = 3000, HEARD = 10 };
  const int on = 1, v6 = family == AF_INET6;
  struct sockaddr_storage here, there;
  struct desk *d = desk_new(f);
  int fd[2];
  struct sockaddr_storage *const name[2] = {&there, &here};
  socklen_t length = 0;
  for (int i = 0; i < 2; i++) {
    memset(name[i], 0, sizeof *name[i]);
    if (v6) *(struct sockaddr_in6 *)name[i] = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    else *(struct sockaddr_in *)name[i] = loopback(0);
    length = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    fd[i] = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    fixture_own(f, fd[i]);
    assert_int_equal(bind(fd[i], (struct sockaddr *)name[i], length), 0);
    assert_int_equal(getsockname(fd[i], (struct sockaddr *)name[i], &length), 0);
  }
  fixture_close(f, fd[0]); /* nobody has that port */
  const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP, name_of_it = v6 ? IPV6_RECVERR : IP_RECVERR;
  assert_int_equal(setsockopt(fd[1], level, name_of_it, &on, sizeof on), 0);
  desk_serve(d, fd[1], 0);
  for (uint64_t i = 1; i <= LOST; i++) {
    assert_int_equal(torque_datagram_send(d->source, &there, length, "lost", 4), 0);
    if (i % 10 == 0) AWAIT(f, d->failed >= i - 5); /* the system tells of some of many at once */
  }
  assert_int_equal(d->failure, TORQUE_ERR_SYSCALL + ECONNREFUSED);
  assert_int_equal(d->failure_size, 4);
  const int peer = desk_visitor(d);
  for (uint64_t i = 1; i <= HEARD; i++) {
    assert_int_equal(send(peer, "hello", 5, 0), 5);
    AWAIT(f, d->received == i);
  }
  assert_int_equal(torque_source_remove_wait(d->source), 0);
}

static void kept_errors_are_told(void **state) { kept_errors(*state, AF_INET); }
static void kept_errors_are_told_of_ipv6(void **state) { kept_errors(*state, AF_INET6); }

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(nobody_there),
      ON_EVERY(nobody_there_for_many),
      ON_EVERY(failures_between_others),
      ON_EVERY(more_failures_than_are_listed),
      ON_EVERY(failures_without_end),
      ON_EVERY(at_once),
      ON_EVERY(kept_errors_are_told),
      ON_EVERY(kept_errors_are_told_of_ipv6),
      ON_EVERY(unix_peers_without_address),
      ON_EVERY(nobody_sends_us_descriptors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
